"""holdings/secondary_address.py: prefix lengths, the remap, and what is believed of it."""

from __future__ import annotations

import threading
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Union, cast

import pytest

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.models import NetworkInterface
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings.secondary_address import SecondaryAddresses, subnet_prefix


def prefix(address: str, *cidrs: str) -> int:
    """The prefix length of an address in a subnet."""
    return subnet_prefix([ip_network(cidr) for cidr in cidrs], ip_address(address))


def test_the_subnet_that_the_address_is_in() -> None:
    """Of the address's own family, and of several CIDRs the one it lies in."""
    cidrs = ("10.0.1.0/24", "2001:db8:1::/64", "2001:db8:2::/64")
    assert prefix("10.0.1.9", *cidrs) == 24
    assert prefix("2001:db8:2::9", *cidrs) == 64


def test_another_subnet_is_wrong_here() -> None:
    """Said of the subnet, with the mode that would do."""
    with pytest.raises(NodeError, match=r"10\.0\.2\.9 is outside this node's subnet .*mode=overlay-ip"):
        prefix("10.0.2.9", "10.0.1.0/24")


def test_another_family_is_wrong_here() -> None:
    """A subnet without IPv6 has no place for an IPv6 address."""
    with pytest.raises(NodeError, match="has no IPv6 CIDR"):
        prefix("2001:db8::9", "10.0.1.0/24")


def test_a_subnet_that_nobody_tells_is_unknown() -> None:
    """Every ENI is in a subnet: nothing at all is no answer, and no reason to call the address wrong."""
    with pytest.raises(UnknownError, match="neither IMDS nor EC2"):
        prefix("10.0.1.9")


MINE, OTHER, SUBNET = "eni-00000000000000001", "eni-00000000000000002", "subnet-1"
IPV4, IPV6 = "10.0.1.9", "2001:db8:1::9"
Address = Union[str, IPv6Address]


