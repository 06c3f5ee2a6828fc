"""Mode eni on nodes where another program configures every new interface too, as systemd-networkd does."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, List

import pytest

from vpc_lab.lab import Lab
from vpc_lab.scenarios.stage import Stage
from vpc_lab.waiting import eventually

from .conftest import NAME
from .judged import judged
from .test_eni import agent, load, service, settings

pytestmark = pytest.mark.root

# What networkd does by default, with a .network file for every interface: an interface that comes gets its address by
# DHCP with the subnet's prefix, and a default route in the main table, here the first one; rules and routes that are
# neither its own nor of the kernel's protocol are removed, here again and again. Arguments: address/prefix, router.
_NETWORKD = """
import json, subprocess, sys, time
address, router = sys.argv[1:]
def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    return json.loads(done.stdout or "[]") if "-json" in words else done.returncode
known = set()
while True:
    for link in ip("-json", "link", "show"):
        name = link["ifname"]
        if name in ("lo", "eth0"):
            continue
        if link["ifindex"] not in known:
            known.add(link["ifindex"])
            ip("link", "set", "dev", name, "up")
            ip("address", "add", address, "dev", name)
            ip("route", "prepend", "default", "via", router, "dev", name, "protocol", "dhcp", "onlink")
            print("configured", name, flush=True)
        for route in ip("-json", "-details", "route", "show", "table", "all", "dev", name):
            if route.get("protocol") not in ("kernel", "dhcp"):
                ip("route", "del", route["dst"], "dev", name, "table", str(route.get("table", "main")))
    for family in ("-4", "-6"):
        for rule in ip("-json", "-details", family, "rule", "show"):
            if rule.get("protocol") != "kernel":
                ip(family, "rule", "del", "priority", str(rule["priority"]))
    time.sleep(0.25)  # more often, and the clusters' tokens have no processor left
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    """A cluster whose nodes both run that program; in the layout with two interfaces in one subnet."""
    with Lab.running(f"{NAME}-coexist", settings("eni", "same-subnet")) as lab, ExitStack() as daemons:
        router = service(lab)[0].rpartition(".")[0] + ".1"
        for node in lab.nodes():
            argv = ["/usr/bin/python3", "-c", _NETWORKD, f"{service(lab)[0]}/24", router]
            daemon = lab.spawn(node, argv, stdout=subprocess.DEVNULL)
            daemons.callback(daemon.wait)
            daemons.callback(daemon.kill)
        yield lab


def flushed(lab: Lab, node: str) -> bool:
    """Whether a foreign rule is removed: the program is at work."""
    lab.exec(node, ["ip", "rule", "add", "from", "192.0.2.1", "table", "77", "priority", "4000"])

    def gone() -> bool:
        return "192.0.2.1" not in lab.exec(node, ["ip", "rule", "show"]).stdout

    eventually("the foreign rule is gone", gone, 10)
    return True


def first_default(lab: Lab, node: str) -> str:
    """The device of the node's first default route."""
    listed: List[dict[str, str]] = json.loads(lab.exec(node, ["ip", "-json", "route", "show", "default"]).stdout)
    return listed[0]["dev"]


def test_the_address_is_served_all_the_same(cluster: Lab, tmp_path: Path) -> None:
    """Each node in turn serves every consumer, no operation fails, and the node still reaches IMDS and EC2."""
    load(cluster, "eni.crm")

    def play(stage: Stage) -> None:
        for _ in range(2):
            node = stage.active()
            assert flushed(cluster, node)
            assert first_default(cluster, node) != "eth0"
            deep = {"OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_interval": "10000"}
            assert agent(cluster, node, "monitor", **deep).returncode == 0
            stage.move()

    judged(cluster, service(cluster)[0], tmp_path / "record", play)
    status = cluster.cluster_status()
    assert status is not None
    assert status.failures == ()
