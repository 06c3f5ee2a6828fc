"""The exit reason, and the log, in the places where the shell agents of resource-agents write theirs."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Mapping

from aws_ipfailover.ocf import AGENT
from aws_ipfailover.redaction import without_secrets

log = logging.getLogger("aws_ipfailover")


def exit_reason(environ: Mapping[str, str], reason: str) -> None:
    """One line on standard error that Pacemaker shows in `crm_mon` and `pcs status`."""
    prefix = environ.get("OCF_EXIT_REASON_PREFIX") or "ocf-exit-reason:"
    complain(f"{prefix}{redact(reason, environ)}")


def complain(line: str) -> None:
    """Write to standard error; if it is closed or broken, nothing is written and the action goes on."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
    except (OSError, ValueError):
        sys.stderr = None


_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
# Up to the last @, because a password can contain slashes and further @.
_USER_INFO = re.compile(r"//[^\s'\"]*@")
_SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def redact(text: str, environ: Mapping[str, str]) -> str:
    """`text` on one line, without keys, tokens, and users and passwords in URLs: the last net, not the first."""
    text = _one_line(text)
    text = _USER_INFO.sub("//***@", _ACCESS_KEY.sub("***", text))
    for name in _SECRET_VARIABLES:
        secret = environ.get(name, "").strip()
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    return without_secrets(text)


def _one_line(text: str) -> str:
    """`text` on one line, with what cannot be printed shown escaped: it can be written anywhere.

    Any bytes can be in the environment, and in an answer characters that a terminal obeys or that turn its text round.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv"),
    *(f"local{number}" for number in range(8)),
)


class _Handler(logging.Handler):
    """Logs to syslog (HA_LOGFACILITY) and the file HA_LOGFILE; to standard error without both or on a terminal."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ
        instance = _one_line(environ.get("OCF_RESOURCE_INSTANCE", ""))
        self._tag = f"{AGENT}({instance})[{os.getpid()}]" if instance else f"{AGENT}[{os.getpid()}]"
        facility = environ.get("HA_LOGFACILITY", "").strip().lower()
        self._facility = "" if facility == "none" else facility
        self._file = environ.get("HA_LOGFILE", "").strip()
        self._to_stderr = not (self._facility or self._file) or _is_terminal()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line to each place; after a failure only standard error is used."""
        line = f"{record.levelname}: {redact(record.getMessage(), self._environ)}"
        try:
            if self._to_stderr:
                complain(line)
            if self._facility:
                self._syslog(record.levelno, line)
            if self._file:
                self._append(line)
        except Exception:  # noqa: BLE001  an action does not fail because of its log
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

        # O_NONBLOCK: to open a named pipe without a reader would block the agent for ever.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%b %d %H:%M:%S')} {self._tag}: {line}\n")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def set_up_logging(environ: Mapping[str, str]) -> None:
    """Send the library's log to the places of `_Handler`; other libraries' logs are discarded.

    The SDK's debug log contains requests with tokens, so it gets no handler at any level.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    log.propagate = False
    log.handlers = [_Handler(environ)]
    debug = environ.get("HA_debug", "").strip().lower() not in ("", "0", "no", "false", "off")
    log.setLevel(logging.DEBUG if debug else logging.INFO)
