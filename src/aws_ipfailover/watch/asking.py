"""What a watch asks, and how often; and the command lines that ask so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.question import Protocol


class Port(NamedTuple):
    """A protocol, and the port; `None` for ICMP, which has none."""

    protocol: Protocol
    number: Optional[int] = None

    def __str__(self) -> str:
        # As people call it: `stream` is the name that records have.
        name = "tcp, kept" if self.protocol == "stream" else self.protocol
        return name if self.number is None else f"{name} {self.number}"


@dataclass(frozen=True)
class Asking:
    """What is asked. `interval`: seconds from question to question; `timeout`: seconds until one counts as lost.

    `ask`: what is sent over TCP and UDP; empty for nothing, so that a TCP connection that is accepted is the answer.
    """

    ports: Tuple[Port, ...] = (Port("icmp"),)
    ask: str = ""
    interval: float = 0.2
    timeout: float = 0.9

    def process_arguments(self, address: Address, seconds: Optional[float]) -> List[str]:
        """The arguments of `python -m aws_ipfailover.watch`; `seconds`: how long to ask, `None` without end."""
        arguments = ["--address", str(address), "--interval", repr(self.interval), "--timeout", repr(self.timeout)]
        for port in self.ports:
            arguments += ["--protocol", port.protocol if port.number is None else f"{port.protocol}:{port.number}"]
        arguments += ["--ends", f"--ask={self.ask}"]
        if not self.ask:
            arguments += ["--accepted"]
        if seconds is not None:
            arguments += ["--for", repr(seconds)]
        return arguments

    def command_arguments(self) -> List[str]:
        """The options of `aws-ipfailover watch` that ask the same."""
        arguments = ["--interval", f"{self.interval:g}", "--timeout", f"{self.timeout:g}"]
        for port in self.ports:
            if port.protocol == "stream":
                arguments += ["--keep"]
            else:
                arguments += [f"--{port.protocol}", *([] if port.number is None else [str(port.number)])]
        return arguments + ([f"--ask={self.ask}"] if self.ask else [])
