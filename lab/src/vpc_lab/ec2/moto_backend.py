"""moto's EC2, in process, for every action that the lab does not answer itself (key pairs, images, regions, …).

It knows the lab's VPC and security group by id, and none of its route tables, network interfaces, instances or tags:
those are never asked of moto.

The backend belongs to one account: it is made here and not taken from moto's global registry. moto answers
from memory only; nothing is ever sent anywhere.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import urlencode

from vpc_lab.world import World


class MotoEc2:
    """An EC2 backend of moto, loaded at the first call (the import takes seconds)."""

    def __init__(self, region: str, account_id: str) -> None:
        self._region = region
        self._account_id = account_id
        self._lock = Lock()
        self._backend: Optional[Any] = None

    @staticmethod
    def knows(action: str) -> bool:
        """Whether moto has an operation of this name, implemented or not."""
        if not action.isalnum():  # such as none at all: a request without a signature, by which a client tries the way
            return False
        from moto.core.utils import camelcase_to_underscores  # noqa: PLC0415 - see the class
        from moto.ec2.responses import EC2Response  # noqa: PLC0415 - see the class

        return hasattr(EC2Response, camelcase_to_underscores(action))

    def call(self, world: World, parameters: Mapping[str, str]) -> Tuple[int, bytes]:
        """Let moto answer one call: HTTP status and body."""
        with self._lock:
            if self._backend is None:
                self._backend = self._seeded(world)
            return self._answer(parameters)

    def _seeded(self, world: World) -> Any:
        from moto.ec2.models import EC2Backend  # noqa: PLC0415 - see the class

        backend = EC2Backend(self._region, self._account_id)
        # Without moto's default VPC: the lab's account has one VPC.
        backend.vpcs.clear()
        backend.groups.clear()
        vpc = backend.create_vpc(str(next((cidr for cidr in world.vpc.cidrs if cidr.version == 4), "10.0.0.0/16")))
        del backend.vpcs[vpc.id]
        groups = backend.groups.pop(vpc.id, {})
        vpc.id = world.vpc.vpc_id
        backend.vpcs[vpc.id] = vpc
        backend.groups[vpc.id] = groups
        group = backend.create_security_group("lab", "the lab's instances", vpc_id=vpc.id)
        del backend.groups[vpc.id][group.id]
        group.id = world.group_id
        backend.groups[vpc.id][group.id] = group
        return backend

    def _answer(self, parameters: Mapping[str, str]) -> Tuple[int, bytes]:
        from moto.ec2.responses import EC2Response  # noqa: PLC0415 - see the class

        backend = self._backend

        class Bound(EC2Response):  # type: ignore[misc]
            ec2_backend = backend

        url = f"https://ec2.{self._region}.amazonaws.com/"
        headers: Dict[str, str] = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        status, _, body = Bound.dispatch(request_of(url, headers, urlencode(parameters).encode()), url, headers)
        return int(status), body.encode() if isinstance(body, str) else bytes(body)


def request_of(url: str, headers: Mapping[str, str], body: bytes) -> Any:
    """A request as moto takes them."""
    from werkzeug.test import EnvironBuilder  # noqa: PLC0415 - comes with moto

    # moto up to 5.1 takes werkzeug's requests, later versions a subclass of their own.
    try:
        from moto.core.request import Request  # noqa: PLC0415 - see the class
    except ImportError:
        from werkzeug.wrappers import Request  # noqa: PLC0415 - comes with moto
    return EnvironBuilder(method="POST", base_url=url, headers=dict(headers), data=body).get_request(Request)
