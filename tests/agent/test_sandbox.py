"""The box itself: what it promises to the tests, and to the host they run on."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable

import pytest

from sandbox import (
    AGENT,
    EniNode,
    HotPlug,
    Node,
    addresses,
    answers_on,
    instance,
    ip,
    need_root,
    network_namespace,
)
from vpc_lab.waiting import eventually


def host() -> Any:
    """What of this namespace could be touched: links, addresses, routes and rules."""

    def stable(item: Any) -> Any:
        # What counts down or up by itself.
        return {name: value for name, value in item.items() if name not in ("addr_info", "stats64")}

    links = [
        (stable(link), [(info["local"], info["prefixlen"], info.get("label")) for info in link["addr_info"]])
        for link in ip("address", "show")
    ]
    return links, ip("route", "show", "table", "all"), ip("rule", "show"), os.readlink("/proc/thread-self/ns/net")


def test_the_agent_runs_in_a_namespace_of_its_own(make_node: Callable[..., Node]) -> None:
    """A start and a stop of the agent happen in a namespace of their own, in which nothing of the host is seen."""
    outside = os.readlink("/proc/thread-self/ns/net")
    node = make_node()
    assert os.readlink("/proc/thread-self/ns/net") != outside
    node.started()
    assert {one.device for one in addresses()} == {"eth0"}
    assert node.agent.run("stop").code == 0


def test_leaving_restores_the_host_also_after_a_failure() -> None:
    """When the block ends, by an exception too, the thread is back where it was and the host's network unchanged."""
    need_root()
    from vpc_lab.ec2 import running_aws

    before, threads = host(), threading.active_count()

    def fails() -> None:
        with running_aws() as outside:
            me = outside.account.instance("node1")
        with instance(me), running_aws():
            ip("address", "add", "192.168.10.10/32", "dev", "eth0")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fails()
    assert host() == before
    assert not answers_on("192.168.10.10")
    eventually("the threads of the AWS layer are gone", lambda: threading.active_count() <= threads)


def test_a_namespace_is_empty() -> None:
    """A fresh namespace has loopback and nothing else."""
    need_root()
    with network_namespace():
        assert [link["ifname"] for link in ip("link", "show")] == ["lo"]
        assert addresses() == []


def test_a_dead_index_has_no_nic(make_eni_node: Callable[..., EniNode]) -> None:
    """No NIC comes for an ENI that is attached where a detachment by force has left a dead index."""
    node = make_eni_node()
    node.aws.account.dead_indexes_after_force = True
    node.attach(node.me)
    assert node.eni in node.hot_plug.plugged
    attachment = node.interface().attachment
    assert attachment is not None
    node.aws.api.administer("DetachNetworkInterface", AttachmentId=attachment.attachment_id, Force="true")
    node.attach(node.me)
    assert node.status() == "attached"
    assert node.eni not in node.hot_plug.plugged
    node.detach()
    node.attach(node.me, index=2)
    assert node.eni in node.hot_plug.plugged


def test_the_agent_under_test_is_the_real_file() -> None:
    """The tests run the file that is installed for Pacemaker, and it may be executed."""
    assert AGENT.is_file()
    assert os.access(AGENT, os.X_OK)
    assert AGENT.read_text().startswith("#!/usr/bin/env python3\n")


def test_a_nic_is_renamed_after_it_appeared(make_eni_node: Callable[..., EniNode]) -> None:
    """With `rename_after` an ENI's NIC is born as eth1, and is the same NIC under its last name later, also when up."""
    node = make_eni_node(hot_plug=HotPlug(rename_after=1.0))
    node.attach(node.me)
    assert node.nic == "eth1"
    (born,) = ip("link", "show", "dev", "eth1")
    ip("link", "set", "dev", "eth1", "up")
    eventually("the NIC renamed", lambda: node.nic == "ens6")
    (renamed,) = ip("link", "show", "dev", "ens6")
    assert renamed["ifindex"] == born["ifindex"]
    assert node.up()
    node.detach()
    node.aws.account.settle()
    assert node.eni not in node.hot_plug.plugged
