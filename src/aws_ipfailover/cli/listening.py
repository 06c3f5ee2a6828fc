"""What the library's log says while a command runs; nothing of other libraries' logs, which can quote requests."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import Callable, Iterator

from aws_ipfailover.output import line

_LIBRARY = logging.getLogger("aws_ipfailover")
# The log's texts can name several tables.
_LONGEST = 2000


class _Ear(logging.Handler):
    def __init__(self, hear: Callable[[int, str], None]) -> None:
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.levelno, line(record.getMessage(), _LONGEST))


@contextmanager
def listening(hear: Callable[[int, str], None], level: int = logging.WARNING) -> Iterator[None]:
    """Hand each text of the library's log, from `level` on, to `hear`, with its level; by any thread."""
    logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(True)
    threading.excepthook = lambda _: None  # a traceback can quote anything
    ear, before = _Ear(hear), (_LIBRARY.level, _LIBRARY.propagate)
    _LIBRARY.addHandler(ear)
    _LIBRARY.setLevel(level)
    _LIBRARY.propagate = False
    try:
        yield
    finally:
        _LIBRARY.removeHandler(ear)
        _LIBRARY.level, _LIBRARY.propagate = before
