"""Checks of this node that ask nobody else: who runs this, programs, packages, the agent's file, other daemons.

Facts: Pacemaker's controller runs an agent's meta-data as the user hacluster (`controld_metadata.c`); the executor runs
all other actions as root.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import List, Optional, Tuple

from aws_ipfailover import __version__, programs
from aws_ipfailover.coexistence import Program, active
from aws_ipfailover.diagnosis.finding import NODE, Check, Finding, Needs, NotAskedError, failed, passed, unknown, warned
from aws_ipfailover.diagnosis.sdk import versions
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import Error, MissingError, ParameterError, UnknownError
from aws_ipfailover.kernel.command import ip_path
from aws_ipfailover.modes import local_parts, mode_named
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.installed import is_ours
from aws_ipfailover.parameters import held, without_effect

_INSTALL = ("aws-ipfailover", "install")
_OLDEST_PYTHON = (3, 9)
# The oldest versions of packages that the agent runs with.
_OLDEST = {"boto3": (1, 26), "botocore": (1, 29), "requests": (2, 25)}
_PACEMAKERS_USER = "hacluster"
# Programs that remove addresses they do not know; what the others do can be harmless where this node's are their own.
_REMOVE_ADDRESSES = ("nm-cloud-setup", "cloud-netconfig", "amazon-ec2-net-utils")
_TO_PRINT_VERSION = "import sys, aws_ipfailover; print(aws_ipfailover.__version__, *sys.version_info[:2])"


def _parameters(surroundings: Surroundings) -> Finding:
    try:
        values = surroundings.access.checked()
    except ParameterError as error:
        command: Tuple[Tuple[str, ...], ...] = ()
        if surroundings.resource_id:
            command = (("crm_resource", "--resource", surroundings.resource_id, "--query-xml"),)
        return failed(str(error), "Correct it in the cluster's configuration.", *command)
    useless = without_effect(surroundings.given)
    if useless:
        return warned("; ".join(useless), "Correct the name, or remove it.")
    what = ", ".join(map(str, values.ip)) or str(values.network_interface_id)
    return passed(f"mode {values.mode}, {what}")


def _root(_: Surroundings) -> Finding:
    if os.geteuid() == 0:
        return passed("this command runs as root, as the agent does")
    return failed(
        f"this command runs as user {os.geteuid()}, and Pacemaker runs the agent as root: what follows can differ",
        "Run it as root.",
        ("sudo", "aws-ipfailover", "doctor"),
    )


def _iproute2(surroundings: Surroundings) -> Finding:
    try:
        path = ip_path()
    except MissingError as error:
        return failed(str(error), "Install the package iproute2 (iproute on RHEL and Amazon Linux).")
    surroundings.kernel.links.all()
    return passed(path)


def _python(_: Surroundings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return failed(f"Python {version}, which is older than 3.9", "Install the package with a newer Python.")
    return passed(f"Python {version} at {sys.executable}")


def _sdk(_: Surroundings) -> Finding:
    found: List[str] = []
    wrong: List[str] = []
    try:
        known = versions()
    except ImportError as error:
        wrong, known = [f"{error.name or error} is not installed, or is damaged"], {}
    for name, version in known.items():
        oldest = _OLDEST[name]
        found.append(f"{name} {version}")
        if _numbers(version) < oldest:
            wrong.append(f"{name} {version} is older than {'.'.join(map(str, oldest))}")
    if wrong:
        pip = (sys.executable, "-m", "pip", "install", "--upgrade", "boto3>=1.26", "requests>=2.25")
        return failed("; ".join(wrong), "Install it for the interpreter of the agent.", pip)
    return passed(", ".join(found))


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def agent_path(agents: Path) -> Path:
    """Where Pacemaker finds ocf:heartbeat:aws-ipfailover."""
    return agents / "resource.d" / "heartbeat" / AGENT


def _agent_file(surroundings: Surroundings) -> Finding:
    path = agent_path(surroundings.agents)
    try:
        if not path.exists():
            return failed(f"{path} does not exist, so that Pacemaker knows no such agent", "Install it.", _INSTALL)
        if not is_ours(path):
            return failed(f"{path} is not the file of this package", "Remove it, then install the agent.", _INSTALL)
    except OSError as error:
        raise UnknownError(f"{path} cannot be read: {error.strerror}") from None
    if not os.access(path, os.X_OK):
        return failed(f"{path} is not executable", "Make it executable.", ("chmod", "755", str(path)))
    return passed(str(path))


def _own_agent(surroundings: Surroundings) -> Path:
    """The agent's file, where it is this package's."""
    path = agent_path(surroundings.agents)
    try:
        if is_ours(path):
            return path
    except OSError:
        pass
    raise NotAskedError("agent-file")


def _agent_interpreter(surroundings: Surroundings) -> Finding:
    path = _own_agent(surroundings)
    command = _interpreter(path)
    if command is None:
        return failed(f"{path} has no first line that names an interpreter", *_REINSTALL)
    shown = " ".join(command)
    try:
        # Without what the environment adds to the interpreter's path: Pacemaker's has none of it.
        done = programs.run([*command, "-I", "-c", _TO_PRINT_VERSION], surroundings.deadline.remaining())
    except UnknownError as error:
        return failed(f"{shown}, the interpreter of {path}, does not start: {error}", "Install it anew.", _INSTALL)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no error message"])[-1]
        return failed(f"{shown}, the interpreter of {path}, does not load the package: {said}", *_REINSTALL)
    version, *python = done.stdout.split()
    if tuple(map(int, python)) < _OLDEST_PYTHON:
        return failed(f"{shown} is Python {'.'.join(python)}, which is older than 3.9", *_REINSTALL)
    if version != __version__:
        return warned(f"{shown} has version {version} of the package, this command is of {__version__}", *_REINSTALL)
    return passed(f"{shown} has version {version} of the package")


_REINSTALL = ("Install package and agent with one interpreter.", _INSTALL)


def _interpreter(path: Path) -> Optional[List[str]]:
    """The interpreter that a file's first line names, with its arguments; one by `env` is looked for in PATH."""
    try:
        with path.open("rb") as file:
            first = file.readline(4096).decode("utf-8", "replace")
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
        found = programs.find(words[0]) if words else None
        words = [found, *words[1:]] if found is not None else words
    words = [word for word in words if word not in ("-I", "-P", "-s", "-E")]
    return words or None


