"""mode=eni on an instance with several network cards: parameter network_card_index."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import pytest

from sandbox import EniNode, create_eni
from vpc_lab.ec2 import Fault

MakeEniNode = Callable[..., EniNode]
SEVERAL = "p4d.24xlarge"  # four network cards


@pytest.fixture
def cards(make_eni_node: MakeEniNode) -> EniNode:
    """A node on an instance with four network cards; the ENI is to be on the second."""
    node = make_eni_node(instance_type=SEVERAL)
    node.agent.parameters["network_card_index"] = "1"
    return node


def place(node: EniNode) -> Tuple[int, int]:
    """The network card and device index that the ENI is attached at."""
    attachment = node.interface().attachment
    assert attachment is not None
    return attachment.slot


def occupy(node: EniNode, index: int, card: int) -> None:
    """Attach another ENI to the node."""
    other = create_eni(node.aws, node.me.subnet.subnet_id, f"10.0.1.{100 + 10 * card + index}")
    node.aws.api.administer(
        "AttachNetworkInterface",
        NetworkInterfaceId=other,
        InstanceId=node.me.instance_id,
        DeviceIndex=str(index),
        NetworkCardIndex=str(card),
    )


def test_start(cards: EniNode) -> None:
    """The ENI comes to the card that is named, at the lowest device index from 1 on; then everything answers 0."""
    assert cards.agent.run("validate-all", level=10).code == 0
    cards.attach(cards.other)
    cards.started()
    assert place(cards) == (1, 1)
    for level in (0, 10):
        assert cards.agent.run("monitor", level=level, interval=10).code == 0
    ran = cards.agent.run("stop")
    assert ran.code == 0, ran
    assert cards.holder() is None


def test_indexes_are_counted_on_each_card(cards: EniNode) -> None:
    """What the first card has is free on the second, what an ENI or a secondary interface has there is not."""
    occupy(cards, 1, 1)
    cards.aws.account.add_secondary_interface("node1", 2, network_card_index=1)
    occupy(cards, 3, 0)
    ran = cards.started()
    assert place(cards) == (1, 3)
    assert ran.ec2.count("AttachNetworkInterface") == 1


def test_the_first_card_beside_others(cards: EniNode) -> None:
    """By default it is the first card, and EC2 is told so where an interface is on another one."""
    del cards.agent.parameters["network_card_index"]
    occupy(cards, 1, 1)
    cards.started()
    assert place(cards) == (0, 1)
    (call,) = [one for one in cards.aws.calls("AttachNetworkInterface") if one.caller != "administrator"]
    assert call.parameters["NetworkCardIndex"] == "0"


def test_one_card(eni_node: EniNode) -> None:
    """On any other instance the parameter is left out of the call: old endpoints do not know it."""
    eni_node.started()
    (call,) = eni_node.aws.calls("AttachNetworkInterface")
    assert "NetworkCardIndex" not in call.parameters


def test_device_index_0(cards: EniNode) -> None:
    """Cards but the first have a device index 0 that is not the primary ENI's: the ENI comes, and goes again."""
    cards.agent.parameters["device_index"] = "0"
    cards.started()
    assert place(cards) == (1, 0)
    cards.forget_writes()
    assert cards.agent.run("monitor", level=10, interval=10).code == 0
    ran = cards.agent.run("stop")
    assert ran.code == 0, ran
    assert cards.holder() is None
    occupy(cards, 0, 1)
    ran = cards.agent.run("start")
    assert ran.code == 2, ran
    assert "parameter device_index: 0 of network card 1 is taken" in ran.reason


@pytest.mark.parametrize("wrong", [{"device_index": "0", "network_card_index": "0"}, {"network_card_index": "-1"}])
def test_wrong_in_the_text(cards: EniNode, wrong: Dict[str, str]) -> None:
    """6, with nothing asked: device index 0 of the first card, which is the primary ENI's, and what is no index."""
    for action in ("start", "validate-all"):
        ran = cards.agent.run(action, wrong)
        assert ran.code == 6, ran
        assert next(iter(wrong)) in ran.reason
        assert "expected" in ran.reason
        assert ran.calls == ()


WRONG_CARD = "parameter network_card_index: 1 cannot be used on this instance, expected a network card"


def test_a_card_that_the_instance_has_not(eni_node: EniNode) -> None:
    """2: the sentence names parameter, value, what is expected and EC2's code; nothing has changed on the node."""
    ran = eni_node.agent.run("start", {"network_card_index": "1"})
    assert ran.code == 2, ran
    assert WRONG_CARD in ran.reason
    assert "AttachNetworkInterface: InvalidParameterValue" in ran.reason
    assert eni_node.holder() is None
    assert eni_node.quiesced()


def test_the_card_in_a_dry_run(cards: EniNode) -> None:
    """validate-all at level 10 asks for the attachment at that card; 2 where EC2 refuses the card then."""
    ran = cards.agent.run("validate-all", level=10)
    assert ran.code == 0, ran
    (call,) = cards.aws.calls("AttachNetworkInterface")
    assert call.parameters["NetworkCardIndex"] == "1"
    assert call.parameters["DryRun"] == "true"
    message = "Network card index 1 is not supported."
    cards.aws.faults.add(Fault("error", action="Attach*", code="Unsupported", status=400, message=message))
    ran = cards.agent.run("validate-all", level=10)
    assert ran.code == 2, ran
    assert WRONG_CARD in ran.reason


def test_attached_at_another_card(cards: EniNode) -> None:
    """An ENI that is attached here at another card serves: start leaves it there, a monitor at level 10 is 0."""
    cards.attach(cards.me, index=1)
    ran = cards.started()
    assert place(cards) == (0, 1)
    assert "AttachNetworkInterface" not in ran.ec2
    cards.forget_writes()
    ran = cards.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert place(cards) == (0, 1)


def test_a_dead_device_index(cards: EniNode) -> None:
    """After a detachment by force the next index of the same card is tried."""
    cards.aws.account.dead_indexes_after_force = True
    cards.aws.api.administer(
        "AttachNetworkInterface",
        NetworkInterfaceId=cards.eni,
        InstanceId=cards.me.instance_id,
        DeviceIndex="1",
        NetworkCardIndex="1",
    )
    cards.aws.account.settle()
    attachment = cards.interface().attachment
    assert attachment is not None
    cards.aws.api.administer("DetachNetworkInterface", AttachmentId=attachment.attachment_id, Force="true")
    cards.aws.account.settle()
    ran = cards.agent.run("start", timeout=15)
    assert ran.code == 0, ran
    assert cards.served()
    assert place(cards) == (1, 2)
    assert "device index 1 brings no interface" in ran.stderr
