"""Reads the questions of a consumer: a file with a line for each (`aws_ipfailover.watch.question`), plain or packed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, Iterator, Union

from aws_ipfailover.errors import Error
from aws_ipfailover.watch.question import Question


def read(path: Path) -> Iterator[Question]:
    """The questions in the order of their lines; a line that is none, as the last of a process that was killed, is not.

    A file that is not there is one of a consumer that asked nothing.

    Raises:
        Error: it cannot be read.
    """
    try:
        with _opened(path) as lines:
            for line in lines:
                try:
                    yield Question.from_json(line.decode())
                except (ValueError, KeyError, TypeError):
                    continue
    except FileNotFoundError:
        return
    except (OSError, EOFError, zlib.error) as error:
        raise Error(f"cannot read the questions in {path}: {getattr(error, 'strerror', None) or error}") from None


def _opened(path: Path) -> Union[IO[bytes], gzip.GzipFile]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
