"""Reads a CIB: what `cibadmin --query` prints, or its `configuration` alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Dict, List, Optional

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import Colocation, Configuration, Operation, Primitive, Wrapper
from vpc_lab.rehearsal.words import role


def configuration_element(text: str) -> ET.Element:
    """The element `configuration`. LabError, with the line, for what is no CIB."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - the user's own file; expat expands no external entity
    except ET.ParseError as error:
        raise LabError(f"line {error.position[0]}: this is not XML: {error}") from None
    found = root if root.tag == "configuration" else root.find("configuration")
    if found is None:
        raise LabError(f"line 1: a CIB has an element 'configuration', and this has <{root.tag}> alone")
    return found


def read(text: str) -> Configuration:
    """What the CIB says."""
    top = configuration_element(text)
    nodes: Dict[str, Optional[int]] = {}
    for node in top.iterfind("./nodes/node"):
        if node.get("type") in ("remote", "ping"):
            continue
        number = node.get("id", "")
        nodes[node.get("uname", "")] = int(number) if number.isdigit() else None
    templates = {one.get("id", ""): one for one in top.iter("template")}
    primitives = tuple(_primitive(one, templates, text) for one in top.iter("primitive"))
    groups = {
        group.get("id", ""): tuple(one.get("id", "") for one in group.iterfind("primitive"))
        for group in top.iter("group")
    }
    wrappers: List[Wrapper] = []
    for kind in ("clone", "master"):
        for one in top.iter(kind):
            child = next((each for each in one if each.tag in ("primitive", "group")), None)
            meta = _pairs(one, "meta_attributes")
            promotable = kind == "master" or meta.get("promotable", "").lower() in ("true", "yes", "1")
            if child is not None:
                wrappers.append(Wrapper(one.get("id", ""), child.get("id", ""), promotable, meta))
    colocations = tuple(
        Colocation(
            one.get("rsc", ""), one.get("with-rsc", ""), role(one.get("with-rsc-role", "")), one.get("score", "0")
        )
        for one in top.iter("rsc_colocation")
        if one.get("rsc")
    )
    properties = {
        pair.get("name", ""): pair.get("value", "") for pair in top.iterfind("./crm_config/cluster_property_set/nvpair")
    }
    avoided = tuple(
        one.get("node", "")
        for one in top.iter("rsc_location")
        if one.get("node") and one.get("score", "").startswith("-")
    )
    return Configuration(
        "cib",
        tuple(nodes.items()),
        primitives,
        groups,
        tuple(wrappers),
        colocations,
        properties,
        avoided=avoided,
    )


def _pairs(element: ET.Element, name: str) -> Dict[str, str]:
    return {one.get("name", ""): one.get("value", "") for one in element.iterfind(f"./{name}/nvpair")}


def _primitive(element: ET.Element, templates: Dict[str, ET.Element], text: str) -> Primitive:
    resource_id = element.get("id", "")
    template = templates.get(element.get("template", ""))
    source = element if element.get("type") else template
    if source is None or not source.get("type"):
        raise LabError(f"{_where(text, resource_id)}: primitive '{resource_id}' has no type")
    parts = [source.get("class", "ocf"), source.get("provider", ""), source.get("type", "")]
    operations: List[Operation] = []
    parameters: Dict[str, str] = {}
    meta: Dict[str, str] = {}
    for one in [each for each in (template, element) if each is not None]:
        parameters.update(_pairs(one, "instance_attributes"))
        meta.update(_pairs(one, "meta_attributes"))
        for op in one.iterfind("./operations/op"):
            about = {**dict(op.items()), **_pairs(op, "instance_attributes")}
            operations.append(Operation(op.get("name", ""), about))
    line = int(_where(text, resource_id).split()[-1])
    return Primitive(resource_id, ":".join(filter(None, parts)), parameters, tuple(operations), meta, line)


def _where(text: str, resource_id: str) -> str:
    """The line of an id, as far as it can be found."""
    for number, line in enumerate(text.splitlines(), 1):
        if f'id="{resource_id}"' in line:
            return f"line {number}"
    return "line 0"


def written(configuration: ET.Element) -> str:
    """The element as text, for `cibadmin --replace --scope configuration`."""
    return ET.tostring(configuration, encoding="unicode")
