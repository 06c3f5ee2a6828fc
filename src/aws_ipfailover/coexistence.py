"""Other programs on this node that configure network interfaces, found by their files; no command is run.

Facts: amazon-ec2-net-utils' and cloud-netconfig's own READMEs and sources, nm-cloud-setup(8), NetworkManager.conf(5),
networkd.conf(5), systemd.network(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from aws_ipfailover.modes import Mode

# Where administrators enable systemd's units, and where they mask them.
_UNITS = "etc/systemd/system"


@dataclass(frozen=True)
class Program:
    """A program that configures network interfaces. All paths are `glob` patterns below the root directory.

    The program is active if one of `units` is enabled or one of `files` exists. It leaves an interface alone if
    `kept_off` (a regular expression; @MAC@ stands for the interface's MAC address) matches in one of `settings`.
    """

    name: str
    does: str
    remedy: str
    units: Tuple[str, ...] = ()
    files: Tuple[str, ...] = ()
    settings: Tuple[str, ...] = ()
    kept_off: str = ""

    def at_work(self, root: Path) -> bool:
        """Whether it is active: a unit is enabled and not masked, or a file exists."""
        masked = {unit for unit in self.units if _is_masked(root / _UNITS / unit)}
        enabled = (
            found for unit in self.units if unit not in masked for found in root.glob(f"{_UNITS}/*.wants/{unit}")
        )
        there = (found for pattern in self.files for found in root.glob(pattern))
        return any(True for _ in enabled) or any(True for _ in there)

    def keeps_off(self, root: Path, mac: Optional[str]) -> bool:
        """Whether its settings exclude the interface with this MAC address."""
        if not self.kept_off or ("@MAC@" in self.kept_off and mac is None):
            return False
        wanted = re.compile(self.kept_off.replace("@MAC@", mac or ""), re.IGNORECASE | re.MULTILINE | re.DOTALL)
        return any(wanted.search(text) for text in _texts(root, self.settings))


PROGRAMS = (
    Program(
        "nm-cloud-setup",
        "removes addresses that instance metadata does not list, and makes rules and routes of its own",
        "disable it: systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service",
        units=("nm-cloud-setup.timer", "nm-cloud-setup.service"),
    ),
    Program(
        "cloud-netconfig",
        "adds and removes secondary addresses by instance metadata, with rules and routes of its own",
        "set CLOUD_NETCONFIG_MANAGE='no' in /etc/default/cloud-netconfig and in the interface's ifcfg file",
        units=("cloud-netconfig.timer",),
        files=("usr/lib*/netconfig/netconfig.d/cloud-netconfig", "etc/netconfig.d/cloud-netconfig"),
        settings=("etc/default/cloud-netconfig",),
        kept_off=r"^\s*CLOUD_NETCONFIG_MANAGE\s*=\s*['\"]?no\b",
    ),
    Program(
        "amazon-ec2-net-utils",
        "has systemd-networkd configure every interface, its addresses, rules and routes, by instance metadata",
        "keep networkd off the interface (below), or remove the package",
        files=("usr/bin/setup-policy-routes", "usr/sbin/ec2ifup", "sbin/ec2ifup"),
        settings=("etc/systemd/network/*.network",),
        kept_off=r"MACAddress\s*=[^\n]*@MAC@.*^\s*Unmanaged\s*=\s*(yes|true|1|on)\b",
    ),
    Program(
        "systemd-networkd",
        "removes addresses that it has not made from an interface that one of its .network files matches",
        "add /etc/systemd/network/10-service.network with [Match] MACAddress=@MAC@ and [Link] Unmanaged=yes",
        units=("systemd-networkd.service",),
        settings=("etc/systemd/network/*.network",),
        kept_off=r"MACAddress\s*=[^\n]*@MAC@.*^\s*Unmanaged\s*=\s*(yes|true|1|on)\b",
    ),
    Program(
        "NetworkManager",
        "starts DHCP on a new interface and adds a default route by it",
        "add /etc/NetworkManager/conf.d/service.conf with [keyfile] unmanaged-devices=mac:@MAC@",
        units=("NetworkManager.service",),
        settings=("etc/NetworkManager/NetworkManager.conf", "etc/NetworkManager/conf.d/*.conf"),
        kept_off=r"^\s*unmanaged-devices\s*\+?=[^\n]*mac:@MAC@",
    ),
)


def active(mode: Mode, mac: Optional[str] = None, root: Path = Path("/")) -> List[Program]:
    """Every active program that disturbs `mode` and whose settings do not exclude the interface.

    `mac`: the MAC address of the ENI that moves; `None` in a mode that moves none.
    """
    return [
        one for one in PROGRAMS if one.name in mode.disturbed_by and one.at_work(root) and not one.keeps_off(root, mac)
    ]


def warnings(mode: Mode, mac: Optional[str] = None, root: Path = Path("/")) -> List[str]:
    """A sentence for every such program; the arguments are those of `active`."""
    return [f"{one.name} {one.does}: {one.remedy.replace('@MAC@', mac or 'MAC')}" for one in active(mode, mac, root)]


def _is_masked(unit: Path) -> bool:
    return unit.is_symlink() and str(unit.readlink()) == "/dev/null"


def _texts(root: Path, patterns: Tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # a file that cannot be read excludes nothing
            yield "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
