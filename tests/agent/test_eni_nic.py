"""The contract's second edition for mode=eni: the network interface on this node, renamed, sized and announced."""

from __future__ import annotations

import math
import socket
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Set

import pytest

from aws_ipfailover.kernel.announcements import gratuitous_arp, neighbour_advertisement
from sandbox import EniNode, HotPlug, ip
from vpc_lab.ec2 import Timing
from vpc_lab.waiting import eventually

MakeEniNode = Callable[..., EniNode]
ETH_P_ALL = 3
ADDRESSES = ("10.0.1.60", "10.0.1.61", "2001:db8:1000:1::60")
EXTRA = "192.168.10.10"


# -- renamed by udev --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(2))
def test_renamed_while_it_is_configured(make_eni_node: MakeEniNode, first: int) -> None:
    """The interface may be renamed while it is configured (udev): 20 starts, each a bit later in it, are all 0."""
    plug = HotPlug(rename_after=1.0)
    node = make_eni_node("10.0.1.60", "2001:db8:1000:1::60", hot_plug=plug)
    for number in range(first, 20, 2):
        plug.rename_after = 0.004 + 0.006 * number
        ran = node.agent.run("start")
        assert ran.code == 0, ran
        eventually("udev has renamed it", lambda: node.nic.startswith("ens"))
        assert node.served(), ran
        assert node.agent.run("stop").code == 0
        eventually("the NIC goes", lambda: not plug.plugged)


def renaming_ip(directory: Path, step: int) -> Dict[str, str]:
    """A PATH on which `ip` renames ens6 before its k-th command, counted from when the interface is there."""
    shim, count = directory / "bin" / "ip", directory / "count"
    shim.parent.mkdir()
    shim.write_text(
        "#!/bin/sh\n"
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        "if ip link show dev ens6 >/dev/null 2>&1; then\n"
        f"  echo x >>{count}\n"
        f'  [ "$(wc -l <{count})" -eq {step} ] && ip link set dev ens6 name renamed0\n'
        "fi\n"
        'exec ip "$@"\n'
    )
    shim.chmod(0o755)
    return {"PATH": f"{shim.parent}:/usr/bin:/bin"}


def renamed(node: EniNode, directory: Path, step: int) -> bool:
    """Whether the rename before that command has happened; where the interface is is known afterwards."""
    counted = len((directory / "count").read_text().splitlines()) >= step
    node.hot_plug.plugged[node.eni] = "renamed0" if counted else "ens6"
    return counted


@pytest.mark.parametrize("step", range(1, 20))
def test_renamed_before_a_command_of_start(eni_node: EniNode, tmp_path: Path, step: int) -> None:
    """start: renamed before the k-th command that it gives to the kernel, it is found again by its MAC address."""
    ran = eni_node.agent.run("start", environ=renaming_ip(tmp_path, step), timeout=20)
    assert ran.code == 0, ran
    assert renamed(eni_node, tmp_path, step) or step > 17  # a start gives about so many
    assert eni_node.served()


@pytest.mark.parametrize("step", range(1, 12))
def test_renamed_before_a_command_of_stop(make_eni_node: MakeEniNode, tmp_path: Path, step: int) -> None:
    """stop: renamed before its k-th command, it is quiesced all the same: 0 promises that this node does not answer."""
    node = make_eni_node(timing=Timing(detach=math.inf))
    node.started()
    ran = node.agent.run("stop", environ=renaming_ip(tmp_path, step))
    assert ran.code == 0, ran
    assert renamed(node, tmp_path, step) or step > 9
    assert node.quiesced()


@pytest.mark.parametrize("step", range(1, 9))
def test_renamed_before_a_command_of_monitor(eni_node: EniNode, tmp_path: Path, step: int) -> None:
    """monitor: renamed while it looks: 0, as everything is here."""
    eni_node.started()
    ran = eni_node.agent.run("monitor", environ=renaming_ip(tmp_path, step), interval=10)
    assert ran.code == 0, ran
    assert renamed(eni_node, tmp_path, step) or step > 5
    assert eni_node.served()


# -- MTU --------------------------------------------------------------------------------------------------------------


