"""Responders on the nodes and consumers everywhere else of a running lab, and what the consumers have seen so far."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple

from vpc_lab.traffic.analysis import FINAL_SECONDS, earliest
from vpc_lab.traffic.question import PROTOCOLS, Question
from vpc_lab.traffic.ttl import initial_ttl

PORT = 7777
INTERVAL = 0.05
TIMEOUT = 0.9


class Instances(Protocol):
    """What a measurement needs of a lab: to start a process in an instance."""

    def spawn(self, name: str, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start `argv` in the instance called `name`."""


class Measurement:
    """Keeps asking from every consumer. Use `running`."""

    def __init__(self, lab: Instances, nodes: Sequence[str], interval: float) -> None:
        self.interval = interval
        self._lab = lab
        self._ttls = {name: initial_ttl(index) for index, name in enumerate(nodes)}
        self._responders: List[subprocess.Popen[str]] = []
        self._consumers: Dict[str, subprocess.Popen[str]] = {}
        self._readers: List[threading.Thread] = []
        self._histories: Dict[str, List[Question]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, lab: Instances, nodes: Sequence[str], questions: Mapping[str, str], interval: float = INTERVAL
    ) -> Iterator[Measurement]:
        """Responders on `nodes`, and consumers that ask the address in `questions`, for the length of a `with` block.

        Raises RuntimeError when a responder does not come up.
        """
        measurement = cls(lab, nodes, interval)
        try:
            for node in nodes:
                measurement.serve(node)
            for consumer, address in questions.items():
                measurement.consume(consumer, address)
            yield measurement
        finally:
            measurement.close()

    def serve(self, node: str) -> None:
        """Start the responder on `node`: at the beginning, and again after the node was powered on."""
        argv = [sys.executable, "-m", "vpc_lab.traffic.responder"]
        argv += ["--name", node, "--port", str(PORT), "--ttl", str(self._ttls[node])]
        process = self._lab.spawn(
            node, argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._responders.append(process)
        if process.stdout is None or not process.stdout.readline():
            _, said = process.communicate()
            raise RuntimeError(f"the responder on {node} does not come up: {said.strip()}")

    def consume(self, consumer: str, address: str) -> None:
        """Start asking `address` from `consumer`."""
        argv = [sys.executable, "-m", "vpc_lab.traffic.consumer"]
        argv += ["--address", address, "--port", str(PORT)]
        argv += ["--interval", str(self.interval), "--timeout", str(TIMEOUT)]
        for node, ttl in self._ttls.items():
            argv += ["--ttl", f"{node}={ttl}"]
        # stderr is the lab user's: a consumer that cannot ask says why.
        process = self._lab.spawn(consumer, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._consumers[consumer] = process
        with self._lock:
            self._histories[consumer] = []
        if process.stdout is not None:
            reader = threading.Thread(target=self._read, args=(consumer, process.stdout), daemon=True)
            self._readers.append(reader)
            reader.start()

    def _read(self, consumer: str, lines: IO[str]) -> None:
        for line in lines:
            # The last line of a consumer that was killed may be half a line.
            with contextlib.suppress(ValueError, KeyError):
                question = Question.from_json(line)
                with self._lock:
                    self._histories[consumer].append(question)

    def histories(self, since: float = 0.0, until: Optional[float] = None) -> Dict[str, List[Question]]:
        """Each consumer's questions sent at `since` or later (wall time), as far as every outcome is known.

        Questions of the last `TIMEOUT` seconds are left out: those answered would be there, the lost ones not yet.
        """
        settled = time.time() - TIMEOUT - 0.1
        end = settled if until is None else min(until, settled)
        return {
            consumer: [question for question in history if since <= question.sent <= end]
            for consumer, history in self.snapshot().items()
        }

    def snapshot(self) -> Dict[str, List[Question]]:
        """Every outcome known so far, by consumer, in the order in which they became known."""
        with self._lock:
            return {consumer: list(history) for consumer, history in self._histories.items()}

    def wait_steady(self, node: str, since: float, within: float) -> bool:
        """Wait until `node` has served every consumer over every protocol for long enough to judge it.

        Long enough: from its first answer at or after `since`, the analysis' final second plus the time in which the
        outcome of a question becomes known. False after `within` seconds without.
        """
        long = FINAL_SECONDS + TIMEOUT + 0.2
        deadline = time.monotonic() + within
        # Looked at ten times a second, not at each of the hundreds of answers: the lab shares this CPU.
        while not self._is_steady(node, since, long):
            if time.monotonic() > deadline or self._closed.wait(0.1):
                return False
        return True

    def _is_steady(self, node: str, since: float, long: float) -> bool:
        for history in self.snapshot().values():
            for protocol in PROTOCOLS:
                answers = [
                    q for q in history if q.node == node and q.protocol == protocol and (q.answered or 0) >= since
                ]
                first = earliest(answers)
                if first is None or max(q.sent for q in answers) < first + long:
                    return False
        return bool(self._histories)

    def first_answers(self, node: str, since: float) -> Dict[Tuple[str, str], float]:
        """When `node` first answered each consumer over each protocol at or after `since`, where it did."""
        found = {
            (consumer, protocol): earliest(
                q for q in history if q.node == node and q.protocol == protocol and (q.answered or 0) >= since
            )
            for consumer, history in self.snapshot().items()
            for protocol in PROTOCOLS
        }
        return {key: when for key, when in found.items() if when is not None}

    def close(self) -> None:
        """End every process and wait for it."""
        self._closed.set()
        for process in self._consumers.values():
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
        for process in self._responders:
            process.kill()
        for process in self._consumers.values():
            try:
                process.wait(TIMEOUT + 2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in self._responders:
            process.wait()
        for reader in self._readers:
            reader.join(2)
        for process in (*self._responders, *self._consumers.values()):
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
