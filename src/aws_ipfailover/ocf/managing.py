"""Whether a running Pacemaker manages an address, so that nobody moves it by hand against the cluster.

The cluster undoes what it has not done itself, or has the address on two nodes. What manages an address is a resource
of this package's agent under any name, or of one of the agents that move addresses beside it.
"""

from __future__ import annotations

import os
import shlex
from ipaddress import ip_address
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.cib import AgentName, Cib, Primitive
from aws_ipfailover.ocf.pacemaker import Pacemaker
from aws_ipfailover.ocf.scheduler import Scheduler
from aws_ipfailover.parameters import NAMES_OF_IP, Held

# Other agents of resource-agents that have addresses, and the parameters that name them.
_OTHERS = {
    AgentName("heartbeat", "IPaddr2"): ("ip",),
    AgentName("heartbeat", "aws-vpc-move-ip"): ("ip", "address"),
    AgentName("suse", "aws-vpc-move-ip"): ("ip", "address"),
    AgentName("heartbeat", "awsvip"): ("secondary_private_ip",),
}
_OWN = AgentName("heartbeat", AGENT)
# Pacemaker's processes as /proc/PID/comm has them, cut to 15 characters; one of them runs on every node of a cluster,
# on a remote node the last.
_PROCESSES = ("pacemakerd", "pacemaker-based", "pacemaker-remot", "pacemaker_remot")
# Arguments with which the same programs answer or tell the daemon something, and end: pacemakerd(8), and crmsh, which
# asks pacemaker-based for its metadata.
_QUESTIONS = frozenset(
    ("-?", "-h", "--help", "--help-all", "-$", "--version", "-F", "--features", "-S", "--shutdown", "metadata")
)
# Seconds for all questions; a cluster that works answers each in a fraction of one.
_PATIENCE = 10.0


class Managed(NamedTuple):
    """A resource that has the address, or the ENI, and that Pacemaker manages.

    `outermost_id`: the group or clone that it is in; its own id if it is in none. `node`: this node's name in the
    cluster. `other`: the other node's, if there is only one.
    """

    resource_id: str
    outermost_id: str
    agent: AgentName
    node: str
    other: Optional[str]


def is_running(proc: str = "/proc") -> bool:
    """Whether a daemon of Pacemaker runs on this node, and not in a container on it.

    Raises:
        UnknownError: the processes cannot be listed.
    """
    try:
        entries = os.listdir(proc)
    except OSError as error:
        raise UnknownError(f"{proc} cannot be read: {error.strerror}") from None
    found = [one for one in entries if one.isdigit() and _comm(proc, one) in _PROCESSES]
    return any(_is_daemon(proc, one) and _is_of_this_node(proc, one) for one in found)


def _is_daemon(proc: str, pid: str) -> bool:
    """Whether a process of that name does not only answer a question, or that cannot be found out.

    One that has ended, and that nobody has waited for yet, has an empty command line: proc_pid_cmdline(5).
    """
    try:
        with open(f"{proc}/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            argv = file.read().split("\0")
    except OSError:
        return True
    return argv != [""] and _QUESTIONS.isdisjoint(argv[1:])


def _is_of_this_node(proc: str, pid: str) -> bool:
    """Whether a process is in this one's PID namespace, or that cannot be found out; not one that has ended meanwhile.

    Only root may ask for the namespaces of root's processes; everybody may read NSpid, the process's ids in its own
    PID namespace and in those around it, as far as /proc shows them: proc_pid_status(5).
    """
    own, other = _pid_namespace(proc, "self"), _pid_namespace(proc, pid)
    if own and other:
        return own == other
    depth = _depth(proc, pid)
    return bool(_comm(proc, pid)) and (depth == 0 or depth <= (_depth(proc, "self") or depth))


def _pid_namespace(proc: str, pid: str) -> str:
    try:
        return os.readlink(f"{proc}/{pid}/ns/pid")
    except OSError:
        return ""


def _depth(proc: str, pid: str) -> int:
    """In how many PID namespaces that /proc shows a process is; 0 where that cannot be read."""
    try:
        with open(f"{proc}/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.startswith("NSpid:")]
    except OSError:
        return 0
    return len(lines[0].split()) - 1 if lines else 0


def _comm(proc: str, pid: str) -> str:
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""  # it has ended meanwhile


def managing(
    what: Held, environ: Mapping[str, str], is_ours: Callable[[AgentName], Optional[bool]], deadline: Deadline
) -> Optional[Managed]:
    """The resource by which a running Pacemaker manages what `what` names; `None` if it manages nothing of it.

    `is_ours`: whether an agent is this package's; `None` where it is not installed.

    Raises:
        UnknownError: Pacemaker runs, and that cannot be found out.
    """
    if not is_running():
        return None
    deadline = deadline.within(_PATIENCE)
    scheduler = Scheduler(environ, deadline)
    cib = scheduler.configuration().cib
    for one in resources_with(cib, what, is_ours):
        if not Pacemaker(one.resource_id, deadline).manages():
            continue
        node = scheduler.node()
        others = [other.uname for other in cib.nodes if other.uname != node]
        outermost = one.containers[-1].container_id if one.containers else one.resource_id
        return Managed(one.resource_id, outermost, one.agent, node, others[0] if len(others) == 1 else None)
    return None


def resources_with(cib: Cib, what: Held, is_ours: Callable[[AgentName], Optional[bool]]) -> List[Primitive]:
    """The resources that have one of the addresses, or the ENI, by any of their sets of parameters. Pure.

    Also by a set that counts on other nodes or at other times only: what it says of now only Pacemaker knows.
    """
    return [one for one in cib.primitives.values() if _names(cib, one, what, is_ours)]


def _names(cib: Cib, one: Primitive, what: Held, is_ours: Callable[[AgentName], Optional[bool]]) -> bool:
    values: Dict[str, List[str]] = {}
    for some in cib.parameters_of(one).sets:
        for name, value in some.values.items():
            values.setdefault(name, []).append(value)
    wanted = {*what.addresses, *what.others}

    def has_address(*names: str) -> bool:
        texts = [text.strip() for name in names for value in values.get(name, ()) for text in value.split(",")]
        return any(_address(text) in wanted for text in texts)

    if has_address(*_OTHERS.get(one.agent, ())):
        return True
    has_eni = what.network_interface_id in [text.strip() for text in values.get("network_interface_id", ())]
    if not has_eni and not has_address(*NAMES_OF_IP):
        return False
    ours = is_ours(one.agent)
    return one.agent == _OWN if ours is None else ours


def _address(text: str) -> object:
    try:
        return ip_address(text)
    except ValueError:
        return None


def move(resource_id: str, node: Optional[str]) -> str:
    """The command by which the cluster moves a resource, of whichever tool is installed; `node`: by default, away."""
    to = [] if node is None else [node]
    if programs.find("crm") is not None:
        return shlex.join(["crm", "resource", "move", resource_id, *to])
    if programs.find("pcs") is not None:
        return shlex.join(["pcs", "resource", "move", resource_id, *to])
    return shlex.join(["crm_resource", "--move", "--resource", resource_id, *(["--node", *to] if to else [])])
