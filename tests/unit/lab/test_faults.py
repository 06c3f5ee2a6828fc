"""Faults as values: what they can be, how they are written, and that one list serves all who use them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Type

import click
import pytest

from vpc_lab import faults
from vpc_lab.cli.lab import command
from vpc_lab.errors import LabError
from vpc_lab.faults import (
    FAULTS,
    AccessDenied,
    AddressRemoved,
    ApiError,
    ClockStepped,
    Crash,
    Fault,
    Freeze,
    Imds,
    InForce,
    Partition,
    RolePolicy,
    RouteChanged,
    RouteDeleted,
    ServerError,
    Slow,
    Throttled,
)

DOCS = Path(__file__).resolve().parents[3] / "docs" / "lab.md"
# A value for every parameter that has to be given.
GIVEN: Dict[str, object] = {
    "node": "node1",
    "one": "node1",
    "other": "node2",
    "zone": "eu-central-1a",
    "seconds": 2.5,
    "code": "InternalError",
    "action": "ReplaceRoute",
    "policy": '{"Statement": []}',
    "how": "silent",
    "destination": "192.168.10.10/32",
    "target": "node2",
    "table": "a",
    "address": "192.168.10.10",
}


def example(made: Type[Fault]) -> Fault:
    """A fault of this class with what has to be given."""
    return made(**{one.name: GIVEN[one.name] for one in made.parameters() if one.required})


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_survives_its_way_to_the_supervisor(name: str) -> None:
    """As JSON and back it is the same, and the list finds it by its name."""
    fault = example(FAULTS[name])
    raw = json.loads(json.dumps(fault.to_json()))
    assert raw["name"] == name
    assert Fault.from_json(raw) == fault
    held = InForce(3, fault, 1.5, 9.0)
    assert InForce.from_json(json.loads(json.dumps(held.to_json()))) == held


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_one_sentence(name: str) -> None:
    """What users read of it in a list ends with a full stop; each parameter has its help."""
    assert FAULTS[name].summary.endswith(".")
    assert FAULTS[name].kind
    assert all(one.help for one in FAULTS[name].parameters())


def test_every_fault_is_in_the_list() -> None:
    """Whoever adds a class and forgets the list has a fault that nobody can inject."""

    def leaves(made: Type[Fault]) -> List[Type[Fault]]:
        found = [leaf for one in made.__subclasses__() for leaf in leaves(one)]
        return found or [made]

    assert set(FAULTS.values()) == set(leaves(Fault))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Slow(-1), "seconds is a number, 0 or more, not -1"),
        (lambda: Slow(float("nan")), "seconds is a number, not nan"),
        (lambda: Slow(float("inf")), "seconds is a number, not inf"),
        (lambda: Slow(True), "seconds is a number, not True"),
        (lambda: Fault.from_json({"name": "slow", "seconds": "2"}), "seconds is a number, not '2'"),
        (lambda: Slow(1, times=0), "times is a whole number, 1 or more, not 0"),
        (lambda: Slow(1, action="a b"), "'a b' is no operation of EC2's"),
        (lambda: Fault.from_json({"name": "crash", "node": None}), "node is a text, not None"),
        (lambda: Imds("node1", "sulk"), "how is one of silent, 401, 503, off, not 'sulk'"),
        (lambda: ApiError("Foo"), "'Foo' is no error code of EC2's, such as RequestLimitExceeded"),
        (lambda: ApiError("hangs"), "'hangs' is no error code of EC2's"),
        (lambda: ServerError(status=404), "status is a whole number, 500 or more, not 404"),
        (lambda: ServerError(status=600), "status is a whole number from 500 to 599, not 600"),
        (lambda: RouteChanged("192.168.10.10/33", "node1"), "is no destination of a route"),
        (lambda: RouteDeleted("nothing"), "is no destination of a route"),
        (lambda: RouteChanged("10.0.0.0/8", "node1", origin="magic"), "origin is one of CreateRoute, "),
        (lambda: AddressRemoved("node1", "10.0.0.0/8"), "is no address"),
        (lambda: AccessDenied("DescribeRouteTables", "rtb-1"), "DescribeRouteTables has no resources"),
        (lambda: RolePolicy("{"), "is no policy document in JSON"),
        (lambda: RolePolicy("[]"), "is no object of JSON"),
        (lambda: Fault.from_json({"name": "meteor"}), "there is no fault 'meteor'; there are crash, freeze"),
        (lambda: Fault.from_json({"name": "slow"}), "slow needs seconds"),
        (lambda: Fault.from_json({"name": "crash", "node": "node1", "hard": True}), "crash takes node, not hard"),
    ],
)
def test_a_value_that_makes_no_sense_is_a_sentence(make: Callable[[], object], sentence: str) -> None:
    """In any lab: what is wrong, and what there is instead."""
    with pytest.raises(LabError) as caught:
        make()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "typed"),
    [
        (Crash("node1"), "crash node1"),
        (Freeze("node1", kernel=False), "freeze node1 --no-kernel"),
        (Partition("node1", "node2", one_way=True), "partition node1 node2 --one-way"),
        (Slow(2, action="Describe*", times=3), "slow 2 --action 'Describe*' --times 3"),
        (Throttled(capacity=0.5), "throttled --capacity 0.5"),
    ],
)
def test_a_fault_is_written_as_it_is_typed(fault: Fault, typed: str) -> None:
    """With what is not as by default, quoted for a shell."""
    assert str(fault) == typed


class Order(NamedTuple):
    """What a lab was asked to inject; also what it answers."""

    lab: str
    fault: Fault
    lasting: Optional[float]
    number: int = 7


class Asked(List[Order]):
    """What labs were asked to inject, in order."""

    def type(self, *words: str) -> int:
        """Type `lab` with these words; returns the exit code."""
        with command.make_context("lab", list(words)) as context:
            return int(command.invoke(context))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Labs that do nothing but note what they are asked to inject."""
    orders = Asked()

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def inject(self, fault: Fault, lasting: Optional[float]) -> Order:
            orders.append(Order(self.name, fault, lasting))
            return orders[-1]

    monkeypatch.setattr("vpc_lab.lab.Lab", Noting)
    return orders


