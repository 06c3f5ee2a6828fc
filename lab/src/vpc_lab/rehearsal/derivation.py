"""Derives a lab from a configuration: topology, names, ids, addresses, and what its placeholders stand for. Pure.

A *placeholder* is a value that cannot be what its parameter takes, such as `rtb-XYZ`, `overlay-ip-address` or `i-xxxx`.
It is replaced throughout the text, where it stands as a word of its own:

* of an address: by 192.168.10.10, 192.168.10.11, ... (`mode=private-ip`, awsvip: by one of the nodes' subnet)
* of a route table: by the ids of all of the lab's tables if it is the only one of its parameter, else by one of them
* of a network interface: by the id of the lab's ENI; of an instance: by the id of the node's instance; of a Region: by
  eu-central-1
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from vpc_lab.errors import LabError
from vpc_lab.examples import NETWORK_ROLE_ARN
from vpc_lab.rehearsal.model import Configuration, Primitive
from vpc_lab.rehearsal.stand_ins import is_ours
from vpc_lab.settings import Settings
from vpc_lab.topology import ON_PREMISES, Consumer, InterfaceSpec, Mode, Node, SubnetSpec, Topology
from vpc_lab.vpc import Address, identifier

REGION = "eu-central-1"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ID = r"-[0-9a-f]{8}(?:[0-9a-f]{9})?"
_ROLE = re.compile(r"arn:[a-z-]+:iam::(\d{12}):role/\S+")
_MOST_NODES = 5
# An instance that fencing reboots is back later than the cluster has recovered, as on EC2.
_BOOT_SECONDS = 20.0
_ZONES = "abc"
# Where the lab's VPC may be; the first that has no overlay address in it.
_VPCS = tuple(map(IPv4Network, ("10.0.0.0/16", "10.77.0.0/16", "172.21.0.0/16")))
_ELSEWHERE = (IPv4Network("172.31.0.0/24"), IPv4Network("10.99.0.0/24"))
_FIRST_OVERLAY = IPv4Address("192.168.10.10")
_FIRST_HOST, _FIRST_CONSUMER, _FIRST_SERVICE = 11, 101, 60


@dataclass(frozen=True)
class AddressResource:
    """A resource that holds addresses. `mode`: of the agent, or `private-ip` for awsvip with IPaddr2.

    `by`: the primitive that moves the addresses in EC2, where it is another one than the one that holds them.
    """

    id: str
    mode: Mode
    addresses: Tuple[str, ...]
    tables: Tuple[str, ...] = ()
    interface: str = ""
    by: str = ""


@dataclass(frozen=True)
class CorosyncFacts:
    """What a corosync.conf says that a lab takes over. `nodes`: name, id, address."""

    nodes: Tuple[Tuple[str, Optional[int], str], ...] = ()
    token_ms: Optional[int] = None


NOTHING_KNOWN = CorosyncFacts()


@dataclass(frozen=True)
class Derived:
    """A lab for a configuration. `values`: what placeholders stand for; `told`: a sentence about each guess."""

    settings: Settings
    topology: Topology
    resources: Tuple[AddressResource, ...]
    values: Mapping[str, str]
    profiles: Tuple[str, ...]
    # A tag of the nodes' instances, by which a fencing plugin finds them; its value is the node's name.
    instance_tags: Tuple[str, ...]
    # Of every route table, as the parameter `routing_table` names them.
    table_tags: Tuple[Tuple[str, str], ...]
    roles: Tuple[str, ...]
    # Access keys of fence devices: the id and the secret.
    keys: Tuple[Tuple[str, str], ...]
    told: Tuple[str, ...]


def corosync_facts(text: str) -> CorosyncFacts:
    """What a corosync.conf says. LabError, with the line, for what is none (corosync.conf(5))."""
    stack: List[str] = []
    node: Dict[str, str] = {}
    nodes: List[Tuple[str, Optional[int], str]] = []
    token: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if bare.endswith("{"):
            stack.append(bare[:-1].strip())
            node = {} if stack[-1] == "node" else node
        elif bare == "}":
            if not stack:
                raise LabError(f"corosync.conf, line {number}: a section ends that has not begun")
            if stack.pop() == "node":
                given = node.get("nodeid", "")
                name = node.get("name", "") or node.get("ring0_addr", "")
                nodes.append((name, int(given) if given.isdigit() else None, node.get("ring0_addr", "")))
        else:
            key, colon, value = (part.strip() for part in bare.partition(":"))
            if not colon:
                raise LabError(f"corosync.conf, line {number}: neither a section nor NAME: VALUE: {bare[:60]}")
            if stack and stack[-1] == "node":
                node[key] = value
            elif stack == ["totem"] and key == "token":
                if not value.isdigit():
                    raise LabError(f"corosync.conf, line {number}: token is a number of milliseconds, not '{value}'")
                token = int(value)
    if not nodes and token is None:
        raise LabError("corosync.conf: it has neither a nodelist nor a token")
    return CorosyncFacts(tuple(nodes), token)


def derive(
    configuration: Configuration,
    *,
    corosync: CorosyncFacts = NOTHING_KNOWN,
    names: Sequence[str] = (),
    token_ms: Optional[int] = None,
) -> Derived:
    """The lab for a configuration. `names`: of nodes, for what names none.

    Raises:
        LabError: it holds no address, or names what no lab can have.
    """
    return _Derivation(configuration, corosync, tuple(names), token_ms).derived()


@dataclass
class _Derivation:
    configuration: Configuration
    corosync: CorosyncFacts
    names: Tuple[str, ...]
    token_ms: Optional[int]
    values: Dict[str, str] = field(default_factory=dict)
    told: List[str] = field(default_factory=list)

    def derived(self) -> Derived:
        found = list(self._resources())
        if not found:
            raise LabError(self._nothing_moves())
        region = self._region()
        nodes = [(self._host_name(name), number) for name, number in self._nodes()]
        instances = self._instances([name for name, _ in nodes])
        for given in self._parameter_values("routing_table_role"):
            if not _ROLE.fullmatch(given):
                self._fill(given, NETWORK_ROLE_ARN, "the ARN of a role")
        for wrapper in self.configuration.wrappers:
            most = wrapper.meta.get("clone-max", "0")
            if not most.isdigit():
                self._fill(most, str(len(nodes)), "a number")
        found = [self._filled(one, place) for place, one in enumerate(found)]
        topology, found = self._topology(found, region, nodes, instances)
        ids = tuple(number for _, number in nodes if number is not None)
        interfaces = dict.fromkeys(
            word for one in self._ours() for word in [one.parameters.get("interface", "")] if word and word != "eth0"
        )
        if len(interfaces) > 1:
            self.told.append(f"the nodes' NIC is called {next(iter(interfaces))}; other names of it are not there")
        token = self.token_ms or self.corosync.token_ms
        settings = Settings(
            fencing=not self.configuration.fence_devices and self.configuration.fencing,
            nodes=len(nodes),
            mode=found[0].mode,
            node_ids=ids if len(ids) == len(nodes) else (),
            nic=next(iter(interfaces), ""),
            boot_seconds=_BOOT_SECONDS,
            described=topology,
            token_ms=token or Settings.token_ms,
        )
        if settings.fencing:
            self.told.append("it has no fence device, and does not switch fencing off: the lab's own fence_aws fences")
        return Derived(
            settings,
            topology,
            tuple(found),
            self.values,
            self._parameter_values("profile"),
            tuple(
                one.parameters["tag"]
                for one in self.configuration.fence_devices
                if one.type.startswith("external/") and one.parameters.get("tag")
            ),
            tuple(self._table_tags()),
            self._roles(),
            tuple(
                (one.parameters["access_key"], one.parameters["secret_key"])
                for one in self.configuration.fence_devices
                if one.parameters.get("access_key") and one.parameters.get("secret_key")
            ),
            tuple(self.told),
        )

    def _nothing_moves(self) -> str:
        """Why no lab can be made: what holds an address here, and what of EC2 would have to."""
        for one in self.configuration.primitives:
            if one.standard == "ocf" and one.type == "awsvip":
                return (
                    f"line {one.line}: {one.id} (awsvip) assigns an address in EC2, and no IPaddr2 of the same address"
                    " holds it on the node"
                )
        for one in self.configuration.primitives:
            if one.standard == "ocf" and one.type in ("IPaddr2", "IPaddr", "awseip"):
                return (
                    f"line {one.line}: {one.id} ({one.type}) holds an address, and nothing in it moves one within a"
                    " VPC: aws-vpc-move-ip or aws-ipfailover does, or awsvip beside IPaddr2"
                )
        return (
            "there is no resource in it that moves an address: aws-vpc-move-ip, aws-ipfailover, or awsvip with IPaddr2"
        )

    def _host_name(self, given: str) -> str:
        """The name of a node, or one like it that an instance can have as its host name."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", given.partition(".")[0]).strip("-")[:63]
        if plain == given or not plain:
            return given
        self.told.append(f"'{given}' cannot be the host name of an instance: the node is called {plain}")
        self.values[given] = plain
        return plain

    def _ours(self) -> List[Primitive]:
        return [one for one in self.configuration.primitives if is_ours(one) and one.type != "aws-ipfailover-health"]

    def _parameter_values(self, name: str) -> Tuple[str, ...]:
        found = (one.parameters.get(name, "") for one in self.configuration.primitives)
        return tuple(dict.fromkeys(value for value in found if value))

    def _roles(self) -> Tuple[str, ...]:
        """The roles of accounts that lend their route tables."""
        return tuple(self.values.get(one, one) for one in self._parameter_values("routing_table_role"))

    # -- resources ----------------------------------------------------------------------------------------------------

    def _resources(self) -> Iterator[AddressResource]:
        assigners = {
            one.parameters.get("secondary_private_ip", ""): one
            for one in self.configuration.primitives
            if one.standard == "ocf" and one.type == "awsvip"
        }
        for one in self.configuration.primitives:
            given = one.parameters
            if is_ours(one) and one.type != "aws-ipfailover-health":
                held = _split(given.get("ip") or given.get("address", ""))
                mode: Mode = "overlay-ip"
                if given.get("mode") in ("eni", "private-ip"):
                    mode = "eni" if given["mode"] == "eni" else "private-ip"
                tables = _split(given.get("routing_table", ""))
                yield AddressResource(one.id, mode, held, tables, given.get("network_interface_id", ""))
            elif one.standard == "ocf" and one.type in ("IPaddr2", "IPaddr") and given.get("ip") in assigners:
                yield AddressResource(one.id, "private-ip", (given["ip"],), by=assigners[given["ip"]].id)

    def _filled(self, one: AddressResource, place: int) -> AddressResource:
        """With its placeholders of addresses and of an ENI replaced; a private address is replaced with the subnet."""
        held = tuple(self._address(address, one.mode) for address in one.addresses)
        interface = one.interface
        if one.mode == "eni" and not re.fullmatch("eni" + _ID, interface):
            name = "service" if place == 0 else f"service-{place + 1}"
            interface = self._fill(one.interface, identifier("eni", name), "a network interface")
        return replace(one, addresses=held, interface=interface)

    def _address(self, given: str, mode: Mode) -> str:
        try:
            return str(ip_address(given))
        except ValueError:
            pass
        if given in self.values:
            return self.values[given]
        taken = {*self.values.values(), *(address for one in self._resources() for address in one.addresses)}
        first = _FIRST_OVERLAY if mode == "overlay-ip" else self._private_network().network_address + _FIRST_SERVICE
        free = next(str(first + step) for step in range(200) if str(first + step) not in taken)
        return self._fill(given, free, "an address")

    def _fill(self, placeholder: str, value: str, what: str) -> str:
        if not placeholder:
            raise LabError(f"a resource of the address lacks {what}")
        known = self.values.setdefault(placeholder, value)
        sentence = f"'{placeholder}' is not {what}: it stands for {known}"
        if sentence not in self.told:
            self.told.append(sentence)
        return known

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _nodes(self) -> List[Tuple[str, Optional[int]]]:
        """Names and ids. Those of corosync.conf are the cluster's; then the file's, then those of its fencing."""
        found: Dict[str, Optional[int]] = {}
        for name, number, _ in self.corosync.nodes:
            found[name] = number
        if not found:
            found.update(self.configuration.nodes)
        if not found:
            found.update(dict.fromkeys(self.names))
        if not found:
            found.update(dict.fromkeys(name for name, _ in self._host_map()))
        if len(found) < 2 and self._host_map():
            found.update(dict.fromkeys(name for name, _ in self._host_map() if name not in found))
        if not found:
            self.told.append("it names no nodes: they are called node1 and node2")
        number = 1
        # The only node that is named runs no resource: a majority maker beside the others.
        least = 3 if len(found) == 1 and set(found) <= set(self.configuration.avoided) else 2
        while len(found) < least:
            if f"node{number}" not in found:
                found[f"node{number}"] = None
            number += 1
        if len(found) > _MOST_NODES:
            raise LabError(f"it has {len(found)} nodes, and a lab at most {_MOST_NODES}")
        for wanted in self.names:
            if wanted not in found:
                raise LabError(f"--node {wanted}: the cluster's nodes are {', '.join(found)}")
        if self.corosync.nodes:
            return list(found.items())
        # The first one has the primary: no majority maker, which resources avoid.
        return sorted(found.items(), key=lambda item: item[0] in self.configuration.avoided)

    def _host_map(self) -> List[Tuple[str, str]]:
        """Nodes and what a fence device calls them, by `pcmk_host_map` (pacemaker-fenced(7))."""
        found: List[Tuple[str, str]] = []
        for one in self.configuration.fence_devices:
            for entry in re.split(r"[;\s]+", one.parameters.get("pcmk_host_map", "")):
                name, colon, target = entry.partition(":")
                if colon and name:
                    found.append((name, target.split(",")[0]))
            if not one.parameters.get("pcmk_host_map"):
                for name in re.split(r"[,;\s]+", one.parameters.get("pcmk_host_list", "")):
                    if name:
                        found.append((name, one.parameters.get("plug") or one.parameters.get("port", "")))
        return found

    def _instances(self, names: Sequence[str]) -> Dict[str, str]:
        """The ids of the nodes' instances."""
        found: Dict[str, str] = {}
        listed = self._host_map()
        for given, target in listed:
            name = self.values.get(given, given)
            if name not in names:
                self.told.append(f"a fence device names the node '{name}', and the cluster has {', '.join(names)}")
            elif re.fullmatch("i" + _ID, target):
                found[name] = target
            elif target and target not in (given, name):
                shared = len({one for one, other in listed if other == target}) > 1
                if shared:
                    # One word for every instance: it is replaced together with the node that it follows.
                    self.values[f"{given}:{target}"] = f"{name}:{identifier('i', name)}"
                    self.told.append(f"'{target}' is not an instance: that of {name} is {identifier('i', name)}")
                    found[name] = identifier("i", name)
                else:
                    found[name] = self._fill(target, identifier("i", name), "an instance")
        return {name: found.get(name, identifier("i", name)) for name in names}

    def _region(self) -> str:
        for given in self._parameter_values("region"):
            if _REGION.fullmatch(given):
                return given
        for given in self._parameter_values("region"):
            return self._fill(given, REGION, "a Region")
        return REGION

    # -- network ------------------------------------------------------------------------------------------------------

    def _table_tags(self) -> Iterator[Tuple[str, str]]:
        for one in self._ours():
            for table in _split(one.parameters.get("routing_table", "")):
                if table.startswith("tag:") and "=" in table:
                    key, _, value = table[len("tag:") :].partition("=")
                    yield key, value

    def _private_network(self) -> IPv4Network:
        """The /24 that the nodes share where a private address moves."""
        for one in self._resources():
            for address in one.addresses:
                with_version = _parsed(address)
                if one.mode != "overlay-ip" and isinstance(with_version, IPv4Address):
                    return ip_network(f"{with_version}/24", strict=False)  # type: ignore[return-value]
        for _, _, given in self.corosync.nodes:
            known = _parsed(given)
            if isinstance(known, IPv4Address):
                return ip_network(f"{known}/24", strict=False)  # type: ignore[return-value]
        return IPv4Network("10.0.1.0/24")

    def _topology(
        self,
        found: List[AddressResource],
        region: str,
        nodes: Sequence[Tuple[str, Optional[int]]],
        instances: Mapping[str, str],
    ) -> Tuple[Topology, List[AddressResource]]:
        overlays = [_parsed(address) for one in found if one.mode == "overlay-ip" for address in one.addresses]
        privates = [_parsed(address) for one in found if one.mode != "overlay-ip" for address in one.addresses]
        mode = found[0].mode
        if len({one.mode == "overlay-ip" for one in found}) > 1:
            self.told.append("it has overlay and private addresses: the nodes share a subnet")
        shared = any(one.mode != "overlay-ip" for one in found)
        given = [_parsed(address) for _, _, address in self.corosync.nodes]
        fixed = [one for one in given if isinstance(one, IPv4Address)]
        cidr = self._cidr(overlays, privates, fixed)
        count = len(_ZONES[: len(nodes)])
        subnets = self._subnets(cidr, shared, fixed, count, region)
        tables, extra = self._tables(found, [one.name for one in subnets])
        subnets = [replace(one, route_table_id=tables[one.name]) for one in subnets]
        taken = {*overlays, *privates, *fixed}
        placed: List[Node] = []
        for place, (name, _) in enumerate(nodes):
            home = self._home(subnets, shared, fixed, place)
            own = fixed[place] if len(fixed) == len(nodes) else self._free(home, _FIRST_HOST + place, taken)
            taken.add(own)
            six = home.ipv6_cidr.network_address + _FIRST_HOST + place
            placed.append(Node(name, home, own, six, instance_id=instances[name]))
        consumers = tuple(
            Consumer(
                f"consumer-{one.name}",
                one,
                self._free(one, _FIRST_CONSUMER + place, taken),
                one.ipv6_cidr.network_address + _FIRST_CONSUMER + place,
            )
            for place, one in enumerate(subnets)
        )
        interfaces, found = self._interfaces(found, subnets[0], taken)
        four = [one for one in overlays if isinstance(one, IPv4Address)]
        outside = next(each for each in _ELSEWHERE if not any(one in each for one in (*four, *privates)))
        role = next(filter(None, map(_ROLE.fullmatch, self._roles())), None)
        topology = Topology(
            tuple(subnets),
            tuple(placed),
            consumers,
            interfaces,
            region=region,
            cidr=cidr,
            extra_route_tables=tuple(extra),
            shared_vpc_owner=None if role is None else role[1],
            on_premises=replace(ON_PREMISES, cidr=outside, address=outside.network_address + 10),
            source_dest_check=mode != "overlay-ip",
            private=next((one for one in privates if isinstance(one, IPv4Address)), None)
            if mode == "private-ip"
            else None,
            private_ipv6=subnets[0].ipv6_cidr.network_address + _FIRST_SERVICE if mode == "private-ip" else None,
            overlay=four[0] if four else _FIRST_OVERLAY if _FIRST_OVERLAY not in cidr else IPv4Address("192.0.2.10"),
            more_overlays=tuple(dict.fromkeys(one for one in overlays if one is not None and one not in four[:1])),
        )
        return topology, found

    def _cidr(
        self, overlays: Sequence[Optional[Address]], privates: Sequence[Optional[Address]], fixed: Sequence[IPv4Address]
    ) -> IPv4Network:
        anchors = [*(one for one in privates if isinstance(one, IPv4Address)), *fixed]
        if anchors:
            found = IPv4Network(f"{anchors[0]}/16", strict=False)
            for one in anchors:
                if one not in found:
                    raise LabError(f"{one} and {anchors[0]} are not of one VPC of the lab, which is a /16")
            for overlay in overlays:
                if isinstance(overlay, IPv4Address) and overlay in found:
                    raise LabError(
                        f"{overlay} is within {found}, the network of the nodes: an overlay address is outside"
                    )
            return found
        for candidate in _VPCS:
            if not any(isinstance(one, IPv4Address) and one in candidate for one in overlays):
                return candidate
        raise LabError(f"the lab has no network for its nodes that is free of {', '.join(map(str, overlays))}")

    def _subnets(
        self, cidr: IPv4Network, shared: bool, fixed: Sequence[IPv4Address], count: int, region: str
    ) -> List[SubnetSpec]:
        if shared:
            networks = [self._private_network()]
        else:
            networks = list(dict.fromkeys(IPv4Network(f"{one}/24", strict=False) for one in fixed))
        for network in cidr.subnets(new_prefix=24):
            if len(networks) >= count:
                break
            # Not the first one, whose addresses look like the network's own.
            if network not in networks and network.network_address != cidr.network_address:
                networks.append(network)
        return [
            SubnetSpec(
                _ZONES[place],
                region + _ZONES[place],
                network,
                IPv6Network(f"2001:db8:1000:{place + 1}::/64"),
            )
            for place, network in enumerate(networks[: len(_ZONES)])
        ]

    @staticmethod
    def _home(subnets: Sequence[SubnetSpec], shared: bool, fixed: Sequence[IPv4Address], place: int) -> SubnetSpec:
        if place < len(fixed):
            return next(one for one in subnets if fixed[place] in one.cidr)
        return subnets[0] if shared else subnets[place % len(subnets)]

    @staticmethod
    def _free(home: SubnetSpec, host: int, taken: Set[Optional[Address]]) -> IPv4Address:
        return next(
            address
            for address in (home.cidr.network_address + number % 250 + 1 for number in range(host - 1, host + 200))
            if address not in taken
        )

    def _tables(self, found: Sequence[AddressResource], names: Sequence[str]) -> Tuple[Dict[str, str], List[str]]:
        """The id of each subnet's table, and those of tables that no subnet uses."""
        every: List[str] = []
        for one in found:
            every += [table for table in one.tables if re.fullmatch("rtb" + _ID, table) and table not in every]
        own = {name: identifier("rtb", name) for name in names}
        open_names = [name for place, name in enumerate(names) if place >= len(every)]
        loose = [
            (one, table)
            for one in found
            for table in one.tables
            if not re.fullmatch("rtb" + _ID, table) and table != "auto" and not table.startswith("tag:")
        ]
        chosen = dict(zip(names, every))
        for one, table in loose:
            if table in self.values:
                continue
            if len(one.tables) == 1:
                ids = [chosen.get(name, own[name]) for name in names]
                self._fill(table, ",".join(ids), "the id of a route table")
                continue
            name = open_names.pop(0) if open_names else ""
            made = own[name] if name else identifier("rtb", table)
            if name:
                chosen[name] = made
            else:
                every.append(made)
            self._fill(table, made, "the id of a route table")
        named = any(one.mode == "overlay-ip" for one in found) and not loose
        dynamic = any(table == "auto" or table.startswith("tag:") for one in found for table in one.tables)
        last = next(reversed(list(chosen.values())), "")
        for name in names:
            if name not in chosen:
                # A VPC may have one route table for several subnets.
                chosen[name] = last if named and not dynamic and last else own[name]
        if len(set(chosen.values())) < len(names):
            self.told.append(f"it names fewer route tables than there are zones: subnets share {last}")
        return chosen, [table for table in every if table not in chosen.values()]

    def _interfaces(
        self, found: List[AddressResource], home: SubnetSpec, taken: Set[Optional[Address]]
    ) -> Tuple[Tuple[InterfaceSpec, ...], List[AddressResource]]:
        made: List[InterfaceSpec] = []
        changed: List[AddressResource] = []
        for one in found:
            if one.mode != "eni":
                changed.append(one)
                continue
            held = [_parsed(address) for address in one.addresses]
            four = [address for address in held if isinstance(address, IPv4Address)]
            if not four:
                four = [self._free(home, _FIRST_SERVICE + len(made), taken)]
                taken.add(four[0])
                self.told.append(f"{one.interface} has the address {four[0]}")
            six = tuple(address for address in held if isinstance(address, IPv6Address))
            made.append(InterfaceSpec(f"service-{len(made) + 1}", home, tuple(four), six, one.interface))
            changed.append(replace(one, addresses=tuple(map(str, (*four, *six)))))
        return tuple(made), changed


def _split(text: str) -> Tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parsed(text: str) -> Optional[Address]:
    try:
        return ip_address(text)
    except ValueError:
        return None
