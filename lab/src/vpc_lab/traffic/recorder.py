"""Responders on the nodes and consumers everywhere else of a running lab, and what the consumers have seen so far.

Each consumer writes its outcomes to a file of its own, so that a measurement needs as much memory and time after an
hour as after a minute; who wants to know something reads there, from a moment on.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple, Union

from vpc_lab.errors import LabError
from vpc_lab.traffic import question as outcome
from vpc_lab.traffic.analysis import FINAL_SECONDS, earliest
from vpc_lab.traffic.journal import Journal
from vpc_lab.traffic.question import SINGLE, Question
from vpc_lab.traffic.ttl import initial_ttl

PORT = 7777
# What asks is the `aws-ipfailover watch` of the agent's package, by its process alone: what it writes is the interface.
WATCH = "aws_ipfailover.watch"
INTERVAL = 0.05
TIMEOUT = 0.9
# How much later than a question was sent its line can come, on a machine that is busy.
LATE = 5.0
_COMES_UP_WITHIN = 10.0
_LOOKS_EVERY = 0.25
Addresses = Union[str, Sequence[str]]


class Instances(Protocol):
    """What a measurement needs of a lab: to start a process in an instance. LabError where it has no power."""

    def spawn(self, name: str, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start `argv` in the instance called `name`."""


