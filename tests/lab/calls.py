"""What an instance gets for an answer when it calls EC2, as its own SDK sees it.

botocore alone, which boto3's clients are made by: boto3 takes a third of a call's processor time to import.
"""

from __future__ import annotations

import json
from typing import Any

from vpc_lab.lab import Lab

# One attempt, so that each call is one call; what comes back is JSON, or one line that says how it failed.
ASK = """
import json, sys
import botocore.exceptions, botocore.session
from botocore.config import Config
short = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
try:
    client = botocore.session.get_session().create_client(sys.argv[1], region_name=sys.argv[2], config=short)
    found = getattr(client, sys.argv[3])(**json.loads(sys.argv[4]))
except botocore.exceptions.ClientError as error:
    print(json.dumps(error.response["Error"]["Code"]))
except Exception as error:
    print(json.dumps(type(error).__name__))
else:
    found.pop("ResponseMetadata")
    print(json.dumps(found, default=str))
"""


def asked(lab: Lab, node: str, operation: str, service: str = "ec2", **parameters: Any) -> Any:
    """The answer to one call, or the error code or exception of one that failed."""
    argv = ["/usr/bin/python3", "-c", ASK, service, lab.status().region, operation, json.dumps(parameters)]
    return json.loads(lab.exec(node, argv).stdout)


def outcome(lab: Lab, node: str, operation: str = "describe_route_tables", **parameters: Any) -> str:
    """`ok`, or how it failed."""
    found = asked(lab, node, operation, **parameters)
    return found if isinstance(found, str) else "ok"
