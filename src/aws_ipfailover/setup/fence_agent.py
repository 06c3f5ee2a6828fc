"""What the fence agent that is installed on this node knows."""

from __future__ import annotations

from typing import Optional
from xml.etree import ElementTree

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.programs import find, run

FENCE_AWS = "fence_aws"


def knows(parameter: str, deadline: Deadline) -> Optional[bool]:
    """Whether the installed fence_aws has a parameter; `None` where it is not installed, or does not tell.

    It tells the metadata of its parameters by `-o metadata`, and asks nobody for it.
    """
    path = find(FENCE_AWS)
    if path is None:
        return None
    try:
        done = run([path, "-o", "metadata"], deadline.remaining())
        tree = ElementTree.fromstring(done.stdout)  # noqa: S314  of a program that Pacemaker runs as root here
        names = {one.get("name") for one in tree.iter("parameter")}
    except (UnknownError, ElementTree.ParseError):
        return None
    return parameter in names if names else None
