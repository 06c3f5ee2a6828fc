"""Which way an address should move for given nodes and consumers, with reasons. Pure: a table of rules.

A rule that cannot be decided, because something was not told, is neither for nor against: the advice names it.

Sources, by the marks in `RULES`:

- `oip`: AWS, "SAP on AWS High Availability with Overlay IP Address Routing" and "Connectivity to Overlay IP in RISE on
  AWS": an overlay address lies outside the VPC's CIDRs; from on premises and other VPCs it is reached by a transit
  gateway with a static route, or through a Network Load Balancer; by VPC peering only through the latter.
- `peering`: Amazon VPC peering guide, "VPC peering basics": a connection carries packets for the CIDRs of the two VPCs.
- `eni`: EC2 user guide, "Elastic network interfaces": an interface belongs to a subnet, and so to a zone; a primary one
  cannot be detached. 20 s to over a minute for a move: Palo Alto Networks, "HA on AWS".
- `assign`: EC2 API Reference, AssignPrivateIpAddresses: an address of the interface's subnet, reassigned by one call.
- `eip`: EC2 user guide, "Elastic IP addresses": mapped to the private address of an interface, or of an instance.
- `nlb`: Elastic Load Balancing, "Health checks for Network Load Balancer target groups" (interval 5 to 300 s, 2 to 10
  failures in a row), "Client IP preservation", "Troubleshoot" (a target that is its own client), "Network Load
  Balancers" (one address for each zone; clients by peering, VPN, Direct Connect and transit gateway).
- `dns`: Route 53 developer guide, "Values specific for failover records" and "Configuring failover in a private hosted
  zone": TTL of 60 s or less advised; health checks every 10 or 30 s, of public endpoints or by a CloudWatch alarm.
- `ours`: docs/operations.md and docs/performance.md of this project.
"""

from __future__ import annotations

import enum
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.errors import ParameterError


class Consumers(enum.Enum):
    """Where consumers are."""

    VPC = "vpc"
    PEERED = "peered"
    TRANSIT_GATEWAY = "transit-gateway"
    ON_PREMISES = "on-premises"
    INTERNET = "internet"


class Solution(enum.Enum):
    """A way: the first three are the agent's modes."""

    OVERLAY_IP = "overlay-ip"
    ENI = "eni"
    PRIVATE_IP = "private-ip"
    LOAD_BALANCER = "network-load-balancer"
    DNS = "dns"


MODES = (Solution.OVERLAY_IP, Solution.ENI, Solution.PRIVATE_IP)


class Needs(NamedTuple):
    """What is known of nodes, consumers and service; `None` (or no consumers) where it was not told.

    `several_zones`: the nodes are in more than one availability zone. `same_subnet`: all nodes are in one subnet.
    `address_in_vpc`: consumers need an address of the VPC. `keeps_mac`: the service needs its MAC address, or another
    property of its interface. `by_name`: consumers look the name up again after a failure. `seconds`: of silence that
    are acceptable. `read_scaling`: several nodes serve at once.
    """

    several_zones: Optional[bool] = None
    same_subnet: Optional[bool] = None
    consumers: FrozenSet[Consumers] = frozenset()
    address_in_vpc: Optional[bool] = None
    keeps_mac: Optional[bool] = None
    ipv6: Optional[bool] = None
    protocol: Optional[str] = None
    seconds: Optional[float] = None
    by_name: Optional[bool] = None
    read_scaling: Optional[bool] = None
    sap: Optional[bool] = None
    shared_vpc: Optional[bool] = None

    def completed(self) -> Needs:
        """The same with what follows: a subnet is in one zone.

        Raises:
            ParameterError: all nodes in one subnet, and in several zones.
        """
        if self.same_subnet and self.several_zones:
            raise ParameterError("nodes in one subnet are in one zone: either the zones or the subnet is wrong")
        if self.same_subnet:
            return self._replace(several_zones=False)
        return self._replace(same_subnet=False) if self.several_zones else self


class Weight(enum.IntEnum):
    """What a rule that holds means."""

    EXCLUDES = -100
    AGAINST = -2
    COSTS = -1
    FOR = 2
    DECIDES = 4


