"""The doctor's pure parts: what a policy's refusal means, where routes lead, who is covered, what filters drop."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import pytest

from aws_ipfailover.aws import survey_models
from aws_ipfailover.aws.models import Route, RouteTable, Subnet
from aws_ipfailover.aws.survey_models import (
    AclEntry,
    Caller,
    GroupRule,
    NetworkAcl,
    SecurityGroup,
    TransitAttachment,
    TransitRoute,
)
from aws_ipfailover.cli import group
from aws_ipfailover.cli.doctor_screen import print_summary
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis import machine, routing
from aws_ipfailover.diagnosis.coverage import lacking, not_led
from aws_ipfailover.diagnosis.examination import CHECKS, Examination
from aws_ipfailover.diagnosis.filters import dropped, drops, inbound, unmatched_senders
from aws_ipfailover.diagnosis.finding import (
    ALL_MODES,
    NODE,
    Check,
    Finding,
    Fix,
    Needs,
    NotAskedError,
    Outcome,
    failed,
    passed,
    unknown,
    untold,
    warned,
    worst,
)
from aws_ipfailover.diagnosis.mending import mend
from aws_ipfailover.diagnosis.permissions import Asked, statement, why
from aws_ipfailover.diagnosis.reads import Reads
from aws_ipfailover.diagnosis.routing import Leads, leads
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError, Error, UnknownError
from aws_ipfailover.holdings.destinations import Destinations

ADDRESS = ip_address("192.168.10.10")
HOST = ip_network("192.168.10.10/32")
ANYWHERE = ip_network("0.0.0.0/0")


def table(name: str, *routes: Route, subnets: Sequence[str] = (), main: bool = False) -> RouteTable:
    """A route table of the VPC."""
    return RouteTable(name, "vpc-1", routes, subnet_ids=tuple(subnets), main=main)


# -- findings and how they are asked for ------------------------------------------------------------------------------


def test_the_worst_outcome() -> None:
    """A failure before what could not be found out, that before a warning; of nothing, a pass."""
    one, two, three, four = passed(""), warned(""), unknown(""), failed("")
    assert worst([]) is worst([one]) is Outcome.PASS
    assert worst([one, two]) is Outcome.WARN
    assert worst([two, three, one]) is Outcome.UNKNOWN
    assert worst([three, four, two]) is Outcome.FAIL


def test_what_nobody_can_tell_in_advance(capsys: pytest.CaptureFixture[str]) -> None:
    """It is counted by itself, and decides nothing."""
    findings = [untold("no dry run"), passed(""), warned("")]
    assert worst(findings) is Outcome.WARN
    assert worst([*findings, unknown("")]) is Outcome.UNKNOWN
    print_summary([*findings, unknown("")])
    said = "4 checks: 1 pass, 1 warn, 1 could not be found out, 1 that nobody can tell in advance"
    assert capsys.readouterr().out.strip() == said


def test_the_registry() -> None:
    """Names are unique, and fit the column that shows them; a check of the node asks only it, and is of every mode."""
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 17 for name in names)
    assert all(one.asks.endswith("?") for one in CHECKS)
    for one in CHECKS:
        assert set(one.modes) <= set(ALL_MODES)
        if one.of_node:
            assert one.needs in (Needs.NOTHING, Needs.METADATA)
            assert set(one.modes) == set(ALL_MODES)


def surroundings(seconds: float = 30.0) -> Surroundings:
    """Those of a resource, of which nothing is read."""
    return Surroundings("", {}, Deadline(seconds), Path("/nowhere"))


def check_of(look: Any) -> Check:
    """A check."""
    return Check("one", "One", "Is it so?", NODE, Needs.NOTHING, look)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotAskedError("region"), "not asked, because of region"),
        (UnknownError("DescribeVpcs: no answer"), "no answer"),
        (Error("DescribeVpcs: Something"), "Something"),
        (RuntimeError("defect"), "report it: RuntimeError at aws_ipfailover.diagnosis.examination:"),
    ],
)
def test_an_error_is_no_answer(error: Exception, said: str) -> None:
    """Whatever a check raises, what it asks could not be found out: it is no failure, and does not end the others."""

    def look(_: Surroundings) -> Finding:
        raise error

    here = surroundings()
    (finding, other) = Examination(here, [check_of(look), check_of(lambda _: passed("so"))], of_node=False).findings()
    assert (finding.outcome, finding.check) == (Outcome.UNKNOWN, "one")
    assert said in finding.text
    assert other.outcome is Outcome.PASS


def test_a_denied_read_names_the_permission() -> None:
    """That would answer it."""

    def look(_: Surroundings) -> Finding:
        raise DeniedError("DescribeVpcs: UnauthorizedOperation: allow it")

    (finding,) = Examination(surroundings(), [check_of(look)], of_node=False).findings()
    assert finding.outcome is Outcome.UNKNOWN
    assert 'ec2:DescribeVpcs on Resource "*"' in finding.remedy


def test_a_read_is_made_once() -> None:
    """However many ask for it, also for its failure; as another check's matter, the failure is that check's."""
    made: List[str] = []
    reads = Reads(Deadline(30))

    def fail() -> None:
        made.append("read")
        raise Error("refused")

    for _ in range(2):
        with pytest.raises(Error, match="refused"):
            reads.get("one", fail)
        with pytest.raises(NotAskedError, match="because of routes"):
            reads.after("routes", "one", fail)
    assert made == ["read"]


class Switch:
    """Something that is wrong until it is mended; a read can be `stale`, so many times, after it was."""

    def __init__(self, stale: int = 0, refusal: str = "") -> None:
        self.wrong = True
        self.stale = stale
        self.refusal = refusal
        self.does = "switch it off"
        self.applied = 0

    def apply(self) -> None:
        """One call of EC2."""
        self.applied += 1
        if self.refusal:
            raise Error(self.refusal)
        self.wrong = False

    def look(self, _: Surroundings) -> Finding:
        """The check."""
        if not self.wrong and self.applied and self.stale:
            self.stale -= 1
            return failed("on", fix=Fix(self.does, self.apply))
        return failed("on", fix=Fix(self.does, self.apply)) if self.wrong else passed("off")


def test_mending() -> None:
    """The change is made once; EC2's reads, which can be older than it, are asked again for a while."""
    switch = Switch(stale=1)
    mended = mend(check_of(switch.look), "switch it off", surroundings)
    assert (mended.error, mended.finding.outcome, switch.applied) == ("", Outcome.PASS, 1)


