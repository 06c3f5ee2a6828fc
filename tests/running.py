"""A process that a test has started: it is gone when the test is over, also when that has failed."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any, Iterator, Sequence


@contextlib.contextmanager
def running(argv: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command, with text on its streams, and wait for its end; killed where the block fails.

    `subprocess.Popen` alone would wait then as well, for ever where the test has found that it does not end.
    """
    with subprocess.Popen(argv, text=True, **streams) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
