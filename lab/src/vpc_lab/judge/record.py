"""The record of a run, on disk: all that a verdict is made of, so that it can be made again, and argued about.

    header.json             who took part, and what was asked for
    questions/NAME.jsonl    every question of one consumer and what became of it (`vpc_lab.traffic.question`)
    events.jsonl            what was done to the lab, what EC2 was asked, and what the scenario noted
    operations.jsonl        what Pacemaker let the agents do: a line when it begins, and a line when it is done

A file may be packed (`.jsonl.gz`). All times are wall time of one machine, in seconds since the epoch. `Record` reads
it in the order of time, with the same memory after an hour as after a minute, and also while it is being written.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from vpc_lab.errors import LabError
from vpc_lab.traffic.journal import Journal
from vpc_lab.traffic.question import Question
from vpc_lab.traffic.recorder import LATE

HEADER = "header.json"
QUESTIONS = "questions"
EVENTS = "events"
OPERATIONS = "operations"
# Stands for the exit code of an agent that Pacemaker has killed because its time was over.
TIMED_OUT = -1
_STEP = 5.0
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Header:
    """Who took part.

    `asked` maps each consumer to what it asks, and that to the service's address which it reaches: itself, but for an
    Elastic IP. `resources` maps the id of a cluster resource to the addresses that it holds. `settings`: what was
    played, as plain values.
    """

    begun: float
    nodes: Tuple[str, ...]
    asked: Mapping[str, Mapping[str, str]]
    resources: Mapping[str, Tuple[str, ...]]
    protocols: Tuple[str, ...]
    interval: float
    timeout: float
    instance_ids: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def consumers(self) -> Tuple[str, ...]:
        """Who asks."""
        return tuple(self.asked)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Header:
        """The inverse of `to_json`. ValueError, KeyError, TypeError or AttributeError if it is none."""
        raw: Dict[str, Any] = json.loads(text)
        for name in ("nodes", "protocols"):
            raw[name] = tuple(raw[name])
        raw["resources"] = {name: tuple(held) for name, held in raw["resources"].items()}
        return cls(**raw)


@dataclass(frozen=True)
class Asked:
    """A question of a consumer. `address` is the service's, also where the question went to an Elastic IP."""

    consumer: str
    address: str
    question: Question

    @property
    def time(self) -> float:
        """When the answer came about, at the earliest."""
        return self.question.not_before


