"""The catalogue: what befalls clusters, and what consumers may notice of it.

Each function plays one scenario on a `Stage`; its name and docstring are the scenario's. What may happen beside an
answer to every question is declared with it; the judge finds everything else.
"""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import List, Mapping, Tuple

from vpc_lab.errors import LabError
from vpc_lab.examples import NETWORK_ACCOUNT, NETWORK_ROLE_ARN
from vpc_lab.faults import (
    AccessDenied,
    AddressRemoved,
    AddressTaken,
    AnswersLost,
    ApiError,
    Crash,
    EniDetached,
    Fault,
    Freeze,
    GracefulStop,
    Hang,
    Imds,
    Partition,
    Reboot,
    RouteChanged,
    RouteDeleted,
    RouteTableDeleted,
    RulesRemoved,
    ServerError,
    Slow,
    SourceDestCheck,
    StuckDetach,
    Throttled,
    Unreachable,
)
from vpc_lab.judge.expectations import Allowance
from vpc_lab.lab import Lab
from vpc_lab.scenarios.configuration import OURS, Configuration
from vpc_lab.scenarios.scenario import INFINITY, Catalogue
from vpc_lab.scenarios.stage import MOVED_WITHIN, Stage
from vpc_lab.settings import Settings
from vpc_lab.topology import Mode

CATALOGUE = Catalogue()
scenario = CATALOGUE.scenario

# Seconds that a failover may take: detection, fencing by EC2, start.
LOST = 30.0
# Until a change behind the cluster's back is mended: for a minute after its own write the agent does not believe a read
# that contradicts it, and then a monitor comes.
MENDED = 100.0
MINUTE = 60.0
# Long enough for two monitors at level 10: they come every seven seconds, and wait eight for EC2.
TWO_MONITORS = 20.0
# How many there are, each of which can find the same failure.
MONITORS = 2
# What moves an address in EC2, by mode.
WRITES: Mapping[Mode, str] = {
    "overlay-ip": "*Route",
    "eni": "AttachNetworkInterface",
    "private-ip": "AssignPrivateIpAddresses",
}


@scenario(allowances=(Allowance("crash", LOST),), restores=False, fences=True)
def demonstration(stage: Stage) -> None:
    """A planned move, then the active node loses its power and is fenced by the other one: what `lab demo` shows."""
    old, new = stage.active(), stage.standbys()[0]
    stage.voice.say(f"{stage.resource} holds {', '.join(stage.addresses)} on {old}; {new} stands by.")
    stage.voice.heading(f"A planned move: crm_resource --move --resource {stage.resource} --node {new}")
    stage.move()
    stage.voice.heading(f"A failure: {new} loses its power")
    stage.voice.say(
        f"{old} cannot know whether {new} is dead or only out of sight. It has to fence it, through EC2's API,"
        " before it may take the address."
    )
    stage.fails_over(Crash(new), fenced=[new])


# -- moves and losses --------------------------------------------------------------------------------------------------


@scenario()
def planned_move(stage: Stage) -> None:
    """An administrator moves the service to another node, and back."""
    old = stage.move()
    stage.move(old)


@scenario(modes=("overlay-ip",), agents=(OURS,), grace=2.0, configure=lambda one: replace(one, make_before_break=True))
def make_before_break(stage: Stage) -> None:
    """A planned move in which the new node takes the address before the old one lets go: nobody waits."""
    old = stage.move()
    stage.move(old)


@scenario(allowances=(Allowance("crash", LOST, healed=0.0),))
def crash_of_the_active_node(stage: Stage) -> None:
    """The power of the active node fails: another one fences it and takes over; when it is back nothing moves."""
    old = stage.active()
    lost = stage.fails_over(Crash(old), fenced=stage.lost_to(old))
    new = stage.active()
    stage.may_move()
    lost.heal()
    stage.lab.wait_online()
    stage.watch(3.0)
    stage.stays_on(new)


@scenario()
def crash_of_a_standby(stage: Stage) -> None:
    """The power of a standby fails: it is fenced, and consumers notice nothing; nor do they when it is back."""
    lost = stage.standbys()[-1]
    stage.fenced += stage.lost_to(lost)
    comes_and_goes(stage, lost)


