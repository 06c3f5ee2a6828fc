"""The configurations of crm-examples/: all of them loaded without a cluster, and the most demanding ones on a real one.

Each is failed over by every_example.py, which takes half an hour: `make examples`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple, cast

import pytest

from vpc_lab import examples
from vpc_lab.errors import LabError
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import node_names, topology_for
from vpc_lab.traffic.analysis import Switch, rows
from vpc_lab.traffic.recorder import Measurement

from .configurations import DIRECTORY, TOLD, TOPOLOGY, UNKNOWN_TO_CRMSH, emptied, load
from .example_runs import OVERLAY, RUNS, agents_in, play

pytestmark = pytest.mark.root

# What the tools say of a configuration that is in a file and in no cluster.
OFFLINE = (
    "Fencing and resource management disabled due to lack of quorum",
    "referenced node node1 does not exist",
    "Validation for node existence in the cluster will be skipped",
)
CIB = "/run/example.xml"
# Many commands of pcs in one process, each in a child of it: most of a command's time is loading pcs.
PCS = """
import json, os, sys
from pcs import app
for command in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            app.main(["-f", sys.argv[1], *command[1:]])
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        sys.exit("failed: " + " ".join(command))
"""


@pytest.fixture(scope="module")
def agents() -> Iterator[Path]:
    """The agents that the nodes of these labs have on top of this machine's."""
    with tempfile.TemporaryDirectory() as directory:
        yield agents_in(directory)


@pytest.fixture(scope="module")
def offline() -> Iterator[Lab]:
    """Instances with the tools and the agents, and no cluster.

    Both tools ask fence_aws for nothing but its description, several times for each file, and it loads boto3 for that:
    here it is its own description.
    """
    with tempfile.TemporaryDirectory() as directory:
        agents = agents_in(directory)
        described = subprocess.run(["fence_aws", "-o", "metadata"], check=True, capture_output=True, text=True).stdout
        fence_aws = agents / "usr/sbin/fence_aws"
        fence_aws.parent.mkdir(parents=True, exist_ok=True)
        # It reads what it is asked, as fence agents do: one that ends earlier has crm_resource killed by SIGPIPE.
        fence_aws.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'EOF'\n{described}EOF\n", encoding="utf-8")
        fence_aws.chmod(0o755)
        settings = Settings(boot_cluster=False, agents=str(agents))
        with Lab.running(f"test-{os.getpid()}-offline", settings) as lab:
            yield lab


