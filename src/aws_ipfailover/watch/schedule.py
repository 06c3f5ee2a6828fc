"""Asks on schedule.

Each protocol of each address has an absolute schedule of its own: question n is due at n intervals after the start,
whatever became of the ones before. A slot missed for want of CPU is left out, never made up for in a burst.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import sys
import time
from typing import Callable, Mapping, Sequence, Tuple, Union

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.icmp import IcmpProber
from aws_ipfailover.watch.kept import StreamProber
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.question import Protocol
from aws_ipfailover.watch.tcp import TcpProber
from aws_ipfailover.watch.udp import UdpProber

Ready = Callable[[int], None]
Prober = Union[TcpProber, UdpProber, IcmpProber, StreamProber]
# What one prober asks: an address, over a protocol.
Line = Tuple[Address, Protocol]


def next_slot(elapsed: float, interval: float, last: int) -> int:
    """The slot to wait for, `elapsed` seconds after the start, once slot `last` was asked: missed ones are left out."""
    return max(last + 1, int(elapsed // interval))


class Consumer:
    """Asks on schedule until told to stop, then waits for what is under way."""

    def __init__(self, stop: Sequence[int]) -> None:
        """End of file on, or a signal's number from, a descriptor of `stop` ends the asking."""
        self.selector = selectors.DefaultSelector()
        self._stopping = False
        for descriptor in stop:
            # A regular file and /dev/null cannot be watched: they never end the asking.
            with contextlib.suppress(PermissionError):
                self.selector.register(descriptor, selectors.EVENT_READ, self._stop_at_end(descriptor))

    def _stop_at_end(self, descriptor: int) -> Ready:
        def ready(_events: int) -> None:
            data = os.read(descriptor, 512)
            if not data or descriptor != sys.stdin.fileno():
                self._stopping = True
                self.selector.unregister(descriptor)

        return ready

    def run(
        self,
        probers: Mapping[Line, Prober],
        outcomes: Sequence[Outcomes],
        interval: float,
        seconds: float = math.inf,
    ) -> None:
        """Ask until stopped, for so many seconds at most. Spreads the schedules evenly over an interval."""
        start = time.monotonic()
        begins = {line: start + interval * index / len(probers) for index, line in enumerate(probers)}
        slots = dict.fromkeys(probers, 0)
        while True:
            now = time.monotonic()
            self._stopping = self._stopping or now >= start + seconds
            for line, prober in probers.items():
                if not self._stopping and begins[line] + slots[line] * interval <= now:
                    slot = next_slot(now - begins[line], interval, slots[line] - 1)
                    prober.ask(slot)
                    slots[line] = slot + 1
            wakes = [] if self._stopping else [begins[line] + slots[line] * interval for line in probers]
            wakes += [] if self._stopping or seconds == math.inf else [start + seconds]
            wakes += [deadline for deadline in (each.next_deadline() for each in outcomes) if deadline is not None]
            if not wakes:
                return
            looked = time.monotonic()
            for key, events in self.selector.select(max(0.0, min(wakes) - looked)):
                # A handler before this one may have closed the socket behind this event, and another have its number.
                if self.selector.get_map().get(key.fd) is key:
                    ready: Ready = key.data
                    ready(events)
            # Not what became due while this process had no CPU: an answer may have come, which the next look finds.
            for each in outcomes:
                each.expire(looked)