@scenario(nodes=(3,))
def crash_of_the_dc(stage: Stage) -> None:
    """The node that decides for the cluster loses its power, and the service is elsewhere: consumers notice nothing."""
    lost = stage.dc()
    if stage.active() == lost:
        stage.move()
    stage.fenced += stage.lost_to(lost)
    comes_and_goes(stage, lost)


def comes_and_goes(stage: Stage, lost: str) -> None:
    """A node without the service loses its power and gets it back; its agent looks, and does nothing to the others."""
    before, since = stage.history(but=lost), time.time()
    with stage.fault(Crash(lost)):
        stage.wait(f"the others to know that {lost} is off", lambda: stage.is_safely_gone(lost, since))
        stage.unchanged(3.0)
        stage.may_move()
    stage.all_online()
    stage.watch(5.0)
    if not stage.service.stays:
        stage.served()
    elif stage.acted_since(before, but=lost):
        raise LabError(f"Pacemaker has started or stopped {stage.resource} because {lost} is back")


@scenario(allowances=(Allowance("graceful-stop", LOST, healed=0.0),))
def graceful_stop_of_the_active_node(stage: Stage) -> None:
    """An administrator stops the active node's instance: the address is let go of in order, and nobody is fenced."""
    old, since = stage.active(), time.time()
    # The audit counts every StopInstances, the administrator's too.
    stage.may_be_fenced.append(old)
    stopped = stage.fails_over(GracefulStop(old), shuts_down=True)
    new = stage.active()
    stage.may_move()
    stopped.heal()
    stage.all_online()
    stage.watch(3.0)
    fencing = [one["caller"] for one in stage.lab.calls(since) if one["action"] == "StopInstances"]
    if set(fencing) & set(stage.nodes):
        raise LabError(f"{old}, which shut down in order, was fenced")
    stage.stays_on(new)


@scenario(allowances=(Allowance("freeze", LOST, healed=0.0),), fences=True)
def freeze_of_the_active_node(stage: Stage) -> None:
    """The active node stands still, and EC2 calls it running: it is fenced before another one takes over."""
    relieved(stage, kernel=True)


@scenario(allowances=(Allowance("freeze", LOST, healed=0.0),), fences=True)
def hang_of_the_active_node(stage: Stage) -> None:
    """Every process of the active node hangs, and its kernel goes on answering pings: it is fenced all the same."""
    relieved(stage, kernel=False)


def relieved(stage: Stage, *, kernel: bool) -> None:
    """The active node freezes; its ENI, if it is one that moves, is taken by force at once: the instance is stopped."""
    old, since = stage.active(), time.time()
    stage.fails_over(Freeze(old, kernel), fenced=[old])
    if any(not by_force for _, by_force in detachments(stage, since)):
        raise LabError(f"{old} was stopped, and asked for its ENI as if it could still let go of it")


def detachments(stage: Stage, since: float) -> List[Tuple[str, bool]]:
    """Who has asked EC2 since then to detach an ENI, and whether by force."""
    return [
        (call["caller"], call["parameters"].get("Force") == "true")
        for call in stage.lab.calls(since)
        if call["action"] == "DetachNetworkInterface"
    ]


@scenario(
    modes=("overlay-ip",),
    allowances=(Allowance("freeze", LOST),),
    configure=lambda one: replace(one, fencing=False),
)
def freeze_and_thaw_without_fencing(stage: Stage) -> None:
    """The active node stands still in a cluster without fencing, another one takes over, and it wakes up again.

    It still has the address then, and no route leads there any more.
    """
    old = stage.active()
    frozen = stage.fails_over(Freeze(old))
    frozen.heal()
    stage.lab.wait_online()
    stage.watch(5.0)


@scenario(allowances=(Allowance("partition", LOST),), fences=True)
def split_brain(stage: Stage) -> None:
    """The active node and the others lose sight of each other: one side is fenced, and only the other one answers."""
    active, since = stage.active(), time.time()
    stage.may_be_fenced += stage.nodes
    standbys = stage.standbys()
    if len(standbys) > 1:  # they are the majority, and the active node has no quorum to fence anybody
        stage.fenced.append(active)
    cuts = [stage.inject(Partition(active, other)) for other in standbys]
    one_side_is_left(stage, since)
    favoured = stage.service.favoured
    if favoured and stage.was_stopped(favoured, since):
        raise LabError(f"{favoured} was stopped, although the others wait before they fence it, and it does not wait")
    stage.active()
    for cut in cuts:
        cut.heal()


