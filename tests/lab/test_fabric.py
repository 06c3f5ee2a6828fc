"""The network of the lab behaves as a VPC does, in the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional, Set

import pytest

from vpc_lab.errors import LabError
from vpc_lab.faults import Partition, RouteChanged, RouteDeleted, RouteLag, SourceDestCheck
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
OVERLAY_IPV6 = "fd00:10::10"
API = "https://ec2.eu-central-1.amazonaws.com/?Action=DescribeInstances&Version=2016-11-15"
METADATA_TOKEN = "http://169.254.169.254/latest/api/token"


@pytest.fixture
def lab(network_lab: Lab) -> Iterator[Lab]:
    """A lab in which node1 has the overlay addresses and all tables lead there; restored afterwards."""
    give(network_lab, "node1")
    lead(network_lab, "node1")
    yield network_lab
    network_lab.heal()
    for node in ("node1", "node2"):
        network_lab.power_on(node)
        take(network_lab, node)


def give(lab: Lab, node: str) -> None:
    """Put the overlay addresses on a node."""
    lab.exec(node, ["ip", "address", "replace", f"{OVERLAY}/32", "dev", "eth0"])
    lab.exec(node, ["ip", "address", "replace", f"{OVERLAY_IPV6}/128", "dev", "eth0", "nodad"])


def take(lab: Lab, node: str) -> None:
    """Take the overlay addresses from a node, if it has them."""
    lab.exec(node, ["ip", "address", "delete", f"{OVERLAY}/32", "dev", "eth0"], check=False)
    lab.exec(node, ["ip", "address", "delete", f"{OVERLAY_IPV6}/128", "dev", "eth0"], check=False)


def lead(lab: Lab, target: str) -> None:
    """Point every table's overlay routes at an instance."""
    for destination in (f"{OVERLAY}/32", f"{OVERLAY_IPV6}/128"):
        lab.inject(RouteChanged(destination, target))


def answers(lab: Lab, consumer: str, address: str) -> bool:
    """Whether one of three pings is answered."""
    done = lab.exec(consumer, ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "-w", "2", address], check=False)
    return done.returncode == 0


def silent(lab: Lab, consumer: str, address: str) -> bool:
    """Whether a ping goes unanswered, and no router says a word about it either."""
    done = lab.exec(consumer, ["ping", "-n", "-c", "1", "-W", "0.5", address], check=False)
    return done.returncode == 1 and "nreachable" not in done.stdout


