"""The contract's section "Health": the real file of the health agent, Pacemaker's own scheduler, and the lab's EC2."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

import pytest

from aws_ipfailover.cli.install import Alias, agent_file, install
from sandbox import Agent, EniNode, Node, Ran, addresses, create_eni, need_commands, without_packages
from vpc_lab.ec2 import Fault, Policy, Role, Statement
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

HEALTH = agent_file("aws-ipfailover-health")
NAME = "#health-aws-ipfailover"
SCHEMA = Path("/usr/share/pcs/data/ocf-1.1.rng")
UNKNOWN_TABLES = "rtb-0123456789abcdef0,rtb-0fedcba9876543210"
READS = ("ec2:DescribeRouteTables", "ec2:DescribeNetworkInterfaces", "ec2:DescribeInstances", "ec2:DescribeSubnets")
AGENT = 'class="ocf" provider="heartbeat" type="aws-ipfailover"'


def nvpairs(owner: str, parameters: Mapping[str, str]) -> str:
    """A set of parameters in a CIB."""
    pairs = "".join(f'<nvpair id="{owner}-{name}" name="{name}" value="{text}"/>' for name, text in parameters.items())
    return f'<instance_attributes id="{owner}-params">{pairs}</instance_attributes>'


def primitive(name: str, parameters: Mapping[str, str], kind: str = AGENT, more: str = "") -> str:
    """A primitive in a CIB."""
    return f'<primitive id="{name}" {kind}>{nvpairs(name, parameters)}{more}</primitive>'


class Cluster:
    """What the health agent meets of Pacemaker: its scheduler is the real one, all else are stand-ins.

    Each stand-in notes its arguments; `cibadmin` prints `resources` within a CIB.
    """

    def __init__(self, node: Union[Node, EniNode], directory: Path) -> None:
        need_commands("crm_simulate")
        self.node = node
        self.directory = directory / "cluster"
        self.programs = self.directory / "bin"
        self.programs.mkdir(parents=True)
        self.root = self.directory / "root"
        install(self.root)
        self.agent = Agent(
            environ={
                **node.agent.environ,
                "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "OCF_ROOT": str(self.root / "usr/lib/ocf"),
                "OCF_RESOURCE_INSTANCE": "health:0",
                "OCF_RESKEY_CRM_meta_on_node": "node1",
            },
            aws=node.aws,
            path=HEALTH,
        )
        self.stand_in("cibadmin", f"cat {self.directory}/cib.xml")
        self.stand_in("attrd_updater", "")
        self.has(primitive("ip", node.agent.parameters))

    def has(self, *resources: str) -> None:
        """Let the cluster have these resources; it has no quorum, and nothing may be probed or start on this node."""
        (self.directory / "cib.xml").write_text(
            '<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="9" num_updates="1" admin_epoch="0"'
            ' have-quorum="0">'
            '<configuration><crm_config><cluster_property_set id="options"><nvpair id="o1" name="enable-startup-probes"'
            ' value="false"/></cluster_property_set></crm_config>'
            '<nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes>'
            f"<resources>{''.join(resources)}</resources>"
            '<constraints><rsc_location id="never" rsc="ip" node="node1" score="-INFINITY"/></constraints>'
            "</configuration><status/></cib>"
        )

    def stand_in(self, name: str, script: str) -> None:
        """A program of Pacemaker that notes its arguments, and then is this script."""
        program = self.programs / name
        program.write_text(f'#!/bin/sh\necho "$*" >>{self.directory}/{name}.calls\n{script}\n')
        program.chmod(0o755)

    def calls(self, name: str = "attrd_updater") -> List[str]:
        """The arguments of each call of a stand-in so far."""
        path = self.directory / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def colour(self) -> str:
        """What the node's health is now; empty if it has none."""
        colour = ""
        for call in self.calls():
            assert call.startswith(f"--name {NAME} "), call
            colour = "" if "--delete" in call else call.partition("--update ")[2].split()[0]
        return colour

    def started(self, parameters: Optional[Mapping[str, str]] = None, **options: Any) -> Ran:
        """Start it; that succeeds whatever the colour is, and neither EC2 nor the kernel is changed."""
        kernel, routes = addresses(), self.node.aws.account.world.route_tables
        ran = self.agent.run("start", parameters, **options)
        assert (ran.code, ran.reason) == (0, ""), ran
        assert addresses() == kernel
        assert self.node.aws.account.world.route_tables == routes
        writes = [call for call in ran.calls if call.service == "ec2" and not call.action.startswith("Describe")]
        assert all(call.parameters.get("DryRun") == "true" for call in writes), ran
        return ran

    def warned(self, ran: Ran) -> str:
        """The one warning of a run; empty if there is none."""
        lines = [line for line in ran.stderr.splitlines() if line.startswith("WARNING: this node is")]
        assert len(lines) <= 1, ran
        return "".join(lines)


