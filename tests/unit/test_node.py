"""Who this node is: interface and ENI, from what the kernel and IMDS say."""

from __future__ import annotations

from typing import Dict, List, Optional, cast

import pytest

from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.imds import Imds
from aws_ipfailover.linux import Device, Linux
from aws_ipfailover.node import ThisNode

PRIMARY, SECOND, OWN = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"


class FakeLinux:
    """Two NICs and a bridge."""

    def devices(self) -> List[Device]:
        return [
            Device("lo", [], "00:00:00:00:00:00", virtual=True, alias="", up=True),
            Device("ens5", ["enp0s5"], PRIMARY, virtual=False, alias="", up=True),
            Device("ens6", [], SECOND, virtual=False, alias="", up=True),
            Device("br0", [], OWN, virtual=True, alias="", up=True),
        ]


class FakeImds:
    """Knows the ENIs by MAC."""

    def __init__(self, known: Dict[str, str]) -> None:
        self.known = known

    def primary_mac(self) -> str:
        return PRIMARY

    def network_interface_id(self, mac: str) -> Optional[str]:
        return self.known.get(mac)


def node(interface: Optional[str], **known: str) -> ThisNode:
    """A node whose IMDS knows these ENIs."""
    macs = {"primary": PRIMARY, "second": SECOND, "own": OWN}
    imds = FakeImds({macs[name]: eni for name, eni in known.items()})
    return ThisNode(cast("Linux", FakeLinux()), lambda: cast("Imds", imds), interface)


def test_the_primary_interface_is_found_by_its_mac() -> None:
    """Without a parameter, whatever the interface is called."""
    here = node(None, primary="eni-1", second="eni-2")
    assert (here.device(), here.network_interface_id()) == ("ens5", "eni-1")


def test_an_interface_means_its_own_eni() -> None:
    """Also by its alternative name."""
    assert node("ens6", primary="eni-1", second="eni-2").network_interface_id() == "eni-2"
    here = node("enp0s5", primary="eni-1", second="eni-2")
    assert (here.device(), here.network_interface_id()) == ("ens5", "eni-1")


def test_a_nic_that_imds_does_not_know_is_unknown() -> None:
    """IMDS lags behind an attachment; no other ENI is taken for it."""
    with pytest.raises(UnknownError, match="ens6"):
        node("ens6", primary="eni-1").network_interface_id()


@pytest.mark.parametrize("name", ["lo", "br0"])
def test_an_interface_made_by_software_gets_its_traffic_by_the_primary_eni(name: str) -> None:
    """Unless IMDS knows its MAC address, as that of a bridge over a NIC."""
    assert node(name, primary="eni-1").network_interface_id() == "eni-1"
    assert node("br0", primary="eni-1", own="eni-3").network_interface_id() == "eni-3"


def test_an_interface_that_is_not_there_is_wrong_here() -> None:
    """It may be there on another node."""
    with pytest.raises(NodeError, match="eth7"):
        node("eth7", primary="eni-1").device()
