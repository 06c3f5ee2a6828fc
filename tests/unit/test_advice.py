"""`aws-ipfailover advise`: what is decided for which nodes and consumers, and what an unknown means."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from aws_ipfailover.cli import advise as cli
from aws_ipfailover.cli import main
from aws_ipfailover.errors import ParameterError
from aws_ipfailover.setup import advice
from aws_ipfailover.setup.advice import RULES, Consumers, Needs, Solution, Verdict, Weight, advise, missing

jsonschema: Any = pytest.importorskip("jsonschema")
SCHEMA = json.loads((Path(cli.__file__).parent / "schemas" / "advise.json").read_text(encoding="utf-8"))
# As the options leave it where they are not given: flags are no, all else is unknown.
NO: Dict[str, Any] = {"address_in_vpc": False, "keeps_mac": False, "ipv6": False, "read_scaling": False, "sap": False}
KNOWN: Dict[str, Any] = {**NO, "shared_vpc": False, "by_name": False, "seconds": 60.0, "protocol": "tcp"}


def needs(consumers: str = "vpc", **told: Any) -> Needs:
    """All is told: consumers in the VPC, TCP, a minute, nothing special; and what a test says."""
    return Needs(**{**KNOWN, "consumers": frozenset(map(Consumers, consumers.split(","))), **told})


def best(known: Needs) -> List[str]:
    """The names of the best solutions."""
    return [one.solution.value for one in advise(known) if one.verdict is Verdict.BEST]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (needs(several_zones=True), ["overlay-ip"]),
        (needs(several_zones=True, sap=True), ["overlay-ip"]),
        (needs(several_zones=True, sap=True, consumers="vpc,on-premises"), ["overlay-ip"]),
        (needs(several_zones=True, consumers="vpc,transit-gateway"), ["overlay-ip"]),
        (needs(several_zones=True, consumers="internet"), ["overlay-ip"]),
        (needs(several_zones=True, shared_vpc=True, ipv6=True), ["overlay-ip"]),
        (needs(several_zones=True, seconds=3.0), ["overlay-ip"]),
        (needs(same_subnet=True), ["private-ip"]),
        (needs(same_subnet=True, consumers="on-premises,peered,internet"), ["private-ip"]),
        (needs(same_subnet=True, address_in_vpc=True, seconds=5.0), ["private-ip"]),
        (needs(same_subnet=True, keeps_mac=True, seconds=120.0), ["eni"]),
        (needs(several_zones=False, same_subnet=False, keeps_mac=True), ["eni"]),
        (needs(several_zones=False, same_subnet=False, address_in_vpc=True, seconds=120.0), ["eni"]),
        (needs(several_zones=False, same_subnet=False), ["overlay-ip"]),
        (needs(several_zones=True, consumers="peered"), ["network-load-balancer"]),
        (needs(several_zones=True, address_in_vpc=True), ["network-load-balancer"]),
        (needs(several_zones=True, read_scaling=True, protocol="http"), ["network-load-balancer"]),
        (needs(several_zones=True, address_in_vpc=True, by_name=True, seconds=300.0, protocol="udp"), ["dns"]),
        (needs(several_zones=True, keeps_mac=True), []),
        (needs(several_zones=True, consumers="peered", seconds=5.0), []),
    ],
)
def test_decisions(known: Needs, expected: List[str]) -> None:
    """What is best where all is told; nothing where the requirements contradict each other."""
    assert best(known) == expected
    assert missing(advise(known)) == []


@pytest.mark.parametrize(
    ("known", "solution", "named"),
    [
        (Needs(**NO, consumers=frozenset({Consumers.VPC})), Solution.PRIVATE_IP, ["zones", "same-subnet"]),
        (Needs(**NO, consumers=frozenset({Consumers.VPC})), Solution.ENI, ["zones", "seconds"]),
        (Needs(**NO, several_zones=True), Solution.OVERLAY_IP, ["consumers"]),
        (needs(several_zones=True, seconds=None), Solution.LOAD_BALANCER, ["seconds"]),
        (needs(several_zones=True, by_name=None), Solution.DNS, ["by-name"]),
    ],
)
def test_an_unknown_is_no_answer(known: Needs, solution: Solution, named: List[str]) -> None:
    """What could exclude a solution and was not told makes it neither best nor excluded, and is named."""
    (found,) = (one for one in advise(known) if one.solution is solution)
    assert (found.verdict, list(found.unknown)) == (Verdict.UNKNOWN, named)


def test_what_certainly_excludes_counts_whatever_is_unknown() -> None:
    """A network interface in several zones: nothing that could be told would help."""
    (found,) = (one for one in advise(Needs(several_zones=True)) if one.solution is Solution.ENI)
    assert (found.verdict, found.unknown) == (Verdict.EXCLUDED, ())


def test_a_subnet_is_in_one_zone() -> None:
    """Which follows, and which cannot be contradicted."""
    assert Needs(same_subnet=True).completed().several_zones is False
    assert Needs(several_zones=True).completed().same_subnet is False
    with pytest.raises(ParameterError, match="in one zone"):
        advise(Needs(same_subnet=True, several_zones=True))


def test_every_rule_has_a_reason_and_a_source() -> None:
    """Sources are those that the module's docstring names; what excludes says what has to be told."""
    sources = set(re.findall(r"^- `(\w+)`:", advice.__doc__ or "", re.MULTILINE))
    assert {rule.source for rule in RULES} == sources
    for rule in RULES:
        assert rule.reason
        assert not rule.reason.endswith(".")
        assert bool(rule.asks) is (rule.weight is Weight.EXCLUDES)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--zones", "2+", "--consumers", "vpc,on-premises"], 0),
        (["--zones", "2+", "--consumers", "vpc", "--keeps-mac"], 1),
        ([], 3),
        (["--zones", "3"], 2),
        (["--consumers", "moon"], 2),
        (["--same-subnet", "--zones", "2+"], 2),
    ],
)
def test_exit_codes(arguments: List[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """0 with a best one, 1 where nothing fits, 3 where what is not told decides, 2 for a wrong command line."""
    assert main.main(["advise", *arguments]) == code
    said = capsys.readouterr()
    assert bool(said.out) is (code != 2)
    assert "Traceback" not in said.err


def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    """The best first, marks with words, what to tell, and what to do next."""
    assert main.main(["advise", "--zones", "2+", "--consumers", "vpc"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "overlay-ip: best"
    assert "private-ip: excluded" in lines
    assert "  x its address is of one subnet, which is in one zone, and the nodes are in several" in lines
    assert "  ? not told: --by-name or --by-address, --seconds" in lines
    assert lines[-1] == "overlay-ip. Next: aws-ipfailover config, aws-ipfailover iam-policy --mode overlay-ip"


@pytest.mark.parametrize(
    "arguments", [[], ["--zones", "2+", "--consumers", "peered", "--seconds", "20"], ["--same-subnet", "--sap"]]
)
def test_json(arguments: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As the schema says."""
    main.main(["advise", *arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert {one["solution"] for one in document["advice"]} == {one.value for one in Solution}


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 by 24, the last line of which is the prompt; with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["advise", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  ") and line.lstrip().startswith("aws-ipfailover ") for line in lines)


class Terminal:
    """The command on a terminal: what it prints, and what is typed."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        # A shell's background job, in which tests may run, ignores SIGINT, and so would its children.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "aws_ipfailover.cli.main", "advise"]
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "80"}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.printed = ""

    def read_until(self, text: str) -> None:
        """Read until `text` has been printed; fails when the command ends before, or hangs."""
        while text not in self.printed:
            if not self._read():
                pytest.fail(f"ended before {text!r}: {self.printed}")

    def _read(self) -> bool:
        """Read what there is; whether there can be more."""
        ready, _, _ = select.select([self._master], [], [], 30.0)
        assert ready, f"it hangs: {self.printed}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the command has ended
            return False
        self.printed += data.decode()
        return bool(data)

    def type(self, text: str) -> None:
        """Type this."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C until it answers: Python does not see a signal that comes just before it waits for the terminal."""
        while "interrupted" not in self.printed and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            while "interrupted" not in self.printed and select.select([self._master], [], [], 2.0)[0]:
                if not self._read():
                    return

    def end(self) -> int:
        """Read the rest; the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)
        os.close(self._master)


def test_it_asks_on_a_terminal() -> None:
    """One question after the other; the answer stands at the end."""
    questions = ("address of the VPC", "MAC", "IPv6", "protocol", "seconds", "name up", "at once", "SAP", "own the")
    with Terminal() as terminal:
        terminal.read_until("In how many availability zones")
        terminal.type("2+\n")
        for place in Consumers:
            terminal.read_until(f"in: {place.value}?")
            terminal.type("y\n" if place is Consumers.VPC else "\n")
        for question in questions:
            terminal.read_until(question)
            terminal.type("\n")
        assert terminal.end() == 0, terminal.printed
    assert "overlay-ip: best" in terminal.printed


def test_ctrl_c_ends_the_questions() -> None:
    """With a word, and 130."""
    with Terminal() as terminal:
        terminal.read_until("In how many availability zones")
        terminal.interrupt()
        assert terminal.end() == 130, terminal.printed
    assert "interrupted" in terminal.printed
    assert "Traceback" not in terminal.printed
