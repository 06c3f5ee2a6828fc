"""What scenarios hold against a cluster beside the judge: each has a cluster that it finds wrong."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from vpc_lab.errors import LabError
from vpc_lab.scenarios.catalogue import (
    answers_lost_after_the_write,
    graceful_stop_of_the_active_node,
    one_side_is_left,
    recovered_as_configured,
    split_brain,
)
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.stage import Service, Stage

ALONE = Service("ip", ("192.168.10.10",))


class _Lab:
    """A lab that says what was called, and who has power."""

    def __init__(self, calls: List[Tuple[str, str, str]], awake: List[str]) -> None:
        self._calls, self._awake = calls, awake

    def calls(self, _since: float) -> List[Any]:
        """Action, caller and outcome of each."""
        return [dict(zip(("action", "caller", "outcome"), one)) for one in self._calls]

    def awake_nodes(self) -> List[str]:
        """Those that run."""
        return self._awake

    powered_nodes = awake_nodes


class _Acted:
    """A stage on which all has been done: the service was on `node1`, and is on `now`."""

    nodes = ("node1", "node2")
    resource = "ip"
    configuration = Configuration()
    stays_on = Stage.stays_on

    def __init__(
        self,
        service: Service = ALONE,
        now: str = "node1",
        *,
        calls: Tuple[Tuple[str, str, str], ...] = (),
        awake: Tuple[str, ...] = nodes,
        stopped: Tuple[str, ...] = (),
    ) -> None:
        self.service, self.now, self.stopped = service, now, stopped
        self.lab = _Lab(list(calls), list(awake))
        self.fenced: List[str] = []
        self.may_be_fenced: List[str] = []
        self.asked = False

    def active(self) -> str:
        """Where the service is."""
        return self.now

    def standbys(self) -> Tuple[str, ...]:
        """The other one."""
        return tuple(node for node in self.nodes if node != self.now)

    def served(self) -> str:
        """By whoever has it."""
        self.asked = True
        return self.now

    def wait(self, what: str, condition: Callable[[], object], within: float = 0.0) -> None:
        """It is so, or never will be."""
        del within
        if not condition():
            raise LabError(f"{what} did not happen")

    def was_stopped(self, node: str, _since: float) -> bool:
        """By EC2."""
        return node in self.stopped

    is_fenced = was_stopped

    def inject(self, _fault: object, **_: object) -> Any:
        """Something that can be healed."""
        return self

    fails_over = inject

    def heal(self) -> None:
        """It is."""

    @contextlib.contextmanager
    def fault(self, _fault: object) -> Iterator[None]:
        """One that does nothing."""
        yield

    def move(self, target: Optional[str] = None, within: float = 0.0) -> str:
        """To the other one, or back."""
        del target, within
        return "node1"

    def watch(self, _seconds: float) -> None:
        """Time passes."""

    def may_move(self, within: float = 0.0) -> None:
        """It may, or not."""

    all_online = may_move


def stage(*given: Any, **more: Any) -> Any:
    """A stage for a scenario."""
    return _Acted(*given, **more)


def test_a_service_that_goes_back_by_itself_is_wrong_unless_its_configuration_says_so() -> None:
    """Where it is not to stay, it only has to serve."""
    stage(now="node2").stays_on("node2")
    with pytest.raises(LabError, match="the service went from node2 to node1 by itself"):
        stage(now="node1").stays_on("node2")
    free = stage(replace(ALONE, stays=False))
    free.stays_on("node2")
    assert free.asked


@pytest.mark.parametrize(
    ("in_place", "now", "sentence"),
    [
        (True, "node2", "ip was to be restarted on node1 after one failure, and is on node2"),
        (False, "node1", "ip was to be moved away from node1 after one failure, and is on node1"),
    ],
)
def test_a_recovery_that_migration_threshold_does_not_explain_is_wrong(in_place: bool, now: str, sentence: str) -> None:
    """And one that it does not decide is not."""
    with pytest.raises(LabError, match=sentence):
        recovered_as_configured(stage(replace(ALONE, in_place=in_place), now), "node1")
    recovered_as_configured(stage(replace(ALONE, in_place=not in_place), now), "node1")
    recovered_as_configured(stage(ALONE, now), "node1")


def test_two_nodes_that_stop_each_other_are_told_what_prevents_it() -> None:
    """One side has to be left."""
    one_side_is_left(stage(awake=("node1",), stopped=("node2",)), 0.0)
    with pytest.raises(LabError, match=r"both sides were stopped: each fenced the other.*pcmk_delay_base"):
        one_side_is_left(stage(awake=(), stopped=("node1", "node2")), 0.0)


def test_the_node_whose_fencing_waits_survives_a_split_brain() -> None:
    """The other one does not."""
    favoured = replace(ALONE, favoured="node1")
    split_brain(stage(favoured, awake=("node1",), stopped=("node2",)))
    with pytest.raises(LabError, match="node1 was stopped, although the others wait before they fence it"):
        split_brain(stage(favoured, awake=("node2",), stopped=("node1",)))


def test_a_node_that_shuts_down_in_order_is_not_fenced() -> None:
    """The administrator's own call is none of the cluster's."""
    asked = ("StopInstances", "administrator", "ok")
    graceful_stop_of_the_active_node(stage(calls=(asked,), awake=()))
    with pytest.raises(LabError, match="node1, which shut down in order, was fenced"):
        graceful_stop_of_the_active_node(stage(calls=(asked, ("StopInstances", "node2", "ok")), awake=()))


def test_a_scenario_about_lost_answers_proves_nothing_where_none_was_lost() -> None:
    """As where another operation moves the address."""
    answers_lost_after_the_write(stage(calls=(("ReplaceRoute", "node2", "fault:close"),)))
    with pytest.raises(LabError, match="no answer was lost"):
        answers_lost_after_the_write(stage(calls=(("ReplaceRoute", "node2", "ok"),)))
