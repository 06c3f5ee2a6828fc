"""What somebody changes in EC2 behind the cluster's back, and what of it is put back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Callable, Dict, Mapping, Optional, Tuple

from vpc_lab.ec2.account import Account
from vpc_lab.errors import LabError
from vpc_lab.faults import AddressTaken, RouteChanged, RouteDeleted
from vpc_lab.host.injection.layers import Layers
from vpc_lab.vpc import Address, Cidr, Route, RouteTable
from vpc_lab.world import World

Routes = Tuple[Route, ...]


class Drift:
    """Changes of one account's VPC. All of them happen under the account's lock, each at one moment."""

    def __init__(self, account: Account, ids: Mapping[str, str]) -> None:
        self._account = account
        self._ids = ids
        self._routes: Layers[Tuple[str, Cidr], Routes] = Layers()
        self._checks: Layers[str, bool] = Layers()
        # Which ENI has a private address.
        self._holders: Layers[Address, str] = Layers()
        # Route tables that were deleted, with their tags and the order of all tables then.
        self._deleted: Dict[str, Tuple[RouteTable, Mapping[str, str], Tuple[str, ...]]] = {}

    # -- routes --------------------------------------------------------------------------------------------------------

    def change_route(self, number: int, fault: RouteChanged) -> None:
        """Write a route; LabError for a target or a table that there is not."""
        world = self._account.world
        if (
            fault.target not in self._ids
            and fault.target not in world.interfaces
            and fault.target not in world.gateways
        ):
            known = ", ".join((*self._ids, *world.gateways))
            raise LabError(f"there is no target '{fault.target}'; there are {known}, and the ids of ENIs")
        target = fault.target
        if target in self._ids:
            target = self._account.instance(target).network_interface_id
        made = Route(ip_network(fault.destination), target, fault.origin, fault.state)  # type: ignore[arg-type]

        def written(before: Routes) -> Routes:
            kept = (one for one in before if not (one.origin == made.origin or (one.static and made.static)))
            return (*kept, made)

        self._change(number, made.destination, fault.table, written)

    def delete_route(self, number: int, fault: RouteDeleted) -> None:
        """Delete a route; LabError where there is none, or no such table."""
        destination = ip_network(fault.destination)

        def left(before: Routes) -> Routes:
            return tuple(one for one in before if fault.origin not in (None, one.origin))

        if not self._change(number, destination, fault.table, left):
            raise LabError(f"there is no route for {destination}, or none that came so")

    def restore_routes(self, number: int) -> None:
        """Put back what is still as the change has left it, also in a table that is deleted at present."""

        def change(world: World) -> World:
            for key in self._routes.keys(number):
                table_id, destination = key
                layer = self._routes.take(number, key)
                table = self._table(world, table_id)
                if layer is None or table is None or _routes(table, destination) != layer.after:
                    continue
                table = _with_routes(table, destination, layer.before)
                if table_id in self._deleted:
                    self._deleted[table_id] = (table, *self._deleted[table_id][1:])
                else:
                    world = world.with_route_table(table)
            return world

        self._apply(change)

    def _change(self, number: int, destination: Cidr, table: Optional[str], become: Callable[[Routes], Routes]) -> bool:
        """Change the routes for a destination in one table or in all; whether anything was another thing then."""
        chosen = self._account.route_table_ids if table is None else (self.table_id(table),)
        changed = False

        def change(world: World) -> World:
            nonlocal changed
            for table_id in chosen:
                before = _routes(world.route_tables[table_id], destination)
                after = become(before)
                if after != before:
                    changed = True
                    self._routes.put(number, (table_id, destination), before, after)
                    world = world.with_route_table(_with_routes(world.route_tables[table_id], destination, after))
            return world

        self._apply(change)
        return changed

    def _table(self, world: World, table_id: str) -> Optional[RouteTable]:
        if table_id in self._deleted:
            return self._deleted[table_id][0]
        return world.route_tables.get(table_id)

    # -- tables --------------------------------------------------------------------------------------------------------

    def table_id(self, given: str) -> str:
        """The id of a table that is given by its id or its subnet's name."""
        world = self._account.world
        there = world.route_tables
        names = {world.tags.get(table, {}).get("Name", table): table for table in there}
        if given not in there and given not in names:
            raise LabError(f"there is no route table '{given}'; there are {', '.join(names)} ({', '.join(there)})")
        return given if given in there else names[given]

    def delete_table(self, given: str) -> str:
        """Delete a route table with its associations; its id. LabError for one that EC2 does not delete."""
        table_id = self.table_id(given)

        def change(world: World) -> World:
            table = world.route_tables[table_id]
            if any(one.subnet_id is None for one in table.associations):
                raise LabError(f"{table_id} is the main route table, which EC2 does not delete")
            self._deleted[table_id] = (table, world.tags.get(table_id, {}), tuple(world.route_tables))
            return world.without_route_table(table_id)

        self._apply(change)
        return table_id

    def restore_table(self, table_id: str) -> None:
        """Put the same table back, for those of its subnets that have no other one by now."""

        def change(world: World) -> World:
            if table_id not in self._deleted:
                return world
            table, tags, order = self._deleted.pop(table_id)
            taken = {one.subnet_id for other in world.route_tables.values() for one in other.associations}
            kept = tuple(one for one in table.associations if one.subnet_id not in taken)
            world = world.with_route_table(replace(table, associations=kept)).with_tags(table_id, tags)
            tables = {one: world.route_tables[one] for one in order if one in world.route_tables}
            return replace(world, route_tables={**tables, **world.route_tables})

        self._apply(change)

    # -- the source/destination check ----------------------------------------------------------------------------------

    def check(self, number: int, name: str) -> None:
        """Switch the check of an instance's primary ENI on."""
        eni = self._account.instance(name).network_interface_id

        def change(world: World) -> World:
            self._checks.put(number, eni, world.interfaces[eni].source_dest_check, True)
            return world.with_interface(replace(world.interfaces[eni], source_dest_check=True))

        self._apply(change)

    def restore_check(self, number: int) -> None:
        """Put the check back, if it is still on."""

        def change(world: World) -> World:
            for eni in self._checks.keys(number):
                layer = self._checks.take(number, eni)
                if layer is not None and world.interfaces[eni].source_dest_check is layer.after:
                    world = world.with_interface(replace(world.interfaces[eni], source_dest_check=layer.before))
            return world

        self._apply(change)

    # -- private addresses ---------------------------------------------------------------------------------------------

    def take_address(self, number: int, fault: AddressTaken) -> None:
        """Give a private address to another ENI; LabError where no ENI has it, or none that can lose it to that one."""
        address = ip_address(fault.address)
        target = self._account.instance(fault.node).network_interface_id

        def change(world: World) -> World:
            holder = _holder(world, address)
            if holder is None:
                raise LabError(f"no network interface has {address} beside its primary address")
            if holder == target:
                raise LabError(f"{fault.node} has {address} already")
            if world.interfaces[holder].subnet_id != world.interfaces[target].subnet_id:
                raise LabError(f"{address} cannot go to {fault.node}, which is in another subnet")
            self._holders.put(number, address, holder, target)
            return _given(world, address, holder, target)

        self._apply(change)

    def restore_address(self, number: int) -> None:
        """Give it back, if the other one still has it."""

        def change(world: World) -> World:
            for address in self._holders.keys(number):
                layer = self._holders.take(number, address)
                if layer is not None and _holder(world, address) == layer.after and layer.before in world.interfaces:
                    world = _given(world, address, layer.after, layer.before)
            return world

        self._apply(change)

    def _apply(self, change: Callable[[World], World]) -> None:
        self._account.change(change)
        self._account.settle()


def _holder(world: World, address: Address) -> Optional[str]:
    """The ENI that has the address, not as its primary one."""
    having = (one for one in world.interfaces.values() if address in (*one.ipv4[1:], *one.ipv6))
    return next((one.network_interface_id for one in having), None)


def _given(world: World, address: Address, holder: str, target: str) -> World:
    loses, gets = world.interfaces[holder], world.interfaces[target]
    if isinstance(address, IPv4Address):
        loses = replace(loses, ipv4=tuple(one for one in loses.ipv4 if one != address))
        gets = replace(gets, ipv4=(*gets.ipv4, address))
    else:
        loses = replace(loses, ipv6=tuple(one for one in loses.ipv6 if one != address))
        gets = replace(gets, ipv6=(*gets.ipv6, address))
    return world.with_interface(loses).with_interface(gets)


def _routes(table: RouteTable, destination: Cidr) -> Routes:
    return tuple(one for one in table.routes if one.destination == destination)


def _with_routes(table: RouteTable, destination: Cidr, routes: Routes) -> RouteTable:
    return replace(table, routes=(*(one for one in table.routes if one.destination != destination), *routes))