class Rule(NamedTuple):
    """`holds`: whether it applies, `None` where that is not known; `asks` names what would have to be told."""

    solutions: Tuple[Solution, ...]
    holds: Callable[[Needs], Optional[bool]]
    weight: Weight
    reason: str
    source: str
    asks: str = ""


class Verdict(enum.Enum):
    """What becomes of a solution."""

    BEST = "best"
    POSSIBLE = "possible"
    UNKNOWN = "cannot be told"
    EXCLUDED = "excluded"


class Reason(NamedTuple):
    """A rule that holds; `weight` is what it means, and `source` where the fact is from."""

    weight: Weight
    text: str
    source: str


class Advice(NamedTuple):
    """One solution: `unknown` names what has to be told before it can be recommended or excluded."""

    solution: Solution
    verdict: Verdict
    score: int
    reasons: Tuple[Reason, ...]
    unknown: Tuple[str, ...]


def _comes_from(where: Consumers) -> Callable[[Needs], Optional[bool]]:
    return lambda needs: where in needs.consumers if needs.consumers else None


def _less_than(seconds: float, at_least: float = 0.0) -> Callable[[Needs], Optional[bool]]:
    return lambda needs: None if needs.seconds is None else at_least <= needs.seconds < seconds


def _other_subnets(needs: Needs) -> Optional[bool]:
    return None if needs.same_subnet is None else not needs.same_subnet


def _one_subnet(needs: Needs) -> Optional[bool]:
    """One subnet, which is then in one zone."""
    return None if needs.same_subnet is None else needs.same_subnet and needs.several_zones is not True


def _without_names(needs: Needs) -> Optional[bool]:
    return None if needs.by_name is None else not needs.by_name


_ADDRESSES = MODES
_OVERLAY, _ENI, _PRIVATE = ((one,) for one in MODES)
_BALANCER, _DNS = (Solution.LOAD_BALANCER,), (Solution.DNS,)