@pytest.fixture
def cluster(node: Node, tmp_path: Path) -> Cluster:
    """A cluster with one overlay address in two tables, on a node that does not have it."""
    return Cluster(node, tmp_path)


def may(node: Union[Node, EniNode], *statements: Statement) -> None:
    """Let the nodes' role allow reads, and this."""
    node.aws.account.identities.restrict_instances(Policy((Statement(READS), *statements)))


# -- start, monitor, stop ---------------------------------------------------------------------------------------------


def test_a_life(cluster: Cluster) -> None:
    """As ocf:pacemaker:HealthCPU: 7 before start and after stop, 0 in between; start and every monitor set the
    colour, a probe of what is started too, and stop takes the colour away without the cloud."""
    run = cluster.agent.run
    assert run("monitor").code == run("monitor", interval=60).code == 7
    assert run("stop").code == 0
    assert cluster.calls() == []
    assert run("start").code == 0
    assert cluster.calls() == [f"--name {NAME} --update green --delay 30s"]
    assert run("start").code == 0
    probe = run("monitor", environ={"OCF_RESOURCE_INSTANCE": "health:1"})
    assert (probe.code, len(cluster.calls())) == (0, 3)
    assert run("monitor", {"dampen": "5s"}, interval=60).code == 0
    assert cluster.calls()[-1] == f"--name {NAME} --update green --delay 5s"
    cluster.node.aws.faults.add(Fault("hang", service="*"))
    stop = run("stop")
    assert (stop.code, stop.calls) == (0, ())
    assert cluster.calls()[-1] == f"--name {NAME} --delete"
    assert run("monitor").code == 7
    assert list(cluster.node.directory.glob("*health*")) == []


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 60", None], ids=["failing", "hanging", "absent"])
def test_pacemaker_takes_no_colour(cluster: Cluster, script: Optional[str]) -> None:
    """start, monitor and stop end well and in time where the colour cannot be set or deleted, and say so in the log."""
    if script is None:
        (cluster.programs / "attrd_updater").unlink()
        cluster.agent.environ["PATH"] = f"{cluster.programs}:/usr/bin:/bin"
        (cluster.programs / "crm_simulate").symlink_to("/usr/sbin/crm_simulate")
    else:
        cluster.stand_in("attrd_updater", script)
    for action in ("start", "monitor", "stop"):
        ran = cluster.agent.run(action, interval=60, timeout=12)
        assert ran.code == 0, ran
        assert ran.elapsed < 12
        assert "attrd_updater" in ran.stderr
    assert cluster.agent.run("monitor").code == 7


def test_a_start_that_cannot_be_recorded(cluster: Cluster) -> None:
    """start: 1 where its state cannot be written, because every monitor would say that it does not run."""
    ran = cluster.agent.run("start", environ={"HA_RSCTMP": "/proc/nowhere"})
    assert ran.code == 1, ran
    assert "HA_RSCTMP" in ran.reason


def test_reload(cluster: Cluster) -> None:
    """reload-agent: 0, and from then on Pacemaker waits as long as the new `dampen` says; 6 where that is wrong."""
    cluster.started()
    assert cluster.agent.run("reload-agent", {"dampen": "7s"}).code == 0
    assert cluster.calls()[-1] == f"--name {NAME} --update-delay --delay 7s"
    assert cluster.agent.run("reload-agent", {"dampen": "soon"}).code == 6


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, 0),
        ({"resources": "a,b.c-d"}, 0),
        ({"resources": "a b"}, 6),
        ({"dampen": "-1"}, 6),
        ({"dampen": "500ms"}, 0),
    ],
)
def test_validate_all(cluster: Cluster, parameters: Dict[str, str], code: int) -> None:
    """validate-all: 6 for a wrong parameter, named; nobody is asked."""
    for level in (0, 10):
        ran = cluster.agent.run("validate-all", parameters, level=level)
        assert ran.code == code, ran
        assert all(name in ran.reason for name in parameters) or code == 0
        assert ran.calls == ()


