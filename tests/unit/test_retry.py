"""aws/retry.py: which calls are made again, and until when, on a clock that only a pause moves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Mapping, Union

import pytest
from botocore import exceptions as sdk

from aws_ipfailover.aws.retry import Calls
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import ChangingError, DeniedError, Error, ExpiredError, ThrottledError, UnknownError


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
        self.renewals = 0

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.times.append(self.now)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return {**found, "operation": operation, **arguments}

    def renew_credentials(self) -> None:
        self.renewals += 1

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def calls(self, seconds: float = 60.0) -> Calls:
        return Calls(self, Deadline(seconds, lambda: self.now, self._sleep), self.progress)


class Dripping(Service):
    """The first call, or the renewal of credentials, never ends; clock and deadline are the real ones."""

    def __init__(self, *answers: Union[Exception, Dict[str, Any]], renewal: bool = False) -> None:
        super().__init__(*answers)
        self.renewal = renewal
        self.never = threading.Event()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        answered = super().call(operation, arguments)
        if len(self.times) == 1 and not self.renewal:
            self.never.wait()
        return answered

    def renew_credentials(self) -> None:
        self.never.wait()


EXPIRED = ["ExpiredToken", "RequestExpired", "TokenRefreshRequired"]
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
    assert str(service.progress) == "ReplaceRoute: InternalError: trouble on AWS's side, retry later (tried again)"


def test_what_is_waited_for_is_told_beside_other_calls() -> None:
    """A call that the deadline ends names its own operation, whatever another one has said last."""
    service = Dripping({})
    call = service.call

    def beside_another(operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        service.progress.text = "AssociateAddress: ServiceUnavailable"
        return call(operation, arguments)

    service.call = beside_another  # type: ignore[method-assign]
    with pytest.raises(UnknownError, match=r"^ReplaceRoute: no answer"):
        Calls(service, Deadline(0.1), service.progress)("ReplaceRoute")
    service.never.set()


def test_an_answer_that_never_ends_is_given_up_at_the_deadline() -> None:
    """A server that sends a byte now and then holds the SDK for ever, and whoever calls it not beyond the deadline."""
    service = Dripping({})
    with pytest.raises(UnknownError, match="ReplaceRoute: no answer before the operation's timeout"):
        Calls(service, Deadline(0.1), service.progress)("ReplaceRoute")
    service.never.set()


def test_an_answer_that_never_ends_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is time for it, an answer that is not complete does not cost the whole operation."""
    monkeypatch.setattr("aws_ipfailover.aws.retry.LONGEST_ANSWER", 0.05)
    service = Dripping({}, {})
    assert Calls(service, Deadline(60), service.progress)("ReplaceRoute")["operation"] == "ReplaceRoute"
    assert len(service.times) == 2
    service.never.set()


def test_credentials_that_never_come_are_given_up_at_the_deadline() -> None:
    """Whatever fetches them anew, a program of the profile for instance, ends with the operation."""
    service = Dripping(answer("ExpiredToken"), renewal=True)
    with pytest.raises(UnknownError, match="AWS credentials: no answer before the operation's timeout"):
        Calls(service, Deadline(0.1), service.progress)("ReplaceRoute")
    service.never.set()


@pytest.mark.parametrize("code", EXPIRED)
def test_expired_credentials_are_fetched_anew_once(code: str) -> None:
    """ "Credentials that expired are fetched anew once", and the call is made again at once."""
    service = Service(answer(code), {})
    assert service.calls()("ReplaceRoute")["operation"] == "ReplaceRoute"
    assert (service.renewals, service.times) == (1, [0.0, 0.0])


def test_credentials_that_are_still_too_old_are_a_denial() -> None:
    """A second refusal is final, also of a later call: nothing is fetched a second time."""
    service = Service(answer("ExpiredToken"))
    calls = service.calls()
    for _ in range(2):
        with pytest.raises(ExpiredError, match="ReplaceRoute: ExpiredToken"):
            calls("ReplaceRoute")
    assert service.renewals == 1
    assert len(service.times) == 3
    assert service.now == 0.0


def test_what_keeps_credentials_from_being_fetched_is_raised() -> None:
    """In our words, and once: the next call is refused for the credentials it has."""

    class Without(Service):
        def renew_credentials(self) -> None:
            super().renew_credentials()
            raise sdk.NoCredentialsError

    service = Without(answer("ExpiredToken"))
    calls = service.calls()
    with pytest.raises(Error, match="AWS configuration: no AWS credentials found"):
        calls("ReplaceRoute")
    with pytest.raises(ExpiredError):
        calls("ReplaceRoute")
    assert service.renewals == 1


def test_what_is_being_changed_is_waited_for() -> None:
    """ "IncorrectState while something changes is waited for", until the deadline."""
    service = Service(answer("IncorrectState"), answer("IncorrectState"), {})
    assert service.calls()("ReplaceRoute")
    assert len(service.times) == 3
    with pytest.raises(UnknownError, match="ReplaceRoute: IncorrectState: Because"):
        Service(answer("IncorrectState")).calls(5)("ReplaceRoute")


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_who_moves_an_eni_hears_at_once_that_it_is_changing(operation: str) -> None:
    """The next step depends on what it is changing to, so it is looked at before it is asked again."""
    service = Service(answer("IncorrectState"))
    with pytest.raises(ChangingError):
        service.calls()(operation)
    assert len(service.times) == 1


class Rotating:
    """A service whose credentials have just expired: all calls use the old ones, until they are fetched anew.

    `calls` of the first ones are answered together; fetching waits until `late` calls have begun meanwhile.
    """

    def __init__(self, calls: int, late: int) -> None:
        self.together = threading.Barrier(calls)
        self.late = threading.Semaphore(0)
        self.number_late = late
        self.is_renewed = False
        self.renewals = 0
        self.is_renewing = threading.Event()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.is_renewed:
            return {}
        if operation == "Late":
            self.late.release()
        elif not self.is_renewing.is_set():
            self.together.wait(30)
        raise answer("ExpiredToken")

    def renew_credentials(self) -> None:
        self.renewals += 1
        self.is_renewing.set()
        for _ in range(self.number_late):
            assert self.late.acquire(timeout=30)
        self.is_renewed = True


def test_many_calls_fetch_credentials_once() -> None:
    """As many as there are tables, each on a thread of its own: one fetches them, all of them are answered.

    Also those that begin, with the old ones, while they are being fetched.
    """
    count, late = 8, 4
    service = Rotating(count, late)
    calls = Calls(service, Deadline(60), Progress(""))
    with ThreadPoolExecutor(count + late) as pool:
        first = [pool.submit(calls, "ReplaceRoute") for _ in range(count)]
        assert service.is_renewing.wait(30)
        second = [pool.submit(calls, "Late") for _ in range(late)]
        assert [one.result(30) for one in first + second] == [{}] * (count + late)
    assert service.renewals == 1