class Cloud:
    """EC2 with two ENIs of a subnet, and IMDS, which lists an assigned address `lag` seconds later.

    Time passes only where a deadline waits. `fail`: what an operation raises, once for each of its errors.
    `stale`: holders that the next searches for an IPv6 address find instead.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.lag = 0.0
        self.holder: Dict[str, str] = {}
        self.assigned_at = 0.0
        self.listed: Optional[List[str]] = None  # what IMDS lists, whatever is assigned
        self.imds_error: Optional[Error] = None
        self.asked_imds = 0
        self.fail: Dict[str, List[Error]] = {}
        self.stale: List[Optional[str]] = []
        self.writes: List[str] = []
        self.prefixes: Dict[str, List[str]] = {}  # by ENI
        self.searches = 0  # reads of the whole subnet

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _ask(self, operation: str) -> None:
        errors = self.fail.get(operation)
        if errors:
            raise errors.pop(0)

    def _assign(self, operation: str, network_interface_id: str, addresses: Sequence[Address]) -> None:
        texts = [str(address) for address in addresses]
        self.writes.append(f"assign {' '.join(texts)}")
        self._ask("assign")
        for text in texts:
            if any(ip_address(text) in ip_network(one) for listed in self.prefixes.values() for one in listed):
                raise Error(f"{operation}: InvalidParameterValue: [{text}] is already assigned")
            if ":" in text and self.holder.get(text) not in (None, network_interface_id):
                raise Error(f"{operation}: InvalidParameterValue: [{text}] is already assigned")
        self.holder.update(dict.fromkeys(texts, network_interface_id))
        self.assigned_at = self.now

    def assign_ipv4_addresses(self, network_interface_id: str, addresses: Sequence[Address]) -> None:
        self._assign("AssignPrivateIpAddresses", network_interface_id, addresses)

    def assign_ipv6_addresses(self, network_interface_id: str, addresses: Sequence[Address]) -> None:
        self._assign("AssignIpv6Addresses", network_interface_id, addresses)

    def unassign_ipv6_addresses(self, network_interface_id: str, addresses: Sequence[IPv6Address]) -> None:
        self.writes.append(f"unassign from {network_interface_id}")
        self._ask("unassign")
        for address in addresses:
            if self.holder.get(str(address)) != network_interface_id:
                raise Error("UnassignIpv6Addresses: InvalidParameterValue")
            del self.holder[str(address)]

    def network_interfaces_in(self, subnet_id: str) -> List[NetworkInterface]:
        assert subnet_id == SUBNET
        self.searches += 1
        self._ask("search")
        holders = self.holder
        if self.stale:
            holder = self.stale.pop(0)
            holders = {} if holder is None else {IPV6: holder}
        return [self._eni(eni, holders) for eni in (MINE, OTHER)]

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        self._ask("describe")
        return self._eni(network_interface_id, self.holder)

    def _eni(self, network_interface_id: str, holders: Dict[str, str]) -> NetworkInterface:
        primary = ip_address("10.0.1.4" if network_interface_id == MINE else "10.0.1.5")
        held = (primary, *(ip_address(text) for text, holder in holders.items() if holder == network_interface_id))
        prefixes = tuple(ip_network(text) for text in self.prefixes.get(network_interface_id, []))
        zone, mac = "zone-a", "06:00:00:00:00:01"
        return NetworkInterface(network_interface_id, "vpc-1", True, SUBNET, zone, mac, held, None, prefixes)

    def subnet_id(self) -> str:
        return SUBNET

    def metadata_addresses(self) -> Sequence[str]:
        self.asked_imds += 1
        if self.imds_error is not None:
            raise self.imds_error
        if self.listed is not None:
            return self.listed
        mine = [text for text, holder in self.holder.items() if holder == MINE]
        return ["10.0.1.11", *(mine if self.now >= self.assigned_at + self.lag else [])]


@pytest.fixture
def cloud() -> Cloud:
    """The other ENI has both addresses."""
    made = Cloud()
    made.holder = {IPV4: OTHER, IPV6: OTHER}
    return made


Make = Callable[..., SecondaryAddresses]


@pytest.fixture
def make(cloud: Cloud, tmp_path: Path) -> Make:
    """The holding: its address, and the seconds of its deadline."""

    def made(*texts: str, seconds: float = 30.0) -> SecondaryAddresses:
        addresses = [ip_address(text) for text in texts or (IPV4,)]
        memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "-".join(texts or (IPV4,)))
        return SecondaryAddresses(addresses, MINE, cloud, cast("Ec2", cloud), memory, cloud.deadline(seconds))

    return made


def warnings(caplog: pytest.LogCaptureFixture) -> List[str]:
    """What was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("address", [IPV4, IPV6])
@pytest.mark.parametrize("lag", [0.0, 1.2, 9.0])
def test_success_means_that_imds_lists_the_address(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture, address: str, lag: float
) -> None:
    """ "private-ip: success means that IMDS lists the address too (AWS remaps asynchronously)"."""
    cloud.lag = lag
    make(address).take()
    assert cloud.holder[address] == MINE
    assert lag <= cloud.now <= lag + 0.5
    assert warnings(caplog) == []


