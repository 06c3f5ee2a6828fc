"""The AWS of the lab and of all tests: EC2, STS and IMDS with EC2's own semantics, faults and stale reads.

with running_aws(extra_route_tables=3) as aws:
    boto3.client("ec2", endpoint_url=aws.ec2_url, ...)
    aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", times=2))
    aws.calls("ReplaceRoute")
"""

from __future__ import annotations

from aws_ipfailover.lab.aws.account import Account, Consistency, LabInstance, Timing
from aws_ipfailover.lab.aws.calls import Call
from aws_ipfailover.lab.aws.faults import Fault
from aws_ipfailover.lab.aws.identity import Credentials, Role
from aws_ipfailover.lab.aws.policies import Condition, Policy, Statement
from aws_ipfailover.lab.aws.process import AwsProcess, ControlError, aws_process
from aws_ipfailover.lab.aws.running import RunningAws, environment, key_environment, running_aws, start_aws

__all__ = [
    "Account",
    "AwsProcess",
    "Call",
    "Condition",
    "Consistency",
    "ControlError",
    "Credentials",
    "Fault",
    "LabInstance",
    "Policy",
    "Role",
    "RunningAws",
    "Statement",
    "Timing",
    "aws_process",
    "environment",
    "key_environment",
    "running_aws",
    "start_aws",
]
