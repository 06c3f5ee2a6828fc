"""What one consumer has said so far: a file of one line for each question, read while it grows."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Callable, Generic, Iterator, List, Optional, TypeVar

T = TypeVar("T")
_CHUNK = 1 << 16


class Journal(Generic[T]):
    """A file to which somebody appends lines, each about a time and none much older than the lines before it.

    A line that is not complete yet is left for later; one that `parse` refuses with ValueError or KeyError is left out,
    as the last one of a process that was killed. A file that does not exist yet is empty, and one whose name ends in
    `.gz` is read as what it was before.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self._parse = parse
        self._offset = 0
        self._packed: Optional[gzip.GzipFile] = None

    def seek(self, moment: float, time_of: Callable[[T], float]) -> None:
        """Read on from the first line about `moment` or later; in the order of the lines, found by halving."""
        try:
            with self.path.open("rb") as file:
                low, high = 0, file.seek(0, os.SEEK_END)
                while high - low > _CHUNK:
                    middle = (low + high) // 2
                    file.seek(middle)
                    file.readline()
                    found = next(self._parsed(file), None)
                    if found is None or time_of(found) >= moment:
                        high = middle
                    else:
                        low = middle
                file.seek(low)
                if low:
                    file.readline()
                self._offset = file.tell()
        except FileNotFoundError:
            self._offset = 0

    def _parsed(self, file: io.BufferedReader) -> Iterator[T]:
        for line in file:
            try:
                yield self._parse(line.decode())
            except (ValueError, KeyError):
                continue

    def read(self, most: int = 1 << 30) -> List[T]:
        """The lines that have come since the last read, at most some `most` bytes of them."""
        data = self._more(most)
        end = data.rfind(b"\n") + 1
        self._offset += end
        found: List[T] = []
        for line in data[:end].splitlines():
            try:
                found.append(self._parse(line.decode()))
            except (ValueError, KeyError):
                continue
        return found

    def _more(self, most: int) -> bytes:
        if self.path.suffix == ".gz":
            if self._packed is None:
                self._packed = gzip.GzipFile(self.path)
            data = self._packed.read(most)
            return data + self._packed.readline() if data else b""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(most)
                # The rest of the line, so that a read of few bytes goes on, too.
                return data if data.endswith(b"\n") or not data else data + file.readline()
        except FileNotFoundError:
            return b""
