"""Every fault that a lab can have, as a value: what it is called, what it does, and its parameters.

Pure: how a fault is done and undone is known to `host.injection` alone. `FAULTS` is the one list: the command line, the
documentation and whoever draws faults at random read it.

    with lab.inject(Partition("node1", "node2")), lab.inject(Slow(2, action="Describe*")):
        ...

Faults add up. Each has a handle of its own, and healing one undoes what that one did and nothing else: what several of
them cause, such as a link that two of them cut, ends with the last. A fault's docstring is what users read of it.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import MISSING, asdict, dataclass, field, fields
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Type, get_type_hints

from vpc_lab.errors import LabError

EVERY = "*"
ORIGINS = ("CreateRoute", "CreateRouteTable", "EnableVgwRoutePropagation", "Advertisement")
STATES = ("active", "blackhole", "filtered")
_OPERATION = re.compile(r"[A-Za-z0-9*?]+")
# Several capitalised words, with or without a point; those of one word are these (EC2 API reference, "Error codes").
_ERROR_CODE = re.compile(r"([A-Z][A-Za-z0-9]*[a-z0-9]){2,}(\.[A-Z][A-Za-z0-9]*)*|[A-Z][A-Za-z0-9]+\.[A-Z][A-Za-z0-9.]*")
_ONE_WORD = ("Blocked", "Throttling", "Unavailable", "Unsupported")
ERROR_CODES = ("RequestLimitExceeded", "UnauthorizedOperation", "InternalError", "Unavailable", "AuthFailure")


def _parameter(text: str, default: Any = MISSING, *, choices: Sequence[str] = (), least: float = -math.inf) -> Any:
    """A field of a fault: what users read of it, and which values it can have."""
    about = {"help": text, "choices": tuple(choices), "least": least}
    return field(metadata=about) if default is MISSING else field(default=default, metadata=about)


def _node() -> Any:
    return _parameter("the instance, by name")


def _action() -> Any:
    return _parameter("only calls of this operation, or of a pattern such as Describe*", EVERY)


def _caller() -> Any:
    return _parameter("only calls from this instance", None)


def _times() -> Any:
    return _parameter("only the first so many calls", None, least=1)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a fault. `default` is MISSING for one that has to be given; None for one that may be left out."""

    name: str
    kind: Type[Any]
    default: Any
    help: str
    choices: Tuple[str, ...]
    least: float

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING

    @property
    def option(self) -> str:
        """What the command line calls it."""
        return self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """The value, a number as the parameter's own kind; LabError for one that it cannot have."""
        if value is None and self.default is None:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind:
            raise LabError(f"{self.option} is {_KINDS[self.kind]}, not {value!r}")
        if self.choices and value not in self.choices:
            raise LabError(f"{self.option} is one of {', '.join(self.choices)}, not {value!r}")
        if self.kind is float and not math.isfinite(value):
            raise LabError(f"{self.option} is {_KINDS[self.kind]}, not {value}")
        if self.kind in (int, float) and value < self.least:
            raise LabError(f"{self.option} is {_KINDS[self.kind]}, {self.least:g} or more, not {value:g}")
        return value


