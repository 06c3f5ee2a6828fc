"""What a packet filter certainly drops: rules of other programs; tests/kernel has rules of every kind."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.iptables_save import objects_of
from aws_ipfailover.diagnosis.local_network import packet_filters, rules_for
from aws_ipfailover.diagnosis.packet_filter import Dropping, dropping
from aws_ipfailover.errors import UnknownError

ADDRESS = ip_address("192.168.10.10")
# As Docker and kube-proxy leave the tables of iptables, with a published port.
DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -j DROP
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "from elsewhere" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
"""  # noqa: E501
# As ufw has it: everything is dropped but for what the administrator has allowed.
UFW = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
:ufw-not-local - [0:0]
-A INPUT -j ufw-before-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -j DROP
{}
COMMIT
"""
# As portblock of resource-agents, fail2ban, and an administrator who has shut the address.
PORTBLOCK = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -d 192.168.10.10/32 -p tcp -m multiport --dports 80 -j DROP\n"
FAIL2BAN = """*filter
:INPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
"""
SHUT = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i eth0 -d 192.168.10.0/24 -m comment --comment 'a b' -j DROP\n"


def told(text: str, device: str = "eth0") -> Optional[Dropping]:
    """What is told of rules of iptables."""
    return dropping(objects_of(text, "ip"), ADDRESS, device)


@pytest.mark.parametrize(
    "rules",
    [DOCKER, UFW.format("-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT"), PORTBLOCK, FAIL2BAN],
    ids=["docker", "ufw", "portblock", "fail2ban"],
)
def test_ordinary_firewalls_are_not_told(rules: str) -> None:
    """They let something through."""
    assert told(rules) is None


def test_a_firewall_that_lets_nothing_through_is() -> None:
    """ufw without a rule for anything, and an address that an administrator has shut."""
    found = told(UFW.format(""))
    assert str(found) == (
        "chain INPUT of table ip filter of iptables drops every new connection to 192.168.10.10, by its policy"
    )
    assert "by the rule with handle 1" in str(told(SHUT))
    assert told(SHUT, "eth1") is None
    assert told(SHUT, "") is None
    assert told(SHUT.replace("-d ", "! -d ")) is None
    assert told(SHUT.replace("-j DROP", "-j SOMETHING")) is None


@pytest.mark.parametrize(
    "line",
    [
        "-A INPUT -m bpf --bytecode '1,6 0 0 0' -j ACCEPT",
        '-A INPUT -m comment --comment "unbalanced -j ACCEPT',
        "-A INPUT -j NFQUEUE",
    ],
)
def test_what_is_not_understood_may_let_packets_through(line: str) -> None:
    """So that nothing is told."""
    assert told(f"*filter\n:INPUT DROP [0:0]\n{line}\n") is None


def test_rewritten_packets_are_others() -> None:
    """A connection that is redirected does not come to the address any more: a later hook says nothing of it."""
    redirected = "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -d 192.168.10.10/32 -j DNAT --to-destination 10.0.0.9\n"
    assert told(SHUT) is not None
    assert told(redirected + SHUT) is None


@pytest.mark.parametrize(
    "statement",
    [
        {
            "vmap": {
                "key": {"payload": {"protocol": "tcp", "field": "dport"}},
                "data": {"set": [[22, {"accept": None}]]},
            }
        },
        {"vmap": {"key": {"ct": {"key": "state"}}, "data": "@verdicts"}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "@mine"}},
        {"match": {"op": "<", "left": {"ct": {"key": "state"}}, "right": "new"}},
        {"match": {"op": "==", "left": "anything", "right": 1}},
        {"something": "new"},
        None,
    ],
    ids=str,
)
def test_of_nft_neither(statement: Any) -> None:
    """A statement or an expression of a release to come is one, too."""
    chain = {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "input", "policy": "drop"}
    rule = {"family": "inet", "table": "t", "chain": "c", "handle": 4, "expr": [statement, {"accept": None}]}
    assert dropping([{"chain": chain}, {"rule": rule}], ADDRESS, "eth0") is None
    assert dropping([{"chain": chain}], ADDRESS, "eth0") is not None


def test_chains_that_jump_to_each_other_end() -> None:
    """The kernel refuses them; so does a document that has them here."""
    chain = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "input", "policy": "drop"}
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 4, "expr": [{"jump": {"target": "c"}}]}
    assert dropping([{"chain": chain}, {"rule": rule}], ADDRESS, "eth0") is None


# -- from where rules are read -----------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with programs, and the kernel's files below net/."""
    (tmp_path / "net").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(node: Path, name: str, text: str, code: int = 0) -> None:
    """A program that prints a text."""
    (node / f"{name}.txt").write_text(text and f"{text}\n")
    (node / name).write_text(
        f'#!/bin/sh\nexec 3<{node}/{name}.txt\nwhile read -r line <&3; do echo "$line"; done\nexit {code}\n'
    )
    os.chmod(node / name, 0o755)  # fmt: skip


