"""The AWS of the lab and of all tests: EC2, STS and IMDS with EC2's own semantics, faults and stale reads.

with running_aws(extra_route_tables=3) as aws:
    boto3.client("ec2", endpoint_url=aws.ec2_url, ...)
    aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", times=2))
    aws.calls("ReplaceRoute")

What concerns an address that moves is answered by code of this package: routes and route tables, network interfaces and
their addresses, Elastic IPs, instances, tags, subnets, the VPC, all of IAM, STS and the instance metadata. moto answers
the other operations of EC2, out of a state of its own (`moto_backend`).
"""

from __future__ import annotations

from aws_ipfailover.lab.aws.account import EVERY_INSTANCE, Account, Consistency, LabInstance, Timing
from aws_ipfailover.lab.aws.calls import Call
from aws_ipfailover.lab.aws.faults import Fault
from aws_ipfailover.lab.aws.identity import Credentials, Role
from aws_ipfailover.lab.aws.policies import Condition, Policy, Statement
from aws_ipfailover.lab.aws.running import RunningAws, environment, key_environment, running_aws, start_aws

__all__ = [
    "EVERY_INSTANCE",
    "Account",
    "Call",
    "Condition",
    "Consistency",
    "Credentials",
    "Fault",
    "LabInstance",
    "Policy",
    "Role",
    "RunningAws",
    "Statement",
    "Timing",
    "environment",
    "key_environment",
    "running_aws",
    "start_aws",
]
