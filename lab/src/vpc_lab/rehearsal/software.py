"""What scenarios do to the software that a stand-in plays, and what an administrator does for it afterwards."""

from __future__ import annotations

from typing import List, Optional

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.rehearsal.model import is_on
from vpc_lab.scenarios.stage import Stage

RUNS = "/run/stand-ins"
_MODE = "/var/lib/pacemaker/stand-ins/{}.mode"


def kill(lab: Lab, node: str, resource: str) -> None:
    """End what a stand-in plays, on one node: its next monitor says that it does not run."""
    lab.exec(node, ["rm", "-f", f"{RUNS}/{resource}"])


def promoted_on(lab: Lab, resource: str) -> Optional[str]:
    """The node on which a clone's instance is promoted; None if that is not exactly one."""
    status = lab.cluster_status()
    found = [
        node
        for one in (status.resources if status else ())
        if one.resource_id.partition(":")[0] == resource and one.role in ("Promoted", "Master")
        for node in one.nodes
    ]
    return found[0] if len(found) == 1 else None


def in_sync(lab: Lab, sid: str, node: str) -> bool:
    """Whether the database of a node replicates the primary."""
    query = ["crm_attribute", "--lifetime", "reboot", "--name", f"hana_{sid.lower()}_sync_state", "--quiet", "--query"]
    return lab.exec(lab.awake_node(), [*query, "--node", node], check=False).stdout.strip() == "SOK"


def has_database(lab: Lab, sid: str, node: str) -> bool:
    """Whether a node ever had a database of the pair: a majority maker has none."""
    query = ["crm_attribute", "--lifetime", "forever", "--name", f"lpa_{sid.lower()}_lpt", "--quiet", "--query"]
    return lab.exec(lab.awake_node(), [*query, "--node", node], check=False).stdout.strip() != ""


def unregistered(lab: Lab, resource: str, primary: str) -> List[str]:
    """The nodes whose database was the primary before the one that is."""
    found = []
    for node in lab.awake_nodes():
        if node != primary:
            mode = lab.exec(node, ["cat", _MODE.format(resource)], check=False).stdout.strip()
            if mode == "primary":
                found.append(node)
    return found


def register(lab: Lab, resource: str, node: str) -> None:
    """What `hdbnsutil -sr_register` does: the database of that node is a secondary from now on."""
    write = f"echo secondary >{_MODE.format(resource)}"
    lab.exec(node, ["sh", "-c", write])


def whole_again(stage: Stage, resource: str, clone: str, sid: str, within: float = 120.0) -> None:
    """Register former primaries where they do not do it themselves, have the cluster look again, wait for the sync."""
    stage.wait(f"the promotion of {resource}", lambda: promoted_on(stage.lab, resource) is not None, within)
    primary = promoted_on(stage.lab, resource)
    if primary is None:
        raise LabError(f"{resource} is promoted nowhere")
    parameter = ["crm_resource", "--resource", resource, "--get-parameter", "AUTOMATED_REGISTER"]
    by_itself = is_on(stage.command(parameter, check=False).strip())
    for node in [] if by_itself else unregistered(stage.lab, resource, primary):
        stage.voice.say(f"The administrator registers the database of {node} with {primary}")
        register(stage.lab, resource, node)
    stage.command(["crm_resource", "--refresh", "--resource", clone])
    others = [node for node in stage.nodes if node != primary and has_database(stage.lab, sid, node)]
    stage.wait(
        f"the databases of {', '.join(others)} in sync",
        lambda: all(in_sync(stage.lab, sid, node) for node in others),
        within,
    )
    stage.lab.settle(within)
