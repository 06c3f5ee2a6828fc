"""`aws-ipfailover take`, `release` and `where`: the agent's engine by hand, and when a running Pacemaker forbids it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from commands import (
    COMMAND,
    AnyNode,
    allowing,
    begin,
    document,
    environment,
    planned_requests,
    request,
    run,
    typed,
    values_in,
)
from sandbox import EniNode, Node, answers_on, ip
from vpc_lab.ec2 import Fault
from vpc_lab.waiting import eventually


def result_of(name: str, node: AnyNode, code: int = 0, *options: str) -> Dict[str, Any]:
    """The only result of `take` or `release`."""
    done = run(node, name, *typed(node), "--json", *options)
    assert done.returncode == code, done
    (result,) = document(name, done)["results"]
    return dict(result)


def location_of(node: AnyNode, code: int, *options: str) -> Dict[str, Any]:
    """The only location of `where`."""
    done = run(node, "where", *typed(node), "--json", *options)
    assert done.returncode == code, done
    (location,) = document("where", done)["locations"]
    return dict(location)


def test_take_is_a_start(node: Node) -> None:
    """The address and the routes are here; it tells what was written, which is what the plan has said."""
    plan = run(node, "plan", *typed(node), "--json")
    (planned,) = document("plan", plan)["plans"]
    result = result_of("take", node)
    assert (result["outcome"], result["reason"], result["instead"]) == ("done", "", None)
    assert len(node.held()) == 1
    assert set(node.routes().values()) == {node.me.network_interface_id}
    calls = [one for one in result["written"] if one["place"] == "ec2"]
    made = [request(one["operation"], values_in(one["parameters"])) for one in calls]
    assert sorted(made) == sorted(planned_requests(planned))
    commands = [one["command"] for one in result["written"] if one["place"] == "kernel"]
    assert commands == [one["command"] for one in planned["steps"] if one["command"]]
    assert node.agent.run("monitor", level=10, interval=10).code == 0


def test_take_tells_its_progress(node: Node) -> None:
    """Progress on standard error, what was written and how long it took on standard output, each a plain line."""
    done = run(node, "take", *typed(node))
    assert done.returncode == 0, done
    assert f"  added {node.address} to eth0" in done.stderr.splitlines()
    lines = done.stdout.splitlines()
    assert f"  kernel: ip address replace {node.destination} dev eth0" in lines
    assert lines[-1].startswith(f"{node.address}: taken in ")
    assert lines[-1].endswith(f"; 1 change of the kernel, {len(node.tables)} calls of EC2")


def test_release_is_a_stop(node: Node) -> None:
    """The address is gone, no API was called; once more is as good."""
    node.hold()
    calls = len(node.aws.calls())
    for _ in range(2):
        assert result_of("release", node)["outcome"] == "done"
        assert not node.held()
    assert len(node.aws.calls()) == calls


def test_an_eni_by_hand(eni_node: EniNode) -> None:
    """Taken from another instance, and released, which detaches it."""
    eni_node.attach(eni_node.other)
    assert location_of(eni_node, 1)["holders"][0]["instance"] == eni_node.other.instance_id
    result = result_of("take", eni_node)
    assert [one["operation"] for one in result["written"] if one["place"] == "ec2"] == [
        "DetachNetworkInterface",
        "AttachNetworkInterface",
    ]
    assert any(one["command"] and one["command"][0] == "sysctl" for one in result["written"])
    assert eni_node.served()
    location = location_of(eni_node, 0)
    assert (location["where"], location["holders"][0]["here"]) == ("here", True)
    assert result_of("release", eni_node)["outcome"] == "done"
    assert eni_node.quiesced()


def test_take_that_is_denied(node: Node) -> None:
    """By 1, with EC2's code; the address is not here, and the calls are told as failed."""
    node.aws.account.identities.restrict_instances(allowing(["DescribeRouteTables"]))
    result = result_of("take", node, 1)
    assert result["outcome"] == "failed"
    assert "UnauthorizedOperation" in result["reason"]
    assert all("UnauthorizedOperation" in one["error"] for one in result["written"] if one["place"] == "ec2")
    assert not node.held()


def test_take_without_an_answer(node: Node) -> None:
    """By 3, in the time that was given; the address is not here."""
    node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    assert result_of("take", node, 3, "--timeout", "4")["outcome"] == "could not find out"
    assert not node.held()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_take_that_is_interrupted(node: Node, number: signal.Signals) -> None:
    """Ctrl-C while EC2 does not answer: the engine's clean-up runs, nothing is left in the kernel, 130."""
    node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    process = begin(node, "take", *typed(node))
    eventually("a route is being written", lambda: node.aws.calls("ReplaceRoute"))
    assert node.held()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert "taken" not in stdout
    assert not node.held()
    assert not answers_on(node.address)


def test_nothing_is_given(node: Node) -> None:
    """Never all resources of the cluster: by 2."""
    for name in ("take", "release"):
        done = run(node, name)
        assert (done.returncode, done.stdout) == (2, "")


