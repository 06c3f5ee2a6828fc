"""Syslog by its socket, because syslog(3) waits for ever where its reader is stopped and the socket's queue is full."""

from __future__ import annotations

import logging
import socket
import time

_SOCKET = "/dev/log"
# Seconds; a reader that is alive takes a line in a few milliseconds.
_PATIENCE = 1.0
# Numbers: RFC 3164, section 4.1.1, and sys/syslog.h.
_NAMES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv")
_FACILITIES = {
    **{name: number for number, name in enumerate(_NAMES)},
    **{f"local{number}": 16 + number for number in range(8)},
}
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4}
_ERROR = 3


def send(facility: str, level: int, text: str) -> None:
    """Send a line with its tag; an unknown facility is `daemon`. Where no syslog is, it is lost, as with syslog(3).

    Raises:
        OSError: it cannot be sent, or is not taken in time.
    """
    number = _FACILITIES.get(facility, _FACILITIES["daemon"]) * 8 + _PRIORITIES.get(level, _ERROR)
    # The names of months are English, whatever the locale: this process sets none.
    line = f"<{number}>{time.strftime('%b %e %H:%M:%S')} {text}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.settimeout(_PATIENCE)
        try:
            log.connect(_SOCKET)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        log.send(line.encode("utf-8", "backslashreplace"))
