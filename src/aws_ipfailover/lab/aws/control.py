"""A small JSON interface on a Unix socket, through which a test steers an AWS that runs in another process.

`POST /METHOD` with a JSON object of arguments; the answer is `{"result": …}`, or status 400 and `{"error": "…"}`.
A Unix socket, because it is reached from every network namespace.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from aws_ipfailover.lab.aws.account import Consistency, Timing
from aws_ipfailover.lab.aws.connection import HttpRequest, HttpServer
from aws_ipfailover.lab.aws.errors import ApiError
from aws_ipfailover.lab.aws.faults import Fault
from aws_ipfailover.lab.aws.identity import Role
from aws_ipfailover.lab.aws.policies import Policy
from aws_ipfailover.lab.aws.reply import Reply
from aws_ipfailover.lab.aws.running import RunningAws


class Controls:
    """What can be steered; each public method is one call."""

    def __init__(self, aws: RunningAws) -> None:
        self._aws = aws
        self._account = aws.account

    def add_fault(self, **fault: Any) -> int:
        """Put a fault in force."""
        return self._aws.faults.add(Fault(**fault))

    def remove_fault(self, number: int) -> None:
        """Take a fault back."""
        self._aws.faults.remove(number)

    def clear_faults(self) -> None:
        """Take all faults back."""
        self._aws.faults.clear()

    def calls(self, action: Optional[str] = None) -> List[Dict[str, Any]]:
        """The log."""
        return [asdict(call) for call in self._aws.calls(action)]

    def clear_calls(self) -> None:
        """Forget all calls."""
        self._aws.calls.clear()

    def routes_to(self, destination: str) -> Dict[str, Optional[str]]:
        """Where each table leads."""
        return self._account.routes_to(destination)

    def put_route(self, destination: str, target: str, route_table_id: Optional[str] = None, **options: Any) -> None:
        """Set a route behind the cluster's back."""
        self._account.put_route(destination, target, route_table_id, **options)

    def delete_route(self, destination: str, route_table_id: Optional[str] = None, **options: Any) -> None:
        """Take a route away behind the cluster's back."""
        self._account.delete_route(destination, route_table_id, **options)

    def delete_route_table(self, route_table_id: str) -> None:
        """Delete a route table behind the cluster's back."""
        self._account.delete_route_table(route_table_id)

    def set_source_dest_check(self, name: str, checked: bool) -> None:
        """Switch an instance's source/destination check."""
        self._account.set_source_dest_check(name, checked)

    def administer(self, action: str, **parameters: str) -> None:
        """One EC2 call by an administrator."""
        self._aws.api.administer(action, **parameters)

    def set_timing(self, **timing: float) -> None:
        """How long EC2 takes."""
        self._account.timing = Timing(**timing)

    def set_consistency(self, **consistency: Any) -> None:
        """How stale the reads are."""
        self._account.consistency = Consistency(**consistency)

    def set_throttle(self, enabled: bool) -> None:
        """Switch the token buckets; they are full then."""
        self._aws.throttle.reset()
        self._aws.throttle.enabled = enabled

    def set_enforcement(self, enabled: bool) -> None:
        """Whether unknown access keys are refused."""
        self._account.identities.enforce = enabled

    def restrict_instances(self, document: Optional[Dict[str, Any]]) -> None:
        """The instances' role gets this IAM policy document; None for everything."""
        self._account.identities.restrict_instances(None if document is None else Policy.from_document(document))

    def restrict_account(self, document: Optional[Dict[str, Any]]) -> None:
        """The account gets this service control policy; None for everything."""
        policy = None if document is None else Policy.from_document(document)
        self._account.identities.service_control_policy = policy

    def put_role(self, arn: str, trusted_accounts: List[str], document: Optional[Dict[str, Any]] = None) -> None:
        """A role that may be assumed."""
        policy = None if document is None else Policy.from_document(document)
        self._account.identities.put_role(Role(arn, policy, frozenset(trusted_accounts)))

    def expire_credentials(self, renew: bool = True) -> None:
        """All temporary credentials are expired from now on; IMDS has new ones at once, or not before it is told."""
        self._account.identities.expire(renew=renew)

    def renew_credentials(self) -> None:
        """IMDS hands out new credentials again."""
        self._account.identities.renew()

    def expire_imds_tokens(self) -> None:
        """All IMDS session tokens are forgotten."""
        self._aws.imds.expire_tokens()

    def set_metadata(self, path: str, text: Optional[str]) -> None:
        """Another answer for an IMDS path; None for 404."""
        self._aws.imds.overrides[path] = text

    def disable_metadata(self, name: str, disabled: bool) -> None:
        """Switch the metadata endpoint of an instance, or of all (`*`), off or on."""
        if disabled:
            self._account.imds_disabled.add(name)
        else:
            self._account.imds_disabled.discard(name)

    def account(self) -> Dict[str, Any]:
        """What is fixed: ids by name."""
        return {
            "vpc_id": self._account.vpc_id,
            "route_table_ids": list(self._account.route_table_ids),
            "instances": {
                one.name: {**asdict(one), "address": str(one.address), "ipv6_address": str(one.ipv6_address)}
                for one in self._account.instances()
            },
        }


def control_server(aws: RunningAws, path: Path) -> HttpServer:
    """Serve the interface on a Unix socket that only this user can open (its directory has to see to that)."""
    controls = Controls(aws)
    methods: Dict[str, Callable[..., Any]] = {
        name: getattr(controls, name) for name in dir(Controls) if not name.startswith("_")
    }

    def handle(request: HttpRequest) -> Reply:
        method = methods.get(request.path.strip("/"))
        if method is None:
            return _answer(404, {"error": f"no such method: {request.path}"})
        try:
            return _answer(200, {"result": method(**json.loads(request.body or b"{}"))})
        except (ApiError, KeyError, TypeError, ValueError) as error:
            return _answer(400, {"error": f"{type(error).__name__}: {error}"})

    return HttpServer(handle, [path])


def _answer(status: int, value: Dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
