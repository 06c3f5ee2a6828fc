"""holdings/eni_attachment.py: from every state, with an EC2 on a clock of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Optional

import pytest

from aws_ipfailover.aws import models
from aws_ipfailover.aws.models import Attachment
from aws_ipfailover.errors import DeniedError, DetachedError, Error, InUseError, NodeError, UnknownError
from aws_ipfailover.failover import Repair, Where
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from simulated_eni import ENI, ME, NEVER, OTHER, STATES, Cloud


@pytest.fixture
def cloud() -> Cloud:
    """EC2 with one ENI, available."""
    return Cloud()


Make = Callable[..., EniAttachment]


@pytest.fixture
def make(cloud: Cloud, tmp_path: Path) -> Make:
    """The holding; seconds of its deadline, and the configured device index and network card."""

    def made(seconds: float = 300.0, index: Optional[int] = None, card: int = 0) -> EniAttachment:
        return cloud.holding(tmp_path, seconds, index, card)

    return made


@pytest.mark.parametrize("state", STATES)
def test_from_every_state(cloud: Cloud, make: Make, state: str) -> None:
    """Whatever state it is in, it comes here, with these writes and no other."""
    cloud.put(state)
    make().take()
    assert cloud.is_here()
    assert cloud.writes == STATES[state].writes


def test_attached_here_at_another_index(cloud: Cloud, make: Make) -> None:
    """It stays where it is, also where another index is configured: it serves."""
    cloud.holds(ME, index=3)
    make(index=2).take()
    assert cloud.is_here(3)
    assert cloud.writes == []


@pytest.mark.parametrize("seconds", [15.0, 60.0, 300.0])
def test_grace_before_force(cloud: Cloud, make: Make, seconds: float) -> None:
    """A running holder has 30 s, or a third of what is left where that is less; then force comes, once."""
    cloud.holds(OTHER)
    cloud.detach_seconds = NEVER
    make(seconds=seconds).take()
    assert cloud.writes == ["detach", "force", "attach 1"]
    (asked, _), (forced, _), _ = cloud.asked
    assert min(30.0, seconds / 3) * 0.9 <= forced - asked <= min(30.0, seconds / 3) + 1


def test_fenced_within_the_grace(cloud: Cloud, make: Make) -> None:
    """The holder is stopped while its detachment hangs: force comes at once."""
    cloud.holds(OTHER)
    cloud.detach_seconds, cloud.fenced_at = NEVER, 3.0
    make().take()
    assert cloud.writes == ["detach", "force", "attach 1"]
    assert cloud.asked[1][0] < 5.0


def test_nothing_detaches_it(cloud: Cloud, make: Make) -> None:
    """UnknownError before the deadline, naming the state; force is asked for once."""
    cloud.holds(OTHER)
    cloud.detach_seconds = cloud.force_seconds = NEVER
    with pytest.raises(UnknownError, match="is detaching"):
        make(seconds=40.0).take()
    assert cloud.writes == ["detach", "force"]
    assert 35.0 < cloud.now < 40.0


def test_it_went_between_read_and_write(cloud: Cloud, make: Make) -> None:
    """An old read shows a holder that let go of it: EC2's answer to the detachment is no failure."""
    cloud.stale = [Attachment("eni-attach-9", OTHER, 1, "attached")] * 4
    make().take()
    assert cloud.is_here()
    assert cloud.writes == ["detach", "attach 1"]


def test_an_old_read_says_available(cloud: Cloud, make: Make) -> None:
    """It is in use while reads say available: EC2 refuses, and it is looked at again."""
    cloud.holds(OTHER)
    cloud.stale = [None, None]
    make().take()
    assert cloud.is_here()
    assert cloud.writes == ["attach 1", "detach", "attach 1"]


def test_an_old_read_after_attaching(cloud: Cloud, make: Make) -> None:
    """Reads that lag behind this node's own write cost refused calls, nothing else."""
    cloud.stale = [None, None, None]
    make().take()
    assert cloud.is_here()
    assert {one.split()[0] for one in cloud.writes} == {"attach"}


def test_an_old_read_of_what_stop_has_ended(cloud: Cloud, make: Make) -> None:
    """A start right after this node's stop: a read that shows the attachment that stop has ended is an old one."""
    cloud.holds(ME)
    before = cloud.attachment
    make().release()
    cloud.stale = [before] * 4
    make().take()
    assert cloud.writes == ["detach", "attach 1"]
    assert cloud.is_here()
    # What has been attached since is believed.
    make().take()
    assert cloud.writes == ["detach", "attach 1"]


