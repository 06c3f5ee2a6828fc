"""What a check of the doctor is, and what it finds."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.errors import UnknownError

if TYPE_CHECKING:
    from aws_ipfailover.diagnosis.surroundings import Surroundings

Command = Tuple[str, ...]


class Outcome(enum.Enum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105  no password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Fix(NamedTuple):
    """Something that this command can do about a finding; `does`: what, as an order.

    `apply` makes one call of EC2, and raises `errors.Error` if it is refused.
    """

    does: str
    apply: Callable[[], None]


class Finding(NamedTuple):
    """What a check found.

    `text`: one sentence with the values that were found. `remedy`: what to do about it, a sentence; `commands`: how,
    each as the list of its arguments. `counts`: whether it decides about the outcome of all. `check`, `title` and
    `area` are the check's own, and are filled in by the examination.
    """

    outcome: Outcome
    text: str
    remedy: str = ""
    commands: Tuple[Command, ...] = ()
    fix: Optional[Fix] = None
    counts: bool = True
    check: str = ""
    title: str = ""
    area: str = ""


def passed(text: str) -> Finding:
    """The precondition holds."""
    return Finding(Outcome.PASS, text)


def warned(text: str, remedy: str = "", *commands: Command) -> Finding:
    """The address works, but not for everybody, or not for ever."""
    return Finding(Outcome.WARN, text, remedy, commands)


def failed(text: str, remedy: str = "", *commands: Command, fix: Optional[Fix] = None) -> Finding:
    """The precondition does not hold."""
    return Finding(Outcome.FAIL, text, remedy, commands, fix)


def unknown(text: str, remedy: str = "", *commands: Command) -> Finding:
    """Whether the precondition holds could not be found out."""
    return Finding(Outcome.UNKNOWN, text, remedy, commands)


def untold(text: str, remedy: str = "", *commands: Command) -> Finding:
    """Nobody can tell in advance whether the precondition holds, however it is asked: that is no fault of this node."""
    return Finding(Outcome.UNKNOWN, text, remedy, commands, counts=False)


class NotAskedError(UnknownError):
    """Not asked, because another check has not passed; `check`: the name of that one."""

    def __init__(self, check: str) -> None:
        super().__init__(f"not asked, because of {check}")
        self.check = check


class Area(NamedTuple):
    """A group of checks: its key and its heading."""

    key: str
    title: str


class Needs(enum.Enum):
    """What a check asks, at most: the costs of it."""

    NOTHING = "this node alone"
    METADATA = "instance metadata (IMDS)"
    NETWORK = "the endpoints of EC2 and STS, without credentials"
    STS = "STS"
    EC2 = "EC2"


ALL_MODES = ("overlay-ip", "eni", "private-ip")


class Check(NamedTuple):
    """One precondition.

    `name`: stable, for programs and pages. `asks`: the question that a pass answers with yes. `of_node`: the same for
    all resources on this node, and needs no parameters. `applies`: whether a resource of one of `modes` has the
    precondition at all, by its parameters; raises nothing. `look` answers; it may raise `errors.Error`, which means
    that the answer could not be found out.
    """

    name: str
    title: str
    asks: str
    area: Area
    needs: Needs
    look: Callable[[Surroundings], Finding]
    modes: Sequence[str] = ALL_MODES
    of_node: bool = False
    applies: Callable[[Surroundings], bool] = lambda _: True


NODE = Area("node", "This node")
ACCESS = Area("access", "Access to AWS")
PERMISSIONS = Area("permissions", "Permissions")
ROUTING = Area("routing", "Routes")
COVERAGE = Area("coverage", "From where the address is reached")
FILTERS = Area("filters", "Filters on the way")
INTERFACE = Area("interface", "Network interface and addresses")
CLUSTER = Area("cluster", "Cluster")


def worst(findings: Sequence[Finding]) -> Outcome:
    """The outcome of all that count: FAIL before UNKNOWN before WARN before PASS."""
    found = {one.outcome for one in findings if one.counts}
    order = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN)
    return next((one for one in order if one in found), Outcome.PASS)
