"""Standard output and error for commands that go on to their end when nobody reads them any more, as behind `| head`.

The exit code is an answer by itself, and what a drill has moved has to be moved back: an error of a write must not end
that. Commands that would go on for ever ask `is_unread`.
"""

from __future__ import annotations

import io
import os
import sys

_NAMES = ("stdout", "stderr")


class _Patient(io.TextIOWrapper):
    """A stream; once its reader is gone, what is written to it is dropped."""

    unread = False

    def write(self, text: str) -> int:
        """As `TextIOWrapper`, but for a reader that is gone."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """As `write`."""
        try:
            super().flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        """Let all that is still to be written go nowhere."""
        self.unread = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def outlast_readers() -> None:
    """Replace standard output and error for the rest of this process, unless somebody else has done so."""
    for name in _NAMES:
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue
        stream.flush()
        made = _Patient(
            stream.buffer,
            stream.encoding,
            stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, made)


def is_unread() -> bool:
    """Whether nobody reads standard output any more, as far as a write has shown it."""
    return isinstance(sys.stdout, _Patient) and sys.stdout.unread
