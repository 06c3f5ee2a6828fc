"""Who calls, and what they may do: credentials, roles, and as much of IAM as a resource agent meets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from secrets import token_hex, token_urlsafe
from threading import Lock
from typing import Callable, Dict, FrozenSet, Optional, Sequence, Tuple

from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.iam.policies import EMPTY, Context, Policy


def partition(region: str) -> str:
    """The partition a Region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


@dataclass(frozen=True)
class Identity:
    """Who calls: the ARN that AWS names in its errors, the account, and the role behind it if any."""

    arn: str
    account_id: str
    role_arn: Optional[str] = None


@dataclass(frozen=True)
class Credentials:
    """An access key; with a session token and an expiry (seconds since the epoch) if it is temporary."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    identity: Identity
    session_token: Optional[str] = field(default=None, repr=False)
    expires: Optional[float] = None


@dataclass(frozen=True)
class Role:
    """A role that may be assumed, by these accounts; `policy` None allows everything.

    Of its trust policy: `external_id`, if it has a condition on sts:ExternalId; `may_be_tagged`, if it allows
    sts:TagSession beside sts:AssumeRole.
    """

    arn: str
    policy: Optional[Policy] = None
    trusted_accounts: FrozenSet[str] = frozenset()
    external_id: Optional[str] = field(default=None, repr=False)
    may_be_tagged: bool = False

    @property
    def account_id(self) -> str:
        """The account the role belongs to."""
        return self.arn.split(":")[4]


class Identities:
    """The account's credentials and roles.

    `enforce`: an access key that is not known is refused (AuthFailure); otherwise it counts as the account's root.
    Policies and expiry always hold for keys that are known.
    """

    def __init__(self, account_id: str, instance_role: str, region: str) -> None:
        self._lock = Lock()
        self.enforce = False
        self.account_id = account_id
        self.partition = partition(region)
        self.instance_role_arn = f"arn:{self.partition}:iam::{account_id}:role/{instance_role}"
        self.credential_seconds = 6 * 3600.0
        # What a service answers to credentials that have expired.
        self.expired_codes: Dict[str, str] = {"ec2": "RequestExpired", "sts": "ExpiredToken", "iam": "ExpiredToken"}
        self._renewing = True
        # What the instances' own role may do besides: each of these has to allow it.
        self.instance_policies: Tuple[Policy, ...] = ()
        # What the organization lets roles of this account do at most; None for everything.
        self.service_control_policy: Optional[Policy] = None
        self._roles: Dict[str, Role] = {self.instance_role_arn: Role(self.instance_role_arn)}
        self._credentials: Dict[str, Credentials] = {}
        self._of_instance: Dict[str, Credentials] = {}
        # The roles of instances that have another one than `instance_role_arn`.
        self._role_of: Dict[str, str] = {}

    def put_role(self, role: Role) -> None:
        """Add a role, or change one (the instances' role has its ARN in `instance_role_arn`)."""
        with self._lock:
            self._roles[role.arn] = role

    def forget_role(self, arn: str) -> None:
        """A role is deleted: credentials of it may do nothing any more."""
        with self._lock:
            if arn in self._roles:
                self._roles[arn] = Role(arn, Policy(()))

    def give_role(self, instance_id: str, arn: str) -> None:
        """Let an instance have the role with this ARN, by its instance profile."""
        with self._lock:
            self._role_of[instance_id] = arn

    def role_arn(self, name: str) -> str:
        """The ARN of a role of this account."""
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name}"

    def permits(self, identity: Identity, action: str) -> bool:
        """Whether the caller may do something on every resource, as with a service that the lab knows little of."""
        return self._denial(identity, action, "*", EMPTY) is None

    def restrict_instances(self, policy: Optional[Policy]) -> None:
        """What the instances' own role may do; None for everything."""
        self.put_role(Role(self.instance_role_arn, policy))

    def user(self, name: str = "administrator") -> Credentials:
        """A new long-lived access key of an IAM user who may do everything."""
        made = Credentials(
            "AKIA" + token_hex(8).upper(),
            token_urlsafe(30),
            Identity(f"arn:{self.partition}:iam::{self.account_id}:user/{name}", self.account_id),
        )
        with self._lock:
            self._credentials[made.access_key_id] = made
        return made

    def put_key(self, access_key_id: str, secret_access_key: str, name: str = "administrator") -> None:
        """Let a long-lived access key be one of an IAM user who may do everything."""
        whose = Identity(f"arn:{self.partition}:iam::{self.account_id}:user/{name}", self.account_id)
        with self._lock:
            self._credentials[access_key_id] = Credentials(access_key_id, secret_access_key, whose)

    def of_instance(self, instance_id: str) -> Credentials:
        """The session credentials that IMDS hands to an instance; renewed five minutes before they expire.

        After `expire(renew=False)` they are the expired ones until `renew`.
        """
        with self._lock:
            held = self._of_instance.get(instance_id)
            if held is not None and not self._renewing:
                return held
            if (
                held is not None
                and held.expires is not None
                and held.expires - time.time() > min(300.0, self.credential_seconds / 2)
            ):
                return held
            seconds = self.credential_seconds if self._renewing else -1.0
            made = self._session(
                self._roles[self._role_of.get(instance_id, self.instance_role_arn)], instance_id, seconds
            )
            self._of_instance[instance_id] = made
            return made

    def expire(self, access_key_id: Optional[str] = None, *, renew: bool = True) -> None:
        """Let one temporary key, or all, be expired from now on.

        With `renew` IMDS has new ones at once; otherwise it goes on to hand out expired ones until `renew` is called,
        as it does while the service behind it has a fault.
        """
        with self._lock:
            for key, held in list(self._credentials.items()):
                if held.expires is not None and access_key_id in (None, key):
                    self._credentials[key] = replace(held, expires=time.time() - 1)
            self._renewing = renew
            if renew:
                self._of_instance.clear()
            else:
                for instance_id, held in self._of_instance.items():
                    self._of_instance[instance_id] = self._credentials[held.access_key_id]

    @property
    def renewing(self) -> bool:
        """Whether IMDS has credentials that are not expired."""
        return self._renewing

    def renew(self) -> None:
        """IMDS hands out new credentials again."""
        with self._lock:
            self._renewing = True
            self._of_instance.clear()

    def who(self, access_key_id: Optional[str], session_token: Optional[str], service: str) -> Identity:
        """The caller of a request; otherwise AuthFailure (STS: InvalidClientTokenId) or one of `expired_codes`.

        EC2 calls expired credentials RequestExpired, "Request has expired." (aws/aws-sdk-java#1443).
        """
        with self._lock:
            held = self._credentials.get(access_key_id or "")
        if held is None:
            if self.enforce:
                raise ApiError("AuthFailure" if service == "ec2" else "InvalidClientTokenId")
            return Identity(f"arn:{self.partition}:iam::{self.account_id}:root", self.account_id)
        if held.session_token is not None and held.session_token != session_token:
            raise ApiError("AuthFailure" if service == "ec2" else "InvalidClientTokenId")
        if held.expires is not None and held.expires <= time.time():
            raise ApiError(self.expired_codes[service])
        return held.identity

    def authorize(
        self,
        identity: Identity,
        action: str,
        resources: Sequence[str],
        context_of: Callable[[str], Context] = lambda arn: EMPTY,
    ) -> None:
        """Refuse, as EC2 does, what the caller's role may not do; `context_of`: the context of an ARN's resource.

        The wording is that of EC2's answers in public bug reports, such as aws/karpenter-provider-aws#7370. An
        operation without resource-level permissions has neither a resource nor an encoded message.
        """
        for resource in resources:
            reason = self._denial(identity, action, resource, context_of(resource))
            if reason is None:
                continue
            where, encoded = "", ""
            if resource != "*":
                where = f" on resource: {resource}"
                encoded = f". Encoded authorization failure message: {token_urlsafe(120)}"
            raise ApiError(
                "UnauthorizedOperation",
                f"You are not authorized to perform this operation. User: {identity.arn} is not authorized to "
                f"perform: {action}{where} {reason}{encoded}",
            )

    def assume(
        self,
        identity: Identity,
        role_arn: str,
        session_name: str,
        seconds: float,
        *,
        external_id: Optional[str] = None,
        tagged: bool = False,
    ) -> Credentials:
        """Session credentials of another role; otherwise AccessDenied, which does not tell whether the role exists.

        `tagged`: with session tags, which the role's trust and the caller's own policy have to allow too: without, the
        operation fails ("Pass session tags in AWS STS", IAM user guide). The wording is that of
        aws-actions/configure-aws-credentials#54.
        """
        with self._lock:
            role = self._roles.get(role_arn)
        if (
            role is None
            or identity.account_id not in role.trusted_accounts
            or role.external_id not in (None, external_id)
        ):
            raise self._not_assumed(identity, "sts:AssumeRole", role_arn)
        if self._denial(identity, "sts:AssumeRole", role_arn, EMPTY) is not None:
            raise self._not_assumed(identity, "sts:AssumeRole", role_arn)
        if tagged and (not role.may_be_tagged or self._denial(identity, "sts:TagSession", role_arn, EMPTY) is not None):
            raise self._not_assumed(identity, "sts:TagSession", role_arn)
        with self._lock:
            return self._session(role, session_name, seconds)

    def _not_assumed(self, identity: Identity, action: str, role_arn: str) -> ApiError:
        reason = self._denial(identity, action, role_arn, EMPTY)
        explicit = f" {reason}" if reason is not None and reason.startswith("with") else ""
        return ApiError(
            "AccessDenied",
            f"User: {identity.arn} is not authorized to perform: {action} on resource: {role_arn}{explicit}",
        )

    def _denial(self, identity: Identity, action: str, resource: str, context: Context) -> Optional[str]:
        """Why a role may not do something, as AWS puts it; None where it may. Users and root may do everything."""
        with self._lock:
            role = self._roles.get(identity.role_arn or "")
        if role is None:
            return None
        further = self.instance_policies if role.arn == self.instance_role_arn else ()
        policies = [
            ("a service control policy", self.service_control_policy if role.account_id == self.account_id else None),
            *(("an identity-based policy", policy) for policy in (role.policy, *further)),
        ]
        found = [(kind, policy.decide(action, resource, context)) for kind, policy in policies if policy is not None]
        for kind, decision in found:
            if decision == "explicit deny":
                return f"with an explicit deny in {kind}"
        for kind, decision in found:
            if decision == "implicit deny":
                return f"because no {kind.partition(' ')[2]} allows the {action} action"
        return None

    def _session(self, role: Role, session_name: str, seconds: float) -> Credentials:
        name = role.arn.rpartition("/")[2]
        partition = role.arn.split(":")[1]
        identity = Identity(
            f"arn:{partition}:sts::{role.account_id}:assumed-role/{name}/{session_name}", role.account_id, role.arn
        )
        made = Credentials(
            "ASIA" + token_hex(8).upper(), token_urlsafe(30), identity, token_urlsafe(200), time.time() + seconds
        )
        self._credentials[made.access_key_id] = made
        return made