@pytest.mark.parametrize("name", FAULTS)
def test_the_command_line_knows_every_fault(
    name: str, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all of its parameters: what is typed is the value that Python has."""
    policy = tmp_path / "policy.json"
    policy.write_text(str(GIVEN["policy"]), encoding="utf-8")
    typed = {**GIVEN, "policy": policy}
    expected: Dict[str, object] = {}
    words: List[str] = []
    for one in FAULTS[name].parameters():
        if one.required:
            words.append(str(typed[one.name]))
            expected[one.name] = GIVEN[one.name]
        elif one.kind is bool:
            words.append(f"--no-{one.option}" if one.default else f"--{one.option}")
            expected[one.name] = not one.default
        else:
            other: object = 0.5 if one.kind is float else 599 if one.kind is int else (one.choices or ("text",))[-1]
            words += [f"--{one.option}", str(other)]
            expected[one.name] = other
    fault = FAULTS[name](**expected)
    assert asked.type("fault", name, *words, "--for", "5", "--name", "mine") == 0
    assert asked == [Order("mine", fault, 5.0)]
    assert capsys.readouterr().out == f"fault 7: {fault}\n"


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_given_is_as_by_default(name: str, asked: Asked, tmp_path: Path) -> None:
    """The command line has the defaults of the values."""
    policy = tmp_path / "policy.json"
    policy.write_text(str(GIVEN["policy"]), encoding="utf-8")
    typed = {**GIVEN, "policy": policy}
    words = [str(typed[one.name]) for one in FAULTS[name].parameters() if one.required]
    assert asked.type("fault", name, *words) == 0
    assert asked == [Order("default", example(FAULTS[name]), None)]


@pytest.mark.parametrize("name", FAULTS)
def test_the_example_of_a_fault_s_help_can_be_typed(
    name: str, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes that fault."""
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text(str(GIVEN["policy"]), encoding="utf-8")
    with pytest.raises(click.exceptions.Exit):
        asked.type("fault", name, "--help")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    aws-ipfailover lab ")]
    assert asked.type(*shlex.split(line)[2:]) == 0
    assert type(asked[0].fault) is FAULTS[name]


def test_the_lab_s_name_can_come_before_the_fault_s(asked: Asked) -> None:
    """`lab fault --name mine crash node1` means the lab called `mine`; what is nearer to the fault counts."""
    asked.type("fault", "--name", "mine", "crash", "node1")
    asked.type("fault", "crash", "node1")
    asked.type("fault", "--name", "mine", "crash", "node1", "--name", "other")
    assert [order.lab for order in asked] == ["mine", "default", "other"]


@pytest.mark.parametrize("number", ["-1", "-0.5"])
def test_a_negative_number_is_no_option(asked: Asked, capsys: pytest.CaptureFixture[str], number: str) -> None:
    """As a value it is one, and as an argument it is refused by the fault, as any other number could be."""
    assert asked.type("fault", "clock-stepped", "node1", "--seconds", number) == 0
    assert asked[0].fault == ClockStepped("node1", float(number))
    assert asked.type("fault", "route-lag", number) == 1
    assert capsys.readouterr().err == f"seconds is a number, 0 or more, not {number}\n"


@pytest.mark.parametrize("words", [["crash", "--tpyo"], ["crash", "node1", "--tpyo"], ["route-lag", "-1", "--tpyo"]])
def test_an_option_that_does_not_exist(asked: Asked, words: List[str]) -> None:
    """It is refused, and no fault is injected."""
    with pytest.raises(click.UsageError) as refused:
        asked.type("fault", *words)
    assert "--tpyo" in str(refused.value)
    assert asked == []


def test_the_documentation_has_the_list() -> None:
    """docs/lab.md holds the table that the list of faults makes; this one fits where it does not."""
    text = DOCS.read_text(encoding="utf-8")
    begin, end = text.index("<!-- faults -->\n"), text.index("<!-- end of faults -->")
    assert text[begin + len("<!-- faults -->\n") : end] == "\n" + faults.table() + "\n"
