"""diagnosis/packet_filter.py on rules in a real kernel, beside what becomes of real packets."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_address
from typing import IO, Iterator

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.local_network import packet_filters
from aws_ipfailover.diagnosis.packet_filter import dropping
from sandbox import ip, make_interface, need_commands, need_root, network_namespace
from vpc_lab.waiting import eventually

ADDRESS = "192.168.10.10"
# At each line: new connections to some ports by TCP, datagrams, and a ping; nobody waits for an answer.
SENDS = f"""
import socket, struct, sys
print("here", flush=True)
for number, _ in enumerate(sys.stdin, 1):  # each ping is of another connection
    for port in (22, 443, 9999):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("{ADDRESS}", port))
    for port in (53, 5000):
        socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("{ADDRESS}", port))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.sendto(struct.pack("!BBHHH", 8, 0, 0xffff - 0x0800 - number - 1, number, 1), ("{ADDRESS}", 0))
"""
SENT = 6
# Counts all that comes for the address, what of that gets to sockets, and what leaves from it.
COUNTS = f"""
table inet counted {{
  counter came {{ }}
  counter passed {{ }}
  counter left {{ }}
  chain first {{ type filter hook prerouting priority -500; ip daddr {ADDRESS} counter name came; }}
  chain last {{ type filter hook input priority 1000; ip daddr {ADDRESS} counter name passed; }}
  chain out {{ type filter hook postrouting priority 1000; ip saddr {ADDRESS} counter name left; }}
}}
"""
INPUT = "chain input {{ type filter hook input priority 0; policy {policy}; {rules} }}"
OUTPUT = "chain output {{ type filter hook output priority 0; {rules} }}"
ARRIVING, LEAVING = "every new connection to 192.168.10.10", "every answer from 192.168.10.10"


@pytest.fixture(scope="module")
def consumer() -> Iterator[IO[str]]:
    """A node with the address on eth0; a line that is written to the consumer, at the other end, has it send."""
    need_root()
    need_commands("nft", "nsenter", "unshare")
    with network_namespace():
        make_interface("eth0")
        ip("link", "set", "dev", "lo", "up")
        ip("address", "add", "10.0.0.1/24", "dev", "eth0")
        ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
        argv = ["unshare", "--net", sys.executable, "-c", SENDS]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            try:
                assert other.stdin is not None
                assert other.stdout is not None
                assert other.stdout.readline() == "here\n"
                ip("link", "set", "dev", "peer-eth0", "netns", str(other.pid))
                for command in (
                    ["link", "set", "dev", "peer-eth0", "up"],
                    ["address", "add", "10.0.0.2/24", "dev", "peer-eth0"],
                    ["route", "add", f"{ADDRESS}/32", "via", "10.0.0.1"],
                ):
                    subprocess.run(["nsenter", f"--net=/proc/{other.pid}/ns/net", "ip", *command], check=True)
                yield other.stdin
            finally:
                other.kill()


def load(rules: str) -> None:
    """Give this node rules in nft's words, and no others."""
    subprocess.run(["nft", "-f", "-"], input=f"flush ruleset\n{rules}", text=True, check=True)


def count(name: str) -> int:
    """How many packets a counter has seen."""
    done = subprocess.run(
        ["nft", "--json", "list", "counter", "inet", "counted", name], capture_output=True, text=True, check=True
    )
    (found,) = [one["counter"]["packets"] for one in json.loads(done.stdout)["nftables"] if "counter" in one]
    return int(found)


