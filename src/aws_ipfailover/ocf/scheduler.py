"""The parameters that Pacemaker would give resources on this node, by Pacemaker's own scheduler.

Templates, groups, sets with rules and scores, references to other sets: only the scheduler knows what all of these come
to on one node, where a resource may have never been. `crm_simulate` is that scheduler. It is given the cluster's
resources and this node alone, with nothing running on it: it then plans a probe of each resource here, with parameters.
"""

from __future__ import annotations

import os
import tempfile
import xml.etree.ElementTree as ET
from copy import deepcopy
from typing import Dict, List, Mapping, Optional, Sequence

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName, Cib
from aws_ipfailover.ocf.cluster_view import ARGUMENTS, ClusterView, view_of
from aws_ipfailover.ocf.refusal import refusal

# Attributes of a planned action that are no parameters of the resource.
_NOT_PARAMETERS = ("CRM_meta_", "crm_feature_set")


class Configuration:
    """The cluster's configuration (CIB), as `cibadmin --query` prints it.

    `agents`: the agent of each primitive, by the primitive's id.

    Raises:
        UnknownError: `text` is no CIB.
    """

    def __init__(self, text: str) -> None:
        self.cib = Cib(text)
        self.agents: Dict[str, AgentName] = {name: one.agent for name, one in self.cib.primitives.items()}

    def primitives_of(self, resource_id: str) -> Sequence[str]:
        """As `Cib.primitives_of`."""
        return self.cib.primitives_of(resource_id)

    def alone(self, node: str) -> str:
        """A CIB with all resources, in which `node` is online, and alone, and nothing has run yet."""
        root = self.cib.root
        cib = ET.Element("cib", root.attrib)
        configuration = ET.SubElement(cib, "configuration")
        # Without options: probes need neither quorum nor fencing, and some options keep Pacemaker from them.
        ET.SubElement(configuration, "crm_config")
        known = next((one for one in root.iterfind("configuration/nodes/node") if one.get("uname") == node), None)
        own = deepcopy(known) if known is not None else ET.Element("node", id=node, uname=node)
        own.attrib.pop("type", None)  # a remote node would need its connection
        ET.SubElement(configuration, "nodes").append(own)
        configuration.append(self._without_connection(node))
        ET.SubElement(configuration, "constraints")
        state = ET.SubElement(ET.SubElement(cib, "status"), "node_state", id=own.get("id", node), uname=node)
        state.attrib.update(in_ccm="true", crmd="online", join="member", expected="member")
        # Rules can ask for transient attributes too.
        for found in root.iterfind("status/node_state"):
            transient = found.find("transient_attributes")
            if found.get("uname") == node and transient is not None:
                state.append(deepcopy(transient))
        return ET.tostring(cib, encoding="unicode")

    def _without_connection(self, node: str) -> ET.Element:
        """The resources; without the connection to `node`, where that is a remote node."""
        found = self.cib.root.find("configuration/resources")
        resources = deepcopy(found) if found is not None else ET.Element("resources")
        for one in resources.findall("primitive"):
            if one.get("id") == node and (one.get("provider"), one.get("type")) == ("pacemaker", "remote"):
                resources.remove(one)
        return resources


def parameters_in(graph: str, node: str) -> Dict[str, Dict[str, str]]:
    """The parameters of each primitive that a transition graph of `crm_simulate` probes on `node`, by its id.

    Raises:
        UnknownError: it is no such graph.
    """
    try:
        root = ET.fromstring(graph)  # noqa: S314  what the installed Pacemaker prints
    except ET.ParseError:
        raise UnknownError("the graph of crm_simulate is no XML") from None
    found: Dict[str, Dict[str, str]] = {}
    for action in root.iter("rsc_op"):
        primitive, attributes = action.find("primitive"), action.find("attributes")
        is_probe = action.get("operation") == "monitor" and action.get("operation_key", "").endswith("_monitor_0")
        if primitive is None or attributes is None or not is_probe or action.get("on_node") != node:
            continue
        # An instance of a clone has a number behind its name.
        name = primitive.get("id", "").partition(":")[0]
        found[name] = {key: value for key, value in attributes.items() if not key.startswith(_NOT_PARAMETERS)}
    return found


class Scheduler:
    """Pacemaker's programs, with one deadline; `environ` is theirs.

    Every method raises `UnknownError` where a program is missing, fails, or does not end in time.
    """

    def __init__(self, environ: Mapping[str, str], deadline: Deadline) -> None:
        self._environ = dict(environ, LC_ALL="C")
        self._deadline = deadline

    def configuration(self) -> Configuration:
        """The cluster's configuration, as this node has it."""
        return Configuration(self._run("cibadmin", ["--query", "--local"]))

    def view(self) -> ClusterView:
        """The cluster as Pacemaker sees it now."""
        return view_of(self._run("crm_mon", list(ARGUMENTS)))

    def node(self) -> str:
        """The name that this node has in the cluster."""
        told = self._environ.get("OCF_RESKEY_CRM_meta_on_node", "").strip()
        return told or self._run("crm_node", ["--name"]).strip()

    def parameters(self, configuration: Configuration, node: str) -> Dict[str, Dict[str, str]]:
        """The parameters of every primitive on `node`, by its id."""
        directory = self._environ.get("HA_RSCTMP")
        try:
            with tempfile.TemporaryDirectory(prefix="aws-ipfailover-", dir=directory) as folder:
                cib, graph = os.path.join(folder, "cib.xml"), os.path.join(folder, "graph.xml")
                with open(cib, "w", encoding="utf-8") as file:
                    file.write(configuration.alone(node))
                # It works on a copy, which would be among the cluster's files otherwise.
                environ = {"CIB_shadow_dir": folder}
                self._run("crm_simulate", ["--quiet", "--xml-file", cib, "--save-graph", graph], environ)
                with open(graph, encoding="utf-8") as file:
                    return parameters_in(file.read(programs.LARGEST_OUTPUT), node)
        except OSError as error:
            raise UnknownError(f"the files for crm_simulate cannot be written or read: {error.strerror}") from None

    def _run(self, name: str, arguments: List[str], environ: Optional[Mapping[str, str]] = None) -> str:
        program = programs.find(name)
        if program is None:
            raise UnknownError(f"{name} of Pacemaker is not in PATH")
        try:
            done = programs.run([program, *arguments], self._deadline.remaining(), {**self._environ, **(environ or {})})
        except UnknownError as error:
            raise UnknownError(f"{name}: {error}") from None
        if done.returncode != 0:
            raise UnknownError(refusal(name, done))
        return done.stdout
