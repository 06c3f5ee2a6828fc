"""Whether EC2, the kernel and Pacemaker agree; and how that is shown."""

from __future__ import annotations

import io
import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Optional, Tuple, Union

import pytest
from rich.console import Console

from aws_ipfailover.aws.models import Subnet
from aws_ipfailover.cli import group
from aws_ipfailover.cli import status as shown_by
from aws_ipfailover.errors import Error, ParameterError, UnknownError
from aws_ipfailover.failover import Finding, Verdict
from aws_ipfailover.ocf.cluster_view import view_of
from aws_ipfailover.state.cloud_state import AttachmentState, CloudState, Holder, RouteState
from aws_ipfailover.state.status import Agreement, ClusterState, Own, Status, cluster_state, judge
from aws_ipfailover.validation import Effect, Problem

DATA = Path(__file__).parent / "data"
SCHEMA = Path(shown_by.__file__).parent / "schemas" / "status.json"
ONE, TWO = Holder("i-1", "node1", "n1", "running"), Holder("i-2", "node2", "", "running")
HERE, NOT_HERE = Finding(Verdict.RUNNING), Finding(Verdict.NOT_RUNNING, "it is on no network interface")
NODE1 = Own("i-1", "node1")
PARTLY = Finding(Verdict.PARTLY_RUNNING, "10.0.0.1 is missing")


def leading(*holders: Optional[Holder], **others: Any) -> CloudState:
    """A route in a table of its own to each of these."""
    routes = tuple(
        RouteState(f"rtb-{n}", "192.0.2.1/32", f"eni-{n}", "active", one, n == 0, (Subnet("subnet-a", "zone-a"),))
        for n, one in enumerate(holders)
    )
    return CloudState(routes, **others)


def started(*nodes: str, **marks: Any) -> ClusterState:
    """What Pacemaker says of a resource that runs there."""
    state = ClusterState("Started" if nodes else "Stopped", nodes, True, False, False, True, {}, ())
    return state._replace(**marks)


def status(
    cloud: Union[CloudState, Error],
    kernel: Union[Finding, Error],
    cluster: Union[ClusterState, Error, None],
    own: Own = NODE1,
) -> Status:
    """Of one resource, as node1 sees it."""
    return Status("ip", "overlay-ip", ("192.0.2.1",), own, cloud, kernel, cluster)


AGREEING = [
    (leading(ONE, ONE), HERE, started("node1")),
    (leading(TWO), NOT_HERE, started("node2")),
    (leading(ONE), HERE, None),
    (leading(TWO), NOT_HERE, None),
    # Disabled: the routes stay as they were.
    (leading(ONE), NOT_HERE, started(intended=False)),
    (CloudState(wrong=("rtb-1 has no route",)), NOT_HERE, started(intended=False)),
    # Neither fail counts nor maintenance are a contradiction.
    (leading(ONE), HERE, started("node1", managed=False, fail_counts={"node2": 3})),
    (leading(ONE, notes=("names are not known",)), HERE, started("node1")),
]


@pytest.mark.parametrize(("cloud", "kernel", "cluster"), AGREEING)
def test_they_agree(cloud: CloudState, kernel: Finding, cluster: Optional[ClusterState]) -> None:
    """One sentence says who holds it."""
    verdict = judge(status(cloud, kernel, cluster))
    assert verdict.agreement is Agreement.AGREE, verdict
    assert len(verdict.sentences) == 1