def test_an_address_is_compared_as_a_value(cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """10.0.1.90 is not 10.0.1.9, a page of something else is no address, and IPv6 has many spellings."""
    cloud.listed = ["10.0.1.90", "<html>", "110.0.1.9"]
    make().take()
    assert len(warnings(caplog)) == 1
    cloud.listed = ["2001:0DB8:0001::0009"]
    make(IPV6).take()
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("seconds", [9.0, 30.0, 180.0])
def test_a_remap_that_takes_longer_is_a_warning(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """ "… or the deadline's third has passed and a warning is logged"; the start has succeeded, EC2 has assigned it."""
    cloud.lag = 1000.0
    make(seconds=seconds).take()
    assert seconds / 3 - 0.6 < cloud.now <= seconds / 3
    assert warnings(caplog) == [f"{IPV4} is assigned to {MINE}, but instance metadata does not list it yet"]


def test_where_imds_is_switched_off_the_remap_is_not_waited_for(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether AWS has remapped it cannot be found out: a warning with the reason, and no failure."""
    cloud.imds_error = Error("IMDS is switched off (403)")
    make().take()
    assert (cloud.now, cloud.asked_imds) == (0.0, 1)
    (warning,) = warnings(caplog)
    assert "whether AWS has remapped it cannot be found out" in warning
    assert "IMDS is switched off (403)" in warning


def test_an_imds_that_is_silent_is_asked_until_a_third_of_the_time_has_passed(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """ "… or the deadline's third has passed and a warning is logged": an IMDS that comes back is heard."""

    def metadata_addresses() -> Sequence[str]:
        if cloud.imds_error is not None:
            raise UnknownError("IMDS does not answer")
        return [IPV4]

    cloud.imds_error = UnknownError("")
    cloud.metadata_addresses = metadata_addresses  # type: ignore[method-assign]
    make(seconds=30.0).take()
    assert 9.4 < cloud.now <= 10.0
    (warning,) = warnings(caplog)
    assert "whether AWS has remapped it cannot be found out" in warning
    assert "IMDS does not answer" in warning
    sleep = cloud._sleep  # each question got an error of its own

    def recovers(seconds: float) -> None:
        sleep(seconds)
        cloud.imds_error = None

    cloud._sleep = recovers  # type: ignore[method-assign]
    make(seconds=30.0).take()
    assert len(warnings(caplog)) == 1


def test_an_imds_that_is_not_asked_again_is_not_waited_for(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """It has been silent since the process began, and each question ends with the same error, at once."""
    cloud.imds_error = UnknownError("IMDS does not answer")
    make(seconds=30.0).take()
    assert cloud.now < 0.2
    assert len(warnings(caplog)) == 1


def test_what_imds_last_said_counts_when_its_next_answer_comes_too_late(
    cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not list the address, and then it does not answer: the warning says what is known."""
    answers: List[Union[List[str], Error]] = [[], [], UnknownError("IMDS does not answer")]

    def metadata_addresses() -> Sequence[str]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Error):
            raise answer
        return answer

    monkeypatch.setattr(cloud, "metadata_addresses", metadata_addresses)
    make(seconds=30.0).take()
    assert len(answers) == 1
    assert warnings(caplog) == [f"{IPV4} is assigned to {MINE}, but instance metadata does not list it yet"]


def test_an_imds_that_is_asked_again_and_again_does_not_take_the_start_with_it(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that IMDS does not answer for longer than a third of the deadline is a warning, and no failure."""
    never = threading.Event()
    monkeypatch.setattr(cloud, "metadata_addresses", never.wait)
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, IPV4)
    deadline = Deadline(0.6)
    SecondaryAddresses([ip_address(IPV4)], MINE, cloud, cast("Ec2", cloud), memory, deadline).take()
    assert not deadline.expired
    assert "cannot be found out" in warnings(caplog)[0]
    never.set()


def test_what_ec2_refuses_is_not_waited_for(cloud: Cloud, make: Make) -> None:
    """The error is EC2's own; nothing is asked of IMDS, and no write is remembered."""
    cloud.fail = {"assign": [DeniedError("AssignPrivateIpAddresses: UnauthorizedOperation")]}
    holding = make()
    with pytest.raises(DeniedError):
        holding.take()
    assert cloud.asked_imds == 0
    assert holding.look().where is Where.ELSEWHERE


def test_ipv6_is_taken_away_and_assigned(cloud: Cloud, make: Make) -> None:
    """EC2 reassigns no IPv6 address."""
    make(IPV6).take()
    assert cloud.writes == [f"unassign from {OTHER}", f"assign {IPV6}"]
    cloud.writes.clear()
    make(IPV6).take()  # it is here: only the assignment is a proof
    assert cloud.writes == [f"assign {IPV6}"]


def test_an_old_read_costs_a_refused_assignment(cloud: Cloud, make: Make) -> None:
    """A read that finds no holder although there is one: refused, looked at again, taken away, assigned."""
    cloud.stale = [None]
    make(IPV6).take()
    assert cloud.writes == [f"assign {IPV6}", f"unassign from {OTHER}", f"assign {IPV6}"]
    assert cloud.holder[IPV6] == MINE


@pytest.mark.parametrize("seconds", [60.0, 6.0])
def test_an_assignment_that_stays_refused_is_an_error(cloud: Cloud, make: Make, seconds: float) -> None:
    """What is put down to old reads is tried again for 15 s, or as long as there is time."""
    cloud.fail = {"assign": [Error("AssignIpv6Addresses: InvalidParameterValue: already assigned")] * 100}
    with pytest.raises(Error, match="already assigned"):
        make(IPV6, seconds=seconds).take()
    assert min(15.0, seconds) - 1.6 < cloud.now <= min(15.0, seconds)


@pytest.mark.parametrize("operation", ["assign", "unassign"])
@pytest.mark.parametrize("kind", [DeniedError, UnknownError])
def test_what_no_old_read_explains_is_raised_at_once(
    cloud: Cloud, make: Make, operation: str, kind: type[Error]
) -> None:
    """A denial, or no answer until the deadline."""
    cloud.fail = {operation: [kind(operation)]}
    with pytest.raises(kind, match=operation):
        make(IPV6).take()
    assert cloud.now == 0.0


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_where_it_is(cloud: Cloud, make: Make, address: str) -> None:
    """HERE by one read, ELSEWHERE by two that agree, UNKNOWN right after this node's own write."""
    assert make(address).look() == Look(Where.ELSEWHERE, f"{address} is not assigned to {MINE}")
    assert cloud.now > 0
    make(address).take()
    assert make(address).look() == HERE
    cloud.holder[address] = OTHER
    with pytest.raises(UnknownError, match="reads can lag"):
        make(address).look()


def test_a_repair_assigns_it_again(cloud: Cloud, make: Make) -> None:
    """In place; the local part is taken again, so that the neighbours in the subnet hear where it is now."""
    holding = make()
    assert holding.look().where is Where.ELSEWHERE
    assert holding.repair() == Repair(f"{IPV4} assigned to {MINE} again", replaced_local=True)
    assert cloud.holder[IPV4] == MINE


SECOND = "10.0.1.10"


@pytest.mark.parametrize("error", [DeniedError("AssignIpv6Addresses: UnauthorizedOperation"), UnknownError("silence")])
def test_an_address_that_stays_elsewhere_costs_itself(cloud: Cloud, make: Make, error: Error) -> None:
    """ "190 naming what could not be written, while any of it leads here": IPv4 is here, IPv6 may not be assigned."""
    cloud.holder[IPV4] = MINE
    cloud.fail = {"assign": [error]}
    holding = make(IPV4, IPV6)
    assert holding.look() == Look(Where.ELSEWHERE, f"{IPV6} is not assigned to {MINE}")
    assert holding.repair() == Repair("", str(error), leads_here=True)
    assert f"assign {IPV4}" not in cloud.writes


def test_an_address_that_ec2_refuses_keeps_no_other_from_being_repaired(cloud: Cloud, make: Make) -> None:
    """EC2 refuses a whole call for one of its addresses: then they are assigned one by one."""
    cloud.holder[SECOND] = OTHER
    cloud.prefixes = {OTHER: [f"{SECOND}/32"]}
    holding = make(IPV4, SECOND)
    assert holding.look().where is Where.ELSEWHERE
    outcome = holding.repair()
    assert (outcome.mended, outcome.leads_here, outcome.replaced_local) == (
        f"{IPV4} assigned to {MINE} again",
        True,
        True,
    )
    assert SECOND in outcome.failed
    assert cloud.holder[IPV4] == MINE
    # What was mended is believed against a read that lags, the other is drift at once.
    assert make(IPV4, SECOND).look() == Look(Where.ELSEWHERE, f"{SECOND} is not assigned to {MINE}")


@pytest.mark.parametrize(
    ("error", "leads_here"), [(DeniedError("AssignPrivateIpAddresses: denied"), False), (UnknownError("silence"), None)]
)
def test_a_repair_that_assigns_nothing(cloud: Cloud, make: Make, error: Error, leads_here: Optional[bool]) -> None:
    """Nothing leads here; after no answer that is not known."""
    cloud.fail = {"assign": [error] * 3}
    holding = make(IPV4)
    assert holding.look().where is Where.ELSEWHERE
    assert holding.repair() == Repair("", str(error), leads_here=leads_here)


def test_release_asks_nobody(cloud: Cloud, make: Make) -> None:
    """The address stays for the next active node to take over."""
    make().release()
    assert cloud.writes == []
    assert cloud.holder[IPV4] == OTHER


# -- delegated prefixes -----------------------------------------------------------------------------------------------

PREFIXES = {IPV4: "10.0.1.0/28", IPV6: "2001:db8:1::/80"}


@pytest.mark.parametrize("eni", [MINE, OTHER])
@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_ec2_refuses_an_address_of_a_prefix(cloud: Cloud, make: Make, address: str, eni: str) -> None:
    """NodeError at once: address, prefix, ENI, and EC2's refusal; no ENI loses an address for it."""
    cloud.prefixes = {eni: [PREFIXES[address]]}
    before = dict(cloud.holder)
    with pytest.raises(NodeError) as raised:
        make(address).take()
    begins = f"parameter ip: {address} is inside {PREFIXES[address]}, which is delegated to {eni}: EC2 assigns no"
    assert str(raised.value).startswith(begins)
    assert "expected an address outside delegated prefixes (Assign" in str(raised.value)
    assert "InvalidParameterValue" in str(raised.value)
    assert cloud.writes == [f"assign {address}"]
    assert cloud.holder == before
    assert cloud.searches == 1
    assert cloud.now == 0.0


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_another_prefix_is_no_reason(cloud: Cloud, make: Make, address: str) -> None:
    """A prefix that the address is not inside prevents nothing; no read more than without one."""
    cloud.prefixes = {OTHER: ["10.0.1.16/28", "2001:db8:1:0:1::/80"]}
    make(address).take()
    assert cloud.holder[address] == MINE
    assert cloud.searches == (1 if address == IPV6 else 0)


def test_a_primary_address(cloud: Cloud, make: Make) -> None:
    """NodeError with what to do, and EC2's words behind it: it is the primary one of another ENI."""
    cloud.fail["assign"] = [Error("AssignPrivateIpAddresses: InvalidParameterValue: something else")]
    with pytest.raises(NodeError, match=rf"10\.0\.1\.5 is the primary address of {OTHER}, .*something else"):
        make("10.0.1.5").take()


@pytest.mark.parametrize("search", [None, UnknownError("no answer"), DeniedError("denied")])
def test_a_refusal_that_no_prefix_explains(cloud: Cloud, make: Make, search: Optional[Error]) -> None:
    """EC2's own words are told, also where the subnet cannot be read."""
    cloud.fail["assign"] = [Error("AssignPrivateIpAddresses: InvalidParameterValue: something else")]
    cloud.fail["search"] = [] if search is None else [search]
    with pytest.raises(Error, match="something else") as raised:
        make().take()
    assert type(raised.value) is Error


@pytest.mark.parametrize("refusal", [DeniedError("denied"), UnknownError("no answer"), NodeError("limit")])
def test_a_refusal_that_explains_itself(cloud: Cloud, make: Make, refusal: Error) -> None:
    """A missing permission, an outage, a limit: the subnet is not read for it."""
    cloud.prefixes = {OTHER: ["10.0.1.0/28"]}
    cloud.fail["assign"] = [refusal]
    with pytest.raises(type(refusal)) as raised:
        make().take()
    assert raised.value is refusal
    assert cloud.searches == 0


def test_a_stale_read_of_a_prefix(cloud: Cloud, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix that a read shows, and EC2 assigns all the same: EC2 decides."""
    cloud.holder.pop(IPV6)
    stale = cloud._eni(OTHER, {})._replace(prefixes=(ip_network(PREFIXES[IPV6]),))
    monkeypatch.setattr(cloud, "network_interfaces_in", lambda _: [stale])
    make(IPV6).take()
    assert cloud.holder[IPV6] == MINE
