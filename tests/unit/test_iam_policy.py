"""`aws-ipfailover iam-policy`: documents in IAM's grammar, as narrow as what is known, and what is said of the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping

import pytest

from aws_ipfailover.cli import iam_policy, main
from aws_ipfailover.parameters import parse
from aws_ipfailover.setup.permissions import ALL_MODES, PERMISSIONS, Kind, User, permissions_for
from aws_ipfailover.setup.policy import LONGEST, OPTIONAL, Policies, Scope, policies, widest

jsonschema: Any = pytest.importorskip("jsonschema")
SCHEMA = json.loads((Path(iam_policy.__file__).parent / "schemas" / "iam-policy.json").read_text(encoding="utf-8"))
TABLE, ENI, ROLE = "rtb-0123456789abcdef0", "eni-0123456789abcdef0", "arn:aws:iam::210987654321:role/network"
OVERLAY = {"ip": "192.168.10.10", "routing_table": TABLE}
KNOWN = Scope("123456789012", "eu-central-1", instances=("i-01234567",), interfaces=(ENI,))
ARGUMENTS = ["--account", "123456789012", "--region", "eu-central-1", "--instances", "i-01234567", "--interfaces", ENI]
CONFIGURATIONS: List[Dict[str, str]] = [
    OVERLAY,
    {**OVERLAY, "allocation_id": "eipalloc-01234567"},
    {**OVERLAY, "routing_table": f"{TABLE},tag:cluster=hana,tag:a=b"},
    {**OVERLAY, "routing_table": "auto"},
    {**OVERLAY, "routing_table_role": ROLE, "external_id": "the-owners-secret"},
    {"mode": "eni", "network_interface_id": ENI},
    {"mode": "private-ip", "ip": "10.0.1.50,2001:db8::1"},
]


def statements(found: Policies, name: str = "node") -> Dict[str, Mapping[str, Any]]:
    """The statements of a document by their ids, which are unique."""
    document = found.named(name)
    assert document is not None
    by_sid = {one["Sid"]: one for one in document.policy["Statement"]}
    assert len(by_sid) == len(document.policy["Statement"])
    return by_sid


def texts(value: Any) -> List[str]:
    """One text, or several."""
    return [value] if isinstance(value, str) else list(value)


@pytest.mark.parametrize("users", [[User.AGENT], list(User)], ids=["agent", "all"])
@pytest.mark.parametrize("given", CONFIGURATIONS, ids=lambda given: given.get("routing_table", given.get("mode")))
def test_the_document_allows_what_the_list_says(given: Dict[str, str], users: List[User]) -> None:
    """Each operation once, on all of its types of resources, and on nothing else; those that only read on `*`."""
    values = parse(given)
    found = policies(values, KNOWN, users)
    needed = permissions_for(values, tuple(users))
    allowed: Dict[str, set[str]] = {}
    for document in found.documents:
        if document.name == "trust":
            continue
        for one in document.policy["Statement"]:
            for action in texts(one["Action"]):
                resources = {arn.split(":")[5].split("/")[0] if ":" in arn else arn for arn in texts(one["Resource"])}
                allowed.setdefault(action, set()).update(resources)
    expected: Dict[str, set[str]] = {}
    for one in needed:
        expected.setdefault(one.action, set()).update({kind.value for kind in one.kinds} or {"*"})
    assert allowed == expected


@pytest.mark.parametrize("given", CONFIGURATIONS, ids=lambda given: given.get("routing_table", given.get("mode")))
def test_arns(given: Dict[str, str]) -> None:
    """Each ARN has a partition, a service, a region or none, an account, and the resource: of EC2 or IAM."""
    for document in policies(parse(given), KNOWN, list(User)).documents:
        for one in document.policy["Statement"]:
            for arn in texts(one.get("Resource", "*")):
                assert arn == "*" or re.fullmatch(
                    r"arn:aws:(ec2:eu-central-1:\d{12}:[a-z-]+/([a-z]+-[0-9a-f]+|\*)|iam::\d{12}:role/\w+)", arn
                ), arn


def test_a_shared_vpc_is_a_pair() -> None:
    """The nodes' role may assume the other one, which may write the tables, and only it."""
    found = policies(parse({**OVERLAY, "routing_table_role": ROLE}), KNOWN._replace(node_role="nodes"))
    node, role, trust = (statements(found, name) for name in ("node", "role", "trust"))
    assert node["AssumeRole"]["Resource"] == ROLE
    assert "ReplaceRoutes" not in node
    assert role["ReplaceRoutes"]["Resource"] == f"arn:aws:ec2:eu-central-1:210987654321:route-table/{TABLE}"
    assert texts(role["Describe"]["Action"]) == ["ec2:DescribeRouteTables", "ec2:DescribeSubnets"]
    assert trust["AssumeRole"]["Principal"] == {"AWS": "arn:aws:iam::123456789012:role/nodes"}
    assert trust["TagSession"]["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"]
    assert found.notes == ()


