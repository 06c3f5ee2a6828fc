"""A node in a box, for tests: a network namespace with the instance's eth0, and the real agent run in it.

The calling thread enters the namespace itself. So does whatever it starts there, the AWS layer's listeners and the
agent's processes alike; the host's own network is never touched, and the kernel removes the namespace with its last
user.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union, cast

import pytest

from aws_ipfailover.holdings.eni_interface import table_of
from vpc_lab.ec2 import Call, RunningAws
from vpc_lab.topology import InstanceSpec
from vpc_lab.vpc import Interface
from vpc_lab.world import World

# With AWS_IPFAILOVER_INSTALLED, the path of the agent that a package has installed, that one, and the health agent
# beside it: each of these files says itself what runs it.
INSTALLED = os.environ.get("AWS_IPFAILOVER_INSTALLED")
CHECKOUT = Path(__file__).resolve().parents[1] / "heartbeat"
AGENT = Path(INSTALLED or CHECKOUT / "aws-ipfailover")
INTERPRETER: Sequence[str] = () if INSTALLED else (sys.executable,)
PACKAGED_PYTHON = "/usr/lib/aws-ipfailover/current/bin/python"
REASON_PREFIX = "ocf-exit-reason:"
# Longer than any test lets the agent take: a run that is still there then is a defect of its own.
_NEVER = 60.0
_CLONE_NEWNET = 0x40000000
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def cannot_run(reason: str) -> None:
    """Skip the test on a laptop; fail it where nothing may be left out (CI=true)."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"this tier must run in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def need_root() -> None:
    """Tests in namespaces need root."""
    if os.geteuid() != 0:
        cannot_run("needs root, for network namespaces")


def need_commands(*names: str) -> None:
    """Tests with programs of Debian's packages."""
    for name in names:
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}") is None:
            cannot_run(f"needs {name}")


# -- the namespace --------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


