"""aws/retry.py: which calls are made again, and until when, on a clock that only a pause moves."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Union

import pytest
from botocore import exceptions as sdk

from aws_ipfailover.aws.retry import Calls
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import DeniedError, Error, ThrottledError, UnknownError


def answer(code: str) -> sdk.ClientError:
    """An error that EC2 answers with."""
    response: Any = {"Error": {"Code": code, "Message": "Because."}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return sdk.ClientError(response, "ReplaceRoute")


class Service:
    """Answers with what it is given, the last of it for ever; the clock moves only where a deadline waits."""

    def __init__(self, *answers: Union[Exception, Dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.times: List[float] = []
        self.progress = Progress("")

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.times.append(self.now)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return {**found, "operation": operation, **arguments}

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def calls(self, seconds: float = 60.0) -> Calls:
        return Calls(self, Deadline(seconds, lambda: self.now, self._sleep), self.progress)


BROKEN = sdk.EndpointConnectionError(endpoint_url="https://ec2")


def test_an_answer_is_handed_over() -> None:
    """With what was asked, and without a second call."""
    service = Service({"Return": True})
    assert service.calls()("ReplaceRoute", RouteTableId="rtb-1") == {
        "Return": True,
        "operation": "ReplaceRoute",
        "RouteTableId": "rtb-1",
    }
    assert service.times == [0.0]


@pytest.mark.parametrize("failure", [BROKEN, answer("InternalError"), answer("RequestLimitExceeded")])
def test_what_may_pass_is_tried_again(failure: Exception) -> None:
    """A broken connection, a fault of the server, too many calls: until there is an answer."""
    service = Service(failure, failure, failure, {})
    assert service.calls()("ReplaceRoute")["operation"] == "ReplaceRoute"
    assert len(service.times) == 4
    assert sorted(set(service.times)) == service.times


@pytest.mark.parametrize(
    ("failure", "kind"), [(answer("UnauthorizedOperation"), DeniedError), (answer("RouteLimitExceeded"), Error)]
)
def test_what_will_not_pass_is_raised_at_once(failure: Exception, kind: type) -> None:
    """A denial or a limit is the same a moment later."""
    service = Service(failure, {})
    with pytest.raises(kind, match="ReplaceRoute: "):
        service.calls()("ReplaceRoute")
    assert service.times == [0.0]


@pytest.mark.parametrize(
    ("failure", "kind"), [(BROKEN, UnknownError), (answer("RequestLimitExceeded"), ThrottledError)]
)
def test_tries_end_before_the_deadline(failure: Exception, kind: type) -> None:
    """The last failure is raised, and nothing is asked after the deadline."""
    service = Service(failure)
    with pytest.raises(kind, match="ReplaceRoute"):
        service.calls(10)("ReplaceRoute")
    assert len(service.times) > 3
    assert service.now < 10


def test_what_is_waited_for_is_told() -> None:
    """Whoever gives up waiting can say what the last answer was."""
    service = Service(answer("InternalError"))
    with pytest.raises(UnknownError):
        service.calls(5)("ReplaceRoute")
    assert str(service.progress) == "ReplaceRoute: InternalError, tried again"
