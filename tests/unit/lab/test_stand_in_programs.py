"""The stand-in for SAPHana and its like, without a cluster: attributes and scores are in a dictionary."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from vpc_lab.rehearsal import stand_ins
from vpc_lab.rehearsal.programs import fence_agent, init_script, resource_agent, system_bus
from vpc_lab.rehearsal.programs.resource_agent import FAILED, IN_SYNC, NOT_RUNNING, PROMOTED, SUCCESS, WAITING, Hana

NODES = ("blue", "green")


class Cluster:
    """Two nodes, their disks and memory, and what `crm_attribute` and `crm_node` say of them."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attributes: Dict[Tuple[str, str], str] = {}
        self.scores: Dict[str, str] = {}
        self.here = ""
        self._directory = directory
        self._patch = monkeypatch
        monkeypatch.setattr(resource_agent, "run", self.run)
        monkeypatch.setenv("OCF_RESOURCE_INSTANCE", "hana")
        monkeypatch.setenv("OCF_RESKEY_SID", "HA1")

    def run(self, *argv: str) -> str:
        """What the command prints on the node where it is run."""
        if argv[0] == "crm_node":
            members = "\n".join(f"{number} {name} member" for number, name in enumerate(NODES, 1))
            return self.here if argv[1] == "--name" else members
        given = dict(zip(argv, argv[1:]))
        if "--promotion" in argv:
            if "--update" in given:
                self.scores[self.here] = given["--update"]
            else:
                self.scores.pop(self.here, None)
            return ""
        key = (given.get("--node", self.here), given["--name"])
        if "--update" in given:
            self.attributes[key] = given["--update"]
            return ""
        return self.attributes.get(key, "")

    def on(self, node: str) -> Hana:
        """The agent on a node."""
        self.here = node
        self._patch.setattr(resource_agent, "RUNS", self._directory / node / "run")
        self._patch.setattr(resource_agent, "KEPT", self._directory / node / "disk")
        about: Dict[str, Any] = {"first": "blue"}
        return Hana(about)

    def power_off(self, node: str) -> None:
        """What is in memory is gone, and so are the node's transient attributes."""
        for file in (self._directory / node / "run").iterdir():
            file.unlink()
        for key in [key for key in self.attributes if key[0] == node and not key[1].startswith("lpa_")]:
            del self.attributes[key]

    def sync(self, node: str) -> str:
        """The state of a node's replication."""
        return self.attributes.get((node, "hana_ha1_sync_state"), "")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Both databases run, blue's is promoted."""
    found = Cluster(tmp_path, monkeypatch)
    assert found.on("green").start() == SUCCESS
    assert found.on("blue").start() == SUCCESS
    assert found.scores == {"blue": "150", "green": "100"}
    assert found.on("blue").promote() == SUCCESS
    assert found.on("blue").monitor() == PROMOTED
    assert (found.sync("blue"), found.sync("green")) == ("PRIM", "SOK")
    return found


def kill(cluster: Cluster, node: str) -> None:
    """The software ends; the next monitor finds that."""
    cluster.on(node).file.unlink()
    assert cluster.on(node).monitor() == NOT_RUNNING


def test_a_primary_that_fails_loses_to_the_secondary(cluster: Cluster) -> None:
    """It wants to be promoted less than anybody, and once the other one is primary it waits to be registered."""
    kill(cluster, "blue")
    assert cluster.attributes["blue", "lpa_ha1_lpt"] == str(FAILED)
    assert cluster.scores == {"blue": str(WAITING), "green": "100"}
    assert cluster.on("blue").stop() == SUCCESS
    assert cluster.on("blue").start() == SUCCESS
    assert cluster.on("green").promote() == SUCCESS
    assert cluster.on("blue").monitor() == SUCCESS
    assert (cluster.sync("blue"), cluster.scores["blue"]) == ("SFAIL", str(WAITING))
    assert cluster.on("blue").promote() != SUCCESS


