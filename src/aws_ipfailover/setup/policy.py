"""The least IAM policies for a configuration, made from `permissions.PERMISSIONS`. Pure: nothing is asked of AWS.

Facts: "IAM JSON policy elements reference" and "IAM and AWS STS quotas" (IAM user guide); resource types and condition
keys of each action: Service Authorization Reference. That `ec2:Attribute/SourceDestCheck` holds the value that
ModifyNetworkInterfaceAttribute is given, `true` or `false`, was seen on EC2 by AppMana/cloud-provisioning
(docs/validation/aws-gateway-source-check-results.json): other attributes are then denied.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.parameters import TableNames, Values, parse
from aws_ipfailover.setup.permissions import (
    ASSUME_ROLE,
    CREATE_ROUTES,
    DESCRIBE,
    REPLACE_ROUTES,
    SOURCE_DEST_CHECK,
    Kind,
    Permission,
    User,
    permissions_for,
)

VERSION = "2012-10-17"
# Characters of a managed policy, white space not counted. All inline policies of a role together may have 10,240.
LONGEST = 6144
ANY = "*"
PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
# What a trust policy has in the place of an external id that is not to be printed.
EXTERNAL_ID = "THE-PARAMETER-external_id"
# Statements that a configuration can do without, and what has to be so then.
OPTIONAL: Mapping[str, str] = {
    CREATE_ROUTES: "every route table has a route for the address already",
    SOURCE_DEST_CHECK: "the source/destination check of each node's interface is off already",
}
_WITH_VPC = (Kind.ROUTE_TABLE, Kind.INTERFACE)
_SESSION_TAGS = ("aws-ipfailover:instance", "aws-ipfailover:resource")


class Scope(NamedTuple):
    """What is known of the resources besides the parameters: `*` or empty where it is not.

    `partition`: empty to take it from the region, or from the role. `account`: the nodes'. `node_role`: name or ARN of
    the role that the instances have.
    """

    account: str = ANY
    region: str = ANY
    partition: str = ""
    vpc_id: str = ""
    instances: Tuple[str, ...] = ()
    interfaces: Tuple[str, ...] = ()
    node_role: str = ""


class Document(NamedTuple):
    """One policy: `name` is node, role or trust; `purpose` says whom it is attached to."""

    name: str
    purpose: str
    policy: Mapping[str, Any]

    @property
    def text(self) -> str:
        """As JSON, indented."""
        return json.dumps(self.policy, indent=2)

    @property
    def size(self) -> int:
        """Its characters as IAM counts them."""
        return len(re.sub(r"\s", "", self.text))


class Policies(NamedTuple):
    """Documents, and sentences about what in them is wider than it could be."""

    documents: Tuple[Document, ...]
    notes: Tuple[str, ...]

    def named(self, name: str) -> Optional[Document]:
        """The document of this name, if there is one."""
        return next((one for one in self.documents if one.name == name), None)


def widest(mode: str) -> Values:
    """Parameters of a mode that name no resource, with addresses of both IP versions: for a policy without ids."""
    given = {
        "overlay-ip": {"ip": "192.0.2.1", "routing_table": "auto"},
        "eni": {"network_interface_id": "eni-00000000"},
        "private-ip": {"ip": "192.0.2.1"},
    }
    both = (ip_address("192.0.2.1"), ip_address("2001:db8::1"))
    values = parse({"mode": mode, **given[mode]})
    return values._replace(ip=both, routing_table=TableNames(), network_interface_id=None)


UNKNOWN_SCOPE = Scope()


def policies(
    values: Values,
    scope: Scope = UNKNOWN_SCOPE,
    users: Sequence[User] = (User.AGENT,),
    *,
    without: Sequence[str] = (),
    shared_vpc: bool = False,
    external_id: bool = False,
) -> Policies:
    """The policies that `users` need for a resource with these parameters.

    `without`: statements of `OPTIONAL` to leave out. `shared_vpc`: there is a role of the route tables' owner, also
    where `routing_table_role` does not name it. `external_id`: put it into the trust policy, instead of `EXTERNAL_ID`.
    """
    if shared_vpc and values.routing_table_role is None and values.mode == "overlay-ip":
        values = values._replace(routing_table_role=f"arn:{_partition(values, scope)}:iam::{ANY}:role/{ANY}")
    has_role = values.mode == "overlay-ip" and values.routing_table_role is not None
    needed = [one for one in permissions_for(values, tuple(users)) if one.sid not in without]
    own = _Writer(values, scope, scope.account)
    node = own.policy([one for one in needed if not (has_role and one.by_role)])
    documents = [Document("node", "the role of the instances", node)]
    notes = own.notes
    if has_role:
        arn = values.routing_table_role or ""
        owner = _Writer(values, scope, arn.split(":")[4])
        of_role = owner.policy([one for one in needed if one.by_role])
        documents.append(Document("role", f"the role {arn}, of the account that owns the route tables", of_role))
        notes += owner.notes
        trust = _trust(values, scope, notes, external_id=external_id)
        if trust is not None:
            documents.append(Document("trust", f"the trust policy of {arn}", trust))
    shrunk = tuple(_shrunk(one) for one in documents)
    for one in shrunk:
        if one.size > LONGEST:
            notes.append(
                f"the policy {one.name} has {one.size} characters, and IAM takes {LONGEST}: tag the route tables, and"
                " name them by routing_table=tag:KEY=VALUE"
            )
    return Policies(shrunk, tuple(dict.fromkeys(notes)))


def _partition(values: Values, scope: Scope) -> str:
    if scope.partition:
        return scope.partition
    if values.routing_table_role is not None:
        return values.routing_table_role.split(":")[1]
    region = _region(values, scope)
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _region(values: Values, scope: Scope) -> str:
    if scope.region == ANY and values.region is not None:
        return values.region
    return scope.region


class _Resources(NamedTuple):
    """ARNs, and the conditions under which they are meant; `name` ends the statement's id."""

    arns: Tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str]] = {}
    name: str = ""


