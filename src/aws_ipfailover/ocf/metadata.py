"""An agent's OCF 1.1 metadata, made from the list of its parameters."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from aws_ipfailover import __version__
from aws_ipfailover.ocf.environment import ACTIONS, Action
from aws_ipfailover.parameters import PARAMETERS, Parameter


class Description(NamedTuple):
    """What the metadata of an agent says."""

    shortdesc: str
    longdesc: str
    parameters: Sequence[Parameter]
    actions: Sequence[Action]


def metadata(name: str) -> str:
    """The OCF 1.1 metadata of the agent that moves addresses, which is called `name`."""
    return render(name, Description(_SHORTDESC, _LONGDESC, PARAMETERS, ACTIONS))


def render(name: str, about: Description) -> str:
    """The OCF 1.1 metadata of the agent that is called `name`."""
    lines = [
        '<?xml version="1.0"?>',
        f'<resource-agent name="{name}" version="{__version__}">',
        "<version>1.1</version>",
        f'<longdesc lang="en">{_escape(about.longdesc)}</longdesc>',
        f'<shortdesc lang="en">{_escape(about.shortdesc)}</shortdesc>',
        "<parameters>",
    ]
    for parameter in about.parameters:
        lines += _parameter(parameter)
    lines += ["</parameters>", "<actions>"]
    lines += [_action(action) for action in about.actions]
    return "\n".join([*lines, "</actions>", "</resource-agent>", ""])


def _parameter(parameter: Parameter) -> List[str]:
    attributes = (
        f'name="{parameter.name}" required="{int(parameter.required)}" reloadable="{int(parameter.reloadable)}"'
    )
    if parameter.unique_group:
        attributes += f' unique-group="{parameter.unique_group}"'
    default = "" if parameter.default is None else f' default="{_escape(parameter.default)}"'
    lines = [f"<parameter {attributes}>"]
    if parameter.deprecated:
        replaced = f'<replaced-with name="{parameter.replaced_with}"/>' if parameter.replaced_with else ""
        lines.append(f'<deprecated>{replaced}<desc lang="en">{_escape(parameter.longdesc)}</desc></deprecated>')
    lines += [
        f'<longdesc lang="en">{_escape(parameter.longdesc)}</longdesc>',
        f'<shortdesc lang="en">{_escape(parameter.shortdesc)}</shortdesc>',
    ]
    if parameter.content == "select":
        options = "".join(f'<option value="{option}"/>' for option in parameter.options)
        lines.append(f'<content type="select"{default}>{options}</content>')
    else:
        lines.append(f'<content type="{parameter.content}"{default}/>')
    return [*lines, "</parameter>"]


def _action(action: Action) -> str:
    extra = "" if action.interval is None else f' interval="{action.interval}s"'
    extra += "" if action.depth is None else f' depth="{action.depth}"'
    return f'<action name="{action.name}" timeout="{action.timeout}s"{extra}/>'


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


_SHORTDESC = "Moves a fixed IP address between AWS instances"
_LONGDESC = """
Moves a fixed IP address between AWS instances. Pacemaker decides where it is; this agent puts it on the active node and
makes the VPC deliver its traffic there.

overlay-ip: the address lies outside every CIDR of the VPC. Each route table in routing_table gets a route for it to the
network interface (ENI) of the active node. This works across availability zones. On every node the source/destination
check has to be off, and the credentials must allow ec2:ReplaceRoute, ec2:DescribeRouteTables and
ec2:DescribeNetworkInterfaces (ec2:CreateRoute only where a table does not have the route yet,
ec2:ModifyNetworkInterfaceAttribute only to switch a check off that is on). Tables can be named by a tag, or found by
their routes (routing_table). Several addresses move as one resource, with one route for all of them (destination).

eni: a network interface that has the address is detached from the node that had it and attached to the active one,
within one availability zone. It gets a routing table of its own, so that replies leave by it.

private-ip: a secondary private address moves between the nodes' own network interfaces, within one subnet.

A monitor looks at the node itself. With OCF_CHECK_LEVEL=10 or monapi=true it also asks EC2 and repairs what somebody
changed there (on_drift); an EC2 that does not answer leaves the resource running and shows it as degraded (exit code
190). Stop needs neither EC2 nor instance metadata.

In every mode an Elastic IP can follow (allocation_id).

Planned moves without a gap: set the meta attribute allow-migrate=true.
"""
