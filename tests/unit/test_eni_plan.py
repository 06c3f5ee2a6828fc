"""holdings/eni_plan.py: the next step from every state, and a move that dies at any of its steps."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest

from aws_ipfailover.aws.models import Attachment, NetworkInterface
from aws_ipfailover.holdings.eni_plan import Asked, Attach, Detach, Done, Step, Wait, next_step, path
from simulated_eni import ENI, ME, OTHER, STATES, Cloud, Killed

ASKED: Dict[str, Asked] = {
    "nothing": Asked(),
    "plain": Asked(plain=True),
    "grace over": Asked(plain=True, grace_over=True),
    "forced": Asked(forced=True),
    "forced after its grace": Asked(plain=True, grace_over=True, forced=True),
}
# EC2's states of an instance in which it still takes part in a detachment (None: not asked for, or EC2 has forgotten
# the instance; the system of one that is stopping runs on and may answer), and those in which it does not.
TAKES_PART: Tuple[Optional[str], ...] = (None, "pending", "running", "stopping", "shutting-down")
GONE: Tuple[Optional[str], ...] = ("stopped", "terminated")

ATTACH, DONE, WAIT, FOR_HOLDER = Attach(), Done(), Wait(), Wait(for_holder=True)
DETACH, FORCE = Detach("eni-attach-1", force=False), Detach("eni-attach-1", force=True)

# Holder, status, states of the holder -> the step for each of ASKED.
Row = Tuple[Optional[str], str, Tuple[Optional[str], ...], List[Step]]
TABLE: List[Row] = [
    (None, "", (None,), [ATTACH, ATTACH, ATTACH, ATTACH, ATTACH]),
    (ME, "attached", TAKES_PART + GONE, [DONE, DONE, DONE, DONE, DONE]),
    (ME, "attaching", TAKES_PART + GONE, [WAIT, WAIT, WAIT, WAIT, WAIT]),
    (ME, "detaching", TAKES_PART, [FOR_HOLDER, FOR_HOLDER, FORCE, WAIT, WAIT]),
    (ME, "detaching", GONE, [FORCE, FORCE, FORCE, WAIT, WAIT]),
    (OTHER, "attached", TAKES_PART, [DETACH, FOR_HOLDER, FORCE, WAIT, WAIT]),
    (OTHER, "attached", GONE, [FORCE, FORCE, FORCE, WAIT, WAIT]),
    (OTHER, "attaching", TAKES_PART, [WAIT, WAIT, WAIT, WAIT, WAIT]),
    # Powered off in the middle of its own start.
    (OTHER, "attaching", GONE, [FORCE, FORCE, FORCE, WAIT, WAIT]),
    (OTHER, "detaching", TAKES_PART, [FOR_HOLDER, FOR_HOLDER, FORCE, WAIT, WAIT]),
    (OTHER, "detaching", GONE, [FORCE, FORCE, FORCE, WAIT, WAIT]),
]


def eni(holder: Optional[str], status: str) -> NetworkInterface:
    """The ENI as EC2 describes it."""
    attachment = Attachment("eni-attach-1", holder, 1, status) if holder else None
    return NetworkInterface(ENI, "vpc-1", True, "subnet-1", "zone-a", "06:00:00:00:00:01", (), attachment)


@pytest.mark.parametrize(("holder", "status", "states", "steps"), TABLE)
def test_the_next_step(holder: Optional[str], status: str, states: Tuple[str, ...], steps: List[Step]) -> None:
    """Each state of the ENI and of its holder, after each thing that was asked, has one next step."""
    for state, (asked, step) in product(states, zip(ASKED, steps)):
        found = next_step(eni(holder, status), ME, state, ASKED[asked], own_detachment=False)
        assert found == step, (state, asked)
        assert type(found) is type(step)  # to NamedTuples, Attach() and Done() are equal


def test_the_table_has_every_state() -> None:
    """Whoever has it, in whatever status, with the holder in each of EC2's states."""
    rows = [(holder, status, state) for holder, status, states, _ in TABLE for state in states]
    attached = product((ME, OTHER), ("attached", "attaching", "detaching"), TAKES_PART + GONE)
    assert sorted(rows, key=str) == sorted([(None, "", None), *attached], key=str)