@dataclass(frozen=True)
class Event:
    """Something that happened to the lab. `about` depends on `kind`, as in `Lab.events`."""

    time: float
    kind: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"time": self.time, "kind": self.kind, **self.about}, separators=(",", ":"))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Event:
        """From a dictionary of `Lab.events`. KeyError or ValueError if it is none."""
        about = {name: value for name, value in values.items() if name not in ("time", "kind")}
        return cls(float(values["time"]), str(values["kind"]), about)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The inverse of `to_json`."""
        return cls.of(_object(line))


# What brings an address to a node. A migration, which is make before break, starts on the new node with migrate_from.
STARTS = frozenset(("start", "migrate_from", "promote"))


@dataclass(frozen=True)
class Operation:
    """An operation of the cluster's on a resource: begun where `exit_code` is None, else done.

    A `monitor` comes in where its result is another one than before, a `probe` always; neither with its beginning.
    """

    time: float
    node: str
    resource: str
    action: str
    call: int
    exit_code: Optional[int] = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Operation:
        """The inverse of `to_json`. KeyError or ValueError if it is none."""
        value = _object(line)
        code = value.get("exit_code")
        return cls(
            float(value["time"]),
            str(value["node"]),
            str(value["resource"]),
            str(value["action"]),
            int(value["call"]),
            None if code is None else int(code),
        )


Item = Union[Asked, Event, Operation]


def _object(line: str) -> Dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise KeyError(f"not an object: {line.strip()!r}")
    return value


class _Source:
    """One file of a record, read up to the time `reached`."""

    def __init__(self, path: Path, parse: Callable[[str], Item]) -> None:
        self._journal: Journal[Item] = Journal(path, parse)
        self._reached = float("-inf")

    def up_to(self, moment: float) -> Iterator[Item]:
        """Everything about a time up to `moment` that has not been read yet, and something of what follows."""
        while self._reached < moment + LATE:
            items = self._journal.read(_CHUNK)
            if not items:
                return
            self._reached = max(self._reached, *map(_written, items))
            yield from items


def _written(item: Item) -> float:
    """A time that later lines of the same file are not much earlier than."""
    return item.question.sent if isinstance(item, Asked) else item.time


class Record:
    """A record as it is read: once, from the start, in the order of time. LabError where there is none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            self.header = Header.from_json((directory / HEADER).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"{directory} is no record of a run: {error}") from error
        self._sources = [
            _Source(_found(directory / QUESTIONS, consumer), self._asked_by(consumer))
            for consumer in self.header.consumers
        ]
        self._sources.append(_Source(_found(directory, EVENTS), Event.from_json))
        self._sources.append(_Source(_found(directory, OPERATIONS), Operation.from_json))
        self._waiting: List[Tuple[float, int, Item]] = []
        self._order = itertools.count()

    def _asked_by(self, consumer: str) -> Callable[[str], Item]:
        asked = self.header.asked[consumer]

        def parse(line: str) -> Item:
            question = Question.from_json(line)
            return Asked(consumer, asked.get(question.address, question.address), question)

        return parse

    def until(self, moment: float) -> Iterator[Item]:
        """What has not been returned yet, up to `moment`; while the record is written, not later than `LATE` ago."""
        for source in self._sources:
            for item in source.up_to(moment):
                heapq.heappush(self._waiting, (item.time, next(self._order), item))
        while self._waiting and self._waiting[0][0] <= moment:
            yield heapq.heappop(self._waiting)[2]

    def items(self) -> Iterator[Item]:
        """What has not been returned yet, to the end of a record that nobody writes to any more."""
        moment = self.header.begun
        while True:
            before = next(self._order)
            yield from self.until(moment)
            if not self._waiting and next(self._order) == before + 1:
                return
            moment = max([moment + _STEP, *(time for time, _, _ in self._waiting[:1])])

    def events(self) -> List[Event]:
        """All events of a record that nobody writes to any more, whatever has been returned already."""
        return Journal(_found(self.directory, EVENTS), Event.from_json).read()

    def operations(self) -> List[Operation]:
        """All operations, as `events`."""
        return Journal(_found(self.directory, OPERATIONS), Operation.from_json).read()

    def questions(self, consumer: str) -> Path:
        """The file of what a consumer asked."""
        return _found(self.directory / QUESTIONS, consumer)


def has_record(directory: Path) -> bool:
    """Whether a run has left a record there, however short."""
    return (directory / HEADER).is_file()


def _found(directory: Path, name: str) -> Path:
    packed = directory / f"{name}.jsonl.gz"
    return packed if packed.exists() else directory / f"{name}.jsonl"


class Writer:
    """Writes what is no question; consumers write those themselves, below `questions`."""

    def __init__(self, directory: Path, header: Header) -> None:
        """LabError where the directory cannot be made, or has a record already."""
        self.directory = directory
        try:
            (directory / QUESTIONS).mkdir(parents=True, exist_ok=True)
            with (directory / HEADER).open("x", encoding="utf-8") as file:
                file.write(header.to_json())
        except OSError as error:
            raise LabError(f"cannot write a record to {directory}: {error.strerror}") from error

    def add(self, *items: Union[Event, Operation]) -> None:
        """Append these; those of one kind are in order of time, or nearly."""
        for name, kind in ((EVENTS, Event), (OPERATIONS, Operation)):
            lines = [item.to_json() + "\n" for item in items if isinstance(item, kind)]
            if lines:
                with (self.directory / f"{name}.jsonl").open("a", encoding="utf-8") as file:
                    file.writelines(lines)

    def pack(self) -> None:
        """Compress the questions, some hundred bytes each, of a run that is over."""
        for path in sorted((self.directory / QUESTIONS).glob("*.jsonl")):
            with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=3) as packed:
                shutil.copyfileobj(plain, packed)
            path.unlink()