def test_nothing_is_mended_that_was_not_agreed_to() -> None:
    """Where another change has become right, or none, nothing is done."""
    switch = Switch()
    switch.does = "switch something else off"
    mended = mend(check_of(switch.look), "switch it off", surroundings)
    assert switch.does in mended.error
    switch.wrong = False
    assert mend(check_of(switch.look), "switch it off", surroundings).error == "it is not needed any more"
    assert switch.applied == 0


def test_a_refused_change_is_told() -> None:
    """With EC2's words, and what the check finds then."""
    switch = Switch(refusal="ModifyNetworkInterfaceAttribute: UnauthorizedOperation")
    mended = mend(check_of(switch.look), "switch it off", surroundings)
    assert (mended.error, mended.finding.outcome) == (switch.refusal, Outcome.FAIL)


# -- permissions ------------------------------------------------------------------------------------------------------

IMPLICIT = "ReplaceRoute: UnauthorizedOperation: allow it; AWS: no identity-based policy allows the action"
ARNS = {one: f"arn:aws:ec2:eu-central-1:1:route-table/{one}" for one in ("rtb-1", "rtb-2")}


def refused(text: str, *ids: str, asked: Tuple[str, ...] = ("rtb-1", "rtb-2")) -> Asked:
    """What was asked about these tables, with a refusal for some."""
    return Asked(asked, {one: DeniedError(text) for one in ids}, {})


def test_a_statement_is_what_to_paste() -> None:
    """JSON, with one ARN or a list of them."""
    assert json.loads(statement("ec2:ReplaceRoute", ["a"])) == {
        "Effect": "Allow",
        "Action": "ec2:ReplaceRoute",
        "Resource": "a",
    }
    assert json.loads(statement("ec2:ReplaceRoute", ["a", "b"]))["Resource"] == ["a", "b"]