@pytest.mark.parametrize("asked", ASKED)
def test_an_attachment_that_this_node_has_just_ended_is_no_goal(asked: str) -> None:
    """A read that still shows it is an old one: look again, write nothing."""
    assert next_step(eni(ME, "attached"), ME, None, ASKED[asked], own_detachment=True) == WAIT


# Of the deadline: enough for a holder's grace, and few looks at EC2 in it.
SECONDS = 30.0


def moved(cloud: Cloud, directory: Path, steps: Optional[int] = None) -> bool:
    """Move the ENI here in a process that dies after so many steps; whether it came to its end."""
    cloud.steps_left = steps
    try:
        cloud.holding(directory, SECONDS).take()
    except Killed:
        return False
    finally:
        cloud.steps_left = None
    return True


def without_repetition(writes: List[str]) -> List[str]:
    """The writes without a force that follows a force: nobody knows whether it was asked for by a process that died."""
    return [what for number, what in enumerate(writes) if what != "force" or "force" not in writes[:number]]


@pytest.mark.parametrize("state", STATES)
def test_from_every_interrupted_state_a_new_start_gets_there(state: str, tmp_path: Path) -> None:
    """A process that dies after k steps of the move, for every k: the next start completes it.

    Both together write what an undisturbed move writes; only a force may come twice.
    """
    steps, finished = 0, False
    while not finished:
        cloud, directory = Cloud(), tmp_path / str(steps)
        cloud.put(state)
        finished = moved(cloud, directory, steps)
        assert moved(cloud, directory)
        assert cloud.is_here(), steps
        assert without_repetition(cloud.writes) == STATES[state].writes, steps
        assert cloud.writes.count("force") <= 2, steps
        steps += 1
    assert steps > 3


def test_from_every_interrupted_stop_a_start_gets_there(tmp_path: Path) -> None:
    """A stop that dies at any step, followed by a start on the same node: attached here, detached at most once."""
    steps, finished = 0, False
    while not finished:
        cloud, directory = Cloud(), tmp_path / str(steps)
        cloud.put("here")
        cloud.steps_left = steps
        try:
            cloud.holding(directory, SECONDS).release()
            finished = True
        except Killed:
            finished = False
        cloud.steps_left = None
        assert moved(cloud, directory)
        assert cloud.is_here(), steps
        assert cloud.writes in ([], ["detach", "attach 1"]), steps
        steps += 1
    assert steps > 2


PATHS: List[Tuple[Optional[str], str, Optional[str], bool, List[Step]]] = [
    (None, "", None, False, [ATTACH, DONE]),
    (ME, "attached", None, False, [DONE]),
    (ME, "attaching", None, False, [WAIT, DONE]),
    (ME, "attached", None, True, [WAIT, ATTACH, DONE]),
    (ME, "detaching", "running", False, [FOR_HOLDER, ATTACH, DONE]),
    (OTHER, "attached", "running", False, [DETACH, ATTACH, DONE]),
    (OTHER, "attached", "stopped", False, [FORCE, ATTACH, DONE]),
    (OTHER, "attaching", "running", False, [WAIT, DETACH, ATTACH, DONE]),
    (OTHER, "attaching", "terminated", False, [FORCE, ATTACH, DONE]),
    (OTHER, "detaching", "running", False, [FOR_HOLDER, ATTACH, DONE]),
    (OTHER, "detaching", "stopped", False, [FORCE, ATTACH, DONE]),
]


@pytest.mark.parametrize(("holder", "status", "state", "own_detachment", "expected"), PATHS)
def test_the_path_from_each_state(
    holder: Optional[str], status: str, state: Optional[str], own_detachment: bool, expected: List[Step]
) -> None:
    """The steps that follow each other where everybody does what is asked, up to `Done`."""
    attachment = None if holder is None else Attachment("eni-attach-1", holder, 1, status)
    eni = NetworkInterface(ENI, "vpc-1", True, "subnet-1", "eu-central-1a", "02:00:00:00:00:01", (), attachment)
    assert path(eni, ME, state, own_detachment=own_detachment) == expected
