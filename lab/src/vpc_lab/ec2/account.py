"""The account: has the topology's VPC, owns the truth, lets time-consuming changes run, and tells the fabric.

Each `Account` is a world of its own: several in one process share nothing.
"""

from __future__ import annotations

import heapq
import logging
import math
import time
from collections import deque
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import count
from threading import Condition, Event, RLock, Thread
from typing import Callable, Deque, Dict, List, Literal, Optional, Set, Tuple, TypeVar, Union

from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.iam.identity import Identities
from vpc_lab.ec2.provision import MAIN, provision, table_ids
from vpc_lab.topology import InstanceSpec, Launched, Topology, is_host_name
from vpc_lab.vpc import (
    Interface,
    Route,
    RouteOrigin,
    RouteState,
    SecondaryInterface,
    identifier,
    mac_of,
)
from vpc_lab.world import World

# In `Account.imds_disabled`: the metadata endpoint of every instance is off, as an account's default can have it.
EVERY_INSTANCE = "*"
# `shutdown`: the operating system is asked to shut down, and has done so when the call returns.
Power = Literal["shutdown", "off", "on"]
# Seconds until the power goes anyhow, where `Timing` says none.
DEFAULT_SHUTDOWN_LIMIT = 300.0
# An instance as the lab knows it by its name.
OneInstance = Union[InstanceSpec, Launched]
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How long EC2 takes, in seconds; `math.inf` for never. Stop and start last at least as long as `on_power` does.

    `shutdown_limit`: stop, terminate and reboot let the operating system shut down first, unless SkipOsShutdown is set,
    and take the power away after so long whether it is down or not. AWS publishes no figure ("a few minutes" for a
    reboot, by RebootInstances' reference). 0: the system is not asked.
    `remap`: until packets find an address that AssignPrivateIpAddresses took from another ENI; EC2's reads tell of it
    at once. `imds_address_lag`: how much later than the packets the metadata has an address that was assigned.
    """

    attach: float = 0.0
    detach: float = 0.0
    forced_detach: float = 0.0
    stop: float = 0.0
    start: float = 0.0
    terminate: float = 0.0
    imds_interface_lag: float = 0.0
    shutdown_limit: float = 0.0
    remap: float = 0.0
    imds_address_lag: float = 0.0


@dataclass(frozen=True)
class Consistency:
    """How stale reads are. For `lag` seconds a write is not seen; with `alternating`, only by every second read."""

    lag: float = 0.0
    alternating: bool = False


class Account:
    """The AWS of one lab.

    `on_network` gets the world after every change that took effect, one call at a time, in order; changes
    that happen while it works are handed over together. `on_power(instance_id, "shutdown" | "off" | "on")` does the
    real thing and returns when it is done; the instance's state becomes final then. Both run in threads of the account.
    An exception in either is logged and kept in `callback_errors`; where `on_power` raises, the instance stays in
    the state between (`stopping`, `pending`).

    `instance_type`: of every instance.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        on_network: Optional[Callable[[World], None]] = None,
        on_power: Optional[Callable[[str, Power], None]] = None,
        timing: Timing = Timing(),
        instance_type: str = "m5.large",
    ) -> None:
        self.topology = topology
        self.timing = timing
        self.consistency = Consistency()
        self.route_quota = 500
        # ENIs whose plain detachment does not end, and instances that take part in none.
        self.stuck_detach: Set[str] = set()
        self.unresponsive: Set[str] = set()
        # Instances whose system shuts down first when EC2 stops them, whatever `timing` says.
        self.shut_down_first: Set[str] = set()
        # After a detachment by force no NIC appears at that device index until the instance has stopped and started.
        self.dead_indexes_after_force = False
        # The names of instances whose metadata endpoint is off (HttpEndpoint=disabled); EVERY_INSTANCE for all.
        self.imds_disabled: Set[str] = set()
        self.callback_errors: List[BaseException] = []
        self.identities = Identities(topology.account_id, topology.instance_role, topology.region)
        self.table_owner_id = topology.table_owner_id
        self._on_network = on_network
        self._on_power = on_power
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._instances: Dict[str, OneInstance] = {one.name: one for one in topology.instances}
        self._interface_ids = {one.name: one.network_interface_id for one in topology.interfaces}
        self._table_ids = table_ids(topology)
        self._world = provision(topology, time.time(), instance_type=instance_type)
        self._history: Deque[Tuple[float, World]] = deque([(-math.inf, self._world)], maxlen=4096)
        self._alternation = count()
        self._told = self._world
        self._telling = False
        self._powering: Dict[str, int] = {}
        self._due: List[Tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._closed = False
        self._ended = Event()
        self._threads = [
            Thread(target=self._tell, name="aws-network", daemon=True),
            Thread(target=self._run_due, name="aws-clock", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The truth now."""
        return self._world

    @property
    def vpc_id(self) -> str:
        """The VPC."""
        return self._world.vpc.vpc_id

    @property
    def route_table_ids(self) -> Tuple[str, ...]:
        """The subnets' tables in the topology's order, then the extra ones; without the main table and deleted ones.

        In an account that began without a VPC, all that were made.
        """
        there = self._world.route_tables
        if self.topology.empty:
            return tuple(
                one.route_table_id
                for one in there.values()
                if all(held.subnet_id is not None for held in one.associations)
            )
        found = (value for name, value in self._table_ids.items() if name != MAIN and value in there)
        return tuple(dict.fromkeys(found))

    def route_table_id(self, name: str) -> str:
        """A table by name: a subnet's, `main`, or `extra-N` from 1."""
        return self._table_ids[name]

    @property
    def transit_gateway_id(self) -> str:
        """The transit gateway towards the on-premises network."""
        return self._world.gateways[0]

    def public_ip_of(self, address: Union[IPv4Address, IPv6Address]) -> Optional[IPv4Address]:
        """The Elastic IP associated with a private address, if it has one."""
        found = self._world.elastic_ip_of(address) if isinstance(address, IPv4Address) else None
        return None if found is None else found.public_ip

    def metadata_is_on(self, instance_id: str) -> bool:
        """Whether an instance's metadata endpoint answers."""
        names = {one.instance_id: one.name for one in self._instances.values()}
        return not self.imds_disabled & {EVERY_INSTANCE, names.get(instance_id, instance_id)}

    def instance(self, name: str) -> InstanceSpec:
        """An instance of the topology by its name."""
        return next(one for one in self.topology.instances if one.name == name)

    def named(self, name: str) -> OneInstance:
        """An instance by its name: one of the topology, or one that was launched since."""
        return self._instances[name]

    def interface_id(self, name: str) -> str:
        """The id of an ENI of the topology that belongs to no instance."""
        return self._interface_ids[name]

    def holder_of(self, network_interface_id: str) -> Tuple[Optional[str], Optional[str]]:
        """The name of the instance that an ENI is attached to, and the attachment's status; None, None for neither."""
        held = self._world.interfaces[network_interface_id].attachment
        if held is None:
            return None, None
        names = {one.instance_id: one.name for one in self._instances.values()}
        return names.get(held.instance_id, held.instance_id), held.status

    def holders_of(self, address: Union[IPv4Address, IPv6Address]) -> Tuple[str, ...]:
        """The names of the instances with an attached ENI that has `address`."""
        found = (
            self.holder_of(one.network_interface_id)[0]
            for one in self._world.interfaces.values()
            if address in (*one.ipv4, *one.ipv6)
        )
        return tuple(name for name in found if name is not None)

    def instances(self) -> Tuple[OneInstance, ...]:
        """All instances of the topology, and those that were launched since."""
        with self._lock:
            return tuple(self._instances.values())

    def instance_at(self, address: str) -> Optional[OneInstance]:
        """The instance with this address on an ENI attached to it; its own address counts without power too."""
        for one in self.instances():
            # A terminated instance has no ENI; its address may be another's by now.
            if address in (str(one.address), str(one.ipv6_address)) and self.is_there(one.instance_id):
                return one
        holders = {
            one.attachment.instance_id
            for one in self._world.interfaces.values()
            if one.attachment is not None and address in map(str, (*one.ipv4, *one.ipv6))
        }
        return next((one for one in self.instances() if one.instance_id in holders), None)

    def is_there(self, instance_id: str) -> bool:
        """Whether EC2 knows an instance that is not terminated."""
        found = self._world.instances.get(instance_id)
        return found is not None and found.state != "terminated"

    def add_launched(self, world: World, instance_id: str) -> Launched:
        """One more instance, which RunInstances has made in `world`; called under the lock of a change.

        Its name is its Name tag, if that can be a host name and nothing has it; else as EC2 makes host names, or its
        id. One with a role is a node, as a cluster's nodes need one.
        """
        made = world.instances[instance_id]
        (eni,) = world.interfaces_of(instance_id)
        by_address = "ip-" + str(eni.ipv4[0]).replace(".", "-")
        taken = {*self._instances, *(one.name for one in self.topology.outside), "api", "imds"}
        wanted = world.tags.get(instance_id, {}).get("Name", by_address)
        names = [name for name in (wanted, by_address) if is_host_name(name) and name not in taken]
        found = Launched(
            (names or [instance_id])[0],
            instance_id,
            eni.network_interface_id,
            eni.mac,
            eni.ipv4[0],
            "consumer" if made.role is None else "node",
        )
        self._instances[found.name] = found
        if made.role is not None:
            self.identities.give_role(instance_id, self.identities.role_arn(made.role))
        return found

    def routes_to(self, destination: str) -> Dict[str, Optional[str]]:
        """Where each table (but the main one) leads this destination: an ENI's id, or None without a route.

        Of several routes for it, the one in use counts.
        """
        block = ip_network(destination)
        result: Dict[str, Optional[str]] = {}
        for route_table_id in self.route_table_ids:
            route = self._world.route_tables[route_table_id].in_use(block)
            result[route_table_id] = None if route is None else route.target
        return result

    # -- changes behind the cluster's back, as an administrator makes them ------------------------------------------

    def put_route(
        self,
        destination: str,
        target: str,
        route_table_id: Optional[str] = None,
        *,
        origin: RouteOrigin = "CreateRoute",
        state: Optional[RouteState] = None,
    ) -> None:
        """Set a route in one table or in all: `target` is an instance's name, or an ENI's or a gateway's id.

        With an `origin` other than CreateRoute it is a propagated one, beside a static one for the same destination;
        it replaces one of the same origin. `state`: what EC2 says of it, where that is not to follow from its target;
        of a `filtered` route nothing is used.
        """
        block = ip_network(destination)
        leads_to = self._instances[target].network_interface_id if target in self._instances else target
        made = Route(block, leads_to, origin, state)
        chosen = self.route_table_ids if route_table_id is None else (route_table_id,)

        def change(world: World) -> World:
            for one in chosen:
                table = world.route_tables[one]
                kept = tuple(
                    route
                    for route in table.routes
                    if route.destination != block or not (route.origin == origin or (route.static and made.static))
                )
                world = world.with_route_table(replace(table, routes=(*kept, made)))
            return world

        self.change(change)

    def delete_route(
        self, destination: str, route_table_id: Optional[str] = None, *, origin: Optional[RouteOrigin] = None
    ) -> None:
        """Take the routes for a destination out of one table or of all, or those of one origin; none is fine."""
        block = ip_network(destination)
        chosen = self.route_table_ids if route_table_id is None else (route_table_id,)

        def change(world: World) -> World:
            for one in chosen:
                table = world.route_tables[one]
                kept = tuple(
                    route for route in table.routes if route.destination != block or origin not in (None, route.origin)
                )
                if len(kept) != len(table.routes):
                    world = world.with_route_table(replace(table, routes=kept))
            return world

        self.change(change)

    def add_interface_of_other_vpc(self) -> str:
        """An ENI in another VPC of the account, attached to nothing; its id. No packet of the lab reaches it."""
        eni = identifier("eni", "other VPC")
        made = Interface(
            eni,
            mac_of(eni),
            identifier("subnet", "other VPC"),
            self.topology.subnets[0].availability_zone,
            self.topology.account_id,
            (IPv4Address("172.31.0.10"),),
            description="in another VPC",
            vpc_id=identifier("vpc", "other"),
        )
        self.change(lambda world: world.with_interface(made))
        return eni

    def add_secondary_interface(self, name: str, device_index: int, network_card_index: int = 0) -> str:
        """Give an instance (by name) an interface in a secondary network, which holds this device index; its id."""
        instance_id = self._instances[name].instance_id
        made = SecondaryInterface(
            identifier("si", name, str(network_card_index), str(device_index)),
            mac_of(identifier("si", name, str(network_card_index), str(device_index))),
            device_index,
            network_card_index,
            IPv4Address(f"172.30.{network_card_index}.{10 + device_index}"),
            time.time(),
        )

        def change(world: World) -> World:
            one = world.instances[instance_id]
            return world.with_instance(replace(one, secondary_interfaces=(*one.secondary_interfaces, made)))

        self.change(change)
        return made.secondary_interface_id

    def delete_route_table(self, route_table_id: str) -> None:
        """Delete a route table together with its associations: its subnets use the main table then.

        EC2 itself refuses to while there are associations; an administrator ends those first. KeyError where there is
        no such table, ValueError for the main one, which cannot be deleted.
        """

        def change(world: World) -> World:
            table = world.route_tables[route_table_id]
            if any(one.subnet_id is None for one in table.associations):
                raise ValueError(f"{route_table_id} is the main route table")
            return world.without_route_table(route_table_id)

        self.change(change)

    def set_source_dest_check(self, name: str, checked: bool) -> None:
        """Switch the source/destination check of an instance's primary ENI."""
        eni = self._instances[name].network_interface_id
        self.change(lambda world: world.with_interface(replace(world.interfaces[eni], source_dest_check=checked)))

    # -- changes ---------------------------------------------------------------------------------------------------

    def view(self) -> World:
        """What a read sees now: the truth, or an older world while the reads are stale."""
        consistency = self.consistency
        with self._lock:
            if consistency.lag <= 0:
                return self._world
            horizon = time.monotonic() - consistency.lag
            old = self._history[0][1]
            for moment, world in self._history:
                if moment > horizon:
                    break
                old = world
            if old is not self._world and consistency.alternating and next(self._alternation) % 2 == 0:
                return self._world
            return old

    def change(self, decide: Callable[[World], World]) -> World:
        """Replace the truth by what `decide` makes of it; what it raises is passed on and changes nothing."""
        with self._lock:
            new = decide(self._world)
            if new is not self._world:
                self._world = new
                self._history.append((time.monotonic(), new))
                self._changed.notify_all()
            return new

    def change_with(self, decide: Callable[[World], Tuple[World, Result]]) -> Result:
        """As `change`, for a decision that also has something to say."""
        with self._lock:
            world, result = decide(self._world)
            self.change(lambda _: world)
            return result

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Run something after so many seconds; at once for 0, never for infinity."""
        if seconds <= 0:
            do()
        elif not math.isinf(seconds):
            with self._lock:
                heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), do))
                self._changed.notify_all()

    def power(self, instance_id: str, through: Tuple[Tuple[Power, float], ...], done: Callable[[World], World]) -> None:
        """Switch an instance in the background: each step lasts as long as `on_power`, and at least its seconds."""
        with self._lock:
            turn = self._powering.get(instance_id, 0) + 1
            self._powering[instance_id] = turn
        Thread(
            target=self._power, args=(instance_id, turn, through, done), name=f"aws-power-{instance_id}", daemon=True
        ).start()

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until `on_network` has been told of everything. Raises TimeoutError."""
        with self._lock:
            if not self._changed.wait_for(
                lambda: self._closed or (self._told is self._world and not self._telling), timeout
            ):
                raise TimeoutError(f"on_network was not told of the newest change within {timeout} s")

    def wait_for(self, condition: Callable[[World], bool], timeout: float = 30.0) -> World:
        """Wait until the truth fulfils a condition. Raises TimeoutError."""
        with self._lock:
            if not self._changed.wait_for(lambda: condition(self._world), timeout):
                raise TimeoutError(f"the account did not get there within {timeout} s")
            return self._world

    def close(self) -> None:
        """End the account's threads."""
        with self._lock:
            self._closed = True
            self._ended.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _power(
        self, instance_id: str, turn: int, through: Tuple[Tuple[Power, float], ...], done: Callable[[World], World]
    ) -> None:
        for power, seconds in through:
            begun = time.monotonic()
            # A later call (Force after a stop that hangs, say) takes over.
            if self._powering.get(instance_id) != turn:
                return
            if power == "shutdown":
                self._shut_down(instance_id)
            elif self._on_power is not None:
                try:
                    self._on_power(instance_id, power)
                except Exception as error:
                    # Never claim that an instance is off which may be on: it stays `stopping`, as a stuck one does.
                    logger.exception("powering %s %s failed", instance_id, power)
                    self.callback_errors.append(error)
                    return
            left = seconds - (time.monotonic() - begun)
            if left > 0:
                self._ended.wait(left)
        with self._lock:
            if self._powering.get(instance_id) == turn and not self._closed:
                self.change(done)

    def _shut_down(self, instance_id: str) -> None:
        """Let the operating system shut down; returns when it has, or when the limit is over."""
        if self._on_power is None:
            return
        on_power, over = self._on_power, Event()

        def ask() -> None:
            try:
                on_power(instance_id, "shutdown")
            except Exception as error:
                # Then EC2 does what it does to a system that ignores its power button.
                logger.exception("%s does not shut down", instance_id)
                self.callback_errors.append(error)
            finally:
                over.set()

        Thread(target=ask, name=f"aws-shutdown-{instance_id}", daemon=True).start()
        limit = self.timing.shutdown_limit or DEFAULT_SHUTDOWN_LIMIT
        over.wait(None if math.isinf(limit) else limit)

    def _tell(self) -> None:
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._closed or self._told is not self._world)
                if self._closed:
                    return
                world = self._world
                self._telling = True
            try:
                if self._on_network is not None:
                    self._on_network(world)
            except Exception as error:
                logger.exception("the fabric did not take a change")
                self.callback_errors.append(error)
            finally:
                with self._lock:
                    self._told = world
                    self._telling = False
                    self._changed.notify_all()

    def _run_due(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                do = heapq.heappop(self._due)[2]
            try:
                do()
            except ApiError as error:
                self.callback_errors.append(error)
