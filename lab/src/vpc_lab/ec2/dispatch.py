"""EC2, STS and IAM, one call at a time: faults, throttling, who may, what happens, the answer, the log.

Everything about routes, network interfaces, addresses, instances, tags, subnets, the VPC, its gateways and filters is
answered by the lab's own code (`Api`'s tables of reads and writes); moto answers only operations that have no entry
there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from vpc_lab.ec2 import clock
from vpc_lab.ec2.account import Account, Power
from vpc_lab.ec2.call_log import Call, CallLog
from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.faults import Fault, Faults
from vpc_lab.ec2.iam import permissions
from vpc_lab.ec2.iam.identity import Identity
from vpc_lab.ec2.iam.service import Iam
from vpc_lab.ec2.moto_backend import MotoEc2
from vpc_lab.ec2.operations import (
    building,
    elastic_ips,
    filters,
    gateways,
    instances,
    interfaces,
    launching,
    remapping,
    routes,
    vpcs,
)
from vpc_lab.ec2.reply import Reply, faulty
from vpc_lab.ec2.throttle import Throttle
from vpc_lab.ec2.wire import (
    Query,
    Structure,
    ec2_answer,
    ec2_error,
    new_request_id,
    session_tags,
    sts_answer,
    sts_error,
)
from vpc_lab.vpc import Address, Instance, InstanceState, Interface, identifier
from vpc_lab.world import World

YES: Structure = {"return": True}

# What DryRun finds out before it looks at permissions only: whether the request itself makes sense.
SENSELESS = ("MissingParameter", "InvalidParameterCombination")


@dataclass(frozen=True)
class Caller:
    """What a request says about where it comes from."""

    address: str
    access_key_id: Optional[str] = None
    session_token: Optional[str] = field(default=None, repr=False)
    region: Optional[str] = None
    # When it was signed by the caller's clock, in seconds since the epoch.
    signed: Optional[float] = None


class Api:
    """The service endpoints of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.faults = Faults()
        self.calls = CallLog()
        self.throttle = Throttle()
        self._assignments = count(1)
        self.iam = Iam(account.topology.account_id, account.identities)
        self._moto = MotoEc2(account.topology.region, account.topology.account_id)
        self._arns = permissions.Arns(account.topology.region, account.topology.account_id, account.table_owner_id)
        self._reads: Dict[str, Callable[[World, Query, Identity], Structure]] = {
            "DescribeRouteTables": self._describe_route_tables,
            "DescribeNetworkInterfaces": lambda world, query, _: interfaces.describe_network_interfaces(world, query),
            "DescribeNetworkInterfaceAttribute": lambda world, query, _: interfaces.describe_attribute(world, query),
            "DescribeInstances": lambda world, query, _: instances.describe_instances(
                world, query, account.topology.account_id, account.metadata_is_on
            ),
            "DescribeInstanceStatus": lambda world, query, _: instances.describe_status(
                world, query, account.topology.account_id
            ),
            "DescribeInstanceAttribute": lambda world, query, _: instances.describe_attribute(world, query),
            "DescribeVpcs": lambda world, query, _: vpcs.describe_vpcs(world, query, account.table_owner_id),
            "DescribeSubnets": lambda world, query, _: vpcs.describe_subnets(world, query, account.table_owner_id),
            "DescribeInternetGateways": lambda world, query, _: vpcs.describe_internet_gateways(
                world, query, account.topology.account_id
            ),
            "DescribeAddresses": lambda world, query, _: elastic_ips.describe_addresses(world, query),
            "DescribeTags": lambda world, query, _: vpcs.describe_tags(world, query),
            "DescribeInstanceTypes": lambda _, query, __: instances.describe_types(query),
            "DescribeSecurityGroups": lambda world, query, _: filters.describe_groups(
                world, query, account.topology.account_id
            ),
            "DescribeNetworkAcls": lambda world, query, _: filters.describe_acls(world, query, account.table_owner_id),
            "DescribeVpcPeeringConnections": lambda world, query, _: gateways.describe_peerings(
                world, query, account.table_owner_id
            ),
            "DescribeTransitGatewayVpcAttachments": lambda world, query, _: gateways.describe_vpc_attachments(
                world, query, account.table_owner_id
            ),
            "DescribeTransitGatewayAttachments": lambda world, query, _: gateways.describe_attachments(
                world, query, account.table_owner_id
            ),
            "DescribeTransitGatewayRouteTables": lambda world, query, who: gateways.describe_tables(
                world, query, who.account_id
            ),
            "SearchTransitGatewayRoutes": lambda world, query, _: gateways.search_routes(world, query),
            "DescribeVpnGateways": lambda world, query, _: gateways.describe_vpn_gateways(world, query),
        }
        self._writes: Dict[str, Callable[[World, Query, Identity], Tuple[World, Structure]]] = {
            "CreateRoute": lambda world, query, who: (
                routes.create_route(world, query, who.account_id, account.route_quota),
                YES,
            ),
            "ReplaceRoute": lambda world, query, who: (routes.replace_route(world, query, who.account_id), YES),
            "DeleteRoute": lambda world, query, who: (routes.delete_route(world, query, who.account_id), YES),
            "CreateRouteTable": lambda world, query, who: routes.create_route_table(world, query, who.account_id),
            "DeleteRouteTable": lambda world, query, who: (
                routes.delete_route_table(world, query, who.account_id),
                YES,
            ),
            "AssociateRouteTable": lambda world, query, who: routes.associate(world, query, who.account_id),
            "DisassociateRouteTable": lambda world, query, _: (routes.disassociate(world, query), YES),
            "ReplaceRouteTableAssociation": lambda world, query, who: routes.replace_association(
                world, query, who.account_id
            ),
            "CreateNetworkInterface": lambda world, query, who: interfaces.create(world, query, who.account_id),
            "DeleteNetworkInterface": lambda world, query, _: (interfaces.delete(world, query), YES),
            "AssignPrivateIpAddresses": lambda world, query, _: self._assign(interfaces.assign_ipv4, world, query),
            "UnassignPrivateIpAddresses": lambda world, query, _: (interfaces.unassign_ipv4(world, query), YES),
            "AssignIpv6Addresses": lambda world, query, _: self._assign(interfaces.assign_ipv6, world, query),
            "UnassignIpv6Addresses": lambda world, query, _: interfaces.unassign_ipv6(world, query),
            "AllocateAddress": lambda world, query, _: elastic_ips.allocate(world, query),
            "ReleaseAddress": lambda world, query, _: (elastic_ips.release(world, query), YES),
            "AssociateAddress": lambda world, query, _: elastic_ips.associate(world, query),
            "DisassociateAddress": lambda world, query, _: (elastic_ips.disassociate(world, query), YES),
            "ModifyNetworkInterfaceAttribute": lambda world, query, _: (interfaces.modify(world, query), YES),
            "ModifyInstanceAttribute": lambda world, query, _: (instances.modify(world, query), YES),
            "CreateSecurityGroup": lambda world, query, _: filters.create_group(world, query),
            "DeleteSecurityGroup": lambda world, query, _: (filters.delete_group(world, query), YES),
            "AuthorizeSecurityGroupIngress": lambda world, query, _: (
                filters.authorize(world, query, outbound=False),
                YES,
            ),
            "AuthorizeSecurityGroupEgress": lambda world, query, _: (
                filters.authorize(world, query, outbound=True),
                YES,
            ),
            "RevokeSecurityGroupIngress": lambda world, query, _: (filters.revoke(world, query, outbound=False), YES),
            "RevokeSecurityGroupEgress": lambda world, query, _: (filters.revoke(world, query, outbound=True), YES),
            "CreateNetworkAclEntry": lambda world, query, _: (filters.create_entry(world, query), YES),
            "DeleteNetworkAclEntry": lambda world, query, _: (filters.delete_entry(world, query), YES),
            "CreateTransitGatewayRoute": lambda world, query, _: gateways.create_route(world, query),
            "DeleteTransitGatewayRoute": lambda world, query, _: gateways.delete_route(world, query),
            "CreateVpc": lambda world, query, _: building.create_vpc(world, query, account.table_owner_id),
            "DeleteVpc": lambda world, query, _: (building.delete_vpc(world, query), YES),
            "CreateSubnet": lambda world, query, _: building.create_subnet(
                world, query, account.table_owner_id, account.topology.region
            ),
            "DeleteSubnet": lambda world, query, _: (building.delete_subnet(world, query), YES),
            "CreateInternetGateway": lambda world, query, who: building.create_internet_gateway(
                world, query, who.account_id
            ),
            "AttachInternetGateway": lambda world, query, _: (building.attach_internet_gateway(world, query), YES),
            "DetachInternetGateway": lambda world, query, _: (building.detach_internet_gateway(world, query), YES),
            "DeleteInternetGateway": lambda world, query, _: (building.delete_internet_gateway(world, query), YES),
            "AssociateVpcCidrBlock": lambda world, query, _: vpcs.associate_cidr(world, query),
            "CreateTags": lambda world, query, _: (vpcs.create_tags(world, query), YES),
            "DeleteTags": lambda world, query, _: (vpcs.delete_tags(world, query), YES),
            "AttachNetworkInterface": self._attach,
            "DetachNetworkInterface": self._detach,
            "RunInstances": self._run,
            "StopInstances": self._stop,
            "StartInstances": self._start,
            "RebootInstances": self._reboot,
            "TerminateInstances": self._terminate,
        }
        # The same without what a write sets going: all that a dry run may do.
        self._checks: Dict[str, Callable[[World, Query, Identity], object]] = {
            "AttachNetworkInterface": lambda world, query, _: interfaces.attach(world, query, 0.0),
            "DetachNetworkInterface": lambda world, query, _: interfaces.detach(world, query),
            "AssignPrivateIpAddresses": lambda world, query, _: interfaces.assign_ipv4(world, query),
            "AssignIpv6Addresses": lambda world, query, _: interfaces.assign_ipv6(world, query),
            "RunInstances": lambda world, query, who: launching.run(
                world, query, who.account_id, 0.0, self.iam.role_of
            ),
            **{action: lambda world, query, _: instances.named(world, query) for action in LISTED},
        }

    @property
    def actions(self) -> Tuple[str, ...]:
        """The operations of EC2 that the lab answers itself; every other one is moto's."""
        return (*self._reads, *self._writes)

    def handle(self, service: str, query: Query, caller: Caller) -> Reply:
        """Answer one call."""
        values = tuple(query.parameters.values())
        number = self.calls.begin(
            Call(
                time.time(),
                service,
                query.action,
                caller.address,
                caller.access_key_id,
                region=caller.region,
                parameters=query.parameters,
            )
        )
        filtered = query.action in self._reads and bool(query.filters())
        latency, fault = self.faults.take(service, query.action, caller.address, values, filtered=filtered)
        principal: Optional[str] = None
        if fault is not None and fault.kind in ("clock", "empty_set"):
            reply, outcome, principal = self._serve(service, query, caller, fault)
            outcome = f"fault:{fault.kind}" if fault.kind == "empty_set" and outcome == "ok" else outcome
        elif fault is not None and not fault.after and fault.kind != "truncate":
            reply, outcome = self._faulty(service, fault, None)
        else:
            reply, outcome, principal = self._serve(service, query, caller)
            if fault is not None:
                reply, outcome = self._faulty(service, fault, reply)
        return replace(
            reply,
            latency=latency,
            answered=lambda: self.calls.end(number, outcome, reply.status if reply.body else None, principal),
        )

    def clock_offset(self, caller: str) -> float:
        """Seconds by which the services' clock is ahead of this machine's for a caller, whatever it asks."""
        faults = self.faults.current().values()
        return next((one.seconds for one in faults if one.kind == "clock" and one.caller in (None, caller)), 0.0)

    def administer(self, action: str, **parameters: str) -> None:
        """One EC2 call by an administrator who may do everything: `administer("StopInstances", InstanceId="i-…")`.

        Neither faults nor throttling touch it; it is logged with the caller `administrator`. Raises ApiError.
        """
        listed = {"InstanceId": "InstanceId.1"} if action in LISTED else {}
        query = Query({"Action": action, **{listed.get(name, name): value for name, value in parameters.items()}})
        owner = self.account.table_owner_id
        identity = Identity(f"arn:aws:iam::{owner}:user/administrator", owner)
        number = self.calls.begin(
            Call(time.time(), "ec2", action, "administrator", parameters=query.parameters, principal=identity.arn)
        )
        try:
            self._ec2(query, identity, new_request_id())
        except ApiError as error:
            self.calls.end(number, error.code, error.status)
            raise
        self.calls.end(number, "ok", 200)

    def _faulty(self, service: str, fault: Fault, right: Optional[Reply]) -> Tuple[Reply, str]:
        if fault.kind == "error":
            error = fault.error()
            return self._error(service, error, new_request_id()), error.code
        return faulty(fault.kind, right), f"fault:{fault.kind}"

    @staticmethod
    def _error(service: str, error: ApiError, request_id: str) -> Reply:
        body = (ec2_error if service == "ec2" else sts_error)(error, request_id)
        return Reply(error.status, body, {"Content-Type": "text/xml;charset=UTF-8"})

    def _serve(
        self, service: str, query: Query, caller: Caller, fault: Optional[Fault] = None
    ) -> Tuple[Reply, str, Optional[str]]:
        request_id = new_request_id()
        headers = {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-RequestId": request_id}
        if fault is not None and fault.kind == "clock":
            headers["Date"] = clock.http_date(time.time() + fault.seconds)
        principal: Optional[str] = None
        try:
            if service == "ec2":
                self.throttle.take(query)
            if fault is not None and fault.kind == "clock":
                code = None if fault.code == Fault("clock").code else fault.code
                clock.check(service, caller.signed, time.time() + fault.seconds, code)
            identity = self.account.identities.who(caller.access_key_id, caller.session_token, service)
            principal = identity.arn
            if service == "sts":
                return Reply(200, self._sts(query, identity, request_id), headers), "ok", principal
            if service == "iam":
                status, body = self.iam.call(identity, query.parameters)
                return Reply(status, body, headers), "ok" if status < 400 else "moto", principal
            unseen = fault is not None and fault.kind == "empty_set"
            status, body = self._ec2(query, identity, request_id, unseen=unseen)
        except ApiError as error:
            refused = self._error(service, error, request_id)
            return replace(refused, headers={**headers, **refused.headers}), error.code, principal
        return Reply(status, body, headers), "ok" if status < 400 else "moto", principal

    def _ec2(self, query: Query, identity: Identity, request_id: str, *, unseen: bool = False) -> Tuple[int, bytes]:
        action = query.action
        if not (action in self._reads or action in self._writes or self._moto.knows(action)):
            raise ApiError("InvalidAction", f"The action {action} is not valid for this web service.")
        world = self.account.world
        needed = permissions.resources(world, query, self._arns)
        self.account.identities.authorize(
            identity, f"ec2:{action}", needed, lambda arn: permissions.context_of(world, query, self._arns, arn)
        )
        if query.flag("DryRun"):
            self._check(query, identity)
            raise ApiError("DryRunOperation")
        if action in self._reads:
            found = self._reads[action](self.account.view(), query, identity)
            return 200, ec2_answer(action, _emptied(found) if unseen else found, request_id)
        if action in self._writes:
            write = self._writes[action]
            result = self.account.change_with(lambda world: write(world, query, identity))
            return 200, ec2_answer(action, result, request_id)
        try:
            return self._moto.call(self.account.world, query.parameters)
        except NotImplementedError as error:
            raise ApiError("InvalidAction", f"The action {action} is not valid for this web service.") from error

    def _check(self, query: Query, identity: Identity) -> None:
        """What a dry run that is permitted finds: a write that names what does not exist, or makes no sense, fails.

        Nothing else of the parameters is looked at (EC2: "checks whether you have the required permissions for the
        action, without actually making the request"), and of operations that moto answers nothing at all.
        """
        check = self._checks.get(query.action, self._writes.get(query.action))
        if check is None:
            return
        try:
            check(self.account.world, query, identity)
        except ApiError as error:
            if error.code in SENSELESS or error.code.endswith((".NotFound", ".Malformed")):
                raise

    # -- actions that take time ------------------------------------------------------------------------------------

    def _describe_route_tables(self, world: World, query: Query, who: Identity) -> Structure:
        shared = self.account.table_owner_id != self.account.topology.account_id
        return routes.describe_route_tables(world, query, who.account_id, shared=shared)

    def _attach(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        world, made = interfaces.attach(world, query, time.time())
        eni = query.require("NetworkInterfaceId")
        seconds = self.account.timing.attach
        if seconds <= 0:
            world = interfaces.settle(world, eni, made.attachment_id, "attaching")
        else:
            self._later(seconds, eni, made.attachment_id, "attaching")
        return world, {"attachmentId": made.attachment_id, "networkCardIndex": made.network_card_index}

    def _detach(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        world, eni = interfaces.detach(world, query, dead=self.account.dead_indexes_after_force)
        attachment_id = query.require("AttachmentId")
        if query.flag("Force"):
            seconds = self.account.timing.forced_detach
        elif eni in self.account.stuck_detach or _holder(world, eni) in self.account.unresponsive:
            return world, YES
        else:
            seconds = self.account.timing.detach
        if seconds <= 0:
            world = interfaces.settle(world, eni, attachment_id, "detaching")
        else:
            self._later(seconds, eni, attachment_id, "detaching")
        return world, YES

    def _assign(
        self, assign: Callable[[World, Query], Tuple[World, Structure]], before: World, query: Query
    ) -> Tuple[World, Structure]:
        world, answer = assign(before, query)
        timing, number = self.account.timing, next(self._assignments)
        world, due = remapping.delay(
            before,
            world,
            query.require("NetworkInterfaceId"),
            number,
            remap=timing.remap,
            metadata=timing.imds_address_lag,
        )
        for seconds, address, step in due:
            self._take_later(seconds, address, number, step)
        return world, answer

    def _take_later(self, seconds: float, address: Address, number: int, step: remapping.Step) -> None:
        def take() -> None:
            self.account.change(lambda world: remapping.take(world, address, number, step))

        self.account.later(seconds, take)

    def responds_again(self, instance_id: str) -> None:
        """An instance takes part in detachments again, also in those that were asked for meanwhile."""
        self.account.unresponsive.discard(instance_id)
        for one in self.account.world.interfaces_of(instance_id):
            self._end_detachment(one)

    def detaches_again(self, network_interface_id: str) -> None:
        """Plain detachments of an ENI end again, also those that were asked for meanwhile."""
        self.account.stuck_detach.discard(network_interface_id)
        self._end_detachment(self.account.world.interfaces[network_interface_id])

    def _end_detachment(self, interface: Interface) -> None:
        eni, held = interface.network_interface_id, interface.attachment
        if held is None or held.status != "detaching" or eni in self.account.stuck_detach:
            return
        if held.instance_id not in self.account.unresponsive:
            self._later(self.account.timing.detach, eni, held.attachment_id, "detaching")

    def _later(self, seconds: float, eni: str, attachment_id: str, status: str) -> None:
        def end() -> None:
            self.account.change(lambda world: interfaces.settle(world, eni, attachment_id, status))

        self.account.later(seconds, end)

    def _run(self, world: World, query: Query, who: Identity) -> Tuple[World, Structure]:
        world, made = launching.run(world, query, who.account_id, time.time(), self.iam.role_of)
        for instance_id in made:
            self.account.add_launched(world, instance_id)
            self._power(world.instances[instance_id], (("on", self.account.timing.start),), "running")
        return world, {
            "reservationId": identifier("r", *made),
            "ownerId": who.account_id,
            "groupSet": [],
            "instancesSet": [instances.describe(world, world.instances[one], who.account_id) for one in made],
        }

    def _stop(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        # Either call is made again to hurry a stop that is under way.
        forced = query.flag("Force") or query.flag("SkipOsShutdown")
        pairs: List[Tuple[Instance, InstanceState]] = []
        for one in instances.named(world, query):
            if one.state in ("terminated", "shutting-down"):
                raise _wrong_state(one, "stopped")
            if one.state == "stopped" or (one.state == "stopping" and not forced):
                pairs.append((one, one.state))
                continue
            pairs.append((one, "stopping"))
            world = world.with_instance(replace(one, state="stopping"))
        for one, now in pairs:
            if now == "stopping" and (one.state != "stopping" or forced):
                self._power(one, (*self._shutdown(one, query), ("off", self.account.timing.stop)), "stopped")
        return world, instances.changes(pairs)

    def _start(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        pairs: List[Tuple[Instance, InstanceState]] = []
        for one in instances.named(world, query):
            if one.state not in ("stopped", "running", "pending"):
                raise _wrong_state(one, "started")
            if one.state != "stopped":
                pairs.append((one, one.state))
                continue
            pairs.append((one, "pending"))
            world = world.with_instance(replace(one, state="pending", launch_time=time.time()))
        for one, _now in pairs:
            if one.state == "stopped":
                self._power(one, (("on", self.account.timing.start),), "running")
        return world, instances.changes(pairs)

    def _reboot(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        named = instances.named(world, query)
        for one in named:
            if one.state not in ("running", "pending"):
                raise _wrong_state(one, "rebooted")
        for one in named:
            # A reboot does not show in the instance's state.
            self._power(one, (*self._shutdown(one, query), ("off", 0.0), ("on", 0.0)), "running")
        return world, YES

    def _terminate(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        pairs: List[Tuple[Instance, InstanceState]] = []
        for one in instances.named(world, query):
            if one.state in ("terminated", "shutting-down"):
                pairs.append((one, one.state))
                continue
            pairs.append((one, "shutting-down"))
            world = world.with_instance(replace(one, state="shutting-down"))
            self._power(one, (*self._shutdown(one, query), ("off", self.account.timing.terminate)), "terminated")
        return world, instances.changes(pairs)

    def _shutdown(self, one: Instance, query: Query) -> Tuple[Tuple[Power, float], ...]:
        """The operating system goes first, also with Force, unless the call skips that (StopInstances' reference)."""
        asked = self.account.timing.shutdown_limit > 0 or one.instance_id in self.account.shut_down_first
        graceful = asked and not query.flag("SkipOsShutdown")
        return (("shutdown", 0.0),) if graceful else ()

    def _power(self, one: Instance, through: Tuple[Tuple[Power, float], ...], final: InstanceState) -> None:
        def done(world: World) -> World:
            if final == "terminated":
                return instances.terminated(world, one.instance_id)
            return world.with_instance(replace(world.instances[one.instance_id], state=final))

        self.account.power(one.instance_id, through, done)

    # -- STS -------------------------------------------------------------------------------------------------------

    def _sts(self, query: Query, identity: Identity, request_id: str) -> bytes:
        if query.action == "GetCallerIdentity":
            result: Structure = {
                "Arn": identity.arn,
                "UserId": identity.arn.rpartition("/")[2],
                "Account": identity.account_id,
            }
            return sts_answer(query.action, result, request_id)
        if query.action == "AssumeRole":
            role_arn = query.require("RoleArn")
            session = query.require("RoleSessionName")
            seconds = query.number("DurationSeconds") or 3600
            tags = session_tags(query)
            made = self.account.identities.assume(
                identity, role_arn, session, seconds, external_id=query.get("ExternalId"), tagged=bool(tags)
            )
            return sts_answer(
                query.action,
                {
                    "Credentials": {
                        "AccessKeyId": made.access_key_id,
                        "SecretAccessKey": made.secret_access_key,
                        "SessionToken": made.session_token,
                        "Expiration": interfaces.timestamp(made.expires or 0),
                    },
                    "AssumedRoleUser": {"AssumedRoleId": "AROALAB:" + session, "Arn": made.identity.arn},
                },
                request_id,
            )
        raise ApiError("InvalidAction", f"Could not find operation {query.action} for version 2011-06-15")


LISTED = frozenset(("StopInstances", "StartInstances", "RebootInstances", "TerminateInstances"))


def _holder(world: World, eni: str) -> Optional[str]:
    held = world.interfaces[eni].attachment
    return None if held is None else held.instance_id


def _wrong_state(one: Instance, wanted: str) -> ApiError:
    return ApiError(
        "IncorrectInstanceState",
        f"The instance '{one.instance_id}' is not in a state from which it can be {wanted}.",
    )


def _emptied(found: Structure) -> Structure:
    """The same answer with an empty set, and no further page."""
    return {name: [] for name, value in found.items() if isinstance(value, list)}


def service_of(headers: Mapping[str, str]) -> Tuple[str, Optional[str], Optional[str]]:
    """Service, region and access key id of a request: from the credential scope, else the service from the host.

    The scope is `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    """
    authorization = headers.get("authorization", "")
    _, found, rest = authorization.partition("Credential=")
    if found:
        parts = rest.split(",")[0].strip().split("/")
        if len(parts) == 5:
            return parts[3], parts[2], parts[0]
    return headers.get("host", "").split(".")[0], None, None
