"""Decides the next step of moving an ENI to this instance, from what EC2 says of the ENI. Pure.

The process can be killed after any step: the next start decides from the state that it finds, and reaches `Done` from
every state. Facts: Amazon EC2 API Reference, AttachNetworkInterface, DetachNetworkInterface (Force);
StopInstances shuts the operating system down before the state is `stopped`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Union

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import NetworkInterface

# States of an instance that cannot take part in a detachment and does not use the ENI. `stopping` and `shutting-down`
# are not among them: the operating system runs, and may answer, until it has shut down.
_GONE = ("stopped", "terminated")


class Asked(NamedTuple):
    """What has been requested of EC2 so far.

    `plain`: a detachment in which the holder takes part. `grace_over`: the holder's time for that has passed.
    `forced`: a detachment by force, without the holder.
    """

    plain: bool = False
    grace_over: bool = False
    forced: bool = False


class Attach(NamedTuple):
    """Attach it to this instance."""


class Detach(NamedTuple):
    """Detach it from its holder, which can be this instance; `force`: without the holder."""

    attachment_id: str
    force: bool


class Wait(NamedTuple):
    """Look again later. `for_holder`: a detachment in which the holder takes part is under way."""

    for_holder: bool = False


class Done(NamedTuple):
    """It is attached here."""


Step = Union[Attach, Detach, Wait, Done]


def next_step(
    eni: NetworkInterface, instance_id: str, holder_state: Optional[str], asked: Asked, *, own_detachment: bool
) -> Step:
    """The next step towards having `eni` attached to `instance_id`.

    `holder_state` is the EC2 state of the instance that has it, `None` if it was not read or is not known.
    `own_detachment`: this node has just ended the attachment that `eni` shows, so that `eni` is a stale read.
    """
    held = eni.attachment
    if held is None:
        return Attach()
    if held.instance_id == instance_id and held.status == "attached":
        return Wait() if own_detachment else Done()
    if asked.forced:
        return Wait()
    if held.status == "attaching":
        # One that an instance was powered off in the middle of may never end.
        gone = held.instance_id != instance_id and holder_state in _GONE
        return Detach(held.attachment_id, force=True) if gone else Wait()
    if asked.grace_over or holder_state in _GONE:
        return Detach(held.attachment_id, force=True)
    if asked.plain or held.status == "detaching":
        return Wait(for_holder=True)
    return Detach(held.attachment_id, force=False)


def path(eni: NetworkInterface, instance_id: str, holder_state: Optional[str], *, own_detachment: bool) -> List[Step]:
    """The steps from `eni` to having it attached to `instance_id`, where EC2 and the holder do what they are asked for.

    As `next_step`; the last one is `Done`, and without another one before it nothing has to be done. A holder that does
    not let go in time is not foreseen: a detachment by force follows then.
    """
    steps: List[Step] = []
    asked = Asked()
    while True:
        step = next_step(eni, instance_id, holder_state, asked, own_detachment=own_detachment)
        steps.append(step)
        if isinstance(step, Done):
            return steps
        if isinstance(step, Attach):
            return [*steps, Done()]
        own_detachment = False  # the next read shows what is so
        held = eni.attachment
        if isinstance(step, Wait) and held is not None and held.status == "attaching":
            eni = eni._replace(attachment=held._replace(status="attached"))
        else:
            eni = eni._replace(attachment=None)
