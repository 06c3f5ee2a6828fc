"""The configurations of `crm-examples/` on a lab's cluster: loaded, edited for a test, and taken away again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterator, List, cast

from vpc_lab import examples
from vpc_lab.lab import Lab
from vpc_lab.scenarios import loading
from vpc_lab.topology import topology_for

TOPOLOGY = topology_for()
DIRECTORY = cast("Path", examples.directory())
SECOND_ADDRESS = "192.168.10.11"
# What crmsh before 4.5 says of meta-attributes that Pacemaker has since 2.1, and sets all the same.
UNKNOWN_TO_CRMSH = ("unknown attribute 'critical'", "unknown attribute 'allow-unhealthy-nodes'")
# What pcs tells of an order that it adds as it was told to.
TOLD = ("(kind: Optional)", "(kind: Mandatory)")


def unchanged(text: str) -> str:
    """The configuration as it is."""
    return text


def load(lab: Lab, name: str, edit: Callable[[str], str] = unchanged) -> List[str]:
    """Load an example, its text passed through `edit` first.

    Everything that the tools and the verification of the result had to say, but for `UNKNOWN_TO_CRMSH` and `TOLD`.
    """
    status = lab.status()
    text = edit((DIRECTORY / name).read_text(encoding="utf-8"))
    values = {**lab.order("values"), "ROUTE_TABLES": ",".join(status.route_tables), "OVERLAY_IP2": SECOND_ADDRESS}
    text = examples.render(text, values)
    if name.endswith(".pcs"):
        done = [lab.exec("node1", ["sh", "-e", "-s"], stdin=text, timeout=180.0)]
    else:
        done = [lab.exec("node1", ["crm", "configure", "load", "update", "-"], stdin=text)]
    done.append(lab.exec("node1", ["crm_verify", "--live-check", "--verbose"]))
    said = [line for one in done for line in (one.stdout + one.stderr).splitlines()]
    return [line for line in said if line.strip() and not any(known in line for known in (*UNKNOWN_TO_CRMSH, *TOLD))]


@contextlib.contextmanager
def emptied(lab: Lab) -> Iterator[Lab]:
    """An empty cluster for the length of a `with` block; emptied again afterwards, every node back, EC2 answering."""
    before = loading.configuration_of(lab)
    try:
        yield lab
    finally:
        loading.empty(lab, before)