@scenario(allowances=(Allowance("partition", LOST),), fences=True)
def one_way_partition(stage: Stage) -> None:
    """Packets of the active node no longer reach the others, which it hears: one side is fenced."""
    active, since = stage.active(), time.time()
    stage.may_be_fenced += stage.nodes
    cuts = [stage.inject(Partition(active, other, one_way=True)) for other in stage.standbys()]
    one_side_is_left(stage, since)
    stage.active()
    for cut in cuts:
        cut.heal()


def one_side_is_left(stage: Stage, since: float) -> None:
    """Wait until one side of a partition that began at `since` is fenced: the active node, or all others."""

    def stopped() -> List[str]:
        return [node for node in stage.nodes if stage.was_stopped(node, since)]

    def nobody_is_left() -> bool:
        return not stage.lab.awake_nodes()

    stage.wait("the fencing of one side", lambda: len(stopped()) in (1, len(stage.nodes) - 1) or nobody_is_left())
    for node in stopped():
        stage.wait(
            f"the fencing of {node}",
            lambda node=node: nobody_is_left() or stage.is_fenced(node, since),  # type: ignore[misc]
        )
    if nobody_is_left():
        raise LabError(
            "both sides were stopped: each fenced the other, as can happen where neither waits (pcmk_delay_base on one"
            " node's fencing, pcmk_delay_max, priority-fencing-delay)"
        )


@scenario(allowances=(Allowance("reboot", MINUTE, healed=0.0),))
def rolling_restart(stage: Stage) -> None:
    """Every node is rebooted, one after the other, as for an update: the standbys first."""
    for node in (*stage.standbys(), stage.active()):
        stage.may_move(2 * MINUTE)
        with stage.fault(Reboot(node)):
            stage.wait(f"the return of {node}", lambda node=node: not stage.lab.faults())  # type: ignore[misc]
        stage.lab.wait_online(*stage.nodes)
        stage.active()


# -- outages -----------------------------------------------------------------------------------------------------------


@scenario()
def outage_of_ec2_while_healthy(stage: Stage) -> None:
    """EC2's API is unreachable for five minutes: nothing is moved, restarted or fenced, nobody notices anything."""
    with stage.fault(Unreachable()):
        stage.unchanged(stage.service.outage)
    stage.unchanged(10.0)


@scenario(looks=True)
def refusals_of_ec2_while_healthy(stage: Stage) -> None:
    """EC2 throttles every read, then denies it, fails, and does not answer, each for two monitors: nothing happens.

    crm_mon shows what was wrong until somebody has it forgotten, and then no more.
    """
    # Where monitors come less often than in the lab's own configuration, one of them has to do.
    monitors = max(TWO_MONITORS, stage.service.interval + 10.0)
    refusals: Tuple[Fault, ...] = (
        ApiError("RequestLimitExceeded", action="Describe*"),
        ApiError("UnauthorizedOperation", action="Describe*"),
        ServerError(action="Describe*"),
        Hang(action="Describe*"),
    )
    for refusal in refusals:
        with stage.fault(refusal):
            stage.unchanged(monitors)
    if stage.configuration.agent == OURS and not stage.degraded():
        raise LabError("crm_mon does not show that EC2 refused every read")
    stage.lab.forget_failures(stage.resource)
    stage.unchanged(monitors)
    if stage.degraded():
        raise LabError("crm_mon shows a refusal although EC2 answers")


@scenario()
def outage_of_instance_metadata_while_healthy(stage: Stage) -> None:
    """Instance metadata is silent on every node for a minute: nothing happens."""
    faults = [stage.inject(Imds(node, "silent")) for node in stage.nodes]
    stage.unchanged(MINUTE)
    for fault in faults:
        fault.heal()
    stage.unchanged(10.0)