RULES: Tuple[Rule, ...] = (
    # overlay-ip
    Rule(
        _OVERLAY,
        lambda needs: needs.several_zones,
        Weight.DECIDES,
        "the nodes are in several zones, and a route leads to any of them: one fixed address across zones",
        "oip",
    ),
    Rule(
        _OVERLAY,
        lambda needs: needs.address_in_vpc,
        Weight.EXCLUDES,
        "its address lies outside every CIDR of the VPC, and consumers need one of the VPC",
        "oip",
        "address-in-vpc",
    ),
    Rule(
        _OVERLAY,
        _comes_from(Consumers.PEERED),
        Weight.EXCLUDES,
        "a peering connection carries packets for the CIDRs of the two VPCs alone: it takes a transit gateway, or a"
        " load balancer in front",
        "peering",
        "consumers",
    ),
    Rule(
        _OVERLAY,
        _comes_from(Consumers.TRANSIT_GATEWAY),
        Weight.COSTS,
        "the transit gateway needs a static route for it to the VPC's attachment, and other VPCs one to the gateway",
        "oip",
    ),
    Rule(
        _OVERLAY,
        _comes_from(Consumers.ON_PREMISES),
        Weight.COSTS,
        "from on premises it takes a transit gateway with a static route, and the address among the static routes of"
        " the VPN or the allowed prefixes of Direct Connect",
        "oip",
    ),
    Rule(
        _OVERLAY,
        _comes_from(Consumers.INTERNET),
        Weight.COSTS,
        "from the Internet by an Elastic IP that follows (allocation_id): it leads to the node's primary address, on"
        " which the service has to listen",
        "eip",
    ),
    Rule(
        _OVERLAY,
        lambda needs: needs.sap,
        Weight.FOR,
        "it is what the guides of AWS, SUSE and Red Hat set up for SAP",
        "oip",
    ),
    Rule(
        _OVERLAY,
        lambda needs: needs.shared_vpc,
        Weight.COSTS,
        "in a shared VPC the owner of the route tables has to lend a role (routing_table_role)",
        "ours",
    ),
    Rule(
        _OVERLAY,
        lambda needs: needs.ipv6,
        Weight.FOR,
        "IPv6 moves as IPv4 does, by one write for each table",
        "ours",
    ),
    # eni
    Rule(
        _ENI,
        lambda needs: needs.several_zones,
        Weight.EXCLUDES,
        "a network interface belongs to one zone, and the nodes are in several",
        "eni",
        "zones",
    ),
    Rule(
        _ENI,
        lambda needs: needs.keeps_mac,
        Weight.DECIDES,
        "the interface moves as a whole: with its MAC address, security groups and Elastic IP",
        "eni",
    ),
    Rule(
        _ENI,
        _less_than(20),
        Weight.EXCLUDES,
        "EC2 takes 20 s to over a minute to detach and attach an interface, which is longer than acceptable",
        "eni",
        "seconds",
    ),
    Rule(
        _ENI,
        _less_than(90, 20),
        Weight.AGAINST,
        "EC2 takes 20 s to over a minute to detach and attach an interface, which can be longer than acceptable",
        "eni",
    ),
    Rule(
        _ENI,
        lambda needs: not needs.keeps_mac,
        Weight.COSTS,
        "it is the slowest to move, and each instance type takes so many interfaces only",
        "eni",
    ),
    Rule(_ENI, _one_subnet, Weight.AGAINST, "within one subnet private-ip is quicker", "ours"),
    Rule(
        _ENI,
        lambda needs: needs.address_in_vpc,
        Weight.FOR,
        "its address is one of the VPC, and needs no route of its own",
        "eni",
    ),
    # private-ip
    Rule(
        _PRIVATE,
        lambda needs: needs.several_zones,
        Weight.EXCLUDES,
        "its address is of one subnet, which is in one zone, and the nodes are in several",
        "assign",
        "zones",
    ),
    Rule(
        _PRIVATE,
        _other_subnets,
        Weight.EXCLUDES,
        "its address is of one subnet, and the nodes are in several",
        "assign",
        "same-subnet",
    ),
    Rule(
        _PRIVATE,
        _one_subnet,
        Weight.DECIDES,
        "the nodes share a subnet: the address moves by one call, and needs no route of its own",
        "assign",
    ),
    Rule(
        _PRIVATE,
        lambda needs: needs.address_in_vpc,
        Weight.FOR,
        "its address is one of the VPC",
        "assign",
    ),
    Rule(
        _PRIVATE,
        lambda needs: needs.ipv6,
        Weight.COSTS,
        "EC2 does not reassign an IPv6 address: it takes two reads and two calls",
        "ours",
    ),
    # What holds for several of them
    Rule(
        (Solution.OVERLAY_IP, Solution.PRIVATE_IP, Solution.LOAD_BALANCER, Solution.DNS),
        lambda needs: needs.keeps_mac,
        Weight.EXCLUDES,
        "each node has an interface of its own: the MAC address does not move",
        "eni",
        "keeps-mac",
    ),
    Rule(
        (Solution.ENI, Solution.PRIVATE_IP),
        _comes_from(Consumers.PEERED),
        Weight.FOR,
        "a peered VPC reaches it as any address of the VPC",
        "peering",
    ),
    Rule(
        (Solution.ENI, Solution.PRIVATE_IP),
        _comes_from(Consumers.ON_PREMISES),
        Weight.FOR,
        "on premises reaches it as any address of the VPC",
        "ours",
    ),
    Rule(
        (Solution.ENI, Solution.PRIVATE_IP),
        _comes_from(Consumers.INTERNET),
        Weight.FOR,
        "an Elastic IP of the address goes along",
        "eip",
    ),
    Rule(
        _ADDRESSES,
        lambda needs: needs.read_scaling,
        Weight.AGAINST,
        "one node at a time has the address: serving by several takes an address for each role, as in"
        " hana-read-enabled.crm",
        "ours",
    ),
    # A load balancer
    Rule(
        _BALANCER,
        _less_than(10),
        Weight.EXCLUDES,
        "it takes at least two failed health checks, 5 s apart, to leave a node",
        "nlb",
        "seconds",
    ),
    Rule(
        _BALANCER,
        _less_than(30, 10),
        Weight.COSTS,
        "10 s pass at least until it leaves a node (two health checks, 5 s apart)",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: needs.read_scaling,
        Weight.DECIDES,
        "all healthy nodes serve at once",
        "nlb",
    ),
    Rule(
        _BALANCER,
        _comes_from(Consumers.PEERED),
        Weight.DECIDES,
        "it is reached by peering, and can stand in front of an overlay address",
        "oip",
    ),
    Rule(
        _BALANCER,
        _comes_from(Consumers.INTERNET),
        Weight.FOR,
        "it can face the Internet, with an Elastic IP in each zone",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: needs.protocol == "http" if needs.protocol else None,
        Weight.FOR,
        "HTTP balances well; an Application Load Balancer also routes by host and path",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: needs.protocol == "udp" if needs.protocol else None,
        Weight.COSTS,
        "it checks the health of a UDP service by another port, TCP or HTTP",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: needs.several_zones and _without_names(needs),
        Weight.AGAINST,
        "it has an address in each zone and a name for all: who uses one address alone loses it with its zone",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: needs.sap,
        Weight.AGAINST,
        "each port needs a listener, of which SAP has many, and with client addresses preserved a node cannot reach"
        " itself through it",
        "nlb",
    ),
    Rule(
        _BALANCER,
        lambda needs: not needs.read_scaling,
        Weight.COSTS,
        "it costs by the hour and by traffic, and does not decide who is active: the health check has to fail on every"
        " node but one",
        "nlb",
    ),
    # DNS
    Rule(
        _DNS,
        _without_names,
        Weight.EXCLUDES,
        "consumers do not look the name up again",
        "dns",
        "by-name",
    ),
    Rule(
        _DNS,
        _less_than(60),
        Weight.EXCLUDES,
        "answers are kept for their TTL, and longer by some resolvers and programs: a minute is a good case",
        "dns",
        "seconds",
    ),
    Rule(
        _DNS,
        lambda needs: needs.by_name,
        Weight.FOR,
        "consumers look the name up again, so that any address will do, also in another region",
        "dns",
    ),
    Rule(
        _DNS,
        lambda needs: not needs.read_scaling,
        Weight.COSTS,
        "Route 53's own health checks see public endpoints only: for others the cluster or an alarm changes the record",
        "dns",
    ),
)