DISAGREEING = [
    (leading(TWO), HERE, started("node1"), "the kernel of node1 has it, and EC2 leads to node2 (i-2)"),
    (leading(TWO), HERE, started("node1"), "Pacemaker has it started on node1, and EC2 leads to node2 (i-2)"),
    (leading(ONE), NOT_HERE, started("node1"), "Pacemaker has it started on node1, and the kernel of node1 has it not"),
    (leading(TWO), HERE, started("node2"), "Pacemaker has it started on node2, and the kernel of node1 has it"),
    (leading(ONE), NOT_HERE, started("node2"), "Pacemaker has it started on node2, and EC2 leads to node1 (i-1)"),
    (leading(ONE), HERE, started(intended=False), "Pacemaker has it started nowhere, and the kernel of node1 has it"),
    (leading(ONE), NOT_HERE, started(), "Pacemaker runs it nowhere, although it is to run"),
    (leading(ONE, TWO), HERE, started("node1"), "EC2 leads to node1 (i-1) and node2 (i-2) at once"),
    (leading(ONE), HERE, started("node1", "node2"), "Pacemaker has it started on node1 and node2 at once"),
    (leading(ONE), NOT_HERE, None, "EC2 leads to this node (i-1), and its kernel does not have it"),
    (leading(ONE), PARTLY, started("node1"), "only a part is on this node: 10.0.0.1 is missing"),
    (leading(ONE), HERE, started("node1", failed=True, failures=("monitor on node1",)), "failed: monitor on node1"),
    (leading(ONE), HERE, started("node1", blocked=True), "for Pacemaker it is blocked"),
    (leading(ONE, wrong=("rtb-9 has no route",)), HERE, started("node1"), "rtb-9 has no route"),
    (ParameterError("parameter ip is missing"), NOT_HERE, started("node2"), "parameter ip is missing"),
    # A node whose instance nobody names, but which is not this one.
    (leading(Holder("i-9")), HERE, started("node1"), "Pacemaker has it started on node1 (i-1), and EC2 leads to i-9"),
]


@pytest.mark.parametrize(("cloud", "kernel", "cluster", "sentence"), DISAGREEING)
def test_they_disagree(cloud: Any, kernel: Finding, cluster: Optional[ClusterState], sentence: str) -> None:
    """The contradiction is named, whatever else is not known."""
    verdict = judge(status(cloud, kernel, cluster))
    assert verdict.agreement is Agreement.DISAGREE
    assert any(sentence in one for one in verdict.sentences), verdict
    assert judge(status(cloud, kernel, cluster)._replace(cluster=UnknownError("x"))).agreement is not Agreement.AGREE


UNKNOWN: Tuple[Tuple[Any, Any, Any, Own, str], ...] = (
    (UnknownError("no answer"), HERE, started("node1"), Own("", "node1", "x"), "what EC2 says is not known: no answer"),
    (leading(ONE), UnknownError("ip fails"), started("node1"), Own("i-1", "node1"), "ip fails"),
    (leading(ONE), HERE, UnknownError("crm_mon fails"), Own("i-1", "node1"), "crm_mon fails"),
    (leading(ONE, unknown=("DescribeAddresses",)), HERE, started("node1"), Own("i-1", "node1"), "DescribeAddresses"),
    (leading(ONE), HERE, started("node1"), Own("i-1", ""), "crm_node does not tell"),
    (leading(Holder("i-9")), NOT_HERE, started("node2"), Own("i-1", "node1"), "which node of the cluster i-9 is"),
    (leading(Holder("i-9")), NOT_HERE, None, Own("", "", "IMDS is off"), "whether EC2 leads to this node is not known"),
)


@pytest.mark.parametrize(("cloud", "kernel", "cluster", "own", "sentence"), UNKNOWN)
def test_something_is_not_known(cloud: Any, kernel: Any, cluster: Any, own: Own, sentence: str) -> None:
    """It is neither a contradiction, nor is it taken for agreement."""
    verdict = judge(status(cloud, kernel, cluster, own))
    assert verdict.agreement is Agreement.UNKNOWN, verdict
    assert any(sentence in one for one in verdict.sentences), verdict


def test_without_own_instance_the_names_tell() -> None:
    """IMDS does not answer, and the cluster names both nodes."""
    assert judge(status(leading(TWO), NOT_HERE, started("node2"), Own("", "node1"))).agreement is Agreement.AGREE
    assert judge(status(leading(TWO), HERE, started("node1"), Own("", "node1"))).agreement is Agreement.DISAGREE


