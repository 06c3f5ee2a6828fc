"""The cluster's own files, rendered: corosync.conf and the CIB that a node boots with."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from itertools import count
from typing import Mapping, Sequence

from vpc_lab.cluster import FENCE_DEVICE
from vpc_lab.host.boot import Service

CLUSTER_NAME = "lab"
# Of a node whose links are knet's ("Knet requires nodeid to be less than 65536").
_KNET_IDS = 65536
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


def corosync_conf(nodes: Mapping[str, str], *, token_ms: int, node_ids: Sequence[int] = ()) -> str:
    """corosync.conf for nodes (name to address); the token timeout in milliseconds; ids are 1, 2, ... by default."""
    listed = "".join(
        f"  node {{\n    name: {name}\n    nodeid: {number}\n    ring0_addr: {address}\n  }}\n"
        for number, (name, address) in zip(node_ids or count(1), nodes.items())
    )
    two = "  two_node: 1\n" if len(nodes) == 2 else ""
    # Larger ids are those that corosync 2 made of addresses: knet refuses them, and its predecessor has no encryption.
    transport = "  transport: knet\n  crypto_cipher: aes256\n  crypto_hash: sha256\n"
    if any(number >= _KNET_IDS for number in node_ids):
        transport = "  transport: udpu\n"
    return f"""totem {{
  version: 2
  cluster_name: {CLUSTER_NAME}
  token: {token_ms}
{transport}}}
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
    return ET.fromstring(  # noqa: S314 - what the installed Pacemaker prints
        subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True).stdout
    )


def seeded_cib(nodes: Mapping[str, str], *, region: str, fencing: bool = True, node_ids: Sequence[int] = ()) -> str:
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
    for number, name in zip(node_ids or count(1), nodes):
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
