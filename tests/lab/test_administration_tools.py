"""What the administration tools make of the agent, and of a configuration that `lab load` has loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from vpc_lab.lab import Lab

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"


@pytest.mark.parametrize("tool", [["crm", "ra", "info"], ["pcs", "resource", "describe"]])
def test_the_tools_show_the_agent(cluster_lab: Lab, tool: List[str]) -> None:
    """Both administration tools read the agent's metadata without a complaint."""
    done = cluster_lab.exec("node1", [*tool, "ocf:heartbeat:aws-ipfailover"])
    assert "routing_table" in done.stdout
    assert done.stderr == ""


def test_the_deep_validation_passes_on_a_node(cluster_lab: Lab) -> None:
    """validate-all at level 10 finds nothing wrong with the lab's VPC from inside a node."""
    tables = ",".join(cluster_lab.status().route_tables)
    environment = ["OCF_CHECK_LEVEL=10", f"OCF_RESKEY_ip={OVERLAY}", f"OCF_RESKEY_routing_table={tables}"]
    done = cluster_lab.exec("node1", ["env", *environment, AGENT, "validate-all"])
    assert done.returncode == 0


def test_pcs_shows_the_configuration(cluster_lab: Lab) -> None:
    """`pcs config`, which also reads corosync's own files, has nothing to complain of."""
    done = cluster_lab.exec("node1", ["pcs", "config"])
    assert "Cluster Name: lab" in done.stdout
    assert "fence_aws" in done.stdout
    assert "Traceback" not in done.stderr


def test_load_says_what_there_is_afterwards(cluster_lab: Lab, tmp_path: Path) -> None:
    """The file, and every resource with where it runs; a fence device of the file takes the place of the lab's own."""
    file = tmp_path / "own.pcs"
    file.write_text(
        "pcs stonith create fence_aws fence_aws region=@REGION@ pcmk_host_map=@NODE1@:@INSTANCE1@;@NODE2@:@INSTANCE2@"
        " pcmk_delay_base=@NODE1@:2s\n"
        "pcs resource create dummy ocf:heartbeat:Dummy\n",
        encoding="utf-8",
    )
    argv = [
        sys.executable,
        "-m",
        "aws_ipfailover.cli.main",
        "lab",
        "load",
        "--name",
        cluster_lab.rundir.name,
        str(file),
    ]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f"loaded {file}" in said
    assert any(line.startswith("dummy (ocf:heartbeat:Dummy): Started on node") for line in said)
    device = cluster_lab.exec("node1", ["pcs", "stonith", "config", "fence_aws"]).stdout
    assert "pcmk_delay_base=node1:2s" in device
    cluster_lab.exec("node1", ["pcs", "resource", "delete", "dummy"])
