"""Makes the page of a run: `python -m aws_ipfailover.report FILE < document.json`.

The document is that of `aws_ipfailover.report.document`; the questions are read from the files that it names. FILE is
written whole or not at all. Exit code 1, and a sentence on standard error: no page could be made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Sequence

from aws_ipfailover.errors import Error
from aws_ipfailover.report import files
from aws_ipfailover.report.document import Document, parse
from aws_ipfailover.report.lanes import Lane, lanes_of
from aws_ipfailover.report.page import page
from aws_ipfailover.report.questions import read

_USAGE = "usage: python -m aws_ipfailover.report FILE < document.json\n"


def lanes(document: Document) -> List[Lane]:
    """What the document's consumers asked. Raises `Error` where that cannot be read."""
    return [
        lane
        for one in document.consumers
        for lane in lanes_of(one.name, one.asked, read(Path(one.questions)), document.timeout, one.ahead)
    ]


def main(arguments: Sequence[str]) -> int:
    """Make the page; the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(_USAGE)
        return 2
    target = Path(arguments[0])
    try:
        document = parse(sys.stdin.buffer.read().decode("utf-8", "replace"))
        text = page(document, lanes(document))
    except (ValueError, Error) as error:
        sys.stderr.write(f"no page can be made: {error}\n")
        return 1
    try:
        files.write(target, text)
    except OSError as error:
        sys.stderr.write(f"cannot write {target}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