@scenario(
    allowances=(Allowance("unreachable", 2 * MINUTE, throughout=True), Allowance("crash", 2 * MINUTE)), fences=True
)
def outage_of_ec2_during_a_failover(stage: Stage) -> None:
    """The active node loses its power while EC2 is unreachable: nobody takes over until EC2 can tell that it is off."""
    old = stage.active()
    stage.fenced.append(old)
    outage = stage.inject(Unreachable())
    stage.inject(Crash(old))
    stage.watch(20.0)
    outage.heal()
    stage.taken_over(old)
    stage.served(MINUTE)


@scenario(allowances=(Allowance("hang", 2 * MINUTE), Allowance("crash", 2 * MINUTE, healed=0.0)), fences=True)
def hang_of_ec2_during_a_failover(stage: Stage) -> None:
    """The active node is lost, and EC2 takes the writes of the address and answers none: they are made once it does."""
    old, since, writes = stage.active(), time.time(), writes_of(stage)
    stage.fenced.append(old)
    hang = stage.inject(Hang(action=writes))
    stage.inject(Crash(old))
    stage.wait(f"a call of {writes}", lambda: any(fnmatchcase(one["action"], writes) for one in stage.lab.calls(since)))
    stage.watch(min(10.0, stage.service.start_timeout / 4))
    hang.heal()
    stage.taken_over(old)
    stage.served(MINUTE)


@scenario()
def answers_lost_after_the_write(stage: Stage) -> None:
    """EC2 moves the address and its answers never arrive: the agent asks again, and the move is what it always is."""
    since = time.time()
    with stage.fault(AnswersLost(action=writes_of(stage), times=2)):
        old = stage.move(within=2 * MINUTE)
    if not any(one["outcome"] == "fault:close" for one in stage.lab.calls(since)):
        raise LabError("no answer was lost")
    stage.move(old)


@scenario(allowances=(Allowance("unreachable", 2 * MINUTE, throughout=True),), fail_counts=INFINITY)
def outage_of_ec2_during_a_planned_move(stage: Stage) -> None:
    """The service is moved while EC2 is unreachable: it is stopped cleanly, and started as soon as EC2 is back."""
    old = stage.active()
    new = stage.standbys()[0]
    with stage.fault(Unreachable()):
        stage.recording.note("move", to=new, within=2 * MINUTE)
        stage.ask_to_move(new)
        # While it is being stopped it is nowhere already: only what Pacemaker has noted down is done.
        stage.wait("the end of the stop", lambda: stage.has_stopped(old), MINUTE)
        stage.watch(15.0)
    stage.take_back()
    stage.lab.forget_failures(stage.resource)
    stage.served(2 * MINUTE)


@scenario(allowances=(Allowance("unreachable", 2 * MINUTE, throughout=True),), looks=True)
def stop_during_an_outage_of_ec2(stage: Stage) -> None:
    """EC2 is unreachable: crm_mon shows it, a new probe finds the service where it is, and a stop ends well."""
    active = stage.active()
    with stage.fault(Unreachable()):
        shown(stage, "the outage", within=MINUTE)
        stage.command(["crm_resource", "--refresh", "--resource", stage.resource])
        stage.lab.settle()
        if stage.active() != active:
            raise LabError(f"a new probe has not found {stage.resource} on {active}")
        target = ["crm_resource", "--resource", stage.resource, "--meta"]
        stage.command([*target, "--set-parameter", "target-role", "--parameter-value", "Stopped"])
        stage.lab.settle()
        if stage.cluster().where(stage.resource) is not None:
            raise LabError(f"{stage.resource} is not stopped")
    stage.command([*target, "--delete-parameter", "target-role"])
    stage.served(MINUTE)


@scenario()
def move_away_from_a_node_without_ec2(stage: Stage) -> None:
    """The active node does not reach EC2, and the service is moved: its stop ends well, the other node takes over."""
    stage.move(within=2 * MINUTE, under=Partition(stage.active(), "api"))


@scenario(modes=("eni",), agents=(OURS,))
def detachment_that_sticks(stage: Stage) -> None:
    """EC2 never ends a plain detachment: the old node asks for it in a move, the new one by force after a while."""
    since = time.time()
    with stage.fault(StuckDetach()):
        old = stage.move(within=2 * MINUTE)
    asked, new = detachments(stage, since), stage.active()
    if asked != [(old, False), (new, True)]:
        raise LabError(f"the ENI was detached in another way than by {old}, and then by force by {new}: {asked}")


