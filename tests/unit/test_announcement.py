"""holdings/announcement.py: who hears where the address is, and when."""

from __future__ import annotations

from ipaddress import ip_address
from typing import List, Optional, Tuple

import pytest

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error
from aws_ipfailover.failover import HERE
from aws_ipfailover.holdings import announcement
from aws_ipfailover.holdings.announcement import Announcement, announce_all
from aws_ipfailover.kernel.links import Link

LINK = Link("eth0", [], "02:00:00:00:00:01", virtual=False, alias="", up=True)
FIRST, SECOND = ip_address("10.0.1.9"), ip_address("2001:db8:1::9")


class Announced:
    """What was announced; `fail`: an address whose announcement fails."""

    def __init__(self, fail: Optional[Address] = None) -> None:
        self.fail = fail
        self.said: List[Tuple[Address, str, Optional[str]]] = []

    def __call__(self, address: Address, device: str, mac: Optional[str] = None) -> None:
        self.said.append((address, device, mac))
        if address == self.fail:
            raise Error(f"announcing {address} on {device}: no buffer space")


def test_an_address_is_announced_when_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "eni and private-ip announce the address": on its interface, with that one's MAC address, at each start."""
    announced = Announced()
    monkeypatch.setattr(announcement, "announce", announced)
    for _ in range(2):
        Announcement([FIRST], LINK).take()
    assert announced.said == [(FIRST, "eth0", LINK.mac)] * 2


def test_a_failure_is_a_warning_and_keeps_no_other_from_being_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The address works without it."""
    announced = Announced(fail=FIRST)
    monkeypatch.setattr(announcement, "announce", announced)
    announce_all([FIRST, SECOND], LINK)
    assert [address for address, _, _ in announced.said] == [FIRST, SECOND]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{FIRST} is not announced" in record.getMessage()


def test_it_is_local_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop and a monitor find nothing of it, and send nothing."""
    announced = Announced()
    monkeypatch.setattr(announcement, "announce", announced)
    one = Announcement([FIRST], LINK)
    one.release()
    assert (one.local, one.look(), announced.said) == (True, HERE, [])
