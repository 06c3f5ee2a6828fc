"""ARP and neighbour discovery in a subnet whose instances know each other by MAC; frames in, frames out."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from vpc_lab.fabric.neighbours import Segment, mac_bytes, replies

OLD, NEW, ASKER, FAR = (mac_bytes(f"02:00:00:00:00:0{number}") for number in range(1, 5))
BROADCAST = b"\xff" * 6
ALL_NODES = b"\x33\x33\x00\x00\x00\x01"
ADDRESS, ADDRESS6 = IPv4Address("10.0.1.60"), IPv6Address("2001:db8::60")
MINE, MINE6 = IPv4Address("10.0.1.101"), IPv6Address("2001:db8::101")
SEGMENT = Segment(
    {"old": ("a", OLD), "new": ("a", NEW), "asker": ("a", ASKER), "far": ("b", FAR)},
    {("a", ADDRESS): NEW, ("a", ADDRESS6): NEW, ("a", MINE): ASKER, ("a", MINE6): ASKER},
)


def arp(sender: bytes, source: IPv4Address, target: IPv4Address, to: bytes = BROADCAST) -> bytes:
    """An ARP request; with `target` the sender's own, an announcement."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + sender + source.packed + bytes(6) + target.packed
    return to + sender + b"\x08\x06" + body


def icmpv6(kind: int, sender: bytes, source: IPv6Address, target: IPv6Address, to: bytes = ALL_NODES) -> bytes:
    """A neighbour solicitation (135) or advertisement (136), without a checksum, which the VPC does not look at."""
    body = struct.pack("!BBHI", kind, 0, 0, 0) + target.packed + b"\x01\x01" + sender
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source.packed + IPv6Address("ff02::1").packed
    return to + sender + b"\x86\xdd" + header + body


def test_arp_is_answered_with_the_holder_s_own_mac() -> None:
    """Not the router's: the reply goes to who asked, from the ENI that has the address."""
    ((device, reply),) = replies(SEGMENT, "asker", arp(ASKER, MINE, ADDRESS))
    assert device == "asker"
    assert reply[:14] == ASKER + NEW + b"\x08\x06"
    assert reply[20:] == b"\x00\x02" + NEW + ADDRESS.packed + ASKER + MINE.packed


def test_a_solicitation_is_answered_with_the_holder_s_own_mac() -> None:
    """By a solicited advertisement that overrides, with a checksum that is right."""
    ((device, reply),) = replies(SEGMENT, "asker", icmpv6(135, ASKER, MINE6, ADDRESS6))
    assert device == "asker"
    assert reply[:14] == ASKER + NEW + b"\x86\xdd"
    body = reply[54:]
    assert (body[0], body[4], body[8:24], body[24:]) == (136, 0x60, ADDRESS6.packed, b"\x02\x01" + NEW)
    pseudo = reply[22:54] + struct.pack("!II", len(body), 58)
    total = sum(struct.unpack(f"!{len(pseudo + body) // 2}H", pseudo + body))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_an_address_that_is_taken_is_defended_against_whoever_probes_for_it() -> None:
    """Duplicate address detection of another instance is answered to all nodes; the holder's own is not."""
    probe = icmpv6(135, ASKER, IPv6Address("::"), ADDRESS6)
    ((_, reply),) = replies(SEGMENT, "asker", probe)
    assert reply[:6] == ALL_NODES
    assert replies(SEGMENT, "new", icmpv6(135, NEW, IPv6Address("::"), ADDRESS6)) == []


@pytest.mark.parametrize(("to", "answered"), [(OLD, 0), (NEW, 1)])
def test_who_asks_the_old_holder_itself_gets_no_answer(to: bytes, answered: int) -> None:
    """So the entry of a neighbour table that is probed after the address has moved fails, and then is made anew."""
    assert len(replies(SEGMENT, "asker", arp(ASKER, MINE, ADDRESS, to))) == answered
    assert len(replies(SEGMENT, "asker", icmpv6(135, ASKER, MINE6, ADDRESS6, to))) == answered


@pytest.mark.parametrize("version", [4, 6])
def test_the_holder_s_announcement_is_carried_to_its_subnet(version: int) -> None:
    """As it is, to everybody there but itself, and not over a link that is cut."""
    frame = arp(NEW, ADDRESS, ADDRESS) if version == 4 else icmpv6(136, NEW, ADDRESS6, ADDRESS6)
    assert sorted(replies(SEGMENT, "new", frame)) == [("asker", frame), ("old", frame)]
    cut = replace(SEGMENT, cut=frozenset([("new", "old"), ("old", "new")]))
    assert replies(cut, "new", frame) == [("asker", frame)]


@pytest.mark.parametrize("version", [4, 6])
def test_a_wrong_announcement_is_not_carried(version: int) -> None:
    """Of an address that another ENI has."""
    frame = arp(OLD, ADDRESS, ADDRESS) if version == 4 else icmpv6(136, OLD, ADDRESS6, ADDRESS6)
    assert replies(SEGMENT, "old", frame) == []


def test_what_nobody_has_and_what_is_no_frame_is_not_answered() -> None:
    """Nor what comes from a device that is none of an instance, nor over the subnet's end."""
    unknown = ip_address("10.0.1.99")
    assert isinstance(unknown, IPv4Address)
    assert replies(SEGMENT, "asker", arp(ASKER, MINE, unknown)) == []
    assert replies(SEGMENT, "asker", b"short") == []
    assert replies(SEGMENT, "asker", arp(ASKER, MINE, ADDRESS)[:30]) == []
    assert replies(SEGMENT, "tgw0", arp(ASKER, MINE, ADDRESS)) == []
    assert replies(SEGMENT, "far", arp(FAR, MINE, ADDRESS)) == []
