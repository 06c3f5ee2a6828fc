"""EC2 and STS, one call at a time: faults, throttling, who may, what happens, the answer, the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from aws_ipfailover.lab.aws import elastic_ips, instances, interfaces, routes, vpcs
from aws_ipfailover.lab.aws.account import Account, Power
from aws_ipfailover.lab.aws.calls import Call, CallLog
from aws_ipfailover.lab.aws.errors import ApiError
from aws_ipfailover.lab.aws.faults import Fault, Faults
from aws_ipfailover.lab.aws.identity import Identity, partition
from aws_ipfailover.lab.aws.moto_backend import MotoEc2
from aws_ipfailover.lab.aws.query import (
    Query,
    Structure,
    ec2_answer,
    ec2_error,
    new_request_id,
    sts_answer,
    sts_error,
)
from aws_ipfailover.lab.aws.reply import Reply, faulty
from aws_ipfailover.lab.aws.throttle import Throttle
from aws_ipfailover.lab.aws.world import Instance, World
from aws_ipfailover.lab.network import InstanceState

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


class Api:
    """The service endpoints of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.faults = Faults()
        self.calls = CallLog()
        self.throttle = Throttle()
        self._moto = MotoEc2(account.plan.region, account.plan.account_id)
        self._reads: Dict[str, Callable[[World, Query, Identity], Structure]] = {
            "DescribeRouteTables": self._describe_route_tables,
            "DescribeNetworkInterfaces": lambda world, query, _: interfaces.describe_network_interfaces(world, query),
            "DescribeNetworkInterfaceAttribute": lambda world, query, _: interfaces.describe_attribute(world, query),
            "DescribeInstances": lambda world, query, _: instances.describe_instances(
                world, query, account.plan.account_id
            ),
            "DescribeInstanceStatus": lambda world, query, _: instances.describe_status(world, query),
            "DescribeInstanceAttribute": lambda world, query, _: instances.describe_attribute(world, query),
            "DescribeVpcs": lambda world, query, _: vpcs.describe_vpcs(world, query, account.table_owner_id),
            "DescribeSubnets": lambda world, query, _: vpcs.describe_subnets(world, query, account.table_owner_id),
            "DescribeInternetGateways": lambda world, query, _: vpcs.describe_internet_gateways(
                world, query, account.plan.account_id
            ),
            "DescribeAddresses": lambda world, query, _: elastic_ips.describe_addresses(world, query),
            "DescribeTags": lambda world, query, _: vpcs.describe_tags(world, query),
        }
        self._writes: Dict[str, Callable[[World, Query, Identity], Tuple[World, Structure]]] = {
            "CreateRoute": lambda world, query, who: (
                routes.create_route(world, query, who.account_id, account.route_quota),
                YES,
            ),
            "ReplaceRoute": lambda world, query, who: (routes.replace_route(world, query, who.account_id), YES),
            "DeleteRoute": lambda world, query, who: (routes.delete_route(world, query, who.account_id), YES),
            "CreateRouteTable": lambda world, query, who: routes.create_route_table(world, query, who.account_id),
            "AssociateRouteTable": lambda world, query, who: routes.associate(world, query, who.account_id),
            "DisassociateRouteTable": lambda world, query, _: (routes.disassociate(world, query), YES),
            "ReplaceRouteTableAssociation": lambda world, query, who: routes.replace_association(
                world, query, who.account_id
            ),
            "CreateNetworkInterface": lambda world, query, who: interfaces.create(world, query, who.account_id),
            "DeleteNetworkInterface": lambda world, query, _: (interfaces.delete(world, query), YES),
            "AssignPrivateIpAddresses": lambda world, query, _: interfaces.assign_ipv4(world, query),
            "UnassignPrivateIpAddresses": lambda world, query, _: (interfaces.unassign_ipv4(world, query), YES),
            "AssignIpv6Addresses": lambda world, query, _: interfaces.assign_ipv6(world, query),
            "UnassignIpv6Addresses": lambda world, query, _: interfaces.unassign_ipv6(world, query),
            "AllocateAddress": lambda world, query, _: elastic_ips.allocate(world, query),
            "ReleaseAddress": lambda world, query, _: (elastic_ips.release(world, query), YES),
            "AssociateAddress": lambda world, query, _: elastic_ips.associate(world, query),
            "DisassociateAddress": lambda world, query, _: (elastic_ips.disassociate(world, query), YES),
            "ModifyNetworkInterfaceAttribute": lambda world, query, _: (interfaces.modify(world, query), YES),
            "ModifyInstanceAttribute": lambda world, query, _: (instances.modify(world, query), YES),
            "AssociateVpcCidrBlock": lambda world, query, _: vpcs.associate_cidr(world, query),
            "CreateTags": lambda world, query, _: (vpcs.create_tags(world, query), YES),
            "DeleteTags": lambda world, query, _: (vpcs.delete_tags(world, query), YES),
            "AttachNetworkInterface": self._attach,
            "DetachNetworkInterface": self._detach,
            "StopInstances": self._stop,
            "StartInstances": self._start,
            "RebootInstances": self._reboot,
            "TerminateInstances": self._terminate,
        }

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
        latency, fault = self.faults.take(service, query.action, caller.address, values)
        principal: Optional[str] = None
        if fault is not None and not fault.after:
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
        if fault.kind == "truncate" and right is None:
            right = Reply(200, ec2_answer("Describe", {"routeTableSet": [{"routeTableId": "rtb-0"}]}, new_request_id()))
        return faulty(fault.kind, right), f"fault:{fault.kind}"

    @staticmethod
    def _error(service: str, error: ApiError, request_id: str) -> Reply:
        body = (sts_error if service == "sts" else ec2_error)(error, request_id)
        return Reply(error.status, body, {"Content-Type": "text/xml;charset=UTF-8"})

    def _serve(self, service: str, query: Query, caller: Caller) -> Tuple[Reply, str, Optional[str]]:
        request_id = new_request_id()
        headers = {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-RequestId": request_id}
        principal: Optional[str] = None
        try:
            if service == "ec2":
                self.throttle.take(query)
            identity = self.account.identities.who(caller.access_key_id, caller.session_token, service)
            principal = identity.arn
            if service == "sts":
                return Reply(200, self._sts(query, identity, request_id), headers), "ok", principal
            status, body = self._ec2(query, identity, request_id)
        except ApiError as error:
            return self._error(service, error, request_id), error.code, principal
        return Reply(status, body, headers), "ok" if status < 400 else "moto", principal

    def _ec2(self, query: Query, identity: Identity, request_id: str) -> Tuple[int, bytes]:
        action = query.action
        self.account.identities.authorize(identity, f"ec2:{action}", self._resources(query))
        dry = query.flag("DryRun")
        if action in self._reads:
            if dry:
                raise ApiError("DryRunOperation")
            return 200, ec2_answer(action, self._reads[action](self.account.view(), query, identity), request_id)
        if action in self._writes:
            write = self._writes[action]
            if dry:
                self._dry_run(action, query, identity)
            result = self.account.change_with(lambda world: write(world, query, identity))
            return 200, ec2_answer(action, result, request_id)
        if action in ("RunInstances", "CreateVpc", "CreateSubnet", "DeleteVpc", "DeleteSubnet", "DeleteRouteTable"):
            raise ApiError("UnsupportedOperation", f"The lab's VPC is as planned: {action} is not offered.")
        if dry:
            raise ApiError("DryRunOperation")
        try:
            return self._moto.call(self.account.world, query.parameters)
        except NotImplementedError as error:
            raise ApiError("InvalidAction", f"The action {action} is not valid for this web service.") from error

    def _dry_run(self, action: str, query: Query, identity: Identity) -> None:
        """Raise what a dry run answers: a request that names what does not exist, or makes no sense, still fails."""
        if action not in BACKGROUND:
            try:
                self._writes[action](self.account.world, query, identity)
            except ApiError as error:
                if error.code in SENSELESS or error.code.endswith((".NotFound", ".Malformed")):
                    raise
        raise ApiError("DryRunOperation")

    def _resources(self, query: Query) -> Tuple[str, ...]:
        """The ARNs that permissions for this call are about; `*` for actions without resource-level permissions."""
        plan = self.account.plan
        arn = f"arn:{partition(plan.region)}:ec2:{plan.region}"
        if query.action in ("CreateRoute", "ReplaceRoute", "DeleteRoute"):
            return (f"{arn}:{self.account.table_owner_id}:route-table/{query.get('RouteTableId')}",)
        if query.action in ("StopInstances", "StartInstances", "RebootInstances", "TerminateInstances"):
            return tuple(f"{arn}:{plan.account_id}:instance/{one}" for one in query.members("InstanceId"))
        eni = query.get("NetworkInterfaceId")
        if query.action == "DetachNetworkInterface":
            held = [
                one
                for one in self.account.world.interfaces.values()
                if one.attachment is not None and one.attachment.attachment_id == query.get("AttachmentId")
            ]
            return tuple(
                resource
                for one in held
                if one.attachment is not None
                for resource in (
                    f"{arn}:{plan.account_id}:instance/{one.attachment.instance_id}",
                    f"{arn}:{plan.account_id}:network-interface/{one.network_interface_id}",
                )
            )
        if query.action == "AttachNetworkInterface":
            return (
                f"{arn}:{plan.account_id}:instance/{query.get('InstanceId')}",
                f"{arn}:{plan.account_id}:network-interface/{eni}",
            )
        if eni is not None and not query.action.startswith("Describe"):
            return (f"{arn}:{plan.account_id}:network-interface/{eni}",)
        return ("*",)

    # -- actions that take time ------------------------------------------------------------------------------------

    def _describe_route_tables(self, world: World, query: Query, who: Identity) -> Structure:
        shared = self.account.table_owner_id != self.account.plan.account_id
        return routes.describe_route_tables(world, query, who.account_id, shared=shared)

    def _attach(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        world, made = interfaces.attach(world, query, time.time())
        eni = query.require("NetworkInterfaceId")
        seconds = self.account.timing.attach
        if seconds <= 0:
            world = interfaces.settle(world, eni, made.attachment_id, "attaching")
        else:
            self._later(seconds, eni, made.attachment_id, "attaching")
        return world, {"attachmentId": made.attachment_id, "networkCardIndex": 0}

    def _detach(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        world, eni = interfaces.detach(world, query)
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

    def responds_again(self, instance_id: str) -> None:
        """An instance takes part in detachments again, also in those that were asked for meanwhile."""
        self.account.unresponsive.discard(instance_id)
        for one in self.account.world.interfaces_of(instance_id):
            held = one.attachment
            if (
                held is not None
                and held.status == "detaching"
                and one.network_interface_id not in self.account.stuck_detach
            ):
                self._later(self.account.timing.detach, one.network_interface_id, held.attachment_id, "detaching")

    def _later(self, seconds: float, eni: str, attachment_id: str, status: str) -> None:
        def end() -> None:
            self.account.change(lambda world: interfaces.settle(world, eni, attachment_id, status))

        self.account.later(seconds, end)

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
                self._power(one, (*self._shutdown(query), ("off", self.account.timing.stop)), "stopped")
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
            self._power(one, (*self._shutdown(query), ("off", 0.0), ("on", 0.0)), "running")
        return world, YES

    def _terminate(self, world: World, query: Query, _: Identity) -> Tuple[World, Structure]:
        pairs: List[Tuple[Instance, InstanceState]] = []
        for one in instances.named(world, query):
            if one.state in ("terminated", "shutting-down"):
                pairs.append((one, one.state))
                continue
            pairs.append((one, "shutting-down"))
            world = world.with_instance(replace(one, state="shutting-down"))
            self._power(one, (*self._shutdown(query), ("off", self.account.timing.terminate)), "terminated")
        return world, instances.changes(pairs)

    def _shutdown(self, query: Query) -> Tuple[Tuple[Power, float], ...]:
        """The operating system goes first, also with Force, unless the call skips that (StopInstances' reference)."""
        graceful = self.account.timing.shutdown_limit > 0 and not query.flag("SkipOsShutdown")
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
            made = self.account.identities.assume(identity, role_arn, session, seconds)
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


BACKGROUND = frozenset(
    (
        "AttachNetworkInterface",
        "DetachNetworkInterface",
        "StopInstances",
        "StartInstances",
        "RebootInstances",
        "TerminateInstances",
    )
)


LISTED = frozenset(("StopInstances", "StartInstances", "RebootInstances", "TerminateInstances"))


def _holder(world: World, eni: str) -> Optional[str]:
    held = world.interfaces[eni].attachment
    return None if held is None else held.instance_id


def _wrong_state(one: Instance, wanted: str) -> ApiError:
    return ApiError(
        "IncorrectInstanceState",
        f"The instance '{one.instance_id}' is not in a state from which it can be {wanted}.",
    )


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