# -- changes behind the cluster's back ---------------------------------------------------------------------------------


def mended(stage: Stage) -> None:
    """The service goes on where it is, and serves everybody again without a restart."""
    before, active = stage.history(), stage.active()
    stage.serves(active, time.time(), MENDED + stage.service.interval)
    if stage.acted_since(before):
        raise LabError("Pacemaker has restarted the service, where a repair in place would have done")


DRIFT = (Allowance("route-*", MENDED), Allowance("source-dest-check", MENDED))


@scenario(modes=("overlay-ip",), allowances=DRIFT, looks=True)
def route_changed(stage: Stage) -> None:
    """Somebody points the routes of every table at another node: they lead back, and the service is not restarted."""
    for address in stage.addresses:
        stage.inject(RouteChanged(_host(address), stage.standbys()[0]))
    mended(stage)


@scenario(modes=("overlay-ip",), allowances=DRIFT, looks=True)
def route_deleted(stage: Stage) -> None:
    """Somebody deletes the route of one table: it is there again, and the service is not restarted."""
    stage.inject(RouteDeleted(_host(stage.addresses[0]), stage.tables()[-1]))
    mended(stage)


@scenario(modes=("private-ip",), allowances=(Allowance("address-taken", MENDED),), looks=True)
def address_taken(stage: Stage) -> None:
    """Somebody assigns the address to another instance: it comes back, and the service is not restarted."""
    stage.inject(AddressTaken(stage.standbys()[0], stage.addresses[0]))
    mended(stage)


@scenario(modes=("eni",), allowances=(Allowance("eni-detached", MINUTE),), fail_counts=MONITORS)
def eni_detached(stage: Stage) -> None:
    """Somebody detaches the service's ENI: Pacemaker recovers the service, which attaches it again."""
    active = stage.active()
    stage.inject(EniDetached())
    stage.wait("a failed monitor", lambda: stage.failed(active), MINUTE + stage.service.interval)
    stage.served(MINUTE)
    recovered_as_configured(stage, active)


@scenario(
    modes=("overlay-ip",),
    allowances=(Allowance("route-table-deleted", MENDED, throughout=True),),
    looks=True,
)
def route_table_deleted(stage: Stage) -> None:
    """A route table is deleted: crm_mon shows it, and who has other tables is served without an interruption."""
    table = stage.tables()[-1]
    before = stage.history()
    with stage.fault(RouteTableDeleted(table)):
        shown(stage, "the table", table, MENDED)
        if stage.acted_since(before):
            raise LabError("Pacemaker has restarted the service for a table that is gone")
    stage.served(MENDED + stage.service.interval)


@scenario(modes=("overlay-ip",), allowances=DRIFT, looks=True)
def source_destination_check_switched_on(stage: Stage) -> None:
    """Somebody switches the source/destination check of the active node on: it is off again."""
    stage.inject(SourceDestCheck(stage.active()))
    mended(stage)


@scenario(allowances=(Allowance("address-removed", MINUTE),), fail_counts=MONITORS)
def local_address_removed(stage: Stage) -> None:
    """Some daemon takes the address off the active node's interface: Pacemaker recovers the service."""
    active = stage.active()
    stage.inject(AddressRemoved(active, stage.addresses[0]))
    stage.wait("a failed monitor", lambda: stage.failed(active), MINUTE + stage.service.interval)
    stage.served(MINUTE)
    recovered_as_configured(stage, active)


def recovered_as_configured(stage: Stage, old: str) -> None:
    """After one failure the service is where its migration-threshold has it, as far as that is clear."""
    new, in_place = stage.active(), stage.service.in_place
    if in_place is not None and in_place != (new == old):
        wanted = f"restarted on {old}" if in_place else f"moved away from {old}"
        raise LabError(f"{stage.resource} was to be {wanted} after one failure, and is on {new}")


@scenario(modes=("eni",), agents=(OURS,), allowances=(Allowance("rules-removed", MINUTE),), fail_counts=MONITORS)
def routing_rules_removed(stage: Stage) -> None:
    """Some daemon removes the routing policy rules of the service's ENI: they are there again."""
    active = stage.active()
    stage.inject(RulesRemoved(active))
    stage.wait("a failed monitor", lambda: stage.failed(active), MINUTE + stage.service.interval)
    stage.served(MINUTE)