RULES = {
    "nothing": ("", ""),
    "a policy": (INPUT.format(policy="drop", rules=""), f"drops {ARRIVING}, by its policy"),
    "a firewall": (
        INPUT.format(
            policy="drop",
            rules="ct state established,related accept; iif lo accept; tcp dport 22 accept; ip protocol icmp accept;",
        ),
        "",
    ),
    "a firewall with a map": (
        INPUT.format(
            policy="accept",
            rules="ct state vmap { established : accept, related : accept, invalid : drop }; iifname lo accept;"
            " ip daddr 192.168.10.0/24 counter reject;",
        ),
        f"drops {ARRIVING}, by the rule with handle",
    ),
    "a set of ranges": (
        INPUT.format(policy="accept", rules="ip daddr { 10.9.0.0/16, 192.168.10.1-192.168.10.20 } drop;"),
        ARRIVING,
    ),
    "another range": (INPUT.format(policy="accept", rules="ip daddr 192.168.10.1-192.168.10.9 drop;"), ""),
    "all but": (INPUT.format(policy="accept", rules="ip daddr != 10.0.0.1 drop;"), ARRIVING),
    "all but this": (INPUT.format(policy="accept", rules=f"ip daddr != {ADDRESS} drop;"), ""),
    "another interface": (INPUT.format(policy="accept", rules="iifname \"docker*\" drop;"), ""),
    "its interface": (INPUT.format(policy="accept", rules="iifname \"eth*\" drop;"), ARRIVING),
    "IPv6": (INPUT.format(policy="accept", rules="meta nfproto ipv6 drop;"), ""),
    "one consumer": (INPUT.format(policy="accept", rules="ip saddr 10.0.0.2 drop;"), ""),
    "one port": (INPUT.format(policy="accept", rules="tcp dport { 22, 443 } drop;"), ""),
    "some at random": (INPUT.format(policy="accept", rules="limit rate 1000/second accept; drop;"), ""),
    "a chain": (
        "chain mine { ip saddr 10.9.9.9 return; drop; }\n"
        + INPUT.format(policy="accept", rules=f"ip daddr {ADDRESS} jump mine;"),
        "",
    ),
    "a chain that ends": (
        "chain mine { tcp dport 1 drop; ip daddr 10.9.9.9 return; drop; }\n"
        + INPUT.format(policy="accept", rules=f"ip daddr {ADDRESS} jump mine;"),
        "of chain mine",
    ),
    "go to a chain": (
        "chain mine { ct state new return; drop; }\n" + INPUT.format(policy="drop", rules="goto mine;"),
        "by its policy",
    ),
    "accepted before": (INPUT.format(policy="drop", rules=f"ip daddr {ADDRESS} accept; drop;"), ""),
    "accepted by another chain": (
        "chain early { type filter hook input priority -10; accept; }\n" + INPUT.format(policy="drop", rules=""),
        ARRIVING,
    ),
    "before routing": (
        f"chain raw {{ type filter hook prerouting priority -300; ip daddr {ADDRESS} drop; }}",
        ARRIVING,
    ),
    "not tracked": (
        "chain raw { type filter hook prerouting priority -300; notrack; }\n"
        + INPUT.format(policy="drop", rules="ct state untracked accept;"),
        "",
    ),
    "answers": (OUTPUT.format(rules=f"ip saddr {ADDRESS} drop;"), f"drops {LEAVING}, by the rule"),
    "new connections of its own": (OUTPUT.format(rules="ct state new drop;"), ""),
    "answers by lo": (OUTPUT.format(rules="oifname lo drop;"), ""),
    "a table that sleeps": ("flags dormant;\n" + INPUT.format(policy="drop", rules=""), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_what_is_told_is_so(name: str, consumer: IO[str]) -> None:
    """Where it is told that all is dropped, no packet gets through; where one gets through, nothing is told."""
    rules, told = RULES[name]
    load(f"table inet service {{\n{rules}\n}}\n{COUNTS}")
    found = dropping(packet_filters([4], Deadline(20)), ip_address(ADDRESS), "eth0")
    assert (found is None) is (told == ""), found
    assert told in str(found or "")
    consumer.write("now\n")
    consumer.flush()
    assert eventually("the arrival of all packets", lambda: count("came") >= SENT)
    if found is not None:
        assert count("left" if LEAVING in str(found) else "passed") == 0


@pytest.mark.usefixtures("consumer")
def test_of_another_version_nothing_is_told() -> None:
    """Rules for IPv4 alone say nothing of an address of IPv6."""
    load(f"table ip service {{\n{INPUT.format(policy='drop', rules='')}\n}}")
    objects = packet_filters([4, 6], Deadline(20))
    assert dropping(objects, ip_address("2001:db8::1"), "eth0") is None
    assert dropping(objects, ip_address(ADDRESS), "eth0") is not None
