"""The verbs that change a running lab's VPC, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .conftest import NAME
from .test_fabric import METADATA_TOKEN, OVERLAY, answers, give, silent, take

pytestmark = pytest.mark.root

CLI = [sys.executable, "-m", "aws_ipfailover.cli.main", "lab"]
SECOND = "192.168.10.11"
DESCRIBE = """
import json, sys, boto3
ec2 = boto3.client("ec2", region_name=sys.argv[1])
print(json.dumps(ec2.describe_route_tables(RouteTableIds=sys.argv[2:])["RouteTables"], default=str))
"""


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab without a cluster, of these tests alone: one of them deletes a route table."""
    with Lab.running(f"{NAME}-orders", Settings(boot_cluster=False)) as lab:
        yield lab


@pytest.fixture
def lab(own_lab: Lab) -> Iterator[Lab]:
    """The same; afterwards as it was, but for the table."""
    yield own_lab
    for destination in (f"{OVERLAY}/32", f"{SECOND}/32"):
        own_lab.order("delete-route", destination=destination)
    own_lab.order("route-lag", seconds=0)
    for node in ("node1", "node2"):
        own_lab.order("imds", name=node, on=True)
        own_lab.order("source-dest-check", name=node, checked=False)
        take(own_lab, node)


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


def routes(lab: Lab, table: str) -> List[List[str]]:
    """Destination, origin and state of a table's routes, as EC2 shows them to a node."""
    argv = ["/usr/bin/python3", "-c", DESCRIBE, lab.status()["region"], table]
    (found,) = json.loads(lab.exec("node1", argv).stdout)
    return [
        [route["DestinationCidrBlock"], route["Origin"], route["State"]]
        for route in found["Routes"]
        if "DestinationCidrBlock" in route
    ]


def test_routes_of_any_origin_are_written_and_deleted(lab: Lab) -> None:
    """put-route makes a propagated route beside a static one; delete-route takes away that one only, or all."""
    table = lab.status()["route_tables"][0]
    succeeds(lab, "put-route", f"{OVERLAY}/32", "node1", "--table", table)
    succeeds(
        lab, "put-route", f"{OVERLAY}/32", "node2", "--table", "a", "--origin", "Advertisement", "--state", "filtered"
    )
    static, advertised = ([f"{OVERLAY}/32", "CreateRoute", "active"], [f"{OVERLAY}/32", "Advertisement", "filtered"])
    assert [one for one in routes(lab, table) if one[0] == f"{OVERLAY}/32"] == [static, advertised]
    succeeds(lab, "delete-route", f"{OVERLAY}/32", "--table", "a", "--origin", "Advertisement")
    assert static in routes(lab, table)
    assert advertised not in routes(lab, table)
    succeeds(lab, "delete-route", f"{OVERLAY}/32")
    assert static not in routes(lab, table)


def test_status_shows_every_overlay_address_in_use(lab: Lab) -> None:
    """Also one that no preset has, as the second one of an example, and who does not follow its route yet."""
    succeeds(lab, "route-lag", "3600")
    succeeds(lab, "put-route", f"{SECOND}/32", "node2")
    said = succeeds(lab, "status")
    table = lab.status()["route_tables"][0]
    assert f"{SECOND}: {table} -> node2" in said
    assert f"{SECOND}/32: the newest route is not effective yet for consumer-a" in said
    succeeds(lab, "route-lag", "0")
    assert "not effective" not in succeeds(lab, "status")


def test_the_source_destination_check_is_switched(lab: Lab) -> None:
    """On, an overlay address of the node gets nothing; off, it does again."""
    give(lab, "node1")
    succeeds(lab, "put-route", f"{OVERLAY}/32", "node1")
    succeeds(lab, "source-dest-check", "node1", "on")
    assert silent(lab, "consumer-a", OVERLAY)
    succeeds(lab, "source-dest-check", "node1", "off")
    assert answers(lab, "consumer-a", OVERLAY)


def test_imds_is_switched_off_for_one_instance(lab: Lab) -> None:
    """It answers 403 there, and goes on elsewhere."""

    def answer(node: str) -> str:
        asked = ["curl", "-s", "-m2", "-o/dev/null", "-w%{http_code}", "-XPUT", METADATA_TOKEN]
        return lab.exec(node, [*asked, "-HX-aws-ec2-metadata-token-ttl-seconds: 60"]).stdout

    succeeds(lab, "imds", "node1", "off")
    assert [answer("node1"), answer("node2")] == ["403", "200"]
    succeeds(lab, "imds", "node1", "on")
    assert answer("node1") == "200"


def test_tags_are_set_and_removed(lab: Lab) -> None:
    """Of an instance by its name, of a route table by its id."""
    table = lab.status()["route_tables"][0]
    show = "import sys, boto3; print(boto3.client('ec2', sys.argv[1]).describe_tags()['Tags'])"

    def tags() -> str:
        return lab.exec("node1", ["/usr/bin/python3", "-c", show, lab.status()["region"]]).stdout

    for resource in ("node2", table):
        succeeds(lab, "tag", resource, "cluster=a=b")
    assert tags().count("'Key': 'cluster'") == 2
    assert "'Value': 'a=b'" in tags()
    for resource in ("node2", table):
        succeeds(lab, "tag", resource, "cluster")
    assert "'Key': 'cluster'" not in tags()


