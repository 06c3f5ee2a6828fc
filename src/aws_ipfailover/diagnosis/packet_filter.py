"""Whether this node's packet filter certainly drops everything to an address, or all answers from it. Pure.

The service's ports and its consumers are not known: a rule for some of them lets something through, or leaves some.
A chain is told only where nothing at all can get past it, so that an ordinary firewall is never told.

Facts: nft(8) and libnftables-json(5): a packet passes every base chain of a hook; `drop` of one of them is final,
`accept` of one is not. Whatever is not known here may let packets through.
"""

from __future__ import annotations

import enum
from ipaddress import ip_address, ip_network
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address

Objects = Sequence[Mapping[str, Any]]

_DEEPEST = 16  # jumps; the kernel takes as many
# What a rule can do beside a verdict, and that neither matches nor lets through.
_INERT = ("counter", "log", "comment", "notrack", "last", "ct helper", "ct timeout", "ct expectation", "set", "mangle")
# What drops a packet.
_DROPS = ("drop", "reject")


class Dropping(NamedTuple):
    """A base chain that lets nothing through. `what` is dropped; `by`: its rule or its policy, in words."""

    family: str
    table: str
    chain: str
    what: str
    by: str

    def __str__(self) -> str:
        return f"chain {self.chain} of table {self.family} {self.table} drops {self.what}, by {self.by}"


class _Packets(NamedTuple):
    """All packets of a kind: they have `address` as `side`, and the connection's `state`.

    `device`: the interface that they come in by, empty where that is not known; `None` of packets that leave.
    """

    what: str
    hooks: Tuple[str, ...]
    address: Address
    side: str
    state: str
    device: Optional[str]


class _Match(enum.Enum):
    """How many of the packets a rule matches."""

    ALL = "all"
    SOME = "some, or that is not known"
    NONE = "none"


class _End(enum.Enum):
    """What becomes of packets in a chain, of all that do not end otherwise: they are dropped, or some may pass."""

    DROPPED = "dropped"
    MAY_PASS = "may pass"  # noqa: S105  no password
    GO_ON = "go on behind the chain"


def dropping(objects: Objects, address: Address, device: str) -> Optional[Dropping]:
    """The first base chain that drops every new connection to an address of this node, or every answer from it.

    `objects`: of `nft --json list ruleset`. `device`: the interface that packets to the address come in by; empty where
    that is not known.
    """
    arriving = _Packets(f"every new connection to {address}", ("prerouting", "input"), address, "daddr", "new", device)
    leaving = _Packets(f"every answer from {address}", ("output", "postrouting"), address, "saddr", "established", None)
    for packets in (arriving, leaving):
        found = _Ruleset(objects, packets).dropping()
        if found is not None:
            return found
    return None


class _Ruleset:
    """All chains of one version of IP, looked at for one kind of packets."""

    def __init__(self, objects: Objects, packets: _Packets) -> None:
        self._packets = packets
        self._rules: Dict[Tuple[str, str, str], List[Mapping[str, Any]]] = {}
        self._base: List[Mapping[str, Any]] = []
        families = ("inet", "ip" if packets.address.version == 4 else "ip6")
        asleep = {(one["family"], one["name"]) for one in _of(objects, "table") if _may_sleep(one)}
        for one in _of(objects, "chain"):
            awake = one["family"] in families and (one["family"], one["table"]) not in asleep
            if awake and one.get("hook") in packets.hooks and one.get("type") in ("filter", "route"):
                self._base.append(one)
        for one in _of(objects, "rule"):
            self._rules.setdefault((one["family"], one["table"], one["chain"]), []).append(one)
        rules = [one for one in _of(objects, "rule") if one["family"] in families]
        # Packets whose addresses are rewritten are others from there on.
        self._rewritten = any(_rewrites(one) for one in rules)
        if any("notrack" in statement for one in rules for statement in _statements(one)):
            self._packets = packets._replace(state="")  # it can be `untracked`

    def dropping(self) -> Optional[Dropping]:
        for one in sorted(self._base, key=lambda base: (self._packets.hooks.index(base["hook"]), base.get("prio", 0))):
            end, by = self._through(one["family"], one["table"], one["name"], 0)
            if end is _End.GO_ON and one.get("policy") == "drop":
                end, by = _End.DROPPED, "its policy"
            if end is _End.DROPPED and not (self._rewritten and self._packets.hooks.index(one["hook"])):
                return Dropping(one["family"], one["table"], one["name"], self._packets.what, by)
        return None

    def _through(self, family: str, table: str, chain: str, depth: int) -> Tuple[_End, str]:
        """What becomes of the packets in a chain, and by which rule where all are dropped."""
        if depth > _DEEPEST:
            return _End.MAY_PASS, ""
        some_returned = False
        for rule in self._rules.get((family, table, chain), ()):
            match, verdict, target = self._rule(rule.get("expr", ()))
            if match is _Match.NONE or not verdict:
                continue
            end, by = _End.GO_ON, f"the rule with handle {rule.get('handle')}"
            if verdict in _DROPS:
                end = _End.DROPPED
            elif verdict in ("jump", "goto"):
                end, inner = self._through(family, table, target, depth + 1)
                by = inner and f"{inner} of chain {target}"
            elif verdict not in ("return", "continue"):
                end = _End.MAY_PASS
            if end is _End.MAY_PASS:
                return end, ""
            if end is _End.DROPPED and match is _Match.ALL:
                return (_End.GO_ON, "") if some_returned else (end, by)
            if end is _End.GO_ON and verdict in ("return", "goto"):
                if match is _Match.ALL:
                    return end, ""
                some_returned = True
        return _End.GO_ON, ""

    def _rule(self, statements: Sequence[Any]) -> Tuple[_Match, str, str]:
        """Which packets a rule matches, its verdict, and where that jumps; the verdict is empty where it has none."""
        match = _Match.ALL
        for one in statements:
            kind, body = next(iter(one.items())) if isinstance(one, dict) and one else ("", None)
            if kind == "match":
                match = _both(match, _matched(body, self._packets))
            elif kind in ("limit", "quota", "ct count", "connlimit", "meter"):
                match = _both(match, _Match.SOME)
            elif kind == "vmap" and isinstance(body, dict):
                by_key, body = self._looked_up(body)
                match = _both(match, by_key)
                if match is not _Match.NONE:
                    return match, *_verdict(body)
            elif kind in ("jump", "goto"):
                return match, *_verdict(one)
            elif kind not in _INERT:
                return match, kind or "unknown", ""
            if match is _Match.NONE:
                break
        return match, "", ""

    def _looked_up(self, vmap: Mapping[str, Any]) -> Tuple[_Match, Any]:
        """Which packets a map of verdicts matches, and the verdict; not known where some match several."""
        data = vmap.get("data")
        if not isinstance(data, dict):  # a map with a name
            return _Match.SOME, None
        found = [
            (match, verdict)
            for value, verdict in data.get("set", ())
            for match in [_matched({"op": "==", "left": vmap.get("key"), "right": value}, self._packets)]
            if match is not _Match.NONE
        ]
        if not found:
            return _Match.NONE, None
        return found[0] if len(found) == 1 else (_Match.SOME, None)


