"""Writes the page of a run: from its record and the verdict, by the program that makes every page of the project.

    write(directory / "report.html", record_directory, verdict, About("crash-of-the-active-node"))

The program is `aws_ipfailover.report` of the agent's package: what it reads is the interface, and nothing of it is
imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Optional

from vpc_lab.errors import LabError
from vpc_lab.judge.record import Record, has_record
from vpc_lab.judge.verdict import Verdict
from vpc_lab.report.document import About, Recorded, document

NAME = "report.html"
PROGRAM = "aws_ipfailover.report"
# Seconds: an hour's record takes some ten.
_MADE_WITHIN = 300.0


def recorded_in(directory: Path) -> Optional[Recorded]:
    """The record in a directory, but for its questions; None where there is none. LabError where it cannot be read."""
    if not has_record(directory):
        return None
    record = Record(directory)
    try:
        events, operations = record.events(), record.operations()
    except (OSError, EOFError) as error:
        raise LabError(f"cannot read the record in {directory}: {error}") from error
    questions = {consumer: record.questions(consumer).absolute() for consumer in record.header.consumers}
    return Recorded(record.header, events, operations, questions)


def write(target: Path, directory: Path, verdict: Verdict, about: About) -> Path:
    """Write the page of the run whose record is in `directory`, whole or not at all; where it is.

    Also of a run that came to an end before there was a record. LabError where it cannot be written.
    """
    text = json.dumps(document(about, verdict, recorded_in(directory)))
    argv = [sys.executable, "-m", PROGRAM, str(target.absolute())]
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, encoding="utf-8", timeout=_MADE_WITHIN, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the page {target} was not made within {_MADE_WITHIN:.0f} s") from error
    except OSError as error:
        raise LabError(f"cannot run {argv[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise LabError(said[-1] if said else f"{PROGRAM} ended with {done.returncode}, and without a page")
    return target
