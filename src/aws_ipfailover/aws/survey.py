"""EC2's and STS's operations that only commands use, and never the agent, each as one method.

Facts: Amazon EC2 API Reference and AWS STS API Reference, each operation's page.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional

from aws_ipfailover.address import Cidr
from aws_ipfailover.aws import survey_models as models
from aws_ipfailover.aws.survey_models import (
    Caller,
    InterfaceLimits,
    NetworkAcl,
    Peering,
    SecurityGroup,
    TransitAttachment,
    TransitRoute,
    TransitTable,
)
from aws_ipfailover.aws.writes import Calls
from aws_ipfailover.errors import UnknownError

# "Supported values are 5 to 1000" (SearchTransitGatewayRoutes). One route is what is searched for.
_FEW = 5


def caller_identity(sts: Calls) -> Caller:
    """Whose credentials these are; needs no permission.

    Raises:
        DeniedError: AWS does not accept them.  UnknownError: no answer.
    """
    return models.caller(sts("GetCallerIdentity"))


class Survey:
    """What is around a VPC's route tables and ENIs; safe to call from many threads.

    Everything raised is an `errors.Error` that starts with the operation and carries AWS's error code.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def security_groups(self, vpc_id: str) -> List[SecurityGroup]:
        """The security groups of a VPC, with their rules."""
        return [models.security_group(one) for one in self._all("DescribeSecurityGroups", "SecurityGroups", vpc_id)]

    def network_acls(self, vpc_id: str) -> List[NetworkAcl]:
        """The network ACLs of a VPC, with their rules."""
        return [models.network_acl(one) for one in self._all("DescribeNetworkAcls", "NetworkAcls", vpc_id)]

    def peerings(self, vpc_id: str) -> List[Peering]:
        """The active peering connections of a VPC, whichever side has asked for them."""
        found = [
            models.peering(one, vpc_id)
            for side in ("requester", "accepter")
            for one in self._all(
                "DescribeVpcPeeringConnections", "VpcPeeringConnections", vpc_id, f"{side}-vpc-info.vpc-id"
            )
        ]
        return [one for one in found if one is not None]

    def transit_attachments(self, vpc_id: str) -> List[TransitAttachment]:
        """The attachments of a VPC to transit gateways, with the gateways' owners.

        The owner is only in the answer to DescribeTransitGatewayAttachments, the subnets only in that to
        DescribeTransitGatewayVpcAttachments.
        """
        described = self._all("DescribeTransitGatewayVpcAttachments", "TransitGatewayVpcAttachments", vpc_id)
        found = [models.transit_attachment(one) for one in described if one.get("State") in ("available", "modifying")]
        if not found:
            return []
        about = self._all("DescribeTransitGatewayAttachments", "TransitGatewayAttachments", vpc_id, "resource-id")
        owners = {one.get("TransitGatewayAttachmentId", ""): str(one.get("TransitGatewayOwnerId", "")) for one in about}
        return [one._replace(owner_id=owners.get(one.attachment_id, "")) for one in found]

    def transit_tables(self, gateway_id: str) -> List[TransitTable]:
        """The route tables of a transit gateway that this account sees: none of one that belongs to another."""
        described = self._all(
            "DescribeTransitGatewayRouteTables", "TransitGatewayRouteTables", gateway_id, "transit-gateway-id"
        )
        return [models.transit_table(one) for one in described if one.get("State", "available") == "available"]

    def transit_route(self, table_id: str, cidr: Cidr) -> Optional[TransitRoute]:
        """The route that a transit gateway's route table uses for a CIDR of one address; `None` if it has none.

        Of several equal ones (ECMP) the first.
        """
        answer = self._calls(
            "SearchTransitGatewayRoutes",
            TransitGatewayRouteTableId=table_id,
            Filters=[_filter("route-search.longest-prefix-match", str(cidr))],
            MaxResults=_FEW,
        )
        found = (models.transit_route(one) for one in answer.get("Routes", ()))
        return next((one for one in found if one is not None), None)

    def vpn_gateways(self, vpc_id: str) -> List[str]:
        """The ids of the virtual private gateways that are attached to a VPC."""
        answer = self._calls("DescribeVpnGateways", Filters=[_filter("attachment.vpc-id", vpc_id)])
        return [
            str(one.get("VpnGatewayId", ""))
            for one in answer.get("VpnGateways", ())
            if any(at.get("VpcId") == vpc_id and at.get("State") == "attached" for at in one.get("VpcAttachments", ()))
        ]

    def interface_limits(self, instance_type: str) -> InterfaceLimits:
        """How many ENIs and addresses an instance type takes.

        Raises:
            UnknownError: the answer leaves the type out.
        """
        answer = self._calls("DescribeInstanceTypes", InstanceTypes=[instance_type])
        for one in answer.get("InstanceTypes", ()):
            if one.get("InstanceType") == instance_type:
                return models.interface_limits(one)
        raise UnknownError(f"DescribeInstanceTypes: the answer leaves out {instance_type}")

    def keep_on_termination(self, network_interface_id: str, attachment_id: str) -> None:
        """Let an ENI outlive the instance that it is attached to."""
        self._calls(
            "ModifyNetworkInterfaceAttribute",
            NetworkInterfaceId=network_interface_id,
            Attachment={"AttachmentId": attachment_id, "DeleteOnTermination": False},
        )

    def _all(self, operation: str, member: str, value: str, name: str = "vpc-id") -> List[Mapping[str, Any]]:
        """The `member` of every page of an answer, for the filter `name`."""
        return [one for page in self._pages(operation, _filter(name, value)) for one in page.get(member, ())]

    def _pages(self, operation: str, chosen: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        token: Mapping[str, str] = {}
        while True:
            answer = self._calls(operation, Filters=[chosen], **token)
            yield answer
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def _filter(name: str, value: str) -> Mapping[str, Any]:
    return {"Name": name, "Values": [value]}
