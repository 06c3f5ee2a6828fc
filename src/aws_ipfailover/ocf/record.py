"""The record of an action: one line of JSON in the agent's log, for `aws-ipfailover history` and other programs.

It begins with PREFIX, and stands last, before the exit reason. JSON in ASCII: what the log does with every line, which
is to escape what cannot be seen and to hide secrets, leaves it JSON.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.changes import Changes
from aws_ipfailover.ocf.environment import Environment
from aws_ipfailover.ocf.log import LONGEST_RECORD

log = logging.getLogger(__name__)

PREFIX = "record: "
VERSION = 1
# Of a list so many things are told, and how many more there are; fewer where the line would be too long.
_SHOWN = (25, 5, 0)
_LONGEST_REASON = 200  # characters


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
    fields: Dict[str, Any] = {
        "version": VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "action": action,
        "resource": Environment(environ).resource_id(),
        "process": os.getpid(),
        "node": environ.get("OCF_RESKEY_CRM_meta_on_node", "").strip() or os.uname().nodename,
        "mode": mode,
        "code": int(outcome.code),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.reason:
        fields["reason"] = outcome.reason[:_LONGEST_REASON]
    text = ""
    for shown in _SHOWN:
        text = json.dumps(
            {**fields, **_lists(list(map(str, addresses)), changes, shown)}, separators=(",", ":"), ensure_ascii=True
        )
        if len(text) + len(PREFIX) < LONGEST_RECORD - 20:
            break
    log.info("%s%s", PREFIX, text, extra={"longest": LONGEST_RECORD})


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
    """The writes; those that differ only in what was written are one entry."""
    groups: Dict[Tuple[str, str, str, str], List[str]] = {}
    for write in changes.writes:
        groups.setdefault((write.operation, write.result, write.to, write.destination), []).extend(write.of)
    entries: List[Dict[str, Any]] = []
    for (operation, result, to, destination), of in list(groups.items())[: max(1, shown)]:
        entry: Dict[str, Any] = {"operation": operation, "result": result, "of": _some(of, shown)}
        if to:
            entry["to"] = to
        if destination:
            entry["destination"] = destination
        entries.append(entry)
    if len(groups) > len(entries):
        entries.append({"operation": f"{len(groups) - len(entries)} more", "result": "", "of": []})
    return entries


def parse_record(line: str) -> Optional[Dict[str, Any]]:
    """The record in a line of a log; `None` if there is none that can be read."""
    _, prefix, text = line.partition(f"INFO: {PREFIX}")
    if not prefix:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None
