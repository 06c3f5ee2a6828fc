"""The doctor's findings on a node of the cluster, by its command: a drill begins with them."""

from __future__ import annotations

import json
from typing import List, NamedTuple, Sequence

from aws_ipfailover import programs
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.output import printable

# Seconds, beside those in which the doctor itself has to be done.
_PATIENCE = 45.0
FAIL, WARN, PASS, UNKNOWN = "fail", "warn", "pass", "unknown"


class Finding(NamedTuple):
    """One finding; `outcome`: pass, warn, fail or unknown. `remedy`: what to do about it; can be empty."""

    outcome: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


def findings(program: Sequence[str], resource_id: str) -> List[Finding]:
    """What the doctor finds about the resource, without what passes. `program`: runs `aws-ipfailover` on a node.

    Raises:
        UnknownError: the doctor cannot be asked at all, so that it is not known whether anything is wrong.
    """
    try:
        # Not in this process's directory, where `python -m` would find modules that somebody else has put there.
        done = programs.run([*program, "doctor", resource_id, "--json"], _PATIENCE, folder="/")
    except UnknownError as error:
        raise UnknownError(f"the doctor cannot be asked: {program[0]}: {error}") from None
    try:
        return parse(done.stdout)
    except UnknownError as error:
        said = printable(done.stderr)[-300:]
        raise UnknownError(f"the doctor cannot be asked: {said or error}") from None


def parse(text: str) -> List[Finding]:
    """The findings in a document of `aws-ipfailover doctor --json`, without what passes, each once.

    Raises:
        UnknownError: it is none.
    """
    try:
        document = json.loads(text)
        found = [
            Finding(str(one["outcome"]), printable(str(one["text"])), printable(str(one.get("remedy") or "")))
            for report in document["reports"]
            for one in report["findings"]
        ]
    except (KeyError, TypeError, ValueError):
        raise UnknownError("what it prints is no document of the doctor") from None
    # Checks that were not made because of another one say the same.
    return [one for one in dict.fromkeys(found) if one.outcome != PASS]
