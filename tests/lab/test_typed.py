"""Faults and administrator's calls as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from vpc_lab.lab import Lab

from .calls import asked, outcome
from .test_fabric import OVERLAY, silent

pytestmark = pytest.mark.root

CLI = [sys.executable, "-m", "aws_ipfailover.cli.main", "lab"]
SECOND = "192.168.10.11"


@pytest.fixture
def lab(network_lab: Lab) -> Iterator[Lab]:
    """A lab in which everything is well, again afterwards."""
    yield network_lab
    network_lab.heal()


def typed(lab: Lab, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the command line."""
    return subprocess.run(
        [*CLI, verb, "--name", lab.rundir.name, *arguments], check=False, capture_output=True, text=True
    )


def succeeds(lab: Lab, verb: str, *arguments: str) -> str:
    """Run a verb; what it printed."""
    done = typed(lab, verb, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fault_is_typed_listed_and_healed(lab: Lab) -> None:
    """By its number; the other one stays."""
    first = succeeds(lab, "fault", "partition", "node1", "node2", "--one-way")
    second = succeeds(lab, "fault", "slow", "2", "--action", "Describe*", "--for", "600")
    numbers = [one.number for one in lab.faults()]
    assert first == f"fault {numbers[0]}: partition node1 node2 --one-way\n"
    assert second == f"fault {numbers[1]}: slow 2 --action 'Describe*'\n"
    listed = succeeds(lab, "faults").splitlines()
    assert [line.split()[:2] for line in listed] == [[str(numbers[0]), "partition"], [str(numbers[1]), "slow"]]
    assert "s more)" in listed[1]
    said = succeeds(lab, "status")
    assert f"fault {numbers[0]}: partition node1 node2 --one-way" in said
    assert silent(lab, "node1", "10.0.2.12")
    succeeds(lab, "heal", str(numbers[0]))
    assert [one.number for one in lab.faults()] == numbers[1:]
    succeeds(lab, "heal", "--all")
    assert succeeds(lab, "faults") == ""
    assert "healed" in succeeds(lab, "events")


def test_status_as_json_has_the_fields_of_the_value(lab: Lab) -> None:
    """Faults with their parameters among them."""
    succeeds(lab, "fault", "freeze", "node2", "--no-kernel")
    found = json.loads(succeeds(lab, "status", "--json"))
    assert set(lab.status().to_json()) | {"online", "resources"} == set(found)
    assert found["faults"][0]["fault"] == {"name": "freeze", "node": "node2", "kernel": False}


def test_status_shows_every_overlay_address_in_use(lab: Lab) -> None:
    """Also one that the plan does not have, as the second one of an example, and who does not follow its route yet."""
    succeeds(lab, "fault", "route-lag", "3600")
    succeeds(lab, "fault", "route-changed", f"{SECOND}/32", "node2")
    said = succeeds(lab, "status")
    table = lab.status().route_tables[0]
    assert f"{SECOND}: {table} -> node2" in said
    assert f"{SECOND}/32: the newest route is not effective yet for consumer-a" in said
    succeeds(lab, "heal", "--all")
    assert "not effective" not in succeeds(lab, "status")


def test_a_policy_comes_from_a_file(lab: Lab, tmp_path: Path) -> None:
    """What the document denies is denied until it is healed; a file that is none is told so."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"Statement": [{"Effect": "Deny", "Action": "ec2:Describe*", "Resource": "*"}]}))
    succeeds(lab, "fault", "role-policy", str(file))
    assert outcome(lab, "node1") == "UnauthorizedOperation"
    succeeds(lab, "heal", "--all")
    assert outcome(lab, "node1") == "ok"
    for text, sentence in (("{", "is no policy document in JSON"), ("{}", "it has no 'Statement'")):
        file.write_text(text)
        refused = typed(lab, "fault", "role-policy", str(file))
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert sentence in refused.stderr
    assert "cannot read" in typed(lab, "fault", "role-policy", str(tmp_path / "none")).stderr


def test_an_administrator_calls_any_operation(lab: Lab) -> None:
    """Also while no instance can; the call log says who it was."""
    succeeds(lab, "fault", "unreachable")
    about = [f"ResourceId.1={lab.instance_ids()['node2']}", "Tag.1.Key=cluster", "Tag.1.Value=a=b"]
    succeeds(lab, "administer", "CreateTags", *about)
    succeeds(lab, "heal", "--all")

    def tags() -> List[List[str]]:
        found = asked(lab, "node1", "describe_tags")["Tags"]
        return [[one["ResourceId"], one["Value"]] for one in found if one["Key"] == "cluster"]

    assert tags() == [[lab.instance_ids()["node2"], "a=b"]]
    succeeds(lab, "administer", "DeleteTags", *about[:2])
    assert tags() == []
    calls = [call for call in lab.calls() if call["action"] == "DeleteTags"]
    assert {call["caller"] for call in calls} == {"administrator"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["fault", "route-changed", "192.168.10.10/33", "node1"], 1, "is no destination of a route"),
        (["fault", "route-changed", f"{OVERLAY}/32", "node9"], 1, "there is no target 'node9'; there are node1, node2"),
        (["fault", "route-deleted", f"{OVERLAY}/32", "--table", "rtb-9"], 1, "there is no route table 'rtb-9'"),
        (["fault", "crash", "node9"], 1, "there is no instance 'node9'; there are node1, node2"),
        (["fault", "route-lag", "-1"], 1, "seconds is a number, 0 or more, not -1"),
        (["fault", "route-lag", "inf"], 1, "seconds is a number, not inf"),
        (["fault", "slow", "1", "--for", "-1"], 1, "a fault lasts a number of seconds, more than 0"),
        (["fault", "slow", "1", "--for", "nan"], 1, "a fault lasts a number of seconds, more than 0"),
        (["fault", "api-error", "Foo"], 1, "'Foo' is no error code of EC2's"),
        (["fault", "hang", "--caller", "node9"], 1, "there is no instance 'node9'"),
        (["fault", "stuck-detach"], 1, "bring it up with --mode eni"),
        (["heal", "99999"], 1, "there never was a fault 99999 in this lab"),
        (["heal"], 2, "say which faults to heal"),
        (["heal", "1", "--all"], 2, "say which faults to heal"),
        (["administer", "CreateTags", "ResourceId.1=i-0", "Tag.1.Key=a"], 1, "InvalidInstanceID"),
        (["administer", "CreateTags", "ResourceId.1"], 2, "a parameter is NAME=VALUE"),
        (["administer", "Meteor"], 1, "InvalidAction"),
    ],
)
def test_a_mistake_gets_one_sentence(lab: Lab, arguments: List[str], code: int, sentence: str) -> None:
    """What is wrong and what there is instead; never a traceback, and no fault is left."""
    done = typed(lab, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert sentence in done.stderr
    assert lab.faults() == ()


def test_an_order_that_the_lab_does_not_know(lab: Lab) -> None:
    """It says which ones it knows."""
    with pytest.raises(Exception, match="the lab knows no order 'put-route'; it knows status, inject, heal"):
        lab.order("put-route")
