"""What runs a lab from the inside: builds the VPC, boots the instances, takes orders on a unix socket.

It lives in the lab's own namespaces (see `launcher`); when it ends, for whatever reason, so does everything else.
Orders are one JSON object on a line, `{"do": VERB, ...}`; the answer is one line, `{"ok": true, "result": …}` or
`{"ok": false, "error": "a sentence"}`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socketserver
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from vpc_lab import examples
from vpc_lab.ec2.account import Power, Timing
from vpc_lab.ec2.cloud import Cloud
from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.iam.identity import Role
from vpc_lab.ec2.iam.policies import Policy
from vpc_lab.errors import LabError
from vpc_lab.fabric.kernel import Fabric
from vpc_lab.host import cluster_files
from vpc_lab.host.agents import agents_directory
from vpc_lab.host.boot import Service
from vpc_lab.host.disk import copy_etc
from vpc_lab.host.event_log import EventLog
from vpc_lab.host.guest import FILES, Guest, Image
from vpc_lab.host.rundir import RunDir
from vpc_lab.settings import Settings
from vpc_lab.topology import InstanceSpec, Outside, Topology
from vpc_lab.vpc import Address, InstanceState, RouteOrigin, RouteState
from vpc_lab.world import World

Values = Dict[str, Any]
Files = Mapping[str, Tuple[str, int, Optional[str]]]


class Supervisor:
    """The lab's parts and the verbs on them. Each verb may be called from any thread."""

    def __init__(self, rundir: RunDir, topology: Topology, settings: Settings) -> None:
        self._rundir = rundir
        self._topology = topology
        self._settings = settings
        self.timeline = EventLog()
        self.ended = threading.Event()
        # The Elastic IP for the agent to associate, where the lab has one.
        self._allocation: Optional[str] = None
        self._fabric = Fabric(
            topology,
            settings.nic_seconds,
            route_lag=settings.route_lag_seconds,
            rename_after=settings.rename_seconds,
            stale_neighbours=settings.stale_neighbours,
            seed=settings.seed,
        )
        self._cloud = Cloud(
            topology,
            self._on_network,
            self._on_power,
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
        self._cloud.account.dead_indexes_after_force = settings.dead_indexes
        self._instances: Dict[str, Guest] = {}
        self._ids: Dict[str, str] = {one.name: one.instance_id for one in self._cloud.account.instances()}
        # What EC2 last called each instance.
        self._states: Dict[str, InstanceState] = {}

    def build(self, say: Callable[[str], None]) -> None:
        """Make everything, in the order in which it needs each other. `say` hears of progress."""
        say("laying out the VPC")
        self._fabric.open()
        # The addresses of the API have to exist before it can listen on them.
        self._fabric.apply(self._cloud.account.world)
        authority = self._cloud.serve(self._rundir.private / "tls").authority.read_text(encoding="ascii")
        self._rundir.ca_certificate.write_text(authority, encoding="ascii")
        etc = self._rundir.private / "etc"
        copy_etc(etc, map(Path, FILES))
        image = Image(
            private=self._rundir.private,
            etc=etc,
            ca_bundle=self._ca_bundle(authority),
            agents=agents_directory(
                self._rundir.private / "agents",
                None if self._settings.agents is None else Path(self._settings.agents),
                self._settings.alias,
            ),
            hosts=self._hosts(),
        )
        for planned in self._topology.instances:
            files, services = self._cluster_parts(planned)
            self._instances[planned.name] = Guest(planned.name, image, files=files, services=services)
        for there in self._topology.outside:
            self._instances[there.name] = Guest(there.name, image, files={}, services=())
        if self._topology.service_interface is not None:
            self.do_elastic_ip()
        elif self._settings.mode == "overlay-ip" and self._topology.internet is not None:
            self._allocation = self._cloud.allocate_elastic_ip().allocation_id
        say("booting " + ", ".join(self._instances))
        with ThreadPoolExecutor(len(self._instances)) as pool:
            list(pool.map(self._boot, self._instances))
        for name in self._ids:
            self.timeline.add("power-on", instance=name, why="the lab came up")

    def _cluster_parts(self, one: InstanceSpec) -> Tuple[Files, Tuple[Service, ...]]:
        if one.role != "node" or not self._settings.boot_cluster:
            return {}, ()
        nodes = self._topology.nodes
        conf = cluster_files.corosync_conf(
            {node.name: str(node.address) for node in nodes}, token_ms=self._settings.token_ms
        )
        cib = cluster_files.seeded_cib(
            {node.name: node.instance_id for node in nodes},
            region=self._topology.region,
            fencing=self._settings.fencing,
        )
        files: Files = {
            "/etc/corosync/corosync.conf": (conf, 0o644, None),
            # Known to whoever reads this: nothing but the lab's own namespaces ever sees its packets.
            "/etc/corosync/authkey": ("lab" * 64, 0o400, None),
            "/var/lib/pacemaker/cib/cib.xml": (cib, 0o600, "hacluster:haclient"),
        }
        return files, cluster_files.SERVICES

    def _hosts(self) -> str:
        lines = [f"{one.address} {one.name}\n" for one in self._topology.instances]
        lines.append(f"{self._topology.api_address} {' '.join(self._topology.api_host_names())}\n")
        return "".join(lines)

    def _ca_bundle(self, authority: str) -> Path:
        """The host's authorities and the lab's."""
        bundle = self._rundir.private / "ca-bundle.pem"
        system = Path("/etc/ssl/certs/ca-certificates.crt")
        bundle.write_text((system.read_text(encoding="ascii") if system.exists() else "") + authority, encoding="ascii")
        return bundle

    def _boot(self, name: str) -> None:
        instance = self._instances[name]
        with instance.lock:
            if instance.running:
                return
            pid = instance.start()
            if name in self._ids:
                self._fabric.power_on(self._ids[name], pid)
            else:
                self._fabric.plug_outside(self._outside(name), pid)
            instance.go()

    def _on_network(self, world: World) -> None:
        """EC2 hands on what took effect: to the fabric, and to the event log what became of instances."""
        names = {instance_id: name for name, instance_id in self._ids.items()}
        for one in world.instances.values():
            if self._states.get(one.instance_id) != one.state:
                self._states[one.instance_id] = one.state
                name = names.get(one.instance_id, one.instance_id)
                self.timeline.add("instance-state", instance=name, state=one.state)
        self._fabric.apply(world)

    def _on_power(self, instance_id: str, power: Power) -> None:
        """EC2 switches an instance, because somebody called StopInstances or StartInstances."""
        name = next(name for name, known in self._ids.items() if known == instance_id)
        if power == "shutdown":
            self.timeline.add("shutdown", instance=name, why="EC2 asks its system to")
            self._instances[name].shut_down(self._settings.shutdown_seconds)
        elif power == "off":
            self._switch_off(name, "stopped by EC2")
        else:
            self._switch_on(name, "started by EC2")

    def _switch_off(self, name: str, why: str) -> None:
        instance = self._instances[name]
        with instance.lock:
            if instance.running:
                self.timeline.add("power-off", instance=name, why=why)
                # The devices first: what has no power does not even answer a ping while the kernel clears up.
                self._fabric.power_off(self._ids[name])
                instance.kill()
                self._cloud.account.unresponsive.discard(self._ids[name])

    def _switch_on(self, name: str, why: str) -> None:
        if not self._instances[name].running:
            self._boot(name)
            self.timeline.add("power-on", instance=name, why=why)

    def answer(self, order: Values) -> object:
        """Do what an order says; LabError with a sentence for the user if it cannot be done."""
        verb = str(order.pop("do", ""))
        method = getattr(self, "do_" + verb.replace("-", "_"), None)
        if method is None:
            raise LabError(f"the lab knows no order '{verb}'")
        return method(**order)

    def do_status(self) -> Values:
        """What there is and how it is."""
        roles = {one.name: one.role for one in self._topology.instances}
        instances = [
            {
                **instance.describe(),
                "role": roles.get(name, "outside"),
                "instance_id": self._ids.get(name),
                "state": self._cloud.state(self._ids[name]) if name in self._ids else "running",
                "address": self._address(name),
            }
            for name, instance in self._instances.items()
        ]
        account = self._cloud.account
        return {
            "name": self._rundir.name,
            "region": self._topology.region,
            "instances": instances,
            "route_tables": list(account.route_table_ids),
            "network_interfaces": {one.name: one.network_interface_id for one in account.instances()},
            "overlay": str(self._topology.overlay),
            "overlay_ipv6": str(self._topology.overlay_ipv6),
            "routes": {str(address): self._cloud.routes(address) for address in self._overlays()},
            "route_lag": self._fabric.route_lag,
            "routes_under_way": [[name, str(destination)] for name, destination in self._fabric.routes_under_way()],
            "mode": self._settings.mode,
            "layout": self._settings.layout,
            "service": self._service(),
            "cuts": sorted(sorted(pair) for pair in self._fabric.cuts.pairs),
            "places": list(self._fabric.places()),
            "faults": self._cloud.faults(),
            "errors": [f"{type(error).__name__}: {error}" for error in account.callback_errors],
        }

    def _overlays(self) -> Tuple[Address, ...]:
        """The topology's overlay addresses, then every other single address that a route leads to an ENI."""
        found: List[Address] = [self._topology.overlay, self._topology.overlay_ipv6]
        for table in self._cloud.account.world.route_tables.values():
            for route in table.routes:
                if route.target.startswith("eni-") and route.destination.prefixlen == route.destination.max_prefixlen:
                    found.append(route.destination.network_address)
        return tuple(dict.fromkeys(found))

    def _service(self) -> Values:
        """The address that moves in the modes `eni` and `private-ip`, and who has it.

        In overlay-ip the Elastic IP that moves with it, if the lab has one, and who has that; else empty.
        """
        account, planned = self._cloud.account, self._topology.service_interface
        if planned is not None:
            eni = planned.network_interface_id
            holder, attachment = account.holder_of(eni)
            return {
                "network_interface_id": eni,
                "mac": account.world.interfaces[eni].mac,
                "addresses": [str(address) for address in planned.addresses],
                "elastic_ips": self._elastic_ips(),
                "holder": holder,
                "attachment": attachment,
            }
        if self._allocation is not None:
            found = account.world.elastic_ips[self._allocation]
            holders = [] if found.private_ip is None else account.holders_of(found.private_ip)
            return {
                "allocation_id": self._allocation,
                "addresses": [str(self._topology.overlay)],
                "elastic_ips": {str(self._topology.overlay): str(found.public_ip)},
                "holder": ", ".join(holders) or None,
            }
        if self._topology.private is None or self._topology.private_ipv6 is None:
            return {}
        holders = account.holders_of(self._topology.private)
        return {
            "addresses": [str(self._topology.private), str(self._topology.private_ipv6)],
            "elastic_ips": self._elastic_ips(),
            "holder": ", ".join(holders) or None,
        }

    def _elastic_ips(self) -> Dict[str, str]:
        private = self._topology.service_address
        public = None if private is None else self._cloud.account.public_ip_of(private)
        return {} if public is None else {str(private): str(public)}

    def _address(self, name: str) -> str:
        planned = next((one for one in self._topology.instances if one.name == name), None)
        return str(planned.address if planned else self._outside(name).address)

    def _outside(self, name: str) -> Outside:
        return next(there for there in self._topology.outside if there.name == name)

    def _ec2_instance(self, name: str) -> str:
        if name not in self._instances:
            raise LabError(f"there is no instance '{name}'; there are {', '.join(self._instances)}")
        if name not in self._ids:
            raise LabError(f"{name} is not an instance of the VPC: it has no power switch here")
        return self._ids[name]

    def do_power_off(self, name: str) -> None:
        """Take an instance's power away, as when its hardware fails: EC2 still calls it running."""
        self._ec2_instance(name)
        self._switch_off(name, "failed")

    def do_power_on(self, name: str) -> None:
        """Start an instance that failed or was stopped, with the disk it had."""
        instance_id = self._ec2_instance(name)
        self._cloud.start(instance_id)
        self._switch_on(name, "recovered")

    def do_stop(self, name: str, force: bool = False, skip_os_shutdown: bool = False) -> None:
        """StopInstances by an administrator; returns at once, with EC2 saying `stopping`."""
        flags = {"Force": force, "SkipOsShutdown": skip_os_shutdown}
        asked = {flag: "true" for flag, given in flags.items() if given}
        self._cloud.aws.api.administer("StopInstances", InstanceId=self._ec2_instance(name), **asked)

    def do_freeze(self, name: str, kernel: bool = True) -> None:
        """Let nothing run in an instance, nor (unless not `kernel`) its kernel answer; EC2 calls it running.

        It takes no part in a plain detachment then, which does not end.
        """
        instance_id = self._ec2_instance(name)
        instance = self._instances[name]
        with instance.lock:
            if not instance.running:
                raise LabError(f"{name} has no power")
            self.timeline.add("freeze", instance=name, why="" if kernel else "its kernel goes on")
            self._cloud.account.unresponsive.add(instance_id)
            instance.freeze(kernel=kernel)

    def do_thaw(self, name: str) -> None:
        """Let a frozen instance go on where it stood."""
        instance_id = self._ec2_instance(name)
        instance = self._instances[name]
        with instance.lock:
            if not instance.running:
                raise LabError(f"{name} has no power: `power-on` starts it")
            self.timeline.add("thaw", instance=name)
            instance.thaw()
            self._cloud.aws.api.responds_again(instance_id)

    def do_cut(self, one: str, other: str) -> None:
        """Cut the link between two places."""
        known = self._fabric.places()
        for place in (one, other):
            if place not in known:
                raise LabError(f"there is no place '{place}'; there are {', '.join(known)}")
        self._fabric.cut(one, other)
        self.timeline.add("cut", between=[one, other])

    def do_heal(self) -> None:
        """Mend every link that was cut."""
        self._fabric.heal()
        self.timeline.add("heal")

    def do_api(self, mode: str, **how: Any) -> None:
        """Make the API fail (see `Cloud.fail`; `unreachable`: no packet reaches it), or well again with `ok`."""
        callers = [(name, "api") for name in self._ids if how.get("caller") in (None, name)]
        if how.get("caller") is not None:
            self._ec2_instance(how["caller"])
        if mode == "ok":
            self._cloud.recover()
            self._fabric.mend(callers)
        elif mode == "unreachable":
            for pair in callers:
                self._fabric.cut(*pair)
        else:
            self._cloud.fail(mode, **how)
        self.timeline.add("api-mode", mode=mode, **how)

    def do_put_route(
        self,
        destination: str,
        target: str,
        route_table_id: Optional[str] = None,
        origin: RouteOrigin = "CreateRoute",
        state: Optional[RouteState] = None,
    ) -> None:
        """Set a route behind the cluster's back, in one table or in all; `target` may be an instance's name.

        `origin` and `state`: see `Account.put_route`.
        """
        world = self._cloud.account.world
        if target not in self._ids and target not in world.interfaces and target not in world.gateways:
            known = ", ".join((*self._ids, *world.gateways))
            raise LabError(f"there is no target '{target}'; there are {known}, and the ids of ENIs")
        table = self._route_table(route_table_id)
        self._cloud.account.put_route(_destination(destination), target, table, origin=origin, state=state)
        self._cloud.account.settle()
        self.timeline.add("route", destination=destination, target=target, route_table_id=table)

    def do_delete_route(
        self, destination: str, route_table_id: Optional[str] = None, origin: Optional[RouteOrigin] = None
    ) -> None:
        """Take a route away behind the cluster's back, or only that of one origin."""
        table = self._route_table(route_table_id)
        self._cloud.account.delete_route(_destination(destination), table, origin=origin)
        self._cloud.account.settle()
        self.timeline.add("route", destination=destination, target=None, route_table_id=table)

    def do_delete_route_table(self, route_table_id: str) -> None:
        """Delete a route table; its subnet uses the main one then."""
        table = self._route_table(route_table_id)
        try:
            self._cloud.account.delete_route_table(str(table))
        except ValueError as error:
            raise LabError(f"{error}, which EC2 does not delete") from error
        self._cloud.account.settle()
        self.timeline.add("route-table", route_table_id=table, deleted=True)

    def do_route_tables(self) -> List[str]:
        """The ids of all route tables of the VPC, also of those that are not in the topology."""
        return list(self._cloud.account.world.route_tables)

    def do_new_route_table(self, subnet: str) -> str:
        """Give a subnet, by its name in the topology, a route table of its own; returns its id.

        It has the routes of the one before, but none to an ENI: as with a subnet that is added to the VPC.
        """
        account, names = self._cloud.account, [one.name for one in self._topology.subnets]
        if subnet not in names:
            raise LabError(f"there is no subnet '{subnet}'; there are {', '.join(names)}")
        subnet_id = self._topology.subnet(subnet).subnet_id
        table = account.world.route_table_of(subnet_id)
        association = next(one for one in table.associations if one.subnet_id == subnet_id)
        old, before = table.route_table_id, set(account.world.route_tables)
        self._cloud.aws.api.administer("CreateRouteTable", VpcId=account.vpc_id)
        (made,) = set(account.world.route_tables) - before
        account.change(lambda world: world.with_routes_of(old, made))
        self._cloud.aws.api.administer(
            "ReplaceRouteTableAssociation", AssociationId=association.association_id, RouteTableId=made
        )
        account.settle()
        self.timeline.add("route-table", route_table_id=made, deleted=False)
        return made

    def _route_table(self, given: Optional[str]) -> Optional[str]:
        """The id of a table that is given by id or by its subnet's name; None for none."""
        account = self._cloud.account
        there = account.world.route_tables
        if given is None or given in there:
            return given
        names = {account.world.tags.get(table, {}).get("Name", table): table for table in there}
        if given not in names:
            raise LabError(f"there is no route table '{given}'; there are {', '.join(names)} ({', '.join(there)})")
        return names[given]

    def do_tag(self, resource: str, key: str, value: Optional[str] = None) -> None:
        """CreateTags by an administrator, or DeleteTags without a value; `resource` may be an instance's name."""
        about = {"ResourceId.1": self._ids.get(resource, resource), "Tag.1.Key": key}
        if value is None:
            self._cloud.aws.api.administer("DeleteTags", **about)
        else:
            self._cloud.aws.api.administer("CreateTags", **about, **{"Tag.1.Value": value})
        self.timeline.add("tag", resource=resource, key=key, value=value)

    def do_imds(self, name: str, on: bool) -> None:
        """Switch an instance's metadata service on, or off: it answers 403 then, as EC2's does."""
        self._ec2_instance(name)
        if on:
            self._cloud.account.imds_disabled.discard(name)
        else:
            self._cloud.account.imds_disabled.add(name)
        self.timeline.add("imds", instance=name, on=on)

    def do_remap_lag(self, seconds: float, imds: float = 0.0) -> None:
        """Let packets find a private address that moves so much later than EC2 says, and IMDS list it `imds` later."""
        if not (0 <= seconds < math.inf and 0 <= imds < math.inf):
            raise LabError("the lag of an address is a number of seconds, 0 or more")
        account = self._cloud.account
        account.timing = replace(account.timing, remap=seconds, imds_address_lag=imds)
        self.timeline.add("remap-lag", seconds=seconds, imds=imds)

    def do_dead_indexes(self, dead: bool) -> None:
        """Whether no NIC appears at a device index after a detachment by force, until the instance has been stopped."""
        self._cloud.account.dead_indexes_after_force = dead
        self.timeline.add("dead-indexes", dead=dead)

    def do_route_lag(self, seconds: float) -> None:
        """Let a written route become effective up to `seconds` later, for each source of traffic at its own moment."""
        if not 0 <= seconds < math.inf:
            raise LabError("the lag of routes is a number of seconds, 0 or more")
        self._fabric.delay_routes(seconds)
        self.timeline.add("route-lag", seconds=seconds)

    def do_restrict(self, policy: Optional[Mapping[str, Any]]) -> None:
        """Give the nodes' role this IAM policy document, or with none every permission again."""
        try:
            found = None if policy is None else Policy.from_document(policy)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"the lab does not understand this policy: {error}") from None
        self._cloud.account.identities.restrict_instances(found)
        self.timeline.add("policy", restricted=policy is not None)

    def do_expire_credentials(self, renew: bool = True) -> None:
        """Let EC2 call the nodes' present credentials expired; unless `renew`, IMDS hands the same ones out again."""
        self._cloud.account.identities.expire(renew=renew)
        self.timeline.add("expired-credentials", renew=renew)

    def do_put_role(self, arn: str, trusted_accounts: List[str]) -> None:
        """A role that these accounts may assume, such as the owner of a shared VPC lends for its route tables."""
        self._cloud.account.identities.put_role(Role(arn, trusted_accounts=frozenset(trusted_accounts)))

    def do_stuck_detach(self, stuck: bool) -> None:
        """Let a plain detachment of the service's ENI never end, or go well again."""
        planned = self._topology.service_interface
        if planned is None:
            raise LabError("this lab has no network interface that moves; bring it up with --mode eni")
        eni = planned.network_interface_id
        if stuck:
            self._cloud.account.stuck_detach.add(eni)
        else:
            self._cloud.account.stuck_detach.discard(eni)
        self.timeline.add("stuck-detach", stuck=stuck)

    def do_elastic_ip(self) -> str:
        """Associate an Elastic IP with the service's address, as an administrator would; the public address.

        In overlay-ip only the agent associates it, with an address of the node's.
        """
        if self._allocation is not None:
            return str(self._cloud.account.world.elastic_ips[self._allocation].public_ip)
        service = self._topology.service_address
        if service is None:
            raise LabError(
                "an overlay address is no address of a network interface and cannot have an Elastic IP; with"
                " `lab up --internet` the lab has one for the agent to associate (allocation_id)"
            )
        return str(self._cloud.give_elastic_ip(service))

    def do_settle(self) -> None:
        """Return when packets find all that EC2 has been told so far, but for what takes its time on purpose."""
        self._cloud.account.settle()

    def do_source_dest_check(self, name: str, checked: bool) -> None:
        """Switch the source/destination check of an instance's primary ENI."""
        self._ec2_instance(name)
        self._cloud.account.set_source_dest_check(name, checked)
        self._cloud.account.settle()
        self.timeline.add("source-dest-check", instance=name, checked=checked)

    def do_values(self) -> Mapping[str, str]:
        """What this lab has for the placeholders of a configuration."""
        return examples.values_of(self._topology, self._cloud.account.route_table_ids)

    def do_calls(self, since: float = 0.0, metadata: bool = False) -> List[Values]:
        """The API calls from the moment `since` on; those to IMDS only with `metadata`."""
        return self._cloud.calls(since, metadata=metadata)

    def do_events(self, since: float = 0.0) -> List[Values]:
        """The timeline from `since` on: power, links, faults, API calls."""
        return sorted([*self.timeline.since(since), *self._cloud.calls(since)], key=lambda event: float(event["time"]))

    def do_down(self) -> None:
        """End the lab."""
        self.ended.set()


