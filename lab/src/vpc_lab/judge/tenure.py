"""Who may answer when. Pure.

A node becomes the *tenant* of an address with its first answer after a start of the agent there. From that answer on
the tenant before answers nobody until it is started again; where a move makes before it breaks, it may for `grace`
seconds. Times are the responders' own stamps. The kernel, which answers ICMP, does not stamp: such an answer was given
between the times at which the question was sent and the answer received, so that a tenancy begins at the latter and an
answer is held against its node at the former. Questions that overtake each other are therefore no violation.

Nor does a node answer that has not started the agent since it was switched on, whose last stop had ended well, that EC2
calls `stopped`, or that nobody knows. Starts and stops are not known of an address without a resource: there any node
may take over once. Nor are those of a node whose log is full (`disk-full NODE log`): until its log goes on, it may
answer as if it had been started, unless another node holds the address that has not been stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Set, Tuple

from vpc_lab.judge.disturbances import change_of
from vpc_lab.judge.expectations import AFTER_STOP
from vpc_lab.judge.record import STARTS, Asked, Event, Header, Item, Operation
from vpc_lab.judge.violations import Violations, shown_by


@dataclass
class _Claim:
    """What one node has to do with one address."""

    started: Optional[float] = None
    stopped: Optional[float] = None
    # By whom it was succeeded, and when that one first answered.
    successor: Optional[Tuple[str, float]] = None


class Tenure:
    """Judges the answers of a run that is fed in order of time."""

    def __init__(
        self, header: Header, found: Violations, *, grace: float = 0.0, after_stop: float = AFTER_STOP
    ) -> None:
        self._header = header
        self._found = found
        self._grace = grace
        self._after_stop = after_stop
        self._held = frozenset(address for held in header.resources.values() for address in held)
        self._claims: Dict[Tuple[str, str], _Claim] = {}
        self._tenants: Dict[str, str] = {}
        self._stopped_since: Dict[str, float] = {}
        # The nodes without power.
        self._off: Set[str] = set()
        # Nodes whose log is full, or was until a time after which it has not been seen to go on.
        self._unlogged: Dict[str, Optional[float]] = {}
        # How often the tenant of an address changed.
        self.moves = 0

    def tenant(self, address: str) -> Optional[str]:
        """Who holds the address, as far as its answers tell."""
        return self._tenants.get(address)

    def feed(self, item: Item) -> None:
        """Judge what comes next."""
        if isinstance(item, Asked):
            self._judge(item)
        elif isinstance(item, Operation):
            healed = self._unlogged.get(item.node)
            if healed is not None and item.time > healed:
                del self._unlogged[item.node]
            for address in self._header.resources.get(item.resource, ()):
                claim = self._claim(address, item.node)
                if item.action in STARTS and item.exit_code is None:
                    claim.started, claim.stopped, claim.successor = item.time, None, None
                elif item.action == "stop" and item.exit_code == 0:
                    claim.stopped = item.time
        else:
            self._hear(item)

    def _hear(self, event: Event) -> None:
        change = change_of(event)
        if change is not None and change.name == "disk-full" and change.parameters.get("where") == "log":
            for node in set(change.parameters.values()) & set(self._header.nodes):
                self._unlogged[node] = None if change.begins else event.time
        if event.kind == "instance-state":
            if event.about["state"] == "stopped":
                self._stopped_since[event.about["instance"]] = event.time
            else:
                self._stopped_since.pop(event.about["instance"], None)
        elif event.kind == "power-off":
            self._off.add(str(event.about.get("instance")))
        elif event.kind == "power-on":
            self._off.discard(str(event.about.get("instance")))
            # What ran there before has ended with the power.
            for address in self._held:
                self._claim(address, str(event.about.get("instance"))).started = None

    def _claim(self, address: str, node: str) -> _Claim:
        return self._claims.setdefault((address, node), _Claim())

    def _judge(self, asked: Asked) -> None:
        node = asked.question.node
        if node is None:
            return
        reason = self._reason_against(asked, node)
        if reason is not None:
            rule, why = reason
            over = asked.question.protocol.upper()
            self._found.add(
                shown_by(asked, rule, f"{node} answered {asked.consumer} at {asked.address} over {over} {why}.")
            )
            return
        before = self._tenants.get(asked.address)
        if node != before and self._claim(asked.address, node).successor is None:
            self._tenants[asked.address] = node
            if before is not None:
                self.moves += 1
                self._claim(asked.address, before).successor = (node, asked.question.not_after)

    def _reason_against(self, asked: Asked, node: str) -> Optional[Tuple[str, str]]:
        """The rule that this answer breaks, and how; None if it breaks none."""
        if node not in self._header.nodes:
            return "unknown node", "and is no node of the cluster"
        when = asked.question.not_before
        stopped = self._stopped_since.get(node)
        if stopped is not None and when > stopped:
            return "stopped instance", f"{_ms(when - stopped)} after EC2 began to call it stopped"
        claim = self._claim(asked.address, node)
        if node in self._unlogged and self._is_free(asked.address, node):
            claim.started, claim.stopped, claim.successor = when, None, None
        if asked.address in self._held:
            if claim.started is None:
                return "not started", "where the agent had not been started for it"
            if claim.stopped is not None and when > claim.stopped + self._after_stop:
                return "after stop", f"{_ms(when - claim.stopped)} after the agent's stop there had ended"
        if claim.successor is not None:
            successor, since = claim.successor
            if when > since + self._grace:
                allowed = f", and may for {_ms(self._grace)}" if self._grace else ""
                return "two holders", f"{_ms(when - since)} after the first answer of {successor}{allowed}"
        return None

    def _is_free(self, address: str, node: str) -> bool:
        """Whether `node` may have been started: nobody else holds the address, for all that is known."""
        tenant = self._tenants.get(address)
        if tenant is None or tenant == node or tenant in self._unlogged or tenant in self._off:
            return True
        claim = self._claim(address, tenant)
        return claim.started is None or claim.stopped is not None


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