@scenario(modes=("overlay-ip",), allowances=(Allowance("access-denied", MENDED, throughout=True),))
def denied_on_one_table(stage: Stage) -> None:
    """The role may not write to one table during a move: all others are served, crm_mon says which one is not.

    Where no monitor looks at EC2, nobody says so, and the next start mends it.
    """
    old, table = stage.active(), stage.tables()[-1]
    new = stage.standbys()[0]
    with stage.fault(AccessDenied("*Route", table)):
        stage.recording.note("move", to=new, within=MOVED_WITHIN)
        stage.ask_to_move(new)
        stage.taken_over(old)
        if stage.service.looks:
            shown(stage, "the table", table, MENDED)
        else:
            stage.lab.settle(MINUTE + stage.service.patience)
    stage.take_back()
    if stage.service.looks:
        stage.serves(new, time.time(), MENDED + stage.service.interval)
    else:  # started anew it may go to another node, as an ASCS follows its ERS
        stage.restart(stage.resource)
        for resource, addresses in stage.service.others.items():  # one that changed its node meanwhile was refused, too
            if stage.lab.status().torn(addresses):
                stage.restart(resource)
        stage.served()


@scenario(modes=("overlay-ip",), allowances=(Allowance("route-changed", MENDED, throughout=True),))
def maintenance_mode_with_a_route_moved_by_hand(stage: Stage) -> None:
    """In maintenance mode an administrator moves a route by hand: it stays so until Pacemaker manages the service.

    Where no monitor looks at EC2, who has moved it moves it back before.
    """
    active, destination = stage.active(), _host(stage.addresses[0])
    before = stage.history()
    stage.command(["crm_attribute", "--name", "maintenance-mode", "--update", "true"])
    try:
        moved = stage.inject(RouteChanged(destination, stage.standbys()[0]))
        stage.watch(20.0)
        led = set(stage.lab.status().routes[stage.addresses[0]].values())
        if led != {stage.standbys()[0]}:
            raise LabError(f"the route was written in maintenance mode: it leads to {', '.join(map(str, led))}")
        if not stage.service.looks:
            moved.heal()
    finally:
        stage.command(["crm_attribute", "--name", "maintenance-mode", "--delete"])
    stage.serves(active, time.time(), MENDED + stage.service.interval)
    if stage.acted_since(before):
        raise LabError(f"Pacemaker has restarted {stage.resource} for a route that was moved by hand")


# -- size, and other networks ------------------------------------------------------------------------------------------

TEN = tuple(f"192.168.10.{number}" for number in range(21, 31))


@scenario(
    modes=("overlay-ip",),
    agents=(OURS,),
    allowances=(Allowance("crash", MINUTE, healed=0.0),),
    configure=lambda one: replace(one, addresses=TEN),
    settings=lambda one: replace(one, overlays=TEN),
    fences=True,
)
def ten_addresses_under_throttling(stage: Stage) -> None:
    """Ten addresses fail over while somebody else uses most of EC2's write quota."""
    old = stage.active()
    with stage.fault(Throttled(load=3.0)):
        stage.fails_over(Crash(old), fenced=[old])


@scenario(
    modes=("overlay-ip",),
    allowances=(Allowance("crash", MINUTE, healed=0.0),),
    settings=lambda one: replace(one, extra_route_tables=18),
    configure=lambda one: replace(one, start_timeout=180),
    fences=True,
)
def twenty_route_tables(stage: Stage) -> None:
    """The address is in twenty route tables, and its node loses its power."""
    old = stage.active()
    stage.fails_over(Crash(old), fenced=[old])


def _with_ipv6(configuration: Configuration) -> Configuration:
    address = "@OVERLAY_IPV6@" if configuration.mode == "overlay-ip" else "@PRIVATE_IPV6@"
    return replace(configuration, addresses=(address,))


@scenario(
    modes=("overlay-ip", "private-ip"),
    agents=(OURS,),
    allowances=(Allowance("crash", LOST, healed=0.0),),
    configure=_with_ipv6,
    fences=True,
)
def ipv6(stage: Stage) -> None:
    """An IPv6 address: a planned move, then the node loses its power."""
    stage.move()
    old = stage.active()
    stage.fails_over(Crash(old), fenced=[old])


