"""Writes many routes in parallel, and tells of those that failed in few sentences."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.deadline import NO_ANSWER, Deadline, Task
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError

if TYPE_CHECKING:
    from aws_ipfailover.deadline import Progress

# Routes of one `add` that are written at the same time, at most.
MOST_PARALLEL = 256
# Stand in the text of a failure for table and destination, so that the same failure of many routes has one text.
TABLE, DESTINATION = "{table}", "{destination}"
_SHOWN = 3  # destinations that a sentence names

RouteId = Tuple[str, Cidr]  # a table's id, and the destination of a route in it


class RouteWrites:
    """Writes routes by `write`, each on a thread of its own as long as they are not too many."""

    def __init__(self, write: Callable[[RouteId], None]) -> None:
        self.routes: List[RouteId] = []
        self._write = write
        self._waiting: Deque[RouteId] = deque()
        self._workers: List[Task[None]] = []
        self._outcomes: Dict[RouteId, Optional[Error]] = {}

    def add(self, routes: Iterable[RouteId]) -> None:
        """Begin to write these too."""
        known = set(self.routes)
        new = [route for route in dict.fromkeys(routes) if route not in known]
        self.routes += new
        self._waiting.extend(new)
        # Workers of an earlier call cannot be counted on: they end when nothing is waiting.
        self._workers += [Task(self._work) for _ in new[:MOST_PARALLEL]]

    def failures(self, deadline: Deadline, progress: Progress) -> Dict[RouteId, Error]:
        """Wait for the writes; returns those that failed, or have no outcome at the deadline."""
        for worker in self._workers:
            worker.ends(deadline)
        outcomes = dict(self._outcomes)
        # The progress is that of the call that was tried again last, which can be a read beside the writes.
        tried = str(progress)
        what = tried if tried.startswith(("ReplaceRoute: ", "CreateRoute: ")) else "ReplaceRoute"
        unknown = UnknownError(f"{what}: {NO_ANSWER}")
        failed = ((route, outcomes.get(route, unknown)) for route in self.routes)
        return {route: error for route, error in failed if error is not None}

    def _work(self) -> None:
        while True:
            try:
                route = self._waiting.popleft()
            except IndexError:
                return
            try:
                self._write(route)
            except Error as error:
                self._outcomes[route] = error
            else:
                self._outcomes[route] = None


def sentences(failures: Mapping[RouteId, Error], destinations: int) -> List[str]:
    """One sentence for each different failure, with all tables that have it; each table has so many destinations."""
    routes: Dict[str, List[RouteId]] = {}
    for route, error in failures.items():
        routes.setdefault(str(error), []).append(route)
    return [_sentence(some, error, destinations) for error, some in routes.items()]


def summary(failures: Mapping[RouteId, Error], destinations: int) -> Error:
    """One error for routes that all failed: of the kind that they have in common, else an `Error`."""
    text = "; ".join(sentences(failures, destinations))
    for kind in (DeniedError, NodeError, UnknownError):
        if all(isinstance(error, kind) for error in failures.values()):
            return kind(text)
    return Error(text)


def named(routes: Iterable[RouteId], destinations: int) -> List[str]:
    """The tables of routes, and which of their destinations where these are not all."""
    cidrs: Dict[str, List[str]] = {}
    for table, cidr in routes:
        cidrs.setdefault(table, []).append(str(cidr))
    return [table if len(some) >= destinations else f"{table} for {few(some)}" for table, some in cidrs.items()]


def few(texts: Sequence[str]) -> str:
    """The first ones, and how many there are beside them."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _sentence(routes: Sequence[RouteId], error: str, destinations: int) -> str:
    """The sentence for one failure: first table and cause come first, as crm_mon cuts long texts."""
    first, *others = named(routes, destinations)
    error = error.replace(TABLE, routes[0][0]).replace(DESTINATION, str(routes[0][1]))
    if not others:
        return f"{first}: {error}"
    return f"{first} and {len(others)} more: {error} ({', '.join(others)})"
