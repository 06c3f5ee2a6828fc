"""What has to be moved so that an address moves: itself, or what the cluster places it with. Pure.

Moving an address that is placed with something moves that too, or parts the two, as the scores have it. Seen with
Pacemaker 2.1.5: the move of an address with a colocation of score 2000 with a promoted instance promotes the other
instance. For a database that is a takeover, which nobody has to get for the move of an address.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.constraints import Colocation
from aws_ipfailover.ocf.durations import truth_of

_PROMOTED = ("promoted", "master")
_INFINITY = 1000000
# The agents of SAP HANA whose old primary becomes a secondary by itself only with AUTOMATED_REGISTER (default: false).
_HANA = ("SAPHana", "SAPHanaController")


class Placement(NamedTuple):
    """Something that a resource is placed with; `promoted`: with its promoted instance. `score`: the constraint's."""

    constraint_id: str
    resource_id: str
    promoted: bool
    score: int

    def __str__(self) -> str:
        instance = "the promoted instance of " if self.promoted else ""
        return f"{instance}{self.resource_id} (constraint {self.constraint_id})"


class Moved(NamedTuple):
    """What is moved; `promoted`: by moving the promoted role."""

    resource_id: str
    promoted: bool = False


def placements(cib: Cib, resource_id: str) -> List[Placement]:
    """What a resource is placed with, directly or by way of another; not clones without roles, which run anywhere."""
    found: Dict[str, Placement] = {}
    looked: List[str] = []
    ahead = [resource_id]
    while ahead:
        name = ahead.pop(0)
        if name in looked:
            continue
        looked.append(name)
        for one in cib.colocations:
            for placement in _placed(one, _itself(cib, name)):
                if _is_one_place(cib, placement) and placement.resource_id not in _itself(cib, resource_id):
                    found.setdefault(placement.resource_id, placement)
                    ahead.append(placement.resource_id)
    return list(found.values())


def moved(cib: Cib, resource_id: str, instead: Optional[str]) -> Moved:
    """What to move for this resource; `instead`: what was asked for, `None` for the resource itself.

    Raises:
        ParameterError: the resource is not placed with what was asked for.
    """
    own = _itself(cib, resource_id)
    if instead is None or instead in own:
        return Moved(instead or resource_id)
    known = placements(cib, resource_id)
    for one in known:
        if instead == one.resource_id:
            return Moved(instead, one.promoted)
    names = ", ".join(one.resource_id for one in known) or "nothing"
    raise ParameterError(f"--move {instead}: {resource_id} is not placed with {instead}; it is placed with {names}")


def placement_refusals(cib: Cib, resource_id: str, what: Moved) -> List[str]:
    """What speaks against moving `what` for this resource."""
    return [*_parted(cib, resource_id, what), *_of_hana(cib, what)]


def _parted(cib: Cib, resource_id: str, what: Moved) -> Iterator[str]:
    # Also what is moved in its place can be placed with something that would fail over.
    moved_id = resource_id if what.resource_id in _itself(cib, resource_id) else what.resource_id
    for one in placements(cib, moved_id):
        if one.promoted:
            yield (
                f"{moved_id} is placed with {one}, which would fail over too, or be parted from it: say"
                f" --move {one.resource_id} if it is to fail over"
            )
        elif one.score < _INFINITY:
            yield (
                f"{moved_id} is placed with {one} by a score of {one.score}, and could be parted from it: say"
                f" --move {one.resource_id} to move that"
            )


def _of_hana(cib: Cib, what: Moved) -> Iterator[str]:
    for name in cib.primitives_of(what.resource_id):
        primitive = cib.primitives[name]
        if not what.promoted or primitive.agent.name not in _HANA:
            continue
        try:
            registers = truth_of(cib.parameters_of(primitive).get("AUTOMATED_REGISTER"))
        except UnknownError as error:
            yield f"whether AUTOMATED_REGISTER of {name} is true is not known: {error}"
            continue
        if not registers:
            yield (
                f"AUTOMATED_REGISTER of {name} is not true: after a takeover the old primary would stay down, and not"
                f" everything would be as before; for the drill run: crm_resource --resource {name} --set-parameter"
                " AUTOMATED_REGISTER --parameter-value true"
            )


def _itself(cib: Cib, name: str) -> Tuple[str, ...]:
    """The ids by which constraints place a resource: its own, and those of what it is in."""
    primitive = cib.primitives.get(name)
    return (name, *(one.container_id for one in primitive.containers)) if primitive is not None else (name,)


def _placed(one: Colocation, names: Tuple[str, ...]) -> Iterator[Placement]:
    if one.score <= 0:
        return
    if one.resource in names and one.with_resource:
        yield Placement(one.constraint_id, one.with_resource, one.with_role.lower() in _PROMOTED, one.score)
    in_a_set = any(name in found.resources for found in one.sets for name in names)
    for found in one.sets if in_a_set else ():
        for other in found.resources:
            if other not in names:
                yield Placement(one.constraint_id, other, found.role.lower() in _PROMOTED, one.score)


def _is_one_place(cib: Cib, placement: Placement) -> bool:
    """Whether it is in one place: a clone without roles has an instance anywhere."""
    container = cib.containers.get(placement.resource_id)
    return placement.promoted or container is None or container.kind != "clone"