def _shared(settings: Settings) -> Settings:
    return replace(settings, shared_vpc_owner=NETWORK_ACCOUNT)


def _with_role(configuration: Configuration) -> Configuration:
    role = (("routing_table_role", NETWORK_ROLE_ARN),)
    return replace(configuration, parameters=(*configuration.parameters, *role))


@scenario(
    modes=("overlay-ip",),
    allowances=(Allowance("crash", LOST, healed=0.0),),
    settings=_shared,
    configure=_with_role,
    prepare=Lab.lend_role,
    fences=True,
)
def shared_vpc(stage: Stage) -> None:
    """The route tables belong to another account, whose role is assumed: a planned move, then a crash."""
    stage.move()
    old = stage.active()
    stage.fails_over(Crash(old), fenced=[old])


# -- the agent's own process -------------------------------------------------------------------------------------------


@scenario(allowances=(Allowance("slow", MINUTE, throughout=True),), fail_counts=INFINITY)
def killed_at_every_step_of_a_start(stage: Stage) -> None:
    """The agent's process is killed with SIGKILL during each of its calls to EC2 in a start: Pacemaker recovers."""
    since = time.time()
    stage.move()
    for action in actions_of(stage, stage.active(), since):
        killed_during(stage, action)


def killed_during(stage: Stage, action: str) -> None:
    """The service is moved, and the agent killed during that call of its start, if it makes one; it is served again."""
    since, old = time.time(), stage.active()
    new = stage.standbys()[0]
    slow = stage.inject(Slow(20.0, action=action, caller=new))
    stage.recording.note("move", to=new, within=2 * MINUTE)
    stage.ask_to_move(new)
    stage.wait(
        f"{action} of the start on {new}, or its end",
        lambda: under_way(stage, action, new, since) or stage.cluster().where(stage.resource) == new,
    )
    # A start makes some calls only where they are needed: the first one on a node may have done it for good.
    called = under_way(stage, action, new, since)
    kill_agents(stage, new)
    slow.heal()
    stage.take_back()
    stage.lab.forget_failures(stage.resource, MINUTE + stage.service.patience)
    how = f"Killed during {action}" if called else f"Started without {action}"
    stage.voice.say(f"{how}; the service, which was on {old}, is on {stage.active()}")
    stage.served(MINUTE)


def actions_of(stage: Stage, node: str, since: float) -> Tuple[str, ...]:
    """What the node has called of EC2 since then, each operation once, in order."""
    called = [call["action"] for call in stage.lab.calls(since) if call["caller"] == node]
    return tuple(dict.fromkeys(action for action in called if not action.startswith("StopInstances")))


def under_way(stage: Stage, action: str, node: str, since: float) -> bool:
    """Whether a call of the node has been read and not been answered."""
    calls = stage.lab.calls(since)
    return any(
        fnmatchcase(call["action"], action) and (call["caller"], call["outcome"]) == (node, "pending") for call in calls
    )


def kill_agents(stage: Stage, node: str) -> None:
    """SIGKILL to the agent's processes for the service on a node, by their pids; to those of no other resource."""
    listed = stage.lab.exec(node, ["ps", "-e", "-o", "pid=,args="]).stdout.splitlines()
    for line in listed:
        pid, _, command = line.strip().partition(" ")
        if "/resource.d/" in command:
            environment = stage.lab.exec(node, ["cat", f"/proc/{pid}/environ"], check=False).stdout
            if f"OCF_RESOURCE_INSTANCE={stage.resource}" in environment.split("\0"):
                stage.lab.exec(node, ["kill", f"-{signal.SIGKILL.value}", pid], check=False)


def shown(stage: Stage, what: str, text: str = "", within: float = MINUTE) -> None:
    """Wait until crm_mon shows the service as degraded; the peer, which knows no such state, is watched."""
    if stage.configuration.agent == OURS:
        stage.wait(f"crm_mon showing {what}", lambda: stage.degraded(text), within + stage.service.interval)
    else:
        stage.watch(TWO_MONITORS)


def writes_of(stage: Stage) -> str:
    """The calls that move the address in EC2, as a pattern."""
    return WRITES[stage.configuration.mode]


def _host(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"
