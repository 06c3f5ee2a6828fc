"""OCF 1.1 as Pacemaker speaks it: exit codes, environment, exit reason, logging, metadata.

Facts: the OCF Resource Agent API 1.1; "Pacemaker Administration", agents; the shell library of resource-agents for
where logs go (HA_LOGFACILITY, HA_LOGFILE, HA_debug).
"""

from __future__ import annotations

import enum
import logging
import os
import re
import sys
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover import __version__
from aws_ipfailover.parameters import MODES, PARAMETERS, Parameter

log = logging.getLogger("aws_ipfailover")

AGENT = "aws-ipfailover"


class Exit(enum.IntEnum):
    """OCF exit codes."""

    SUCCESS = 0
    GENERIC = 1
    ARGS = 2
    UNIMPLEMENTED = 3
    PERM = 4
    INSTALLED = 5
    CONFIGURED = 6
    NOT_RUNNING = 7
    DEGRADED = 190


class Action(NamedTuple):
    """An action as the metadata announces it; times in seconds."""

    name: str
    timeout: int
    interval: Optional[int] = None
    depth: Optional[int] = None


ACTIONS: Tuple[Action, ...] = (
    Action("start", 180),
    Action("stop", 180),
    Action("monitor", 30, interval=60, depth=0),
    Action("monitor", 30, interval=120, depth=10),
    Action("reload-agent", 20),
    Action("migrate_to", 180),
    Action("migrate_from", 180),
    Action("validate-all", 20),
    Action("meta-data", 5),
)


# Seconds; nobody waits longer for an action, and the kernel's clocks take no number however large.
_LONGEST_TIMEOUT = 86400.0


class Environment:
    """What Pacemaker, or somebody by hand, passes in the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def parameters(self) -> Dict[str, str]:
        """The resource's own parameters, without prefix and without Pacemaker's own."""
        prefix = "OCF_RESKEY_"
        return {
            name[len(prefix) :]: text
            for name, text in self._environ.items()
            if name.startswith(prefix) and not name[len(prefix) :].lower().startswith("crm_")
        }

    def timeout(self, action: str) -> float:
        """Seconds this action may take; by hand, what the metadata recommends."""
        milliseconds = self._number("OCF_RESKEY_CRM_meta_timeout")
        if milliseconds:
            return min(milliseconds / 1000, _LONGEST_TIMEOUT)
        return float(next((known.timeout for known in ACTIONS if known.name == action), 30))

    def is_probe(self) -> bool:
        """Whether a monitor is a probe: no interval."""
        return not self._number("OCF_RESKEY_CRM_meta_interval")

    def check_level(self) -> int:
        """The depth that is asked for; 0 where none is."""
        return self._number("OCF_CHECK_LEVEL")

    def _number(self, name: str) -> int:
        text = self._environ.get(name, "").strip()
        return int(text[:15]) if text.isascii() and text.isdigit() else 0


def exit_reason(environ: Mapping[str, str], reason: str) -> None:
    """One line on standard error that Pacemaker shows in `crm_mon` and `pcs status`."""
    prefix = environ.get("OCF_EXIT_REASON_PREFIX") or "ocf-exit-reason:"
    complain(f"{prefix}{redact(reason, environ)}")


def complain(line: str) -> None:
    """Write to standard error, if there is one and anybody still reads it: no action fails for what it cannot say."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
    except (OSError, ValueError):
        sys.stderr = None


_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
# Up to the last @: a password can hold slashes and further ones.
_USER_INFO = re.compile(r"//[^\s'\"]*@")
_SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def redact(text: str, environ: Mapping[str, str]) -> str:
    """`text` on one line, without keys, tokens, and users and passwords in URLs: the last net, not the first."""
    # What is no text in UTF-8 (any bytes can be in the environment) is shown escaped, and can be written anywhere.
    text = " ".join(_printable(text).split())
    text = _USER_INFO.sub("//***@", _ACCESS_KEY.sub("***", text))
    for name in _SECRET_VARIABLES:
        secret = environ.get(name, "").strip()
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    return text