def test_the_external_id_is_not_shown() -> None:
    """Unless it is asked for: standard output ends up in logs and tickets."""
    values = parse({**OVERLAY, "routing_table_role": ROLE, "external_id": "the-owners-secret"})
    assert "the-owners-secret" not in str(policies(values, KNOWN))
    assert "the-owners-secret" in str(policies(values, KNOWN, external_id=True).named("trust"))


@pytest.mark.parametrize(
    ("region", "role", "partition"),
    [
        ("cn-north-1", None, "aws-cn"),
        ("us-gov-west-1", None, "aws-us-gov"),
        ("eu-central-1", None, "aws"),
        ("*", "arn:aws-cn:iam::210987654321:role/x", "aws-cn"),
    ],
)
def test_the_partition_follows(region: str, role: str | None, partition: str) -> None:
    """From the region, or the role, unless it is given."""
    values = parse({**OVERLAY, **({"routing_table_role": role} if role else {})})
    for given, expected in (("", partition), ("aws-us-gov", "aws-us-gov")):
        found = policies(values, KNOWN._replace(region=region, partition=given))
        (arn,) = texts(statements(found)["SwitchOffSourceDestCheck"]["Resource"])
        assert arn.startswith(f"arn:{expected}:ec2:{region}:")


def test_only_the_check_may_be_changed() -> None:
    """ModifyNetworkInterfaceAttribute could change security groups as well: a condition keeps it from that."""
    one = statements(policies(parse(OVERLAY), KNOWN))["SwitchOffSourceDestCheck"]
    assert one["Condition"] == {"StringEquals": {"ec2:Attribute/SourceDestCheck": "false"}}


def test_tags_with_a_policy_variable() -> None:
    """A tag is text to EC2, and stays text to IAM."""
    found = policies(parse({**OVERLAY, "routing_table": "tag:a=${aws:username}*"}), KNOWN)
    assert statements(found)["ReplaceRoutesByTag"]["Condition"]["StringEquals"] == {
        "aws:ResourceTag/a": "${$}{aws:username}*"
    }


@pytest.mark.parametrize("tables", [20, 60])
def test_many_tables_fit(tables: int) -> None:
    """20 tables fit as they are; for 60 the two statements about tables become one."""
    ids = ",".join(f"rtb-{number:017x}" for number in range(tables))
    found = policies(parse({**OVERLAY, "routing_table": ids}), KNOWN, list(User))
    assert found.documents[0].size <= LONGEST
    allowed = {action for one in statements(found).values() for action in texts(one["Action"])}
    assert {"ec2:CreateRoute", "ec2:ReplaceRoute"} < allowed
    assert ("CreateRoutes" in statements(found)) is (tables == 20)