def test_a_stop_is_ec2_s_own(lab: Lab) -> None:
    """`stop` is a call to StopInstances, with what it is given."""
    succeeds(lab, "stop", "consumer-b", "--force", "--skip-os-shutdown")

    def stopped() -> bool:
        return {"consumer-b": "stopped"}.items() <= {
            one["name"]: one["state"] for one in lab.status()["instances"]
        }.items()

    eventually("consumer-b to be stopped", stopped, 20)
    call = [call for call in lab.calls() if call["action"] == "StopInstances"][-1]
    assert {call["parameters"][flag] for flag in ("Force", "SkipOsShutdown")} == {"true"}
    lab.power_on("consumer-b")


def test_a_deleted_table_is_gone(lab: Lab) -> None:
    """From EC2 and from `status`; its subnet goes by the main table. (Last: nothing brings it back.)"""
    gone = lab.status()["route_tables"][-1]
    succeeds(lab, "put-route", f"{OVERLAY}/32", "node1")
    give(lab, "node1")
    assert answers(lab, "consumer-b", OVERLAY)
    succeeds(lab, "delete-route-table", "b")
    assert gone not in lab.status()["route_tables"]
    assert silent(lab, "consumer-b", OVERLAY)
    assert answers(lab, "consumer-a", OVERLAY)
    assert typed(lab, "delete-route-table", "b").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["put-route", "192.168.10.10/33", "node1"], "is no destination of a route"),
        (["put-route", f"{OVERLAY}/32", "node9"], "there is no target 'node9'; there are node1, node2"),
        (["put-route", f"{OVERLAY}/32", "node1", "--table", "rtb-9"], "there is no route table 'rtb-9'; there are a, "),
        (["delete-route", "nothing"], "is no destination of a route"),
        (["delete-route-table", "main"], "is the main route table, which EC2 does not delete"),
        (["delete-route-table", "rtb-9"], "there is no route table 'rtb-9'"),
        (["source-dest-check", "node9", "on"], "there is no instance 'node9'"),
        (["tag", "i-00000000000000000", "a=b"], "InvalidInstanceID.NotFound"),
        (["imds", "node9", "off"], "there is no instance 'node9'"),
        (["route-lag", "-1"], "the lag of routes is a number of seconds"),
        (["route-lag", "inf"], "the lag of routes is a number of seconds"),
        (["remap-lag", "-1"], "the lag of an address is a number of seconds"),
        (["api", "Foo"], "use ok, unreachable, stale, throttle, hang, "),
        (["api", "hangs"], "or an EC2 error code such as RequestLimitExceeded"),
        (["api", "hang", "--caller", "node9"], "there is no instance 'node9'"),
        (["stop", "onprem"], "onprem is not an instance of the VPC"),
    ],
)
def test_a_mistake_gets_one_sentence(lab: Lab, arguments: List[str], sentence: str) -> None:
    """What is wrong and what there is instead; never a traceback."""
    done = typed(lab, *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_thaw_of_an_instance_without_power_says_so(lab: Lab) -> None:
    """There is nothing that could go on."""
    lab.power_off("node2")
    assert "node2 has no power" in typed(lab, "thaw", "node2").stderr
    lab.power_on("node2")


def test_the_help_of_api_shows_how_to_narrow_a_fault(lab: Lab) -> None:
    """With an example of each option."""
    said = succeeds(lab, "api", "--help")
    assert "api RequestLimitExceeded --action ReplaceRoute --caller node2 --times 3" in said


def test_a_policy_restricts_the_nodes_until_it_is_taken_back(lab: Lab, tmp_path: Path) -> None:
    """`policy FILE` denies what the document denies, `policy none` permits it again; a file that is none is told so."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"Statement": [{"Effect": "Deny", "Action": "ec2:Describe*", "Resource": "*"}]}))
    ask = ["python3", "-c", DESCRIBE, lab.status()["region"], *lab.status()["route_tables"]]
    succeeds(lab, "policy", str(file))
    assert "UnauthorizedOperation" in lab.exec("node1", ask, check=False).stderr
    succeeds(lab, "policy", "none")
    assert lab.exec("node1", ask).returncode == 0
    file.write_text("{")
    refused = typed(lab, "policy", str(file))
    assert refused.returncode == 1
    assert "is no policy document" in refused.stderr


def test_expired_credentials_are_replaced_by_metadata_or_not(lab: Lab) -> None:
    """`expire-credentials` refuses what the nodes have; IMDS gives new ones, and with `--for-good` the old ones."""
    ask = ["python3", "-c", DESCRIBE, lab.status()["region"], *lab.status()["route_tables"]]
    succeeds(lab, "expire-credentials", "--for-good")
    refused = lab.exec("node1", ask, check=False)
    assert refused.returncode != 0
    assert "expired" in refused.stderr  # by the SDK itself, or by EC2's RequestExpired
    succeeds(lab, "expire-credentials")
    assert lab.exec("node1", ask).returncode == 0
