"""Reads that several checks share: each is made once, on a thread of its own, however many checks ask for it."""

from __future__ import annotations

from threading import Lock
from typing import Any, Callable, Dict, TypeVar

from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.diagnosis.finding import NotAskedError
from aws_ipfailover.errors import Error

T = TypeVar("T")


class Reads:
    """Results by name; safe to use from many threads."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._lock = Lock()
        self._tasks: Dict[str, Task[Any]] = {}

    def get(self, name: str, work: Callable[[], T]) -> T:
        """What `work` returns or raises, of the first call with this name.

        Raises:
            UnknownError: no result before the deadline; the text has the name.
        """
        with self._lock:
            task: Task[T] = self._tasks.get(name) or Task(work)
            self._tasks[name] = task
        return task.result(self._deadline, name)

    def after(self, check: str, name: str, work: Callable[[], T]) -> T:
        """The same of a read that is the matter of another check.

        Raises:
            NotAskedError: it fails; the check tells why.
        """
        try:
            return self.get(name, work)
        except NotAskedError:
            raise
        except Error:
            raise NotAskedError(check) from None