def test_a_registered_database_is_in_sync(cluster: Cluster) -> None:
    """What an administrator writes to the disk counts at the next look."""
    kill(cluster, "blue")
    cluster.on("blue").start()
    cluster.on("green").promote()
    cluster.on("blue").disk.write_text("secondary\n", encoding="ascii")
    assert cluster.on("blue").monitor() == SUCCESS
    assert (cluster.sync("blue"), cluster.scores["blue"]) == ("SOK", "100")
    assert cluster.attributes["blue", "lpa_ha1_lpt"] == str(IN_SYNC)


def test_a_lost_node_registers_itself_where_that_is_asked_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTOMATED_REGISTER: it was the primary, another one has been since, and it comes back as its secondary."""
    cluster.power_off("blue")
    # The last time of each is in seconds.
    cluster.attributes["blue", "lpa_ha1_lpt"] = "1000"
    cluster.on("green").promote()
    monkeypatch.setenv("OCF_RESKEY_AUTOMATED_REGISTER", "true")
    cluster.on("blue").start()
    assert (cluster.sync("blue"), cluster.scores["blue"]) == ("SOK", "100")


def test_without_a_secondary_in_sync_the_primary_is_restarted(cluster: Cluster) -> None:
    """It goes on wanting to be promoted: nobody else could take over."""
    cluster.on("green").stop()
    assert cluster.sync("green") == "SFAIL"
    kill(cluster, "blue")
    cluster.on("blue").stop()
    cluster.on("blue").start()
    assert cluster.scores["blue"] == "150"


def test_a_takeover_can_be_declined(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """PREFER_SITE_TAKEOVER=false: it is restarted where it was."""
    monkeypatch.setenv("OCF_RESKEY_PREFER_SITE_TAKEOVER", "false")
    kill(cluster, "blue")
    cluster.on("blue").stop()
    cluster.on("blue").start()
    assert cluster.scores == {"blue": "150", "green": "100"}


def test_a_demoted_primary_wants_less_until_it_knows_what_it_is(cluster: Cluster) -> None:
    """So that nothing moves back by itself between a planned takeover and the registration."""
    cluster.on("blue").demote()
    assert int(cluster.scores["blue"]) < int(cluster.scores["green"])


def test_a_probe_of_what_was_never_started_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attribute, no score."""
    found = Cluster(tmp_path, monkeypatch)
    assert found.on("blue").monitor() == NOT_RUNNING
    assert (found.attributes, found.scores) == ({}, {})


# -- other classes -----------------------------------------------------------------------------------------------------


def test_an_init_script_answers_as_the_standard_base_has_it(tmp_path: Path) -> None:
    """Whether it runs is a file, which a failure of the application takes away."""
    file = tmp_path / "runs" / "web"
    assert init_script.perform("status", file) == init_script.NOT_RUNNING
    assert init_script.perform("start", file) == 0
    assert init_script.perform("status", file) == 0
    file.unlink()
    assert init_script.perform("status", file) == init_script.NOT_RUNNING
    assert init_script.perform("stop", file) == 0
    assert init_script.perform("reload", file) == init_script.UNIMPLEMENTED


@pytest.fixture
def bus(tmp_path: Path) -> Tuple[Path, Path]:
    """The socket of a system bus with two units, and the directory where they run."""
    runs = tmp_path / "runs"
    systemd = system_bus.Systemd({"nginx": "web", "exporter@HA1_HDB00": "metrics"}, runs)
    path = tmp_path / "bus"
    ready = threading.Event()
    threading.Thread(target=system_bus.serve, args=(str(path), systemd, ready.set), daemon=True).start()
    assert ready.wait(60.0)
    return path, runs


