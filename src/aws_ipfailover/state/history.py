"""What the agent has done on this node, from the records that it leaves in the node's logs.

The journal of systemd is asked where there is one, and every file is read that the agent logs to. The same record can
be in several of them, and counts once. Changes nothing.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import json
import os
import re
import time
from calendar import timegm
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from zlib import error as ZlibError  # noqa: N812

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf.durations import timeout_seconds
from aws_ipfailover.ocf.record import PREFIX, parse_record

FILES = ("/var/log/pacemaker/pacemaker.log", "/var/log/pacemaker.log", "/var/log/messages", "/var/log/syslog")
"""Where the agent's log ends up, beside HA_LOGFILE: Pacemaker's log file, and those of syslog's daemons."""

_DAY = 86_400.0
# What journalctl says, and ends with 0, where it shows nothing of the system, and what that means here. Facts: systemd,
# journal-util.c; the second was seen with 252.
_HINTS = {
    "not seeing messages from": "it shows this user nothing of the system: run this as root",
    "No journal files were": "there are no journal files",
}
_MARK = PREFIX.encode()


class Write(NamedTuple):
    """Calls of EC2 of one kind; `of`: tables, addresses and other things written; `result`: ok, or EC2's error code.

    `to`: an ENI or instance; `destination`: a route's, or a private address; both can be empty.
    """

    operation: str
    result: str
    of: Tuple[str, ...]
    to: str
    destination: str


class Event(NamedTuple):
    """One action: `at`, seconds of the epoch, is when it ended; `seconds` that it took. `code`: its exit code.

    `came_from`: the ENIs or instances that had the addresses before, as far as the agent saw. `added`, `removed`: an
    address and its network interface each.
    """

    at: int
    action: str
    resource_id: str
    node: str
    mode: str
    addresses: Tuple[str, ...]
    code: int
    seconds: float
    reason: str
    came_from: Tuple[str, ...]
    wrote: Tuple[Write, ...]
    added: Tuple[str, ...]
    removed: Tuple[str, ...]


class Source(NamedTuple):
    """A log; `error` says why it could not be read, and is empty if it was."""

    name: str
    error: str


class History(NamedTuple):
    """The events, newest last, and where they are from."""

    events: Tuple[Event, ...]
    sources: Tuple[Source, ...]


