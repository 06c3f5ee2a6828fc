"""The Elastic IP that follows the service: associated with a private address of the ENI that serves it.

Consumers in the VPC are served without it. So no failure here ends a start, and no monitor answers "failed" for one
that EC2 refuses.
Facts: Amazon EC2 API Reference, AssociateAddress (it takes the Elastic IP from whoever has it, and is idempotent),
DescribeAddresses.
"""

from __future__ import annotations

import logging
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, List, Optional

from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError, is_refusal
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.steps import Need, Step, of_call

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import ElasticIp
    from aws_ipfailover.interfaces import CloudHolding

log = logging.getLogger(__name__)

# Seconds for which a start that is otherwise done still waits for the answer to AssociateAddress.
_PATIENCE = 3.0


class ElasticIpAssociation:
    """`allocation_id` associated with `private_address` of `network_interface_id`, by default with its primary one.

    `memory` is for this association alone.
    """

    local = False

    def __init__(
        self,
        allocation_id: str,
        network_interface_id: str,
        private_address: Optional[IPv4Address],
        ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._allocation_id = allocation_id
        self._eni = network_interface_id
        self._private_address = private_address
        self._ec2 = ec2
        self._memory = memory
        self._deadline = deadline
        self._progress = progress
        self._request: Optional[Task[None]] = None
        self._associated_with = ""  # as the last read shows it
        private = "" if private_address is None else f"{private_address} of "
        self._named = f"Elastic IP {allocation_id}"
        self._there = f"{private}{network_interface_id}"

    def check(self) -> None:
        """Check that EC2 knows the Elastic IP, and that this node may associate it. Changes nothing.

        Raises:
            NodeError: EC2 does not know it, or it is another account's.  DeniedError: a permission is missing.
            UnknownError, Error: that cannot be found out.
        """
        try:
            self._ec2.may_associate_address(self._allocation_id, self._eni, self._private_address)
        except NodeError as error:
            raise self._unusable(error) from None
        self._described()

    def begin(self) -> Task[None]:
        """Request the association without waiting for it; the service's address has to be on this node already."""
        self._request = self._request or Task(self._associate)
        return self._request

    def take(self) -> None:
        """Request the association, unless that has begun, and wait for the answer: at most `_PATIENCE`.

        Never raises for a failure or a missing answer, which is an error in the log: the address itself is served.
        """
        try:
            self._wait_for(self.begin())
        except UnknownError as error:
            text = f"it is not known whether {self._named} is associated with {self._there}: {error}"
            log.error("%s", text)  # noqa: TRY400  a sentence, no traceback
        except Error as error:
            log.error("%s", self._not_associated(error))  # noqa: TRY400  a sentence, no traceback
        else:
            log.info("%s is associated with %s", self._named, self._there)

    def release(self) -> None:
        """Nothing: the start of the next active node takes the Elastic IP."""

    def look(self) -> Look:
        """Where EC2 has it associated, as far as its reads can be believed.

        Raises:
            UnknownError: EC2 did not answer, or the only contradiction can be a stale read.
            Error: EC2 does not know the Elastic IP, or denies the read.
        """
        look = Task(lambda: confirmed(self._contradictions, self._memory, self._eni, self._deadline))
        found = look.result(self._deadline, "DescribeAddresses")
        self._memory.accept(self._eni, but=found)
        refused = self._allocation_id in self._memory.refused(self._eni)
        return Look(Where.ELSEWHERE, "; ".join(found.values()), restart_helps=not refused) if found else HERE

    def plan(self) -> List[Step]:
        """What `take` would do. Raises nothing, as it."""
        write = self._ec2.planned(self._ask_for_it)
        text = f"{self._named} associated with {self._there}"
        try:
            wrong = Task(self._contradictions).result(self._deadline, "DescribeAddresses")
        except NodeError as error:
            return [of_call(write, text, None, self._eni, note=str(error))._replace(need=Need.REFUSED)]
        except Error as error:
            return [of_call(write, text, None, self._eni, note=str(error))]
        step = of_call(write, text, self._associated_with if wrong else self._eni, self._eni)
        return [step._replace(need=Need.NEEDED, note="; ".join(wrong.values())) if wrong else step]

    def repair(self) -> Repair:
        """Associate it here again; `failed` if EC2 refuses that, because the address itself is served all the same.

        Raises:
            UnknownError: EC2 did not say whether it was done.
        """
        try:
            Task(self._associate).result(self._deadline, "AssociateAddress")
        except UnknownError:
            raise
        except Error as error:
            return Repair("", self._not_associated(error))
        return Repair(f"{self._named} associated with {self._there} again")

    def _wait_for(self, request: Task[None]) -> None:
        patience = self._deadline.within(_PATIENCE)
        if request.ends(patience):
            return request.result(patience, "AssociateAddress")
        # What is tried again until the deadline, such as a throttled call, is told here with EC2's code.
        tried = str(self._progress)
        raise UnknownError(tried if tried.startswith("AssociateAddress: ") else "AssociateAddress: no answer in time")

    def _associate(self) -> None:
        # What this node wrote before is no evidence any more: after a failure, reads alone tell.
        self._memory.forget()
        try:
            self._ask_for_it(self._ec2)
        except Error as error:
            if is_refusal(error):
                self._memory.remember(self._eni, (), refused=[self._allocation_id])
            raise
        self._memory.remember(self._eni)

    def _ask_for_it(self, ec2: Ec2) -> None:
        ec2.associate_address(self._allocation_id, self._eni, self._private_address)

    def _not_associated(self, error: Error) -> str:
        """What is not done and why; what to do about it where `error` does not tell."""
        todo = ""
        if isinstance(error, NodeError):
            todo = "; correct parameter allocation_id, or the VPC"
        elif isinstance(error, DeniedError):
            todo = "; needed are ec2:AssociateAddress on the Elastic IP, the network interface and the instance"
        return f"{self._named} not associated with {self._there}: {error}{todo}"

    def _contradictions(self) -> Contradictions:
        found = self._described()
        self._associated_with = found.network_interface_id
        if not found.network_interface_id:
            text = "is associated with nothing"
        elif found.network_interface_id != self._eni:
            text = f"is associated with {found.network_interface_id} instead of {self._eni}"
        elif self._private_address is not None and found.private_address != self._private_address:
            text = f"is associated with {found.private_address} instead of {self._private_address}"
        else:
            return {}
        return {self._allocation_id: f"{self._named} {text}"}

    def _described(self) -> ElasticIp:
        try:
            return self._ec2.elastic_ip(self._allocation_id)
        except NodeError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Error) -> NodeError:
        return NodeError(f"parameter allocation_id: {self._allocation_id} cannot be used here: {error}")


class WithElasticIp:
    """`holding`, with `association` requested as soon as `holding` begins to be taken.

    The association is a holding of its own, after this one, where its answer is waited for.
    """

    local = False

    def __init__(self, holding: CloudHolding, association: ElasticIpAssociation) -> None:
        self._holding = holding
        self._association = association

    def take(self) -> None:
        """Take the holding, and request the association meanwhile."""
        self._association.begin()
        self._holding.take()

    def release(self) -> None:
        """Release the holding."""
        self._holding.release()

    def look(self) -> Look:
        """Where the holding is."""
        return self._holding.look()

    def plan(self) -> List[Step]:
        """What `take` of the holding would do; the association's request is a step of the association."""
        return self._holding.plan()

    def repair(self) -> Repair:
        """Repair the holding."""
        return self._holding.repair()