def test_the_lowest_free_index(cloud: Cloud, make: Make) -> None:
    """The lowest one above 0 that neither a read nor a refusal shows as taken."""
    cloud.indexes[ME] = {0, 1, 3}
    cloud.hidden = {2}
    make().take()
    assert cloud.is_here(4)
    assert cloud.writes == ["attach 2", "attach 4"]


def test_a_configured_index(cloud: Cloud, make: Make) -> None:
    """The one that is configured, and NodeError where it is taken."""
    make(index=7).take()
    assert cloud.is_here(7)
    cloud.attachment, cloud.indexes[ME] = None, {0, 7}
    with pytest.raises(NodeError, match="device_index: 7 is taken"):
        make(index=7).take()


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("index", [1, None])
def test_a_place_that_becomes_free(cloud: Cloud, make: Make, index: Optional[int], shown: bool) -> None:
    """Another ENI is being detached from this instance: its device index, or its place under the limit, is waited for.

    For a while also where the read of it is stale, and shows it as attached.
    """
    cloud.leaving, cloud.leaving_is_shown, cloud.limit = {1: 20.0 if shown else 2.0}, shown, 2
    make(index=index).take()
    assert cloud.is_here(1)


def test_a_place_that_does_not_become_free(cloud: Cloud, make: Make) -> None:
    """Nothing on this instance changes: NodeError after some seconds, with what to do first."""
    cloud.limit = 1
    with pytest.raises(NodeError, match=r"^this instance has as many .*: detach one \(.*AttachmentLimitExceeded"):
        make().take()
    assert cloud.now < 5.0


def test_a_place_whose_detachment_does_not_end(cloud: Cloud, make: Make) -> None:
    """It is no NodeError, which would ban this node, while the place may become free: UnknownError at the deadline."""
    cloud.leaving = {1: NEVER}
    with pytest.raises(UnknownError, match="a longer timeout may do"):
        make(index=1, seconds=30.0).take()


def test_the_index_is_taken_by_the_eni_itself(cloud: Cloud, make: Make) -> None:
    """The answer to the attachment was lost, and reads are stale: it is here, whatever EC2 refuses first."""
    cloud.index_first = True
    cloud.holds(ME, "attaching", index=1, ends_in=8.0)
    cloud.stale = [None] * 12
    make(index=1).take()
    assert cloud.is_here()


def test_what_was_asked_of_an_earlier_holder(cloud: Cloud, make: Make) -> None:
    """Somebody attaches the ENI elsewhere right after its detachment by force: that holder is asked, too."""
    cloud.holds(OTHER)
    cloud.states[OTHER] = "stopped"
    attachment = make()
    grabbed: List[bool] = []
    ask = cloud.detach

    def detach(attachment_id: str, *, force: bool) -> None:
        ask(attachment_id, force=force)
        if not grabbed:
            grabbed.append(True)
            cloud.holds(OTHER)
            cloud.states[OTHER] = "running"

    cloud.detach = detach  # type: ignore[method-assign]
    attachment.take()
    assert cloud.is_here()
    assert cloud.writes == ["force", "detach", "attach 1"]


def test_whether_it_may_be_attached_where_the_index_is_taken(cloud: Cloud, make: Make) -> None:
    """Told without a question to EC2, whose dry run looks at permissions; not while that place may become free."""
    cloud.indexes[ME] = {0, 7}
    with pytest.raises(NodeError, match="device_index: 7 is taken"):
        make(index=7).may_attach()
    assert cloud.writes == []


@pytest.mark.parametrize("state", ["", "stopped"])
def test_zones(cloud: Cloud, make: Make, state: str) -> None:
    """Another zone: NodeError that names overlay-ip, before anything is changed."""
    cloud.holds(OTHER)
    cloud.zones[ENI] = "zone-b"
    with pytest.raises(NodeError, match="mode=overlay-ip"):
        make().take()
    assert cloud.writes == []