def test_too_many_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """What IAM does not take is printed, with 1, the number of characters and the way out."""
    ids = ",".join(f"rtb-{number:017x}" for number in range(200))
    assert main.main(["iam-policy", "ip=192.168.10.10", f"routing_table={ids}", *ARGUMENTS]) == 1
    assert re.search(r"the policy node has \d+ characters, and IAM takes 6144: tag", capsys.readouterr().err)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_without_ids_it_is_wide_and_says_so(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`*` in the place of every id, one note for each, on standard error alone."""
    assert main.main(["iam-policy", "--mode", mode]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    wide = {one["Sid"] for one in document["Statement"] if one["Resource"] != "*"}
    for sid in wide:
        assert f"note: {sid} allows every " in said.err
    assert "give --region" in said.err
    assert "give --account" in said.err
    assert set(OPTIONAL) & wide == (set(OPTIONAL) if mode == "overlay-ip" else set())


def test_a_vpc_narrows_what_has_no_ids() -> None:
    """Tables and interfaces of one VPC: EC2 has the condition key for both, and not for instances."""
    found = policies(widest("overlay-ip"), Scope("123456789012", "eu-central-1", vpc_id="vpc-01234567"))
    vpc = {"ec2:Vpc": "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-01234567"}
    for sid in ("ReplaceRoutes", "CreateRoutes", "SwitchOffSourceDestCheck"):
        assert statements(found)[sid]["Condition"]["ArnLike"] == vpc
    found = policies(widest("eni"), Scope("123456789012", "eu-central-1", vpc_id="vpc-01234567"))
    assert "Condition" not in statements(found)["MoveInterface"]


def test_what_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the routes are there and the checks are off."""
    left_out = [text for sid in OPTIONAL for text in ("--without", sid)]
    assert main.main(["iam-policy", "ip=192.168.10.10", f"routing_table={TABLE}", *ARGUMENTS, *left_out]) == 0
    said = capsys.readouterr()
    assert [one["Sid"] for one in json.loads(said.out)["Statement"]] == ["ReplaceRoutes", "Describe"]
    assert said.err == ""


@pytest.mark.parametrize("given", CONFIGURATIONS, ids=lambda given: given.get("routing_table", given.get("mode")))
def test_json(given: Dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """All documents and notes, as the schema says; the documents alone are IAM's grammar too."""
    typed = [f"{name}={value}" for name, value in given.items()]
    assert main.main(["iam-policy", *typed, "--account", "123456789012", "--fencing", "--doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert len(document["documents"]) == (3 if "routing_table_role" in given else 1)


def test_the_schema_is_one() -> None:
    """And refuses what is not of its kind."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "A", "Effect": "Allow", "Action": "x", "NotResource": "*"}],
    }
    document = {"schema": "aws-ipfailover/iam-policy/1", "notes": [], "documents": [{"policy": policy}]}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "for which resource?"),
        (["ip_hana"], "'ip_hana' is no NAME=VALUE"),
        (["ip=10.0.0.300", "routing_table=auto"], "parameter ip: '10.0.0.300' is wrong"),
        (["ip=192.168.10.10"], "parameter routing_table is missing"),
        (["--mode", "eni", "--account", "12"], "12 digits"),
        (["--mode", "eni", "--document", "role"], "there is no document role"),
        (["--mode", "overlay-ip", "--shared-vpc", "--document", "trust"], "--node-role"),
        (["--mode", "overlay-ip", "--instances", "i-1;rm"], "'i-1;rm' is wrong"),
    ],
)
def test_a_wrong_command_line(arguments: List[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, and what is wrong; nothing on standard output, which may lead into a file."""
    assert main.main(["iam-policy", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_the_other_documents_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One document is printed, the others are pointed at."""
    arguments = ["iam-policy", "--mode", "overlay-ip", "--shared-vpc", *ARGUMENTS]
    assert main.main(arguments) == 0
    assert "note: --document role prints what goes with it" in capsys.readouterr().err
    assert main.main([*arguments, "--document", "trust"]) == 0
    assert json.loads(capsys.readouterr().out)["Statement"][0]["Principal"]


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 by 24, the last line of which is the prompt; with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["iam-policy", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  ") and line.lstrip().startswith("aws-ipfailover ") for line in lines)


def test_every_kind_of_resource_has_arns() -> None:
    """A kind that is new in the list is no `*` by accident."""
    assert {kind for one in PERMISSIONS for kind in one.kinds} == set(Kind)
