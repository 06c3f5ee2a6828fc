"""Commands of the AWS CLI that a finding tells: as an administrator runs them, wherever that is."""

from __future__ import annotations

from aws_ipfailover.diagnosis.finding import Command
from aws_ipfailover.diagnosis.surroundings import Surroundings


def ec2_command(surroundings: Surroundings, operation: str, *arguments: str) -> Command:
    """`aws ec2 OPERATION` in the region of the resource.

    Without the resource's profile: what a finding asks for is most often what these credentials may not do.
    """
    return ("aws", "ec2", operation, "--region", surroundings.access.account().region, *arguments)