def test_a_parameter_that_is_wrong(node: Node) -> None:
    """Nothing is done: by 2."""
    done = run(node, "take", "ip=192.168.10.300", "routing_table=rtb-0123456789abcdef0")
    assert done.returncode == 2
    assert "parameter ip" in done.stderr


@pytest.mark.parametrize("name", ["take", "release"])
def test_not_root(node: Node, name: str) -> None:
    """A sentence, before anything is asked."""
    done = subprocess.run(
        ["unshare", "--user", COMMAND, name, *typed(node)],
        env=environment(node),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stderr == f"{name}: root is needed to change addresses; try sudo\n"
    assert not node.aws.calls()


# -- where -------------------------------------------------------------------------------------------------------------


def test_where_is_here(node: Node) -> None:
    """In the kernel, and every route leads here."""
    node.hold()
    location = location_of(node, 0)
    assert (location["where"], location["reason"], location["local"]) == ("here", "", True)
    (holder,) = location["holders"]
    assert holder == {
        "network_interface": node.me.network_interface_id,
        "instance": node.me.instance_id,
        "name": "node1",
        "here": True,
    }


def test_where_is_elsewhere(node: Node) -> None:
    """The other node's ENI, instance and name."""
    location = location_of(node, 1)
    other = node.aws.account.instance("node2")
    assert (location["where"], location["local"]) == ("elsewhere", False)
    (holder,) = location["holders"]
    assert (holder["network_interface"], holder["instance"]) == (other.network_interface_id, other.instance_id)
    assert (holder["name"], holder["here"]) == ("node2", False)
    text = run(node, "where", *typed(node)).stdout
    assert text.startswith(f"{node.address}: elsewhere: {node.address} is on no network interface of this node; ")
    assert f"EC2 leads it to {other.network_interface_id} ({other.instance_id}, node2)" in text


def test_where_contradicts(node: Node) -> None:
    """The kernel has it and EC2 leads it away; EC2 leads it here and the kernel does not have it: elsewhere, both."""
    node.hold()
    node.point_routes_at("node2")
    location = location_of(node, 1)
    assert (location["local"], [one["name"] for one in location["holders"]]) == (True, ["node2"])
    assert location["reason"].startswith("this node has it, but rtb-")
    node.point_routes_at("node1")
    ip("address", "del", node.destination, "dev", "eth0")
    location = location_of(node, 1)
    assert (location["local"], [one["name"] for one in location["holders"]]) == (False, ["node1"])


def test_where_is_nowhere(node: Node) -> None:
    """No table has a route."""
    for table in node.tables:
        node.aws.api.administer("DeleteRoute", RouteTableId=table, DestinationCidrBlock=node.destination)
    location = location_of(node, 1)
    assert location["holders"] == []
    assert location["reason"].endswith("; and EC2 leads it to nobody")


@pytest.mark.parametrize("held", [False, True])
def test_where_could_not_find_out(node: Node, held: bool) -> None:
    """EC2 does not answer: never a `no`, and what the kernel says is told."""
    if held:
        node.hold()
    node.aws.faults.add(Fault("hang", service="ec2"))
    location = location_of(node, 3, "--timeout", "4")
    assert (location["where"], location["local"]) == ("could not find out", held)


def test_where_without_the_right_to_read_instances(node: Node) -> None:
    """The ENI is told all the same."""
    allowed = ["DescribeRouteTables", "DescribeNetworkInterfaces"]
    node.aws.account.identities.restrict_instances(allowing(allowed))
    (holder,) = location_of(node, 1)["holders"]
    assert (holder["instance"], holder["name"]) == (node.aws.account.instance("node2").instance_id, None)


def test_where_of_a_private_address(node: Node) -> None:
    """The ENI of the subnet that has it; taken, it is here."""
    eni = node.aws.account.instance("consumer-a").network_interface_id
    node.aws.api.administer("AssignPrivateIpAddresses", NetworkInterfaceId=eni, **{"PrivateIpAddress.1": "10.0.1.50"})
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50"}
    assert [one["network_interface"] for one in location_of(node, 1)["holders"]] == [eni]
    assert result_of("take", node)["outcome"] == "done"
    assert location_of(node, 0)["holders"][0]["here"]


# -- a running Pacemaker -----------------------------------------------------------------------------------------------

PRIMITIVE = """<primitive id="{id}" class="ocf" provider="heartbeat" type="{type}">
<instance_attributes id="{id}-a"><nvpair id="{id}-n" name="{name}" value="{value}"/></instance_attributes>
</primitive>"""
CIB = """<cib><configuration><crm_config/><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes>
<resources>{resources}</resources><constraints/></configuration><status/></cib>"""
STATE = "ip_x\\t(ocf:heartbeat:aws-ipfailover):\\t Started node1%s"


def primitive(value: str, agent: str = "aws-ipfailover", name: str = "ip", resource_id: str = "ip_x") -> str:
    """A primitive of the configuration."""
    return PRIMITIVE.format(id=resource_id, type=agent, name=name, value=value)


class Cluster:
    """What Pacemaker's programs say; a process that is called pacemakerd runs beside the command."""

    def __init__(self, directory: Path, resources: str, marks: str = "", tools: Optional[List[str]] = None) -> None:
        self.directory = directory / "cluster"
        self.directory.mkdir()
        (self.directory / "cib.xml").write_text(CIB.format(resources=resources))
        self.says("cibadmin", f"exec cat {self.directory}/cib.xml")
        self.says("crm_node", "echo node1")
        self.says("crm_resource", f"printf '{STATE % marks}\\n'; echo '<primitive/>'")
        for tool in ["crm", "pcs"] if tools is None else tools:
            self.says(tool, "exit 1")
        (self.directory / "pacemakerd").symlink_to("/bin/sleep")

    def says(self, name: str, text: str) -> None:
        """Make a program."""
        path = self.directory / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, node: AnyNode, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this node of the cluster."""
        # Without the machine's own tools, which are in /usr/sbin.
        beside = node.agent.environ.get("PATH", "/usr/bin:/bin")
        command = shlex.join([str(COMMAND), *arguments])
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", f"pacemakerd 60 & {command}"],
            env={**environment(node), "PATH": f"{self.directory}:{beside}", "OCF_ROOT": "/nowhere"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("aws-ipfailover", "ip"),
        ("aws-ipfailover", "address"),
        ("IPaddr2", "ip"),
        ("aws-vpc-move-ip", "ip"),
        ("awsvip", "secondary_private_ip"),
    ],
)
def test_what_pacemaker_manages_is_refused(node: Node, tmp_path: Path, agent: str, name: str) -> None:
    """By 1, with the resource and the command that moves it; nothing is written."""
    cluster = Cluster(tmp_path, primitive(node.address, agent, name))
    done = cluster.run(node, "take", *typed(node), "--json")
    (result,) = document("take", done)["results"]
    assert (done.returncode, result["outcome"], result["instead"]) == (1, "refused", "crm resource move ip_x node1")
    assert f"ip_x (ocf:heartbeat:{agent})" in result["reason"]
    node.hold()
    done = cluster.run(node, "release", *typed(node))
    assert done.returncode == 1, done
    assert "use this instead: crm resource move ip_x node2" in done.stderr.splitlines()
    assert node.held()
    assert not node.aws.calls()


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (["pcs"], "pcs resource move group_x node1"),
        ([], "crm_resource --move --resource group_x --node node1"),
    ],
)
def test_the_command_is_that_of_the_tool_that_is_installed(
    node: Node, tmp_path: Path, tools: List[str], expected: str
) -> None:
    """And of a group, which moves as a whole."""
    cluster = Cluster(tmp_path, f'<group id="group_x">{primitive(node.address)}</group>', tools=tools)
    done = cluster.run(node, "take", *typed(node))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"use this instead: {expected}")


@pytest.mark.parametrize("marks", [" (unmanaged)", " (maintenance)"])
def test_what_pacemaker_does_not_manage_is_taken(node: Node, tmp_path: Path, marks: str) -> None:
    """Unmanaged, or in maintenance mode."""
    done = Cluster(tmp_path, primitive(node.address), marks).run(node, "take", *typed(node))
    assert done.returncode == 0, done
    assert node.held()


@pytest.mark.parametrize(
    "resources", [primitive("192.168.10.11"), primitive("192.168.10.10", "portblock"), primitive("", "Dummy")]
)
def test_other_resources_are_in_nobodys_way(node: Node, tmp_path: Path, resources: str) -> None:
    """Another address, or an agent that has no addresses."""
    done = Cluster(tmp_path, resources).run(node, "take", *typed(node))
    assert done.returncode == 0, done


@pytest.mark.parametrize("program", ["cibadmin", "crm_resource"])
def test_a_cluster_that_does_not_answer_forbids_it(node: Node, tmp_path: Path, program: str) -> None:
    """Could not find out is no `no`: refused by 3, saying so. With --force it is done."""
    cluster = Cluster(tmp_path, primitive(node.address))
    cluster.says(program, "echo 'Connection timed out' >&2; exit 124")
    done = cluster.run(node, "take", *typed(node), "--json")
    (result,) = document("take", done)["results"]
    assert (done.returncode, result["outcome"], result["instead"]) == (3, "refused", None)
    assert "could not be found out" in result["reason"]
    assert program in result["reason"]
    assert not node.held()
    assert cluster.run(node, "take", *typed(node), "--force").returncode == 0
    assert node.held()


def test_an_eni_that_pacemaker_manages(eni_node: EniNode, tmp_path: Path) -> None:
    """By its id."""
    cluster = Cluster(tmp_path, primitive(eni_node.eni, name="network_interface_id"))
    done = cluster.run(eni_node, "take", *typed(eni_node))
    assert done.returncode == 1, done
    assert "ip_x" in done.stderr


def test_without_pacemaker_an_id_means_nothing(node: Node) -> None:
    """It says what to type instead."""
    environ = {"PATH": "/usr/bin:/bin"}
    done = run(node, "take", "ip_x", environ=environ)
    assert done.returncode == 3
    assert "NAME=VALUE" in done.stderr
    assert os.path.exists("/usr/bin/ip") or os.path.exists("/bin/ip")
