"""The record of an action: one line of JSON in the agent's log, for `aws-ipfailover history` and other programs.

It begins with PREFIX, and stands last, before the exit reason. JSON in ASCII: what the log does with every line, which
is to escape what cannot be seen and to hide secrets, leaves it JSON. The log also cuts long lines: so that nothing is
left to cut, lists and the reason are shortened here.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.changes import Changes
from aws_ipfailover.ocf.environment import Environment
from aws_ipfailover.ocf.log import LONGEST_LINE
from aws_ipfailover.output import line
from aws_ipfailover.redaction import keep_secrets_of

log = logging.getLogger(__name__)

PREFIX = "record: "
VERSION = 1


class Shown(NamedTuple):
    """How much is told: so many things of a list, with how many more there are, and characters of the reason."""

    things: int
    reason: int


# The first of these with which the line is not cut. The whole reason stands in the line before.
_SHOWN = (Shown(25, 200), Shown(25, 100), *(Shown(things, 40) for things in (25, 10, 7, 5, 3, 2, 1, 0)))
_LONGEST = LONGEST_LINE - len("INFO: ")
_LONGEST_NAME = 64  # characters of a resource's, or a node's, name


class Outcome:
    """How an action has ended: its exit code and reason, and how many seconds after its process was started."""

    __slots__ = ("code", "reason", "seconds")

    def __init__(self, code: int, reason: str, seconds: float) -> None:
        self.code = code
        self.reason = reason
        self.seconds = seconds


def write_record(
    action: str,
    environ: Mapping[str, str],
    outcome: Outcome,
    mode: str,
    addresses: Sequence[object],
    changes: Changes,
) -> None:
    """Log the record of an action."""
    # Secrets are hidden before the text becomes JSON, which writes some characters in another way.
    keep_secrets_of(environ)
    fields: Dict[str, Any] = {
        "v": VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "action": action,
        "resource": line(Environment(environ).resource_id(), _LONGEST_NAME),
        "process": os.getpid(),
        "node": line(environ.get("OCF_RESKEY_CRM_meta_on_node", "").strip() or os.uname().nodename, _LONGEST_NAME),
        "mode": mode,
        "code": int(outcome.code),
        "seconds": round(outcome.seconds, 3),
    }
    text = ""
    for shown in _SHOWN:
        reason = {"reason": line(outcome.reason, shown.reason)} if outcome.reason else {}
        lists = _lists(list(map(str, addresses)), changes, shown.things)
        text = PREFIX + json.dumps({**fields, **reason, **lists}, separators=(",", ":"), ensure_ascii=True)
        if len(text) <= _LONGEST:
            break
    log.info("%s", text)


def _lists(addresses: List[str], changes: Changes, shown: int) -> Dict[str, Any]:
    """What there can be many of; empty lists are left out."""
    found = {
        "addresses": _some(addresses, shown),
        "from": _some(list(changes.sources), shown),
        "wrote": _wrote(changes, shown),
        "added": _some(changes.added, shown),
        "removed": _some(changes.removed, shown),
    }
    return {name: value for name, value in found.items() if value}


def _some(things: List[str], shown: int) -> List[str]:
    more = len(things) - shown
    return things if more <= 0 else [*things[:shown], f"{more} more"]


def _wrote(changes: Changes, shown: int) -> List[Dict[str, Any]]:
    """The writes: one entry for each call, target and destination, with what was written by its result."""
    groups: Dict[Tuple[str, str, str], Dict[str, List[str]]] = {}
    for write in changes.writes:
        results = groups.setdefault((write.operation, write.to, write.destination), {})
        results.setdefault(write.result, []).extend(write.of)
    entries: List[Dict[str, Any]] = []
    for (operation, to, destination), results in list(groups.items())[: max(1, shown)]:
        about = {"to": to, "destination": destination}
        entries.append(
            {
                "call": operation,
                **{name: value for name, value in about.items() if value},
                "results": {result: _some(of, shown) for result, of in results.items()},
            }
        )
    if len(groups) > len(entries):
        entries.append({"call": f"{len(groups) - len(entries)} more", "results": {}})
    return entries


def parse_record(said: str) -> Optional[Dict[str, Any]]:
    """The record in a line of a log; `None` if there is none that can be read."""
    _, prefix, text = said.partition(f"INFO: {PREFIX}")
    if not prefix:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("v") == VERSION else None
