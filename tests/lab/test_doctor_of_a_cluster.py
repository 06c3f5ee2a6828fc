"""The doctor's checks of the cluster: each is broken in turn, is the one that tells it, and is mended as it says."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

import pytest

from vpc_lab import examples
from vpc_lab.lab import Lab

from .conftest import NAME

pytestmark = pytest.mark.root

COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))
RESOURCE = "ip_service"
# A service behind the address, as those have whose group is the address and what it serves.
SERVICE = """
primitive behind ocf:pacemaker:Dummy op monitor interval=60s timeout=20s
group service ip_service behind
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with the first example."""
    with Lab.running(f"{NAME}-doctor-cluster") as lab:
        load(lab, example())
        yield lab


def example() -> str:
    """The first example, as it is."""
    return (cast("Path", examples.directory()) / "overlay-ip.crm").read_text(encoding="utf-8")


def load(lab: Lab, text: str) -> None:
    """Load a configuration, and wait until nothing moves."""
    lab.load(text)
    lab.settle()


class Answer:
    """What the doctor says on the node that has the address, or another one."""

    def __init__(self, lab: Lab, node: Optional[str] = None) -> None:
        active = lab.wait_cluster("the address started", lambda now: now.where(RESOURCE) is not None).where(RESOURCE)
        self.node = str(node or active)
        done = lab.exec(self.node, [COMMAND, "doctor", RESOURCE, "--json", "--timeout", "60"], check=False)
        document = json.loads(done.stdout)
        self.findings: Dict[str, Mapping[str, Any]] = {
            finding["check"]: finding for report in document["reports"] for finding in report["findings"]
        }

    @property
    def outcomes(self) -> Dict[str, str]:
        """The outcome of each check by its name."""
        return {name: finding["outcome"] for name, finding in self.findings.items()}

    def texts(self, checks: Collection[str]) -> Dict[str, str]:
        """What some of the findings say, for who reads why a test failed."""
        return {name: self.findings[name]["text"] for name in checks}

    def commands(self, check: str) -> List[Sequence[str]]:
        """What the finding says to run."""
        return [shlex.split(one) if isinstance(one, str) else one for one in self.findings[check]["commands"]]


@pytest.fixture(scope="module")
def healthy(lab: Lab) -> Answer:
    """What the doctor says on the node that has the address while nothing is broken, as every test leaves it."""
    return Answer(lab)


def crm_resource(*arguments: str) -> Tuple[str, ...]:
    """A command about the resource."""
    return ("crm_resource", "--resource", RESOURCE, *arguments)


def attribute(name: str, value: str) -> Tuple[str, ...]:
    """A command that sets a property of the cluster."""
    return ("crm_attribute", "--name", name, "--update", value)


BROKEN: Dict[str, Tuple[str, str, Tuple[str, ...]]] = {
    "no fencing": ("fencing", "fail", attribute("stonith-enabled", "false")),
    "the device is stopped": (
        "fencing",
        "fail",
        ("crm_resource", "--resource", "fence_aws", "--meta", "-p", "target-role", "-v", "Stopped"),
    ),
    "maintenance": ("cluster", "warn", attribute("maintenance-mode", "true")),
    "no fencing before a start": ("requires", "fail", crm_resource("--meta", "-p", "requires", "-v", "nothing")),
    "a start before the fencing": ("requires", "warn", crm_resource("--meta", "-p", "requires", "-v", "quorum")),
    "the map names another instance": (
        "fencing-targets",
        "fail",
        ("crm_resource", "--resource", "fence_aws", "-p", "pcmk_host_map", "-v", "node1:i-0bad;node2:i-0bad"),
    ),
    "a failure on record": ("failures", "warn", crm_resource("--fail", "--node", "@NODE@")),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_what_is_broken_in_the_cluster_is_told_by_one_check_and_mended_as_it_says(
    lab: Lab, healthy: Answer, what: str
) -> None:
    """That check, and no other, has another outcome than before; after the commands that it tells it has it again."""
    check, outcome, breaks = BROKEN[what]
    assert healthy.outcomes[check] in ("pass", "warn")
    try:
        lab.exec(healthy.node, [healthy.node if one == "@NODE@" else one for one in breaks])
        lab.settle()
        broken = Answer(lab)
        changed = {name for name, now in broken.outcomes.items() if now != healthy.outcomes.get(name)}
        assert (changed, broken.outcomes[check]) == ({check}, outcome), broken.texts(changed)
        assert broken.findings[check]["remedy"]
        for command in broken.commands(check):
            lab.exec(broken.node, command)
        lab.settle()
        assert Answer(lab).outcomes == healthy.outcomes
    except BaseException:
        load(lab, example())
        raise


@pytest.mark.parametrize(("what", "lifetime"), [("standby", "forever"), ("maintenance", "reboot")])
def test_a_node_that_is_told_to_do_nothing_is_no_standby(lab: Lab, healthy: Answer, what: str, lifetime: str) -> None:
    """Everything may be right there, and nothing would start; the command that is told ends it."""
    (other,) = (one for one in lab.nodes() if one != healthy.node)
    assert Answer(lab, other).outcomes["cluster"] == "pass"
    lab.exec(other, ["crm_attribute", "-N", other, "-n", what, "-l", lifetime, "-v", "true"])
    lab.settle()
    told = Answer(lab, other)
    assert (told.outcomes["cluster"], told.findings["cluster"]["text"].split(":")[0]) == (
        "warn",
        f"this node, {other}, has the attribute {what}",
    )
    assert Answer(lab).outcomes["cluster"] == "pass"
    (command,) = told.commands("cluster")
    lab.exec(other, command)
    lab.settle()
    assert Answer(lab, other).outcomes["cluster"] == "pass"


@pytest.mark.parametrize(
    ("check", "outcome", "change"),
    [
        ("monitors", "warn", ("op monitor interval=120s timeout=60s OCF_CHECK_LEVEL=10", "")),
        ("operations", "warn", ("op start interval=0 timeout=180s", "op start interval=0 timeout=10s")),
    ],
)
def test_operations_that_are_missing_or_cut_off_are_told(
    lab: Lab, healthy: Answer, check: str, outcome: str, change: Tuple[str, str]
) -> None:
    """The administrator edits the resource, which the doctor says."""
    before, _, resource = example().partition("primitive ip_service")
    operations = f"//primitive[@id='{RESOURCE}']/operations/op"
    try:
        lab.exec(healthy.node, ["cibadmin", "--delete", "--force", "--xpath", operations])
        load(lab, before + "primitive ip_service" + resource.replace(*change))
        told = Answer(lab)
        changed = {name for name, now in told.outcomes.items() if now != healthy.outcomes[name]}
        assert changed == {check}, told.texts(changed)
        assert told.outcomes[check] == outcome
    finally:
        load(lab, example())


def test_a_restart_that_would_interrupt_others_is_told(lab: Lab, healthy: Answer) -> None:
    """With on_drift=restart a deleted route would restart what is in the address's group."""
    load(lab, SERVICE)
    try:
        lab.exec(healthy.node, list(crm_resource("-p", "on_drift", "-v", "restart")))
        told = Answer(lab)
        assert told.outcomes["dependents"] == "warn"
        assert "behind" in told.findings["dependents"]["text"]
        for command in told.commands("dependents"):
            lab.exec(told.node, command)
        assert Answer(lab).outcomes["dependents"] == "pass"
    finally:
        lab.exec(healthy.node, list(crm_resource("-d", "on_drift")))
