"""What process 1 of an instance is told: its file system, its environment, its services."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Service:
    """A program that process 1 starts and stops; it stays in the foreground.

    `ready` is a command polled until it exits 0 before the next service starts. `stop` is a command that asks the
    program to end (without one it gets SIGTERM); process 1 then waits for its end, however long that takes. `panic` is
    the exit code by which the program says that nothing may run on here: process 1 then ends, and all else with it.
    One that has a `unit` is started by `systemctl`, and at boot if that has enabled it (see `units`).
    """

    argv: Tuple[str, ...]
    ready: Tuple[str, ...] = ()
    ready_within: float = 15.0
    stop: Tuple[str, ...] = ()
    panic: Optional[int] = None
    unit: str = ""


@dataclass(frozen=True)
class Boot:
    """What an instance is made of.

    `root` is an empty directory to put the file system together at, `etc` the directory that is seen as /etc, `shown`
    lists what is seen of the host in its own place, parents before children. `directories` and `files` map a path
    inside to the private file that is seen there; a target the host does not have is left out. `memory` lists
    directories that start empty at each boot, `make` those that are made in them, with their modes.
    """

    hostname: str
    root: str
    etc: str
    shown: Tuple[str, ...]
    directories: Mapping[str, str]
    files: Mapping[str, str]
    memory: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict)
    make: Mapping[str, int] = field(default_factory=dict)
    services: Tuple[Service, ...] = ()

    def to_json(self) -> str:
        """The boot file's text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Boot:
        """The inverse of `to_json`."""
        raw: Dict[str, Any] = json.loads(text)
        raw["services"] = tuple(
            Service(**{**one, **{name: tuple(one[name]) for name in ("argv", "ready", "stop")}})
            for one in raw["services"]
        )
        raw["shown"] = tuple(raw["shown"])
        return cls(**raw)