def echo_requests(lab: Lab, instance: str) -> int:
    """How many pings, over IPv4 and IPv6, have come in at an instance."""
    lines = lab.exec(instance, ["cat", "/proc/net/snmp", "/proc/net/snmp6"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    six = next(line.split()[1] for line in lines if line.startswith("Icmp6InEchos "))
    return int(values[names.index("InEchos")]) + int(six)


@pytest.mark.parametrize("consumer", ["consumer-a", "consumer-b", "onprem", "node2"])
@pytest.mark.parametrize("address", [OVERLAY, OVERLAY_IPV6, "10.0.1.11", "2001:db8:1000:1::b", "10.0.1.101"])
def test_everybody_reaches_the_vpc_and_its_overlay_addresses(lab: Lab, consumer: str, address: str) -> None:
    """Consumers in both zones and on premises reach the overlay address and the instances, over IPv4 and IPv6."""
    assert answers(lab, consumer, address)


def test_traffic_within_a_subnet_is_routed_too(lab: Lab) -> None:
    """Two instances of one subnet see each other through the router, which takes one from the TTL."""
    assert "ttl=63" in lab.exec("consumer-a", ["ping", "-n", "-c", "1", "10.0.1.11"]).stdout


def test_the_address_follows_the_route(lab: Lab) -> None:
    """When every table leads to the other node, that node gets the traffic, over IPv4 and IPv6."""
    take(lab, "node1")
    give(lab, "node2")
    assert silent(lab, "consumer-a", OVERLAY)
    assert silent(lab, "consumer-a", OVERLAY_IPV6)
    lead(lab, "node2")
    for consumer in ("consumer-a", "consumer-b", "onprem"):
        assert answers(lab, consumer, OVERLAY)
        assert answers(lab, consumer, OVERLAY_IPV6)


def test_each_subnet_follows_its_own_table(lab: Lab) -> None:
    """A table decides only for the subnets that use it: two tables can lead to two nodes at the same time."""
    give(lab, "node2")
    first, second = lab.status().route_tables[:2]
    lab.inject(RouteChanged(f"{OVERLAY}/32", "node2", second))
    lab.inject(Partition("consumer-a", "node2"))
    lab.inject(Partition("consumer-b", "node1"))
    assert answers(lab, "consumer-a", OVERLAY)
    assert answers(lab, "consumer-b", OVERLAY)
    lab.inject(RouteChanged(f"{OVERLAY}/32", "node2", first))
    assert silent(lab, "consumer-a", OVERLAY)


def test_two_holders_of_the_address_are_seen(lab: Lab) -> None:
    """An address that is on two nodes is found on both, which is what the audit complains about."""
    give(lab, "node2")
    assert OVERLAY in held(lab, "node1")
    assert OVERLAY in held(lab, "node2")


@pytest.mark.parametrize("address", [OVERLAY, OVERLAY_IPV6])
def test_the_source_destination_check_drops_overlay_traffic(lab: Lab, address: str) -> None:
    """An ENI with the check on gets nothing for an address that is not its own, and its own still."""
    check = lab.inject(SourceDestCheck("node1"))
    before = echo_requests(lab, "node1")
    assert silent(lab, "consumer-a", address)
    assert echo_requests(lab, "node1") == before
    assert answers(lab, "consumer-a", "10.0.1.11")
    check.heal()
    assert answers(lab, "consumer-a", address)


def test_the_source_destination_check_drops_foreign_sources(lab: Lab) -> None:
    """What leaves an ENI with the check on under an address that is not its own does not arrive."""
    from_overlay = ["ping", "-n", "-c", "1", "-W", "0.5", "-I", OVERLAY, "10.0.1.101"]
    assert lab.exec("node1", from_overlay, check=False).returncode == 0
    lab.inject(SourceDestCheck("node1"))
    before = echo_requests(lab, "consumer-a")
    assert lab.exec("node1", from_overlay, check=False).returncode == 1
    assert echo_requests(lab, "consumer-a") == before


def test_a_blackhole_route_drops(lab: Lab) -> None:
    """A route to an ENI whose instance EC2 has stopped leads nowhere, and works again when it runs."""
    lab.exec("node2", ["fence_aws", "-o", "off", "-r", "eu-central-1", "-n", lab.instance_ids()["node1"]])
    node = lab.status().instance("node1")
    assert (node.state, node.pid) == ("stopped", None)
    # Not even a wider route takes over: the longest prefix decides, and that one is a blackhole.
    give(lab, "node2")
    wider = [lab.inject(RouteChanged(destination, "node2")) for destination in ("192.168.10.0/24", "fd00:10::/64")]
    assert silent(lab, "consumer-a", OVERLAY)
    assert silent(lab, "consumer-a", OVERLAY_IPV6)
    for one in wider:
        one.heal()
    lab.power_on("node1")
    give(lab, "node1")
    assert answers(lab, "consumer-a", OVERLAY)
    assert answers(lab, "onprem", OVERLAY_IPV6)


def test_a_failed_instance_is_silent_while_ec2_calls_it_running(lab: Lab) -> None:
    """A power failure takes every process and the network of the instance; EC2 does not notice."""
    lab.power_off("node1")
    node = lab.status().instance("node1")
    assert (node.state, node.pid) == ("running", None)
    assert silent(lab, "consumer-b", OVERLAY)
    assert silent(lab, "consumer-b", "10.0.1.11")
    with pytest.raises(LabError, match="node1 has no power"):
        lab.exec("node1", ["true"])


def test_a_missing_route_makes_the_address_unreachable(lab: Lab) -> None:
    """Without a route in the subnet's table, and for on-premises in the attachment's, nothing arrives."""
    lab.inject(RouteDeleted(f"{OVERLAY}/32"))
    for consumer in ("consumer-a", "consumer-b", "onprem"):
        assert silent(lab, consumer, OVERLAY)
    assert answers(lab, "consumer-a", OVERLAY_IPV6)


def waiting(lab: Lab) -> Set[str]:
    """For whom the newest overlay route is not effective yet."""
    return {name for name, destination in lab.status().routes_under_way if destination == f"{OVERLAY}/32"}


def test_sources_of_one_table_follow_a_written_route_at_their_own_moments(lab: Lab) -> None:
    """With a lag EC2 answers at once, and a consumer and on premises, both by the first table, switch one by one."""
    sources = {"consumer-a", "onprem"}

    def switched() -> Optional[Set[str]]:
        return (sources - waiting(lab)) or None

    for _ in range(6):
        lag = lab.inject(RouteLag(8))
        lead(lab, "node2")
        assert set(lab.status().routes[OVERLAY].values()) == {"node2"}
        early = eventually("one of them to switch", switched, 30)
        late = sources - early
        # The address is on node1 only.
        reached = [answers(lab, one, OVERLAY) for one in late]
        if late and late <= waiting(lab):
            break
        # The moments that they drew are too near each other to ask between them.
        lag.heal()
        lead(lab, "node1")
    else:
        pytest.fail("six times both have switched at once")
    assert reached == [True]
    assert [silent(lab, one, OVERLAY) for one in early] == [True]
    lag.heal()
    assert not waiting(lab)
    assert [silent(lab, one, OVERLAY) for one in late] == [True]


def test_nobody_asks_with_arp_for_the_overlay_address(lab: Lab) -> None:
    """The VPC delivers by ENI: a node that ignores ARP for the overlay address gets its traffic all the same."""
    lab.exec("node1", ["sysctl", "-q", "-w", "net.ipv4.conf.eth0.arp_ignore=8"])
    try:
        assert answers(lab, "consumer-b", OVERLAY)
    finally:
        lab.exec("node1", ["sysctl", "-q", "-w", "net.ipv4.conf.eth0.arp_ignore=0"])


@pytest.mark.parametrize(
    ("one", "other", "consumer", "address"),
    [
        ("consumer-a", "node1", "consumer-a", OVERLAY),
        ("eu-central-1a", "eu-central-1b", "consumer-b", OVERLAY_IPV6),
        ("onprem", "node1", "onprem", OVERLAY),
        ("node1", "node2", "node2", "10.0.1.11"),
    ],
)
def test_a_cut_link_drops_until_it_is_mended(lab: Lab, one: str, other: str, consumer: str, address: str) -> None:
    """Nothing passes between two places whose link is cut; everything does after healing."""
    cut = lab.inject(Partition(one, other))
    assert silent(lab, consumer, address)
    cut.heal()
    assert answers(lab, consumer, address)


def metadata_answers(lab: Lab, node: str) -> bool:
    """Whether IMDS gives a token."""
    done = lab.exec(
        node,
        ["curl", "-sfm1", "-XPUT", "-HX-aws-ec2-metadata-token-ttl-seconds: 60", METADATA_TOKEN],
        check=False,
    )
    return done.returncode == 0


def api_answers(lab: Lab, node: str) -> bool:
    """Whether EC2's host name answers over TLS that the system trusts; without credentials it refuses with 4xx."""
    done = lab.exec(node, ["curl", "-s", "-m", "1", API], check=False)
    return done.returncode == 0


def test_api_and_metadata_links_are_cut_each_by_itself(lab: Lab) -> None:
    """Cutting a node from the API leaves it IMDS and the other nodes the API, and the other way round."""
    assert api_answers(lab, "node1")
    cut = lab.inject(Partition("node1", "api"))
    assert not api_answers(lab, "node1")
    assert metadata_answers(lab, "node1")
    assert api_answers(lab, "node2")
    cut.heal()
    lab.inject(Partition("imds", "node1"))
    assert not metadata_answers(lab, "node1")
    assert api_answers(lab, "node1")


def test_metadata_knows_its_caller(lab: Lab) -> None:
    """IMDS tells each instance its own id, by the address it asks from."""
    script = (
        "import urllib.request as u\n"
        "base = 'http://169.254.169.254/latest/'\n"
        "ttl = {'X-aws-ec2-metadata-token-ttl-seconds': '60'}\n"
        "token = u.urlopen(u.Request(base + 'api/token', headers=ttl, method='PUT')).read().decode()\n"
        "asked = u.Request(base + 'meta-data/instance-id', headers={'X-aws-ec2-metadata-token': token})\n"
        "print(u.urlopen(asked).read().decode())\n"
    )
    ids = lab.instance_ids()
    for node in ("node1", "node2"):
        assert lab.exec(node, ["/usr/bin/python3", "-c", script]).stdout.strip() == ids[node]


def test_an_instance_writes_nothing_to_the_host(lab: Lab) -> None:
    """The host's file system is read-only inside; what an instance writes is its own."""
    with pytest.raises(LabError, match="Read-only file system"):
        lab.exec("node1", ["touch", "/usr/local/lab-was-here"])
    lab.exec("node1", ["touch", "/var/log/lab-was-here", "/tmp/lab-was-here", "/run/lab-was-here"])
    for place in ("/usr/local", "/var/log", "/tmp", "/run"):
        assert not Path(place, "lab-was-here").exists()
    assert lab.exec("node2", ["ls", "/var/log/lab-was-here"], check=False).returncode == 2


def test_the_disk_survives_a_power_failure(lab: Lab) -> None:
    """What was written to /var/log is there after a power failure; what was in /run is not."""
    lab.exec("node2", ["touch", "/var/log/still-there", "/run/gone"])
    lab.power_off("node2")
    lab.power_on("node2")
    eventually("node2 boots", lambda: "node2" in lab.powered_nodes(), 10)
    lab.exec("node2", ["ls", "/var/log/still-there"])
    assert lab.exec("node2", ["ls", "/run/gone"], check=False).returncode == 2


def test_a_mistake_gets_a_sentence(lab: Lab) -> None:
    """Names that do not exist, and modes that mean nothing, are refused with what there is instead."""
    with pytest.raises(LabError, match="there is no instance 'node9'; there are node1, node2"):
        lab.power_off("node9")
    with pytest.raises(LabError, match="there is no place 'moon'; there are api, imds, onprem"):
        lab.inject(Partition("moon", "node1"))
    with pytest.raises(LabError, match="onprem is not an instance of the VPC"):
        lab.power_off("onprem")