def _hacluster(surroundings: Surroundings) -> Finding:
    path = _own_agent(surroundings)
    try:
        user = pwd.getpwnam(_PACEMAKERS_USER)
    except KeyError:
        return unknown(f"this node has no user {_PACEMAKERS_USER}", "Is Pacemaker installed here?")
    if os.geteuid() not in (0, user.pw_uid):
        return unknown(f"only root can find out what {_PACEMAKERS_USER} may do", "Run this command as root.")
    done = _metadata_of(surroundings, path, user)
    if done.returncode == 0:
        return passed(f"{_PACEMAKERS_USER} can run its meta-data")
    if os.geteuid() == 0 and _metadata_of(surroundings, path).returncode != 0:
        raise NotAskedError("agent-interpreter")  # nobody can run it
    blocked = _not_searchable(path, surroundings)
    if blocked:
        text = f"{_PACEMAKERS_USER}, who reads the metadata of agents, cannot reach {path}: {blocked} is closed"
        if Path(blocked).parts[1] in _HOMES:  # not to be opened
            return failed(text, "Install the package where everybody may read.", *_ANEW)
        return failed(text, "Open it, or install package and agent elsewhere.", ("chmod", "o+x", blocked))
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return failed(
        f"{_PACEMAKERS_USER}, who reads the metadata of agents, cannot run {path}: {said}",
        "Let everybody read and search the directories of the package and of its interpreter.",
    )


_HOMES = ("root", "home")
_ANEW = (
    ("python3", "-m", "venv", "/opt/aws-ipfailover"),
    ("/opt/aws-ipfailover/bin/pip", "install", "aws-ipfailover[cli]"),
    ("/opt/aws-ipfailover/bin/aws-ipfailover", "install"),
)


def _metadata_of(surroundings: Surroundings, path: Path, user: Optional[pwd.struct_passwd] = None) -> programs.Done:
    """How the agent's meta-data ends, as `user`: with 0 only where it has printed some."""
    environ = {"PATH": os.environ.get("PATH", os.defpath), "OCF_ROOT": str(surroundings.agents)}
    try:
        done = programs.run([str(path), "meta-data"], surroundings.deadline.remaining(), environ, user=user)
    except UnknownError as error:
        return programs.Done(126, "", str(error))  # a file that the user may not reach
    return done if "<resource-agent" in done.stdout else done._replace(returncode=done.returncode or 1)


