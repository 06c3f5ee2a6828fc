"""A scenario's configuration in a cluster: loaded into an empty one, and taken out again."""

from __future__ import annotations

from typing import Dict, Tuple

from vpc_lab.lab import Lab
from vpc_lab.scenarios import peer
from vpc_lab.scenarios.configuration import PEER, RESOURCE, Configuration
from vpc_lab.status import Status

_LOADED_WITHIN = 120.0


def addresses_of(configuration: Configuration, status: Status) -> Tuple[str, ...]:
    """The addresses that the service has in this lab."""
    if configuration.mode == "eni":
        return status.service.addresses
    known: Dict[str, str] = {"@OVERLAY_IP@": status.overlay, "@OVERLAY_IPV6@": status.overlay_ipv6}
    for address in status.service.addresses:
        known["@PRIVATE_IPV6@" if ":" in address else "@PRIVATE_IP@"] = address
    return tuple(known.get(part, part) for part in configuration.agent_parameters["ip"].split(","))


def load(lab: Lab, configuration: Configuration) -> None:
    """Load it, and wait until its service is started. LabError when the cluster does not take it."""
    if configuration.agent == PEER:
        status = lab.status()
        peer.prepare(lab, status, addresses_of(configuration, status))
    lab.load(configuration.text, pcs=configuration.tool == "pcs")
    lab.wait_cluster(f"{RESOURCE} started", lambda now: now.where(RESOURCE) is not None, _LOADED_WITHIN)
    lab.settle(_LOADED_WITHIN)


def configuration_of(lab: Lab) -> str:
    """The cluster's configuration, as XML, for `empty`."""
    return lab.exec(lab.awake_node(), ["cibadmin", "--query", "--scope", "configuration"]).stdout


def empty(lab: Lab, before: str) -> None:
    """Heal everything, stop every resource, and put the configuration `before` back."""
    lab.heal()
    for name in set(lab.nodes()) - set(lab.powered_nodes()):
        lab.power_on(name)
    lab.wait_online()
    node = lab.nodes()[0]
    lab.exec(node, ["crm_attribute", "--name", "stop-all-resources", "--update", "true"])
    # Fail counts outlive the configuration, and would ban the next one's resources of the same names.
    lab.forget_failures(within=_LOADED_WITHIN)
    lab.exec(node, ["cibadmin", "--replace", "--scope", "configuration", "--xml-pipe"], stdin=before)
    # No settling: without a fencing device Pacemaker leaves the rest of this tidying to the next configuration.
    lab.wait_cluster("an empty cluster", lambda status: not status.resources)