class Measurement:
    """Keeps asking from every consumer, also through the end and the return of any instance. Use `running`."""

    def __init__(
        self,
        lab: Instances,
        nodes: Sequence[str],
        directory: Path,
        interval: float = INTERVAL,
        protocols: Sequence[outcome.Protocol] = SINGLE,
    ) -> None:
        self.interval = interval
        self.protocols = tuple(protocols)
        self.directory = directory
        self._lab = lab
        self._ttls = {name: initial_ttl(index) for index, name in enumerate(nodes)}
        self._questions: Dict[str, Tuple[str, ...]] = {}
        self._responders: Dict[str, subprocess.Popen[bytes]] = {}
        self._consumers: Dict[str, subprocess.Popen[bytes]] = {}
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="measurement", daemon=True)

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        lab: Instances,
        nodes: Sequence[str],
        questions: Mapping[str, Addresses],
        interval: float = INTERVAL,
        *,
        protocols: Sequence[outcome.Protocol] = SINGLE,
        directory: Optional[Path] = None,
    ) -> Iterator[Measurement]:
        """Responders on `nodes`, and consumers that ask the addresses in `questions`, for the length of a `with` block.

        What each consumer sees is in `directory`, in CONSUMER.jsonl; by default nothing of it is left behind. Raises
        LabError when a responder does not come up.
        """
        with contextlib.ExitStack() as stack:
            if directory is None:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpc-lab-traffic-")))
            measurement = cls(lab, nodes, directory, interval, protocols)
            stack.callback(measurement.close)
            for node in nodes:
                measurement._serve(node)
            for consumer, asked in questions.items():
                measurement._consume(consumer, (asked,) if isinstance(asked, str) else tuple(asked))
            measurement._keeper.start()
            yield measurement

    def _serve(self, node: str) -> None:
        """Start the responder on `node`, and return when it answers."""
        argv = [sys.executable, "-m", "vpc_lab.traffic.responder"]
        argv += ["--name", node, "--port", str(PORT), "--ttl", str(self._ttls[node])]
        process = self._lab.spawn(
            node, argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._responders[node] = process
        if process.stdout is None:
            raise LabError("a process without its pipe")
        with process.stdout as said:
            # It says nothing for long where the instance was frozen meanwhile.
            ready, _, _ = select.select([said], [], [], _COMES_UP_WITHIN)
            line = said.readline().decode(errors="replace") if ready else "it says nothing"
            if not line.startswith(f"{node} answers"):
                process.kill()
                process.wait()
                raise LabError(f"the responder on {node} does not come up: {line.strip()}")

    def _consume(self, consumer: str, addresses: Tuple[str, ...]) -> None:
        """Start asking from `consumer`."""
        argv = [sys.executable, "-m", WATCH, "--port", str(PORT)]
        argv += ["--interval", str(self.interval), "--timeout", str(TIMEOUT)]
        for address in addresses:
            argv += ["--address", address]
        for protocol in self.protocols:
            argv += ["--protocol", protocol]
        for node, ttl in self._ttls.items():
            argv += ["--ttl", f"{node}={ttl}"]
        self._questions[consumer] = addresses
        # The process writes to the file itself. stderr is the lab user's: a consumer that cannot ask says why.
        with self.journal(consumer).path.open("ab") as lines:
            self._consumers[consumer] = self._lab.spawn(consumer, argv, stdin=subprocess.PIPE, stdout=lines)

    def _keep(self) -> None:
        """Start again what ended with its instance, as soon as that is back."""
        while not self._closed.wait(_LOOKS_EVERY):
            for node, process in list(self._responders.items()):
                if process.poll() is not None and not self._closed.is_set():
                    with contextlib.suppress(LabError):
                        self._serve(node)
            for consumer, process in list(self._consumers.items()):
                if process.poll() is not None and not self._closed.is_set():
                    if process.stdin is not None:
                        process.stdin.close()
                    with contextlib.suppress(LabError):
                        self._consume(consumer, self._questions[consumer])

    def consumers(self) -> Tuple[str, ...]:
        """Who asks."""
        return tuple(self._questions)

    def journal(self, consumer: str) -> Journal[Question]:
        """What `consumer` has seen, from the first line on."""
        return Journal(self.directory / f"{consumer}.jsonl", Question.from_json)

    def _journals(self, since: float) -> Dict[str, Journal[Question]]:
        """What each consumer has seen, from a line on that is not after `since`."""
        journals = {consumer: self.journal(consumer) for consumer in self._questions}
        for journal in journals.values():
            journal.seek(since - LATE, lambda question: question.sent)
        return journals

    def histories(self, since: float = 0.0, until: Optional[float] = None) -> Dict[str, List[Question]]:
        """Each consumer's questions sent at `since` or later (wall time), as far as every outcome is known.

        Questions of the last `TIMEOUT` seconds are left out: those answered would be there, the lost ones not yet.
        """
        settled = time.time() - TIMEOUT - 0.1
        end = settled if until is None else min(until, settled)
        return {
            consumer: [question for question in journal.read() if since <= question.sent <= end]
            for consumer, journal in self._journals(since).items()
        }

    def wait_steady(self, node: str, since: float, within: float) -> bool:
        """Wait until `node` has served every consumer at every address over every protocol for long enough to judge it.

        Long enough: from its first answer at or after `since`, the analysis' final second plus the time in which the
        outcome of a question becomes known. False after `within` seconds without.
        """
        long = FINAL_SECONDS + TIMEOUT + 0.2
        deadline = time.monotonic() + within
        # The moments of the first answer and of the last question that was answered.
        served: Dict[Tuple[str, str, str], Tuple[float, float]] = {}
        wanted = {(who, to, over) for who, asked in self._questions.items() for to in asked for over in self.protocols}
        journals = self._journals(min(since, time.time()))
        # Looked at ten times a second, not at each of the hundreds of answers: the lab shares this CPU.
        while True:
            for consumer, journal in journals.items():
                for question in journal.read():
                    if question.node == node and question.answered is not None and question.answered >= since:
                        key = (consumer, question.address, question.protocol)
                        first, last = served.get(key, (question.answered, question.sent))
                        served[key] = (min(first, question.answered), max(last, question.sent))
            if wanted and wanted <= {key for key, (first, last) in served.items() if last >= first + long}:
                return True
            if time.monotonic() > deadline or self._closed.wait(0.1):
                return False

    def first_answers(self, node: str, since: float) -> Dict[Tuple[str, str], float]:
        """When `node` first answered each consumer over each protocol at or after `since`, where it did."""
        found = {
            (consumer, protocol): earliest(
                q for q in history if q.node == node and q.protocol == protocol and (q.answered or 0) >= since
            )
            for consumer, history in ((each, journal.read()) for each, journal in self._journals(since).items())
            for protocol in self.protocols
        }
        return {key: when for key, when in found.items() if when is not None}

    def close(self) -> None:
        """End every process and wait for it."""
        self._closed.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        for consumer in self._consumers.values():
            with contextlib.suppress(OSError):
                if consumer.stdin is not None:
                    consumer.stdin.close()
        for responder in self._responders.values():
            responder.kill()
        for consumer in self._consumers.values():
            try:
                consumer.wait(TIMEOUT + 2)
            except subprocess.TimeoutExpired:
                consumer.kill()
                consumer.wait()
        for responder in self._responders.values():
            responder.wait()