def _not_searchable(path: Path, surroundings: Surroundings) -> str:
    """The first directory above the agent, its interpreter or this package that not everybody may search."""
    interpreter = _interpreter(agent_path(surroundings.agents)) or []
    places = [path, *(Path(word) for word in interpreter[:1]), Path(__file__)]
    for place in (*places, *(one.resolve() for one in places)):
        for folder in reversed(place.parents):
            try:
                if not folder.stat().st_mode & 0o001:
                    return str(folder)
            except OSError:
                return str(folder)
    return ""


def _daemons(surroundings: Surroundings) -> Finding:
    values = surroundings.values()
    mac = surroundings.moving().mac if values.mode == "eni" else None
    found = active(mode_named(values.mode), mac)
    if not found:
        return passed("no other program that is known to change addresses is active")
    text = "; ".join(f"{one.name} {one.does}" for one in found)
    remedy = "; ".join(f"{one.name}: {_remedy(one, mac)}" for one in found)
    make = failed if any(one.name in _REMOVE_ADDRESSES for one in found) else warned
    return make(text, remedy[0].upper() + remedy[1:] + ".", *_commands(found))


def _remedy(program: Program, mac: Optional[str]) -> str:
    return program.remedy.replace("@MAC@", mac or "MAC")


def _commands(found: List[Program]) -> List[Tuple[str, ...]]:
    return [
        ("systemctl", "disable", "--now", *one.units)
        for one in found
        if one.remedy.startswith("disable it") and one.units
    ]


def _interface(surroundings: Surroundings) -> Finding:
    try:
        link = surroundings.link()
    except UnknownError:
        raise
    except Error as error:
        return failed(str(error), "Correct parameter interface.", ("ip", "-brief", "link", "show"))
    if not link.up:
        return failed(f"{link.name} is down", "Set it up.", ("ip", "link", "set", "dev", link.name, "up"))
    for part in local_parts(surroundings.kernel, held(surroundings.given)):
        found = part.look()
        if found.is_nodes_own:
            return failed(found.why, "Let nothing else configure the address on this node, or choose another one.")
    return passed(f"{link.name}, which is up")


CHECKS = (
    Check("root", "Root", "Does this command run as root?", NODE, Needs.NOTHING, _root, of_node=True),
    Check("iproute2", "iproute2", "Is the command ip there?", NODE, Needs.NOTHING, _iproute2, of_node=True),
    Check("python", "Python", "Is this Python 3.9 or newer?", NODE, Needs.NOTHING, _python, of_node=True),
    Check("sdk", "AWS SDK", "Are boto3 and requests there, and new enough?", NODE, Needs.NOTHING, _sdk, of_node=True),
    Check(
        *("agent-file", "Agent's file", "Is the agent where Pacemaker looks for it?"),
        *(NODE, Needs.NOTHING, _agent_file),
        of_node=True,
    ),
    Check(
        *("agent-interpreter", "Agent's interpreter", "Does the interpreter of the agent's file load the package?"),
        *(NODE, Needs.NOTHING, _agent_interpreter),
        of_node=True,
    ),
    Check(
        *("hacluster", "User hacluster", "Can Pacemaker's user hacluster run the agent's meta-data?"),
        *(NODE, Needs.NOTHING, _hacluster),
        of_node=True,
    ),
    Check(
        *("parameters", "Parameters", "Are the parameters well formed, and does each have an effect?"),
        *(NODE, Needs.NOTHING, _parameters),
    ),
    Check(
        *("daemons", "Other daemons", "Does no other program remove or change what the agent configures?"),
        *(NODE, Needs.NOTHING, _daemons),
        modes=("overlay-ip", "private-ip"),
    ),
    Check(
        *("eni-daemons", "Other daemons", "Does no other program remove or change what the agent configures?"),
        *(NODE, Needs.EC2, _daemons),
        modes=("eni",),
    ),
    Check(
        *("interface", "Interface", "Is there an interface, is it up, and is the address not the node's own?"),
        *(NODE, Needs.METADATA, _interface),
        modes=("overlay-ip", "private-ip"),
    ),
)
