"""`aws-ipfailover doctor`: each precondition broken by itself, and mended by what its line says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple, Union

import jsonschema
import pytest

import aws_ipfailover
from aws_ipfailover.cli.install import install
from aws_ipfailover.diagnosis.examination import CHECKS
from aws_ipfailover.diagnosis.finding import CLUSTER
from sandbox import EniNode, Node, create_eni, ip, need_commands, secrets_of, with_files, without_packages
from vpc_lab.ec2 import Call, Fault, Policy, Role, Statement
from vpc_lab.topology import topology_for
from vpc_lab.vpc import AclEntry, GroupRule, Peering, identifier

COMMAND = Path(sys.executable).with_name("aws-ipfailover")
PACKAGE = Path(aws_ipfailover.__file__).parent
SCHEMAS = PACKAGE / "cli" / "schemas"
# The agent's interpreter in these tests: one that everybody may run, wherever the tests' own is.
INTERPRETER = """#!/bin/sh
shift
PYTHONPATH={library} exec /usr/bin/python3 "$@"
"""


class Examined(NamedTuple):
    """One run: its exit code, what it printed, and what it asked the cloud."""

    code: int
    stdout: str
    stderr: str
    calls: Tuple[Call, ...]

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON."""
        found: Mapping[str, Any] = json.loads(self.stdout)
        return found

    @property
    def findings(self) -> Dict[str, Mapping[str, Any]]:
        """Every finding by the name of its check."""
        return {one["check"]: one for report in self.document["reports"] for one in report["findings"]}

    @property
    def outcomes(self) -> Dict[str, str]:
        """What came of each check."""
        return {name: one["outcome"] for name, one in self.findings.items()}

    @property
    def ec2(self) -> List[str]:
        """The operations of EC2 that were asked for."""
        return [call.action for call in self.calls if call.service == "ec2"]