@pytest.mark.parametrize(
    ("action", "asked", "said"),
    [
        ("ec2:ReplaceRoute", refused(IMPLICIT, "rtb-2"), "allows it for rtb-1 leaves out rtb-2"),
        ("ec2:ReplaceRoute", refused(IMPLICIT, "rtb-1", "rtb-2"), "No statement matches"),
        ("ec2:DescribeRouteTables", refused(IMPLICIT, "", asked=("",)), 'only "Resource": "*" matches'),
        (
            "ec2:ReplaceRoute",
            refused(
                "ReplaceRoute: UnauthorizedOperation; AWS: with an explicit deny in a service control policy", "rtb-1"
            ),
            "service control policy forbids it",
        ),
        (
            "ec2:ReplaceRoute",
            refused(
                "ReplaceRoute: UnauthorizedOperation; AWS: with an explicit deny in an identity-based policy", "rtb-1"
            ),
            "A statement with Deny forbids it",
        ),
        (
            "ec2:ReplaceRoute",
            refused("ReplaceRoute: UnauthorizedOperation; AWS: no service control policy allows the action", "rtb-1"),
            "does not allow it: it has to, beside the role's policy",
        ),
    ],
)
def test_which_statement_is_the_cause(action: str, asked: Asked, said: str) -> None:
    """By which resources are refused, and by AWS's own words for the kind of policy."""
    assert said in why(action, asked, ARNS)


def test_the_principal_of_a_session() -> None:
    """The role that policies are attached to, in its own partition; a user is its own."""
    session = Caller("arn:aws-cn:sts::123456789012:assumed-role/lab-node/i-1", "123456789012")
    assert session.principal == "arn:aws-cn:iam::123456789012:role/lab-node"
    user = Caller("arn:aws:iam::123456789012:user/somebody", "123456789012")
    assert (user.principal, user.partition) == (user.arn, "aws")


# -- routes and coverage ----------------------------------------------------------------------------------------------


def test_where_tables_lead() -> None:
    """To ENIs by active static routes; missing (or propagated), blackhole and other targets are told by table."""
    found = leads(
        [
            table("rtb-1", Route(HOST, "eni-1")),
            table("rtb-2"),
            table("rtb-3", Route(HOST, "eni-2", "blackhole")),
            table("rtb-4", Route(HOST, "", target="tgw-1")),
            table("rtb-5", Route(HOST, "", static=False, target="vgw-1")),
        ],
        Destinations([ADDRESS], [HOST]),
    )
    assert found == Leads(
        ("eni-1",), (("rtb-2", HOST), ("rtb-5", HOST)), (("rtb-3", HOST, "eni-2"),), (("rtb-4", HOST, "tgw-1"),)
    )


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (Leads((), (("rtb-1", HOST),), (), ()), "eni-own"),
        (Leads(("eni-other",), (("rtb-1", HOST),), (), ()), "eni-other"),
        (Leads(("eni-1", "eni-2"), (("rtb-1", HOST),), (), ()), None),
        (Leads((), (("rtb-1", HOST),), (("rtb-2", HOST, "eni-other"),), ()), None),
        (Leads((), (("rtb-1", HOST),), (), (("rtb-2", HOST, "tgw-1"),)), None),
    ],
)
def test_where_a_missing_route_has_to_lead(found: Leads, target: str) -> None:
    """Where the others lead; to this node only if nothing leads anywhere; else that is for somebody to decide."""
    assert routing._target_of_missing(found, "eni-own") == target


def test_networks_around_an_address() -> None:
    """Wider routes to gateways count once; default routes, the VPC's own and ENIs' do not."""
    around = Route(ip_network("192.168.0.0/16"), "", target="tgw-1")
    tables = [
        table("rtb-1", around, Route(ANYWHERE, "", target="igw-1")),
        table("rtb-2", around, Route(ip_network("192.168.10.0/24"), "eni-1", target="eni-1")),
        table("rtb-3", Route(ip_network("192.168.10.0/24"), "", local=True, target="local")),
    ]
    assert routing._attached_around(tables, [ADDRESS]) == [
        "192.168.10.10 is inside 192.168.0.0/16, which tgw-1 leads to"
    ]


def test_subnets_that_lack_the_address() -> None:
    """By their own table, or the main one."""
    subnets = [Subnet("subnet-1", "a"), Subnet("subnet-2", "b"), Subnet("subnet-3", "b")]
    tables = [table("rtb-1", subnets=["subnet-1"]), table("rtb-2", subnets=["subnet-2"]), table("rtb-0", main=True)]
    found = lacking(subnets, tables, ["rtb-1"])
    assert {name: [one.subnet_id for one in some] for name, some in found.items()} == {
        "rtb-2": ["subnet-2"],
        "rtb-0": ["subnet-3"],
    }
    assert lacking(subnets, tables, ["rtb-0", "rtb-1", "rtb-2"]) == {}


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (None, "has no route for"),
        (TransitRoute(HOST, True, ("tgw-attach-1",)), ""),
        (TransitRoute(HOST, False, ()), "has an inactive route"),
        (TransitRoute(ANYWHERE, True, ("tgw-attach-2",)), "leads by 0.0.0.0/0 to tgw-attach-2 instead of"),
    ],
)
def test_what_a_transit_gateway_does(route: Any, said: str) -> None:
    """Its route for the address has to be active, and to lead to the VPC's own attachment."""
    found = not_led(route, TransitAttachment("tgw-attach-1", "tgw-1", "1", ()))
    assert found.startswith(said) if said else found == ""


