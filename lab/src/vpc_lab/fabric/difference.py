"""From one state of the kernel to another: the lines for `ip -batch`. Pure."""

from __future__ import annotations

from typing import List, Set, Tuple

from vpc_lab.fabric.desired import KernelState


def without(state: KernelState, devices: Set[str]) -> KernelState:
    """What is left after `devices` went: the kernel takes their routes and neighbours along, but not their rules."""

    def on(spec: str) -> bool:
        words = spec.split()
        return "dev" in words and words[words.index("dev") + 1] in devices

    return KernelState(
        {device: link for device, link in state.links.items() if device not in devices},
        {key: spec for key, spec in state.routes.items() if not on(spec)},
        {key: mac for key, mac in state.neighbours.items() if key[1] not in devices},
        frozenset(pair for pair in state.proxies if pair[0] not in devices),
        state.rules,
        state.addresses,
        state.ruleset,
        state.ingress,
    )


def difference(old: KernelState, new: KernelState, family: int) -> List[str]:
    """The lines for one family, 4 or 6; devices are no part of them."""
    lines: List[str] = []
    if family == 4:
        lines += [f"address add {address} dev lo" for address in sorted(new.addresses - old.addresses)]
        lines += [f"address delete {address} dev lo" for address in sorted(old.addresses - new.addresses)]
    else:
        lines += [f"neighbour delete proxy {one} dev {device}" for device, one in sorted(old.proxies - new.proxies)]
        lines += [f"neighbour add proxy {one} dev {device}" for device, one in sorted(new.proxies - old.proxies)]
    for key in old.neighbours.keys() - new.neighbours.keys():
        if key[0] == family:
            lines.append(f"neighbour delete {key[2]} dev {key[1]}")
    for key, mac in new.neighbours.items():
        if key[0] == family and old.neighbours.get(key) != mac:
            lines.append(f"neighbour replace {key[2]} lladdr {mac} nud permanent dev {key[1]}")
    for route in old.routes.keys() - new.routes.keys():
        if route[0] == family:
            lines.append(f"route delete {_words(old.routes[route], route)} table {route[1]}")
    for route, spec in new.routes.items():
        if route[0] == family and old.routes.get(route) != spec:
            if route in old.routes and family == 6:
                # IPv6's replace adds beside a route of another type or device (it matches on more than the
                # destination), so the old one is taken away by name; where the kernel has room for both, afterwards.
                lines += [
                    f"route append {_words(spec, route)} table {route[1]}",
                    f"route delete {_words(old.routes[route], route)} table {route[1]}",
                ][:: 1 if _is_unicast(spec) and _is_unicast(old.routes[route]) else -1]
            else:
                lines.append(f"route replace {_words(spec, route)} table {route[1]}")
    lines += [f"rule delete {rule}" for known, rule in sorted(old.rules - new.rules) if known == family]
    lines += [f"rule add {rule}" for known, rule in sorted(new.rules - old.rules) if known == family]
    return lines


def _is_unicast(spec: str) -> bool:
    return spec.split(maxsplit=1)[0] not in {"throw", "blackhole"}


def _words(spec: str, route: Tuple[int, int, str]) -> str:
    """A route's arguments: the type, if it is not unicast, goes before the destination."""
    return f"{route[2]} {spec}" if _is_unicast(spec) else f"{spec} {route[2]}"