def read(node: Path, *versions: int) -> List[Any]:
    """The objects of this node."""
    return packet_filters(versions or (4,), Deadline(60), node / "net")


def test_a_kernel_without_a_packet_filter(node: Path) -> None:
    """Nothing is asked."""
    assert read(node, 4, 6) == []


def test_nft_alone(node: Path) -> None:
    """What it prints; nothing at all is no rules."""
    program(node, "nft", '{"nftables": [{"table": {}}, 7]}')
    assert read(node) == [{"table": {}}]
    program(node, "nft", "")
    assert read(node) == []


@pytest.mark.parametrize("name", ["iptables-save", "iptables-legacy-save"])
def test_legacy_tables_beside_nft(node: Path, name: str) -> None:
    """Where the kernel has such tables, for IPv4 here, they are read too."""
    program(node, "nft", '{"nftables": []}')
    program(node, name, SHUT)
    assert read(node) == []
    (node / "net" / "ip_tables_names").write_text("filter\n")
    assert dropping(read(node, 4, 6), ADDRESS, "eth0") is not None


def test_iptables_tells_nftables_where_there_is_no_nft(node: Path) -> None:
    """As on systems that have iptables-nft alone."""
    (node / "modules").write_text("nf_tables 300000 9 - Live 0x0\n")
    with pytest.raises(UnknownError, match="the kernel has nftables, and neither nft nor iptables-save is there"):
        read(node)
    program(node, "iptables-save", SHUT)
    assert dropping(read(node), ADDRESS, "eth0") is not None
    with pytest.raises(UnknownError, match="neither nft nor ip6tables-save is there"):
        read(node, 4, 6)


@pytest.mark.parametrize(("text", "code"), [("nonsense", 0), ("[]", 0), ('{"nftables": 1}', 0), ("", 1)])
def test_rules_that_cannot_be_read_are_not_none(node: Path, text: str, code: int) -> None:
    """As without root."""
    program(node, "nft", text, code)
    with pytest.raises(UnknownError, match=r"^nft "):
        read(node)


@pytest.mark.parametrize("file", ["net/ip_tables_names", "modules"])
def test_a_file_of_the_kernel_that_cannot_be_read_is_no_empty_one(node: Path, file: str) -> None:
    """As `ip_tables_names` by others than root: what it would have said is not known."""
    (node / file).mkdir()
    with pytest.raises(UnknownError, match=f"{file} cannot be read"):
        read(node)


def test_legacy_tables_that_nobody_prints(node: Path) -> None:
    """They are not known."""
    (node / "net" / "ip_tables_names").write_text("filter\n")
    with pytest.raises(UnknownError, match="the kernel has rules of iptables, and no iptables-save is there"):
        read(node)


# -- policy rules ------------------------------------------------------------------------------------------------------

ORDINARY = [{"priority": 0, "src": "all", "table": "local"}, {"priority": 32766, "src": "all", "table": "main"}]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"priority": 9, "src": "192.168.10.10", "table": "100"}, "9: from 192.168.10.10 lookup 100"),
        ({"priority": 9, "src": "192.168.0.0", "srclen": 16, "action": "blackhole"}, "9: from 192.168.0.0 blackhole"),
        ({"priority": 9, "src": "10.0.0.0", "srclen": 8, "not": None, "table": "1"}, "9: not from 10.0.0.0 lookup 1"),
        ({"priority": 9, "src": "?", "table": "1"}, "9: from ? lookup 1"),
        ({"priority": 9, "src": "192.168.10.10", "iif": "lo", "table": "1"}, "9: from 192.168.10.10 lookup 1"),
        ({"priority": 9, "src": "192.168.10.10", "iif": "eth0", "table": "1"}, None),
        ({"priority": 9, "src": "192.168.10.11", "table": "1"}, None),
        ({"priority": 9, "src": "2001:db8::1", "table": "1"}, None),
        ({"priority": 9, "src": "192.168.0.0", "srclen": 16, "not": None, "table": "1"}, None),
        ({"priority": 9, "src": "all", "fwmark": "0x1", "table": "1"}, None),
    ],
)
def test_rules_that_are_for_the_address(rule: Dict[str, Any], expected: Optional[str]) -> None:
    """By their source; those for what comes in, and for all alike, are not."""
    assert rules_for([*ORDINARY, rule], ADDRESS) == ([expected] if expected else [])