@pytest.mark.parametrize("holder", [ME, OTHER])
def test_primary(cloud: Cloud, make: Make, holder: str) -> None:
    """The primary ENI of an instance: NodeError, before anything is changed."""
    cloud.holds(holder, index=0)
    with pytest.raises(NodeError, match="primary"):
        make().take()
    assert cloud.writes == []


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface", "DescribeInstances"])
@pytest.mark.parametrize("kind", [DeniedError, NodeError])
def test_refusals(cloud: Cloud, make: Make, operation: str, kind: type[Error]) -> None:
    """What EC2 refuses for good ends the start with that very error, at the first refusal."""
    cloud.holds(OTHER)
    cloud.errors[operation] = kind(operation)
    with pytest.raises(kind, match=operation):
        make().take()
    assert len(cloud.writes) <= 2


@pytest.mark.parametrize(
    ("holder", "status", "writes"),
    [
        (ME, "attached", ["detach"]),
        (ME, "attaching", ["detach"]),
        (ME, "detaching", []),
        (OTHER, "attached", []),
        (None, "", []),
    ],
)
def test_release(cloud: Cloud, make: Make, holder: Optional[str], status: str, writes: List[str]) -> None:
    """Detached from this instance only, without force, once, without waiting for the end."""
    if holder is not None:
        cloud.holds(holder, status)
    make().release()
    assert cloud.writes == writes
    assert cloud.now == 0.0


def test_release_of_a_primary_interface(cloud: Cloud, make: Make) -> None:
    """A parameter that names this instance's primary ENI is no reason to ask for its detachment."""
    cloud.holds(ME, index=0)
    make().release()
    assert cloud.writes == []


def test_release_of_what_is_detached_already(cloud: Cloud, make: Make) -> None:
    """An old read shows the attachment: EC2's answer is no failure."""
    cloud.holds(ME)
    cloud.errors["DetachNetworkInterface"] = DetachedError("InvalidAttachmentID.NotFound")
    make().release()
    assert cloud.writes == ["detach"]


def test_release_while_something_changes(cloud: Cloud, make: Make) -> None:
    """ "IncorrectState while something changes is waited for"."""
    cloud.holds(ME)
    cloud.changing_until["DetachNetworkInterface"] = 4.0
    make().release()
    assert 4.0 <= cloud.now < 6.0
    assert cloud.attachment is None or cloud.attachment.status == "detaching"


def test_an_eni_that_nobody_has_and_that_is_not_free(cloud: Cloud, make: Make) -> None:
    """An AWS service can have it: not "being attached", and no read tells who."""
    cloud.errors["AttachNetworkInterface"] = InUseError("AttachNetworkInterface: InvalidNetworkInterface.InUse")
    with pytest.raises(UnknownError, match="is in use by something that EC2 does not show, a longer timeout may do"):
        make(seconds=5.0).take()


@pytest.mark.parametrize("operation", ["DescribeNetworkInterfaces", "DetachNetworkInterface"])
@pytest.mark.parametrize("kind", [DeniedError, NodeError, UnknownError])
def test_release_says_what_ec2_said(cloud: Cloud, make: Make, operation: str, kind: type[Error]) -> None:
    """The error is EC2's own; that stop does not fail for it is the agent's decision."""
    cloud.holds(ME)
    cloud.errors[operation] = kind(operation)
    with pytest.raises(kind, match=operation):
        make().release()


@pytest.mark.parametrize(
    ("holder", "status", "where", "says"),
    [
        (ME, "attached", Where.HERE, ""),
        (ME, "detaching", Where.ELSEWHERE, "is detaching"),
        (OTHER, "attached", Where.ELSEWHERE, f"attached to {OTHER}"),
        (None, "", Where.ELSEWHERE, "attached to no instance"),
    ],
)
def test_look(cloud: Cloud, make: Make, holder: Optional[str], status: str, where: Where, says: str) -> None:
    """HERE is attached to this instance, and nothing else is."""
    if holder is not None:
        cloud.holds(holder, status)
    found = make().look()
    assert found.where is where
    assert says in found.why


def test_look_after_its_own_write(cloud: Cloud, make: Make) -> None:
    """A read that contradicts this node's write of a moment ago is no evidence."""
    make().take()
    cloud.holds(OTHER)
    with pytest.raises(UnknownError, match="reads can lag"):
        make().look()


