"""From a resource's parameters to clients of EC2 and STS, step by step: each step is the matter of one check.

A step that needs another one, which has not succeeded, raises `NotAskedError` with the check that the other one is the
matter of: a cause shows as one failure, and not as thirty.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.survey import Survey, caller_identity
from aws_ipfailover.context import connections_for, imds
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.diagnosis.finding import NotAskedError
from aws_ipfailover.diagnosis.reads import Reads
from aws_ipfailover.diagnosis.sdk import sessions
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.parameters import Values, parse
from aws_ipfailover.redaction import keep_secret

if TYPE_CHECKING:
    from aws_ipfailover.aws.imds import Imds
    from aws_ipfailover.aws.session import Account, Reached
    from aws_ipfailover.aws.survey_models import Caller

# Parts of the time that is left: for all of what instance metadata is asked, which answers in milliseconds; for an
# endpoint, and for whose the credentials are.
_METADATA_SHARE = 0.4
_SHARE = 0.4
# Seconds by which this node's clock may be wrong: AWS refuses requests whose time is five minutes off.
LARGEST_SKEW = 240.0
# What `cibsecret` leaves in the configuration of a value that it keeps in a file.
_KEPT_ELSEWHERE = "lrm://"
# The SDK's sessions are made one by one: botocore does not promise that they can be made side by side.
_connecting = threading.Lock()


class Region(NamedTuple):
    """A region, and where its name comes from, as the end of a sentence."""

    name: str
    source: str


class Clients(NamedTuple):
    """EC2 with one set of credentials: the operations of the agent, and those of commands."""

    ec2: Ec2
    survey: Survey


class Connections:
    """What one resource of this node needs to reach AWS; safe to use from many threads.

    `resource_id`: for whom a role is assumed. `given`: the parameters as Pacemaker would give them. `until`: the
    deadline of all calls. Every method raises `errors.Error` where it does not know.
    """

    def __init__(self, resource_id: str, given: Mapping[str, str], until: Deadline, reads: Reads) -> None:
        self._resource_id = resource_id
        self._given = given
        self._until = until
        self._reads = reads
        self.progress = Progress("connecting to EC2")
        keep_secret(given.get("external_id"))

    def checked(self) -> Values:
        """The parameters, checked.

        Raises:
            ParameterError: one is wrong.  UnknownError: one is kept where this command cannot read it.
        """
        if _KEPT_ELSEWHERE in self._given.values():
            raise UnknownError("a parameter is kept by cibsecret and not known here")
        return parse(self._given)

    def values(self) -> Values:
        """The parameters; not asked for where one is wrong."""
        try:
            return self.checked()
        except Error:
            raise NotAskedError("parameters") from None

    def way(self) -> Tuple[object, ...]:
        """What two resources have in common that reach AWS in the same way, so that each read serves both.

        Raises:
            NotAskedError: a parameter is wrong.
        """
        values = self.values()
        # A role is assumed in the name of one resource: trust policies can ask for it.
        role = (values.routing_table_role, values.external_id, self._resource_id) if values.routing_table_role else ()
        endpoint = (values.endpoint_url, values.insecure_endpoint)
        return (values.mode, values.interface, values.region, values.profile, endpoint, role)

    def metadata(self) -> Imds:
        """Instance metadata: the client, nothing is asked."""
        return self._reads.after("sdk", "a client of IMDS", self._metadata)

    def _metadata(self) -> Imds:
        sessions()  # loads what `imds` loads too
        until = self._until.within(_METADATA_SHARE * self._until.remaining())
        return imds(until, self.values().profile)

    def region(self) -> Region:
        """The region: of the parameter, else configured, else this instance's.

        Raises:
            Error: none of them tells it.
        """
        return self._reads.get("the region", self._region)

    def _region(self) -> Region:
        values, sdk = self.values(), sessions()
        if values.region:
            return Region(values.region, "by parameter region")
        with _connecting:
            configured = sdk.configured_region(values.profile)
        if configured:
            return Region(configured, "by the environment or the profile")
        return Region(self.metadata().region(), "of this instance")

    def account(self) -> Account:
        """How to reach EC2, without a role to assume."""
        values, region = self.values(), self._reads.after("region", "the region", self._region)
        made: Account = sessions().Account(
            region.name, values.profile, values.endpoint_url, insecure=values.insecure_endpoint
        )
        return made

    def reached(self, service: str) -> Reached:
        """What the endpoint of a service (ec2, sts) answers to a request without credentials.

        Raises:
            UnknownError: nothing.  Error: it is not clear which endpoint that is.
        """
        return self._reads.get(f"the {service.upper()} endpoint", lambda: self._reached(service))

    def _reached(self, service: str) -> Reached:
        account, sdk = self.account(), sessions()
        with _connecting:
            endpoint = sdk.Endpoint(account, service, self._soon())
        try:
            answer: Reached = endpoint.reach()
        except UnknownError:
            answer = endpoint.reach()  # a single packet can get lost
        return answer

    def clock_skew(self) -> Optional[float]:
        """Seconds by which this node's clock is ahead of EC2's; `None` where EC2 does not tell its time."""
        return self._reads.after("ec2-endpoint", "the EC2 endpoint", lambda: self._reached("ec2")).clock_skew

    def caller(self) -> Caller:
        """Whose credentials this node has.

        Raises:
            DeniedError: AWS does not accept them.  Error: there are none.  UnknownError: no answer.
        """
        return self._reads.get("whose the credentials are", self._caller)

    def _caller(self) -> Caller:
        account, sdk = self.account(), sessions()
        with _connecting:
            sts = sdk.sts_calls(account, self._soon(), self.metadata(), self.progress)
        return caller_identity(sts)

    def known_caller(self) -> Optional[Caller]:
        """Whose credentials this node has, `None` where that is not known; never raises."""
        try:
            return self.caller()
        except Error:
            return None

    def clients(self) -> Clients:
        """EC2 with this node's own credentials."""
        return self._reads.get("a connection to EC2", self._clients)

    def _clients(self) -> Clients:
        skew = self.clock_skew()
        if skew is not None and abs(skew) > LARGEST_SKEW:
            raise NotAskedError("clock")
        made = self._reads.after("credentials", "clients of EC2", self._connect)
        try:
            self.caller()
        except NotAskedError:
            raise
        except UnknownError:
            pass  # STS does not answer; EC2 can all the same
        except Error:
            raise NotAskedError("credentials") from None
        return made

    def role_clients(self) -> Clients:
        """EC2 with the credentials of `routing_table_role`, or with this node's own without one."""
        values, own = self.values(), self.clients()  # what is wrong with the node's own is told as such
        if values.mode != "overlay-ip" or values.routing_table_role is None:
            return own
        return self._reads.after("role", "the role", self._assume)

    def assume(self) -> None:
        """Assume `routing_table_role`.

        Raises:
            DeniedError: STS refuses that.  UnknownError: no answer.
        """
        self.clients()
        self._reads.get("the role", self._assume)

    def _assume(self) -> Clients:
        values = self.values()
        return self._connect(values.routing_table_role, values.external_id, self._resource_id)

    def _connect(self, role: Optional[str] = None, external_id: Optional[str] = None, resource: str = "") -> Clients:
        account = self.account()._replace(role=role, external_id=external_id, resource=resource)
        make: Callable[..., Any] = sessions().ec2_calls
        connections = max(_MOST_AT_ONCE, connections_for(self.values()))
        with _connecting:
            calls = make(account, self._until, self.metadata(), self.progress, connections)
        return Clients(Ec2(calls, account.region), Survey(calls))

    def _soon(self) -> Deadline:
        return self._until.within(_SHARE * self._until.remaining())


# Calls of EC2 that the checks make at the same time, beside those for each table.
_MOST_AT_ONCE = 32
