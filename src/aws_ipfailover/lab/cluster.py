"""The cluster's own files, rendered, and its state, read: corosync.conf, the first CIB, `crm_mon`'s XML."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from .boot import Service

CLUSTER_NAME = "lab"
# As the examples call it.
FENCE_DEVICE = "fence_aws"

SERVICES = (
    # As their systemd units start and stop them: Pacemaker first stops its resources, then corosync leaves.
    Service(
        ("corosync", "-f"),
        ready=("corosync-cmapctl", "-g", "totem.version"),
        stop=("corosync-cfgtool", "-H", "--force"),
    ),
    # CRM_EX_FATAL: when neither sysrq nor reboot(2) has taken effect (panic_local in Pacemaker's watchdog.c).
    Service(("pacemakerd",), panic=100),
)


def corosync_conf(nodes: Mapping[str, str], *, token_ms: int) -> str:
    """corosync.conf for nodes (name to address), with a token timeout in milliseconds."""
    listed = "".join(
        f"  node {{\n    name: {name}\n    nodeid: {number}\n    ring0_addr: {address}\n  }}\n"
        for number, (name, address) in enumerate(nodes.items(), start=1)
    )
    two = "  two_node: 1\n" if len(nodes) == 2 else ""
    return f"""totem {{
  version: 2
  cluster_name: {CLUSTER_NAME}
  transport: knet
  token: {token_ms}
  crypto_cipher: aes256
  crypto_hash: sha256
}}
nodelist {{
{listed}}}
quorum {{
  provider: corosync_votequorum
{two}}}
system {{
  # In a namespace neither real-time scheduling nor the root cgroup is ours.
  sched_rr: no
  move_to_root_cgroup: no
}}
logging {{
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  to_syslog: no
  timestamp: hires
}}
"""


def empty_cib() -> ET.Element:
    """A CIB without anything in it, of the version that the installed Pacemaker writes."""
    return ET.fromstring(  # noqa: S314 - see above
        subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True).stdout
    )


def seeded_cib(nodes: Mapping[str, str], *, region: str, fencing: bool = True) -> str:
    """The CIB that the nodes (name to instance id) boot with.

    `dc-deadtime` is what makes a first boot quick: with an empty CIB the nodes wait 20 s for a DC to turn up.
    """
    cib = empty_cib()
    configuration = _only(cib, "configuration")
    options = ET.SubElement(_only(configuration, "crm_config"), "cluster_property_set", id="cib-bootstrap-options")
    for name, value in (
        ("cluster-name", CLUSTER_NAME),
        ("dc-deadtime", "2s"),
        ("stonith-enabled", "true"),
        ("stonith-timeout", "60s"),
    ):
        _pair(options, name, value)
    for number, name in enumerate(nodes, start=1):
        ET.SubElement(_only(configuration, "nodes"), "node", id=str(number), uname=name)
    if fencing:
        _fencing(_only(configuration, "resources"), nodes, region)
    defaults = ET.SubElement(ET.SubElement(configuration, "rsc_defaults"), "meta_attributes", id="rsc-options")
    _pair(defaults, "resource-stickiness", "100")
    _pair(defaults, "migration-threshold", "3")
    return ET.tostring(cib, encoding="unicode") + "\n"


def _fencing(resources: ET.Element, nodes: Mapping[str, str], region: str) -> None:
    device = ET.SubElement(resources, "primitive", {"id": FENCE_DEVICE, "class": "stonith", "type": "fence_aws"})
    attributes = ET.SubElement(device, "instance_attributes", id=f"{FENCE_DEVICE}-params")
    first = next(iter(nodes))
    for name, value in (
        ("region", region),
        ("pcmk_host_map", ";".join(f"{node}:{instance_id}" for node, instance_id in nodes.items())),
        # A stopped instance stays off until somebody has looked at it, as in most clusters that people run.
        ("pcmk_reboot_action", "off"),
        # When the nodes lose sight of each other both want to fence; the first one named gets this head start.
        ("pcmk_delay_base", f"{first}:1s"),
    ):
        _pair(attributes, name, value)
    operations = ET.SubElement(device, "operations")
    for name, interval, timeout in (("start", "0s", "60s"), ("monitor", "120s", "60s")):
        ET.SubElement(operations, "op", id=f"{FENCE_DEVICE}-{name}", name=name, interval=interval, timeout=timeout)


def _only(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def _pair(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, "nvpair", id=f"{parent.get('id')}-{name}", name=name, value=value)


@dataclass(frozen=True)
class NodeState:
    """A node as one of them sees it."""

    name: str
    online: bool
    unclean: bool
    standby: bool
    is_dc: bool


@dataclass(frozen=True)
class ResourceState:
    """A resource as a node sees it. `nodes` are where it is active; more than one is never right for an address."""

    resource_id: str
    agent: str
    role: str
    active: bool
    failed: bool
    blocked: bool
    nodes: Tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """One entry of `crm_mon`'s failed (or degraded) actions."""

    operation: str
    node: str
    exit_code: int
    exit_reason: str


@dataclass(frozen=True)
class ClusterStatus:
    """What `crm_mon` says."""

    dc: Optional[str]
    quorum: bool
    nodes: Tuple[NodeState, ...]
    resources: Tuple[ResourceState, ...]
    failures: Tuple[Failure, ...]
    fail_counts: Mapping[Tuple[str, str], str]

    @property
    def online(self) -> Tuple[str, ...]:
        """The names of the nodes that are members, healthy and no longer joining."""
        return tuple(node.name for node in self.nodes if node.online and not node.unclean)

    def resource(self, resource_id: str) -> Optional[ResourceState]:
        """The resource of that id, if it is configured."""
        return next((one for one in self.resources if one.resource_id == resource_id), None)

    def where(self, resource_id: str) -> Optional[str]:
        """The one node on which the resource is started; None if it is nowhere, or not on exactly one."""
        found = self.resource(resource_id)
        if found is None or found.role != "Started" or len(found.nodes) != 1:
            return None
        return found.nodes[0]


def parse_status(text: str) -> ClusterStatus:
    """`crm_mon --output-as=xml --group-by-node=no` of Pacemaker 2.1, as values. ValueError if it is not that."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - see above
    except ET.ParseError as error:
        raise ValueError(f"crm_mon did not print XML: {error}") from error
    dc = root.find("./summary/current_dc")
    nodes = tuple(
        NodeState(
            node.get("name", ""),
            node.get("online") == "true" and node.get("pending") != "true",
            node.get("unclean") == "true",
            node.get("standby") == "true",
            node.get("is_dc") == "true",
        )
        for node in root.findall("./nodes/node")
    )
    resources = tuple(
        ResourceState(
            resource.get("id", ""),
            resource.get("resource_agent", ""),
            resource.get("role", ""),
            resource.get("active") == "true",
            resource.get("failed") == "true",
            resource.get("blocked") == "true",
            tuple(node.get("name", "") for node in resource.findall("node")),
        )
        for resource in root.findall("./resources//resource")
    )
    failures = tuple(
        Failure(
            failure.get("op_key", ""),
            failure.get("node", ""),
            int(failure.get("exitcode", "1")),
            failure.get("exitreason", ""),
        )
        for failure in root.findall("./failures/failure")
    )
    counts = {
        (node.get("name", ""), history.get("id", "")): history.get("fail-count", "0")
        for node in root.findall("./node_history/node")
        for history in node.findall("resource_history")
    }
    return ClusterStatus(
        dc.get("name") if dc is not None and dc.get("present") == "true" else None,
        dc is not None and dc.get("with_quorum") == "true",
        nodes,
        resources,
        failures,
        counts,
    )