class _Writer:
    """Writes the statements of one policy; `account`: that of route tables. `notes`: what is wider than it could be."""

    def __init__(self, values: Values, scope: Scope, account: str) -> None:
        self._values = values
        self._scope = scope
        self._account = account
        self._prefix = f"arn:{_partition(values, scope)}:ec2:{_region(values, scope)}"
        self.notes: List[str] = []

    def policy(self, needed: Sequence[Permission]) -> Mapping[str, Any]:
        """One statement for each id, those that only read last."""
        by_sid: Dict[str, List[Permission]] = {}
        for one in needed:
            by_sid.setdefault(one.sid, []).append(one)
        ordered = sorted(by_sid, key=lambda sid: sid == DESCRIBE)
        return {"Version": VERSION, "Statement": [one for sid in ordered for one in self._statements(sid, by_sid[sid])]}

    def _statements(self, sid: str, needed: Sequence[Permission]) -> List[Mapping[str, Any]]:
        actions = sorted({one.action for one in needed})
        found: List[Mapping[str, Any]] = []
        for resources in self._resources(sid, needed[0].kinds):
            conditions = {key: dict(value) for key, value in resources.conditions.items()}
            if sid == SOURCE_DEST_CHECK:
                conditions.setdefault("StringEquals", {})["ec2:Attribute/SourceDestCheck"] = "false"
            found.append(
                {
                    "Sid": sid + resources.name,
                    "Effect": "Allow",
                    "Action": actions[0] if len(actions) == 1 else actions,
                    "Resource": resources.arns[0] if len(resources.arns) == 1 else list(resources.arns),
                    **({"Condition": conditions} if conditions else {}),
                }
            )
        return found

    def _resources(self, sid: str, kinds: Tuple[Kind, ...]) -> List[_Resources]:
        if not kinds:
            return [_Resources((ANY,))]
        if kinds == (Kind.ROLE,):
            role = self._values.routing_table_role or ""
            if role.endswith(ANY):
                self._note(sid, "every role of every account", "give routing_table_role=ARN")
            return [_Resources((role,))]
        if _region(self._values, self._scope) == ANY:
            self._note("", "resources of every region", "give --region")
        if (self._account if kinds == (Kind.ROUTE_TABLE,) else self._scope.account) == ANY:
            self._note("", "resources of every account that lets it", "give --account")
        if kinds == (Kind.ROUTE_TABLE,):
            return self._tables(sid)
        arns = [arn for kind in kinds for arn in self._arns(sid, kind)]
        wide = any(arn.endswith("/*") for arn in arns)
        return [_Resources(tuple(arns), self._in_vpc() if wide and set(kinds) <= set(_WITH_VPC) else {})]

    def _tables(self, sid: str) -> List[_Resources]:
        named, in_vpc = self._values.routing_table, self._in_vpc()
        every = (self._arn(Kind.ROUTE_TABLE, ANY),)
        if named.auto or not (named.ids or named.tags):
            if not in_vpc:
                which = "names no table by id" if named.auto else "is not given"
                self._note(sid, "every route table of the account", f"routing_table {which}: give ids, tags, or --vpc")
            return [_Resources(every, in_vpc)]
        found = []
        if named.ids:
            found.append(_Resources(tuple(self._arn(Kind.ROUTE_TABLE, one) for one in named.ids)))
        for number, (key, value) in enumerate(named.tags, start=1):
            conditions = {"StringEquals": {f"aws:ResourceTag/{key}": _literal(value)}}
            found.append(_Resources(every, {**conditions, **in_vpc}, f"ByTag{number if number > 1 else ''}"))
        return found

    def _arns(self, sid: str, kind: Kind) -> List[str]:
        values, scope = self._values, self._scope
        ids: Sequence[str]
        if kind is Kind.INSTANCE:
            ids, option = scope.instances, "--instances"
        elif kind is Kind.ELASTIC_IP:
            ids, option = [values.allocation_id or ANY], ""
        elif values.mode == "eni":
            ids, option = [values.network_interface_id or ANY], ""
            if values.network_interface_id is None:
                self._note(sid, "every network interface of the account", "give network_interface_id=ID")
        else:
            ids, option = scope.interfaces, "--interfaces"
        if not ids:
            plural = {Kind.INSTANCE: "instance", Kind.INTERFACE: "network interface"}[kind]
            where = f"of {scope.vpc_id}" if kind is Kind.INTERFACE and scope.vpc_id else "of the account"
            self._note(sid, f"every {plural} {where}", f"give {option}")
        return [self._arn(kind, one) for one in ids or [ANY]]

    def _arn(self, kind: Kind, identifier: str) -> str:
        account = self._account if kind is Kind.ROUTE_TABLE else self._scope.account
        return f"{self._prefix}:{account}:{kind.value}/{identifier}"

    def _in_vpc(self) -> Mapping[str, Mapping[str, str]]:
        if not self._scope.vpc_id:
            return {}
        # ArnLike, because region and account can be wildcards. A shared VPC is not of the nodes' account.
        account = ANY if self._values.routing_table_role is not None else self._account
        return {"ArnLike": {"ec2:Vpc": f"{self._prefix}:{account}:vpc/{self._scope.vpc_id}"}}

    def _note(self, sid: str, what: str, how: str) -> None:
        self.notes.append(f"{sid + ' allows' if sid else 'it allows'} {what}; narrower: {how}")


