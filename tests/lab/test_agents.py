"""The agent as the nodes have it."""

from __future__ import annotations

import pytest

from vpc_lab.host.guest import AGENTS
from vpc_lab.lab import Lab

pytestmark = pytest.mark.root


def test_pacemaker_s_own_user_can_ask_for_the_metadata(network_lab: Lab) -> None:
    """The controller runs `meta-data` as hacluster, wherever the interpreter lies: below /root, for instance."""
    as_hacluster = ["setpriv", "--reuid", "hacluster", "--regid", "haclient", "--clear-groups", "--"]
    done = network_lab.exec("node1", [*as_hacluster, f"{AGENTS}/aws-ipfailover", "meta-data"])
    assert "<resource-agent" in done.stdout
    assert done.stderr == ""
