"""The attachment of an ENI to this instance, including its detachment from another instance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Set, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.changes import changes
from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import (
    ChangingError,
    DetachedError,
    Error,
    IndexTakenError,
    InUseError,
    LimitError,
    NetworkCardError,
    NodeError,
    UnknownError,
)
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings.eni_plan import Asked, Attach, Detach, Done, Wait, next_step, path
from aws_ipfailover.steps import Need, Step, of_call

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import Attachment, Instance, NetworkInterface

log = logging.getLogger(__name__)

# Seconds, or a third of the remaining time if that is less, that a running holder has to take part in a detachment;
# after that the ENI is detached by force.
_GRACE_SECONDS = 30.0
# Seconds, or a tenth of the remaining time if that is less, that are kept for the last read: the error then tells the
# ENI's state instead of "no answer".
_LAST_READ = 1.0
# Seconds, or a tenth of the remaining time if that is less, for which EC2 has to refuse a place on this instance while
# reads show nothing on it that changes: such a read can be stale.
_OLD_READS = 3.0


class EniAttachment:
    """`network_interface_id` attached to `instance_id`.

    New attachments are on `network_card_index`, at `device_index` or the lowest free one of that card from 1 on. One
    that is on another card or index already serves as well, and stays.

    `found` is told the ENI's MAC address before it is attached.
    """

    local = False

    def __init__(
        self,
        network_interface_id: str,
        device_index: Optional[int],
        network_card_index: int,
        instance_id: str,
        ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        found: Optional[Callable[[str], None]] = None,
    ) -> None:
        self._found = found
        self._eni = network_interface_id
        self._device_index = device_index
        self._card = network_card_index
        self._instance_id = instance_id
        self._ec2 = ec2
        self._memory = memory
        self._deadline = deadline
        # Network cards with device indexes that cannot be used here, although reads show them as free.
        self._unusable: Set[Tuple[int, int]] = set()
        self._card_is_told = network_card_index > 0
        self._described: Optional[NetworkInterface] = None
        self._me: Optional[Instance] = None
        self._no_place_until: Optional[Deadline] = None
        self._cidrs: Sequence[Cidr] = ()

    def check(self) -> None:
        """Check that this ENI can be attached to this instance. Changes nothing.

        Raises:
            NodeError: the ENI is in another availability zone, or is the primary ENI of an instance.
        """
        found, me = self._describe(), self._myself()
        if found.availability_zone and me.availability_zone and found.availability_zone != me.availability_zone:
            raise NodeError(
                f"{self._eni} is in {found.availability_zone}, this instance in {me.availability_zone}: use"
                " mode=overlay-ip across zones, a network interface cannot leave its own"
            )
        if found.attachment is not None and found.attachment.is_primary:
            raise NodeError(
                f"{self._eni} is the primary one of {found.attachment.instance_id}: create a network interface for the"
                " service, a primary one cannot be detached"
            )
        self.subnet_cidrs()

    def take(self) -> None:
        """Attach the ENI here, from any state; returns when EC2 shows it as attached.

        Raises:
            NodeError: as `check`.  UnknownError: EC2 does not show that before the deadline.
        """
        self.check()
        if self._found is not None:
            self._found(self.described().mac)
        self._move()

    def plan(self) -> List[Step]:
        """What `take` would do, where EC2 and the holder do what they are asked for; raises as `check`."""
        self.check()
        found, me = self.described(), self._instance_id
        held = found.attachment
        state = self._holder_state(held, Asked())
        steps, waits = [], ""
        for step in path(found, me, state, own_detachment=self._has_just_ended(held)):
            if isinstance(step, Wait):
                waits = f"waits for EC2, which shows it as {held.status} first" if held else ""
            elif isinstance(step, Detach):
                holder = held.instance_id if held else ""
                write = self._ec2.planned(_detach(step))
                by_force = f" by force, as the instance is {state}" if step.force else ""
                note = waits or ("" if step.force else "by force if the instance does not let go in time")
                steps.append(of_call(write, f"{self._eni} detached from {holder}{by_force}", holder, "", note=note))
                waits = ""
            elif isinstance(step, Attach):
                index = self._free_index(found)
                write = self._ec2.planned(self._attach_at(index))
                text = f"{self._eni} attached to {me} at device index {index}"
                steps.append(of_call(write, text, "", me, note=waits))
        if not steps:
            so = "is attached" if held is None or held.status == "attached" else f"is {held.status}"
            return [Step(f"{self._eni} {so} to {me}", Need.ALREADY, made=False, before=me, after=me)]
        return steps

    def repair(self) -> Repair:
        """Attach it here again."""
        self.take()
        return Repair(f"{self._eni} attached to {self._instance_id} again", replaced_local=True)

    def use_another_index(self) -> bool:
        """Attach the ENI at another device index, because no interface appears at its present one.

        Returns `False` if the index is configured (parameter device_index). If the ENI is attached elsewhere, because
        the read that showed it here was stale, it is moved here instead.

        After a detachment by force an instance can be unable to use a device index until it is stopped and started
        (Amazon EC2 User Guide, "Detach a network interface").
        """
        held = self._describe().attachment
        if held is None or held.instance_id != self._instance_id:
            self._move()
            return True
        if self._device_index is not None or held.device_index is None:
            return False
        log.warning("device index %d brings no interface, using another one", held.device_index)
        self._unusable.add((held.network_card_index, held.device_index))
        self._detach_until_accepted(held)
        self._memory.remember(f"{self._eni} without {held.attachment_id}")
        self._move()
        return True

    def _detach_until_accepted(self, held: Attachment) -> None:
        poll = self._deadline.poll(first=0.1, longest=1.0)
        while True:
            try:
                self._ec2.detach(held.attachment_id, force=False)
            except DetachedError as error:  # a stale read showed this attachment
                log.info("%s", error)
            except ChangingError as error:
                log.info("%s", error)
                if not poll.wait():
                    raise
                continue
            log.info("detaching %s", self._eni)
            return

    def release(self) -> None:
        """Request the detachment from this instance; the next active node waits until it is complete."""
        held = self._describe().attachment
        if held is None or held.instance_id != self._instance_id or held.is_primary:
            return
        if held.status != "detaching":
            self._detach_until_accepted(held)
            self._memory.remember(f"{self._eni} without {held.attachment_id}")

    def look(self) -> Look:
        """Whether EC2 has it attached here, as far as its reads can be believed."""
        written = f"{self._eni} {self._instance_id}"
        found = confirmed(self._contradictions, self._memory, written, self._deadline)
        return Look(Where.ELSEWHERE, "; ".join(found.values())) if found else HERE

    def described(self) -> NetworkInterface:
        """The ENI as EC2 described it last."""
        return self._described or self._describe()

    def mac_here(self) -> Optional[str]:
        """Its MAC address, if EC2 described it last as an interface of this instance, whatever it does with it now."""
        found = self._described
        held = None if found is None else found.attachment
        if found is None or held is None or held.is_primary or held.instance_id != self._instance_id:
            return None
        return found.mac

    def subnet_cidrs(self) -> Sequence[Cidr]:
        """The CIDRs of its subnet, IPv4 first."""
        if not self._cidrs:
            self._cidrs = self._ec2.subnet_cidrs(self.described().subnet_id)
        return self._cidrs

    def _describe(self) -> NetworkInterface:
        self._described = self._ec2.network_interface(self._eni)
        return self._described

    def _move(self) -> None:
        askings: Dict[str, _Asking] = {}
        until = self._deadline.earlier(min(_LAST_READ, self._deadline.remaining() / 10))
        poll, last = until.poll(first=0.05, longest=0.5), None
        while True:
            refusal: Optional[Error] = None
            found = self._describe()
            if found.attachment != last:  # its state has changed: read again soon
                poll.restart()
                last = found.attachment
            # What was asked of an earlier holder has no effect on the next one.
            held = found.attachment.attachment_id if found.attachment is not None else ""
            asked = askings.setdefault(held, _Asking(self._deadline))
            step = next_step(
                *(found, self._instance_id, self._holder_state(found.attachment, asked.so_far), asked.so_far),
                own_detachment=self._has_just_ended(found.attachment),
            )
            if isinstance(step, Done):
                self._memory.remember(f"{self._eni} {self._instance_id}")
                return
            if isinstance(step, Attach):
                refusal = self._attach()
            elif isinstance(step, Detach):
                refusal = self._detach(step, found.attachment)
                if refusal is None:
                    asked.note(force=step.force)
                elif not step.force:
                    asked.begin_grace()
            elif step.for_holder:
                asked.note(force=False)
            if not poll.wait():
                said = f" ({refusal})" if refusal else ""
                raise UnknownError(f"{self._eni} is {_status(found, refusal)}, a longer timeout may do{said}")

    def may_attach(self) -> None:
        """Ask EC2 whether `take` may attach it. Changes nothing.

        Raises:
            DeniedError: it may not.  NodeError: this instance has no such network card, or no place for it.
            InUseError: not to be found out while it is attached.
            ChangingError: not to be found out while another interface of this instance is attached or detached.
        """
        index = self._free_index()
        me = self._me or self._myself()
        is_here, place = self._eni in me.network_interface_ids, (self._card, index)
        if not is_here and place in me.taken and place not in me.changing:
            raise self._taken(index)
        try:
            self._ec2.may_attach(self._eni, self._instance_id, index, self._told_card())
        except NetworkCardError as error:
            raise self._wrong_card(error) from None
        except (IndexTakenError, LimitError) as error:
            if is_here:
                raise InUseError(str(error)) from None
            if me.changing:
                raise ChangingError(str(error)) from None
            raise self._no_place(error, index) from None

    def _myself(self) -> Instance:
        self._me = self._ec2.instance(self._instance_id)
        self._card_is_told = self._card_is_told or self._me.uses_several_cards
        return self._me

    def _told_card(self) -> Optional[int]:
        """The network card to name in a call; `None` for the first one of an instance that uses no other.

        Without it EC2 has refused a device index that was taken on another card (cilium/cilium, pull request 42512).
        """
        return self._card if self._card_is_told else None

    def _attach_at(self, index: int) -> Callable[[Ec2], None]:
        return lambda ec2: ec2.attach(self._eni, self._instance_id, index, self._told_card())

    def _free_index(self, without: Optional[NetworkInterface] = None) -> int:
        """The device index to attach it at: the configured one, or the lowest that is free on the network card.

        `without`: an ENI whose own device index here counts as free.

        From 1 on also where the card is not the primary ENI's: AWS recommends 1 for the first interface of a further
        card (Amazon EC2 User Guide, "Maximize network bandwidth on EC2 instances with multiple network cards").
        """
        if self._device_index is not None:
            return self._device_index
        taken = self._myself().device_indexes(self._card) | {at for card, at in self._unusable if card == self._card}
        held = without.attachment if without is not None else None
        if held is not None and (held.instance_id, held.network_card_index) == (self._instance_id, self._card):
            taken -= {held.device_index}
        return next(index for index in range(1, 256) if index not in taken)

    def _wrong_card(self, refusal: Error) -> NodeError:
        return NodeError(
            f"parameter network_card_index: {self._card} cannot be used on this instance, expected a network card that"
            f" its type has ({refusal})"
        )

    def _taken(self, index: int) -> NodeError:
        return NodeError(
            f"parameter device_index: {index}{self._of_card} is taken on this instance, expected one that is free, or"
            " none for the lowest free one"
        )

    def _no_place(self, refusal: Error, index: int) -> Error:
        """What EC2's refusal for want of a place on this instance means once nothing changes on it any more."""
        if isinstance(refusal, LimitError):
            return LimitError(f"this instance has as many network interfaces as it may: detach one ({refusal})")
        return refusal if self._device_index is None else self._taken(index)

    def _awaited(self, refusal: Error, index: int) -> Error:
        """The same refusal, for want of a place on this instance, while one may become free.

        An interface has its device index, and counts towards the instance's limit, until its detachment has ended: a
        stop on this node only requests it. The interface that has the place can also be this ENI, by a request whose
        answer was lost.

        Raises:
            NodeError: nothing on this instance changes.
        """
        me = self._myself()
        changes_here = (self._card, index) in me.changing if isinstance(refusal, IndexTakenError) else bool(me.changing)
        waits = changes_here or self._eni in me.network_interface_ids
        if waits or self._no_place_until is None:
            self._no_place_until = self._deadline.within(min(_OLD_READS, self._deadline.remaining() / 10))
        if not waits and self._no_place_until.expired:
            raise self._no_place(refusal, index)
        return refusal

    @property
    def _of_card(self) -> str:
        return f" of network card {self._card}" if self._card else ""

    def _attach(self) -> Optional[Error]:
        """Request the attachment; returns EC2's refusal if a retry may succeed, else `None`."""
        index = self._free_index()
        try:
            self._attach_at(index)(self._ec2)
            log.info("attaching %s at device index %d%s", self._eni, index, self._of_card)
        except NetworkCardError as error:
            raise self._wrong_card(error) from None
        except (InUseError, ChangingError) as error:
            log.info("%s", error)  # a stale read showed it as available, or EC2 is still changing it
            return error
        except (IndexTakenError, LimitError) as error:
            if isinstance(error, LimitError) or self._device_index is not None:
                log.info("%s", error)
                return self._awaited(error, index)
            log.info("device index %d%s was taken meanwhile", index, self._of_card)
            self._unusable.add((self._card, index))
            return error
        return None

    def _detach(self, step: Detach, held: Optional[Attachment]) -> Optional[Error]:
        """Request the detachment; returns EC2's refusal if the request has to be repeated, else `None`."""
        try:
            self._ec2.detach(step.attachment_id, force=step.force)
        except DetachedError as error:  # a stale read showed this attachment
            log.info("%s", error)
            return None
        except ChangingError as error:
            log.info("%s", error)
            return error
        holder = held.instance_id if held else "its holder"
        if held is not None:
            changes.came_from(held.instance_id)
        log.info("detaching %s from %s%s", self._eni, holder, " by force" if step.force else "")
        return None

    def _holder_state(self, held: Optional[Attachment], asked: Asked) -> Optional[str]:
        """The state of the instance that has the ENI; `None` if it decides nothing or is not known."""
        if held is None or asked.forced or asked.grace_over:
            return None
        if held.instance_id == self._instance_id and held.status in ("attached", "attaching"):
            return None
        try:
            return self._ec2.instance(held.instance_id).state
        except NodeError as error:
            log.info("%s", error)  # EC2 forgets a terminated instance after an hour
            return None

    def _has_just_ended(self, held: Optional[Attachment]) -> bool:
        """Whether this node itself has just detached this attachment: a read that shows it is stale."""
        return held is not None and self._memory.is_recent(f"{self._eni} without {held.attachment_id}")

    def _contradictions(self) -> Contradictions:
        held = self._describe().attachment
        if held is None:
            return {self._eni: f"{self._eni} is attached to no instance"}
        if held.instance_id != self._instance_id:
            return {self._eni: f"{self._eni} is attached to {held.instance_id} instead of {self._instance_id}"}
        return {} if held.status == "attached" else {self._eni: f"{self._eni} is {held.status}"}


def _detach(step: Detach) -> Callable[[Ec2], None]:
    return lambda ec2: ec2.detach(step.attachment_id, force=step.force)


class _Asking:
    """The detachments requested so far, and the time that the holder has to take part."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._grace: Optional[Deadline] = None
        self._plain = False
        self._forced = False

    @property
    def so_far(self) -> Asked:
        """What has been requested, as `next_step` takes it."""
        return Asked(self._plain, self._grace is not None and self._grace.expired, self._forced)

    def note(self, *, force: bool) -> None:
        """Record that EC2 has accepted a detachment, by force or not."""
        if force:
            self._forced = True
        else:
            self._plain = True
            self.begin_grace()

    def begin_grace(self) -> None:
        """Start the time that the holder has to take part, unless it runs already."""
        if self._grace is None:
            self._grace = self._deadline.within(min(_GRACE_SECONDS, self._deadline.remaining() / 3))


def _status(found: NetworkInterface, refusal: Optional[Error]) -> str:
    if found.attachment is not None:
        return found.attachment.status
    # Something that is no instance of this account, such as an AWS service.
    return "in use by something that EC2 does not show" if isinstance(refusal, InUseError) else "being attached"
