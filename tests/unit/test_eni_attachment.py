"""Decisions of the ENI's attachment: from every state, with a fake EC2 on a clock of its own."""

from __future__ import annotations

import math
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Dict, List, Optional, Set, Tuple

import pytest
from aws_ipfailover.attachment import EniAttachment
from aws_ipfailover.ec2 import Attachment, Instance, NetworkInterface
from aws_ipfailover.last_write import LastWrite

from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import (
    DeniedError,
    DetachedError,
    Error,
    IndexTakenError,
    InUseError,
    NodeError,
    UnknownError,
)
from aws_ipfailover.failover import Where

ENI = "eni-0123456789abcdef0"
ME, OTHER = "i-0000000000000000a", "i-0000000000000000b"
NEVER = math.inf


class Cloud:
    """EC2 with one ENI; time passes only where the agent pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.attachment: Optional[Attachment] = None
        self.ends_at = NEVER  # when attaching or detaching ends
        self.attach_seconds = self.detach_seconds = self.force_seconds = 1.0
        self.states = {ME: "running", OTHER: "running"}
        self.zones = {ENI: "zone-a", ME: "zone-a"}
        self.indexes: Dict[str, Set[int]] = {ME: {0}, OTHER: {0}}
        self.hidden: Set[int] = set()  # indexes of ME that are taken and that no read shows
        self.stale: List[Optional[Attachment]] = []  # what the next reads answer instead
        self.errors: Dict[str, Error] = {}
        self.asked: List[Tuple[float, str]] = []  # the writes
        self.fenced_at = NEVER

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def holds(self, instance_id: str, status: str = "attached", index: int = 1, ends_in: float = NEVER) -> None:
        self.attachment = Attachment(f"eni-attach-{len(self.asked)}", instance_id, index, status)
        self.ends_at = self.now + ends_in

    def _advance(self) -> None:
        if self.now >= self.fenced_at:
            self.states[OTHER] = "stopped"
        if self.attachment is not None and self.now >= self.ends_at:
            if self.attachment.status == "attaching":
                self.attachment = self.attachment._replace(status="attached")
            elif self.attachment.status == "detaching":
                self.attachment = None
            self.ends_at = NEVER

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        self._advance()
        self._fail("DescribeNetworkInterfaces")
        shown = self.stale.pop(0) if self.stale else self.attachment
        addresses = (ip_address("10.0.1.60"),)
        zone = self.zones[ENI]
        return NetworkInterface(ENI, "vpc-1", True, "subnet-1", zone, "06:00:00:00:00:01", addresses, shown)

    def instance(self, instance_id: str) -> Instance:
        self._advance()
        self._fail("DescribeInstances")
        if instance_id not in self.states:
            raise NodeError(f"DescribeInstances: EC2 does not know {instance_id} in this region")
        zone = self.zones.get(instance_id, "zone-a")
        return Instance(instance_id, self.states[instance_id], zone, tuple(self.indexes[instance_id]))

    def subnet_cidrs(self, subnet_id: str) -> List[str]:
        return ["10.0.1.0/24"]

    def attach(self, network_interface_id: str, instance_id: str, device_index: int) -> None:
        self._advance()
        self.asked.append((self.now, f"attach {device_index}"))
        self._fail("AttachNetworkInterface")
        if self.attachment is not None:
            raise InUseError("AttachNetworkInterface: InvalidNetworkInterface.InUse")
        if device_index in self.indexes[instance_id] | self.hidden:
            raise IndexTakenError("AttachNetworkInterface: InvalidParameterValue")
        self.holds(instance_id, "attaching", device_index, self.attach_seconds)

    def detach(self, attachment_id: str, *, force: bool) -> None:
        self._advance()
        self.asked.append((self.now, "force" if force else "detach"))
        self._fail("DetachNetworkInterface")
        if self.attachment is None or self.attachment.attachment_id != attachment_id:
            raise DetachedError("DetachNetworkInterface: InvalidAttachmentID.NotFound")
        self.attachment = self.attachment._replace(status="detaching")
        self.ends_at = min(self.ends_at, self.now + (self.force_seconds if force else self.detach_seconds))

    def _fail(self, operation: str) -> None:
        if operation in self.errors:
            raise self.errors[operation]

    @property
    def writes(self) -> List[str]:
        return [what for _, what in self.asked]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """EC2, with the module's pauses on its clock."""
    made = Cloud()
    # The modules' own view of time: the clock of threads and of the test's other parts goes on.
    for name in ("attachment", "believing"):
        monkeypatch.setattr(f"aws_ipfailover.{name}.time", SimpleNamespace(sleep=made.pause))
    return made


@pytest.fixture
def make(cloud: Cloud, tmp_path: Path) -> object:
    """The holding; seconds of its deadline, and the configured device index."""

    def made(seconds: float = 300.0, index: Optional[int] = None) -> EniAttachment:
        memory = LastWrite({"HA_RSCTMP": str(tmp_path)}, ENI)
        deadline = Deadline(seconds, lambda: cloud.now)
        return EniAttachment(ENI, index, lambda: ME, lambda: cloud, memory, deadline, Progress(""))  # type: ignore[arg-type,return-value]

    return made


