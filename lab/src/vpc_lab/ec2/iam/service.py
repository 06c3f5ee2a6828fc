"""IAM as a service: moto answers, with a state of its own, and the account's roles follow what it holds.

Of a role, its inline policies count (`PutRolePolicy`); of an instance profile, its role. A managed policy can be
attached, and permits nothing here. IAM is one service for all Regions, eventually consistent on AWS and at once here.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple
from urllib.parse import urlencode

from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.iam.identity import Identities, Identity, Role
from vpc_lab.ec2.iam.policies import Policy, Statement
from vpc_lab.ec2.moto_backend import request_of

URL = "https://iam.amazonaws.com/"


class Iam:
    """The service of one account. moto is loaded at the first call."""

    def __init__(self, account_id: str, identities: Identities) -> None:
        self._account_id = account_id
        self._identities = identities
        self._lock = Lock()
        self._backend: Optional[Any] = None
        self._known: Set[str] = set()

    def call(self, identity: Identity, parameters: Mapping[str, str]) -> Tuple[int, bytes]:
        """Answer one call: HTTP status and body. ApiError: AccessDenied, MalformedPolicyDocument, InvalidAction."""
        action = parameters.get("Action", "")
        if not self._identities.permits(identity, f"iam:{action}"):
            raise ApiError(
                "AccessDenied",
                f"User: {identity.arn} is not authorized to perform: iam:{action} because no identity-based policy "
                f"allows the iam:{action} action",
            )
        if action == "PutRolePolicy":
            _policy([parameters.get("PolicyDocument", "")])
        with self._lock:
            try:
                status, body = self._answer(parameters)
            except NotImplementedError as error:
                raise ApiError("InvalidAction", f"The action {action} is not valid for this web service.") from error
            self._follow()
        return status, body

    def role_of(self, profile: str) -> Optional[str]:
        """The name of the role in an instance profile; None without such a profile, or without a role in it."""
        with self._lock:
            for one in () if self._backend is None else self._backend.instance_profiles.values():
                if one.name == profile and one.roles:
                    return str(one.roles[0].name)
        return None

    def _follow(self) -> None:
        """Let the account have the roles that there are now."""
        there: Dict[str, Role] = {}
        for one in () if self._backend is None else self._backend.roles.values():
            arn = self._identities.role_arn(one.name)
            there[arn] = Role(arn, _policy(one.policies.values()))
        for arn in self._known - set(there):
            self._identities.forget_role(arn)
        for role in there.values():
            self._identities.put_role(role)
        self._known = set(there)

    def _answer(self, parameters: Mapping[str, str]) -> Tuple[int, bytes]:
        from moto.iam.models import IAMBackend  # noqa: PLC0415 - the import takes seconds
        from moto.iam.responses import IamResponse  # noqa: PLC0415 - see above

        if self._backend is None:
            self._backend = IAMBackend("aws", self._account_id)
        held = self._backend

        class Bound(IamResponse):  # type: ignore[misc]
            @property
            def backend(self) -> Any:
                return held

        headers: Dict[str, str] = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        status, _, body = Bound.dispatch(request_of(URL, headers, urlencode(parameters).encode()), URL, headers)
        return int(status), body.encode() if isinstance(body, str) else bytes(body)


def _policy(documents: Any) -> Policy:
    """What several documents allow together; ApiError for one that the lab does not understand."""
    found: List[Statement] = []
    for text in documents:
        try:
            found += Policy.from_document(json.loads(text)).statements
        except (KeyError, TypeError, ValueError) as error:
            raise ApiError("MalformedPolicyDocument", f"The lab does not understand this policy: {error}") from error
    return Policy(tuple(found))