def mtu(device: str) -> int:
    """The largest packet of an interface."""
    return int(ip("link", "show", "dev", device)[0]["mtu"])


@pytest.mark.parametrize("primary", [9001, 1500, 1300])
def test_mtu(eni_node: EniNode, primary: int) -> None:
    """The interface has the primary NIC's MTU."""
    ip("link", "set", "dev", "eth0", "mtu", str(primary))
    eni_node.started()
    assert mtu(eni_node.nic) == primary
    assert mtu("eth0") == primary


def test_mtu_again(eni_node: EniNode) -> None:
    """The primary NIC's MTU has changed since: the next start has the new one."""
    eni_node.started()
    ip("link", "set", "dev", "eth0", "mtu", "9001")
    eni_node.started()
    assert mtu(eni_node.nic) == 9001


def test_mtu_that_the_interface_cannot_have(eni_node: EniNode, tmp_path: Path) -> None:
    """An MTU that the kernel refuses for this interface does not fail the start: the address works without it."""
    shim = tmp_path / "bin" / "ip"
    shim.parent.mkdir()
    shim.write_text(
        '#!/bin/sh\ncase "$*" in *" mtu "*) echo "Error: mtu greater than device maximum." >&2; exit 2;; esac\n'
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin exec ip "$@"\n'
    )
    shim.chmod(0o755)
    ip("link", "set", "dev", "eth0", "mtu", "9001")
    ran = eni_node.agent.run("start", environ={"PATH": f"{shim.parent}:/usr/bin:/bin"})
    assert ran.code == 0, ran
    assert "mtu greater than device maximum" in ran.stderr
    assert eni_node.served()


# -- announced --------------------------------------------------------------------------------------------------------


@contextmanager
def frames() -> Iterator[Callable[[], Set[bytes]]]:
    """What arrives at the far ends of this node's interfaces from now on."""
    seen: Set[bytes] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.setblocking(False)

        def so_far() -> Set[bytes]:
            while True:
                try:
                    frame, (device, _, kind, *_) = tap.recvfrom(2048)
                except BlockingIOError:
                    return seen
                if device.startswith("far-") and kind != socket.PACKET_OUTGOING:
                    seen.add(frame)

        yield so_far


def announcements(mac: str, *addresses: str) -> Set[bytes]:
    """The frames by which neighbours learn that addresses are at a MAC address."""
    found: List[bytes] = []
    for text in addresses:
        address = ip_address(text)
        if address.version == 4:
            found += [gratuitous_arp(mac, address), gratuitous_arp(mac, address, reply=True)]
        else:
            found.append(neighbour_advertisement(mac, address))
    return set(found)


def test_announced(make_eni_node: MakeEniNode) -> None:
    """eni announces the address (gratuitous ARP, unsolicited neighbour advertisement): every one of the ENI's."""
    node = make_eni_node(*ADDRESSES)
    node.agent.parameters["ip"] = EXTRA
    wanted = announcements(node.interface().mac, *ADDRESSES, EXTRA)
    with frames() as seen:
        node.started()
        eventually("all addresses are announced", lambda: wanted <= seen())


def test_a_second_start_announces_too(eni_node: EniNode) -> None:
    """Each start announces, also one that finds everything here."""
    eni_node.started()
    wanted = announcements(eni_node.interface().mac, "10.0.1.60")
    with frames() as seen:
        eni_node.started()
        eventually("the address is announced", lambda: wanted <= seen())


def test_only_a_start_announces(eni_node: EniNode) -> None:
    """A monitor announces nothing, nor does a stop."""
    eni_node.started()
    wanted = announcements(eni_node.interface().mac, "10.0.1.60")
    with frames() as seen:
        assert eni_node.agent.run("monitor", level=10, interval=10).code == 0
        assert eni_node.agent.run("stop").code == 0
        assert not wanted & seen()


def test_an_announcement_that_fails(eni_node: EniNode) -> None:
    """What cannot be announced works all the same: start is 0, with a warning."""
    # Root without the right to send raw frames; what `ip` needs is there.
    ran = eni_node.agent.begin("start", command=["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]).end()
    assert ran.code == 0, ran
    assert "WARNING: 10.0.1.60 is not announced: " in ran.stderr
    assert eni_node.served()
