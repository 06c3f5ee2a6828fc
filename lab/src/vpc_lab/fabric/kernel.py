"""A VPC's network in the kernel: what EC2's `World` says, done with veths, routing tables and nftables.

The namespace of whoever uses a `Fabric` becomes the VPC's routers. Every ENI of a running instance is one veth whose
other end lies in the instance. All traffic, also within a subnet, is routed here:

* `ip rule iif VETH` sends what *leaves* an ENI to a kernel table of its own: the ENI's view of its subnet's route
  table, which may lag behind (see `propagation`). A `throw` for the VPC's own CIDRs leads on to the one table that
  knows where each ENI is (the `local` route of every route table).
* A route to an ENI delivers at MAC level (a permanent neighbour entry): nobody asks with ARP who has the address,
  and nobody checks that the ENI owns it. That is all an overlay address is.
* With stale neighbours, the instances of a subnet know each other's MACs (see `neighbours`); a frame to one of them
  goes to that ENI, whoever has the address by now.
* An internet gateway translates Elastic IPs one to one and keeps no state; what has none does not pass.
* nftables enforces the source/destination check, does that translation, and cuts links.

`desired()` is pure: a world in, kernel objects out. `Fabric` compares that with what it made before and changes only
the difference, in one `ip -batch` for each family.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Dict, FrozenSet, Iterable, List, Optional, Tuple

from vpc_lab.fabric.commands import FabricError, batch, run, sysctl
from vpc_lab.fabric.desired import ROUTER_IPV6, STATIC_ROUTER_IPV6, KernelState, Link, desired, tables_of
from vpc_lab.fabric.devices import GATEWAYS, INTERNET_GATEWAY, PRIMARY, TRANSIT_GATEWAY, Name, named, plugged
from vpc_lab.fabric.difference import difference, without
from vpc_lab.fabric.neighbours import Neighbours
from vpc_lab.fabric.propagation import Propagation
from vpc_lab.fabric.ruleset import Cuts, segment
from vpc_lab.topology import Outside, Topology
from vpc_lab.vpc import Cidr, RouteTable
from vpc_lab.world import World


class Fabric:
    """The VPC's network in the caller's network namespace, kept equal to what `apply` was given last.

    Safe to call from several threads. A change of routes costs one `ip -batch` with the difference.
    """

    def __init__(
        self,
        topology: Topology,
        nic_delay: float = 0.0,
        *,
        route_lag: float = 0.0,
        rename_after: float = 0.0,
        stale_neighbours: bool = False,
        nic: str = "",
        seed: int = 0,
    ) -> None:
        """What takes its time, in seconds.

        `nic_delay`: from EC2's `attached` to the NIC of a running instance. `route_lag`: until a written route is
        effective, at most. `rename_after`: from the NIC's appearance to its renaming, drawn between half and one and a
        half times as long; 0: it keeps its name. `seed`: of what is drawn. `stale_neighbours`: see `neighbours`.
        `nic`: a further name of an instance's primary NIC.
        """
        self._stale_neighbours = stale_neighbours
        self._neighbours: Optional[Neighbours] = None
        self._rename_after = rename_after
        self._nic = nic
        self._seed = seed
        self._topology = topology
        self._nic_delay = nic_delay
        self._propagation = Propagation(route_lag, seed)
        self._alarm: Optional[Tuple[float, threading.Timer]] = None
        self._names: Dict[str, Name] = {}
        self._due: Dict[str, float] = {}
        self._lock = threading.RLock()
        self._world: Optional[World] = None
        self._hosts: Dict[str, int] = {}
        self._cuts = Cuts()
        self._gateways: FrozenSet[str] = frozenset()
        self._now = KernelState()

    def open(self) -> None:
        """Make the namespace a router: forwarding on, reverse path filters off, loopback up."""
        batch(["link set dev lo up"])
        for path, value in (
            ("ipv4/ip_forward", 1),
            ("ipv6/conf/all/forwarding", 1),
            ("ipv4/conf/all/rp_filter", 0),
            ("ipv4/conf/default/rp_filter", 0),
            # A router that tells instances of better ways would let them bypass the rules.
            ("ipv4/conf/all/send_redirects", 0),
            ("ipv4/conf/default/send_redirects", 0),
            ("ipv6/conf/default/accept_dad", 0),
        ):
            sysctl(path, value)
        if self._stale_neighbours:
            self._neighbours = Neighbours()

    def plug_outside(self, there: Outside, pid: int) -> None:
        """Connect the network namespace of process `pid` as the consumer beyond a gateway of the VPC."""
        device = INTERNET_GATEWAY if there == self._topology.internet else TRANSIT_GATEWAY
        router, router6 = there.cidr.network_address + 1, there.ipv6_cidr.network_address + 1
        batch([f"link add {device} type veth peer name eth0 netns {pid}"])
        self._router_end(device)
        batch([f"address add {router}/{there.cidr.prefixlen} dev {device} noprefixroute"])
        batch([f"address add {router6}/{there.ipv6_cidr.prefixlen} dev {device} nodad noprefixroute"], 6)
        _plug_in(
            Link(
                device,
                "eth0",
                "",
                pid,
                (f"{there.address}/{there.cidr.prefixlen}", f"{there.ipv6_address}/{there.ipv6_cidr.prefixlen}"),
                (str(router), str(router6)),
            )
        )
        with self._lock:
            self._gateways |= {device}
            self._reconcile()

    def apply(self, world: World) -> None:
        """Make the kernel equal to `world`."""
        with self._lock:
            self._world = world
            self._reconcile()

    def power_on(self, instance_id: str, pid: int) -> None:
        """The instance has a process 1 now: its attached ENIs get their devices."""
        with self._lock:
            self._hosts[instance_id] = pid
            self._reconcile(booting=instance_id)

    def power_off(self, instance_id: str) -> None:
        """The instance has lost power: its devices go at once, so that not even its kernel answers any more."""
        with self._lock:
            self._hosts.pop(instance_id, None)
            self._reconcile()

    @property
    def cuts(self) -> Tuple[Tuple[str, str], ...]:
        """From which place to which nothing passes now, in order."""
        return tuple(sorted(self._cuts.pairs))

    def cut(self, cuts: Cuts) -> None:
        """Let these links be cut, and no others."""
        with self._lock:
            before, self._cuts = self._cuts, cuts
            try:
                if cuts != before:
                    self._reconcile()
            except BaseException:
                self._cuts = before
                raise

    @property
    def route_lag(self) -> float:
        """The longest time in seconds until a written route is effective."""
        return self._propagation.lag

    def delay_routes(self, seconds: float) -> None:
        """Let routes that are written from now on take up to `seconds`; 0: all, also those under way, at once."""
        with self._lock:
            if seconds != self._propagation.lag:
                self._propagation.lag = seconds
                self._reconcile()

    def routes_under_way(self) -> Tuple[Tuple[str, Cidr], ...]:
        """Who does not follow the newest route yet, by name, and its destination."""
        with self._lock:
            if self._world is None:
                return ()
            sources = {TRANSIT_GATEWAY: self._topology.on_premises.name}
            for device, eni in plugged(self._world, self._hosts).items():
                if eni.attachment is not None:
                    sources[device] = self._world.name_of(eni.attachment.instance_id)
            return tuple((sources[device], destination) for device, destination in self._propagation.under_way())

    def places(self) -> Tuple[str, ...]:
        """Every name that a cut can have."""
        world = self._world
        names: List[str] = ["api", "imds", *(there.name for there in self._topology.outside)]
        if world is not None:
            names += [world.name_of(instance_id) for instance_id in world.instances]
            names += sorted({subnet.availability_zone for subnet in world.subnets.values()})
        return tuple(names)

    def _hot_plug(self, world: World, booting: Optional[str]) -> FrozenSet[str]:
        """Name the NICs that come, forget those that went; the ones whose time has not come."""
        found = plugged(world, self._hosts)
        known = self._names
        self._names = named(known, found, self._hosts)
        now = time.monotonic()
        for device, eni in found.items():
            if known.get(device) == self._names[device] or not self._nic_delay:
                continue
            if eni.attachment is None or eni.attachment.is_primary or eni.attachment.instance_id == booting:
                continue
            self._due[device] = now + self._nic_delay
            timer = threading.Timer(self._nic_delay, self._appear)
            timer.daemon = True
            timer.start()
        self._due = {device: due for device, due in self._due.items() if device in found and due > now}
        return frozenset(self._due)

    def _appear(self) -> None:
        with self._lock:
            self._reconcile()

    def _propagate(self, world: World) -> Dict[str, RouteTable]:
        """The routes in effect now; whoever waits for one is woken when it is due."""
        now = time.monotonic()
        self._propagation.write(now, tables_of(world, self._hosts))
        due = self._propagation.due()
        if due is not None and (self._alarm is None or due < self._alarm[0] or self._alarm[0] <= now):
            if self._alarm is not None:
                self._alarm[1].cancel()
            self._alarm = (due, threading.Timer(due - now, self._appear))
            self._alarm[1].daemon = True
            self._alarm[1].start()
        return self._propagation.effective()

    def _reconcile(self, booting: Optional[str] = None) -> None:
        if self._world is None:
            return
        hidden = self._hot_plug(self._world, booting)
        old, new = (
            self._now,
            desired(
                self._world,
                self._topology,
                self._hosts,
                self._cuts,
                gateways=self._gateways,
                names={device: name.inside for device, name in self._names.items()},
                hidden=hidden,
                tables=self._propagate(self._world),
                stale_neighbours=self._stale_neighbours,
            ),
        )
        gone = {device for device, link in old.links.items() if new.links.get(device) != link}
        if gone:
            self._unplug(gone)
            old = without(old, gone)
            self._now = old
        if new.ruleset != old.ruleset:
            # Before a new device passes its first packet, and before a healed link does.
            run(["nft", "-f", "-"], new.ruleset)
        for device in new.links.keys() - old.links.keys():
            self._plug(new.links[device])
            name = self._names[device]
            if self._rename_after and name.number > 0 and name.instance_id != booting:
                drawn = Random(f"{self._seed} {device} {name.number}").uniform(0.5, 1.5)  # noqa: S311 - not a secret
                timer = threading.Timer(drawn * self._rename_after, self._rename, (device, name))
                timer.daemon = True
                timer.start()
        if new.ingress and (new.ingress != old.ingress or new.links.keys() - old.links.keys()):
            run(["nft", "-f", "-"], new.ingress)
        for family in (4, 6):
            batch(difference(old, new, family), family)
        self._now = new
        if self._neighbours is not None:
            there = {device: eni for device, eni in plugged(self._world, self._hosts).items() if device in new.links}
            self._neighbours.segment = segment(self._world, there, self._cuts)

    def _rename(self, device: str, name: Name) -> None:
        """Rename a NIC in its instance, as udev does; also one that is up, where the kernel lets it (Linux 6.2)."""
        with self._lock:
            link = self._now.links.get(device)
            if link is None or self._names.get(device) != name:
                return
            renamed = replace(name, renamed=True)
            # Refused by an older kernel for a NIC that is up: it stays as it is, as with udev.
            with contextlib.suppress(FabricError):
                batch([f"link set dev {name.inside} name {renamed.inside}"], 4, link.pid)
                self._names[device] = renamed
                links = {**self._now.links, device: replace(link, inside=renamed.inside)}
                self._now = replace(self._now, links=links)

    def _unplug(self, devices: Iterable[str]) -> None:
        for device in devices:
            # The device may have died with its namespace already.
            if Path("/sys/class/net", device).exists():
                batch([f"link delete dev {device}"])

    def _plug(self, link: Link) -> None:
        mac = f"address {link.mac} " if link.mac else ""
        batch([f"link add {link.device} type veth peer name {link.inside} {mac}netns {link.pid}"])
        self._router_end(link.device)
        if self._nic and link.inside == PRIMARY and self._nic != PRIMARY:
            batch([f"link property add dev {PRIMARY} altname {self._nic}"], 4, link.pid)
        _plug_in(link)

    def _router_end(self, device: str) -> None:
        sysctl(f"ipv4/conf/{device}/rp_filter", 0)
        # Instances ask with ARP for their neighbours in the subnet; the router answers for all that it can reach,
        # unless they are to know each other's MACs.
        sysctl(f"ipv4/conf/{device}/proxy_arp", int(self._neighbours is None or device in GATEWAYS.values()))
        sysctl(f"ipv4/neigh/{device}/proxy_delay", 0)
        # IPv6 has no such switch for everything: `desired` lists the addresses.
        sysctl(f"ipv6/conf/{device}/proxy_ndp", 1)
        sysctl(f"ipv6/neigh/{device}/proxy_delay", 0)
        batch([f"link set dev {device} up"])
        batch([f"address replace {ROUTER_IPV6}/64 dev {device} nodad"], 6)
        batch([f"address replace {STATIC_ROUTER_IPV6}/128 dev {device} nodad"], 6)


def _plug_in(link: Link) -> None:
    """Set up the instance's end as its system would: address, prefix, default routes."""
    four: List[str] = ["link set dev lo up"]
    six: List[str] = []
    if link.addresses:
        four.append(f"link set dev {link.inside} up")
    for address, gateway in zip(link.addresses, link.gateways):
        if ":" in address:
            six.append(f"address replace {address} dev {link.inside} nodad")
            six.append(f"route replace default via {gateway} dev {link.inside} onlink")
        else:
            four.append(f"address replace {address} dev {link.inside}")
            four.append(f"route replace default via {gateway} dev {link.inside}")
    six += [f"route replace {prefix} dev {link.inside}" for prefix in link.on_link]
    batch(four, 4, link.pid)
    batch(six, 6, link.pid)
