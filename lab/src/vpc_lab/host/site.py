"""The parts of a lab, put together: the VPC in the kernel, the account, the instances, the faults."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Tuple

from vpc_lab.ec2.account import Timing
from vpc_lab.ec2.cloud import Cloud
from vpc_lab.errors import LabError
from vpc_lab.fabric.kernel import Fabric
from vpc_lab.host import cluster_files, empty_account
from vpc_lab.host.agents import agents_directory, services_of
from vpc_lab.host.boot import Service
from vpc_lab.host.disk import copy_etc
from vpc_lab.host.event_log import EventLog
from vpc_lab.host.guest import FILES, Guest, Image
from vpc_lab.host.injection.conditions import Lags, Places
from vpc_lab.host.injection.injector import Injector
from vpc_lab.host.machines import Machines
from vpc_lab.host.rundir import RunDir
from vpc_lab.settings import Settings
from vpc_lab.topology import InstanceSpec, Topology
from vpc_lab.vpc import InstanceState
from vpc_lab.world import World

Files = Mapping[str, Tuple[str, int, Optional[str]]]


class Site:
    """One lab from the inside. Nothing of it is there before `build`."""

    def __init__(self, rundir: RunDir, topology: Topology, settings: Settings) -> None:
        self.rundir = rundir
        self.topology = topology
        self.settings = settings
        self.events = EventLog()
        # What EC2 last called each instance.
        self._states: Dict[str, InstanceState] = {}
        # The Elastic IP for the agent to associate, where the lab has one.
        self.allocation: Optional[str] = None
        self.fabric = Fabric(
            topology,
            settings.nic_seconds,
            route_lag=settings.route_lag_seconds,
            rename_after=settings.rename_seconds,
            stale_neighbours=settings.stale_neighbours,
            nic=settings.nic,
            seed=settings.seed,
        )
        self.machines = Machines(self.fabric, self.events, settings.shutdown_seconds, settings.boot_seconds)
        self.cloud = Cloud(
            topology,
            self._on_world,
            self.machines.switched_by_ec2,
            timing=Timing(
                attach=settings.attach_seconds,
                detach=settings.detach_seconds,
                forced_detach=settings.forced_detach_seconds,
                imds_interface_lag=settings.imds_lag_seconds,
                remap=settings.remap_seconds,
                imds_address_lag=settings.imds_address_lag_seconds,
                shutdown_limit=settings.shutdown_limit_seconds if settings.graceful_stop else 0.0,
            ),
        )
        self.cloud.account.dead_indexes_after_force = settings.dead_indexes
        moving = topology.service_interface
        self.injector = Injector(
            self.machines,
            self.cloud,
            self.fabric,
            self.events,
            Places(
                tuple(one.name for one in topology.instances),
                tuple(dict.fromkeys(one.availability_zone for one in topology.subnets)),
                tuple(there.name for there in topology.outside),
            ),
            Lags(settings.route_lag_seconds, settings.remap_seconds, settings.imds_address_lag_seconds),
            moving=None if moving is None else moving.network_interface_id,
            dead_indexes=settings.dead_indexes,
        )
        self.machines.on_loss = self.injector.power_lost
        self.machines.on_launch = self._launched
        self._image: Optional[Image] = None

    def build(self, say: Callable[[str], None]) -> None:
        """Make everything, in the order in which it needs each other. `say` hears of progress."""
        say("laying out the VPC")
        self.fabric.open()
        # The addresses of the API have to exist before it can listen on them.
        self.fabric.apply(self.cloud.account.world)
        authority = self.cloud.serve(self.rundir.private / "tls").authority.read_text(encoding="ascii")
        self.rundir.ca_certificate.write_text(authority, encoding="ascii")
        etc = self.rundir.private / "etc"
        copy_etc(etc, map(Path, FILES))
        self._image = image = Image(
            private=self.rundir.private,
            etc=etc,
            ca_bundle=self._ca_bundle(authority),
            agents=agents_directory(
                self.rundir.private / "agents",
                None if self.settings.agents is None else Path(self.settings.agents),
                self.settings.alias,
                installed=self.settings.installed,
            ),
            hosts=self._hosts(),
        )
        for one in self.topology.instances:
            files, services = self._cluster_parts(one)
            self.machines.add(Guest(one.name, image, files=files, services=services), one.instance_id)
        for there in self.topology.outside:
            files, commands = empty_account.workstation(self.topology) if self.topology.empty else ({}, {})
            self.machines.add(Guest(there.name, image, files=files, services=(), commands=commands), None, there)
        if self.topology.service_interface is not None:
            self.elastic_ip()
        elif self.settings.mode == "overlay-ip" and self.topology.internet is not None and not self.topology.empty:
            self.allocation = self.cloud.allocate_elastic_ip().allocation_id
        say("booting " + ", ".join(self.machines.instances))
        self.machines.boot_all()

    def elastic_ip(self) -> IPv4Address:
        """Associate an Elastic IP with the service's address, as an administrator would; the public address.

        In overlay-ip only the agent associates it, with an address of the node's.
        """
        if self.allocation is not None:
            return self.cloud.account.world.elastic_ips[self.allocation].public_ip
        service = self.topology.service_address
        if service is None:
            raise LabError(
                "an overlay address is no address of a network interface and cannot have an Elastic IP; with"
                " `lab up --internet` the lab has one for the agent to associate (allocation_id)"
            )
        return self.cloud.give_elastic_ip(service)

    def new_route_table(self, subnet: str) -> str:
        """Give a subnet, by its name in the topology, a route table of its own; its id.

        It has the routes of the one before, but none to an ENI: as with a subnet that is added to the VPC.
        """
        account, names = self.cloud.account, [one.name for one in self.topology.subnets]
        if subnet not in names:
            raise LabError(f"there is no subnet '{subnet}'; there are {', '.join(names)}")
        subnet_id = self.topology.subnet(subnet).subnet_id
        table = account.world.route_table_of(subnet_id)
        association = next(one for one in table.associations if one.subnet_id == subnet_id)
        old, before = table.route_table_id, set(account.world.route_tables)
        self.cloud.aws.api.administer("CreateRouteTable", VpcId=account.vpc_id)
        (made,) = set(account.world.route_tables) - before
        account.change(lambda world: world.with_routes_of(old, made))
        self.cloud.aws.api.administer(
            "ReplaceRouteTableAssociation", AssociationId=association.association_id, RouteTableId=made
        )
        account.settle()
        return made

    def _on_world(self, world: World) -> None:
        """EC2 hands on what took effect: to the fabric, and to the event log what became of instances."""
        names = {instance_id: name for name, instance_id in self.machines.ids.items()}
        for one in world.instances.values():
            if self._states.get(one.instance_id) != one.state:
                self._states[one.instance_id] = one.state
                name = names.get(one.instance_id, one.instance_id)
                self.events.add("instance-state", instance=name, state=one.state)
        self.fabric.apply(world)

    def _cluster_parts(self, one: InstanceSpec) -> Tuple[Files, Tuple[Service, ...]]:
        if one.role != "node" or not self.settings.boot_cluster:
            return {}, ()
        nodes = self.topology.nodes
        conf = cluster_files.corosync_conf(
            {node.name: str(node.address) for node in nodes},
            token_ms=self.settings.token_ms,
            node_ids=self.settings.node_ids,
        )
        cib = cluster_files.seeded_cib(
            {node.name: node.instance_id for node in nodes},
            region=self.topology.region,
            fencing=self.settings.fencing,
            node_ids=self.settings.node_ids,
        )
        files: Files = {
            "/etc/corosync/corosync.conf": (conf, 0o644, None),
            # Known to whoever reads this: nothing but the lab's own namespaces ever sees its packets.
            "/etc/corosync/authkey": ("lab" * 64, 0o400, None),
            "/var/lib/pacemaker/cib/cib.xml": (cib, 0o600, "hacluster:haclient"),
        }
        agents = None if self._image is None else self._image.agents
        return files, (*services_of(agents), *cluster_files.SERVICES)

    def _launched(self, instance_id: str) -> None:
        """Somebody has called RunInstances: the guest behind the instance."""
        if self._image is None:
            raise LabError("the lab is not built yet")
        account = self.cloud.account
        # EC2 powers it in a thread of its own, which may be quicker than the call's answer.
        account.wait_for(lambda world: instance_id in world.instances)
        one = next(one for one in account.instances() if one.instance_id == instance_id)
        guest = Guest(
            one.name, self._image, files={}, services=empty_account.SERVICES, commands=empty_account.instance_commands()
        )
        self.machines.add(guest, instance_id)
        self.injector.add_instance(one.name, account.world.instances[instance_id].availability_zone)

    def _hosts(self) -> str:
        lines = [f"{one.address} {one.name}\n" for one in self.topology.instances]
        lines.append(f"{self.topology.api_address} {' '.join(self.topology.api_host_names())}\n")
        return "".join(lines)

    def _ca_bundle(self, authority: str) -> Path:
        """The host's authorities and the lab's."""
        bundle = self.rundir.private / "ca-bundle.pem"
        system = Path("/etc/ssl/certs/ca-certificates.crt")
        bundle.write_text((system.read_text(encoding="ascii") if system.exists() else "") + authority, encoding="ascii")
        return bundle
