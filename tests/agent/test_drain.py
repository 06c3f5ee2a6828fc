"""After a make-before-break move the old node goes on answering for `drain` seconds."""

from __future__ import annotations

import json
import re
from typing import Callable

import pytest

from sandbox import Agent, Node, answers_on
from vpc_lab.waiting import eventually

# Longer than any test takes: a stop that drains is seen in the middle, and ended.
LONG = "60"


@pytest.fixture
def source(node: Node) -> Node:
    """The source of a planned move: it has the address, and has been told that the target takes over."""
    node.hold()
    ran = node.agent.run("migrate_to")
    assert ran.code == 0, ran
    return node


def stops_at_once(agent: Agent, address: str, **parameters: str) -> bool:
    """Whether a stop ends without going on answering before: it says in its log when it does."""
    ran = agent.run("stop", parameters, timeout=20)
    assert ran.code == 0, ran
    assert not answers_on(address)
    return "answering for" not in ran.stderr


def test_stop_after_migrate_to_goes_on_answering(source: Node) -> None:
    """After a make-before-break move it goes on answering for `drain` seconds first; then the address is gone."""
    with source.agent.begin("stop", {"drain": "2"}, timeout=60) as running:
        assert running.process.stderr is not None
        line = running.process.stderr.readline()
        assert "answering for 2 s more" in line
        assert answers_on(source.address)
        ran = running.end()
    assert ran.code == 0, ran
    assert not answers_on(source.address)


def test_drain_by_default(source: Node) -> None:
    """`drain`: default 1."""
    ran = source.agent.run("stop")
    assert ran.code == 0, ran
    assert "answering for 1 s more" in ran.stderr


def test_no_drain(source: Node) -> None:
    """drain=0: the address is taken away at once."""
    assert stops_at_once(source.agent, source.address, drain="0")


def test_without_a_move_stop_does_not_wait(node: Node) -> None:
    """Only after a make-before-break move: an ordinary stop takes the address away at once."""
    node.started()
    assert stops_at_once(node.agent, node.address, drain=LONG)


def test_it_is_for_one_stop(source: Node) -> None:
    """Only after a make-before-break move: the stop after it is an ordinary one again."""
    assert not stops_at_once(source.agent, source.address, drain="1")
    source.hold()
    assert stops_at_once(source.agent, source.address, drain=LONG)


def test_a_start_ends_it(source: Node) -> None:
    """Only after a make-before-break move: where the address was started here since, stop is an ordinary one."""
    source.started()
    assert stops_at_once(source.agent, source.address, drain=LONG)


def test_another_resources_move(source: Node) -> None:
    """Only after a make-before-break move of this resource."""
    other = Agent({**source.agent.parameters, "ip": "192.168.10.20"}, dict(source.agent.environ), source.aws)
    assert stops_at_once(other, "192.168.10.20", drain=LONG)


def test_a_move_long_ago(source: Node) -> None:
    """A move that was never finished is forgotten: ten minutes later a stop is an ordinary one."""
    (path,) = source.remembered()
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "at": noted["at"] - 601}))
    assert stops_at_once(source.agent, source.address, drain=LONG)


@pytest.mark.parametrize("content", ["", "[]", '{"what": "handover"}', "\x00\xff"])
def test_memory_that_makes_no_sense(source: Node, content: str) -> None:
    """HA_RSCTMP unreadable: it is done without, and stop takes the address away at once."""
    (path,) = source.remembered()
    path.write_bytes(content.encode("latin-1"))
    assert stops_at_once(source.agent, source.address, drain=LONG)


@pytest.mark.parametrize("place", ["/proc/no/such", "/dev/null", "/dev/full"])
def test_memory_that_cannot_be_kept(node: Node, place: str) -> None:
    """HA_RSCTMP unreadable or full: it is done without; neither migrate_to nor stop fails."""
    node.hold()
    node.agent.environ["HA_RSCTMP"] = place
    assert node.agent.run("migrate_to").code == 0
    assert stops_at_once(node.agent, node.address, drain=LONG)


def test_a_bad_drain(source: Node) -> None:
    """Bad parameters: still 0; a `drain` that is none is not waited for."""
    assert stops_at_once(source.agent, source.address, drain="often")


def test_within_the_deadline(source: Node) -> None:
    """Every action ends before CRM_meta_timeout less a margin: a `drain` that is longer is cut short, and what stop
    promises is so."""
    ran = source.agent.run("stop", {"drain": LONG}, timeout=4)
    assert ran.elapsed < 4, ran
    assert ran.code == 0, ran
    assert re.search(r"answering for [12] s more", ran.stderr), ran
    assert not answers_on(source.address)


def test_other_modes_do_not_drain(make_node: Callable[..., Node]) -> None:
    """`drain` is overlay-ip's: in the other modes only one node can have the address, and stop gives it up at once."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50"}
    assert node.agent.run("migrate_to").code == 0
    assert node.remembered() == []
    assert stops_at_once(node.agent, "10.0.1.50", drain=LONG)


def test_it_answers_while_the_target_starts(source: Node) -> None:
    """migrate_to changes nothing: the source serves until Pacemaker stops it."""
    assert answers_on(source.address)
    assert source.agent.run("monitor", interval=10).code == 0
    with source.agent.begin("stop", {"drain": LONG}, timeout=90) as running:
        eventually("stop has begun to drain", lambda: not source.remembered())
        assert answers_on(source.address)
        running.process.terminate()
        assert running.end().code == 1