def taken(make: object, **options: object) -> None:
    """`prepare` and `take`, as a start does."""
    holding = make(**options)  # type: ignore[operator]
    holding.prepare()
    holding.take()


def here(cloud: Cloud, index: int = 1) -> bool:
    """Whether it is attached here, at this index."""
    found = cloud.attachment
    return found is not None and found[1:] == (ME, index, "attached")


# Holder, status, when that ends by itself, state of the holder -> the writes that take it here.
STATES: Dict[str, Tuple[Optional[str], str, float, str, List[str]]] = {
    "available": (None, "", NEVER, "running", ["attach 1"]),
    "here": (ME, "attached", NEVER, "running", []),
    "being attached here": (ME, "attaching", 5, "running", []),
    "being detached here": (ME, "detaching", 5, "running", ["attach 1"]),
    "stuck in its detachment here": (ME, "detaching", NEVER, "running", ["force", "attach 1"]),
    "elsewhere": (OTHER, "attached", NEVER, "running", ["detach", "attach 1"]),
    "with a stopped instance": (OTHER, "attached", NEVER, "stopped", ["force", "attach 1"]),
    "with a stopping instance": (OTHER, "attached", NEVER, "stopping", ["force", "attach 1"]),
    "with a terminated instance": (OTHER, "attached", NEVER, "terminated", ["force", "attach 1"]),
    "with a rebooting instance": (OTHER, "attached", NEVER, "pending", ["detach", "attach 1"]),
    "with an instance that EC2 forgot": (OTHER, "attached", NEVER, "", ["detach", "attach 1"]),
    "being attached elsewhere": (OTHER, "attaching", 5, "running", ["detach", "attach 1"]),
    "being detached elsewhere": (OTHER, "detaching", 5, "running", ["attach 1"]),
    "being detached from a stopped instance": (OTHER, "detaching", NEVER, "stopped", ["force", "attach 1"]),
    "stuck in its detachment elsewhere": (OTHER, "detaching", NEVER, "running", ["force", "attach 1"]),
}


@pytest.mark.parametrize("state", STATES)
def test_from_every_state(cloud: Cloud, make: object, state: str) -> None:
    """Whatever state it is in, it comes here, with these writes and no other."""
    holder, status, ends_in, of_holder, writes = STATES[state]
    if holder is not None:
        cloud.holds(holder, status, ends_in=ends_in)
        if of_holder:
            cloud.states[holder] = of_holder
        else:
            del cloud.states[holder]
    taken(make)
    assert here(cloud)
    assert cloud.writes == writes


def test_attached_here_at_another_index(cloud: Cloud, make: object) -> None:
    """It stays where it is, also where another index is configured: it serves."""
    cloud.holds(ME, index=3)
    taken(make, index=2)
    assert here(cloud, 3)
    assert cloud.writes == []


@pytest.mark.parametrize("seconds", [15.0, 60.0, 300.0])
def test_grace_before_force(cloud: Cloud, make: object, seconds: float) -> None:
    """A running holder has 30 s, or a third of what is left where that is less; then force comes, once."""
    cloud.holds(OTHER)
    cloud.detach_seconds = NEVER
    taken(make, seconds=seconds)
    assert cloud.writes == ["detach", "force", "attach 1"]
    (asked, _), (forced, _), _ = cloud.asked
    assert min(30.0, seconds / 3) * 0.9 <= forced - asked <= min(30.0, seconds / 3) + 1


def test_fenced_within_the_grace(cloud: Cloud, make: object) -> None:
    """The holder is stopped while its detachment hangs: force comes at once."""
    cloud.holds(OTHER)
    cloud.detach_seconds, cloud.fenced_at = NEVER, 3.0
    taken(make)
    assert cloud.writes == ["detach", "force", "attach 1"]
    assert cloud.asked[1][0] < 5.0


def test_nothing_detaches_it(cloud: Cloud, make: object) -> None:
    """UnknownError before the deadline, naming the state; force is asked for once."""
    cloud.holds(OTHER)
    cloud.detach_seconds = cloud.force_seconds = NEVER
    with pytest.raises(UnknownError, match="is detaching"):
        taken(make, seconds=40.0)
    assert cloud.writes == ["detach", "force"]
    assert 35.0 < cloud.now < 40.0


def test_it_went_between_read_and_write(cloud: Cloud, make: object) -> None:
    """An old read shows a holder that let go of it: EC2's answer to the detachment is no failure."""
    cloud.stale = [Attachment("eni-attach-9", OTHER, 1, "attached")] * 4
    taken(make)
    assert here(cloud)
    assert cloud.writes == ["detach", "attach 1"]


def test_an_old_read_says_available(cloud: Cloud, make: object) -> None:
    """It is in use while reads say available: EC2 refuses, and it is looked at again."""
    cloud.holds(OTHER)
    cloud.stale = [None, None]
    taken(make)
    assert here(cloud)
    assert cloud.writes == ["attach 1", "detach", "attach 1"]


