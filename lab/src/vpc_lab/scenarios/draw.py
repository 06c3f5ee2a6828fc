"""What a soak does next: drawn from a seed, the same for the same seed, step and roles of the nodes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Callable, List, Optional, Sequence, Tuple

from vpc_lab import faults
from vpc_lab.faults import Fault
from vpc_lab.topology import Mode

# Seconds: when a fault of a step begins, and how long it lasts.
LATEST = 6.0
SHORTEST, LONGEST = 1.0, 15.0
MOST = 3


@dataclass(frozen=True)
class View:
    """What can be chosen from. `standbys` are the other nodes; `zones` those in which a node is."""

    mode: Mode
    active: str
    standbys: Tuple[str, ...]
    addresses: Tuple[str, ...]
    tables: Tuple[str, ...]
    zones: Tuple[str, ...]

    @property
    def nodes(self) -> Tuple[str, ...]:
        """All nodes, the active one first."""
        return (self.active, *self.standbys)


@dataclass(frozen=True)
class Timed:
    """A fault that begins `at` seconds after the step and is healed `lasting` seconds later."""

    at: float
    lasting: float
    fault: Fault


@dataclass(frozen=True)
class Step:
    """What is done in one step. `move`: to which node an administrator moves the service, and when."""

    number: int
    timed: Tuple[Timed, ...]
    move: Optional[Tuple[float, str]] = None

    def __str__(self) -> str:
        told = [f"{one.at:.1f} s for {one.lasting:.1f} s: {one.fault}" for one in self.timed]
        if self.move is not None:
            told.append(f"{self.move[0]:.1f} s: the service is moved to {self.move[1]}")
        return "; ".join(told)


Maker = Callable[[View, Random], Optional[Fault]]


def _any(view: View, random: Random) -> str:
    return random.choice(view.nodes)


def _caller(view: View, random: Random) -> Optional[str]:
    return random.choice((None, None, *view.nodes))


def _host(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _only(mode: Mode, maker: Maker) -> Maker:
    def make(view: View, random: Random) -> Optional[Fault]:
        return maker(view, random) if view.mode == mode else None

    return make


OPERATIONS = ("*", "Describe*", "DescribeRouteTables", "ReplaceRoute", "*NetworkInterface*", "*Addresses")
CODES = (
    *("RequestLimitExceeded", "InternalError", "Unavailable", "UnauthorizedOperation", "AuthFailure"),
    *("InvalidRouteTableID.NotFound", "InvalidNetworkInterfaceID.NotFound"),
)

# How often each is drawn, beside the others, and what makes it.
MAKERS: Tuple[Tuple[int, Maker], ...] = (
    (6, lambda view, random: faults.Crash(_any(view, random))),
    (5, lambda view, random: faults.Freeze(_any(view, random), kernel=random.random() < 0.7)),
    (2, lambda view, random: faults.Reboot(_any(view, random))),
    (2, lambda view, random: faults.GracefulStop(_any(view, random), skip_os_shutdown=random.random() < 0.5)),
    (2, lambda view, random: faults.CpuHogged(_any(view, random))),
    (2, lambda view, random: faults.DiskFull(_any(view, random), random.choice(("log", "run")))),
    (2, lambda view, random: faults.ClockStepped(_any(view, random), random.choice((3600.0, -3600.0)))),
    (
        5,
        lambda view, random: faults.Partition(view.active, random.choice(view.standbys), one_way=random.random() < 0.4),
    ),
    (2, lambda view, random: faults.Partition(random.choice(view.standbys), view.active, one_way=True)),
    (3, lambda view, random: faults.Partition(_any(view, random), "api")),
    (2, lambda view, random: faults.ZoneCut(random.choice(view.zones)) if len(view.zones) > 1 else None),
    (2, lambda _, random: faults.RouteLag(random.choice((0.2, 1.0, 3.0)))),
    (3, lambda view, random: faults.Unreachable(_caller(view, random))),
    (3, lambda view, random: faults.Hang(random.choice(OPERATIONS), _caller(view, random))),
    (2, lambda view, random: faults.Reset(random.choice(OPERATIONS), _caller(view, random))),
    (2, lambda view, random: faults.Closed(random.choice(OPERATIONS), _caller(view, random))),
    (1, lambda view, random: faults.Refused(_caller(view, random))),
    (2, lambda view, random: faults.ServerError(random.choice(OPERATIONS), _caller(view, random))),
    (3, lambda _, random: faults.Slow(random.choice((0.3, 1.0, 3.0)), random.choice(OPERATIONS))),
    (2, lambda _, random: faults.Throttled(load=random.choice((0.0, 3.0, 4.5)))),
    (2, lambda _, random: faults.Throttled("*Route*", capacity=1.0, refill=0.5)),
    (4, lambda view, random: faults.ApiError(random.choice(CODES), random.choice(OPERATIONS), _caller(view, random))),
    (2, lambda view, random: faults.AccessDenied("*Route", random.choice(view.tables))),
    (3, lambda view, random: faults.AnswersLost(random.choice(OPERATIONS[3:]), times=random.choice((1, 2, None)))),
    (3, lambda _, random: faults.StaleReads(random.choice((1.0, 5.0, 30.0)), alternating=random.random() < 0.5)),
    (2, lambda _, random: faults.EmptyReads(random.choice(OPERATIONS[:3]), times=random.choice((1, 3, None)))),
    (1, lambda _, random: faults.Html(random.choice(OPERATIONS))),
    (1, lambda _, random: faults.Truncated(random.choice(OPERATIONS))),
    (1, lambda _, random: faults.Empty(random.choice(OPERATIONS))),
    (2, lambda _, random: faults.ExpiredCredentials(renew=random.random() < 0.5)),
    (4, lambda view, random: faults.Imds(_any(view, random), random.choice(("silent", "401", "503", "off")))),
    (3, lambda view, random: faults.AddressRemoved(view.active, random.choice(view.addresses))),
    (
        3,
        _only(
            "overlay-ip",
            lambda view, random: faults.RouteChanged(
                _host(random.choice(view.addresses)),
                random.choice(view.standbys),
                random.choice((None, *view.tables)),
            ),
        ),
    ),
    (
        3,
        _only(
            "overlay-ip",
            lambda view, random: faults.RouteDeleted(
                _host(random.choice(view.addresses)), random.choice((None, *view.tables))
            ),
        ),
    ),
    (1, _only("overlay-ip", lambda view, random: faults.RouteTableDeleted(random.choice(view.tables)))),
    (2, _only("overlay-ip", lambda view, random: faults.SourceDestCheck(_any(view, random)))),
    (3, _only("eni", lambda view, _: faults.RulesRemoved(view.active))),
    (3, _only("eni", lambda _view, _random: faults.StuckDetach())),
    (2, _only("eni", lambda _view, _random: faults.EniDetached())),
    (
        2,
        _only(
            "private-ip",
            lambda view, random: faults.AddressTaken(random.choice(view.standbys), random.choice(view.addresses)),
        ),
    ),
    (2, _only("private-ip", lambda _, random: faults.RemapLag(random.choice((0.3, 1.0)), random.choice((0.0, 1.0))))),
)

# Whatever the service is doing, these interrupt nobody by themselves: the lab's judge allows them no silence.
HARMLESS: Tuple[str, ...] = (
    *("cpu-hogged", "disk-full", "clock-stepped", "unreachable", "hang", "reset", "closed", "refused", "server-error"),
    *("slow", "throttled", "api-error", "access-denied", "answers-lost", "stale-reads", "empty-reads", "html"),
    *("truncated", "empty", "expired-credentials", "imds", "stuck-detach", "route-lag", "remap-lag"),
)

# After these Pacemaker may have a node fenced, or an administrator stops it; after all others it has no reason to.
_FENCING = ("crash", "freeze", "reboot", "graceful-stop", "cpu-hogged", "disk-full", "zone-cut")


def may_be_fenced(step: Step, nodes: Sequence[str]) -> Tuple[str, ...]:
    """The nodes that may be stopped through EC2 because of a step: all of them or none."""
    faults_of = [one.fault for one in step.timed]
    apart = any(isinstance(one, faults.Partition) and {one.one, one.other} <= set(nodes) for one in faults_of)
    return tuple(nodes) if apart or any(one.name in _FENCING for one in faults_of) else ()


def draw(seed: int, number: int, view: View) -> Step:
    """The step of this number."""
    random = Random(f"{seed} {number}")  # noqa: S311 - not a secret
    wanted = random.choice((1, 1, 2, 2, MOST))
    chosen: List[Timed] = []
    while len(chosen) < wanted:
        (_, maker) = random.choices(MAKERS, [weight for weight, _ in MAKERS])[0]
        fault = maker(view, random)
        if fault is not None:
            at, lasting = random.uniform(0.0, LATEST), random.uniform(SHORTEST, LONGEST)
            chosen.append(Timed(round(at, 1), round(lasting, 1), fault))
    move = None
    if random.random() < 0.35:
        move = (round(random.uniform(0.0, LATEST), 1), random.choice(view.standbys))
    return Step(number, tuple(sorted(chosen, key=lambda one: one.at)), move)