def _verdict(statement: Any) -> Tuple[str, str]:
    """The verdict that a statement is, and where it jumps."""
    if not isinstance(statement, dict) or not statement:
        return "unknown", ""
    kind, body = next(iter(statement.items()))
    return kind, str(body.get("target")) if isinstance(body, dict) else ""


def _of(objects: Objects, kind: str) -> Iterator[Mapping[str, Any]]:
    return (one[kind] for one in objects if kind in one)


def _statements(rule: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    return [one for one in rule.get("expr", ()) if isinstance(one, dict)]


def _may_sleep(table: Mapping[str, Any]) -> bool:
    """Whether the kernel may not use a table: its flags have `dormant`. nft 1.0.6 prints the table's name instead."""
    flags = table.get("flags") or []
    return not set([flags] if isinstance(flags, str) else flags) <= {"owner", "persist"}


def _rewrites(rule: Mapping[str, Any]) -> bool:
    """Whether a rule can give a packet another destination, or another way."""
    return any(
        kind in ("dnat", "redirect", "tproxy", "fwd") or (kind == "mangle" and "payload" in body.get("key", {}))
        for one in _statements(rule)
        for kind, body in one.items()
    )


def _both(one: _Match, other: _Match) -> _Match:
    if _Match.NONE in (one, other):
        return _Match.NONE
    return _Match.SOME if _Match.SOME in (one, other) else _Match.ALL


def _matched(match: Any, packets: _Packets) -> _Match:
    """How many of the packets an expression matches."""
    left, right, operator = match.get("left"), match.get("right"), match.get("op")
    if operator not in ("==", "in", "!=") or not isinstance(left, dict):
        return _Match.SOME
    kind, body = next(iter(left.items()))
    found = _Match.SOME
    if kind == "ct" and body.get("key") == "state" and packets.state:
        found = _is_among(right, lambda value: value == packets.state)
    elif kind == "meta" and body.get("key") in ("iif", "iifname") and packets.device is not None:
        found = _is_among(right, lambda value: _is_by(packets.device, value))
    elif kind == "meta" and body.get("key") in ("oif", "oifname") and packets.device is None:
        found = _is_among(right, lambda value: _is_by("", value))
    elif kind == "meta" and body.get("key") == "nfproto":
        found = _is_among(right, lambda value: value == f"ipv{packets.address.version}")
    elif kind == "payload" and body.get("protocol") in ("ip", "ip6"):
        if body["protocol"] != ("ip" if packets.address.version == 4 else "ip6"):
            return _Match.NONE
        if body.get("field") == packets.side:
            found = _is_among(right, lambda value: _is_in(packets.address, value))
    if operator != "!=" or found is _Match.SOME:
        return found
    return _Match.NONE if found is _Match.ALL else _Match.ALL


def _is_among(right: Any, holds: Any) -> _Match:
    """Whether the right side, a value, a list or a set of values, has one that holds; a named set is not known."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    values = right if isinstance(right, list) else [right]
    try:
        answers = [holds(value) for value in values if not (isinstance(value, str) and value.startswith("@"))]
    except (KeyError, TypeError, ValueError):
        return _Match.SOME
    if any(answers):
        return _Match.ALL
    return _Match.NONE if len(answers) == len(values) else _Match.SOME


def _is_by(device: Optional[str], pattern: str) -> bool:
    """Whether a packet passes an interface; none that is to be told passes `lo`.

    Raises:
        ValueError: by which it passes is not known.
    """
    if not device and pattern != "lo":
        raise ValueError(pattern)
    if not device:
        return False
    return device.startswith(pattern[:-1]) if pattern.endswith("*") else device == pattern


def _is_in(address: Address, value: Any) -> bool:
    """Whether an address is a value, or in the prefix or range that it is.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    if isinstance(value, str):
        return address == ip_address(value)
    if "range" in value:
        first, last = map(ip_address, value["range"])
        return int(first) <= int(address) <= int(last)
    prefix = value["prefix"]
    return address in ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)
