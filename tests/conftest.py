"""Fixtures that more than one tier uses: a node in a box."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from aws_ipfailover.lab.aws import Account, running_aws
from aws_ipfailover.lab.plan import Plan
from sandbox import Agent, Node, instance, need_commands, need_root


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Make the box; its arguments are those of `running_aws`."""
    from contextlib import ExitStack

    need_root()
    need_commands("ip")
    with ExitStack() as stack:

        def make(**options: Any) -> Node:
            plan = options.pop("plan", Plan())
            # Ids and MAC addresses follow from the plan alone.
            account = Account(plan)
            me = account.instance("node1")
            account.close()
            stack.enter_context(instance(me))
            aws = stack.enter_context(running_aws(plan, **options))
            directory = tmp_path / "rsctmp"
            directory.mkdir()
            agent = Agent(
                parameters={"ip": str(plan.overlay), "routing_table": ",".join(aws.account.route_table_ids)},
                environ={**aws.environment(), "HA_RSCTMP": str(directory)},
                aws=aws,
            )
            node = Node(aws, agent, aws.account.instance("node1"), directory)
            # As most clusters are set up: the routes were made once, and lead to some other node.
            node.point_routes_at("node2")
            return node

        yield make


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """A node in a box with two route tables; the routes lead to the other node."""
    return make_node()