def _literal(text: str) -> str:
    """A value in which IAM finds no policy variable."""
    return text.replace("${", "${$}{")


def _trust(values: Values, scope: Scope, notes: List[str], *, external_id: bool) -> Optional[Mapping[str, Any]]:
    """Who may assume the role; `None`, and a note, where it is not known who that is."""
    partition = _partition(values, scope)
    if scope.node_role.startswith("arn:"):
        principal = scope.node_role
    elif scope.account == ANY:
        notes.append("no trust policy: give the nodes' role and account, --node-role ARN, or --account")
        return None
    elif scope.node_role:
        principal = f"arn:{partition}:iam::{scope.account}:role/{scope.node_role}"
    else:
        principal = f"arn:{partition}:iam::{scope.account}:root"
        notes.append(f"the trust policy lets every role of {scope.account} that may assume it; narrower: --node-role")
    assume: Dict[str, Any] = {
        "Sid": ASSUME_ROLE,
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
    }
    if values.external_id is not None:
        told = values.external_id if external_id else EXTERNAL_ID
        assume["Condition"] = {"StringEquals": {"sts:ExternalId": told}}
        if not external_id:
            notes.append(f"the trust policy has {EXTERNAL_ID} where the external id belongs (--show-external-id)")
    tag = {
        "Sid": "TagSession",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:TagSession",
        "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": list(_SESSION_TAGS)}},
    }
    return {"Version": VERSION, "Statement": [assume, tag]}


def _shrunk(document: Document) -> Document:
    """The same; where it is longer than IAM takes, with ReplaceRoute and CreateRoute in one statement."""
    if document.size <= LONGEST:
        return document
    replacing: Dict[str, Dict[str, Any]] = {}
    kept: List[Mapping[str, Any]] = []
    for one in document.policy["Statement"]:
        sid = one["Sid"]
        if sid.startswith(REPLACE_ROUTES):
            replacing[sid[len(REPLACE_ROUTES) :]] = dict(one)
            kept.append(replacing[sid[len(REPLACE_ROUTES) :]])
        elif sid.startswith(CREATE_ROUTES) and sid[len(CREATE_ROUTES) :] in replacing:
            replacing[sid[len(CREATE_ROUTES) :]].update(Action=["ec2:CreateRoute", "ec2:ReplaceRoute"])
        else:
            kept.append(one)
    return document._replace(policy={**document.policy, "Statement": kept})