def advise(needs: Needs) -> List[Advice]:
    """All solutions, the best first; several are best where they have the same score.

    One that something unknown could exclude is `UNKNOWN`, and never the best: an unknown is no "no".

    Raises:
        ParameterError: as `Needs.completed`.
    """
    needs = needs.completed()
    judged = [_judge(solution, needs) for solution in Solution]
    certain = [one.score for one in judged if one.verdict is Verdict.POSSIBLE]
    found = [
        one._replace(verdict=Verdict.BEST) if one.verdict is Verdict.POSSIBLE and one.score == max(certain) else one
        for one in judged
    ]
    order = list(Verdict)
    return sorted(found, key=lambda one: (order.index(one.verdict), -one.score))


def _judge(solution: Solution, needs: Needs) -> Advice:
    reasons: List[Reason] = []
    unknown: List[str] = []
    for rule in RULES:
        if solution not in rule.solutions:
            continue
        holds = rule.holds(needs)
        if holds:
            reasons.append(Reason(rule.weight, rule.reason, rule.source))
        elif holds is None and rule.weight is Weight.EXCLUDES:
            unknown.append(rule.asks)
    reasons.sort(key=lambda one: (one.weight is not Weight.EXCLUDES, -one.weight))
    if any(one.weight is Weight.EXCLUDES for one in reasons):
        verdict, unknown = Verdict.EXCLUDED, []
    else:
        verdict = Verdict.UNKNOWN if unknown else Verdict.POSSIBLE
    score = sum(one.weight for one in reasons if one.weight is not Weight.EXCLUDES)
    return Advice(solution, verdict, score, tuple(reasons), tuple(dict.fromkeys(unknown)))


def missing(advice: Sequence[Advice]) -> List[str]:
    """What would have to be told to recommend or exclude every solution, in the order in which it is asked."""
    return list(dict.fromkeys(name for one in advice for name in one.unknown))
