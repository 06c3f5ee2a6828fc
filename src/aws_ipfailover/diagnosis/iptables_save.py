"""Rules as `iptables-save` prints them, in the objects of `nft --json`, as far as it matters. Pure.

Facts: iptables(8), iptables-extensions(8). An option that is not known here matches some packets; a target that is not
known here may let them through.
"""

from __future__ import annotations

import shlex
from typing import Any, Collection, Dict, List, Mapping, Set, Tuple

# What stands behind the name of a table: nftables can have one of the same name.
OF_IPTABLES = " of iptables"

_HOOKS = {name: name.lower() for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}
_SIDES = {"-s": "saddr", "--source": "saddr", "-d": "daddr", "--destination": "daddr"}
_DEVICES = {"-i": "iifname", "--in-interface": "iifname", "-o": "oifname", "--out-interface": "oifname"}
_STATES = ("--ctstate", "--state")
_TARGETS = {
    "ACCEPT": "accept",
    "CT": "notrack",
    "DNAT": "dnat",
    "DROP": "drop",
    "LOG": "log",
    "MARK": "log",
    "NETMAP": "dnat",
    "NFLOG": "log",
    "NOTRACK": "notrack",
    "REDIRECT": "dnat",
    "REJECT": "reject",
    "RETURN": "return",
    "TPROXY": "tproxy",
}
_SOME = {"match": {"op": "?", "left": None, "right": None}}
_FILTERS = ("raw", "mangle", "filter", "security")


def objects_of(text: str, family: str) -> List[Mapping[str, Any]]:
    """The objects; `family`: ip or ip6. What rewrites addresses is told as `dnat`."""
    found: List[Mapping[str, Any]] = []
    kind, table, number = "", "", 0
    chains: Set[Tuple[str, str]] = set()
    for line in text.splitlines():
        if line.startswith("*"):
            kind = line[1:].strip()
            table = kind + OF_IPTABLES
        elif line.startswith(":"):
            name, policy = [*line[1:].split(), "-"][:2]
            chains.add((table, name))
            chain: Dict[str, Any] = {"family": family, "table": table, "name": name}
            if name in _HOOKS and policy != "-":
                chain.update(type="filter" if kind in _FILTERS else kind, hook=_HOOKS[name], policy=policy.lower())
            found.append({"chain": chain})
        elif line.startswith("-A "):
            number += 1
            try:
                words = shlex.split(line)
            except ValueError:
                words = ["-A", line.split()[1], "-j", "?"]
            rule = {"family": family, "table": table, "chain": words[1], "handle": number}
            own = [name for of, name in chains if of == table]
            found.append({"rule": {**rule, "expr": _statements(words[2:], family, own)}})
    return found


def _statements(words: List[str], family: str, chains: Collection[str]) -> List[Mapping[str, Any]]:
    statements: List[Mapping[str, Any]] = []
    negated = False
    while words:
        option = words.pop(0)
        if option == "!":
            negated = True
            continue
        operator = "!=" if negated else "=="
        negated = False
        if option in ("-j", "-g", "--jump", "--goto"):
            target = words[0] if words else "?"
            kind = "goto" if option in ("-g", "--goto") else "jump"
            statements.append({kind: {"target": target}} if target in chains else {_TARGETS.get(target, "xt"): target})
            break  # what follows are the target's own options
        if option in ("-m", "--match", "--comment"):
            words = words[1:]  # what a module matches stands in its options
        elif option in _SIDES and words:
            address, _, length = words.pop(0).partition("/")
            right: Any = {"prefix": {"addr": address, "len": length}} if length else address
            left: Any = {"payload": {"protocol": family, "field": _SIDES[option]}}
            statements.append({"match": {"op": operator, "left": left, "right": right}})
        elif option in _DEVICES and words:
            right = words.pop(0).replace("+", "*")
            statements.append({"match": {"op": operator, "left": {"meta": {"key": _DEVICES[option]}}, "right": right}})
        elif option in _STATES and words:
            right = words.pop(0).lower().split(",")
            statements.append({"match": {"op": operator, "left": {"ct": {"key": "state"}}, "right": right}})
        else:
            statements.append(_SOME)
    return statements