@pytest.mark.skipif(shutil.which("crm_resource") is None, reason="Pacemaker is not installed")
def test_pacemaker_finds_the_units_on_the_bus(bus: Tuple[Path, Path]) -> None:
    """Its own client describes a unit, also one with signs that a path of D-Bus cannot have, and lists them."""
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus[0]}"}

    def said(*options: str) -> str:
        command = ["crm_resource", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "Stand-in for nginx.service" in said("--show-metadata", "systemd:nginx")
    assert "Stand-in for exporter@HA1_HDB00.service" in said("--show-metadata", "systemd:exporter@HA1_HDB00")
    assert said("--list-agents", "systemd").split() == ["exporter@HA1_HDB00", "nginx"]


def answered(systemd: system_bus.Systemd, member: str, *arguments: str, path: str = "") -> bytes:
    """What a call is answered with."""
    fields = {system_bus.MEMBER: member, system_bus.PATH: path}
    return systemd.answer(system_bus.Call(system_bus.CALL, 0, 1, fields, arguments), 1)


def test_a_unit_is_active_from_its_start_to_its_stop(tmp_path: Path) -> None:
    """Or until somebody takes its file away; who asks for a unit that there is not is told so."""
    systemd = system_bus.Systemd({"nginx": "web"}, tmp_path / "runs")
    path = "/org/freedesktop/systemd1/unit/nginx_2eservice"

    def active() -> bool:
        return b"inactive" not in answered(systemd, "GetAll", "org.freedesktop.systemd1.Unit", path=path)

    assert not active()
    assert b"/job/" in answered(systemd, "StartUnit", "nginx.service", "replace")
    assert active()
    (tmp_path / "runs" / "web").unlink()
    assert not active()
    answered(systemd, "RestartUnit", "nginx.service", "replace")
    assert active()
    answered(systemd, "StopUnit", "nginx.service", "replace")
    assert not active()
    assert b"systemd1.NoSuchUnit" in answered(systemd, "StartUnit", "other.service", "replace")
    assert b"not-found" in answered(systemd, "GetAll", path=path.replace("nginx", "other"))
    assert b"UnknownMethod" in answered(systemd, "PowerOff")


def test_a_fence_agent_reads_what_the_fencer_writes() -> None:
    """On standard input, or as options."""
    stream = ["# a comment\n", "action=off\n", "plug=i-0123456789abcdef0\n", "nodename=a\n"]
    assert fence_agent.asked([], stream) == {"action": "off", "plug": "i-0123456789abcdef0", "nodename": "a"}
    assert fence_agent.asked(["-o", "status", "-n", "a"], stream) == {"action": "status", "plug": "a"}
    assert fence_agent.asked(["--action=list"], []) == {"action": "list"}


@pytest.mark.parametrize(("name", "code"), [("fence_kdump", 1), ("fence_heuristics_ping", 0)])
def test_a_fence_agent_that_looks_at_something_else_reaches_no_instance(name: str, code: int) -> None:
    """Nobody dumps the kernel's memory in a lab, and every host answers: the next device of the level decides."""
    assert fence_agent.perform("off", {"name": name, "region": "nowhere"}, {}) == code
    assert fence_agent.perform("monitor", {"name": name, "region": "nowhere"}, {}) == 0
    assert 'name="plug"' not in fence_agent.metadata({"name": name, "parameters": []})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("stonith:external/ec2", ["status"], "external/ec2 (stand-in): status: NoCredentialsError("),
        ("stonith:fence_ec2", ["--action=monitor"], "fence_ec2 (stand-in): monitor: NoCredentialsError("),
    ],
)
def test_a_fencing_device_that_cannot_ask_ec2_says_so_in_one_line(
    name: str, options: List[str], said: str, tmp_path: Path
) -> None:
    """While instance metadata gives no credentials, for one: its monitor fails, and the fencer logs no traceback."""
    one = stand_ins.StandIn(name, "fencing", ("tag", "profile"), promotable=False, resources=("fencing",), why="")
    root = stand_ins.write([one], tmp_path, first="blue", region="eu-central-1")
    program = next(path for path in root.rglob("*ec2") if path.is_file())
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-I", program, *options], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(said)