def _printable(text: str) -> str:
    """`text` with what is no text in UTF-8 shown escaped: it can be written anywhere."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv"),
    *(f"local{number}" for number in range(8)),
)


class _Handler(logging.Handler):
    """Where Pacemaker's administrators look: syslog by HA_LOGFACILITY, the file HA_LOGFILE, else standard error."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ
        instance = _printable(environ.get("OCF_RESOURCE_INSTANCE", ""))
        self._tag = f"{AGENT}({instance})[{os.getpid()}]" if instance else f"{AGENT}[{os.getpid()}]"
        facility = environ.get("HA_LOGFACILITY", "").strip().lower()
        self._facility = "" if facility == "none" else facility
        self._file = environ.get("HA_LOGFILE", "").strip()
        self._to_stderr = not (self._facility or self._file) or _is_terminal()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line to each place; a place that cannot be written is passed over."""
        line = f"{record.levelname}: {redact(record.getMessage(), self._environ)}"
        try:
            if self._to_stderr:
                complain(line)
            if self._facility:
                self._syslog(record.levelno, line)
            if self._file:
                self._append(line)
        except Exception:  # noqa: BLE001  no action fails for what it cannot log
            self._facility = self._file = ""

    def _syslog(self, level: int, line: str) -> None:
        import syslog

        known = self._facility if self._facility in _FACILITIES else "daemon"
        facility = getattr(syslog, f"LOG_{known.upper()}", syslog.LOG_DAEMON)
        priority = {logging.DEBUG: syslog.LOG_DEBUG, logging.INFO: syslog.LOG_INFO, logging.WARNING: syslog.LOG_WARNING}
        syslog.openlog(self._tag, 0, facility)
        syslog.syslog(priority.get(level, syslog.LOG_ERR), line)

    def _append(self, line: str) -> None:
        import time

        # Without waiting: a named pipe that nobody reads would hold the agent for ever.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%b %d %H:%M:%S')} {self._tag}: {line}\n")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def set_up_logging(environ: Mapping[str, str]) -> None:
    """Send the library's log to where Pacemaker's administrators look; nobody else's log goes anywhere.

    The SDK's debug log holds requests with tokens; it has no handler, at any level.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    log.propagate = False
    log.handlers = [_Handler(environ)]
    debug = environ.get("HA_debug", "").strip().lower() not in ("", "0", "no", "false", "off")
    log.setLevel(logging.DEBUG if debug else logging.INFO)


def metadata() -> str:
    """The agent's OCF 1.1 metadata."""
    lines = [
        '<?xml version="1.0"?>',
        f'<resource-agent name="{AGENT}" version="{__version__}">',
        "<version>1.1</version>",
        f'<longdesc lang="en">{_escape(_LONGDESC)}</longdesc>',
        f'<shortdesc lang="en">{_escape(_SHORTDESC)}</shortdesc>',
        "<parameters>",
    ]
    for parameter in PARAMETERS:
        lines += _parameter(parameter)
    lines += ["</parameters>", "<actions>"]
    lines += [_action(action) for action in ACTIONS]
    return "\n".join([*lines, "</actions>", "</resource-agent>", ""])


def _parameter(parameter: Parameter) -> List[str]:
    attributes = (
        f'name="{parameter.name}" required="{int(parameter.required)}" reloadable="{int(parameter.reloadable)}"'
    )
    if parameter.unique_group:
        attributes += f' unique-group="{parameter.unique_group}"'
    default = "" if parameter.default is None else f' default="{_escape(parameter.default)}"'
    lines = [f"<parameter {attributes}>"]
    if parameter.deprecated:
        replaced = f'<replaced-with name="{parameter.replaced_with}"/>' if parameter.replaced_with else ""
        lines.append(f'<deprecated>{replaced}<desc lang="en">{_escape(parameter.longdesc)}</desc></deprecated>')
    lines += [
        f'<longdesc lang="en">{_escape(parameter.longdesc)}</longdesc>',
        f'<shortdesc lang="en">{_escape(parameter.shortdesc)}</shortdesc>',
    ]
    if parameter.content == "select":
        options = "".join(f'<option value="{mode}"/>' for mode in MODES)
        lines.append(f'<content type="select"{default}>{options}</content>')
    else:
        lines.append(f'<content type="{parameter.content}"{default}/>')
    return [*lines, "</parameter>"]


def _action(action: Action) -> str:
    extra = "" if action.interval is None else f' interval="{action.interval}s"'
    extra += "" if action.depth is None else f' depth="{action.depth}"'
    return f'<action name="{action.name}" timeout="{action.timeout}s"{extra}/>'


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


_SHORTDESC = "Moves a fixed IP address between AWS instances"
_LONGDESC = """
Moves a fixed IP address between AWS instances. Pacemaker decides where it is; this agent puts it on the active node and
makes the VPC deliver its traffic there.

overlay-ip: the address lies outside every CIDR of the VPC. Each route table in routing_table gets a route for it to the
network interface (ENI) of the active node. This works across availability zones. On every node the source/destination
check has to be off, and the credentials must allow ec2:ReplaceRoute and ec2:DescribeRouteTables (ec2:CreateRoute only
where a table does not have the route yet).

eni: a network interface that has the address is detached from the node that had it and attached to the active one,
within one availability zone. It gets a routing table of its own, so that replies leave by it.

private-ip: a secondary private address moves between the nodes' own network interfaces, within one subnet.

A monitor looks at the node itself. With OCF_CHECK_LEVEL=10 or monapi=true it also asks EC2; an EC2 that does not answer
leaves the resource running and shows it as degraded (exit code 190). Stop needs neither EC2 nor instance metadata.

Planned moves without a gap: set the meta attribute allow-migrate=true.
"""