def test_what_pacemaker_says() -> None:
    """Role, place, failures on record; a resource that it does not show is not known."""
    view = view_of((DATA / "crm-mon-pcs.xml").read_text(encoding="utf-8"))
    found = cluster_state(view, "ip_service")
    assert isinstance(found, ClusterState)
    assert (found.role, found.nodes, found.managed, found.intended) == ("Started", ("node1",), True, True)
    assert found.fail_counts == {"node1": 2}
    assert found.failures == ("asyncmon on node1 ended with 1: Simulated failure",)
    assert isinstance(cluster_state(view, "nobody"), UnknownError)
    assert str(cluster_state(UnknownError("no answer"), "ip_service")) == "no answer"
    maintained = cluster_state(view._replace(maintenance_mode=True), "ip_service")
    assert isinstance(maintained, ClusterState)
    assert not maintained.managed


# -- how it is shown ------------------------------------------------------------------------------------------------

EVERYTHING = (
    status(leading(ONE, TWO, notes=("zones are not known",)), HERE, started("node1", fail_counts={"node2": 1_000_000})),
    status(UnknownError("no answer"), UnknownError("ip fails"), UnknownError("crm_mon fails")),
    status(
        CloudState(
            attachment=AttachmentState("eni-5", "attached", ONE, 1, "zone-a", (ip_address("10.0.1.60"),)),
            wrong=("[bold]not markup[/bold]\x1b[31m",),
        ),
        PARTLY,
        None,
    ),
)
SHOWN = shown_by.Shown(0.0, EVERYTHING, {"other": [Problem(UnknownError("who knows"), Effect.UNKNOWN)]})


def test_the_json_fits_its_schema() -> None:
    """With every kind of answer and of failure in it."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = {"schema": "aws-ipfailover/status/1", **shown_by.document(SHOWN)}
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(document)))
    assert document["verdict"] == "disagree"


def test_a_terminal_of_80_columns() -> None:
    """Nothing is lost, and what comes from outside is neither markup nor obeyed."""
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=80, color_system=None).print(shown_by.rendered(SHOWN))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]not markup[/bold]" in text
    assert "\x1b" not in text
    for said in (
        "EC2",
        "kernel of node1",
        "Pacemaker",
        "rtb-0 192.0.2.1/32 active -> node1 (i-1)",
        "    eni-0 (main: ",
    ):
        assert said in text
    assert "…" not in text


def test_plain_lines() -> None:
    """One fact a line, whose beginning says what it is about; a failure stands where the answer would."""
    text = shown_by.lines(SHOWN).plain.splitlines()
    assert text[0] == "ip: overlay-ip 192.0.2.1"
    assert text[1] == "  EC2:       node1 (i-1) and node2 (i-2), by 2 of 2 routes"
    assert "  kernel:    not known: ip fails" in text
    assert "  Pacemaker: Started on node1, INFINITY failures on node2" in text
    assert text[-1] == "other: who knows"
    assert shown_by.lines(shown_by.Shown(0.0, (), {})).plain.startswith("the cluster's configuration has no resource")


@pytest.mark.parametrize(
    ("found", "problems", "code"),
    [
        ((), {}, group.OK),
        (EVERYTHING[1:2], {}, group.UNKNOWN),
        (EVERYTHING, {}, group.WRONG),
        ((), {"x": [Problem(UnknownError(""), Effect.UNKNOWN)]}, group.UNKNOWN),
        ((), {"x": [Problem(Error(""), Effect.FAILS)]}, group.WRONG),
    ],
)
def test_exit_codes(found: Tuple[Status, ...], problems: Any, code: int) -> None:
    """A contradiction counts most, then what could not be found out."""
    assert shown_by.code_of(shown_by.Shown(0.0, found, problems)) == code


def test_the_help_fits_a_small_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """80 by 24, with an example."""
    assert group.run(["status", "--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert "Example: aws-ipfailover status" in text