def since_of(text: str, now: float) -> float:
    """Seconds of the epoch that `--since` means: `2h`, `30min`, `7d` before now, or a date, with or without a time.

    Raises:
        ParameterError: it is none of these.
    """
    stripped = text.strip()
    days = re.fullmatch(r"([0-9]{1,9}) ?d(ays?)?", stripped)
    ago = int(days[1]) * _DAY if days else timeout_seconds(stripped)
    if ago is not None and not _is_date(stripped):
        return now - ago
    try:
        # Without a zone: this node's own. A year that this system has no time for is an error of any of these kinds.
        return datetime.fromisoformat(stripped.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ParameterError(f"--since {text!r} is wrong, expected 2h, 30min, 7d, or 2026-11-29 10:00") from None


def _is_date(text: str) -> bool:
    return text[4:5] == "-"


def read(environ: Mapping[str, str], since: float, deadline: Deadline, files: Sequence[str] = FILES) -> History:
    """The events since then, from every log of this node.

    Raises:
        UnknownError: there is no log that can be read.
    """
    found: Dict[str, Event] = {}
    sources: List[Source] = []
    journal = programs.find("journalctl")
    if journal is not None:
        try:
            _add(_journal(journal, since, deadline), since, found)
            sources.append(Source("journalctl", ""))
        except UnknownError as error:
            sources.append(Source("journalctl", str(error)))
    own = environ.get("HA_LOGFILE", "").strip()
    for path in dict.fromkeys([*([own] if own and own not in ("none", os.devnull) else []), *files]):
        try:
            found_here = _with_rotated(path)
        except OSError as error:
            sources.append(Source(path, error.strerror or type(error).__name__))
            continue
        for one in found_here:
            try:
                if os.stat(one).st_mtime >= since:
                    _add(_lines(one), since, found)
                sources.append(Source(one, ""))
            except (OSError, EOFError, ZlibError) as error:
                sources.append(Source(one, getattr(error, "strerror", None) or type(error).__name__))
    if not any(not source.error for source in sources):
        said = "; ".join(f"{source.name}: {source.error}" for source in sources)
        raise UnknownError(f"no log of this node can be read{f' ({said})' if said else ''}")
    return History(tuple(sorted(found.values(), key=lambda event: event.at)), tuple(sources))


def of_resource(history: History, resource_id: str) -> History:
    """The events of one resource alone."""
    return history._replace(events=tuple(one for one in history.events if one.resource_id == resource_id))


def _add(lines: Iterable[str], since: float, found: Dict[str, Event]) -> None:
    for line in lines:
        record = parse_record(line)
        event = None if record is None else event_of(record)
        if event is not None and event.at >= since:
            found[json.dumps(record, sort_keys=True)] = event


def event_of(record: Mapping[str, Any]) -> Optional[Event]:
    """A record as an event; `None` if it is not of the expected shape."""
    try:
        return Event(
            timegm(time.strptime(record["at"], "%Y-%m-%dT%H:%M:%SZ")),
            str(record["action"]),
            str(record.get("resource", "")),
            str(record.get("node", "")),
            str(record.get("mode", "")),
            _texts(record.get("addresses", ())),
            int(record["code"]),
            float(record["seconds"]),
            str(record.get("reason", "")),
            _texts(record.get("from", ())),
            tuple(write for one in record.get("wrote", ()) for write in _writes(one)),
            _texts(record.get("added", ())),
            _texts(record.get("removed", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _writes(entry: Mapping[str, Any]) -> Iterator[Write]:
    call, to, destination = (str(entry.get(name, "")) for name in ("call", "to", "destination"))
    for result, of in dict(entry["results"]).items() or [("", ())]:
        yield Write(call, str(result), _texts(of), to, destination)


def _texts(things: Iterable[object]) -> Tuple[str, ...]:
    return tuple(map(str, things))


# -- logs -----------------------------------------------------------------------------------------------------------


def _journal(program: str, since: float, deadline: Deadline) -> Iterator[str]:
    """The messages of the agents in systemd's journal.

    Their identifiers are AGENT(RESOURCE), each another one, and a filter takes whole identifiers only: so these are
    asked for first.
    """
    # Not with --quiet, which leaves the hint out that the system's messages are not shown.
    known = _ask([program, "--field=SYSLOG_IDENTIFIER"], deadline).splitlines()
    names = [name for name in known if "(" in name and name.endswith(")")]
    if not names:
        return
    chosen = [part for name in names for part in ("--identifier", name)]
    arguments = [f"--since=@{max(0, int(since))}", "--output=json", "--all", "--no-pager", "--quiet", *chosen]
    for line in _ask([program, *arguments], deadline).splitlines():
        if PREFIX not in line:
            continue
        try:
            message = json.loads(line).get("MESSAGE")
        except (ValueError, AttributeError):
            continue
        if isinstance(message, str):
            yield message


def _ask(command: List[str], deadline: Deadline) -> str:
    done = programs.run(command, deadline.remaining(), {**os.environ, "LC_ALL": "C"})
    if done.returncode != 0:
        raise UnknownError(f"fails ({done.returncode}): {done.stderr.strip()[:200]}")
    for hint, means in _HINTS.items():
        if hint in done.stderr:
            raise UnknownError(means)
    return done.stdout


def _with_rotated(path: str) -> List[str]:
    """A log file, and what logrotate has made of its older parts; empty if it is not there.

    Raises:
        OSError: whether it is there cannot be found out: only root may look into Pacemaker's directory.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the older parts can be there
        os.stat(path)
    found = [one for one in glob.glob(f"{glob.escape(path)}*") if one == path or one[len(path)] in ".-"]
    return sorted(found)


def _lines(path: str) -> Iterator[str]:
    """The lines of a log file, also a compressed one, that can have a record."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        for line in file:
            if _MARK in line:
                yield line.decode("utf-8", "replace")