def loaded_offline(lab: Lab, name: str, text: str) -> Tuple[List[str], ElementTree.Element]:
    """Load a configuration into an empty file; all that the tools had to say about it, and what is in the file."""
    nodes = node_names(3 if "@NODE3@" in text else 2)
    topology = topology_for(examples.mode_of(text), nodes=nodes)
    text = examples.render(text, examples.values_of(topology, ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"]))
    lab.exec("node1", ["sh", "-c", f"cibadmin --empty >{CIB} && chmod 666 {CIB}"])
    if name.endswith(".pcs"):
        typed = json.dumps(examples.pcs_commands(text))
        done = [lab.exec("node1", ["/usr/bin/python3", "-c", PCS, CIB], stdin=typed)]
    else:
        command = ["env", f"CIB_file={CIB}", "crm", "configure", "load", "update", "-"]
        done = [lab.exec("node1", command, stdin=text)]
    done.append(lab.exec("node1", ["crm_verify", "--verbose", "--xml-file", CIB]))
    said = [line for one in done for line in (one.stdout + one.stderr).splitlines() if line.strip()]
    known = (*UNKNOWN_TO_CRMSH, *TOLD, *OFFLINE)
    found = ElementTree.fromstring(lab.exec("node1", ["cat", CIB]).stdout)
    return [line for line in said if not any(one in line for one in known)], found


@pytest.mark.parametrize("stem", [run.stem for run in RUNS])
def test_both_tools_load_an_example_and_make_the_same_of_it(offline: Lab, stem: str) -> None:
    """No warning about a parameter, a timeout or an attribute; what crm and pcs make is the same."""
    crm, pcs = (loaded_offline(offline, f"{stem}.{tool}", example(f"{stem}.{tool}")) for tool in ("crm", "pcs"))
    assert (crm[0], pcs[0]) == ([], [])
    assert resources(crm[1]) == resources(pcs[1])
    assert groups(crm[1]) == groups(pcs[1])
    assert constraints(crm[1]) == constraints(pcs[1])
    assert pairs(crm[1], ".//cluster_property_set") == pairs(pcs[1], ".//cluster_property_set")
    by_crm, by_pcs = operations(crm[1]), operations(pcs[1])
    for resource, expected in by_crm.items():
        # pcs adds those that are not named, with what the agent's metadata advises.
        named = {operation[0] for operation in expected}
        assert {operation for operation in by_pcs[resource] if operation[0] in named} == expected


def example(name: str) -> str:
    """The text of a file."""
    return (DIRECTORY / name).read_text(encoding="utf-8")


def test_a_mistake_is_seen(offline: Lab) -> None:
    """A parameter that the agent does not have, and one that it has to have, are no example."""
    with pytest.raises(LabError, match='parameter "routing_tabel" is not known'):
        loaded_offline(offline, "x.crm", example("overlay-ip.crm").replace("routing_table=", "routing_tabel="))
    said, _ = loaded_offline(offline, "x.crm", example("nfs.crm").replace("timeout=120s", "timeout=12s"))
    assert "export_data: specified timeout 12s for stop is smaller than the advised 120s" in " ".join(said)


# -- what a configuration comes to, whoever wrote it: ids of constraints and of nvpairs do not count ----------------


def pairs(element: ElementTree.Element, path: str) -> Dict[str, str]:
    """The name-value pairs below a path; times as seconds."""
    return {pair.get("name", ""): seconds(pair.get("value", "")) for pair in element.findall(f"{path}/nvpair")}


def seconds(text: str) -> str:
    """A time without its unit."""
    return text[:-1] if re.fullmatch(r"\d+s", text) else text


def resources(cib: ElementTree.Element) -> Dict[str, object]:
    """Each primitive and clone by its id, without operations.

    Defaults of resources count as theirs: pcs has them written at each. Nothing is said of those of a fence device and
    of the health agent, which do not move. SUSE's agents for HANA are those of Red Hat by another provider. A target
    role is pcs' way to start things last.
    """
    defaults = pairs(cib, ".//rsc_defaults/meta_attributes")
    found: Dict[str, object] = {}
    for one in cib.iter("primitive"):
        meta = {**defaults, **pairs(one, "meta_attributes")}
        meta.pop("target-role", None)
        if one.get("class") == "stonith" or one.get("id") == "health":
            meta = {name: value for name, value in meta.items() if name == "failure-timeout"}
        found[str(one.get("id"))] = (one.get("type"), pairs(one, "instance_attributes"), meta)
    for one in cib.iter("clone"):
        meta = pairs(one, "meta_attributes")
        meta.pop("target-role", None)
        found[str(one.get("id"))] = (one.tag, [child.get("id") for child in one.findall("primitive")], meta)
    return found


def operations(cib: ElementTree.Element) -> Dict[str, Set[Tuple[str, ...]]]:
    """The operations of each primitive: name, interval, timeout, role, level."""
    return {
        str(one.get("id")): {
            (
                *(seconds(operation.get(name, "")) for name in ("name", "interval", "timeout", "role")),
                pairs(operation, "instance_attributes").get("OCF_CHECK_LEVEL", ""),
            )
            for operation in one.iter("op")
        }
        for one in cib.iter("primitive")
    }


def groups(cib: ElementTree.Element) -> Dict[str, List[str]]:
    """The members of each group, in order."""
    return {
        str(group.get("id")): [str(one.get("id")) for one in group.findall("primitive")] for group in cib.iter("group")
    }


def constraints(cib: ElementTree.Element) -> List[Tuple[Tuple[str, str], ...]]:
    """Each constraint without its id; what is the default where nothing is said is left out."""
    found = []
    for one in cib.findall(".//constraints/*"):
        about = {name: value.replace("+", "").lower() for name, value in one.items() if name != "id"}
        about["tag"] = one.tag
        for name in ("rsc-role", "with-rsc-role", "first-action", "then-action"):
            if about.get(name) in ("started", "start"):
                del about[name]
        if about.get("kind") == "mandatory":
            del about["kind"]
        found.append(tuple(sorted(about.items())))
    return sorted(found)


# -- on a real cluster ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(agents: Path) -> Iterator[Lab]:
    """A cluster with nothing configured, fencing included: that is the examples' business."""
    with Lab.running(f"test-{os.getpid()}-examples", replace(OVERLAY, agents=str(agents))) as lab:
        yield lab


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The cluster, empty; emptied again afterwards, with every node back."""
    with emptied(bare) as lab:
        yield lab


def test_an_example_loads_and_fails_over(lab: Lab, tmp_path: Path) -> None:
    """No warning; after a power cut the address answers from the other node, with what it is for.

    `make examples` does this with every file.
    """
    play(lab, "hana-read-enabled.crm", tmp_path / "record")


def test_make_before_break_moves_without_a_gap(lab: Lab) -> None:
    """With allow-migrate=true a planned move loses no question: the new node takes before the old one lets go."""
    assert load(lab, "make-before-break.crm") == []
    lab.settle()
    status = lab.cluster_status()
    old = cast("str", status.where("ip_service") if status else None)
    new = next(node for node in lab.nodes() if node != old)
    with Measurement.running(lab, lab.nodes(), lab.questions(str(TOPOLOGY.overlay))) as measurement:
        assert measurement.wait_steady(old, 0.0, 30.0)
        switch = Switch(old, new, time.time())
        lab.exec(old, ["crm", "resource", "move", "ip_service", new])
        measurement.wait_steady(new, switch.triggered, 60.0)
        seen = rows(measurement.histories(since=switch.triggered - 1.0), switch)
    assert [problem for row in seen for problem in row.problems()] == []
    assert sum(row.lost for row in seen) == 0
    lab.settle()
    assert str(TOPOLOGY.overlay) not in held(lab, old)


def test_hana_s_addresses_follow_the_roles(lab: Lab) -> None:
    """The one address is with the promoted role, the other with the unpromoted one; when the roles swap, so do they.

    Whoever asks for the address on the secondary's node moves neither the address nor the database.
    """
    assert load(lab, "hana-read-enabled.crm") == []
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    primary, secondary = cast("str", status.where("ip_primary")), cast("str", status.where("ip_secondary"))
    assert {primary, secondary} == set(lab.nodes())
    assert promoted(lab) == [primary]
    lab.exec(primary, ["crm", "resource", "move", "ip_primary", secondary])
    lab.settle()
    assert promoted(lab) == [primary]
    assert str(TOPOLOGY.overlay) in held(lab, primary)
    lab.exec(primary, ["crm", "resource", "clear", "ip_primary"])
    lab.exec(primary, ["crm_resource", "--move", "--promoted", "--resource", "hana_clone", "--node", secondary])
    lab.wait_cluster("the swap of the addresses", lambda now: now.where("ip_primary") == secondary)
    lab.settle()
    assert promoted(lab) == [secondary]
    status = lab.cluster_status()
    assert status is not None
    assert status.where("ip_secondary") == primary
    assert str(TOPOLOGY.overlay) in held(lab, secondary)


def promoted(lab: Lab) -> List[str]:
    """The nodes on which the database is promoted."""
    status = lab.cluster_status()
    assert status is not None
    found = [one for one in status.resources if one.resource_id == "hana" and one.role == "Promoted"]
    return [node for one in found for node in one.nodes]