# -- filters ----------------------------------------------------------------------------------------------------------


def group_of(name: str, inside: Sequence[GroupRule] = (), outside: Sequence[GroupRule] = ()) -> SecurityGroup:
    """A security group."""
    return SecurityGroup(name, name, tuple(inside), tuple(outside))


def test_what_groups_let_in() -> None:
    """All groups together, of the IP versions that are asked for; a referenced group is no CIDR."""
    cidr = GroupRule("tcp 443", (ip_network("10.0.0.0/16"), ip_network("fd00::/8")), ())
    found = inbound([group_of("sg-1", [cidr]), group_of("sg-2", [GroupRule("tcp 1", (), ("sg-3",))])], [4])
    assert found.cidrs == (ip_network("10.0.0.0/16"),)
    assert found.rules == ("tcp 443 from 10.0.0.0/16",)
    assert (found.by_group, found.by_list) == (True, False)


def test_who_sends_nothing_to_an_overlay_address() -> None:
    """Groups whose outbound rules reference the nodes' group, without a CIDR that holds the address."""
    by_group = GroupRule("tcp 443", (), ("sg-nodes",))
    groups = [
        group_of("sg-1", outside=[by_group]),
        group_of("sg-2", outside=[by_group, GroupRule("everything", (ANYWHERE,), ())]),
        group_of("sg-3", outside=[GroupRule("tcp 443", (), ("sg-others",))]),
    ]
    assert unmatched_senders(groups, ["sg-nodes"], [HOST]) == ["sg-1"]


def acl(name: str, subnets: Sequence[str], *entries: AclEntry) -> NetworkAcl:
    """A network ACL, whose last rules deny everything."""
    last = [AclEntry(32767, False, outbound, ANYWHERE, True) for outbound in (False, True)]
    return NetworkAcl(name, tuple(subnets), (*entries, *last))


ALLOW_ALL = tuple(AclEntry(100, True, outbound, ANYWHERE, True) for outbound in (False, True))
VPC = ip_network("10.0.0.0/16")


@pytest.mark.parametrize(
    ("entries", "dropped_out"),
    [
        (ALLOW_ALL, False),
        ((), True),
        # For the VPC's CIDR alone.
        ((AclEntry(100, True, True, VPC, True),), True),
        # Denied before it is allowed; allowed before it is denied; some ports denied, and the rest allowed.
        ((AclEntry(50, False, True, HOST, True), *ALLOW_ALL), True),
        ((AclEntry(50, True, True, HOST, False), AclEntry(60, False, True, HOST, True)), False),
        ((AclEntry(50, False, True, HOST, False), *ALLOW_ALL), False),
        # A rule of the other direction decides nothing.
        ((AclEntry(50, False, False, HOST, True), *ALLOW_ALL), False),
    ],
)
def test_what_an_acl_drops(entries: Tuple[AclEntry, ...], dropped_out: bool) -> None:
    """By number, the first rule that is about all of it decides; what lets any part through does not drop it."""
    assert drops(acl("acl-1", [], *entries), HOST, outbound=True) is dropped_out


def test_an_acl_sees_the_other_end() -> None:
    """At the node's subnet the consumers' own addresses; at theirs the overlay address. None within a subnet."""
    subnets = [
        Subnet("subnet-node", "a", (ip_network("10.0.1.0/24"),)),
        Subnet("subnet-other", "b", (ip_network("10.0.2.0/24"), ip_network("fd00:2::/64"))),
    ]
    within = [AclEntry(100, True, outbound, VPC, True) for outbound in (False, True)]
    acls = [acl("acl-node", ["subnet-node"], *within), acl("acl-other", ["subnet-other"], *within)]
    here, there = dropped(acls, subnets, "subnet-node", [HOST])
    assert here == []
    assert [str(one) for one in there] == [
        "acl-other drops everything from 192.168.10.10/32",
        "acl-other drops everything to 192.168.10.10/32",
    ]


