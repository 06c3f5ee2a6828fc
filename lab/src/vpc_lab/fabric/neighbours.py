"""Who answers ARP and neighbour solicitations within a subnet, in a lab whose neighbour entries may be stale.

Every ENI's address is answered with that ENI's own MAC, so that an instance that has learnt it goes on sending there
after the address has moved to another ENI: until its entry expires, or an announcement of the new holder comes in
(gratuitous ARP, RFC 5227; unsolicited neighbour advertisement, RFC 4861). The VPC carries an announcement to all of the
subnet if it is right about the address. Whether AWS's does is not documented.

`replies()` is pure: a frame in, frames out. `Neighbours` does that on packet sockets of the caller's network namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import threading
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import FrozenSet, List, Mapping, Optional, Tuple

from vpc_lab.vpc import Address

_ETH_P_ARP = 0x0806
_ETH_P_IPV6 = 0x86DD
_SO_ATTACH_FILTER = 26
_OUTGOING = 4
_UNSPECIFIED = IPv6Address("::")
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ETHERNET, _ARP, _IPV6, _ICMPV6 = struct.Struct("!6s6sH"), struct.Struct("!HHBBH6s4s6s4s"), struct.Struct("!IHBB"), 54
# Classic BPF, which the kernel runs on every IPv6 packet: ICMPv6 of these two types, without extension headers.
_FILTER = (
    (0x30, 0, 0, 20),
    (0x15, 0, 4, socket.IPPROTO_ICMPV6),
    (0x30, 0, 0, _ICMPV6),
    (0x15, 1, 0, _SOLICITATION),
    (0x15, 0, 1, _ADVERTISEMENT),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)

Frames = List[Tuple[str, bytes]]


@dataclass(frozen=True)
class Segment:
    """What is known at one moment. `members`: by device its subnet and MAC; `macs`: by subnet and address the MAC.

    `cut`: pairs of devices between which nothing passes.
    """

    members: Mapping[str, Tuple[str, bytes]] = field(default_factory=dict)
    macs: Mapping[Tuple[str, Address], bytes] = field(default_factory=dict)
    cut: FrozenSet[Tuple[str, str]] = frozenset()

    def beside(self, device: str) -> List[str]:
        """The other devices of the same subnet that it reaches."""
        subnet = self.members[device][0]
        return [
            other
            for other, (theirs, _) in self.members.items()
            if theirs == subnet and other != device and (device, other) not in self.cut
        ]


def mac_bytes(mac: str) -> bytes:
    """`02:00:…` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def replies(segment: Segment, device: str, frame: bytes) -> Frames:
    """What the VPC sends, and to which devices, when `frame` comes in from the instance behind `device`."""
    if device not in segment.members or len(frame) < _ETHERNET.size:
        return []
    kind = _ETHERNET.unpack_from(frame)[2]
    if kind == _ETH_P_ARP and len(frame) >= _ETHERNET.size + _ARP.size:
        return _arp(segment, device, frame)
    if kind == _ETH_P_IPV6 and len(frame) >= _ICMPV6 + 24:
        return _neighbour_discovery(segment, device, frame)
    return []


def _arp(segment: Segment, device: str, frame: bytes) -> Frames:
    to, _, _ = _ETHERNET.unpack_from(frame)
    *_, operation, asker, sender, _, target = _ARP.unpack_from(frame, _ETHERNET.size)
    if sender == target:
        return _announced(segment, device, IPv4Address(sender), frame)
    mac = segment.members[device][1]
    owner = _owner(segment, device, to, IPv4Address(target))
    if operation != 1 or owner is None:
        return []
    body = _ARP.pack(1, 0x0800, 6, 4, 2, owner, target, asker, sender)
    return [(device, _ETHERNET.pack(mac, owner, _ETH_P_ARP) + body)]


def _neighbour_discovery(segment: Segment, device: str, frame: bytes) -> Frames:
    to, source = _ETHERNET.unpack_from(frame)[0], IPv6Address(frame[22:38])
    kind, target = frame[_ICMPV6], IPv6Address(frame[_ICMPV6 + 8 : _ICMPV6 + 24])
    if kind == _ADVERTISEMENT:
        # One that answers a question is the VPC's business, which has answered it.
        return _announced(segment, device, target, frame) if to[:2] == b"\x33\x33" else []
    owner = _owner(segment, device, to, target)
    if owner is None:
        return []
    mac = segment.members[device][1]
    if source == _UNSPECIFIED:
        # Duplicate address detection: everybody has to hear that the address is taken.
        source, mac, flags = IPv6Address("ff02::1"), b"\x33\x33\x00\x00\x00\x01", 0x20000000
    else:
        flags = 0x60000000
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, flags) + target.packed + b"\x02\x01" + owner
    check = _checksum(target.packed + source.packed + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body)
    body = body[:2] + struct.pack("!H", check) + body[4:]
    header = _IPV6.pack(6 << 28, len(body), socket.IPPROTO_ICMPV6, 255) + target.packed + source.packed
    return [(device, _ETHERNET.pack(mac, owner, _ETH_P_IPV6) + header + body)]


def _owner(segment: Segment, device: str, to: bytes, target: Address) -> Optional[bytes]:
    """The MAC to answer with: none for the asker's own address, nor when another MAC than the holder's was asked."""
    subnet, mac = segment.members[device]
    owner = segment.macs.get((subnet, target))
    everybody = to[0] & 1 == 1
    return owner if owner is not None and owner != mac and (everybody or to == owner) else None


def _announced(segment: Segment, device: str, address: Address, frame: bytes) -> Frames:
    subnet, mac = segment.members[device]
    if segment.macs.get((subnet, address)) != mac:
        return []
    return [(other, frame) for other in segment.beside(device)]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Neighbours:
    """Answers on every device of the network namespace of the thread that makes it, until `close`."""

    def __init__(self) -> None:
        self.segment = Segment()
        self._sockets = [
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)) for kind in (_ETH_P_ARP, _ETH_P_IPV6)
        ]
        _attach_filter(self._sockets[1])
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        os.close(self._ended)
        self._thread.join()
        for one in self._sockets:
            one.close()
        os.close(self._end)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._end, *(one.fileno() for one in self._sockets)], [], [])
            if self._end in ready:
                return
            for one in self._sockets:
                if one.fileno() in ready:
                    # A device, here or there, may go at any moment.
                    with contextlib.suppress(OSError):
                        self._answer(one)

    def _answer(self, one: socket.socket) -> None:
        frame, (device, _, kind, *_) = one.recvfrom(2048)
        if kind != _OUTGOING:
            for to, reply in replies(self.segment, device, frame):
                with contextlib.suppress(OSError):
                    one.sendto(reply, (to, 0))


def _attach_filter(to: socket.socket) -> None:
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER)
    held = ctypes.create_string_buffer(program)
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(held)))
