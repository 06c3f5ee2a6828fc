"""ICMP messages: echo requests, and what answers them. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

ICMP_ECHO_REPLY, ICMP_UNREACHABLE, ICMP_ECHO = 0, 3, 8  # RFC 792
ICMP6_UNREACHABLE, ICMP6_ECHO, ICMP6_ECHO_REPLY = 1, 128, 129  # RFC 4443
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
SIGNATURE = struct.Struct("!8sQ")  # this process's random cookie, the question's full sequence number
IPV6_HEADER = 40


class Reply(NamedTuple):
    """An ICMP message that concerns one of our questions: the TTL it arrived with, or None for "unreachable"."""

    sequence: int
    ttl: Optional[int]


def checksum(message: bytes) -> int:
    """The Internet checksum (RFC 1071). The kernel computes that of ICMPv6 itself."""
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total >> 16) + (total & 0xFFFF)
    folded: int = ~(total + (total >> 16)) & 0xFFFF
    return folded


def echo_request(kind: int, identifier: int, sequence: int, cookie: bytes) -> bytes:
    """An echo request that carries the cookie and the full sequence number."""
    payload = SIGNATURE.pack(cookie, sequence)
    message = ECHO.pack(kind, 0, 0, identifier, sequence & 0xFFFF) + payload
    return ECHO.pack(kind, 0, checksum(message), identifier, sequence & 0xFFFF) + payload


def signed_sequence(message: bytes, kind: int, cookie: bytes) -> Optional[int]:
    """The sequence number in `message` if it is an echo of type `kind` that carries our cookie."""
    if len(message) < ECHO.size + SIGNATURE.size or message[0] != kind:
        return None
    carried: bytes
    sequence: int
    carried, sequence = SIGNATURE.unpack_from(message, ECHO.size)
    return sequence if carried == cookie else None


def parse_icmp(packet: bytes, cookie: bytes) -> Optional[Reply]:
    """What an IPv4 packet from a raw socket (header included) says about one of our questions, if it does."""
    if len(packet) < 20:
        return None
    message = packet[(packet[0] & 0x0F) * 4 :]
    sequence = signed_sequence(message, ICMP_ECHO_REPLY, cookie)
    if sequence is not None:
        return Reply(sequence, packet[8])
    quoted = message[8:]
    if len(quoted) >= 20 and message[0] == ICMP_UNREACHABLE:
        sequence = signed_sequence(quoted[(quoted[0] & 0x0F) * 4 :], ICMP_ECHO, cookie)
        return None if sequence is None else Reply(sequence, None)
    return None


def parse_icmp6(message: bytes, hop_limit: int, cookie: bytes) -> Optional[Reply]:
    """As `parse_icmp`; a raw ICMPv6 socket gives no header, the hop limit comes beside it."""
    sequence = signed_sequence(message, ICMP6_ECHO_REPLY, cookie)
    if sequence is not None:
        return Reply(sequence, hop_limit)
    if message[:1] == bytes([ICMP6_UNREACHABLE]):
        sequence = signed_sequence(message[8 + IPV6_HEADER :], ICMP6_ECHO, cookie)
        return None if sequence is None else Reply(sequence, None)
    return None


def parse_ping(message: bytes, ttl: int, cookie: bytes) -> Optional[Reply]:
    """As `parse_icmp`; a ping socket gives no header, the TTL comes beside it, and replies are all that it gives."""
    sequence = signed_sequence(message, ICMP_ECHO_REPLY, cookie)
    return None if sequence is None else Reply(sequence, ttl)