class Doctor:
    """Runs the command on a node, which has the agent installed below `root`; what it is run with can be changed."""

    def __init__(self, node: Union[Node, EniNode], root: Path, scratch: Path) -> None:
        self.node = node
        self.root = root
        self.scratch = scratch
        self.parameters = dict(node.agent.parameters)
        self.prefix: List[str] = []
        self.environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "OCF_ROOT": str(root / "usr/lib/ocf"),
            **node.agent.environ,
        }

    @property
    def agent(self) -> Path:
        """The agent's file."""
        return self.root / "usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"

    def run(self, *arguments: str) -> Examined:
        """Run it with these arguments, to its end."""
        before = len(self.node.aws.calls())
        done = subprocess.run(
            [*self.prefix, str(COMMAND), "doctor", *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            cwd="/",
        )
        assert "Traceback" not in done.stderr, done.stderr
        said = done.stdout + done.stderr
        assert not any(secret in said for secret in secrets_of(self.node.aws))
        return Examined(done.returncode, done.stdout, done.stderr, self.node.aws.calls()[before:])

    def typed(self) -> List[str]:
        """The resource's parameters as arguments."""
        return [f"{name}={value}" for name, value in self.parameters.items()]

    def examine(self, *more: str) -> Examined:
        """Examine the resource; the answer is JSON. With time for a machine that other tests keep busy."""
        return self.run(*self.typed(), "--json", "--timeout", "60", *more)

    def may_not(self, *actions: str) -> None:
        """Let the nodes' role do everything but these actions."""
        statements = (Statement(("*",)), Statement(actions, effect="Deny"))
        self.node.aws.account.identities.restrict_instances(Policy(statements))

    def paste(self, command: Sequence[str]) -> None:
        """Do what a command of a finding does: the AWS CLI's by an administrator of the lab, others on the node."""
        if list(command[:2]) == ["aws", "ec2"]:
            action, parameters = in_the_query_api(command)
            self.node.aws.api.administer(action, **parameters)
            return
        place = [*command]
        if command[0] == "aws-ipfailover":
            place = [str(COMMAND), *command[1:], "--root", str(self.root), "--force"]
        subprocess.run(place, check=True, env=self.environ, capture_output=True)


# Options of the AWS CLI that are no parameter by their own name.
FLAGS = {
    "--no-source-dest-check": ("SourceDestCheck.Value", "false"),
    "--egress": ("Egress", "true"),
    "--ingress": ("Egress", "false"),
}


def in_the_query_api(command: Sequence[str]) -> Tuple[str, Dict[str, str]]:
    """An operation of EC2 and its parameters, of a command of the AWS CLI as findings have them."""
    action = "".join(word.capitalize() for word in command[2].split("-"))
    parameters: Dict[str, str] = {}
    words = list(command[3:])
    while words:
        option = words.pop(0)
        if option in FLAGS:
            parameters.update([FLAGS[option]])
            continue
        value, name = words.pop(0), "".join(word.capitalize() for word in option[2:].split("-"))
        if option == "--attachment":
            parameters.update({f"Attachment.{key}": text for key, text in re.findall(r"(\w+)=([^,]+)", value)})
        elif option == "--ip-permissions":
            protocol, kind, key, cidr = re.fullmatch(r"IpProtocol=(\S+),(\w+)=\[\{(\w+)=(\S+)\}\]", value).groups()  # type: ignore[union-attr]
            parameters.update({"IpPermissions.1.IpProtocol": protocol, f"IpPermissions.1.{kind}.1.{key}": cidr})
        elif option in ("--protocol", "--port", "--cidr") and "security-group" in command[2]:
            told = {"--protocol": "IpProtocol", "--port": "FromPort", "--cidr": "IpRanges.1.CidrIp"}[option]
            parameters[f"IpPermissions.1.{told}"] = value
            if option == "--port":
                parameters["IpPermissions.1.ToPort"] = value
        elif option != "--region":
            parameters[name] = value
    return action, parameters


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that everybody may search, unlike pytest's, with the agent installed, and its interpreter."""
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(PACKAGE, place / "lib" / "aws_ipfailover", ignore=shutil.ignore_patterns("__pycache__"))
        install(place, force=True)
        interpreter = place / "python"
        interpreter.write_text(INTERPRETER.format(library=place / "lib"))
        interpreter.chmod(0o755)
        own_interpreter(place)
        yield place


def own_interpreter(place: Path) -> None:
    """Give the agent the interpreter below `place`."""
    agent = place / "usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
    first, rest = agent.read_text().split("\n", 1)
    assert first.startswith("#!")
    agent.write_text(f"#!{place / 'python'} -I\n{rest}")


def _routed(node: Node, versions: Sequence[int] = (4, 6)) -> None:
    """Give the node the routes to its VPC that every instance has; none to elsewhere, where nobody would answer."""
    for cidr in (one for one in node.aws.account.world.vpc.cidrs if one.version in versions):
        via = str(node.me.subnet.ipv6_cidr[1] if cidr.version == 6 else node.me.subnet.cidr[1])
        ip(f"-{cidr.version}", "route", "add", str(cidr), "via", via, "dev", "eth0")


@pytest.fixture
def doctor(node: Node, root: Path, tmp_path: Path) -> Doctor:
    """A resource of mode overlay-ip, which the other node has."""
    _routed(node)
    return Doctor(node, root, tmp_path)


@pytest.fixture
def eni_doctor(eni_node: EniNode, root: Path, tmp_path: Path) -> Doctor:
    """A resource of mode eni, which another instance has."""
    eni_node.attach(eni_node.other)
    return Doctor(eni_node, root, tmp_path)


@pytest.fixture
def free_eni_doctor(eni_node: EniNode, root: Path, tmp_path: Path) -> Doctor:
    """A resource of mode eni, which nobody has."""
    return Doctor(eni_node, root, tmp_path)


@pytest.fixture
def private_doctor(make_node: Callable[..., Node], root: Path, tmp_path: Path) -> Doctor:
    """A resource of mode private-ip with an address of either version, and an Elastic IP, which nobody has."""
    node = make_node(topology=topology_for("private-ip"))
    _routed(node)
    node.agent.parameters.pop("routing_table")
    made = Doctor(node, root, tmp_path)
    made.parameters = {"mode": "private-ip", "ip": "10.0.1.50,2001:db8:1000:1::50"}
    return made


# What came of each check on a node where all is well, by mode: the same in every test.
_WELL: Dict[str, Dict[str, str]] = {}


def well(doctor: Doctor) -> Dict[str, str]:
    """The outcomes where nothing is broken: to be asked before something is, as the first answer is kept."""
    mode = doctor.parameters.get("mode", "overlay-ip")
    if mode not in _WELL:
        ran = doctor.examine()
        wrong = [one for one in ran.findings.values() if one["outcome"] != "pass" and one["counts"]]
        assert wrong == []
        _WELL[mode] = ran.outcomes
    return _WELL[mode]


class Broken(NamedTuple):
    """How to break one precondition: the check, how, what comes of it, and how to mend it.

    `mend`: `None` if the commands of the finding do, as they are printed; "--fix" if the command itself does; a
    function where another command of this project does; "by hand" if an administrator has to, which is not tried.
    `also`: other checks that this breaks too, as they are about the same thing, with what comes of them. `timeout`:
    seconds for which what does not answer is waited for.
    """

    check: str
    how: Callable[[Doctor], None]
    outcome: str = "fail"
    mend: Union[str, Callable[[Doctor], None], None] = None
    also: Mapping[str, str] = {}
    timeout: str = "60"

    def __str__(self) -> str:
        return f"{self.check}{self.how.__name__}"


def examined_so(doctor: Doctor, broken: Broken) -> None:
    """Break one precondition: that line changes, and no other fails; run what it says, and everything is as before."""
    before = well(doctor)
    assert before[broken.check] != broken.outcome
    assert set(before.values()) <= {"pass", "unknown"}
    broken.how(doctor)
    ran = doctor.examine("--timeout", broken.timeout)
    found = ran.outcomes
    assert found[broken.check] == broken.outcome, ran.findings[broken.check]
    for name, outcome in found.items():
        if name != broken.check:
            # What cannot be asked for the same reason is not known; nothing else is said of it.
            assert outcome in (before[name], broken.also.get(name, "unknown")), (name, ran.findings[name])
    finding = ran.findings[broken.check]
    assert finding["text"]
    assert finding["remedy"] or finding["commands"], finding
    counting = [one["outcome"] for one in ran.findings.values() if one["counts"]]
    assert ran.code == (1 if "fail" in counting else 3 if "unknown" in counting else 0)
    if broken.mend == "--fix":
        mended = doctor.examine("--fix", "--yes")
        assert [(one["check"], one["done"]) for one in mended.document["fixes"]] == [(broken.check, True)]
        assert mended.outcomes == before
        return
    if broken.mend == "by hand":
        return
    if callable(broken.mend):
        broken.mend(doctor)
    else:
        assert finding["commands"]
        for command in finding["commands"]:
            doctor.paste(command)
    assert doctor.examine().outcomes == before


# -- this node --------------------------------------------------------------------------------------------------------


def _not_root(doctor: Doctor) -> None:
    # One that may read everything: the interpreter can be below a directory that is root's alone.
    doctor.prefix = ["setpriv", "--reuid", "65534", "--inh-caps", "+dac_read_search"]
    doctor.prefix += ["--ambient-caps", "+dac_read_search"]


def _without_ip(doctor: Doctor) -> None:
    doctor.environ["PATH"] = str(doctor.scratch)


def _without_sdk(doctor: Doctor) -> None:
    doctor.environ.update(without_packages(doctor.scratch / "missing", "boto3"))


def _not_installed(doctor: Doctor) -> None:
    doctor.agent.unlink()


def _somebody_elses_file(doctor: Doctor) -> None:
    doctor.agent.write_text("#!/bin/sh\nexit 0\n")


def _installed(doctor: Doctor) -> None:
    doctor.agent.unlink(missing_ok=True)
    doctor.paste(["aws-ipfailover", "install"])
    own_interpreter(doctor.root)


def _without_interpreter(doctor: Doctor) -> None:
    shutil.move(doctor.root / "lib", doctor.root / "elsewhere")


def _closed_directory(doctor: Doctor) -> None:
    doctor.root.chmod(0o700)


def _wrong_parameter(doctor: Doctor) -> None:
    doctor.parameters["ip"] = "192.168.10.300"


def _useless_parameter(doctor: Doctor) -> None:
    doctor.parameters["external_id"] = "something-else"


def _nm_cloud_setup(doctor: Doctor) -> None:
    wants = doctor.scratch / "system" / "timers.target.wants"
    wants.mkdir(parents=True)
    (wants / "nm-cloud-setup.timer").touch()
    doctor.prefix = with_files({doctor.scratch / "system": "/etc/systemd/system"})


def _link_down(_: Doctor) -> None:
    ip("link", "set", "dev", "eth0", "down")


def _no_such_interface(doctor: Doctor) -> None:
    doctor.parameters["interface"] = "eth7"


def _by_dhcp(doctor: Doctor) -> None:
    address = f"{doctor.parameters['ip']}/32"
    ip("address", "add", address, "dev", "eth0", "valid_lft", "3600", "preferred_lft", "3600")


NODE = (
    Broken("root", _not_root, mend="by hand"),
    Broken("iproute2", _without_ip, mend="by hand"),
    Broken("sdk", _without_sdk, mend="by hand"),
    Broken("agent-file", _not_installed, mend=_installed),
    Broken("agent-file", _somebody_elses_file, mend=_installed),
    Broken("agent-interpreter", _without_interpreter, mend="by hand"),
    Broken("hacluster", _closed_directory),
    Broken("parameters", _wrong_parameter, mend="by hand"),
    Broken("parameters", _useless_parameter, "warn", mend="by hand"),
    Broken("daemons", _nm_cloud_setup, mend="by hand"),
    Broken("interface", _link_down, mend="by hand"),
    Broken("interface", _no_such_interface, mend="by hand"),
    Broken("interface", _by_dhcp, mend="by hand"),
)


@pytest.mark.parametrize("broken", NODE, ids=str)
def test_this_node(doctor: Doctor, broken: Broken) -> None:
    """Root, iproute2, SDK, the agent's file, its interpreter, hacluster, parameters, other daemons, the interface."""
    examined_so(doctor, broken)


# -- access to AWS ----------------------------------------------------------------------------------------------------


def _imds_off(doctor: Doctor) -> None:
    doctor.node.aws.account.imds_disabled.add("node1")


def _imds_silent(doctor: Doctor) -> None:
    doctor.node.aws.faults.add(Fault("hang", service="imds"))


def _other_region(doctor: Doctor) -> None:
    doctor.parameters["region"] = "us-east-1"


def _no_such_profile(doctor: Doctor) -> None:
    doctor.parameters["profile"] = "nobody"


def _no_ec2(doctor: Doctor) -> None:
    doctor.environ["AWS_ENDPOINT_URL_EC2"] = "http://127.0.0.1:1"


def _no_sts(doctor: Doctor) -> None:
    doctor.environ["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:1"


def _clock_behind(doctor: Doctor) -> None:
    doctor.node.aws.faults.add(Fault("clock", service="api", seconds=1000.0))


def _clock_a_little_behind(doctor: Doctor) -> None:
    doctor.node.aws.faults.add(Fault("clock", service="api", seconds=100.0))


def _expired(doctor: Doctor) -> None:
    identities = doctor.node.aws.account.identities
    identities.of_instance(doctor.node.me.instance_id)
    identities.expire(renew=False)


ACCESS = (
    Broken("imds", _imds_off, mend="by hand"),
    Broken("imds", _imds_silent, "unknown", mend="by hand", timeout="20"),
    Broken("region", _other_region, mend="by hand"),
    Broken("region", _no_such_profile, mend="by hand"),
    Broken("ec2-endpoint", _no_ec2, mend="by hand"),
    Broken("sts-endpoint", _no_sts, "warn", mend="by hand"),
    Broken("clock", _clock_behind, mend="by hand"),
    Broken("clock", _clock_a_little_behind, "warn", mend="by hand"),
    Broken("credentials", _expired, mend="by hand"),
)


@pytest.mark.parametrize("broken", ACCESS, ids=str)
def test_access(doctor: Doctor, broken: Broken) -> None:
    """IMDS, region, endpoints, clock, credentials: what depends on one of them is not asked, and does not fail."""
    examined_so(doctor, broken)


def test_the_role(doctor: Doctor) -> None:
    """A role that does not trust this node: its line fails alone; both policies are named. Trusted, it passes."""
    before = well(doctor)
    account = doctor.node.aws.account
    role = f"arn:aws:iam::{account.topology.account_id}:role/tables"
    doctor.parameters["routing_table_role"] = role
    account.identities.put_role(Role(role))
    ran = doctor.examine()
    assert [name for name, outcome in ran.outcomes.items() if outcome == "fail"] == ["role"]
    assert ran.outcomes["tables"] == ran.outcomes["replace-route"] == "unknown"
    assert ran.findings["tables"]["text"] == "not asked, because of role"
    assert "trust policy" in ran.findings["role"]["remedy"]
    account.identities.put_role(Role(role, trusted_accounts=frozenset({account.topology.account_id})))
    ran = doctor.examine()
    assert ran.outcomes == {**before, "role": "pass"}


# -- permissions ------------------------------------------------------------------------------------------------------


def _denied(*operations: str) -> Callable[[Doctor], None]:
    def deny(doctor: Doctor) -> None:
        doctor.may_not(*(f"ec2:{one}" for one in operations))

    return deny


OVERLAY_PERMISSIONS = (
    Broken("read-tables", _denied("DescribeRouteTables"), mend="by hand"),
    Broken("replace-route", _denied("ReplaceRoute"), mend="by hand"),
    Broken("create-route", _denied("CreateRoute"), "warn", mend="by hand"),
    Broken("read-enis", _denied("DescribeNetworkInterfaces"), "warn", mend="by hand"),
    Broken("modify-eni", _denied("ModifyNetworkInterfaceAttribute"), "warn", mend="by hand"),
)


@pytest.mark.parametrize("broken", OVERLAY_PERMISSIONS, ids=lambda one: one.check)
def test_permissions(doctor: Doctor, broken: Broken) -> None:
    """One for each call: what the agent can do without is a warning. Nothing is written to find out."""
    routes = doctor.node.aws.account.world.route_tables
    examined_so(doctor, broken)
    assert doctor.node.aws.account.world.route_tables == routes


def reads_of(doctor: Doctor, statement: Statement) -> Policy:
    """A policy that allows all reads, and a statement."""
    return Policy((Statement(("ec2:Describe*", "ec2:Search*")), statement))


def test_a_statement_that_leaves_out_a_table(doctor: Doctor) -> None:
    """The line names the table and its ARN, and which table the statement does allow."""
    account, (one, other) = doctor.node.aws.account, doctor.node.aws.account.route_table_ids
    arn = f"arn:aws:ec2:eu-central-1:{account.topology.account_id}:route-table/"
    account.identities.restrict_instances(
        reads_of(doctor, Statement(("ec2:ReplaceRoute", "ec2:CreateRoute"), (arn + one,)))
    )
    finding = doctor.examine().findings["replace-route"]
    assert finding["outcome"] == "fail"
    assert f"leaves out {other}" in finding["remedy"]
    assert arn + other in finding["remedy"]
    assert finding["commands"][0][:3] == ["aws", "iam", "simulate-principal-policy"]


def test_a_statement_of_another_region(doctor: Doctor) -> None:
    """Where nothing matches, region, account and partition are what to compare, with the statement that would do."""
    account = doctor.node.aws.account
    arn = f"arn:aws:ec2:us-east-1:{account.topology.account_id}:route-table/*"
    account.identities.restrict_instances(reads_of(doctor, Statement(("ec2:ReplaceRoute",), (arn,))))
    remedy = doctor.examine().findings["replace-route"]["remedy"]
    assert "Compare region, account and partition" in remedy
    assert f"arn:aws:ec2:eu-central-1:{account.topology.account_id}:route-table/" in remedy


def test_the_sample_with_an_arn_for_a_read(doctor: Doctor) -> None:
    """SUSE's sample has DescribeRouteTables on a table's ARN, which never matches: the line says so."""
    account = doctor.node.aws.account
    table = f"arn:aws:ec2:eu-central-1:{account.topology.account_id}:route-table/{account.route_table_ids[0]}"
    sample = Statement(("ec2:ReplaceRoute", "ec2:DescribeRouteTables"), (table,))
    account.identities.restrict_instances(Policy((Statement(("ec2:DescribeNetworkInterfaces",)), sample)))
    ran = doctor.examine()
    assert ran.outcomes["read-tables"] == "fail"
    assert 'only "Resource": "*" matches a Describe action' in ran.findings["read-tables"]["remedy"]
    # What nobody may read is not known, and the line names the right that would tell.
    for name, operation in (
        ("security-groups", "DescribeSecurityGroups"),
        ("peerings", "DescribeVpcPeeringConnections"),
    ):
        assert ran.outcomes[name] == "unknown"
        assert f"ec2:{operation}" in ran.findings[name]["remedy"]
    assert ran.code == 1


def test_a_service_control_policy(doctor: Doctor) -> None:
    """Where the organization forbids it, no statement of the role helps: the line says who has to change what."""
    deny = Policy((Statement(("*",)), Statement(("ec2:ReplaceRoute",), effect="Deny")))
    doctor.node.aws.account.identities.service_control_policy = deny
    finding = doctor.examine().findings["replace-route"]
    assert finding["outcome"] == "fail"
    assert "service control policy forbids it: no Allow helps" in finding["remedy"]


# -- routes -----------------------------------------------------------------------------------------------------------


def _unknown_table(doctor: Doctor) -> None:
    doctor.parameters["routing_table"] += ",rtb-0123456789abcdef0"


def _cidr_of_the_vpc(doctor: Doctor) -> None:
    vpc = doctor.node.aws.account.vpc_id
    doctor.node.aws.api.administer("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="192.168.10.0/24")


def _network_around(doctor: Doctor) -> None:
    account = doctor.node.aws.account
    account.put_route("192.168.0.0/16", account.transit_gateway_id)


def _check_on(doctor: Doctor) -> None:
    doctor.node.aws.account.set_source_dest_check("node1", True)


def _check_untold(doctor: Doctor) -> None:
    assert isinstance(doctor.node, Node)
    doctor.node.leave_out_the_check()


def _missing_route(doctor: Doctor) -> None:
    account = doctor.node.aws.account
    account.delete_route("192.168.10.10/32", account.route_table_ids[0])


def _no_route_at_all(doctor: Doctor) -> None:
    doctor.node.aws.account.delete_route("192.168.10.10/32")


def _to_a_gateway(doctor: Doctor) -> None:
    account = doctor.node.aws.account
    account.put_route("192.168.10.10/32", account.transit_gateway_id, account.route_table_ids[0])


def _blackholes(doctor: Doctor) -> None:
    doctor.node.aws.account.put_route("192.168.10.10/32", doctor.node.aws.account.add_interface_of_other_vpc())


def _narrower_route(doctor: Doctor) -> None:
    account = doctor.node.aws.account
    account.put_route("192.168.10.0/24", "node2")
    doctor.parameters["destination"] = "192.168.10.0/24"
    account.put_route("192.168.10.0/28", account.transit_gateway_id, account.route_table_ids[0])
    account.delete_route("192.168.10.10/32")


ROUTES = (
    Broken("tables", _unknown_table, mend="by hand"),
    Broken("outside-vpc", _cidr_of_the_vpc, mend="by hand"),
    Broken("outside-others", _network_around, "warn", mend="by hand"),
    Broken("source-dest-check", _check_on),
    Broken("source-dest-check", _check_on, mend="--fix"),
    Broken("source-dest-check", _check_untold, "unknown", mend="by hand"),
    Broken("routes", _missing_route),
    Broken("routes", _missing_route, mend="--fix"),
    Broken("routes", _no_route_at_all, mend="--fix"),
    Broken("routes", _to_a_gateway),
    Broken("routes", _blackholes, "warn", mend="by hand"),
    Broken("winning-routes", _narrower_route, also={"outside-others": "warn"}),
)


@pytest.mark.parametrize("broken", ROUTES, ids=str)
def test_routes(doctor: Doctor, broken: Broken) -> None:
    """Tables, CIDRs, the source/destination check, and each table's route."""
    examined_so(doctor, broken)


def test_where_a_fix_leads_missing_routes_to(doctor: Doctor) -> None:
    """To the node that the other tables lead to, which has the address; to this node where nothing leads anywhere."""
    account = doctor.node.aws.account
    _missing_route(doctor)
    doctor.examine("--fix", "--yes")
    assert set(account.routes_to("192.168.10.10/32").values()) == {account.instance("node2").network_interface_id}
    _no_route_at_all(doctor)
    doctor.examine("--fix", "--yes")
    assert set(account.routes_to("192.168.10.10/32").values()) == {account.instance("node1").network_interface_id}


def test_no_fix_while_another_node_may_be_serving(doctor: Doctor) -> None:
    """One table leads to a node that does not run, the other nowhere: who has the address is not clear."""
    account = doctor.node.aws.account
    account.put_route("192.168.10.10/32", account.add_interface_of_other_vpc())
    _missing_route(doctor)
    ran = doctor.examine("--fix", "--yes")
    assert (ran.outcomes["routes"], ran.document["fixes"]) == ("fail", [])
    assert ran.findings["routes"]["fix"] is None


def test_a_fix_is_asked_for(doctor: Doctor) -> None:
    """Without an answer nothing is changed, and the command is interrupted; with --json it needs --yes."""
    _check_on(doctor)
    ran = doctor.run(*doctor.typed(), "--fix")
    assert ran.code == 130
    assert "Switch off the source/destination check of" in ran.stdout
    assert doctor.node.aws.account.world.interfaces[doctor.node.me.network_interface_id].source_dest_check
    assert doctor.examine("--fix").code == 2
    assert doctor.run(*doctor.typed(), "--yes").code == 2
    said = doctor.run(*doctor.typed(), "--fix", "--yes")
    assert (said.code, "Done: switch off the source/destination check" in said.stdout) == (0, True), said.stdout


def test_a_fix_that_is_denied(doctor: Doctor) -> None:
    """It is told as not done, with EC2's refusal, and its line still fails."""
    _check_on(doctor)
    _denied("ModifyNetworkInterfaceAttribute")(doctor)
    ran = doctor.examine("--fix", "--yes")
    (fix,) = ran.document["fixes"]
    assert (fix["check"], fix["done"]) == ("source-dest-check", False)
    assert "UnauthorizedOperation" in fix["error"]
    assert (ran.code, ran.outcomes["source-dest-check"]) == (1, "fail")


def test_an_address_inside_a_peered_vpc(doctor: Doctor) -> None:
    """It fails, naming CIDR, VPC and connection; and that connection cannot carry the address at all."""
    peering = Peering(
        "pcx-0123456789abcdef0", "vpc-0fedcba9876543210", (ip_network("192.168.0.0/20"),), requested=False
    )
    doctor.node.aws.account.change(lambda world: replace(world, peerings=(peering,)))
    ran = doctor.examine()
    assert (ran.outcomes["outside-others"], ran.outcomes["peerings"]) == ("fail", "warn")
    assert "192.168.0.0/20 of vpc-0fedcba9876543210" in ran.findings["outside-others"]["text"]


# -- coverage and filters ---------------------------------------------------------------------------------------------


def _subnet_without_table(doctor: Doctor) -> None:
    world = doctor.node.aws.account.world
    table = world.route_tables[doctor.node.me.subnet.route_table_id]
    doctor.node.aws.api.administer("DisassociateRouteTable", AssociationId=table.associations[0].association_id)


def _without_transit_route(doctor: Doctor) -> None:
    doctor.node.aws.api.administer(
        "DeleteTransitGatewayRoute",
        TransitGatewayRouteTableId=identifier("tgw-rtb", "lab"),
        DestinationCidrBlock="192.168.10.10/32",
    )


def _shared_transit_gateway(doctor: Doctor) -> None:
    doctor.node.aws.account.change(
        lambda world: replace(
            world, transit_attachments=tuple(replace(one, owner_id="999999999999") for one in world.transit_attachments)
        )
    )


def _vpn_gateway(doctor: Doctor) -> None:
    doctor.node.aws.account.change(lambda world: replace(world, vpn_gateways=("vgw-0123456789abcdef0",)))


def _peered(doctor: Doctor) -> None:
    peering = Peering("pcx-0123456789abcdef0", "vpc-0fedcba9876543210", (ip_network("10.77.0.0/16"),))
    doctor.node.aws.account.change(lambda world: replace(world, peerings=(peering,)))


def _nothing_in(doctor: Doctor) -> None:
    world = doctor.node.aws.account.world
    group = replace(world.security_groups[world.group_id], inbound=())
    doctor.node.aws.account.change(lambda world: world.with_security_group(group))


def _only_groups_in(doctor: Doctor) -> None:
    world = doctor.node.aws.account.world
    rule = GroupRule("tcp", (443, 443), group_id=world.group_id)
    group = replace(world.security_groups[world.group_id], inbound=(rule,))
    doctor.node.aws.account.change(lambda world: world.with_security_group(group))


def _out_to_groups_only(doctor: Doctor) -> None:
    world = doctor.node.aws.account.world
    rule = GroupRule("tcp", (443, 443), group_id=world.group_id)
    clients = replace(world.security_groups[world.group_id], group_id="sg-0123456789abcdef0", outbound=(rule,))
    doctor.node.aws.account.change(lambda world: world.with_security_group(clients))


def _acl_of_the_nodes_subnet(doctor: Doctor) -> None:
    """An ACL of this node's subnet that denies everything from the other one."""
    account, subnet = doctor.node.aws.account, doctor.node.me.subnet.subnet_id
    (acl,) = account.world.network_acls.values()
    deny = AclEntry(60, False, False, ip_network("10.0.0.0/16"))
    mine = replace(acl, network_acl_id="acl-0123456789abcdef0", entries=(deny, *acl.entries), subnet_ids=(subnet,))
    rest = replace(acl, subnet_ids=tuple(one for one in acl.subnet_ids if one != subnet))
    account.change(lambda world: world.with_network_acl(rest).with_network_acl(mine))


def _acl_of_the_vpc_alone(doctor: Doctor) -> None:
    """An ACL that passes the VPC's own CIDR alone, as many are."""
    account = doctor.node.aws.account
    (acl,) = account.world.network_acls.values()
    allow = [AclEntry(100, True, outbound, ip_network("10.0.0.0/16")) for outbound in (False, True)]
    last = [one for one in acl.entries if one.number >= 32767]
    account.change(lambda world: world.with_network_acl(replace(acl, entries=(*allow, *last))))


def _shut(doctor: Doctor) -> None:
    rules = "chain c {{ type filter hook input priority 0; ip daddr {} drop; }}"
    subprocess.run(["nft", f"table inet shut {{ {rules.format(doctor.parameters['ip'])}\n}}"], check=True)


COVERAGE = (
    Broken("subnets", _subnet_without_table, "warn", mend="by hand"),
    Broken("transit-gateways", _without_transit_route, "warn"),
    Broken("transit-gateways", _shared_transit_gateway, "unknown", mend="by hand"),
    Broken("vpn-gateways", _vpn_gateway, "warn", mend="by hand"),
    Broken("peerings", _peered, "warn", mend="by hand"),
    Broken("security-groups", _nothing_in, mend="by hand"),
    Broken("security-groups", _only_groups_in, "warn", mend="by hand"),
    Broken("security-groups", _out_to_groups_only, "warn"),
    Broken("network-acls", _acl_of_the_nodes_subnet),
    Broken("network-acls", _acl_of_the_vpc_alone, "warn"),
    Broken("packet-filter", _shut, "warn", mend="by hand"),
)


@pytest.mark.parametrize("broken", COVERAGE, ids=str)
def test_who_reaches_the_address(doctor: Doctor, broken: Broken) -> None:
    """Subnets, transit gateways, VPN, peering, security groups, network ACLs, this node: from where, and what drops."""
    examined_so(doctor, broken)


# -- eni --------------------------------------------------------------------------------------------------------------


def _no_such_eni(doctor: Doctor) -> None:
    doctor.parameters["network_interface_id"] = "eni-0123456789abcdef0"


def _primary_eni(doctor: Doctor) -> None:
    doctor.parameters["network_interface_id"] = doctor.node.aws.account.instance("node2").network_interface_id


def _other_zone(doctor: Doctor) -> None:
    topology = doctor.node.aws.account.topology
    doctor.parameters["network_interface_id"] = create_eni(doctor.node.aws, topology.subnet("b").subnet_id)


def _too_many_enis(doctor: Doctor) -> None:
    for index in (1, 2):
        made = create_eni(doctor.node.aws, doctor.node.me.subnet.subnet_id)
        doctor.node.aws.api.administer(
            "AttachNetworkInterface",
            NetworkInterfaceId=made,
            InstanceId=doctor.node.me.instance_id,
            DeviceIndex=str(index),
        )


def _deleted_with_its_instance(doctor: Doctor) -> None:
    eni = doctor.parameters["network_interface_id"]

    def change(world: Any) -> Any:
        one = world.interfaces[eni]
        return world.with_interface(replace(one, attachment=replace(one.attachment, delete_on_termination=True)))

    doctor.node.aws.account.change(change)


ENI = (
    Broken("eni", _no_such_eni, mend="by hand"),
    Broken("eni-zone", _other_zone, mend="by hand"),
    Broken("eni-limit", _too_many_enis, mend="by hand"),
    Broken("eni-termination", _deleted_with_its_instance),
    Broken("eni-termination", _deleted_with_its_instance, mend="--fix"),
    Broken("eni-daemons", _nm_cloud_setup, mend="by hand"),
    Broken("read-moving-eni", _denied("DescribeNetworkInterfaces"), mend="by hand"),
    Broken("read-instances", _denied("DescribeInstances"), mend="by hand"),
    Broken("read-subnets", _denied("DescribeSubnets"), mend="by hand"),
    Broken("attach", _denied("AttachNetworkInterface"), mend="by hand"),
    Broken("detach", _denied("DetachNetworkInterface"), mend="by hand"),
)


@pytest.mark.parametrize("broken", ENI, ids=str)
def test_eni(eni_doctor: Doctor, broken: Broken) -> None:
    """The ENI that moves, its zone, how many an instance takes, its deletion; and each call's permission."""
    examined_so(eni_doctor, broken)


def test_the_primary_eni(eni_doctor: Doctor) -> None:
    """It never moves: its line fails. What EC2 refuses for that reason is no other line's failure."""
    _primary_eni(eni_doctor)
    ran = eni_doctor.examine()
    assert ran.outcomes["eni"] == "fail"
    assert "primary network interface" in ran.findings["eni"]["text"]


# -- private-ip -------------------------------------------------------------------------------------------------------


def _outside_the_subnet(doctor: Doctor) -> None:
    doctor.parameters["ip"] = "10.0.99.50,2001:db8:1000:1::50"


def _primary_address(doctor: Doctor) -> None:
    doctor.parameters["ip"] = f"{doctor.node.aws.account.instance('node2').address},2001:db8:1000:1::50"


def _delegated(doctor: Doctor) -> None:
    other = doctor.node.aws.account.instance("node2").network_interface_id
    doctor.node.aws.api.administer(
        "AssignPrivateIpAddresses", NetworkInterfaceId=other, **{"Ipv4Prefix.1": "10.0.1.48/28"}
    )


def _many_addresses(doctor: Doctor) -> None:
    doctor.node.aws.api.administer(
        "AssignPrivateIpAddresses",
        NetworkInterfaceId=doctor.node.me.network_interface_id,
        SecondaryPrivateIpAddressCount="9",
    )


PRIVATE = (
    Broken("address-subnet", _outside_the_subnet, mend="by hand"),
    Broken("address-free", _primary_address, mend="by hand"),
    Broken("address-free", _delegated, mend="by hand"),
    Broken("address-limit", _many_addresses, mend="by hand"),
    Broken("read-own-eni", _denied("DescribeNetworkInterfaces"), mend="by hand"),
)


@pytest.mark.parametrize("broken", PRIVATE, ids=str)
def test_private_ip(private_doctor: Doctor, broken: Broken) -> None:
    """The subnet, who has the address, how many an ENI takes. EC2 has no dry run for assigning: that is not known."""
    assert well(private_doctor)["assign-ipv4"] == well(private_doctor)["assign-ipv6"] == "unknown"
    examined_so(private_doctor, broken)


def test_an_elastic_ip(doctor: Doctor) -> None:
    """With allocation_id there is a line for it: it fails for one that EC2 does not know, and without permission."""
    doctor.parameters["allocation_id"] = "eipalloc-0123456789abcdef0"
    assert doctor.examine().outcomes["associate"] == "fail"
    before = set(doctor.node.aws.account.world.elastic_ips)
    doctor.node.aws.api.administer("AllocateAddress")
    (made,) = set(doctor.node.aws.account.world.elastic_ips) - before
    doctor.parameters["allocation_id"] = made
    assert doctor.examine().outcomes["associate"] == "pass"
    _denied("AssociateAddress")(doctor)
    ran = doctor.examine()
    assert [name for name, outcome in ran.outcomes.items() if outcome == "fail"] == ["associate"]


# -- as a whole -------------------------------------------------------------------------------------------------------


def test_every_check_is_broken_by_a_test() -> None:
    """A check that nothing breaks proves nothing. Python's own version is broken by a test of its module; those of the
    cluster by tests/lab/test_doctor_of_a_cluster.py and tests/unit/test_diagnosis_cluster.py, and the way of answers by
    tests/kernel/test_way_of_answers.py.
    """
    tables = (*NODE, *ACCESS, *OVERLAY_PERMISSIONS, *ROUTES, *COVERAGE, *ENI, *PRIVATE)
    by_themselves = {"python", "role", "associate", "assign-ipv4", "assign-ipv6", "answers"}
    assert {one.check for one in tables} | by_themselves == {one.name for one in CHECKS if one.area != CLUSTER}


def test_many_tables_are_asked_at_the_same_time(make_node: Callable[..., Node], root: Path, tmp_path: Path) -> None:
    """With 22 tables: one read of them all, two dry runs for each, which overlap; nothing is read twice."""
    doctor = Doctor(make_node(topology=topology_for(extra_route_tables=20)), root, tmp_path)
    doctor.node.aws.faults.add(Fault("latency", action="ReplaceRoute", service="ec2", seconds=3.0))
    ran = doctor.examine()
    assert ran.code == 0, ran.outcomes
    counts = {action: ran.ec2.count(action) for action in ran.ec2}
    assert counts["ReplaceRoute"] == counts["CreateRoute"] == 22
    # Peering connections by each of their two sides.
    assert {counts[one] for one in counts if one.startswith("Describe")} == {1, 2}
    assert [one for one in counts if counts[one] == 2] == ["DescribeVpcPeeringConnections"]
    spans = [(call.time, call.time + (call.duration or 0.0)) for call in ran.calls if call.action == "ReplaceRoute"]
    # One after the other, never more than one of them would be under way.
    assert max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans) >= 4


@pytest.mark.parametrize(
    ("fixture", "untold"), [("free_eni_doctor", {"detach"}), ("private_doctor", {"assign-ipv4", "assign-ipv6"})]
)
def test_what_nobody_can_tell_does_not_count(request: pytest.FixtureRequest, fixture: str, untold: Set[str]) -> None:
    """EC2 has no dry run for some calls: they are listed, and all is in order where nothing else is not known."""
    doctor: Doctor = request.getfixturevalue(fixture)
    ran = doctor.examine()
    assert {name for name, one in ran.findings.items() if not one["counts"]} == untold
    assert {name for name, outcome in ran.outcomes.items() if outcome != "pass"} == untold
    assert (ran.code, ran.document["outcome"]) == (0, "pass")


def test_many_pages(make_node: Callable[..., Node], root: Path, tmp_path: Path) -> None:
    """EC2 tells 100 tables at once: of more than that, none is left out."""
    doctor = Doctor(make_node(topology=topology_for(extra_route_tables=110)), root, tmp_path)
    doctor.parameters["routing_table"] = "auto"
    ran = doctor.examine()
    assert ran.findings["tables"]["text"].startswith("112 tables of ")
    assert ran.ec2.count("DescribeRouteTables") == 2


def test_what_asks_nobody(doctor: Doctor) -> None:
    """A tenth of the checks cost no call of EC2: with EC2 and STS silent they all have their answers."""
    here = [one for one in CHECKS if one.area != CLUSTER and "overlay-ip" in one.modes]
    free = {one.name for one in here if one.needs.name in ("NOTHING", "METADATA")}
    assert len(free) >= len(CHECKS) / 10
    before = well(doctor)
    doctor.node.aws.faults.add(Fault("hang", service="api"))
    ran = doctor.examine("--timeout", "20")
    assert {name: ran.outcomes[name] for name in free} == {name: before[name] for name in free}
    assert ran.code == 3
    assert "fail" not in ran.outcomes.values()


def test_the_document_fits_its_schema(doctor: Doctor) -> None:
    """Of a healthy node, of a broken one, and of the list of checks."""
    schema = json.loads((SCHEMAS / "doctor.json").read_text())
    jsonschema.validate(doctor.examine().document, schema)
    _missing_route(doctor)
    jsonschema.validate(doctor.examine("--fix", "--yes").document, schema)
    listed = doctor.run("--list", "--json")
    jsonschema.validate(listed.document, json.loads((SCHEMAS / "doctor-list.json").read_text()))
    assert [one["check"] for one in listed.document["checks"]] == [one.name for one in CHECKS]
    assert listed.calls == ()


def test_lines_for_people(doctor: Doctor) -> None:
    """One line a check with its outcome as a word; below what fails stands what to do, and the command to paste."""
    _missing_route(doctor)
    ran = doctor.run(*doctor.typed())
    lines = ran.stdout.splitlines()
    assert any(one.startswith("+ pass    imds ") for one in lines), ran.stdout
    (failing,) = [number for number, one in enumerate(lines) if one.startswith("x FAIL")]
    assert lines[failing].split()[2] == "routes"
    assert lines[failing + 2].strip().startswith("aws ec2 create-route --region eu-central-1 --route-table-id rtb-")
    assert re.fullmatch(r"\d+ checks: \d+ pass, 1 fail", lines[-1]), lines[-1]
    assert ran.code == 1


CIB = """<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="9" num_updates="1" admin_epoch="0">
<configuration><crm_config/><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources>{}
</resources><constraints/></configuration><status/></cib>"""


def cluster(doctor: Doctor, resources: Mapping[str, Mapping[str, str]]) -> None:
    """Let the cluster have these resources, by their ids, with their parameters; its scheduler is the real one."""
    programs = doctor.scratch / "bin"
    programs.mkdir()
    kind = 'class="ocf" provider="heartbeat" type="aws-ipfailover"'
    listed = ""
    for one, parameters in resources.items():
        pairs = "".join(
            f'<nvpair id="{one}-{name}" name="{name}" value="{value}"/>' for name, value in parameters.items()
        )
        attributes = f'<instance_attributes id="{one}-p">{pairs}</instance_attributes>'
        listed += f'<primitive id="{one}" {kind}>{attributes}</primitive>'
    (programs / "cib.xml").write_text(CIB.format(listed))
    for name, script in (("cibadmin", f"cat {programs}/cib.xml"), ("crm_node", "echo node1")):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    doctor.environ["PATH"] = f"{programs}:{doctor.environ['PATH']}"


def test_resources_of_the_cluster(doctor: Doctor) -> None:
    """By their ids, or all of them: with the parameters of the cluster's configuration, each in a report of its own."""
    need_commands("crm_simulate")
    before = well(doctor)
    cluster(doctor, {"vip": doctor.parameters})
    _missing_route(doctor)
    for arguments in (["vip"], []):
        ran = doctor.run("--json", *arguments, "--timeout", "60")
        assert [report["subject"] for report in ran.document["reports"]] == ["node", "vip"]
        assert ran.outcomes == {**before, "routes": "fail"}
    mended = doctor.run("--json", "--fix", "--yes", "vip", "--timeout", "60")
    assert [(fix["resource"], fix["done"]) for fix in mended.document["fixes"]] == [("vip", True)]
    assert mended.code == 0


def test_resources_share_what_they_read(doctor: Doctor) -> None:
    """Several resources cost few calls more than one: what they have in common is read once, and told for each."""
    need_commands("crm_simulate")
    alone = doctor.examine().ec2
    second = {**doctor.parameters, "ip": "192.168.10.20"}
    doctor.node.aws.account.put_route("192.168.10.20/32", "node2")
    cluster(doctor, {"one": doctor.parameters, "two": second})
    ran = doctor.run("--json", "--timeout", "60")
    assert [report["subject"] for report in ran.document["reports"]] == ["node", "one", "two"]
    for report in ran.document["reports"][1:]:
        for finding in report["findings"]:
            expected = "warn" if (report["subject"], finding["check"]) == ("two", "transit-gateways") else "pass"
            assert finding["outcome"] == expected, finding
    reads = [one for one in ran.ec2 if one.startswith("Describe")]
    assert sorted(reads) == sorted(one for one in alone if one.startswith("Describe"))


def test_without_a_cluster(doctor: Doctor) -> None:
    """The node itself is examined all the same; what the cluster has could not be found out."""
    doctor.environ["PATH"] = "/usr/bin:/bin"
    ran = doctor.run("--json")
    assert (ran.code, ran.outcomes["resource"]) == (3, "unknown"), ran.outcomes
    assert "NAME=VALUE" in ran.findings["resource"]["remedy"]
    assert ran.outcomes["agent-file"] == "pass"
