"""What a rehearsal takes from a cluster's configuration about failures and places."""

from __future__ import annotations

from typing import Optional

import pytest

from vpc_lab.rehearsal.plan import seconds
from vpc_lab.rehearsal.policy import DEFAULT_TIMEOUT, Policy, policy


def pairs(kind: str, **given: str) -> str:
    """A set of attributes."""
    inner = "".join(
        f'<nvpair id="{kind}-{name}" name="{name.replace("_", "-")}" value="{value}"/>' for name, value in given.items()
    )
    return f'<{kind} id="{kind}">{inner}</{kind}>'


def primitive(name: str, meta: str = "", operations: str = "") -> str:
    """A resource."""
    return (
        f'<primitive id="{name}" class="ocf" provider="heartbeat" type="Dummy">{meta}'
        f"<operations>{operations}</operations></primitive>"
    )


def monitor(interval: str = "10s", more: str = "") -> str:
    """A recurring monitor."""
    return f'<op id="m{interval}" name="monitor" interval="{interval}" {more}/>'


def of(resources: str, *, defaults: str = "", operations: str = "", constraints: str = "", behind: str = "") -> Policy:
    """The policy of a CIB for its resource `ip`."""
    text = (
        f"<cib><configuration><resources>{resources}</resources><constraints>{constraints}</constraints>"
        f"<rsc_defaults>{defaults}</rsc_defaults><op_defaults>{operations}</op_defaults></configuration></cib>"
    )
    return policy(text, "ip", behind, seconds)


@pytest.mark.parametrize(
    ("threshold", "monitors", "in_place"),
    [
        ("1", 1, False),
        ("2", 1, True),
        # Two monitors can find one failure, and then it counts twice.
        ("2", 2, None),
        ("3", 2, True),
        ("0", 1, True),
        ("INFINITY", 2, True),
        ("", 1, True),
    ],
)
def test_one_failure_is_followed_by_what_migration_threshold_says(
    threshold: str, monitors: int, in_place: Optional[bool]
) -> None:
    """A restart where it is, as long as the count stays below it; 0 and none are endless."""
    meta = pairs("meta_attributes", migration_threshold=threshold) if threshold else ""
    operations = "".join(monitor(f"{number + 10}s") for number in range(monitors))
    assert of(primitive("ip", meta, operations)).in_place is in_place


def test_a_member_has_what_its_group_and_the_defaults_say() -> None:
    """The nearest one counts; the software behind the address has its own."""
    group = f"<group id='g'>{pairs('meta_attributes', migration_threshold='1')}{{}}</group>"
    own = primitive("app", pairs("meta_attributes", migration_threshold="5"), monitor())
    found = of(group.format(primitive("ip", "", monitor()) + own), behind="app")
    assert (found.in_place, found.behind_in_place) == (False, True)
    defaults = pairs("meta_attributes", migration_threshold="1")
    assert of(primitive("ip", "", monitor()), defaults=defaults).in_place is False


def test_what_a_clone_does_is_for_its_agent_to_say() -> None:
    """Nobody here knows whom Pacemaker promotes."""
    clone = f"<clone id='c'>{primitive('db', '', monitor())}</clone>"
    assert of(primitive("ip", "", monitor()) + clone, behind="db").behind_in_place is None


def test_on_fail_and_timeouts_are_the_operation_s_or_the_defaults() -> None:
    """Pacemaker's own default is 20 s, whatever the agent's metadata advise."""
    assert of(primitive("ip", "", monitor())).on_fail == "restart"
    assert of(primitive("ip", "", monitor("10s") + monitor("20s", 'on-fail="fence"'))).on_fail == "fence"
    assert of(primitive("ip", "", monitor("20s", 'on-fail="fence"'))).in_place is None
    assert of(primitive("ip")).start_timeout == DEFAULT_TIMEOUT
    assert of(primitive("ip"), operations=pairs("meta_attributes", timeout="600")).start_timeout == 600
    start = '<op id="s" name="start" interval="0" timeout="3min"/>'
    assert of(primitive("ip", "", start)).start_timeout == 180


STICKY = pairs("meta_attributes", resource_stickiness="100")


@pytest.mark.parametrize(
    ("score", "stays"), [("50", True), ("100", False), ("INFINITY", False), ("-INFINITY", True), ("+200", False)]
)
def test_a_service_stays_where_its_stickiness_outweighs_every_preference(score: str, stays: bool) -> None:
    """As when the node that it preferred is back."""
    location = f'<rsc_location id="l" rsc="ip" node="a" score="{score}"/>'
    assert of(primitive("ip", STICKY), constraints=location).stays is stays


def test_without_stickiness_it_may_go_anywhere() -> None:
    """Pacemaker then spreads resources anew when a node comes back."""
    assert not of(primitive("ip")).stays
    assert of(primitive("ip"), defaults=STICKY).stays


def test_the_stickiness_of_a_group_is_that_of_all_its_members() -> None:
    """What one of them prefers, all prefer; of a rule nobody knows whether it holds, and its score counts."""
    members = "".join(primitive(name) for name in ("ip", "fs", "app"))
    rule = '<rsc_location id="l" rsc="app"><rule id="r" score="{}"><expression id="e"/></rule></rsc_location>'
    group = f"<group id='g'>{members}</group>"
    assert of(group, defaults=STICKY, constraints=rule.format("299")).stays
    assert not of(group, defaults=STICKY, constraints=rule.format("300")).stays


def test_what_runs_with_a_promoted_instance_stays_with_it() -> None:
    """Its own stickiness does not matter."""
    colocation = '<rsc_colocation id="c" rsc="ip" with-rsc="db" with-rsc-role="Master" score="2000"/>'
    assert of(primitive("ip"), constraints=colocation).stays
    assert not of(primitive("ip"), constraints=colocation.replace("Master", "Slave")).stays