@pytest.mark.parametrize("status", ["attached", "detaching"])
@pytest.mark.parametrize("state", ["stopping", "shutting-down"])
def test_a_holder_that_is_stopping_is_treated_as_one_that_runs(
    cloud: Cloud, make: Make, status: str, state: str
) -> None:
    """ "An instance that is `stopping` still runs and may answer": it has its grace, and force comes only after it."""
    cloud.holds(OTHER, status)
    cloud.states[OTHER], cloud.detach_seconds = state, NEVER
    make(seconds=300.0).take()
    assert cloud.writes == (["detach"] if status == "attached" else []) + ["force", "attach 1"]
    forced = next(when for when, what in cloud.asked if what == "force")
    assert 27.0 <= forced <= 31.0


def test_a_holder_that_has_stopped_within_its_grace(cloud: Cloud, make: Make) -> None:
    """As soon as it is `stopped` nothing answers any more, and it is detached without it."""
    cloud.holds(OTHER)
    cloud.states[OTHER], cloud.detach_seconds, cloud.fenced_at = "stopping", NEVER, 6.0
    make().take()
    assert cloud.writes == ["detach", "force", "attach 1"]
    assert 6.0 <= cloud.asked[1][0] < 8.0


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_what_is_changing_is_waited_for(cloud: Cloud, make: Make, operation: str) -> None:
    """ "IncorrectState while something changes is waited for": it is asked again until EC2 accepts it."""
    cloud.holds(OTHER)
    cloud.changing_until[operation] = 4.0
    make().take()
    assert cloud.is_here()
    assert cloud.writes[-1] == "attach 1"
    assert "force" not in cloud.writes
    assert cloud.now < 12.0


def test_a_force_that_is_refused_is_asked_for_again(cloud: Cloud, make: Make) -> None:
    """What EC2 did not accept was not asked for: the holder is gone, and it comes here all the same."""
    cloud.holds(OTHER)
    cloud.states[OTHER] = "stopped"
    cloud.changing_until["DetachNetworkInterface"] = 4.0
    make().take()
    assert cloud.is_here()
    assert set(cloud.writes[:-1]) == {"force"}


def test_a_holder_has_its_grace_once(cloud: Cloud, make: Make) -> None:
    """It counts from the first time that it was asked, whatever EC2 answered; then force comes."""
    cloud.holds(OTHER)
    cloud.detach_seconds, cloud.changing_until["DetachNetworkInterface"] = NEVER, 20.0
    make(seconds=300.0).take()
    forced = next(when for when, what in cloud.asked if what == "force")
    assert 27.0 <= forced <= 31.0


@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_what_never_ends_to_change_is_told(cloud: Cloud, make: Make, operation: str) -> None:
    """UnknownError before the deadline, with EC2's own error code."""
    if operation == "DetachNetworkInterface":
        cloud.holds(OTHER)
    cloud.changing_until[operation] = NEVER
    with pytest.raises(UnknownError, match=rf"a longer timeout may do \({operation}: IncorrectState\)"):
        make(seconds=20.0).take()


