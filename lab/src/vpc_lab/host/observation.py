"""What a lab's supervisor sees of it: its status."""

from __future__ import annotations

from typing import Dict, List, Tuple

from vpc_lab.host.site import Site
from vpc_lab.status import InstanceStatus, ServiceStatus, Status
from vpc_lab.vpc import Address


def status(site: Site) -> Status:
    """What there is and how it is."""
    account = site.cloud.account
    return Status(
        name=site.rundir.name,
        region=site.topology.region,
        mode=site.settings.mode,
        layout=site.settings.layout,
        instances=_instances(site),
        route_tables=account.route_table_ids,
        every_route_table=tuple(account.world.route_tables),
        network_interfaces={one.name: one.network_interface_id for one in account.instances()},
        overlay=str(site.topology.overlay),
        overlay_ipv6=str(site.topology.overlay_ipv6),
        routes={str(address): site.cloud.routes(address) for address in _overlays(site)},
        route_lag=site.fabric.route_lag,
        routes_under_way=tuple((name, str(destination)) for name, destination in site.fabric.routes_under_way()),
        service=_service(site),
        cuts=site.fabric.cuts,
        places=site.fabric.places(),
        zones=site.injector.zones,
        faults=site.injector.in_force(),
        errors=tuple(f"{type(error).__name__}: {error}" for error in account.callback_errors),
        secondary_addresses=_secondary_addresses(site),
    )


def _instances(site: Site) -> Tuple[InstanceStatus, ...]:
    planned = {one.name: one for one in site.cloud.account.instances()}
    outside = {there.name: there for there in site.topology.outside}
    ids = site.machines.ids
    return tuple(
        InstanceStatus(
            name=name,
            role=planned[name].role if name in planned else "outside",
            instance_id=ids.get(name),
            state=site.cloud.state(ids[name]) if name in ids else "running",
            address=str(planned[name].address if name in planned else outside[name].address),
            pid=instance.pid,
            frozen=instance.frozen,
            environment=instance.environment,
        )
        for name, instance in site.machines.instances.items()
    )


def _secondary_addresses(site: Site) -> Dict[str, str]:
    account = site.cloud.account
    return {
        str(address): holder
        for one in account.world.interfaces.values()
        for holder in [account.holder_of(one.network_interface_id)[0]]
        if holder is not None
        for address in one.ipv4[1:]
    }


def _overlays(site: Site) -> Tuple[Address, ...]:
    """The topology's overlay addresses, then every other single address that a route leads to an ENI."""
    found: List[Address] = [] if site.topology.empty else [*site.topology.overlays]
    for table in site.cloud.account.world.route_tables.values():
        for route in table.routes:
            if route.target.startswith("eni-") and route.destination.prefixlen == route.destination.max_prefixlen:
                found.append(route.destination.network_address)
    return tuple(dict.fromkeys(found))


def _service(site: Site) -> ServiceStatus:
    account, topology = site.cloud.account, site.topology
    moving = topology.service_interface
    if moving is not None:
        eni = moving.network_interface_id
        holder, attachment = account.holder_of(eni)
        return ServiceStatus(
            tuple(map(str, moving.addresses)),
            holder,
            _elastic_ips(site),
            eni,
            account.world.interfaces[eni].mac,
            attachment,
        )
    if site.allocation is not None:
        found = account.world.elastic_ips[site.allocation]
        holders = () if found.private_ip is None else account.holders_of(found.private_ip)
        overlay = str(topology.overlay)
        return ServiceStatus(
            (overlay,), ", ".join(holders) or None, {overlay: str(found.public_ip)}, allocation_id=site.allocation
        )
    if topology.private is None or topology.private_ipv6 is None:
        return ServiceStatus()
    holders = account.holders_of(topology.private)
    addresses = (str(topology.private), str(topology.private_ipv6))
    return ServiceStatus(addresses, ", ".join(holders) or None, _elastic_ips(site))


def _elastic_ips(site: Site) -> Dict[str, str]:
    private = site.topology.service_address
    public = None if private is None else site.cloud.account.public_ip_of(private)
    return {} if public is None else {str(private): str(public)}
