"""Tell the neighbours on a link that an address is at this interface now: gratuitous ARP, and its IPv6 counterpart.

A neighbour that remembers the previous holder's MAC address goes on sending there until its entry expires. Facts:
RFC 5227, section 2.3 (an ARP announcement is a request, its target hardware address is zero); RFC 4861, section 7.2.6
(an unsolicited neighbour advertisement, at most three of them); Linux net/ipv4/arp.c and net/ipv6/ndisc.c, which send
the same frames under the sysctls arp_notify and ndisc_notify, and update an existing entry by them whatever its age.
IPaddr2 of resource-agents sends ARP requests too, or replies with `send_arp_opts=-A`, because some stacks heed only one
of the two; here both are sent.

The frames go out back to back, without a pause: a wait between them would make each start longer, and nothing
would end a process that goes on after the operation. Against loss, call `announce` again at the end of the start: the
time in between is the interval, and a call takes a fraction of a millisecond.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import List, Optional, Union

from aws_ipfailover.errors import Error

# MAX_NEIGHBOR_ADVERTISEMENT of RFC 4861, section 10; ANNOUNCE_NUM of RFC 5227 is 2.
COPIES = 3

_BROADCAST = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")  # RFC 2464, section 7
_TYPE_ARP, _TYPE_IPV6 = b"\x08\x06", b"\x86\xdd"
_ARP_ETHERNET_IPV4 = bytes.fromhex("0001 0800 06 04")  # hardware type, protocol type, length of each one's addresses
_ARP_REQUEST, _ARP_REPLY = b"\x00\x01", b"\x00\x02"
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = b"\x88\x00"  # type 136, code 0
_OVERRIDE = bytes.fromhex("20000000")  # flags: neither sent by a router nor solicited
_TARGET_MAC = b"\x02\x01"  # option 2, one unit of eight octets
_HARDWARE_ETHERNET = 1  # ARPHRD_ETHER


def announce(address: Union[IPv4Address, IPv6Address], device: str, mac: Optional[str] = None) -> None:
    """Announce `address` on `device`, `COPIES` times; returns at once.

    `mac`: of the interface, in any spelling with colons; by default the one that the kernel reports. The address
    need not be configured. An interface that is up but has no carrier yet drops the frames silently.

    Raises:
        Error: not sent: no such interface, down, not Ethernet, `mac` is malformed, or not root. The address
            itself may still work.
    """
    import socket  # noqa: PLC0415  here, because a probe loads this module and announces nothing

    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:  # protocol 0: receives nothing
            link.setblocking(False)
            link.bind((device, 0))
            _, _, _, hardware_type, own = link.getsockname()
            if hardware_type != _HARDWARE_ETHERNET:
                raise Error(f"announcing {address} on {device}: it is not an Ethernet interface")
            for frame in _frames(address, mac or own.hex(":")) * COPIES:
                link.send(frame)
    except OSError as error:
        raise Error(f"announcing {address} on {device}: {error.strerror or error}") from None
    except ValueError as error:
        raise Error(f"announcing {address} on {device}: {error}") from None


def gratuitous_arp(mac: str, address: IPv4Address, *, reply: bool = False) -> bytes:
    """An Ethernet frame: the ARP announcement of `address` at `mac`, as a request or as a reply; 42 octets.

    A reply names `mac` as its target too: Linux takes it for gratuitous only then (`arp_is_garp`).
    """
    own = _octets(mac)
    operation, target = (_ARP_REPLY, own) if reply else (_ARP_REQUEST, bytes(6))
    arp = _ARP_ETHERNET_IPV4 + operation + own + address.packed + target + address.packed
    return _BROADCAST + own + _TYPE_ARP + arp


def neighbour_advertisement(mac: str, address: IPv6Address, source: Optional[IPv6Address] = None) -> bytes:
    """An Ethernet frame: the unsolicited neighbour advertisement of `address` at `mac`, to all nodes; 86 octets.

    With the override flag, and hop limit 255, without which receivers discard it (RFC 4861, section 7.1.2).
    `source`: the sending address, one of this interface; by default `address`, as the kernel does.
    """
    own = _octets(mac)
    addresses = (source or address).packed + _ALL_NODES.packed
    after_checksum = _OVERRIDE + address.packed + _TARGET_MAC + own
    length = len(_NEIGHBOUR_ADVERTISEMENT) + 2 + len(after_checksum)
    # RFC 8200, section 8.1: both addresses, the length and the protocol are part of what is summed up.
    summed = addresses + length.to_bytes(4, "big") + _ICMPV6.to_bytes(4, "big")
    checksum = _checksum(summed + _NEIGHBOUR_ADVERTISEMENT + bytes(2) + after_checksum)
    header = b"\x60\x00\x00\x00" + length.to_bytes(2, "big") + bytes((_ICMPV6, 255)) + addresses
    message = _NEIGHBOUR_ADVERTISEMENT + checksum + after_checksum
    return _ALL_NODES_MAC + own + _TYPE_IPV6 + header + message


def _frames(address: Union[IPv4Address, IPv6Address], mac: str) -> List[bytes]:
    if isinstance(address, IPv6Address):
        return [neighbour_advertisement(mac, address)]
    return [gratuitous_arp(mac, address), gratuitous_arp(mac, address, reply=True)]


def _octets(mac: str) -> bytes:
    octets = bytes.fromhex(mac.replace(":", ""))
    if len(octets) != len(_BROADCAST):
        raise ValueError(f"{mac!r} is not a MAC address of six octets")
    return octets


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of an even number of octets."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2, "big")