def test_validate_all_without_pacemaker(cluster: Cluster) -> None:
    """validate-all, level 10: 5 where Pacemaker's programs are missing, with their names."""
    ran = cluster.agent.run("validate-all", environ={"PATH": "/nowhere"}, level=10)
    assert ran.code == 5, ran
    assert "attrd_updater, cibadmin, crm_simulate" in ran.reason


@pytest.mark.parametrize("action", ["meta-data", "usage", "help"])
def test_without_anything(tmp_path: Path, action: str) -> None:
    """meta-data and usage: 0 without root, parameters, boto3, requests, or Pacemaker's programs."""
    environ = {"PATH": "/nowhere", **without_packages(tmp_path / "shim", "boto3", "botocore", "requests")}
    ran = Agent(path=HEALTH, environ=environ).run(action)
    assert (ran.code, ran.stderr) == (0, ""), ran
    assert "aws-ipfailover-health" in ran.stdout


def test_an_unknown_action() -> None:
    """An unknown action: 3, and the usage."""
    for action in ("nonsense", "migrate_to"):
        ran = Agent(path=HEALTH).run(action)
        assert ran.code == 3, ran
        assert ran.stderr.startswith("usage: aws-ipfailover-health {start|")


def test_metadata_is_of_ocf_1_1(tmp_path: Path) -> None:
    """It validates against the OCF 1.1 schema that pcs checks agents by; both parameters are reloadable."""
    need_commands("xmllint")
    file = tmp_path / "meta-data.xml"
    file.write_text(Agent(path=HEALTH).run("meta-data").stdout)
    command = ["xmllint", "--noout", "--relaxng", str(SCHEMA), str(file)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert file.read_text().count('reloadable="1"') == 2


# -- overlay-ip -------------------------------------------------------------------------------------------------------


def test_green(cluster: Cluster) -> None:
    """green: a standby where a start would succeed; one read of the tables, one of the ENI, one of the VPC, and
    EC2's DryRun for each table; nothing is logged."""
    ran = cluster.started()
    assert cluster.colour() == "green"
    assert sorted(ran.ec2) == [
        *("DescribeNetworkInterfaces", "DescribeRouteTables", "DescribeVpcs", "ReplaceRoute", "ReplaceRoute"),
    ]
    assert "WARNING" not in ran.stderr


def test_the_active_node(cluster: Cluster, node: Node) -> None:
    """The same on the node that has the address."""
    node.hold()
    cluster.started()
    assert cluster.colour() == "green"
    may(node)
    assert cluster.agent.run("monitor", interval=60).code == 0
    assert cluster.colour() == "red"
    assert len(node.held()) == 1


def test_denied_for_one_of_two_tables(cluster: Cluster, node: Node) -> None:
    """yellow: a start would serve a part; the reason names the table and the permission."""
    good, bad = node.tables
    may(node, Statement(("ec2:ReplaceRoute",), (f"*:route-table/{good}",)))
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == "yellow"
    assert "this node is yellow: a start here would serve a part: ip: " in warning
    assert "ReplaceRoute: UnauthorizedOperation" in warning
    assert bad in warning
    assert good not in warning


def test_denied_for_all_tables(cluster: Cluster, node: Node) -> None:
    """red: a start would answer nobody."""
    may(node)
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == "red"
    assert "ip: " in warning
    assert "ReplaceRoute: UnauthorizedOperation" in warning


def test_a_right_that_comes_back(cluster: Cluster, node: Node) -> None:
    """Each monitor looks anew; a colour's reason is logged once, and its end too."""
    may(node)
    assert cluster.warned(cluster.started())
    for _ in range(2):
        again = cluster.agent.run("monitor", interval=60)
        assert (again.code, cluster.warned(again), cluster.colour()) == (0, "", "red")
    may(node, Statement(("ec2:ReplaceRoute",)))
    well = cluster.agent.run("monitor", interval=60)
    assert (well.code, cluster.colour()) == (0, "green")
    assert "INFO: this node is green" in well.stderr
    assert "this node is" not in cluster.agent.run("monitor", interval=60).stderr


def test_the_permission_to_create_a_route(cluster: Cluster, node: Node) -> None:
    """red: no table has the route, and none may be made; yellow: one has it."""
    may(node, Statement(("ec2:ReplaceRoute",)))
    lacking, other = node.tables
    node.aws.account.delete_route(node.destination, lacking)
    cluster.started()
    assert cluster.colour() == "yellow"
    node.aws.account.delete_route(node.destination, other)
    cluster.started()
    assert cluster.colour() == "red"


@pytest.mark.parametrize(("allowed", "colour"), [(True, "green"), (False, "red")])
def test_source_destination_check(cluster: Cluster, node: Node, allowed: bool, colour: str) -> None:
    """A check that is on: green where a start may switch it off, else red with the command."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    extra = ("ec2:ModifyNetworkInterfaceAttribute",) if allowed else ()
    may(node, Statement(("ec2:ReplaceRoute", *extra)))
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == colour
    assert allowed or "--no-source-dest-check" in warning
    assert node.aws.account.world.interfaces[node.me.network_interface_id].source_dest_check


def test_tables_that_do_not_exist(cluster: Cluster, node: Node) -> None:
    """yellow: one of several is unknown to EC2; red: all are."""
    table = UNKNOWN_TABLES.split(",", maxsplit=1)[0]
    for tables, colour in ((f"{node.tables[0]},{table}", "yellow"), (UNKNOWN_TABLES, "red"), (table, "red")):
        cluster.has(primitive("ip", {**node.agent.parameters, "routing_table": tables}))
        warning = cluster.warned(cluster.started())
        assert (tables, cluster.colour()) == (tables, colour)
        assert table in warning


def test_denied_for_the_only_table_that_exists(cluster: Cluster, node: Node) -> None:
    """red: what one table lacks and what another lacks add up."""
    may(node)
    cluster.has(primitive("ip", {**node.agent.parameters, "routing_table": f"{node.tables[0]},{UNKNOWN_TABLES}"}))
    cluster.started()
    assert cluster.colour() == "red"


@pytest.mark.parametrize("denied", ["DescribeRouteTables", "DescribeNetworkInterfaces"])
def test_a_read_that_is_denied(cluster: Cluster, node: Node, denied: str) -> None:
    """yellow: a start writes the tables without reading them, and only warns of an ENI that it cannot read; red if it
    may not write either."""
    actions = [action for action in ("ec2:ReplaceRoute", *READS) if not action.endswith(denied)]
    node.aws.account.identities.restrict_instances(Policy((Statement(tuple(actions)),)))
    cluster.started()
    assert cluster.colour() == "yellow"
    node.aws.account.identities.restrict_instances(Policy((Statement(tuple(actions[1:])),)))
    cluster.started()
    assert cluster.colour() == "red"


def test_tables_that_have_to_be_looked_up(cluster: Cluster, node: Node) -> None:
    """routing_table=auto: green; red where no table has a route, and where the lookup is denied to a node that knows
    none from before; yellow where it knows some."""
    cluster.has(primitive("ip", {**node.agent.parameters, "routing_table": "auto"}))
    cluster.started()
    assert cluster.colour() == "green"
    writes = Policy((Statement(("ec2:ReplaceRoute", "ec2:DescribeNetworkInterfaces")),))
    node.aws.account.identities.restrict_instances(writes)
    cluster.started()
    assert cluster.colour() == "yellow"
    for path in node.directory.glob("aws-ipfailover-tables-*"):
        path.unlink()
    cluster.started()
    assert cluster.colour() == "red"
    may(node, Statement(("ec2:ReplaceRoute",)))
    node.aws.account.delete_route(node.destination)
    cluster.started()
    assert cluster.colour() == "red"


def test_an_address_inside_the_vpc(cluster: Cluster, node: Node) -> None:
    """red: EC2 makes no route to an address inside the VPC; yellow: one of two addresses is outside."""
    cluster.has(primitive("ip", {**node.agent.parameters, "ip": "10.0.1.77"}))
    cluster.started()
    assert cluster.colour() == "red"
    cluster.has(primitive("ip", {**node.agent.parameters, "ip": f"10.0.1.77,{node.address}"}))
    cluster.started()
    assert cluster.colour() == "yellow"


def test_an_elastic_ip_that_cannot_follow(cluster: Cluster, node: Node) -> None:
    """yellow: a start goes on without the Elastic IP."""
    cluster.has(primitive("ip", {**node.agent.parameters, "allocation_id": "eipalloc-0123456789abcdef0"}))
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == "yellow"
    assert "eipalloc-0123456789abcdef0" in warning


# -- what cannot be found out -----------------------------------------------------------------------------------------

OUTAGES: List[Dict[str, Any]] = [
    {"kind": "hang", "service": "ec2"},
    {"kind": "reset", "service": "ec2"},
    {"kind": "refuse", "service": "ec2"},
    {"kind": "html", "service": "ec2"},
    {"kind": "truncate", "service": "ec2"},
    {"kind": "empty", "service": "ec2"},
    {"kind": "error", "service": "ec2", "code": "RequestLimitExceeded", "status": 503},
    {"kind": "error", "service": "ec2", "code": "InternalError", "status": 500},
    {"kind": "error", "service": "ec2", "code": "InvalidParameterValue", "status": 400},
    {"kind": "error", "service": "ec2", "code": "RequestExpired", "status": 400},
    {"kind": "hang", "service": "ec2", "action": "ReplaceRoute"},
    {"kind": "error", "service": "ec2", "action": "ReplaceRoute", "code": "RequestLimitExceeded", "status": 503},
    {"kind": "hang", "service": "imds"},
    {"kind": "error", "service": "imds", "status": 503},
]


@pytest.mark.parametrize("fault", OUTAGES, ids=str)
def test_an_outage(cluster: Cluster, node: Node, fault: Dict[str, Any]) -> None:
    """yellow, never red, and in time: EC2 hangs, is unreachable, throttles, or answers nonsense; IMDS is silent."""
    node.aws.faults.add(Fault(**fault))
    ran = cluster.started(timeout=12)
    assert cluster.colour() == "yellow"
    assert "cannot be found out" in cluster.warned(ran)
    assert ran.elapsed < 9  # half of the timeout, and a little for everything else


def test_without_credentials(cluster: Cluster, node: Node) -> None:
    """red: an instance without a role, by IMDS's own answer: a start here would certainly answer nobody."""
    node.aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == "red"
    assert "no AWS credentials found" in warning


def test_terminated_in_the_middle_of_a_look(cluster: Cluster, node: Node) -> None:
    """Pacemaker's SIGTERM ends it at once, with 1, and leaves no file of the scheduler behind."""
    cluster.started()
    cluster.stand_in("crm_simulate", "exec sleep 60")
    with cluster.agent.begin("monitor", interval=60) as running:
        eventually("the scheduler asked", lambda: cluster.calls("crm_simulate"), 20.0)
        running.process.send_signal(signal.SIGTERM)
        ran = running.end()
    assert ran.code == 1, ran
    assert "ended by a signal" in ran.reason
    assert [path for path in node.directory.iterdir() if path.is_dir()] == []
    assert cluster.colour() == "green"


def test_what_is_certain_beside_what_is_not(cluster: Cluster, node: Node) -> None:
    """red: one resource would certainly fail, although nothing can be found out about another."""
    may(node, Statement(("ec2:ReplaceRoute",), (f"*:route-table/{node.tables[0]}",)))
    node.aws.faults.add(Fault("hang", resource=node.tables[0]))
    one, other = ({**node.agent.parameters, "routing_table": table} for table in node.tables)
    cluster.has(primitive("slow", one), primitive("ip", {**other, "ip": "192.168.10.11"}))
    warning = cluster.warned(cluster.started(timeout=12))
    assert cluster.colour() == "red"
    assert warning.index("ip: ") < warning.index("slow: ")


@pytest.mark.parametrize(
    ("program", "script"),
    [
        *((program, script) for program in ("cibadmin", "crm_simulate") for script in ("exit 1", "exec sleep 60", "")),
        ("cibadmin", "echo nonsense"),
        ("crm_simulate", 'echo nonsense >"$5"'),
        ("crm_simulate", "echo '<transition_graph/>' >\"$5\""),
    ],
)
def test_a_configuration_that_cannot_be_read(cluster: Cluster, program: str, script: str) -> None:
    """yellow, in time: no answer of Pacemaker's programs, or none that can be understood, is no evidence."""
    cluster.stand_in(program, script)
    ran = cluster.started(timeout=8)
    assert cluster.colour() == "yellow"
    assert ran.elapsed < 8


# -- the node itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["boto3", "requests"])
def test_a_missing_package(cluster: Cluster, tmp_path: Path, name: str) -> None:
    """red: a start ends with 5 without boto3 or requests."""
    ran = cluster.started(environ=without_packages(tmp_path / "shim", name))
    assert cluster.colour() == "red"
    assert name in cluster.warned(ran)


@pytest.mark.parametrize(("action", "code", "colour"), [("start", 5, "red"), ("monitor", 5, "red"), ("stop", 0, "")])
def test_a_package_that_does_not_load(cluster: Cluster, tmp_path: Path, action: str, code: int, colour: str) -> None:
    """start and monitor: 5 and a red node, without a traceback; stop: 0, and the node stays as it is."""
    shim = without_packages(tmp_path / "shim", "aws_ipfailover")
    ran = cluster.agent.run(action, environ=shim, interval=60)
    assert (ran.code, cluster.colour()) == (code, colour), ran
    assert "Traceback" not in ran.stderr
    assert "aws-ipfailover install" in ran.stderr
    assert cluster.agent.run("monitor", environ=shim).code == 5
    assert cluster.colour() == colour


def test_an_older_interpreter_reads_the_file() -> None:
    """The whole file is Python 3.6, so that an interpreter that is too old for the package can run it."""
    ast.parse(HEALTH.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_agent_that_is_not_installed_here(cluster: Cluster) -> None:
    """red: Pacemaker cannot start what this node does not have."""
    (cluster.root / "usr/lib/ocf/resource.d/heartbeat/aws-ipfailover").unlink()
    ran = cluster.started()
    assert cluster.colour() == "red"
    assert "not installed on this node" in cluster.warned(ran)


def test_an_interface_that_is_not_there(cluster: Cluster, node: Node) -> None:
    """red: the parameters do not fit this node, or no node."""
    for wrong in ({"interface": "eth7"}, {"profile": "missing"}, {"ip": "nonsense"}):
        cluster.has(primitive("ip", {**node.agent.parameters, **wrong}))
        cluster.started()
        assert cluster.colour() == "red"


# -- eni and private-ip -----------------------------------------------------------------------------------------------

ATTACH, DETACH = "ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"


@pytest.mark.parametrize(
    ("allowed", "elsewhere", "here"),
    [
        ((ATTACH, DETACH), "green", "green"),
        ((ATTACH,), "red", "yellow"),
        ((DETACH,), "red", "yellow"),
        ((), "red", "yellow"),
    ],
)
def test_eni(eni_node: EniNode, tmp_path: Path, allowed: tuple[str, ...], elsewhere: str, here: str) -> None:
    """eni: red where a start may not take the interface from the node that has it; yellow on that node itself."""
    cluster = Cluster(eni_node, tmp_path)
    may(eni_node, *([Statement(allowed)] if allowed else []))
    eni_node.attach(eni_node.other)
    ran = cluster.started()
    assert cluster.colour() == elsewhere
    assert sorted(ran.ec2) == [
        *("AttachNetworkInterface", "DescribeInstances", "DescribeInstances", "DescribeNetworkInterfaces"),
        *("DescribeSubnets", "DetachNetworkInterface"),
    ]
    eni_node.detach()
    eni_node.aws.account.settle()
    eni_node.attach(eni_node.me)
    cluster.started()
    assert cluster.colour() == here


def test_eni_in_another_zone(eni_node: EniNode, tmp_path: Path) -> None:
    """red: a network interface in another availability zone; with an id that EC2 does not know as well."""
    cluster = Cluster(eni_node, tmp_path)
    subnet = topology_for().subnet("b")
    for eni in (create_eni(eni_node.aws, subnet.subnet_id, str(subnet.cidr[60])), "eni-0123456789abcdef0"):
        cluster.has(primitive("ip", {"mode": "eni", "network_interface_id": eni}))
        warning = cluster.warned(cluster.started())
        assert cluster.colour() == "red"
        assert eni in warning


@pytest.mark.parametrize(
    ("address", "colour"),
    [("10.0.1.50", "green"), ("10.0.2.50", "red"), ("2001:db8:1000:1::50", "green"), ("own", "red")],
)
def test_private_ip(cluster: Cluster, node: Node, address: str, colour: str) -> None:
    """private-ip: red for an address outside the node's subnet, or its own."""
    text = str(node.me.address) if address == "own" else address
    cluster.has(primitive("ip", {"mode": "private-ip", "ip": text}))
    ran = cluster.started()
    assert cluster.colour() == colour
    assert set(ran.ec2) <= {"DescribeNetworkInterfaces"}
    assert len(ran.ec2) <= 2


# -- which resources, and with which parameters -----------------------------------------------------------------------


def test_resources_wherever_they_are(cluster: Cluster, node: Node) -> None:
    """Every resource of this agent is looked at: in a group, a clone, made from a template, under another name; with
    the parameters that it has on this node, by rules, templates and groups. Other agents' are not."""
    install(cluster.root, Alias("suse", "aws-vpc-move-ip"))
    (cluster.root / "usr/lib/ocf/resource.d/heartbeat/aws-vpc-move-ip").write_text("#!/bin/sh\n")
    good = node.agent.parameters
    dummy = 'class="ocf" provider="pacemaker" type="Dummy"'
    suse = 'class="ocf" provider="suse" type="aws-vpc-move-ip"'
    peer = 'class="ocf" provider="heartbeat" type="aws-vpc-move-ip"'
    by_rule = "".join(
        f'<instance_attributes id="rule-{name}" score="9"><rule id="r-{name}" score="0"><expression id="e-{name}"'
        f' attribute="#uname" operation="eq" value="{name}"/></rule><nvpair id="n-{name}" name="interface"'
        f' value="{interface}"/></instance_attributes>'
        for name, interface in (("node1", "eth0"), ("node2", "eth7"))
    )
    cluster.has(
        f'<template id="base" {AGENT}>{nvpairs("base", {**good, "ip": "192.168.10.20"})}</template>',
        '<primitive id="a" template="base"/>',
        f'<primitive id="b" template="base">{nvpairs("b", {"ip": "192.168.10.21"})}{by_rule}</primitive>',
        f"<group id='g'>{nvpairs('g', {'routing_table': good['routing_table']})}"
        f"{primitive('c', {'ip': '192.168.10.22'})}{primitive('d', {}, dummy)}</group>",
        f"<clone id='k'>{primitive('e', {**good, 'ip': '192.168.10.23'}, suse)}</clone>",
        primitive("f", {"ip": "nonsense"}, peer),
    )
    ran = cluster.started()
    assert cluster.colour() == "green"
    asked = sorted(call.parameters["DestinationCidrBlock"] for call in ran.calls if call.action == "ReplaceRoute")
    assert asked == [f"192.168.10.{last}/32" for last in (20, 20, 21, 21, 22, 22, 23, 23)]


@pytest.mark.parametrize(
    ("resources", "colour", "told"),
    [
        ("good", "green", ""),
        ("bad", "red", "bad: "),
        ("good, bad", "red", "bad: "),
        ("k", "red", "bad: "),
        ("nobody", "yellow", "nobody: the cluster's configuration has no resource 'nobody'; of this agent it has "),
        (
            "dummy",
            "yellow",
            "dummy: resource 'dummy' is of ocf:pacemaker:Dummy, and not of this agent; of this agent it has ",
        ),
        ("g", "green", ""),
    ],
)
def test_resources_by_name(cluster: Cluster, node: Node, resources: str, colour: str, told: str) -> None:
    """`resources`: only these, and what is in a group or clone of that name; yellow for one that is not there."""
    good = node.agent.parameters
    cluster.has(
        primitive("dummy", {}, 'class="ocf" provider="pacemaker" type="Dummy"'),
        f"<clone id='k'>{primitive('bad', {**good, 'interface': 'eth7'})}</clone>",
        f"<group id='g'>{primitive('good', good)}</group>",
    )
    (cluster.root / "usr/lib/ocf/resource.d/pacemaker").mkdir()
    (cluster.root / "usr/lib/ocf/resource.d/pacemaker/Dummy").write_text("#!/bin/sh\n")
    ran = cluster.started({"resources": resources})
    assert cluster.colour() == colour
    assert told in cluster.warned(ran)


def test_the_scheduler_writes_beside_its_input(cluster: Cluster, node: Node) -> None:
    """crm_simulate makes a copy of the CIB: not among the cluster's own files, and nobody else may read it."""
    seen = cluster.directory / "seen"
    look = f'(stat -c "%a" "$CIB_shadow_dir"; dirname "$CIB_shadow_dir") >{seen}'
    cluster.stand_in("crm_simulate", f'{look}\nexec /usr/sbin/crm_simulate "$@"')
    cluster.started()
    assert cluster.colour() == "green"
    assert seen.read_text().splitlines() == ["700", str(node.directory)]


def test_a_cluster_without_addresses(cluster: Cluster) -> None:
    """green, and nobody is asked: nothing could fail."""
    cluster.has()
    ran = cluster.started()
    assert (cluster.colour(), ran.calls) == ("green", ())


def test_a_secret_that_is_kept_elsewhere(cluster: Cluster, node: Node) -> None:
    """yellow: a value that cibsecret keeps is not in the configuration."""
    cluster.has(primitive("ip", {**node.agent.parameters, "external_id": "lrm://"}))
    ran = cluster.started()
    assert (cluster.colour(), ran.calls) == ("yellow", ())


def test_secrets_are_not_told(cluster: Cluster, node: Node) -> None:
    """No secret of the configuration is in the log, and no file with one is left."""
    secret = "a-secret-between-two"
    given = {"external_id": secret, "routing_table_role": f"arn:aws:iam::123456789012:role/{secret}"}
    cluster.has(primitive("ip", {**node.agent.parameters, **given}))
    ran = cluster.started(environ={"HA_debug": "1"})
    assert secret not in ran.stdout + ran.stderr
    assert all(secret not in path.read_text() for path in node.directory.rglob("*") if path.is_file())
    assert [path for path in node.directory.iterdir() if path.is_dir()] == []


def test_a_role_of_another_account(make_node: Callable[..., Node], tmp_path: Path) -> None:
    """The role for the tables is assumed in the name of the resource, which trust policies can ask for: green; red
    where it may not be assumed."""
    owner = "210987654321"
    node = make_node(topology=topology_for(shared_vpc_owner=owner))
    account, arn = node.aws.account, f"arn:aws:iam::{owner}:role/network"
    account.identities.put_role(Role(arn, None, frozenset({account.topology.account_id}), may_be_tagged=True))
    node.agent.parameters["routing_table_role"] = arn
    cluster = Cluster(node, tmp_path)
    cluster.has(f"<clone id='k'>{primitive('ip_shared', node.agent.parameters)}</clone>")
    ran = cluster.started()
    assert cluster.colour() == "green"
    (assumed,) = (call for call in ran.calls if call.action == "AssumeRole")
    assert assumed.parameters["RoleSessionName"] == f"{node.me.instance_id}-ip_shared"
    assert "ip_shared" in [assumed.parameters.get(f"Tags.member.{number}.Value") for number in (1, 2)]
    account.identities.put_role(Role(arn, None, frozenset()))
    warning = cluster.warned(cluster.started())
    assert cluster.colour() == "red"
    assert "AssumeRole: AccessDenied" in warning


def test_by_hand(cluster: Cluster) -> None:
    """Without Pacemaker's variables the node's name is asked of crm_node."""
    cluster.stand_in("crm_node", "echo node1")
    variables = {"OCF_RESKEY_CRM_meta_on_node": None, "OCF_RESOURCE_INSTANCE": None}
    assert cluster.agent.run("start", environ=variables).code == 0
    assert (cluster.colour(), cluster.calls("crm_node")) == ("green", ["--name"])


def test_a_probe_loads_no_sdk(cluster: Cluster) -> None:
    """Stop, a probe of what is not started and meta-data import neither boto3 nor requests."""
    cluster.started()
    cluster.agent.interpreter = (sys.executable, "-X", "importtime")
    for action, code in (("stop", 0), ("monitor", 7), ("meta-data", 0)):
        ran = cluster.agent.run(action)
        assert ran.code == code
        lines = [line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")]
        assert "aws_ipfailover.health" in lines
        assert not {"boto3", "botocore", "requests"} & set(lines)
