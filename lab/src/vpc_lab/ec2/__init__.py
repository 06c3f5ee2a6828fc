"""The AWS of the lab and of all tests: EC2, STS and IMDS with EC2's own semantics, faults and stale reads.

with running_aws(topology_for(extra_route_tables=3)) as aws:
    boto3.client("ec2", endpoint_url=aws.ec2_url, ...)
    aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", times=2))
    aws.calls("ReplaceRoute")

What concerns an address that moves is answered by code of this package: routes and route tables, network interfaces and
their addresses, Elastic IPs, instances, tags, subnets, the VPC, all of IAM, STS and the instance metadata. moto answers
the other operations of EC2, out of a state of its own (`moto_backend`).
"""

from __future__ import annotations

from vpc_lab.ec2.account import EVERY_INSTANCE, Account, Consistency, Timing
from vpc_lab.ec2.call_log import Call
from vpc_lab.ec2.faults import Fault
from vpc_lab.ec2.iam.identity import Credentials, Role
from vpc_lab.ec2.iam.policies import Condition, Policy, Statement
from vpc_lab.ec2.running import RunningAws, environment, key_environment, running_aws, start_aws
from vpc_lab.ec2.throttle import Limit

__all__ = [
    "EVERY_INSTANCE",
    "Account",
    "Call",
    "Condition",
    "Consistency",
    "Credentials",
    "Fault",
    "Limit",
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
