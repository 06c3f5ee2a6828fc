"""Calls of an AWS service, with retries until the deadline."""

from __future__ import annotations

import logging
import threading
from typing import Any, Mapping, Protocol

from aws_ipfailover.aws.errors import translate
from aws_ipfailover.aws.throttling import Throttle
from aws_ipfailover.changes import changes
from aws_ipfailover.deadline import NO_ANSWER, Deadline, Progress, Task
from aws_ipfailover.errors import Error, ExpiredError, ThrottledError, UnknownError

log = logging.getLogger(__name__)

# Seconds of backoff between two tries. The first is short: usually a single call among hundreds fails.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0
# Seconds after which an incomplete answer is given up, and the call made again: a server that sends a byte now and then
# keeps the SDK's own timeouts from ever passing.
LONGEST_ANSWER = 20.0


class Service(Protocol):
    """A service of AWS: `call` makes one request and raises what the SDK raises."""

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to one request."""

    def renew_credentials(self) -> None:
        """Fetch credentials anew; further requests use them."""


class Calls:
    """Calls of one service; safe to use from many threads.

    Throttled calls queue and are sent one by one; server errors and broken connections are retried with backoff and
    jitter; both until the deadline. `progress` gets the name of the operation that is being waited for.
    """

    def __init__(self, service: Service, deadline: Deadline, progress: Progress) -> None:
        self._service = service
        self._deadline = deadline
        self._progress = progress
        self._throttle = Throttle()
        self._renewing = threading.Lock()
        self._renewed = False

    @property
    def deadline(self) -> Deadline:
        """The deadline of all calls and their retries."""
        return self._deadline

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """The answer to `operation`.

        Raises:
            errors.Error: starts with the operation and carries AWS's error code; `UnknownError` if there is no
                usable answer before the deadline.
        """
        write = changes.begin(operation, arguments)
        try:
            answer = self._with_retries(operation, arguments)
        except Error as error:
            if write is not None:
                write.failed(str(error))
            raise
        if write is not None:
            write.done()
        return answer

    def _with_retries(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        poll, queued = self._deadline.poll(first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, factor=2), False
        # What is told where the deadline ends this call: other calls run beside it, and say theirs in `_progress`.
        said = Progress(operation)
        self._progress.text = operation
        while True:
            renewed = self._renewed
            try:
                answer = self._answer(operation, arguments, said)
            except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
                failure = translate(operation, error)
            else:
                if queued:
                    self._throttle.accepted()
                return answer
            if isinstance(failure, ExpiredError) and not renewed:
                self._renew(failure)
                continue
            if not isinstance(failure, UnknownError):
                raise failure
            if NO_ANSWER not in str(failure):  # which is said of the last call anyway
                said.text = self._progress.text = f"{failure} (tried again)"
            log.debug("%s; trying again", failure)
            if isinstance(failure, ThrottledError):
                if queued:
                    self._throttle.refused()
                queued = self._throttle.turn(self._deadline)
                if not queued:
                    raise failure
            elif not poll.wait():
                raise failure

    def _answer(self, operation: str, arguments: Mapping[str, Any], said: Progress) -> Mapping[str, Any]:
        """The answer to one request; `UnknownError` where it is not complete in time."""
        request = Task(lambda: self._service.call(operation, arguments))
        if not request.ends(self._deadline.within(LONGEST_ANSWER)) and not self._deadline.expired:
            raise UnknownError(f"{operation}: no complete answer in {LONGEST_ANSWER:.0f} s")
        return request.result(self._deadline, said)

    def _renew(self, failure: ExpiredError) -> None:
        """Renew the credentials; only the first of all calls that find them expired does so."""
        with self._renewing:
            if self._renewed:
                return
            log.info("%s; fetching credentials anew", failure)
            try:
                Task(self._service.renew_credentials).result(self._deadline, "AWS credentials")
            except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
                raise translate("AWS configuration", error) from None
            finally:
                # Set last: a call that begins during the renewal uses the old credentials and has to be retried.
                self._renewed = True
