"""The exit reason, and the log, in the places where the shell agents of resource-agents write theirs.

Every text passes `_line` before it is written anywhere.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Callable, Dict, List, Mapping, Tuple

log = logging.getLogger("aws_ipfailover")

LONGEST_LINE = 500
"""Characters of a line; what is longer is cut."""

# Characters of Pacemaker's own variables that are shown; its ids are far shorter.
_LONGEST_NAME = 100


def exit_reason(environ: Mapping[str, str], reason: str) -> None:
    """One line on standard error that Pacemaker shows in `crm_mon` and `pcs status`."""
    prefix = environ.get("OCF_EXIT_REASON_PREFIX") or "ocf-exit-reason:"
    _to_stderr(logging.ERROR, _line(prefix[:_LONGEST_NAME] + reason, environ))


def complain(text: str, environ: Mapping[str, str]) -> None:
    """Write one line to standard error; if it is closed or broken, nothing is written and the action goes on."""
    _to_stderr(logging.ERROR, _line(text, environ))


def _line(text: str, environ: Mapping[str, str], longest: int = LONGEST_LINE) -> str:
    """`text` as it may leave this process, in at most so many characters: see `output.line`."""
    # Imported here, because a probe has nothing to tell and saves the time.
    from aws_ipfailover.output import line
    from aws_ipfailover.redaction import keep_secrets_of

    keep_secrets_of(environ)
    return line(text, longest)


def _to_stderr(_: int, text: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(text + "\n")
    except (OSError, ValueError):
        sys.stderr = None


class _Handler(logging.Handler):
    """Logs to syslog (HA_LOGFACILITY) and the file HA_LOGFILE; to standard error without both or on a terminal."""

    def __init__(self, environ: Mapping[str, str], agent: str) -> None:
        super().__init__()
        self._environ = environ
        self._agent = agent
        self._tag = ""
        facility = environ.get("HA_LOGFACILITY", "").strip().lower()
        self._facility = "" if facility == "none" else facility
        self._file = environ.get("HA_LOGFILE", "").strip()
        self._places: List[Tuple[str, Callable[[int, str], None]]] = []
        if self._facility:
            self._places.append(("syslog", self._to_syslog))
        if self._file and self._file not in ("none", os.devnull):
            self._places.append(("HA_LOGFILE", self._to_file))
        if not (self._facility or self._file) or _is_terminal():
            self._places.append(("standard error", _to_stderr))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line to each place. A place that fails is given up, and the others are told why."""
        # Whatever fails here, an action does not fail because of its log.
        try:
            text = self._line(f"{record.levelname}: {record.getMessage()}")
        except Exception as error:  # noqa: BLE001
            text = f"ERROR: a message that cannot be written, please report it ({type(error).__name__})"
        with suppress(Exception):
            self._write(record.levelno, text)

    def _write(self, level: int, text: str) -> None:
        failed: Dict[str, str] = {}
        for name, write in self._places:
            try:
                write(level, text)
            except Exception as error:  # noqa: BLE001  told below
                said = error.strerror if isinstance(error, OSError) else None
                failed[name] = said or type(error).__name__
        if not failed:
            return
        self._places = [place for place in self._places if place[0] not in failed]
        if not self._places:
            self._places = [("standard error", _to_stderr)]
            _to_stderr(level, text)
        for name, said in failed.items():
            self._write(logging.WARNING, self._line(f"WARNING: {name} is not written: {said}"))

    def _line(self, text: str) -> str:
        return _line(text, self._environ)

    def _tagged(self) -> str:
        self._tag = self._tag or tag(self._environ, self._agent)
        return self._tag

    def _to_syslog(self, level: int, text: str) -> None:
        from aws_ipfailover.ocf.syslog import send

        send(self._facility, level, f"{self._tagged()}: {text}")

    def _to_file(self, _: int, text: str) -> None:
        import time

        from aws_ipfailover.ocf.log_file import append

        append(self._file, f"{time.strftime('%b %d %H:%M:%S')} {self._tagged()}: {text}\n")


def tag(environ: Mapping[str, str], agent: str) -> str:
    """What each line of the log begins with: agent, resource and process.

    The brackets around the resource's name stand nowhere in it, so that no name reads as the rest of a line.
    """
    name = _line(environ.get("OCF_RESOURCE_INSTANCE", ""), environ, _LONGEST_NAME)
    name = name.replace("(", "\\x28").replace(")", "\\x29")
    return f"{agent}({name})[{os.getpid()}]" if name else f"{agent}[{os.getpid()}]"


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def set_up_logging(environ: Mapping[str, str], agent: str) -> None:
    """Send the library's log to the places of `_Handler`, each line with the agent's name.

    Other libraries' logs and warnings are discarded.

    The SDK's debug log contains requests with tokens, so it gets no handler at any level. Python itself would print
    tracebacks of threads and of objects at their end, which can quote anything.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(True)
    threading.excepthook = lambda failed: _note("a thread", failed.exc_type)
    sys.unraisablehook = lambda failed: _note("an object's end", failed.exc_type)
    log.propagate = False
    log.handlers = [_Handler(environ, agent)]
    debug = environ.get("HA_debug", "").strip().lower() not in ("", "0", "no", "false", "off")
    log.setLevel(logging.DEBUG if debug else logging.INFO)


def _note(where: str, kind: type[BaseException]) -> None:
    log.debug("%s failed: %s", where, kind.__name__)
