"""A running lab with one address service under the judge's eyes, and what scenarios do to it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.cluster import NOTHING_FOUND, ClusterStatus
from vpc_lab.errors import LabError
from vpc_lab.faults import Fault
from vpc_lab.judge.expectations import AFTER_STOP
from vpc_lab.judge.recording import Recording
from vpc_lab.judge.verdict import Judge
from vpc_lab.lab import Injected, Lab
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.narrator import Narrator
from vpc_lab.traffic.analysis import Switch
from vpc_lab.waiting import eventually

# Seconds of an outage in which nothing may happen.
OUTAGE = 300.0
# Seconds within which a planned move, and a failover with fencing, have ended in a lab.
MOVED_WITHIN = 60.0
FAILED_OVER_WITHIN = 120.0
_FEEDS_EVERY = 1.0
_SETTLED_WITHIN = 60.0
# How long one node is waited for to serve everybody, before somebody asks again which one has the service.
_TRIES_FOR = 10.0
# What is told of a failover when it is over: its name, between which nodes, and when.
Seen = Callable[["Stage", str, Switch], None]


def unseen(_stage: Stage, _name: str, _switch: Switch) -> None:
    """What hears of failovers when nobody wants to."""


@dataclass(frozen=True)
class Mover:
    """What an administrator moves, and the service goes along: by default the service itself.

    `promoted`: what is moved is the promoted instance of a clone.
    """

    resource: str
    promoted: bool = False


@dataclass(frozen=True)
class Service:
    """The resource that holds the addresses. `others`: further ones, by their ids, which the audit has to know.

    `mover`: see there. `patience`: seconds that everything may take longer than in the scenarios' own configuration.
    `tolerated`: resources whose failures are not judged. `behind`: the resource whose software the address is for.
    `outage`: seconds of an outage in which nothing may happen. `after_stop`: see `Expectations`.
    `care`: what an administrator does after the service has lost a node or a role, before the cluster is whole again.
    `interval`: seconds between monitors, where they come less often than in the scenarios' own configuration.
    `start_timeout`: seconds that Pacemaker gives a start. `looks`: whether some monitor of the address looks at EC2.
    `stays`: whether it stays where it is when another node comes back; where not, that follows from the configuration.
    `in_place`: whether Pacemaker restarts the service on its node after one failure (migration-threshold); None where
    that is open. `behind_in_place`, `behind_interval`: the same of the software that the address is for. `favoured`:
    the node that is fenced last when two lose sight of each other, as its fencing alone has a delay.
    """

    resource: str
    addresses: Tuple[str, ...]
    others: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    mover: Optional[Mover] = None
    patience: float = 0.0
    tolerated: Tuple[str, ...] = ()
    behind: str = ""
    outage: float = OUTAGE
    after_stop: float = AFTER_STOP
    care: Optional[Callable[[Stage], None]] = None
    interval: float = 0.0
    start_timeout: float = 60.0
    looks: bool = True
    stays: bool = True
    in_place: Optional[bool] = None
    behind_in_place: Optional[bool] = None
    behind_interval: float = 0.0
    favoured: str = ""


class Stage:
    """What a scenario has in its hands. Every wait raises LabError, with what did not happen, when its time is over.

    `fenced` are the nodes that have to be stopped through EC2, `may_be_fenced` those that may.
    """

    def __init__(
        self,
        lab: Lab,
        recording: Recording,
        judge: Judge,
        configuration: Configuration,
        service: Service,
        voice: Narrator,
        seen: Seen = unseen,
    ) -> None:
        self.lab = lab
        self.recording = recording
        self.judge = judge
        self.configuration = configuration
        self.service = service
        self.addresses = service.addresses
        self.voice = voice
        self.resource = service.resource
        self.mover = service.mover or Mover(service.resource)
        self.nodes = tuple(lab.nodes())
        self.fenced: List[str] = []
        self.may_be_fenced: List[str] = []
        self._seen = seen

    # -- what there is ------------------------------------------------------------------------------------------

    def cluster(self) -> ClusterStatus:
        """The cluster, as the first node that can tell sees it."""
        return self.lab.wait_cluster("an answer of the cluster", lambda _: True)

    def active(self) -> str:
        """The node on which the service is started."""
        found = self.lab.wait_cluster(
            f"{self.resource} started",
            lambda now: now.where(self.resource) is not None,
            FAILED_OVER_WITHIN + self.service.patience,
        ).where(self.resource)
        if found is None:
            raise LabError(f"{self.resource} is not started on exactly one node")
        return found

    def standbys(self) -> Tuple[str, ...]:
        """The other nodes."""
        active = self.active()
        return tuple(node for node in self.nodes if node != active)

    def dc(self) -> str:
        """The node that decides for the cluster."""
        found = self.lab.wait_cluster("the election of a DC", lambda now: now.dc is not None).dc
        if found is None:
            raise LabError("the cluster has no DC")
        return found

    def history(self, *, but: str = "") -> List[str]:
        """The last start, stop, promotion and migration of the service, with the number of the call, on each node.

        Except on `but`. LabError when the cluster does not tell.
        """
        on = f"//node_state[@uname!='{but}']//lrm_resource[@id='{self.resource}']"
        path = f"{on}/lrm_rsc_op[@operation!='monitor']"
        node = self.lab.awake_node()
        done = self.lab.exec(node, ["cibadmin", "--query", "--xpath", path], check=False)
        if done.returncode not in (0, NOTHING_FOUND):
            raise LabError(f"{node} does not tell what was done to {self.resource}: {done.stderr.strip()}")
        return operations(done.stdout)

    def acted_since(self, before: Sequence[str], *, but: str = "") -> bool:
        """Whether Pacemaker has started or stopped the service since that history.

        What a node that comes back has forgotten is no action.
        """
        return not set(self.history(but=but)) <= set(before)

    def has_stopped(self, node: str) -> bool:
        """Whether the last thing done to the service on a node is a stop that has ended."""
        done = [operation.split() for operation in self.history()]
        # One that is under way has no call yet.
        return any((where, what) == (node, "stop") and call != "-1" for where, what, call, *_ in done)

    def was_stopped(self, node: str, since: float) -> bool:
        """Whether EC2 has stopped the node's instance since then, also where it has been started again."""
        return any(
            (event["kind"], event.get("instance"), event.get("state")) == ("instance-state", node, "stopped")
            for event in self.lab.events(since)
        )

    def is_fenced(self, node: str, since: float) -> bool:
        """Whether it was stopped since then, and the cluster knows it: it is gone safely, or back already."""
        now = self.lab.cluster_status()
        clean = now is not None and any(one.name == node and not one.unclean for one in now.nodes)
        return clean and self.was_stopped(node, since)

    def tables(self) -> Tuple[str, ...]:
        """The ids of the subnets' route tables."""
        return tuple(self.lab.status().route_tables)

    def lost_to(self, *nodes: str) -> Tuple[str, ...]:
        """Those of the nodes that have to be fenced when they are lost: all, in a cluster that fences."""
        return nodes if self.configuration.fencing else ()

    def is_safely_gone(self, node: str, since: float) -> bool:
        """Whether the others know that a node is off: it was fenced since then, or nobody is fenced in this cluster."""
        return self.is_fenced(node, since) if self.configuration.fencing else self._known_to_be_off(node)

    def degraded(self, text: str = "") -> bool:
        """Whether crm_mon shows the service as degraded, with `text` in the reason."""
        return any(
            entry.exit_code == 190 and entry.operation.startswith(f"{self.resource}_") and text in entry.exit_reason
            for entry in self.cluster().failures
        )

    def failed(self, node: str) -> bool:
        """Whether Pacemaker has counted a failure of the service on a node."""
        return self.cluster().fail_counts.get((node, self.resource), "0") != "0"

    # -- what is done -------------------------------------------------------------------------------------------

    def inject(self, fault: Fault) -> Injected:
        """Put a fault in force, and say so."""
        self.voice.say(f"Fault: {fault}")
        return self.lab.inject(fault)

    @contextlib.contextmanager
    def fault(self, fault: Fault) -> Iterator[Injected]:
        """A fault for the length of a `with` block."""
        injected = self.inject(fault)
        try:
            yield injected
        finally:
            self.voice.say(f"Healed: {fault}")
            injected.heal()

    def move(self, target: Optional[str] = None, *, within: float = MOVED_WITHIN, under: Optional[Fault] = None) -> str:
        """An administrator moves the service, by default to the first standby; where it was served from before.

        `under`: a fault that is in force until everybody is served. What else moves then may have to wait for its end.
        """
        old = self.active()
        awake = [node for node in self.standbys() if node in self.lab.awake_nodes()]
        if target is None and not awake:
            raise LabError(f"{self.resource} cannot be moved: no other node than {old} is awake")
        new = target or awake[0]
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.voice.step(f"Moving {self.resource} from {old} to {new}"))
            if under is not None:
                stack.enter_context(self.fault(under))
            self.recording.note("move", to=new, within=within)
            switch = Switch(old, new, time.time())
            self.ask_to_move(new)
            self.serves(new, switch.triggered, within)
        self._seen(self, "planned move", switch)
        self._let_follow()
        self.take_back()
        self.lab.settle(_SETTLED_WITHIN + self.service.patience)
        self.care()
        return old

    def _let_follow(self) -> None:
        """The address may be there before what it goes along with."""
        if self.mover.resource != self.resource:
            self.lab.settle(_SETTLED_WITHIN + self.service.patience)

    def ask_to_move(self, node: str) -> None:
        """An administrator asks Pacemaker to move the service to a node; it does so by a constraint."""
        promoted = ["--promoted"] if self.mover.promoted else []
        self.command(["crm_resource", "--move", *promoted, "--resource", self.mover.resource, "--node", node])

    def take_back(self, *, check: bool = True) -> None:
        """Take the constraint of a move back."""
        self.command(["crm_resource", "--clear", "--resource", self.mover.resource], check=check)

    def restart(self, resource: str, within: float = MOVED_WITHIN) -> None:
        """An administrator has Pacemaker restart what holds the addresses, or a further resource, where it is."""
        self.recording.note("move", within=within + self.service.patience)
        node, command = self.lab.awake_node(), ["crm_resource", "--restart", "--resource", resource]
        self.lab.exec(node, command, timeout=within + self.service.patience)

    def care(self) -> None:
        """What an administrator does afterwards, such as registering a database with its new primary."""
        if self.service.care is not None:
            self.service.care(self)

    def fails_over(
        self, fault: Fault, *, fenced: Sequence[str] = (), within: float = FAILED_OVER_WITHIN, shuts_down: bool = False
    ) -> Injected:
        """A fault takes the active node; another one serves everybody. What is in force then.

        `shuts_down`: it goes in order, and answers no question about the cluster in the end.
        """
        old = self.active()
        self.fenced += fenced
        switch = Switch(old, "", time.time())
        injected = self.inject(fault)
        with self.voice.step(f"The cluster recovers from the loss of {old}"):
            if shuts_down:
                self.wait(f"the end of {old}", lambda: old not in self.lab.powered_nodes(), within)
            new = self.taken_over(old, within)
            self.serves(new, switch.triggered, within)
            self._let_follow()
        self._seen(self, fault.name, Switch(old, new, switch.triggered))
        return injected

    def taken_over(self, old: str, within: float = FAILED_OVER_WITHIN) -> str:
        """Wait until the service is started on another node than `old`; which."""

        def elsewhere(now: ClusterStatus) -> bool:
            return now.where(self.resource) not in (None, old)

        what = f"{self.resource} started elsewhere than on {old}"
        found = self.lab.wait_cluster(what, elsewhere, within + self.service.patience)
        return str(found.where(self.resource))

    def serves(self, node: str, since: float, within: float) -> None:
        """Wait until `node` has answered every consumer over every protocol for two seconds, from `since` on."""
        within += self.service.patience
        if not self.recording.measurement.wait_steady(node, since, within):
            raise LabError(f"{node} did not serve every consumer within {within:.0f} s")

    def served(self, within: float = FAILED_OVER_WITHIN) -> str:
        """Wait until one node, whichever Pacemaker chooses, has answered every consumer for two seconds; which."""
        within += self.service.patience
        until = time.monotonic() + within
        while time.monotonic() < until:
            node = self.active()
            left = until - time.monotonic()
            if self.recording.measurement.wait_steady(node, time.time(), min(_TRIES_FOR, left)):
                return node
        raise LabError(f"no node has served every consumer within {within:.0f} s")

    def may_move(self, within: float = MOVED_WITHIN) -> None:
        """A node comes back: where the service is not to stay, a move of it is nobody's fault."""
        if not self.service.stays:
            self.recording.note("move", within=within + self.service.patience)

    def stays_on(self, node: str) -> None:
        """The service is on that node still, although another one came back; unless its configuration has it move."""
        if self.service.stays and (found := self.active()) != node:
            raise LabError(f"the service went from {node} to {found} by itself")
        if not self.service.stays:
            self.served()

    def command(self, argv: Sequence[str], *, check: bool = True) -> str:
        """Run a command on a node that is awake; what it printed."""
        return self.lab.exec(self.lab.awake_node(), argv, check=check).stdout

    def watch(self, seconds: float) -> None:
        """Let the lab be for so long, and have judged what happens meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            threading.Event().wait(min(left, _FEEDS_EVERY))
            self.judge.feed(*self.recording.advance())

    def wait(self, what: str, condition: Callable[[], object], within: float = FAILED_OVER_WITHIN) -> None:
        """Wait until a condition holds."""
        eventually(what, lambda: bool(condition()), within + self.service.patience, every=0.2)

    def unchanged(self, seconds: float) -> None:
        """For so long the cluster does nothing to the service but look. LabError where it did."""
        before = self.history()
        self.watch(seconds)
        if self.acted_since(before):
            raise LabError(f"Pacemaker has started or stopped {self.resource} although nothing called for it")

    def power_on_all(self, within: float = FAILED_OVER_WITHIN) -> None:
        """Give every node power, each as soon as the others know that it is off.

        As an administrator does: a node that is switched on while it is being fenced keeps `fence_aws` waiting for its
        end.
        """
        for name in self.nodes:
            if name not in self.lab.powered_nodes():
                self.wait(f"the others to know that {name} is off", partial(self._may_have_power, name), within)
                self.lab.power_on(name)

    def all_online(self, within: float = FAILED_OVER_WITHIN) -> None:
        """Give every node power, also those that are fenced only now, and wait until all are online.

        A fencing that is decided is carried out, also where its node is a member again meanwhile.
        """
        until = time.monotonic() + within
        while True:
            left = until - time.monotonic()
            self.power_on_all(max(left, _TRIES_FOR))
            try:
                now = self.lab.wait_online(*self.nodes, within=min(_TRIES_FOR, max(left, 0.0)))
                if not now.fencing:
                    return
                self.lab.wait_cluster("the end of every fencing", lambda now: not now.fencing, max(left, 0.0))
            except LabError:
                if left <= 0:
                    raise

    def _known_to_be_off(self, name: str) -> bool:
        if not self.lab.awake_nodes():
            return True
        now = self.lab.cluster_status()
        return now is not None and any(node.name == name and not node.online and not node.unclean for node in now.nodes)

    def _may_have_power(self, name: str) -> bool:
        """Whether nobody is going to fence a node: the others know that it is off, or have no quorum to fence with.

        A node of two that boots alone has no quorum until it has seen the other one (corosync's wait_for_all).
        """
        if self._known_to_be_off(name):
            return True
        now = self.lab.cluster_status()
        return now is not None and now.dc is not None and not now.quorum

    def restore(self, within: float = FAILED_OVER_WITHIN) -> None:
        """Heal everything, give every node power, take constraints back, and wait until one node serves everybody."""
        with self.voice.step("Healing everything, and waiting for the cluster to be whole"):
            self.may_move(within)
            self.lab.heal()
            self.all_online(within)
            self.take_back(check=False)
            self.served(within)
            # A fencing that was decided before everything was healed may have been carried out meanwhile.
            self.all_online(within)
            self.care()


def operations(text: str) -> List[str]:
    """What identifies each operation in that part of a CIB: node, operation, number of the call, exit code.

    The rest of an entry changes when a new DC gathers what the nodes have done.
    """
    found = []
    for entry in re.findall(r"<lrm_rsc_op .*?>", text, re.DOTALL):
        about = dict(re.findall(r'([\w-]+)="([^"]*)"', entry))
        found.append(" ".join(about.get(name, "") for name in ("on_node", "operation", "call-id", "rc-code")))
    return sorted(found)
