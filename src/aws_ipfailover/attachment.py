"""An ENI that moves: attached to this instance, detached from whichever had it."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Set

from aws_ipfailover.believing import SETTLE_SECONDS, Reader
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import DetachedError, Error, IndexTakenError, InUseError, NodeError, UnknownError
from aws_ipfailover.failover import Where
from aws_ipfailover.last_write import LastWrite

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Attachment, Ec2, NetworkInterface

log = logging.getLogger(__name__)

# States of a holder in which it cannot take part in a detachment, and has no use for the ENI.
_GONE = ("stopped", "stopping", "shutting-down", "terminated")
# A holder that runs is asked plainly; after so long, or a third of the time that is left, it is not asked any more.
_GRACE_SECONDS = 30.0
# What stop spends on asking for the detachment; it does not wait for its end, which the next active node does.
_PATIENCE_OF_STOP = 10.0


class EniAttachment:
    """`network_interface_id` attached to the instance that `instance_id` names."""

    local = False

    def __init__(
        self,
        network_interface_id: str,
        device_index: Optional[int],
        instance_id: Callable[[], str],
        ec2: Callable[[], Ec2],
        last_write: LastWrite,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._eni = network_interface_id
        self._device_index = device_index
        self._instance_id = instance_id
        self._ec2 = ec2
        self._last_write = last_write
        self._deadline = deadline
        self._progress = progress
        self._reader = Reader(self._contradictions, last_write, deadline)
        self.found: Optional[NetworkInterface] = None
        self.subnet: List[str] = []

    def prepare(self) -> None:
        """Connect, and check that this ENI can be attached to this instance.

        Raises:
            NodeError: other availability zone, or the primary ENI of an instance.
        """
        self._instance_id()
        self._ec2()
        Task(self._resolve).result(self._deadline, self._progress)

    def take(self) -> None:
        """Attach it here, whatever state it is in; returns when EC2 says attached."""
        Task(self._move).result(self._deadline, self._progress)
        self._last_write.remember(f"{self._eni} {self._instance_id()}")

    def release(self) -> None:
        """Detach it from this instance, as far as that can be had: the node does not answer on it any more."""
        try:
            Task(self._let_go).result(self._deadline.within(_PATIENCE_OF_STOP), self._progress)
        except Error as error:
            log.warning("%s stays attached, quiesced: %s", self._eni, error)

    def where(self) -> Where:
        """Whether EC2 has it attached here, as far as its reads can be believed."""
        self._instance_id()
        self._ec2()
        return self._reader.where(f"{self._eni} {self._instance_id()}")

    def explain(self) -> str:
        """Why it was ELSEWHERE."""
        return self._reader.explanation

    def details(self) -> NetworkInterface:
        """The ENI as EC2 described it last.

        Raises:
            UnknownError: `prepare` has not been there.
        """
        if self.found is None:
            raise UnknownError(f"{self._eni} has not been looked at")
        return self.found

    def _resolve(self) -> None:
        ec2 = self._ec2()
        found, me = ec2.network_interface(self._eni), ec2.instance(self._instance_id())
        if found.availability_zone and me.availability_zone and found.availability_zone != me.availability_zone:
            raise NodeError(
                f"{self._eni} is in {found.availability_zone}, this instance in {me.availability_zone}: a network"
                " interface cannot leave its availability zone, use mode=overlay-ip across zones"
            )
        if found.attachment is not None and found.attachment.device_index == 0:
            raise NodeError(
                f"{self._eni} is the primary network interface of {found.attachment.instance_id}, which cannot be"
                " detached: create one of its own for the service"
            )
        self.found = found
        self.subnet = [str(cidr) for cidr in ec2.subnet_cidrs(found.subnet_id)]

    def _move(self) -> None:
        me = self._instance_id()
        asked = Detachment(self._deadline)
        refused: Set[int] = set()
        attempt, last = 0, None
        while True:
            found = self._ec2().network_interface(self._eni)
            self.found = found
            held = found.attachment
            if held != last:  # it moves: look again soon
                attempt, last = 0, held
            if held is None:
                self._attach(me, refused)
            elif held.instance_id == me and held.status == "attached":
                if not self._being_detached(held):
                    return
            elif held.status != "attaching":
                self._take_away(held, asked)
            attempt = self._pause(attempt, f"{self._eni} is {held.status if held else 'being attached'}")

    def _attach(self, me: str, refused: Set[int]) -> None:
        """Begin to attach it; `refused` are the device indexes that were taken although no read said so."""
        ec2 = self._ec2()
        taken = refused | set(ec2.instance(me).device_indexes)
        wanted = self._device_index
        index = wanted if wanted is not None else next(index for index in range(1, 256) if index not in taken)
        try:
            ec2.attach(self._eni, me, index)
            log.info("attaching %s at device index %d", self._eni, index)
        except InUseError:
            log.info("%s is still in use", self._eni)  # an old read said available
        except IndexTakenError:
            if wanted is not None:
                raise NodeError(f"parameter device_index: {wanted} is taken on this instance") from None
            log.info("device index %d was taken meanwhile", index)
            refused.add(index)

    def _take_away(self, held: Attachment, asked: Detachment) -> None:
        """Have it detached from its holder: plainly first, by force where that one cannot take part.

        The holder can be this instance, when its own stop has asked for the detachment.
        """
        if asked.forcibly:
            return
        force = asked.in_vain or self._state(held.instance_id) in _GONE
        if not force and (asked.plainly or held.status == "detaching"):
            asked.note(force=False)
            return
        try:
            self._ec2().detach(held.attachment_id, force=force)
            log.info("detaching %s from %s%s", self._eni, held.instance_id, " by force" if force else "")
        except DetachedError as error:
            log.info("%s", error)
        asked.note(force=force)

    def _state(self, instance_id: str) -> str:
        try:
            return self._ec2().instance(instance_id).state
        except NodeError as error:
            log.info("%s", error)  # a terminated one is forgotten after an hour
            return "unknown"

    def _let_go(self) -> None:
        found = self._ec2().network_interface(self._eni)
        held = found.attachment
        if held is None or held.instance_id != self._instance_id() or held.device_index == 0:
            return
        if held.status != "detaching":
            self._ec2().detach(held.attachment_id, force=False)
            self._last_write.remember(f"{self._eni} without {held.attachment_id}")
            log.info("detaching %s", self._eni)

    def _being_detached(self, held: Attachment) -> bool:
        """Whether this node's own stop has ended this very attachment: a read that shows it is an old one."""
        age = self._last_write.age(f"{self._eni} without {held.attachment_id}")
        return age is not None and age < SETTLE_SECONDS

    def _contradictions(self) -> Dict[str, str]:
        me = self._instance_id()
        read = Task(lambda: self._ec2().network_interface(self._eni))
        self.found = read.result(self._deadline, self._progress)
        held = self.found.attachment
        if held is None:
            return {self._eni: f"{self._eni} is attached to no instance"}
        if held.instance_id != me:
            return {self._eni: f"{self._eni} is attached to {held.instance_id} instead of {me}"}
        return {} if held.status == "attached" else {self._eni: f"{self._eni} is {held.status}"}

    def _pause(self, attempt: int, waited_for: str) -> int:
        pause = min(0.5, 0.05 * 1.5**attempt) * random.uniform(0.7, 1.0)  # noqa: S311  jitter, no secret
        if self._deadline.remaining() <= pause:
            raise UnknownError(f"{waited_for}, and the operation's timeout is near")
        time.sleep(pause)
        return attempt + 1


class Detachment:
    """What has been asked of EC2 so far, and since when."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._grace: Optional[Deadline] = None
        self.forcibly = False

    @property
    def plainly(self) -> bool:
        """Whether a plain detachment was asked for."""
        return self._grace is not None

    @property
    def in_vain(self) -> bool:
        """Whether the holder has had its time."""
        return self._grace is not None and self._grace.expired

    def note(self, *, force: bool) -> None:
        """Remember that it was asked for."""
        if force:
            self.forcibly = True
        elif self._grace is None:
            self._grace = self._deadline.within(min(_GRACE_SECONDS, self._deadline.remaining() / 3))
