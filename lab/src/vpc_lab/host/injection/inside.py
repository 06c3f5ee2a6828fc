"""What is done in an instance from outside: addresses, rules, file systems, processors."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping

from vpc_lab.cluster import NOTHING_FOUND
from vpc_lab.errors import LabError
from vpc_lab.fabric.commands import FabricError, batch, run
from vpc_lab.host import namespaces as ns
from vpc_lab.host.entering import entering
from vpc_lab.host.guest import Guest

Undo = Callable[[], None]
# What every Linux has (ip-rule(8)).
_COMMON_RULES = ("0:", "32766:", "32767:")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_FLAGS = ns.MS_NOSUID | ns.MS_NODEV


# -- addresses and rules -----------------------------------------------------------------------------------------------


def remove_address(instance: Guest, address: str, everywhere: Callable[[], List[Guest]]) -> Undo:
    """Take an address off the device that has it; what puts it back. `everywhere`: all instances.

    LabError where no device has it.
    """
    pid, since = _pid(instance), time.time()
    found = _with_address(pid, address)
    if not found:
        raise LabError(f"no device of {instance.name} has {address}")
    family = 6 if ":" in address else 4
    lines = {device: f"{address}/{about['prefixlen']} dev {device}" for device, about in found.items()}
    batch([f"address delete {line}" for line in lines.values()], family, pid)

    def undo() -> None:
        if not _untouched(instance, pid, since):
            return
        if any(_with_address(one.pid, address) for one in everywhere() if one.pid is not None):
            return
        batch([f"address add {line}{_flags(found[device])}" for device, line in lines.items()], family, pid)

    return undo


def _with_address(pid: int, address: str) -> Dict[str, Mapping[str, object]]:
    """The devices in the network namespace of a process that have an address, and what `ip` tells of it there."""
    shown = json.loads(_ip(pid, ["-json", "address", "show", "to", address]) or "[]")
    return {
        link["ifname"]: about
        for link in shown
        for about in link.get("addr_info", ())
        if "ifname" in link and about.get("local") == address
    }


def _flags(about: Mapping[str, object]) -> str:
    words = ""
    if ":" in str(about["local"]):
        words += " nodad"
    elif about.get("label"):
        words += f" label {about['label']}"
    if about.get("scope"):
        words += f" scope {about['scope']}"
    return words + (" noprefixroute" if about.get("noprefixroute") else "")


def remove_rules(instance: Guest) -> Undo:
    """Delete the routing policy rules that not every Linux has; what puts them back. LabError where there are none."""
    pid, since = _pid(instance), time.time()
    found = {family: _rules(pid, family) for family in (4, 6)}
    if not any(found.values()):
        raise LabError(f"{instance.name} has no routing policy rules but those that every Linux has")
    for family, rules in found.items():
        batch([f"rule delete {rule}" for rule in rules], family, pid)

    def undo() -> None:
        if _untouched(instance, pid, since):
            for family, rules in found.items():
                present = _rules(pid, family)
                batch([f"rule add {rule}" for rule in rules if rule not in present], family, pid)

    return undo


def _rules(pid: int, family: int) -> List[str]:
    """The rules as `ip rule add` takes them."""
    lines = [line.strip() for line in _ip(pid, [f"-{family}", "rule", "show"]).splitlines()]
    return [
        "pref " + re.sub(r":\s+", " ", line, count=1) for line in lines if line and not line.startswith(_COMMON_RULES)
    ]


def _ip(pid: int, argv: List[str]) -> str:
    return run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *argv])


def _pid(instance: Guest) -> int:
    if instance.pid is None:
        raise LabError(f"{instance.name} has no power")
    return instance.pid


def _untouched(instance: Guest, pid: int, since: float) -> bool:
    """Whether an instance still runs as it did, and its Pacemaker, if any, has started and stopped nothing since.

    What cannot be found out counts as touched: it is left to who has touched it.
    """
    if instance.pid != pid or instance.frozen:
        return False
    if not instance.clustered:
        return True
    path = f"//node_state[@uname='{instance.name}']//lrm_rsc_op[@operation!='monitor']"
    argv = entering(Path(f"/proc/{pid}"), ["cibadmin", "--query", "--xpath", path])
    try:
        done = subprocess.run(argv, env=instance.environment, capture_output=True, text=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == NOTHING_FOUND:
        return True
    operations = re.findall(r"<lrm_rsc_op .*?>", done.stdout, re.DOTALL)
    changes = [int(moment) for one in operations for moment in re.findall(r'last-rc-change="(\d+)"', one)]
    # Pacemaker counts whole seconds, and notes an operation that is under way with the status -1.
    return done.returncode == 0 and 'op-status="-1"' not in done.stdout and all(one < int(since) for one in changes)


# -- processors --------------------------------------------------------------------------------------------------------


def hog(instance: Guest) -> Undo:
    """Keep a processor busy from within an instance; what ends that."""
    processor = min(os.sched_getaffinity(0))
    busy = ["taskset", "-c", str(processor), "/bin/sh", "-c", "while :; do :; done"]
    argv = entering(Path(f"/proc/{_pid(instance)}"), busy)
    process = subprocess.Popen(argv, env=instance.environment, stdin=subprocess.DEVNULL)

    def undo() -> None:
        process.kill()
        process.wait()

    return undo


# -- file systems ------------------------------------------------------------------------------------------------------


class FullDisk:
    """A file system in memory, of one instance, without room: it has the size that is in use."""

    def __init__(self, instance: Guest, where: str) -> None:
        """Fill it. LabError without power for `run`, which is the instance's own mount."""
        self._instance = instance
        self._pid = None if where == "log" else _pid(instance)
        self._path = instance.disk / "var/log" if where == "log" else Path(f"/proc/{self._pid}/root/run")
        self._size = self._sizes()[0]
        # Something may be written between the look and the remount, for which the kernel then refuses a smaller size.
        for _ in range(100):
            try:
                self._remount(self._sizes()[1])
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            else:
                return
        raise LabError(f"{where} of {instance.name} is written to all the time")

    def empty(self) -> None:
        """Let it have the room that it had."""
        if self._pid in (None, self._instance.pid):
            self._remount(self._size)

    def _sizes(self) -> List[int]:
        """Bytes: of the file system, and in use."""
        found = os.statvfs(self._path)
        return [found.f_blocks * found.f_frsize, max((found.f_blocks - found.f_bfree) * found.f_frsize, _PAGE)]

    def _remount(self, size: int) -> None:
        if self._pid is None:
            ns.mount("none", str(self._path), flags=ns.MS_REMOUNT | _FLAGS, data=f"size={size}")
            return
        # A mount of the instance's namespace can be changed only from in there.
        process_1 = Path(f"/proc/{self._pid}")
        argv = ["nsenter", f"--mount={process_1 / 'ns/mnt'}", f"--root={process_1 / 'root'}", "--wd=/"]
        argv += ["mount", "-n", "-i", "--options-source=disable", "-o", f"remount,nosuid,nodev,size={size}", "/run"]
        try:
            run(argv)
        except FabricError as error:
            raise OSError(errno.EINVAL, str(error)) from error
