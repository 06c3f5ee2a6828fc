"""What an instance gets for an answer when it calls EC2, as its own SDK sees it.

One process in each instance has loaded the SDK and its models, which takes half a second of processor time, and forks
for each call, which has a session, credentials and connections of its own. botocore alone, which makes boto3's clients.
"""

from __future__ import annotations

import json
import select
import subprocess
from typing import Any, Dict, Tuple

from vpc_lab.lab import Lab

# One attempt, so that each call is one call; what comes back is a line of JSON: the answer, or how the call failed.
ANSWER = """
import json, os, sys
import botocore.exceptions, botocore.loaders, botocore.session
from botocore.config import Config

loader = botocore.loaders.create_loader()

def session():
    made = botocore.session.get_session()
    made.register_component("data_loader", loader)
    return made

def client(session, service="ec2"):
    short = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
    return session.create_client(service, region_name=sys.argv[1], config=short)

def answer(service, operation, parameters):
    try:
        found = getattr(client(session(), service), operation)(**parameters)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:
        return type(error).__name__
    found.pop("ResponseMetadata")
    return found

first = session()
first.set_credentials("none", "none")
client(first)  # loads the models, and asks nobody
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        print(json.dumps(answer(*json.loads(line)), default=str), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""

_PATIENCE = 30.0  # seconds; a call takes a few at most, also where nobody answers

_callers: Dict[Tuple[Lab, str], subprocess.Popen[str]] = {}


def asked(lab: Lab, node: str, operation: str, service: str = "ec2", **parameters: Any) -> Any:
    """The answer to one call, or the error code or exception of one that failed."""
    caller = _caller(lab, node)
    assert caller.stdin is not None
    assert caller.stdout is not None
    caller.stdin.write(json.dumps([service, operation, parameters]) + "\n")
    caller.stdin.flush()
    if not select.select([caller.stdout], [], [], _PATIENCE)[0]:
        caller.kill()  # what it says later would be taken for the answer to the next call
        raise AssertionError(f"{operation} on {node}: nothing came back in {_PATIENCE:.0f} s")
    answer = caller.stdout.readline()
    assert answer, f"the process that calls EC2 from {node} has ended"
    return json.loads(answer)


def outcome(lab: Lab, node: str, operation: str = "describe_route_tables", **parameters: Any) -> str:
    """`ok`, or how it failed."""
    found = asked(lab, node, operation, **parameters)
    return found if isinstance(found, str) else "ok"


def end_callers() -> None:
    """End the processes that make the calls."""
    while _callers:
        with _callers.popitem()[1] as caller:
            caller.kill()


def _caller(lab: Lab, node: str) -> subprocess.Popen[str]:
    """The process that makes calls in an instance; one that has ended, with the instance or its lab, is made again."""
    known = _callers.get((lab, node))
    if known is not None and known.poll() is None:
        return known
    if known is not None:
        with known:
            pass
    argv = ["/usr/bin/python3", "-u", "-c", ANSWER, lab.status().region]
    made = lab.spawn(node, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _callers[lab, node] = made
    return made
