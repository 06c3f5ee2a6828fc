"""`lab rehearse` from end to end: a configuration that names its own nodes, tables and agents, in a lab made for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vpc_lab.host.rundir import RunDir
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

CLI = [str(Path(sys.executable).with_name("aws-ipfailover")), "lab", "rehearse"]
DATA = Path(__file__).with_name("data") / "rehearsals"


def is_gone(name: str) -> bool:
    """Whether nothing of a lab is left."""
    return not RunDir(name).path.exists()


def test_a_configuration_is_rehearsed_as_it_stands(tmp_path: Path) -> None:
    """A CIB with a promoted database: loaded, its address moved with the promotion and back, and judged; then gone.

    Also what it has of other classes runs: a unit of systemd, an init script.
    """
    name = f"test-{os.getpid()}-rehearse"
    command = [*CLI, str(DATA / "db2-cib.xml"), "--scenario", "planned-move", "--json", "--name", name]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path / "records")], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"]
    assert [(one["scenario"], one["passed"]) for one in found["scenarios"]] == [("planned-move", True)]
    assert (found["leading"], found["moved"]) == ("vip", "db2-master")
    assert set(found["started"]) == {"fence", "db2", "vip", "exporter", "agent"}
    assert all(found["started"].values())
    assert "aws-vpc-move-ip is played by ocf:heartbeat:aws-ipfailover" in done.stderr
    assert is_gone(name)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """While the configuration is being loaded: exit code 130, a sentence, no process, no directory of stand-ins."""
    name = f"test-{os.getpid()}-interrupted"
    command = [*CLI, str(DATA / "nfs.crm"), "--name", name, "--directory", str(tmp_path / "records"), "--json"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "Loading the configuration" in line:
                break
        run.send_signal(signal.SIGINT)
        said, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Interrupted: the lab is gone" in told
    assert "Traceback" not in told
    assert said == ""
    assert is_gone(name)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_the_primary_nic_has_the_name_that_a_configuration_uses() -> None:
    """Beside its own; also after the instance was off."""
    name = f"test-{os.getpid()}-nic"
    with Lab.running(name, Settings(boot_cluster=False, nic="ens5"), online=False) as lab:
        for _ in range(2):
            shown = lab.exec("node1", ["ip", "-json", "address", "show", "dev", "ens5"]).stdout
            (link,) = json.loads(shown)
            assert (link["ifname"], link["altnames"]) == ("eth0", ["ens5"])
            lab.power_off("node1")
            lab.power_on("node1")


def test_an_instance_that_ec2_starts_boots_later() -> None:
    """As one that fencing reboots; unless somebody has switched it meanwhile, who has the last word."""
    name = f"test-{os.getpid()}-boot"
    with Lab.running(name, Settings(boot_cluster=False, boot_seconds=1.0), online=False) as lab:
        ids = lab.instance_ids()
        for node in ("node1", "node2"):
            lab.administer("StopInstances", InstanceId=ids[node])
            eventually(f"{node} off", lambda node=node: node not in lab.powered_nodes(), 10.0)  # type: ignore[misc]
            lab.administer("StartInstances", InstanceId=ids[node])
            assert node not in lab.powered_nodes()
        lab.administer("StopInstances", InstanceId=ids["node2"])
        eventually("the boot of node1", lambda: "node1" in lab.powered_nodes(), 10.0)
        assert lab.powered_nodes() == ["node1"]
