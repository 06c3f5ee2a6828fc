"""What `aws-ipfailover lab` makes of a command line, without a lab: what a verb is asked to do is noted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, Mapping, Sequence, Tuple

import click
import pytest

from vpc_lab.cli.lab import command
from vpc_lab.errors import LabError
from vpc_lab.settings import Settings


class Noting:
    """A lab that does nothing but note what it is asked to do."""

    asked: List[Tuple[object, ...]]

    def __init__(self, name: str) -> None:
        if name == "NO NAME":
            raise LabError("'NO NAME' cannot name a lab")
        self.rundir = SimpleNamespace(name=name)

    def up(self, name: str, settings: Settings, say: object) -> None:
        """Note what the lab shall be like."""
        self.asked.append((name, settings))

    def enter(self, name: str, argv: Sequence[str], *, with_parent: bool) -> Tuple[List[str], Mapping[str, str]]:
        """Note nothing: what is run is noted."""
        return ["enter", name, *argv], {}

    def administer(self, action: str, **parameters: str) -> None:
        """Note the call."""
        self.asked.append((action, parameters))

    def heal(self, number: int = 0) -> None:
        """Note the number, 0 for all."""
        self.asked.append(("heal", number))

    def down(self) -> bool:
        """It was up."""
        return True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[object, ...]]:
    """What the labs of a test were asked to do."""
    noted: List[Tuple[object, ...]] = []
    monkeypatch.setattr(Noting, "asked", noted, raising=False)
    monkeypatch.setattr("vpc_lab.lab.Lab", Noting)

    def execute(file: str, argv: List[str], environment: object) -> None:
        noted.append(tuple(argv))
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvpe", execute)
    return noted


def typed(*words: str) -> int:
    """Type `lab` with these words; returns the exit code."""
    with command.make_context("lab", list(words)) as context:
        return int(command.invoke(context))


def test_the_help_lists_every_verb() -> None:
    """Several on a line, and none twice."""
    with click.Context(command) as context:
        listed = command.list_commands(context)
    assert sorted(listed) == sorted(command.commands)


def test_without_a_verb_the_help_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with the exit code of a wrong command line; likewise without a fault's name."""
    for words in ([], ["fault"]):
        with pytest.raises(click.exceptions.Exit) as ended:
            typed(*words)
        assert ended.value.exit_code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("Usage: ")


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (["node1", "--", "ip", "-o", "address"], ["ip", "-o", "address"]),
        (["node1", "ip", "--name", "x", "--help"], ["ip", "--name", "x", "--help"]),
        (["node1", "--", "sh", "-c", "exit 7", "--", "-1"], ["sh", "-c", "exit 7", "--", "-1"]),
    ],
)
def test_exec_passes_on_what_follows_the_node(
    asked: List[Tuple[object, ...]], words: List[str], run: List[str]
) -> None:
    """Options, too, with `--` before the command or without."""
    assert typed("exec", "--name", "mine", *words) == 1
    assert asked == [("enter", "node1", *run)]


