"""What Pacemaker let the agents do on a node, read from its log while it grows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional, Union

from vpc_lab.judge.record import TIMED_OUT, Event, Operation
from vpc_lab.judge.timeline import MONTHS, QUARTER, STAMP, told_time

_BEGINS = re.compile(r"executing - rsc:(\S+) action:(\w+) call_id:(\d+)")
# Of a fence device's operations, which are no process of the daemon's own, without a PID.
_DONE = re.compile(r"\b(\S+) (\w+) \(call (\d+)(?:, PID \d+)?\) exited with status (\d+) ")
# Of monitors the daemon that runs them says nothing, and the one that asked for them what they found, where it is new.
_RESULT = re.compile(r"Result of (monitor|probe) operation for (\S+) on \S+: .*; call=(\d+) key=\S+ rc=(\d+)")
_TIMED_OUT = re.compile(r"Result of (\w+) operation for (\S+) on \S+: Timed Out .*; call=(\d+) ")
_FENCED = re.compile(r"finalize_op\S*\s+\w+: Operation '(\w+)' targeting (\S+) by (\S+) for \S+: (\w+)")
_WANTED = re.compile(r"Requesting peer fencing \((\w+)\) targeting (\S+)")
# Every daemon of Pacemaker tells of members; the controller acts on it.
_MEMBER = re.compile(r"pacemaker-controld .*: Node (\S+) state is now (\w+)")
_QUORUM = re.compile(r"pacemaker-controld .*: Quorum (acquired|lost)\b")
LOG = "var/log/pacemaker/pacemaker.log"


def said(line: str, node: str, shift: float) -> Optional[Union[Operation, Event]]:
    """What a line of Pacemaker 2.1's log on `node` says; `shift` is what its local time lacks (see `Log`)."""
    stamp = STAMP.match(line)
    if stamp is None or stamp[1] not in MONTHS:
        return None
    when, words = told_time(stamp) + shift, stamp[7]
    found = _BEGINS.search(words)
    if found is not None:
        return Operation(when, node, found[1], found[2], int(found[3]))
    found = _DONE.search(words)
    if found is not None:
        return Operation(when, node, found[1], found[2], int(found[3]), int(found[4]))
    found = _RESULT.search(words)
    if found is not None:
        return Operation(when, node, found[2], found[1], int(found[3]), int(found[4]))
    found = _TIMED_OUT.search(words)
    if found is not None:
        return Operation(when, node, found[2], found[1], int(found[3]), TIMED_OUT)
    found = _FENCED.search(words)
    if found is not None:
        about = {"node": node, "action": found[1], "target": found[2], "by": found[3], "outcome": found[4]}
        return Event(when, "fencing", about)
    return _of_the_cluster(when, words, node)


def _of_the_cluster(when: float, words: str, node: str) -> Optional[Event]:
    """What a node sees of the others; it tells the story, and nothing is judged by it."""
    found = _WANTED.search(words)
    if found is not None:
        return Event(when, "fencing-wanted", {"node": node, "action": found[1], "target": found[2]})
    found = _MEMBER.search(words)
    if found is not None:
        return Event(when, "membership", {"node": node, "of": found[1], "state": found[2]})
    found = _QUORUM.search(words)
    return None if found is None else Event(when, "quorum", {"node": node, "state": found[1]})


class Log:
    """Pacemaker's log on one node: `read` returns what has come since the last time.

    Its lines have local time without year and zone. Both are multiples of 15 minutes away from the time at which the
    file was last written, which is that of its last line, and stay as they are for the length of a run.
    """

    def __init__(self, path: Path, node: str) -> None:
        self._path = path
        self._node = node
        self._offset = 0
        self._shift: Optional[float] = None

    def read(self) -> List[Union[Operation, Event]]:
        """Nothing where there is no such file, as before the first boot."""
        try:
            # Who runs in the instance may have put a link there, which leads elsewhere out here.
            if self._path.is_symlink():
                return []
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
                written = self._path.stat().st_mtime
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        lines = data[:end].decode("utf-8", "replace").splitlines()
        if self._shift is None:
            stamps = [stamp for stamp in map(STAMP.match, lines) if stamp is not None and stamp[1] in MONTHS]
            if not stamps:
                return []
            self._shift = round((written - told_time(stamps[-1])) / QUARTER) * QUARTER
        found = (said(line, self._node, self._shift) for line in lines)
        return [one for one in found if one is not None]
