"""The instance metadata service: IMDSv2 only, and it knows its caller by source address.

Source of the protocol and the tree: "Use the Instance Metadata Service to access instance metadata", EC2 user guide.
"""

from __future__ import annotations

import json
import time
from secrets import token_urlsafe
from threading import Lock
from typing import Callable, Dict, Mapping, Optional, Set, Tuple, Union

from vpc_lab.ec2.account import Account
from vpc_lab.ec2.call_log import Call, CallLog
from vpc_lab.ec2.faults import Faults
from vpc_lab.ec2.http import HttpRequest
from vpc_lab.ec2.iam.identity import partition
from vpc_lab.ec2.operations.interfaces import group_set, network_cards, timestamp
from vpc_lab.ec2.reply import Reply, faulty
from vpc_lab.vpc import Interface
from vpc_lab.world import World

Leaf = Union[str, Callable[[], str]]
Tree = Mapping[str, Union[Leaf, "Tree"]]

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
LONGEST_TOKEN = 21600


class Imds:
    """The metadata service of all instances of one account.

    `who(caller address)` tells the instance's name, None for nobody. An instance whose endpoint is off
    (`Account.imds_disabled`) gets 403 for everything. `overrides` replaces the answer for a path
    (`/latest/meta-data/mac`) by a text, or by 404 for None.
    """

    def __init__(
        self, account: Account, who: Callable[[str], Optional[str]], *, faults: Faults, calls: CallLog
    ) -> None:
        self.account = account
        self.faults = faults
        self.calls = calls
        self.overrides: Dict[str, Optional[str]] = {}
        self._who = who
        self._lock = Lock()
        self._tokens: Dict[str, Tuple[float, str]] = {}

    @property
    def disabled(self) -> Set[str]:
        """The account's `imds_disabled`."""
        return self.account.imds_disabled

    def expire_tokens(self) -> None:
        """Forget every session token given out so far: their users get 401."""
        with self._lock:
            self._tokens.clear()

    def handle(self, request: HttpRequest) -> Reply:
        """Answer one request."""
        number = self.calls.begin(
            Call(time.time(), "imds", request.path, request.caller, parameters={"method": request.method})
        )
        latency, fault = self.faults.take("imds", request.path, request.caller, ())
        if fault is None:
            reply, outcome = self._serve(request), "ok"
        elif fault.kind == "error":
            reply, outcome = _refusal(fault.status or 503), "fault:error"
        else:
            right = self._serve(request) if fault.kind == "truncate" or fault.after else None
            reply, outcome = faulty(fault.kind, right), f"fault:{fault.kind}"
        if outcome == "ok" and reply.status >= 400:
            outcome = str(reply.status)

        def answered() -> None:
            self.calls.end(number, outcome, reply.status or None)

        return Reply(reply.status, reply.body, reply.headers, reply.transport, latency, answered)

    def _serve(self, request: HttpRequest) -> Reply:
        name = self._who(request.caller)
        if name is None:
            return _refusal(404)
        if not self.account.metadata_is_on(self.account.named(name).instance_id):
            return _refusal(403)
        if request.method == "PUT":
            return self._token(request, name)
        if request.method not in ("GET", "HEAD"):
            return _refusal(405)
        token = request.headers.get("x-aws-ec2-metadata-token")
        with self._lock:
            expires, owner = self._tokens.get(token or "", (0.0, ""))
        if expires <= time.monotonic() or owner != name:
            return _refusal(401)
        path = "/" + request.path.strip("/")
        text = self.overrides[path] if path in self.overrides else look_up(metadata(self.account, name), path)
        if text is None:
            return _refusal(404)
        kind = "application/json" if text.startswith("{") else "text/plain"
        return Reply(200, text.encode(), {"Content-Type": kind})

    def _token(self, request: HttpRequest, name: str) -> Reply:
        # What a proxy has passed on is refused, so that an open proxy on an instance gives no credentials away.
        if "x-forwarded-for" in request.headers:
            return _refusal(403)
        if request.path != TOKEN_PATH:
            return _refusal(405)
        text = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not text.isdigit() or not 1 <= int(text) <= LONGEST_TOKEN:
            return _refusal(400)
        token = token_urlsafe(42)
        with self._lock:
            self._tokens[token] = (time.monotonic() + int(text), name)
        return Reply(200, token.encode(), {"Content-Type": "text/plain", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds": text})


def look_up(tree: Tree, path: str) -> Optional[str]:
    """The text at a path, a listing for an inner node, None where there is nothing."""
    node: Union[Leaf, Tree] = tree
    for part in path.strip("/").split("/"):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if isinstance(node, Mapping):
        return "\n".join(key + "/" if isinstance(value, Mapping) else key for key, value in node.items())
    return node() if callable(node) else node


def metadata(account: Account, name: str) -> Tree:
    """Everything an instance can ask, as a nested mapping."""
    world = account.world
    fixed = account.named(name)
    instance = world.instances[fixed.instance_id]
    region = account.topology.region
    suffix = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    primary = world.interfaces.get(fixed.network_interface_id)
    ipv4 = str(fixed.address) if primary is None or primary.ipv4 else None
    hostname = f"{fixed.instance_id if ipv4 is None else 'ip-' + ipv4.replace('.', '-')}.{suffix}"
    now = time.time()
    lag = account.timing.imds_interface_lag
    macs: Dict[str, Tree] = {}
    for interface in world.interfaces_of(fixed.instance_id):
        attachment = interface.attachment
        if attachment is None or attachment.status == "attaching":
            continue
        if attachment.slot != (0, 0) and now - attachment.attach_time < lag:
            continue
        found = _interface(world, interface, attachment.device_index, hostname)
        if network_cards(instance) > 1:  # 404 for all other types
            found["network-card"] = str(attachment.network_card_index)
        macs[interface.mac] = found
    document = {
        "accountId": account.topology.account_id,
        "architecture": "x86_64",
        "availabilityZone": instance.availability_zone,
        "billingProducts": None,
        "imageId": instance.image_id,
        "instanceId": instance.instance_id,
        "instanceType": instance.instance_type,
        "pendingTime": timestamp(instance.launch_time),
        "privateIp": ipv4,
        "region": region,
        "version": "2017-09-30",
    }
    meta: Dict[str, Union[Leaf, Tree]] = {
        "ami-id": instance.image_id,
        "hostname": hostname,
        "instance-id": instance.instance_id,
        "instance-type": instance.instance_type,
        "local-hostname": hostname,
        "mac": fixed.mac,
        "network": {"interfaces": {"macs": macs}},
        "placement": {"availability-zone": instance.availability_zone, "region": region},
        "services": {
            "domain": "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com",
            "partition": partition(region),
        },
    }
    if ipv4 is not None:
        meta["local-ipv4"] = ipv4
    if instance.role is not None:
        meta["iam"] = {
            "info": json.dumps(
                {
                    "Code": "Success",
                    "InstanceProfileArn": f"arn:{partition(region)}:iam::{account.topology.account_id}:"
                    f"instance-profile/{instance.profile_name}",
                }
            ),
            "security-credentials": {instance.role: lambda: _credentials(account, instance.instance_id)},
        }
    return {
        "latest": {
            "meta-data": meta,
            "dynamic": {"instance-identity": {"document": json.dumps(document, indent=2)}},
        }
    }


def _interface(world: World, interface: Interface, device_index: int, hostname: str) -> Dict[str, Union[Leaf, Tree]]:
    subnet = world.subnets[interface.subnet_id]
    addresses = world.addresses_in_metadata(interface)
    ipv6 = [address for address in addresses if address.version == 6]
    found: Dict[str, Union[Leaf, Tree]] = {
        "device-number": str(device_index),
        "interface-id": interface.network_interface_id,
        "local-hostname": hostname,
        "mac": interface.mac,
        "owner-id": interface.owner_id,
        "security-group-ids": "\n".join(interface.groups),
        "security-groups": "\n".join(str(one["groupName"]) for one in group_set(world, interface)),
        "subnet-id": interface.subnet_id,
        "vpc-id": world.vpc.vpc_id,
        "vpc-ipv4-cidr-block": next(str(cidr) for cidr in world.vpc.cidrs if cidr.version == 4),
        "vpc-ipv4-cidr-blocks": "\n".join(str(cidr) for cidr in world.vpc.cidrs if cidr.version == 4),
    }
    if interface.ipv4:  # else 404, as in an IPv6-only subnet
        found["local-ipv4s"] = "\n".join(str(address) for address in addresses if address.version == 4)
        found["subnet-ipv4-cidr-block"] = "\n".join(str(cidr) for cidr in subnet.cidrs if cidr.version == 4)
    for version in (4, 6):
        prefixes = [str(prefix) for prefix in interface.prefixes if prefix.version == version]
        if prefixes:  # else 404
            found[f"ipv{version}-prefix"] = "\n".join(prefixes)
    if ipv6:
        found["ipv6s"] = "\n".join(map(str, ipv6))
        found["subnet-ipv6-cidr-blocks"] = "\n".join(str(cidr) for cidr in subnet.cidrs if cidr.version == 6)
        found["vpc-ipv6-cidr-blocks"] = "\n".join(str(cidr) for cidr in world.vpc.cidrs if cidr.version == 6)
    return found


def _credentials(account: Account, instance_id: str) -> str:
    held = account.identities.of_instance(instance_id)
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": timestamp(time.time()),
            "Type": "AWS-HMAC",
            "AccessKeyId": held.access_key_id,
            "SecretAccessKey": held.secret_access_key,
            "Token": held.session_token,
            "Expiration": timestamp(held.expires or 0),
        },
        indent=2,
    )


TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Not Allowed"}


def _refusal(status: int) -> Reply:
    title = f"{status} - {TITLES.get(status, 'Error')}"
    body = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    )
    return Reply(status, body.encode(), {"Content-Type": "text/html"})