def _destination(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise LabError(f"'{text}' is no destination of a route: {error}") from error


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        supervisor: Supervisor = self.server.supervisor  # type: ignore[attr-defined]
        line = self.rfile.readline()
        if not line:
            return  # somebody only wanted to know whether we live, or who we are
        try:
            reply: Values = {"ok": True, "result": supervisor.answer(json.loads(line))}
        except (LabError, ApiError) as error:
            reply = {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - the user gets a sentence, the log the rest
            traceback.print_exc()
            reply = {"ok": False, "error": f"the lab failed at this: {type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _serve(supervisor: Supervisor, rundir: RunDir) -> None:
    server = _Server(str(rundir.socket), _Handler)
    rundir.socket.chmod(0o600)
    server.supervisor = supervisor  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()


def main(rundir: RunDir, spec: str) -> int:
    """Build a lab and serve it until it is told to end. Progress and the outcome go to standard output as JSON."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(rundir.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def tell(**what: object) -> None:
        # The holder may have stopped listening; that is no reason to stop.
        with contextlib.suppress(BrokenPipeError):
            report.write(json.dumps(what) + "\n")
            report.flush()

    try:
        settings = Settings.from_json(spec)
        supervisor = Supervisor(rundir, settings.topology(), settings)
        supervisor.build(lambda text: tell(progress=text))
        _serve(supervisor, rundir)
    except Exception as error:  # noqa: BLE001 - told to the holder, and in full to the log
        traceback.print_exc()
        tell(error=str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}")
        return 1
    tell(ready=True)
    with contextlib.suppress(OSError):
        report.close()
    supervisor.ended.wait()
    return 0
