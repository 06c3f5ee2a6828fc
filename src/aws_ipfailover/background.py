"""Runs a program beside this process, and reads the lines that it prints while it goes on."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import tempfile
import threading
import time
from typing import Mapping, Optional, Sequence

from aws_ipfailover.errors import UnknownError

# Lines that are kept for whoever reads them; a program that prints more waits.
_LINES = 10_000
_LONGEST_LINE = 64 * 1024
# Bytes of standard error that are told.
_SAID = 4096


class Background:
    """A program that ends when its standard input does, or when it is killed; use it in a `with` block.

    It runs in a session of its own, so that Ctrl-C at the terminal is for this process alone, and in the root
    directory, so that Python finds no modules in the working directory.

    Raises:
        UnknownError: it cannot be started; half a sentence.
    """

    def __init__(self, command: Sequence[str], environ: Optional[Mapping[str, str]] = None) -> None:
        self.command = tuple(command)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by `kill`
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=environ,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise UnknownError(f"{self.command[0]}: {error.strerror or type(error).__name__}") from None
        self._lines: queue.Queue[Optional[str]] = queue.Queue(_LINES)
        self._abandoned = threading.Event()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def ended(self) -> bool:
        """Whether it has printed its last line, and that has been read here."""
        return self._ended

    def line(self, seconds: float) -> Optional[str]:
        """Its next line without the newline; `None` if none comes within so many seconds, or no more comes at all."""
        if self._ended:
            return None
        try:
            found = self._lines.get(timeout=seconds) if seconds > 0 else self._lines.get_nowait()
        except queue.Empty:
            return None
        self._ended = found is None
        return found

    def stop(self) -> None:
        """Close its standard input, which asks it to end."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def wait(self, seconds: float) -> Optional[int]:
        """Its exit code; `None` if it does not end within so many seconds. Its lines have to be read meanwhile."""
        end = time.monotonic() + seconds
        while True:
            try:
                # In steps, as every wait in which a signal may come: see `deadline.Task.ends`.
                return self._process.wait(min(0.5, max(0.0, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= end:
                    return None

    def kill(self) -> None:
        """End it at once, if it goes on, and let go of everything."""
        self._abandoned.set()
        self.stop()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._stderr.close()

    def said(self) -> str:
        """The end of what it has printed to standard error."""
        if self._stderr.closed:
            return ""
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - _SAID))
        return self._stderr.read().decode(errors="replace").strip()

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream, contextlib.suppress(OSError):
            while not self._abandoned.is_set():
                line = stream.readline(_LONGEST_LINE)
                if not line:
                    break
                self._put(line.decode(errors="replace").rstrip("\n"))
        self._put(None)

    def _put(self, line: Optional[str]) -> None:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self._lines.put(line, timeout=0.5)
                return