# -- answers of EC2 ---------------------------------------------------------------------------------------------------


def test_a_security_group_of_an_answer() -> None:
    """Ports as one reads them; CIDRs of both versions, groups and prefix lists."""
    found = survey_models.security_group(
        {
            "GroupId": "sg-1",
            "GroupName": "db",
            "IpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "IpRanges": [{"CidrIp": "10.0.0.0/16"}],
                    "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}],
                    "UserIdGroupPairs": [{"GroupId": "sg-2"}],
                    "PrefixListIds": [{"PrefixListId": "pl-1"}],
                },
                {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1},
                {"IpProtocol": "udp", "FromPort": 1, "ToPort": 9},
            ],
            "IpPermissionsEgress": [{"IpProtocol": "-1"}],
        }
    )
    assert found.inbound[0] == GroupRule("tcp 443", (VPC, ip_network("fd00::/8")), ("sg-2",), ("pl-1",))
    assert [one.what for one in found.inbound[1:]] == ["icmp", "udp 1-9"]
    assert found.outbound[0].what == "everything"


def test_a_peering_of_an_answer() -> None:
    """The other side, whichever has asked for it; none that is not active."""
    one = {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}
    other: Dict[str, Any] = {
        "VpcId": "vpc-2",
        "CidrBlock": "10.1.0.0/16",
        "CidrBlockSet": [{"CidrBlock": "10.1.0.0/16"}, {"CidrBlock": "10.2.0.0/16"}],
        "Ipv6CidrBlockSet": [{"Ipv6CidrBlock": "fd00::/56"}],
    }
    answer: Dict[str, Any] = {"VpcPeeringConnectionId": "pcx-1", "Status": {"Code": "active"}}
    for sides in ((one, other), (other, one)):
        found = survey_models.peering({**answer, "RequesterVpcInfo": sides[0], "AccepterVpcInfo": sides[1]}, "vpc-1")
        assert found is not None
        assert (found.vpc_id, list(map(str, found.cidrs))) == ("vpc-2", ["10.1.0.0/16", "10.2.0.0/16", "fd00::/56"])
    deleted = {**answer, "Status": {"Code": "deleted"}, "RequesterVpcInfo": one, "AccepterVpcInfo": other}
    assert survey_models.peering(deleted, "vpc-1") is None


def test_limits_of_an_answer() -> None:
    """Of each network card; of the whole type where cards are not told."""
    cards = [
        {"NetworkCardIndex": 1, "MaximumNetworkInterfaces": 2},
        {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 3},
    ]
    info: Dict[str, Any] = {"MaximumNetworkInterfaces": 5, "Ipv4AddressesPerInterface": 10}
    assert survey_models.interface_limits({"NetworkInfo": {**info, "NetworkCards": cards}}).of_cards == (3, 2)
    assert survey_models.interface_limits({"NetworkInfo": info}).of_cards == (5,)


# -- this node --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "interpreter"),
    [
        ("#!/opt/venv/bin/python -I", ["/opt/venv/bin/python"]),
        ("#!/opt/venv/bin/python", ["/opt/venv/bin/python"]),
        ("import os", None),
        ("", None),
    ],
)
def test_the_interpreter_of_a_file(tmp_path: Path, first: str, interpreter: Any) -> None:
    """As the kernel reads its first line, without the options that the question sets itself."""
    (tmp_path / "agent").write_text(f"{first}\n")
    assert machine._interpreter(tmp_path / "agent") == interpreter


def test_a_python_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.8 fails; the one that runs this passes."""
    assert machine._python(surroundings()).outcome is Outcome.PASS
    monkeypatch.setattr(sys, "version_info", (3, 8, 20, "final", 0))
    assert machine._python(surroundings()).outcome is Outcome.FAIL


def test_an_sdk_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, and the line has the versions."""
    monkeypatch.setattr("boto3.__version__", "1.20.0")
    finding = machine._sdk(surroundings())
    assert finding.outcome is Outcome.FAIL
    assert "boto3 1.20.0 is older than 1.26" in finding.text


def test_the_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """80 by 24, with an example."""
    assert group.run(["doctor", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert all(len(one) <= 80 for one in lines)
    assert any("aws-ipfailover doctor ip_hana" in one for one in lines)