def test_another_device_index(cloud: Cloud, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """An index that brings no interface is not used again: detached, and attached at the next free one, each time."""
    holding = make()
    holding.take()
    assert cloud.is_here(1)
    assert holding.use_another_index()
    assert cloud.is_here(2)
    assert holding.use_another_index()
    assert cloud.is_here(3)
    assert cloud.writes == ["attach 1", "detach", "attach 2", "detach", "attach 3"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "device index 1 brings no interface, using another one",
        "device index 2 brings no interface, using another one",
    ]


def test_another_device_index_after_an_old_read(cloud: Cloud, make: Make) -> None:
    """A read that still shows the attachment that has just been ended is an old one, and no success."""
    holding = make()
    holding.take()
    before = cloud.attachment
    cloud.stale = [before] * 4
    assert holding.use_another_index()
    assert cloud.is_here(2)


def test_a_configured_index_is_not_changed(cloud: Cloud, make: Make) -> None:
    """`device_index` is an administrator's choice."""
    holding = make(index=1)
    holding.take()
    assert not holding.use_another_index()
    assert cloud.writes == ["attach 1"]


@pytest.mark.parametrize("holder", [OTHER, None])
@pytest.mark.parametrize("index", [1, None])
def test_an_eni_that_is_not_here_is_moved_here(
    cloud: Cloud, make: Make, holder: Optional[str], index: Optional[int]
) -> None:
    """The read that showed it here was stale: no interface appears because it is elsewhere."""
    if holder is not None:
        cloud.holds(holder)
    assert make(index=index).use_another_index()
    assert cloud.is_here(1)


def test_a_detachment_that_is_refused_while_something_changes_is_requested_again(cloud: Cloud, make: Make) -> None:
    """ "IncorrectState while something changes is waited for": no other index is used before EC2 has accepted it."""
    holding = make()
    holding.take()
    cloud.changing_until["DetachNetworkInterface"] = cloud.now + 5.0
    assert holding.use_another_index()
    assert cloud.is_here(2)


def test_indexes_of_secondary_interfaces_are_taken(cloud: Cloud, make: Make) -> None:
    """ "Instances can have `SecondaryInterfaces` with device indexes of their own": not the lowest free one then."""
    described = {
        "InstanceId": ME,
        "NetworkInterfaces": [{"Attachment": {"DeviceIndex": 0}}, {"Attachment": {"DeviceIndex": 2}}],
        "SecondaryInterfaces": [{"Attachment": {"DeviceIndex": 1}}],
    }
    cloud.indexes[ME] = set(models.instance(described).device_indexes(0))
    make().take()
    assert cloud.is_here(3)


# -- network cards ----------------------------------------------------------------------------------------------------


def test_the_lowest_free_index_of_a_card(cloud: Cloud, make: Make) -> None:
    """Device indexes are counted on each network card by itself, from 1 on, and the card is told to EC2."""
    cloud.cards, cloud.indexes[ME], cloud.on_other_cards = 3, {0, 1, 2}, {(1, 1), (2, 0)}
    make(card=1).take()
    assert cloud.is_here(2, card=1)
    assert cloud.writes == ["attach 2 of card 1"]
    cloud.attachment = None
    make(card=2).take()
    assert cloud.is_here(1, card=2)


def test_the_first_card_beside_others(cloud: Cloud, make: Make) -> None:
    """Card 0 is left out for an instance that uses no other, as old endpoints do not know it, and else told.

    Without it EC2 has refused an index that was taken on another card alone.
    """
    make().take()
    assert cloud.writes == ["attach 1"]
    cloud.attachment, cloud.cards, cloud.on_other_cards = None, 2, {(1, 1)}
    make().take()
    cloud.attachment = None
    make(index=4).take()
    assert cloud.writes == ["attach 1", "attach 1 of card 0", "attach 4 of card 0"]


def test_index_0_of_another_card(cloud: Cloud, make: Make) -> None:
    """Index 0 is the primary ENI's on card 0 only: elsewhere the ENI moves, and is released."""
    cloud.cards = 2
    cloud.holds(OTHER, index=0, card=1)
    make(index=0, card=1).take()
    assert cloud.is_here(0, card=1)
    make(card=1).release()
    assert cloud.writes == ["detach", "attach 0 of card 1", "detach"]
    cloud.attachment = None
    cloud.holds(ME, index=0)
    make().release()
    assert cloud.writes[3:] == []
    with pytest.raises(NodeError, match="is the primary one"):
        make().take()


def test_attached_here_at_another_card(cloud: Cloud, make: Make) -> None:
    """It stays where it is: it serves."""
    cloud.cards = 2
    cloud.holds(ME, index=1, card=1)
    make().take()
    assert make().look().where is Where.HERE
    assert cloud.writes == []


def test_a_card_that_the_instance_has_not(cloud: Cloud, make: Make) -> None:
    """NodeError that names the parameter, its value and EC2's refusal."""
    with pytest.raises(NodeError, match=r"parameter network_card_index: 1 .*expected a network card .*\(Attach.*Value"):
        make(card=1).take()
    assert cloud.attachment is None


def test_another_index_of_the_same_card(cloud: Cloud, make: Make) -> None:
    """An index that brings no interface counts on its own card: the same one of another card is free."""
    cloud.cards = 2
    cloud.holds(ME, index=1, card=0)
    holding = make(card=1)
    holding.take()
    assert holding.use_another_index()
    assert cloud.is_here(1, card=1)
    assert holding.use_another_index()
    assert cloud.is_here(2, card=1)


def test_a_repair_attaches_it_again(cloud: Cloud, make: Make) -> None:
    """Whoever has it now; the interface it brings is a new one, which has to be configured."""
    cloud.holds(OTHER)
    outcome = make().repair()
    assert outcome == Repair(f"{ENI} attached to {ME} again", replaced_local=True)
    assert cloud.is_here()