_METAVARS: Mapping[Type[Any], str] = {str: "TEXT", int: "N", float: "X"}
_KINDS: Mapping[Type[Any], str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a lab. LabError for values that make no sense in any lab."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """A fault is called as its class is, and its summary is the first paragraph of its docstring."""
        cls.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        cls.summary = " ".join((cls.__doc__ or "").split("\n\n")[0].split())

    def __post_init__(self) -> None:
        """Check each value by itself."""
        for one in self.parameters():
            object.__setattr__(self, one.name, one.check(getattr(self, one.name)))

    @classmethod
    def parameters(cls) -> Tuple[Parameter, ...]:
        """What it takes, in order."""
        kinds = get_type_hints(cls)
        return tuple(
            Parameter(
                one.name,
                next(
                    kind for kind in getattr(kinds[one.name], "__args__", (kinds[one.name],)) if kind is not type(None)
                ),
                one.default,
                **one.metadata,
            )
            for one in fields(cls)
        )

    def values(self) -> Dict[str, Any]:
        """Its parameters, by name."""
        return asdict(self)

    def to_json(self) -> Dict[str, Any]:
        """Plain values, its name among them."""
        return {"name": self.name, **self.values()}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Fault:
        """The inverse of `to_json`; LabError for what is none."""
        given = dict(raw)
        name = str(given.pop("name", ""))
        made = FAULTS.get(name)
        if made is None:
            raise LabError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        known = {one.name: one for one in made.parameters()}
        if set(given) - set(known):
            raise LabError(
                f"{name} takes {', '.join(known) or 'no parameter'}, not {', '.join(set(given) - set(known))}"
            )
        missing = [one.option for one in known.values() if one.required and one.name not in given]
        if missing:
            raise LabError(f"{name} needs {', '.join(missing)}")
        return made(**given)

    def __str__(self) -> str:
        """As an administrator would type it, without what is as by default."""
        words = [self.name]
        for one in self.parameters():
            value = getattr(self, one.name)
            if one.required:
                words.append(_text(value))
            elif value is True:
                words += [f"--{one.option}"] if one.default is False else []
            elif value != one.default:
                words += [f"--no-{one.option}"] if value is False else [f"--{one.option}", _text(value)]
        return shlex.join(words)


# -- instances ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfInstance(Fault):
    """What befalls one instance."""

    kind = "Instances"
    node: str = _node()


@dataclass(frozen=True)
class Crash(OfInstance):
    """The instance loses its power, as when its hardware fails; EC2 still calls it running.

    Healing gives it power again, whoever has called StopInstances meanwhile.
    """


@dataclass(frozen=True)
class Freeze(OfInstance):
    """Nothing runs in the instance, and its kernel answers nothing, as when its host stands still.

    EC2 calls it running, and it takes part in no plain detachment of an ENI. It goes on where it stood when this is
    healed. It ends with the instance's power.
    """

    kernel: bool = _parameter("its kernel answers neither pings nor connections", True)


@dataclass(frozen=True)
class Reboot(OfInstance):
    """The instance's operating system reboots: services are stopped in order, then started; EC2 calls it running.

    It ends by itself when the instance is up again. Healing waits for that, and takes the power away where the services
    do not end within a minute.
    """


@dataclass(frozen=True)
class GracefulStop(OfInstance):
    """StopInstances by an administrator: the operating system shuts down first, then EC2 calls the instance stopped.

    Healing waits until it is stopped, a minute at most before it skips the rest of the shutdown, and starts it.
    """

    force: bool = _parameter("with Force: the system shuts down all the same", False)
    skip_os_shutdown: bool = _parameter("with SkipOsShutdown: the power goes at once", False)


@dataclass(frozen=True)
class CpuHogged(OfInstance):
    """A process of the instance keeps one processor busy. It ends with the instance's power."""


@dataclass(frozen=True)
class DiskFull(OfInstance):
    """One file system of the instance has no room left.

    A full /var/log stays full when the power goes and comes back; /run is empty after each boot, and this ends then.
    """

    where: str = _parameter("log: /var/log; run: /run", "log", choices=("log", "run"))


@dataclass(frozen=True)
class ClockStepped(OfInstance):
    """The instance's clock is off, as far as EC2 and STS can tell: its requests look signed too early or too late.

    All instances share this machine's clock, which cannot be set for one of them: programs in the instance see no step.
    """

    seconds: float = _parameter("how far its clock is behind; ahead, if negative", 3600.0)


# -- network -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Partition(Fault):
    """No packet passes between two places: instances, availability zones, api, imds, onprem, internet."""

    kind = "Network"
    one: str = _parameter("a place")
    other: str = _parameter("another place")
    one_way: bool = _parameter("only packets from the first to the second are dropped", False)


@dataclass(frozen=True)
class ZoneCut(Fault):
    """No packet passes between an availability zone and anything outside it, EC2's API included.

    Instance metadata is on the instance's own host, and goes on.
    """

    kind = "Network"
    zone: str = _parameter("the availability zone")


@dataclass(frozen=True)
class RouteLag(Fault):
    """A written route becomes effective later: each source of traffic draws a moment of its own up to so many seconds.

    Healing lets what is under way take effect, at once unless another lag is left.
    """

    kind = "Network"
    seconds: float = _parameter("at most", least=0)


@dataclass(frozen=True)
class RemapLag(Fault):
    """A private address that moves arrives later than EC2 says. It concerns addresses that are assigned from now on."""

    kind = "Network"
    seconds: float = _parameter("until packets find the new ENI", least=0)
    imds: float = _parameter("how many seconds later than that instance metadata lists the address", 0.0, least=0)


# -- EC2's and STS's API -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unreachable(Fault):
    """No packet reaches EC2's API, and none comes back."""

    kind = "EC2 and STS"
    caller: Optional[str] = _parameter("only for this instance", None)


@dataclass(frozen=True)
class OfCalls(Fault):
    """What befalls calls to EC2 and STS: those that fit all that is given."""

    kind = "EC2 and STS"
    action: str = _action()
    caller: Optional[str] = _caller()
    resource: Optional[str] = _parameter("only calls with a parameter of exactly this value, such as an id", None)
    times: Optional[int] = _times()

    def __post_init__(self) -> None:
        """An operation is a name or a pattern."""
        super().__post_init__()
        _check_operation(self.action)


@dataclass(frozen=True)
class Hang(OfCalls):
    """The call is read and never answered."""


@dataclass(frozen=True)
class Reset(OfCalls):
    """The connection is reset after the call was read."""


@dataclass(frozen=True)
class Closed(OfCalls):
    """The connection is closed without an answer after the call was read."""


@dataclass(frozen=True)
class Refused(Fault):
    """Each new connection to EC2 and STS is reset as soon as it is there."""

    kind = "EC2 and STS"
    caller: Optional[str] = _caller()
    times: Optional[int] = _parameter("only the first so many connections", None, least=1)


@dataclass(frozen=True)
class ServerError(OfCalls):
    """The call fails with an HTTP status of 500 and more, and the error code that EC2 has for it."""

    status: int = _parameter("the HTTP status: 500 to 599", 500, least=500)

    def __post_init__(self) -> None:
        """A status of the server's."""
        super().__post_init__()
        if self.status > 599:
            raise LabError(f"status is a whole number from 500 to 599, not {self.status}")


@dataclass(frozen=True)
class Slow(Fault):
    """The answer takes longer; several of these add up."""

    kind = "EC2 and STS"
    seconds: float = _parameter("how much longer", least=0)
    action: str = _action()
    caller: Optional[str] = _caller()
    times: Optional[int] = _times()

    def __post_init__(self) -> None:
        """An operation is a name or a pattern."""
        super().__post_init__()
        _check_operation(self.action)


@dataclass(frozen=True)
class Throttled(Fault):
    """EC2 answers RequestLimitExceeded by its documented token buckets, which are full to begin with.

    Of several of these the smallest capacity and the slowest refill count, and all the load.
    """

    kind = "EC2 and STS"
    action: str = _parameter("other figures for the bucket of this operation, or of a pattern", EVERY)
    capacity: Optional[float] = _parameter(
        "how many calls a full bucket has; as documented if not given", None, least=0
    )
    refill: Optional[float] = _parameter("how many calls a second come back; as documented if not given", None, least=0)
    load: float = _parameter("how many calls a second somebody else takes out of each of these buckets", 0.0, least=0)

    def __post_init__(self) -> None:
        """An operation is a name or a pattern."""
        super().__post_init__()
        _check_operation(self.action)


@dataclass(frozen=True)
class ApiError(Fault):
    """The call fails with an error code of EC2's, and what the real service says with it."""

    kind = "EC2 and STS"
    code: str = _parameter("such as RequestLimitExceeded or InvalidRouteTableID.NotFound")
    action: str = _action()
    caller: Optional[str] = _caller()
    resource: Optional[str] = _parameter("only calls with a parameter of exactly this value, such as an id", None)
    times: Optional[int] = _times()

    def __post_init__(self) -> None:
        """A code looks as EC2's do."""
        super().__post_init__()
        _check_operation(self.action)
        if self.code not in _ONE_WORD and not _ERROR_CODE.fullmatch(self.code):
            raise LabError(f"{self.code!r} is no error code of EC2's, such as {', '.join(ERROR_CODES)}")


@dataclass(frozen=True)
class AccessDenied(Fault):
    """IAM denies the nodes' role an operation, or that operation on one resource: UnauthorizedOperation.

    A Describe has no resources, and is denied as a whole.
    """

    kind = "EC2 and STS"
    action: str = _parameter("the operation, or a pattern such as *Route")
    resource: str = _parameter("an id, or a route table's subnet; every one by default", EVERY)

    def __post_init__(self) -> None:
        """No resource for a Describe."""
        super().__post_init__()
        _check_operation(self.action)
        if self.resource != EVERY and self.action.startswith("Describe"):
            raise LabError(f"{self.action} has no resources: IAM permits or denies it as a whole")


@dataclass(frozen=True)
class RolePolicy(Fault):
    """The nodes' role has this IAM policy document: Allow, Deny, and Condition on tags, VPC and attribute.

    Of several, each has to allow what is done.
    """

    kind = "EC2 and STS"
    policy: str = _parameter("the document, in JSON; on the command line the file that has it")

    def __post_init__(self) -> None:
        """A JSON object."""
        super().__post_init__()
        try:
            found = json.loads(self.policy)
        except ValueError as error:
            raise LabError(f"this is no policy document in JSON: {error}") from None
        if not isinstance(found, dict):
            raise LabError("this is no policy document: it is no object of JSON")


@dataclass(frozen=True)
class AnswersLost(OfCalls):
    """The call takes effect, and its answer never comes: the connection is closed."""


@dataclass(frozen=True)
class StaleReads(Fault):
    """EC2's reads do not see what was written in the last seconds; of several of these the longest counts."""

    kind = "EC2 and STS"
    seconds: float = _parameter("how long", least=0)
    alternating: bool = _parameter("every second read sees it all the same", False)


@dataclass(frozen=True)
class EmptyReads(OfCalls):
    """A Describe with a filter finds nothing, as right after something was made."""


@dataclass(frozen=True)
class Html(OfCalls):
    """The answer is HTTP 502 with an HTML page, as of a broken proxy in between."""


@dataclass(frozen=True)
class Truncated(OfCalls):
    """The right answer is cut off in its middle."""


@dataclass(frozen=True)
class Empty(OfCalls):
    """The answer is HTTP 200 with an empty body."""


@dataclass(frozen=True)
class ExpiredCredentials(Fault):
    """EC2 and STS call every node's present credentials expired.

    Healing lets instance metadata hand out new ones.
    """

    kind = "EC2 and STS"
    renew: bool = _parameter("instance metadata has new ones at once", True)


# -- instance metadata -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imds(OfInstance):
    """The instance's metadata service is silent (no packet comes back), answers 401 or 503, or is off (403)."""

    kind = "Instance metadata"
    how: str = _parameter("in which way", choices=("silent", "401", "503", "off"))


# -- changes behind the cluster's back ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift(Fault):
    """What somebody changes behind the cluster's back.

    Healing puts back what nobody has mended, as it was before; what was mended or changed since is left alone.
    """

    kind = "Behind the cluster's back"


@dataclass(frozen=True)
class RouteChanged(Drift):
    """A route is written, in every table or in one.

    With one of the last two origins it is a propagated one beside a static one.
    """

    destination: str = _parameter("such as 192.168.10.10/32")
    target: str = _parameter("an instance's name, or the id of an ENI or a gateway")
    table: Optional[str] = _parameter("the table, by its id or its subnet's name", None)
    origin: str = _parameter("how the route came", ORIGINS[0], choices=ORIGINS)
    state: Optional[str] = _parameter(
        "what EC2 says of it; what follows from its target if not given", None, choices=STATES
    )

    def __post_init__(self) -> None:
        """A destination is a CIDR block."""
        super().__post_init__()
        _check_destination(self.destination)


@dataclass(frozen=True)
class RouteDeleted(Drift):
    """A route is deleted, from every table or from one."""

    destination: str = _parameter("such as 192.168.10.10/32")
    table: Optional[str] = _parameter("the table, by its id or its subnet's name", None)
    origin: Optional[str] = _parameter("only the route that came so", None, choices=ORIGINS)

    def __post_init__(self) -> None:
        """A destination is a CIDR block."""
        super().__post_init__()
        _check_destination(self.destination)


@dataclass(frozen=True)
class RouteTableDeleted(Drift):
    """A route table is deleted; its subnet uses the main one, which has no overlay address.

    Healing puts the same table back, with its id, its routes and its subnet.
    """

    table: str = _parameter("the table, by its id or its subnet's name")


@dataclass(frozen=True)
class AddressRemoved(Drift):
    """An address is taken off whichever device of the instance has it.

    Healing leaves it alone once any instance has it, the instance has booted, or its Pacemaker has started or stopped
    anything there.
    """

    node: str = _node()
    address: str = _parameter("the address, without a prefix length")

    def __post_init__(self) -> None:
        """An address."""
        super().__post_init__()
        _check_address(self.address)


@dataclass(frozen=True)
class RulesRemoved(Drift):
    """The instance's routing policy rules are deleted, but for those that every Linux has: those for a secondary ENI.

    Healing leaves them alone as it does an address.
    """

    node: str = _node()


@dataclass(frozen=True)
class SourceDestCheck(Drift):
    """The source/destination check of the instance's primary ENI is switched on: it drops an overlay address."""

    node: str = _node()


@dataclass(frozen=True)
class AddressTaken(Drift):
    """A private address that is not its ENI's first is assigned to another instance's primary ENI in the subnet."""

    kind = "What moves"
    node: str = _parameter("who gets it: an instance's name")
    address: str = _parameter("the address, without a prefix length")

    def __post_init__(self) -> None:
        """An address."""
        super().__post_init__()
        _check_address(self.address)


@dataclass(frozen=True)
class EniDetached(Drift):
    """The service's ENI is detached by force from the instance that has it."""

    kind = "What moves"


# -- network interfaces that move --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StuckDetach(Fault):
    """A plain detachment of the service's ENI does not end until this is healed; one by force does."""

    kind = "What moves"


@dataclass(frozen=True)
class DeadIndexes(Fault):
    """After a detachment by force no NIC appears at that device index until the instance has been stopped."""

    kind = "What moves"


_ALL: Tuple[Type[Fault], ...] = (
    Crash,
    Freeze,
    Reboot,
    GracefulStop,
    CpuHogged,
    DiskFull,
    ClockStepped,
    Partition,
    ZoneCut,
    RouteLag,
    RemapLag,
    Unreachable,
    Hang,
    Reset,
    Closed,
    Refused,
    ServerError,
    Slow,
    Throttled,
    ApiError,
    AccessDenied,
    RolePolicy,
    AnswersLost,
    StaleReads,
    EmptyReads,
    Html,
    Truncated,
    Empty,
    ExpiredCredentials,
    Imds,
    RouteChanged,
    RouteDeleted,
    RouteTableDeleted,
    AddressRemoved,
    RulesRemoved,
    SourceDestCheck,
    AddressTaken,
    EniDetached,
    StuckDetach,
    DeadIndexes,
)
# Every fault by its name, in the order in which users read of them.
FAULTS: Mapping[str, Type[Fault]] = {one.name: one for one in _ALL}


@dataclass(frozen=True)
class InForce:
    """A fault that a lab has: its number, since when, and until when it is to be healed by itself (wall-clock time)."""

    number: int
    fault: Fault
    since: float
    until: Optional[float] = None

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return {"number": self.number, "fault": self.fault.to_json(), "since": self.since, "until": self.until}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> InForce:
        """The inverse of `to_json`."""
        return cls(raw["number"], Fault.from_json(raw["fault"]), raw["since"], raw["until"])


def table() -> str:
    """All faults as a table of Markdown, for the documentation."""
    lines: List[str] = []
    kind = ""
    for one in FAULTS.values():
        if one.kind != kind:
            kind = one.kind
            lines += ["", f"**{kind}**", "", "| fault | parameters | |", "|---|---|---|"]
        words = [
            f"`{parameter.option.upper()}`" if parameter.required else f"`--{_written(parameter)}`"
            for parameter in one.parameters()
        ]
        lines.append(f"| `{one.name}` | {' '.join(words)} | {one.summary} |")
    return "\n".join(lines[1:]) + "\n"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _written(parameter: Parameter) -> str:
    if parameter.kind is bool:
        return f"no-{parameter.option}" if parameter.default else parameter.option
    # A bar would end the table's cell.
    return f"{parameter.option} " + (r"\|".join(parameter.choices) or _METAVARS[parameter.kind])


def _check_operation(text: str) -> None:
    if not _OPERATION.fullmatch(text):
        raise LabError(f"{text!r} is no operation of EC2's, nor a pattern of their names")


def _check_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError as error:
        raise LabError(f"{text!r} is no address: {error}") from None


def _check_destination(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise LabError(f"{text!r} is no destination of a route: {error}") from None
