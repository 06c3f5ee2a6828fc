"""A topology as plain values, and back: what JSON can carry from the holder of a lab to its supervisor."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from ipaddress import ip_address
from typing import Any, Dict, Union, get_args, get_origin, get_type_hints

from vpc_lab.topology.specs import Topology


def to_plain(topology: Topology) -> Dict[str, Any]:
    """Mappings, lists and texts."""
    found: Dict[str, Any] = _plain(topology)
    return found


def from_plain(value: Dict[str, Any]) -> Topology:
    """The inverse of `to_plain`."""
    found: Topology = _typed(Topology, value)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, str)) else str(value)


def _typed(kind: Any, value: Any) -> Any:
    """`value` as what the annotation `kind` of a field says."""
    if value is None:
        return None
    if get_origin(kind) is tuple:
        return tuple(_typed(get_args(kind)[0], one) for one in value)
    if get_origin(kind) is Union:
        kinds = [one for one in get_args(kind) if one is not type(None)]
        # Of several, an address tells by itself what it is.
        return _typed(kinds[0], value) if len(kinds) == 1 else ip_address(value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _typed(hints[field.name], value[field.name]) for field in fields(kind)})
    return kind(value)
