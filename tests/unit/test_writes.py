"""aws/writes.py: calls that are planned, asked about, and noted."""

from __future__ import annotations

from typing import Any, List, Mapping

import pytest
from botocore.loaders import Loader

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.writes import Made, has_dry_run
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, WouldSucceedError


class Calls:
    """EC2 that denies whatever is in `denied`, and answers a dry run of anything else as EC2 does."""

    def __init__(self, *denied: str) -> None:
        self.deadline = Deadline(60)
        self.denied = denied
        self.made: List[str] = []

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        self.made.append(f"{operation} {arguments}")
        if operation in self.denied:
            raise DeniedError(f"{operation}: UnauthorizedOperation")
        if arguments.get("DryRun"):
            raise WouldSucceedError(operation)
        return {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"}]}


def test_a_planned_call_is_not_made() -> None:
    """It has the parameters of the method; a dry run of it has the same, and DryRun."""
    calls = Calls()
    write = Ec2(calls, "eu-central-1").planned(lambda ec2: ec2.detach("eni-attach-1", force=True))
    assert (write.operation, write.arguments) == (
        "DetachNetworkInterface",
        {"AttachmentId": "eni-attach-1", "Force": True},
    )
    assert calls.made == []
    assert write.dry_run is not None
    write.dry_run()
    assert calls.made == ["DetachNetworkInterface {'DryRun': True, 'AttachmentId': 'eni-attach-1', 'Force': True}"]


def test_a_dry_run_that_is_denied_raises() -> None:
    """As every call that is denied."""
    calls = Calls("ModifyNetworkInterfaceAttribute")
    write = Ec2(calls, "eu-central-1").planned(lambda ec2: ec2.switch_off_source_dest_check("eni-1"))
    assert write.dry_run is not None
    with pytest.raises(DeniedError):
        write.dry_run()


def test_writes_are_noted_and_reads_are_not() -> None:
    """With the error of one that failed; a dry run is no write."""
    noted: List[Made] = []
    ec2 = Ec2(Calls("AssociateAddress"), "eu-central-1").noted(noted.append)
    ec2.network_interface("eni-1")
    ec2.may_detach("eni-attach-1")
    ec2.detach("eni-attach-1", force=False)
    with pytest.raises(DeniedError):
        ec2.associate_address("eipalloc-1", "eni-1", None)
    assert [(one.operation, one.error) for one in noted] == [
        ("DetachNetworkInterface", ""),
        ("AssociateAddress", "AssociateAddress: UnauthorizedOperation"),
    ]


def test_which_operations_have_a_dry_run() -> None:
    """As the SDK's own model of EC2 has it."""
    model = Loader().load_service_model("ec2", "service-2")
    for operation in (
        "AssignIpv6Addresses",
        "AssignPrivateIpAddresses",
        "AssociateAddress",
        "AttachNetworkInterface",
        "CreateRoute",
        "DetachNetworkInterface",
        "ModifyNetworkInterfaceAttribute",
        "ReplaceRoute",
        "UnassignIpv6Addresses",
    ):
        shape = model["shapes"][model["operations"][operation]["input"]["shape"]]
        assert has_dry_run(operation) == ("DryRun" in shape["members"]), operation