def test_an_old_read_after_attaching(cloud: Cloud, make: object) -> None:
    """Reads that lag behind this node's own write cost a refused call, nothing else."""
    cloud.stale = [None, None, None]
    taken(make)
    assert here(cloud)
    assert set(cloud.writes) == {"attach 1"}


def test_an_old_read_of_what_stop_has_ended(cloud: Cloud, make: object) -> None:
    """A start right after this node's stop: a read that shows the attachment that stop has ended is an old one."""
    cloud.holds(ME)
    before = cloud.attachment
    make().release()  # type: ignore[operator]
    cloud.stale = [before] * 4
    taken(make)
    assert cloud.writes == ["detach", "attach 1"]
    assert here(cloud)
    # What has been attached since is believed.
    taken(make)
    assert cloud.writes == ["detach", "attach 1"]


def test_the_lowest_free_index(cloud: Cloud, make: object) -> None:
    """The lowest one above 0 that neither a read nor a refusal shows as taken."""
    cloud.indexes[ME] = {0, 1, 3}
    cloud.hidden = {2}
    taken(make)
    assert here(cloud, 4)
    assert cloud.writes == ["attach 2", "attach 4"]


def test_a_configured_index(cloud: Cloud, make: object) -> None:
    """The one that is configured, and NodeError where it is taken."""
    taken(make, index=7)
    assert here(cloud, 7)
    cloud.attachment, cloud.indexes[ME] = None, {0, 7}
    with pytest.raises(NodeError, match="device_index: 7 is taken"):
        taken(make, index=7)


@pytest.mark.parametrize("state", ["", "stopped"])
def test_zones(cloud: Cloud, make: object, state: str) -> None:
    """Another zone: NodeError that names overlay-ip, before anything is changed."""
    cloud.holds(OTHER)
    cloud.zones[ENI] = "zone-b"
    with pytest.raises(NodeError, match="mode=overlay-ip"):
        taken(make)
    assert cloud.writes == []


@pytest.mark.parametrize("holder", [ME, OTHER])
def test_primary(cloud: Cloud, make: object, holder: str) -> None:
    """The primary ENI of an instance: NodeError, before anything is changed."""
    cloud.holds(holder, index=0)
    with pytest.raises(NodeError, match="primary"):
        taken(make)
    assert cloud.writes == []


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface", "DescribeInstances"])
@pytest.mark.parametrize("kind", [DeniedError, NodeError])
def test_refusals(cloud: Cloud, make: object, operation: str, kind: type[Error]) -> None:
    """What EC2 refuses for good ends the start with that very error, at the first refusal."""
    cloud.holds(OTHER)
    cloud.errors[operation] = kind(operation)
    with pytest.raises(kind, match=operation):
        taken(make)
    assert len(cloud.writes) <= 2


@pytest.mark.parametrize(
    ("holder", "status", "writes"),
    [
        (ME, "attached", ["detach"]),
        (ME, "attaching", ["detach"]),
        (ME, "detaching", []),
        (OTHER, "attached", []),
        (None, "", []),
    ],
)
def test_release(cloud: Cloud, make: object, holder: Optional[str], status: str, writes: List[str]) -> None:
    """stop detaches it from this instance only, plainly, once, and does not wait for the end."""
    if holder is not None:
        cloud.holds(holder, status)
    make().release()  # type: ignore[operator]
    assert cloud.writes == writes
    assert cloud.now == 0.0


def test_release_of_a_primary_interface(cloud: Cloud, make: object) -> None:
    """A parameter that names this instance's primary ENI is no reason to ask for its detachment."""
    cloud.holds(ME, index=0)
    make().release()  # type: ignore[operator]
    assert cloud.writes == []


@pytest.mark.parametrize("operation", ["DescribeNetworkInterfaces", "DetachNetworkInterface"])
@pytest.mark.parametrize("kind", [DeniedError, NodeError, UnknownError, DetachedError])
def test_release_is_best_effort(cloud: Cloud, make: object, operation: str, kind: type[Error]) -> None:
    """Whatever EC2 says, stop does not fail."""
    cloud.holds(ME)
    cloud.errors[operation] = kind(operation)
    make().release()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("holder", "status", "where", "says"),
    [
        (ME, "attached", Where.HERE, ""),
        (ME, "detaching", Where.ELSEWHERE, "is detaching"),
        (OTHER, "attached", Where.ELSEWHERE, f"attached to {OTHER}"),
        (None, "", Where.ELSEWHERE, "attached to no instance"),
    ],
)
def test_where(cloud: Cloud, make: object, holder: Optional[str], status: str, where: Where, says: str) -> None:
    """HERE is attached to this instance, and nothing else is."""
    if holder is not None:
        cloud.holds(holder, status)
    holding = make()  # type: ignore[operator]
    assert holding.where() is where
    assert says in holding.explain()


def test_where_after_its_own_write(cloud: Cloud, make: object) -> None:
    """A read that contradicts this node's write of a moment ago is no evidence."""
    taken(make)
    cloud.holds(OTHER)
    with pytest.raises(UnknownError, match="reads can lag"):
        make().where()  # type: ignore[operator]