@contextmanager
def network_namespace() -> Iterator[None]:
    """A fresh network namespace around this thread; afterwards it is back where it came from."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            yield
        finally:
            _checked(_libc.setns(before, _CLONE_NEWNET), "setns")
    finally:
        os.close(before)


def ip(*arguments: str) -> List[Any]:
    """Run iproute2's `ip`; what it printed as JSON."""
    done = subprocess.run(
        ["ip", "-json", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": _SYSTEM_PATH, "LC_ALL": "C"},
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return list(json.loads(done.stdout or "[]"))


class Held(NamedTuple):
    """An address as `ip` shows it."""

    device: str
    address: str
    label: str = ""


def addresses() -> List[Held]:
    """Every address in this namespace but loopback's own and the kernel's link-local ones, sorted."""
    found = [
        Held(link["ifname"], f"{info['local']}/{info['prefixlen']}", info.get("label", ""))
        for link in ip("address", "show")
        for info in link.get("addr_info", ())
        if info.get("local") not in ("127.0.0.1", "::1") and info.get("scope") != "link"
    ]
    return sorted(found)


def answers_on(address: str) -> bool:
    """Whether the kernel takes `address` for its own: what the outside world would notice."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def make_interface(name: str, mac: Optional[str] = None) -> None:
    """A network interface that is up; it is one end of a veth pair."""
    peer = "peer-" + name[:8]
    ip("link", "add", "name", name, "type", "veth", "peer", "name", peer)
    if mac:
        ip("link", "set", "dev", name, "address", mac)
    for end in (name, peer):
        ip("link", "set", "dev", end, "up")


@contextmanager
def instance(node: InstanceSpec) -> Iterator[None]:
    """A namespace as an EC2 instance finds its network: lo, and eth0 with the ENI's MAC and addresses.

    In an IPv6-only subnet without the link-local IPv4 address that many systems set up there.
    """
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", node.mac)
        if not node.subnet.ipv6_only:
            ip("address", "add", f"{node.address}/24", "dev", "eth0")
        ip("-6", "address", "add", f"{node.ipv6_address}/64", "dev", "eth0", "nodad")
        yield


class HotPlug:
    """What EC2 does to the instance when an ENI is attached or detached: its NIC comes, later, and goes.

    Each NIC has a fresh name, is down and has nothing but its MAC address. `on_network` of an `Account`, whose threads
    have to be started in the instance's namespace. `delay`: seconds from `attached` to the NIC; `never`: none comes.
    `rename_after`: seconds from the NIC, then `eth1`, to its renaming by udev, to `ens6`; 0: it is born as `ens6`.
    """

    def __init__(self, instance: str = "node1", delay: float = 0.0, rename_after: float = 0.0) -> None:
        self.instance = instance
        self.delay = delay
        self.rename_after = rename_after
        self.never = False
        # The name of each NIC at present, by ENI.
        self.plugged: Dict[str, str] = {}
        self._number = 0
        self._lock = threading.Lock()

    def __call__(self, world: World) -> None:
        """Make the NICs those of the ENIs that are attached."""
        me = next(one for one in world.instances if world.name_of(one) == self.instance)
        here = {
            eni.network_interface_id: eni.mac
            for eni in world.interfaces.values()
            if eni.attachment is not None
            and eni.attachment.instance_id == me
            and not eni.attachment.is_primary
            and eni.attachment.status != "attaching"
            and eni.attachment.plugged
        }
        for eni in [eni for eni in self.plugged if eni not in here]:
            with self._lock:
                ip("link", "del", "dev", self.plugged.pop(eni))
        for eni in [eni for eni in here if eni not in self.plugged and not self.never]:
            if self.delay:
                time.sleep(self.delay)
            self._number += 1
            last = f"ens{5 + self._number}"
            name = f"eth{self._number}" if self.rename_after else last
            ip("link", "add", "name", name, "address", here[eni], "type", "veth", "peer", "name", f"far-{last}")
            ip("link", "set", "dev", f"far-{last}", "up")
            self.plugged[eni] = name
            if self.rename_after:
                # Its thread is in this namespace, as the one that starts it.
                timer = threading.Timer(self.rename_after, self._rename, (eni, name, last))
                timer.daemon = True
                timer.start()

    def _rename(self, eni: str, name: str, last: str) -> None:
        """What udev does, also to a NIC that is up, where the kernel lets it (Linux 6.2)."""
        with self._lock:
            if self.plugged.get(eni) == name:
                done = subprocess.run(
                    ["ip", "link", "set", "dev", name, "name", last],
                    check=False,
                    capture_output=True,
                    env={"PATH": _SYSTEM_PATH, "LC_ALL": "C"},
                )
                if done.returncode == 0:
                    self.plugged[eni] = last


# -- the agent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """One run of the agent: what it said, and what it asked the cloud meanwhile."""

    action: str
    code: int
    stdout: str
    stderr: str
    elapsed: float
    calls: Tuple[Call, ...] = ()

    @property
    def reasons(self) -> List[str]:
        """All exit reasons."""
        return [line[len(REASON_PREFIX) :] for line in self.stderr.splitlines() if line.startswith(REASON_PREFIX)]

    @property
    def reason(self) -> str:
        """The exit reason; fails the test when there is more than one."""
        assert len(self.reasons) <= 1, self.reasons
        return "".join(self.reasons)

    @property
    def ec2(self) -> List[str]:
        """Operations asked of EC2, in order."""
        return [call.action for call in self.calls if call.service == "ec2"]

    @property
    def sts(self) -> List[str]:
        """Operations asked of STS, in order."""
        return [call.action for call in self.calls if call.service == "sts"]

    @property
    def imds(self) -> List[str]:
        """Paths asked of IMDS, in order."""
        return [call.action for call in self.calls if call.service == "imds"]

    def __str__(self) -> str:
        """Everything there is to know when a test fails."""
        asked = ", ".join(f"{call.service}:{call.action}={call.outcome}" for call in self.calls)
        return f"{self.action}: {self.code} after {self.elapsed:.2f} s\n{self.stdout}{self.stderr}asked: {asked}"


class Running:
    """The agent as a process that has been started and not yet waited for."""

    def __init__(self, action: str, process: subprocess.Popen[str], aws: Optional[RunningAws]) -> None:
        self.action = action
        self.process = process
        self._aws = aws
        self._begun = time.monotonic()
        self._calls = len(aws.calls()) if aws else 0

    def __enter__(self) -> Running:
        """The process is ended and collected on the way out."""
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate()

    def end(self) -> Ran:
        """Wait for it."""
        try:
            stdout, stderr = self.process.communicate(timeout=_NEVER)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            pytest.fail(f"{self.action} never ended: {stdout}{stderr}")
        elapsed = time.monotonic() - self._begun
        calls = self._aws.calls()[self._calls :] if self._aws else ()
        return Ran(self.action, self.process.returncode, stdout, stderr, elapsed, calls)


@dataclass
class Agent:
    """Runs the agent's file by environment alone: `parameters` become OCF_RESKEY_*, nothing is inherited."""

    parameters: Dict[str, str] = field(default_factory=dict)
    environ: Dict[str, str] = field(default_factory=dict)
    aws: Optional[RunningAws] = None
    interpreter: Sequence[str] = INTERPRETER
    path: Path = AGENT

    def command(self, action: str) -> List[str]:
        """What is executed."""
        if INSTALLED and self.path.parent in (CHECKOUT, AGENT.parent):
            path = AGENT.with_name(self.path.name)
            if self.interpreter[:1] != (sys.executable,):
                return [*self.interpreter, str(path), action]
            # The installed files are shell scripts: options of an interpreter go to what these execute.
            (script,) = re.findall(r"^ +exec .* -IB -c '(.+?)'", path.read_text(), re.DOTALL | re.MULTILINE)
            return [PACKAGED_PYTHON, *self.interpreter[1:], "-IB", "-c", script, str(path), action]
        return [*self.interpreter, str(self.path), action]

    def environment(
        self,
        parameters: Optional[Mapping[str, Optional[str]]] = None,
        environ: Optional[Mapping[str, Optional[str]]] = None,
        *,
        level: Optional[int] = None,
        interval: Optional[float] = None,
        timeout: Optional[float] = None,
    ) -> Dict[str, str]:
        """The whole environment; None removes a value. Times in seconds."""
        merged: Dict[str, Optional[str]] = {"PATH": _SYSTEM_PATH, **self.environ}
        if level is not None:
            merged["OCF_CHECK_LEVEL"] = str(level)
        if interval is not None:
            merged["OCF_RESKEY_CRM_meta_interval"] = str(int(interval * 1000))
        if timeout is not None:
            merged["OCF_RESKEY_CRM_meta_timeout"] = str(int(timeout * 1000))
        given = {**self.parameters, **(parameters or {})}
        merged.update({f"OCF_RESKEY_{name}": value for name, value in given.items()})
        merged.update(environ or {})
        return {name: value for name, value in merged.items() if value is not None}

    def begin(self, action: str, *arguments: Any, command: Sequence[str] = (), **options: Any) -> Running:
        """Start it, and go on. The arguments are those of `environment`; `command` goes before the agent's own."""
        process = subprocess.Popen(
            [*command, *self.command(action)],
            env=self.environment(*arguments, **options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        return Running(action, process, self.aws)

    def run(self, action: str, *arguments: Any, **options: Any) -> Ran:
        """Run it to its end. The arguments are those of `environment`."""
        with self.begin(action, *arguments, **options) as running:
            return running.end()


@dataclass
class Node:
    """The box: this node's AWS, its agent, and where the agent keeps what it remembers."""

    aws: RunningAws
    agent: Agent
    me: InstanceSpec
    directory: Path

    @property
    def address(self) -> str:
        """The address that moves."""
        return self.agent.parameters["ip"]

    @property
    def destination(self) -> str:
        """The address as a route's destination."""
        return f"{self.address}/{128 if ':' in self.address else 32}"

    @property
    def tables(self) -> List[str]:
        """The route tables of the resource."""
        return [part.strip() for part in self.agent.parameters["routing_table"].split(",")]

    def held(self) -> List[Held]:
        """Where the address is on this node."""
        return [one for one in addresses() if one.address.split("/")[0] == self.address]

    def routes(self) -> Dict[str, Optional[str]]:
        """Where the resource's route tables lead the address."""
        everywhere = self.aws.account.routes_to(self.destination)
        return {table: everywhere[table] for table in self.tables}

    def point_routes_at(self, target: str) -> None:
        """Let every table of the resource lead the address to an instance (by name), as the peer's start has."""
        for table in self.tables:
            self.aws.account.put_route(self.destination, target, table)

    def leave_out_the_check(self) -> None:
        """Let EC2's answers leave out the source/destination check of this node's ENI, as EC2's own never do."""
        mine, untold = self.me.network_interface_id, cast("bool", None)
        self.aws.account.change(
            lambda world: world.with_interface(replace(world.interfaces[mine], source_dest_check=untold))
        )

    def forget_writes(self) -> None:
        """Make what the agent remembers of its own writes older than the minute in which reads may lag."""
        for path in self.remembered():
            noted = json.loads(path.read_text())
            if "at" in noted:  # the record of a write
                noted["at"] -= 61
            path.write_text(json.dumps(noted))

    def remembered(self) -> List[Path]:
        """The files in which the agent remembers its own writes."""
        return writes_remembered(self.directory)

    def hold(self) -> None:
        """Make this node the active one without the agent, as a start long ago has left it."""
        ip("address", "add", self.destination, "dev", "eth0", *(["nodad"] if ":" in self.address else []))
        self.point_routes_at("node1")

    def started(self) -> Ran:
        """Start the resource; it must succeed."""
        ran = self.agent.run("start")
        assert ran.code == 0, ran
        return ran


def syslog(node: Node, directory: Path, action: str) -> Tuple[Ran, List[str]]:
    """Run an action with a /dev of its own: the lines it sends to syslog, as the datagrams of syslog(3)."""
    path, devices = directory / "log", directory / "dev"
    devices.mkdir()
    (devices / "null").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        arrange = (
            'mount --bind /dev/null "$1/null" && mount --bind /dev/urandom /dev/urandom && ln -s "$2" "$1/log"'
            ' && mount --bind "$1" /dev && shift 2 && exec "$@"'
        )
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", arrange, "sh", str(devices), str(path)]
        ran = node.agent.begin(
            action, command=command, environ={"HA_LOGFACILITY": "local3", "OCF_RESOURCE_INSTANCE": "the-vip"}
        ).end()
        log.setblocking(False)  # the action has ended: all that it has sent is here
        lines = []
        while True:
            try:
                lines.append(log.recv(65536).decode())
            except BlockingIOError:
                return ran, lines


def writes_remembered(directory: Path) -> List[Path]:
    """The files in which an agent remembers its own writes, and not what it was configured with."""
    others = ("aws-ipfailover-configured-", "aws-ipfailover-tables-")
    return sorted(one for one in directory.glob("aws-ipfailover-*.json") if not one.name.startswith(others))


def create_eni(aws: RunningAws, subnet_id: str, *addresses: str) -> str:
    """Create an ENI with these addresses, the primary one first; its id."""
    before = set(aws.account.world.interfaces)
    parameters = {"SubnetId": subnet_id}
    for number, address in enumerate(addresses, 1):
        name = (
            f"Ipv6Addresses.{number}.Ipv6Address" if ":" in address else f"PrivateIpAddresses.{number}.PrivateIpAddress"
        )
        parameters[name] = address
    if addresses and ":" not in addresses[0]:
        parameters["PrivateIpAddresses.1.Primary"] = "true"
    aws.api.administer("CreateNetworkInterface", **parameters)
    (made,) = set(aws.account.world.interfaces) - before
    return made


def attach(aws: RunningAws, eni: str, to: InstanceSpec, index: int) -> None:
    """Begin to attach an ENI."""
    aws.api.administer(
        "AttachNetworkInterface", NetworkInterfaceId=eni, InstanceId=to.instance_id, DeviceIndex=str(index)
    )


@dataclass
class EniNode:
    """The box with an ENI that moves: `eni` is in node1's subnet, or in a service subnet of its own."""

    aws: RunningAws
    agent: Agent
    me: InstanceSpec
    directory: Path
    eni: str
    hot_plug: HotPlug
    addresses: Tuple[str, ...]

    @property
    def other(self) -> InstanceSpec:
        """Another instance of the same availability zone."""
        return self.aws.account.instance("consumer-a")

    def interface(self) -> Interface:
        """The ENI as it truly is."""
        return self.aws.account.world.interfaces[self.eni]

    def holder(self) -> Optional[str]:
        """The instance that the ENI is attached to, in whatever state."""
        attachment = self.interface().attachment
        return None if attachment is None else attachment.instance_id

    def status(self) -> str:
        """attaching, attached, detaching, or available."""
        attachment = self.interface().attachment
        return "available" if attachment is None else attachment.status

    def attach(self, to: InstanceSpec, index: int = 1) -> None:
        """Attach the ENI; what it brings is here when this returns, if EC2 has finished."""
        attach(self.aws, self.eni, to, index)
        self.aws.account.settle()

    def detach(self) -> None:
        """Begin to detach the ENI, as a node's stop does."""
        attachment = self.interface().attachment
        assert attachment is not None
        self.aws.api.administer("DetachNetworkInterface", AttachmentId=attachment.attachment_id)

    @property
    def nic(self) -> str:
        """The name that its NIC has now."""
        return self.hot_plug.plugged[self.eni]

    def up(self) -> bool:
        """Whether its NIC is up."""
        return "UP" in ip("link", "show", "dev", self.nic)[0]["flags"]

    def on_nic(self) -> List[str]:
        """The addresses of its NIC, with prefix; empty without a NIC."""
        return [one.address for one in addresses() if one.device == self.hot_plug.plugged.get(self.eni)]

    def rules(self) -> List[str]:
        """The source addresses that have a rule of their own into the ENI's routing table."""
        found = [*ip("-4", "rule", "show"), *ip("-6", "rule", "show")]
        return sorted(rule["src"] for rule in found if rule["table"] == str(table_of(self.eni)))

    def routes(self, version: int = 4) -> Dict[str, Tuple[str, Optional[str]]]:
        """The ENI's routing table: device and gateway by destination."""
        found = ip(f"-{version}", "route", "show", "table", str(table_of(self.eni)))
        return {route["dst"]: (route["dev"], route.get("gateway")) for route in found}

    def everything(self) -> List[str]:
        """The ENI's addresses and the parameter `ip`, sorted."""
        return sorted({*self.addresses, *filter(None, [self.agent.parameters.get("ip")])})

    def quiesced(self) -> bool:
        """Whether nothing of it answers here: no address, no rule, no link that is up."""
        mine = any(answers_on(address) for address in self.everything())
        return (
            not mine
            and not self.rules()
            and not self.on_nic()
            and not (self.eni in self.hot_plug.plugged and self.up())
        )

    def served(self) -> bool:
        """Whether everything of it is here."""
        plugged = self.eni in self.hot_plug.plugged and self.status() == "attached" and self.up()
        return (
            plugged
            and all(answers_on(address) for address in self.everything())
            and self.rules() == self.everything()
            and self.routes()["default"][0] == self.nic
        )

    def forget_writes(self) -> None:
        """Make what the agent remembers of its own writes older than the minute in which reads may lag."""
        for path in writes_remembered(self.directory):
            noted = json.loads(path.read_text())
            if "at" in noted:  # the record of a write
                noted["at"] -= 61
            path.write_text(json.dumps(noted))

    def started(self) -> Ran:
        """Start the resource; it must succeed."""
        ran = self.agent.run("start")
        assert ran.code == 0, ran
        assert self.served(), ran
        return ran


def with_profile(node: Union[Node, EniNode], directory: Path) -> None:
    """Give the agent a region and credentials from a profile, those of the node's role."""
    role = node.aws.account.identities.of_instance(node.me.instance_id)
    shared = directory / "credentials"
    shared.write_text(
        f"[cluster]\naws_access_key_id = {role.access_key_id}\naws_secret_access_key = {role.secret_access_key}\n"
        f"aws_session_token = {role.session_token}\n"
    )
    node.agent.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(shared)
    node.agent.parameters.update(profile="cluster", region=node.aws.account.topology.region)


def secrets_of(aws: RunningAws) -> set[str]:
    """Everything that must not be seen: keys, session tokens, IMDS tokens."""
    found = set(aws.imds._tokens)
    for held in aws.account.identities._credentials.values():
        found |= {held.access_key_id, held.secret_access_key, held.session_token or held.secret_access_key}
    return found


# -- what Pacemaker says of the resource -------------------------------------------------------------------------------

# The whole of a state as Pacemaker 2.1's crm_resource prints it: `%s` are marks.
_STATE = "the-vip\t(ocf:heartbeat:aws-ipfailover):\t Started node1%s"
_CRM_RESOURCE = {
    "managed": f"echo '{_STATE % ''}'",
    "unmanaged": f"echo '{_STATE % ' (unmanaged)'}'",
    "maintenance": f"echo '{_STATE % ' (disabled, maintenance)'}'",
    "hanging": "exec sleep 60",
    "failing": "echo 'crm_resource: Could not connect to the CIB manager' >&2; exit 102",
}


def crm_resource_stub(node: Union[Node, EniNode], says: str) -> Callable[[], List[str]]:
    """Put a `crm_resource` before the machine's own that says the resource is managed, unmanaged or in maintenance.

    Also: hanging, failing, and absent, where there is none. Returns what tells the arguments of each call so far.
    """
    place = node.directory.parent / "crm_resource"
    place.mkdir(exist_ok=True)
    program, calls = place / "crm_resource", place / "calls"
    calls.write_text("")
    # Debian has its own in /usr/sbin, and all that the agent needs in /usr/bin as well.
    rest = "/usr/bin:/bin" if says == "absent" else _SYSTEM_PATH
    if says == "absent":
        program.unlink(missing_ok=True)
    else:
        xml = "echo 'Resource XML:'; echo '<primitive id=\"the-vip\" class=\"ocf\"/>'"
        program.write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{_CRM_RESOURCE[says]}\n{xml}\n')
        program.chmod(0o755)
    node.agent.environ.update(PATH=f"{place}:{rest}", OCF_RESOURCE_INSTANCE="the-vip")
    return lambda: calls.read_text().splitlines()


# -- servers that misbehave in ways no fault of the AWS layer does ----------------------------------------------------


@contextmanager
def silent_address() -> Iterator[Tuple[str, int]]:
    """An address where connection requests are dropped: nobody answers, nobody refuses."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # the queue of a listener that accepts nobody; once it is full, the kernel drops the rest
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()


@contextmanager
def serving(
    serve: Callable[[socket.socket], None], where: Tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[Tuple[str, int]]:
    """A TCP server; each connection is `serve`d by a thread of its own until both sides are done or it is closed."""
    listener = socket.socket()
    listener.bind(where)
    listener.listen(64)
    connections: List[socket.socket] = []
    threads: List[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the other side may end it at any moment
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()
    finally:
        for one_socket in (listener, *connections):
            with suppress(OSError):
                one_socket.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(5)


def dribble(connection: socket.socket) -> None:
    """Answer for ever, a byte at a time: no single read of the client takes long."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    end = threading.Event()
    while not end.wait(0.2):
        connection.sendall(b"x")


@contextmanager
def proxy() -> Iterator[Tuple[str, List[str]]]:
    """An HTTP proxy: its URL, and the targets that were asked of it. It passes CONNECT on, and refuses all else."""
    asked: List[str] = []

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        asked.append(f"{method} {target}")
        if method != "CONNECT":
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as server:
            server.settimeout(None)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join(5)

    with serving(serve) as (host, port):
        yield f"http://{host}:{port}", asked


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


# -- an environment with something missing ----------------------------------------------------------------------------


def without_packages(directory: Path, *names: str) -> Dict[str, str]:
    """Environment variables that make Python packages unimportable, as if they were not installed."""
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(
        "import sys\n"
        f"MISSING = {names!r}\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in MISSING:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    return {"PYTHONPATH": str(directory)}


# Run a command with other files in the places of some of the machine's, in a mount namespace of its own.
# Arguments: pairs of file and place, "--", the command.
_BINDER = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@"'


def with_files(files: Mapping[Path, str]) -> List[str]:
    """A command prefix: what follows sees each file in the place given, nobody else does."""
    pairs = [text for file, place in files.items() for text in (str(file), place)]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BINDER, "sh", *pairs, "--"]
