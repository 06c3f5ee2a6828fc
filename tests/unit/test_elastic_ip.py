"""holdings/elastic_ip.py: when it is requested, what is believed of it, and that no failure of it is the service's."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address
from pathlib import Path
from typing import List, Optional, Union, cast

import pytest

from aws_ipfailover import consistency
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.models import ElasticIp
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import DeniedError, Error, ExpiredError, MissingError, NodeError, UnknownError
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings.elastic_ip import ElasticIpAssociation, WithElasticIp
from aws_ipfailover.steps import Step

ALLOCATION, MINE, OTHER = "eipalloc-1", "eni-1", "eni-2"


class Cloud:
    """EC2: `reads` are the ENIs that it shows the Elastic IP to be associated with, one read after the other.

    `refuses`: what AssociateAddress raises. `done`: what has been done, in order.
    """

    def __init__(self, *reads: Union[str, Error], refuses: Optional[Error] = None) -> None:
        self.reads = list(reads)
        self.refuses = refuses
        self.done: List[str] = []

    def elastic_ip(self, allocation_id: str) -> ElasticIp:
        """The next read."""
        self.done.append("read")
        read = self.reads.pop(0)
        if isinstance(read, Error):
            raise read
        return ElasticIp(allocation_id, "203.0.113.1", read, IPv4Address("10.0.1.9") if read else None)

    def associate_address(self, allocation_id: str, eni: str, private: Optional[IPv4Address]) -> None:
        """Associate it, or refuse."""
        self.done.append("associate")
        if self.refuses is not None:
            raise self.refuses


def association(cloud: Cloud, directory: Path, private: Optional[str] = None) -> ElasticIpAssociation:
    """The association with this node's ENI; waiting takes no time."""
    now = [0.0]
    deadline = Deadline(20.0, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    memory = WriteMemory({"HA_RSCTMP": str(directory)}, ALLOCATION)
    address = None if private is None else IPv4Address(private)
    return ElasticIpAssociation(ALLOCATION, MINE, address, cast(Ec2, cloud), memory, deadline, Progress(""))


class Routes:
    """Another holding in the cloud, of which only the order matters."""

    local = False

    def __init__(self, cloud: Cloud) -> None:
        self._done = cloud.done

    def take(self) -> None:
        """Take them."""
        self._done.append("routes")

    def release(self) -> None:
        """Release them."""
        self._done.append("released")

    def look(self) -> Look:
        """Look at them."""
        return Look(Where.ELSEWHERE, "routes")

    def plan(self) -> List[Step]:
        """Nothing."""
        return []

    def repair(self) -> Repair:
        """Repair them."""
        return Repair("routes")


def test_it_is_requested_once_beside_another_holding(tmp_path: Path) -> None:
    """One AssociateAddress, requested when the other holding is taken; everything else is the other holding's."""
    cloud = Cloud()
    one = association(cloud, tmp_path)
    both = WithElasticIp(Routes(cloud), one)
    both.take()
    one.take()
    assert sorted(cloud.done) == ["associate", "routes"]
    assert both.look().why == "routes"
    assert both.repair().mended == "routes"
    both.release()
    assert cloud.done[-1] == "released"


@pytest.mark.parametrize(
    "refusal",
    [
        Error("AssociateAddress: Any"),
        NodeError("AssociateAddress: N"),
        DeniedError("A"),
        MissingError("A"),
        UnknownError("A"),
    ],
)
def test_no_failure_ends_a_start(refusal: Error, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever EC2 answers, `take` returns, with one error in the log that has EC2's words."""
    association(Cloud(refuses=refusal), tmp_path).take()
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert str(refusal) in record.getMessage()
    assert ALLOCATION in record.getMessage()


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ((MINE,), Where.HERE),
        ((OTHER, OTHER), Where.ELSEWHERE),
        (("", ""), Where.ELSEWHERE),
        (("", OTHER), Where.ELSEWHERE),
    ],
)
def test_two_reads(reads: List[str], expected: Where, tmp_path: Path) -> None:
    """Here by one read, elsewhere by two."""
    cloud = Cloud(*reads)
    assert association(cloud, tmp_path).look().where is expected
    assert cloud.reads == []


def test_a_single_contradiction(tmp_path: Path) -> None:
    """A read that the next one does not agree with is not believed."""
    assert association(Cloud(OTHER, MINE), tmp_path).look() == HERE


def test_another_private_address(tmp_path: Path) -> None:
    """Associated with the right ENI, and another address of it than the service's: elsewhere."""
    assert association(Cloud(MINE), tmp_path, "10.0.1.9").look() == HERE
    found = association(Cloud(MINE, MINE), tmp_path, "10.0.1.50").look()
    assert found.where is Where.ELSEWHERE
    assert "10.0.1.9 instead of 10.0.1.50" in found.why


def test_an_own_write(tmp_path: Path) -> None:
    """After this node's own success a contradiction is unknown; after its failure it counts, whatever came before."""
    association(Cloud(), tmp_path).take()
    with pytest.raises(UnknownError):
        association(Cloud(OTHER), tmp_path).look()
    association(Cloud(refuses=DeniedError("AssociateAddress: UnauthorizedOperation")), tmp_path).take()
    assert association(Cloud(OTHER, OTHER), tmp_path).look().where is Where.ELSEWHERE


def test_repair(tmp_path: Path) -> None:
    """What EC2 refuses is a failed repair of something that is served all the same; without an answer it is unknown."""
    assert association(Cloud(), tmp_path).repair().mended
    refused = association(Cloud(refuses=NodeError("AssociateAddress: N")), tmp_path).repair()
    assert "AssociateAddress: N" in refused.failed
    assert refused.leads_here is True
    with pytest.raises(UnknownError):
        association(Cloud(refuses=UnknownError("AssociateAddress: X")), tmp_path).repair()


@pytest.mark.parametrize(
    ("refuses", "helps"),
    [
        (DeniedError("AssociateAddress: UnauthorizedOperation"), False),
        (NodeError("AssociateAddress: N"), False),
        (UnknownError("AssociateAddress: RequestLimitExceeded"), True),
        (ExpiredError("AssociateAddress: RequestExpired"), True),
        (Error("AssociateAddress: X"), True),
        (None, True),
    ],
)
def test_a_restart_does_not_help_against_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Optional[Error], helps: bool
) -> None:
    """ "One that cannot be associated … 190 at level 10": a restart would end there again."""
    monkeypatch.setattr(consistency, "SETTLE_SECONDS", 0.0)
    association(Cloud(refuses=refuses), tmp_path).take()
    found = association(Cloud(OTHER, OTHER), tmp_path).look()
    assert (found.where, found.restart_helps) == (Where.ELSEWHERE, helps)
