"""announcements: the frames, octet by octet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from aws_ipfailover.kernel.announcements import gratuitous_arp, neighbour_advertisement

MAC = "06:aB:00:00:00:01"


def test_an_arp_announcement() -> None:
    """RFC 5227: broadcast, an ARP request whose sender and target protocol address are both the address."""
    assert gratuitous_arp(MAC, IPv4Address("10.0.1.60")).hex(" ") == (
        "ff ff ff ff ff ff 06 ab 00 00 00 01 08 06"
        " 00 01 08 00 06 04 00 01"
        " 06 ab 00 00 00 01 0a 00 01 3c"
        " 00 00 00 00 00 00 0a 00 01 3c"
    )


def test_an_arp_reply() -> None:
    """The reply names the MAC address twice: Linux takes it for gratuitous only then."""
    assert gratuitous_arp(MAC, IPv4Address("10.0.1.60"), reply=True).hex(" ") == (
        "ff ff ff ff ff ff 06 ab 00 00 00 01 08 06"
        " 00 01 08 00 06 04 00 02"
        " 06 ab 00 00 00 01 0a 00 01 3c"
        " 06 ab 00 00 00 01 0a 00 01 3c"
    )


def test_a_neighbour_advertisement() -> None:
    """RFC 4861: to ff02::1, hop limit 255, unsolicited, override, the target's MAC address as option, checksum.

    The checksum by hand: the 16-bit words of pseudo-header and message add up to 20c3c, which is 2 * (2001 + db8 + 60)
    for sender and target, ff02 + 1, length 20, protocol 3a, 8800 + 2000, 201 + 6ab + 0 + 1; c3c + 2 = c3e; ffff - c3e.
    """
    assert neighbour_advertisement(MAC, IPv6Address("2001:db8::60")).hex(" ") == (
        "33 33 00 00 00 01 06 ab 00 00 00 01 86 dd"
        " 60 00 00 00 00 20 3a ff"
        " 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 60"
        " ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01"
        " 88 00 f3 c1 20 00 00 00"
        " 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 60"
        " 02 01 06 ab 00 00 00 01"
    )


def test_another_sender() -> None:
    """The source is the sender's address only; the target stays what is announced."""
    frame = neighbour_advertisement(MAC, IPv6Address("2001:db8::60"), IPv6Address("fe80::1"))
    assert frame[22:38] == IPv6Address("fe80::1").packed
    assert frame[62:78] == IPv6Address("2001:db8::60").packed


@pytest.mark.parametrize("mac", ["", "06:00:00:00:00", "06:00:00:00:00:01:02", "nonsense"])
def test_what_is_no_mac_address(mac: str) -> None:
    """ValueError for anything but six octets: it would be a frame that means something else."""
    with pytest.raises(ValueError, match=r"MAC address|hexadecimal"):
        gratuitous_arp(mac, IPv4Address("10.0.1.60"))