def test_exec_without_a_command(asked: List[Tuple[object, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and nothing is run."""
    for words in (["node1"], ["node1", "--"]):
        assert typed("exec", *words) == 2
        assert capsys.readouterr().err.startswith("there is no command to run; ")
    assert asked == []


def test_up_without_options_is_a_lab_with_the_usual_settings(asked: List[Tuple[object, ...]]) -> None:
    """The defaults of the command line are those of the library."""
    assert typed("up") == 0
    assert asked == [("default", Settings())]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["--nodes", "3"], {"nodes": 3}),
        (["--token", "500"], {"token_ms": 500}),
        (["--extra-route-tables", "4"], {"extra_route_tables": 4}),
        (["--without-fencing"], {"fencing": False}),
        (["--mode", "eni", "--layout", "same-subnet"], {"mode": "eni", "layout": "same-subnet"}),
        (["--attach", "1"], {"attach_seconds": 1.0}),
        (["--detach", "2"], {"detach_seconds": 2.0}),
        (["--nic", "0.5"], {"nic_seconds": 0.5}),
        (["--imds-lag", "3"], {"imds_lag_seconds": 3.0}),
        (["--graceful-stop"], {"graceful_stop": True}),
        (["--shutdown", "20"], {"shutdown_seconds": 20.0}),
        (["--shutdown-limit", "30"], {"shutdown_limit_seconds": 30.0}),
        (["--route-lag", "1"], {"route_lag_seconds": 1.0}),
        (["--rename", "1"], {"rename_seconds": 1.0}),
        (["--stale-neighbours"], {"stale_neighbours": True}),
        (["--remap", "1"], {"remap_seconds": 1.0}),
        (["--imds-address-lag", "1"], {"imds_address_lag_seconds": 1.0}),
        (["--dead-indexes"], {"dead_indexes": True}),
        (["--internet"], {"internet": True}),
        (["--seed", "9"], {"seed": 9}),
        (["--overlay", "192.168.9.9", "--overlay", "FD00::1"], {"overlays": ("192.168.9.9", "fd00::1")}),
        (["--agents", "/srv/agents"], {"agents": "/srv/agents"}),
        (["--as", "suse:aws-vpc-move-ip"], {"alias": "suse:aws-vpc-move-ip"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_option_of_up_is_a_setting(asked: List[Tuple[object, ...]], words: List[str], chosen: Any) -> None:
    """Each changes what it says, and nothing else."""
    assert typed("up", *words) == 0
    assert asked == [("default", replace(Settings(), **chosen))]


def test_every_option_of_up_is_tried_and_in_one_part_of_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """None is in both parts, and none in neither."""
    parts = []
    for option in ("--help", "--help-ec2"):
        with pytest.raises(click.exceptions.Exit):
            typed("up", option)
        parts.append(capsys.readouterr().out)
    options = [one.opts[0] for one in command.commands["up"].params]
    assert options
    for option in options:
        assert sum(f"  {option} " in part for part in parts) == 1, option
    assert "--help  " in parts[0]


def test_an_overlay_address_that_is_none(asked: List[Tuple[object, ...]]) -> None:
    """It is named, and no lab comes up."""
    with pytest.raises(click.BadParameter, match=r"'192\.168\.1' does not appear to be an IPv4 or IPv6 address"):
        typed("up", "--overlay", "192.168.1")
    assert asked == []


def test_an_error_of_the_lab_is_one_sentence(
    asked: List[Tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, and exit code 1; a lab's name is checked before anything else."""
    assert typed("down", "--name", "NO NAME") == 1
    assert capsys.readouterr() == ("", "'NO NAME' cannot name a lab\n")


def test_parameters_of_an_administrator_s_call(
    asked: List[Tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is NAME=VALUE; a value can have an equals sign."""
    assert typed("administer", "CreateTags", "Tag.1.Key=a", "Tag.1.Value=b=c") == 0
    assert asked == [("CreateTags", {"Tag.1.Key": "a", "Tag.1.Value": "b=c"})]
    assert typed("administer", "CreateTags", "Tag.1.Key") == 2
    assert capsys.readouterr().err == "a parameter is NAME=VALUE, such as InstanceId=i-0123\n"


@pytest.mark.parametrize(
    ("words", "code", "healed"), [(["3", "5"], 0, [3, 5]), (["--all"], 0, [0]), ([], 2, []), (["3", "--all"], 2, [])]
)
def test_heal_takes_numbers_or_all(
    asked: List[Tuple[object, ...]], words: List[str], code: int, healed: List[int]
) -> None:
    """One of the two, and not both."""
    assert typed("heal", *words) == code
    assert asked == [("heal", number) for number in healed]


def test_a_configuration_that_cannot_be_read(
    asked: List[Tuple[object, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named."""
    assert typed("load", str(tmp_path / "none.crm")) == 1
    assert capsys.readouterr().err.startswith(f"cannot read {tmp_path / 'none.crm'}: ")
