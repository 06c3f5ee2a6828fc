"""The services of an instance as units: `systemctl` for those that somebody starts by hand.

An instance has no systemd. Process 1 starts its services by itself, or, of those that have a unit, only the ones that
are enabled; it listens on a socket for who wants to start, stop, enable or disable one. `main` is the command that
asks, under the name `systemctl` in the instance's PATH. It knows the verbs that a cluster's set-up uses, and nothing
else of systemd: the exit codes are systemctl(1)'s.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Dict, List, Protocol, Sequence, Tuple

SOCKET = "/run/units"
# Where systemd has its links, too; a directory of the instance's own, which survives a power-off.
DIRECTORY = "/etc/systemd/system"
VERBS = ("start", "stop", "restart", "enable", "disable", "is-active", "is-enabled")
# systemctl(1): "is-active ... prints ... non-zero otherwise"; 5 is LSB's "program is not installed".
INACTIVE, NOT_ENABLED, NO_SUCH_UNIT, FAILED = 3, 1, 5, 1


class Control(Protocol):
    """What process 1 can do with its services, each named by its unit."""

    def units(self) -> Tuple[str, ...]:
        """The units, in the order in which they need each other."""

    def active(self, unit: str) -> bool:
        """Whether it runs."""

    def start_unit(self, unit: str) -> bool:
        """Start it, and before it what it needs; whether it runs then."""

    def stop_unit(self, unit: str) -> None:
        """Stop it, and before it what needs it."""


def enabled(unit: str) -> bool:
    """Whether a unit is started at boot."""
    return _link(unit).exists()


def _link(unit: str) -> Path:
    return Path(DIRECTORY, "multi-user.target.wants", f"{unit}.service")


def listen() -> socket.socket:
    """The socket on which process 1 is asked; only root of the instance reaches it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    os.chmod(SOCKET, 0o600)
    listener.listen()
    return listener


def answer(listener: socket.socket, control: Control) -> None:
    """Take one question from the socket, do what it says, and answer."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rw", encoding="utf-8") as stream:
        # Whoever connects and says nothing must not hold up process 1.
        connection.settimeout(5.0)
        try:
            question = json.loads(stream.readline() or "{}")
            code, said = _do(control, str(question["verb"]), [str(one) for one in question["units"]])
            stream.write(json.dumps({"code": code, "said": said}) + "\n")
            stream.flush()
        except (OSError, ValueError, KeyError) as error:
            sys.stderr.write(f"units: {error}\n")


def _do(control: Control, verb: str, names: Sequence[str]) -> Tuple[int, List[str]]:
    known, code, said = control.units(), 0, []
    for name in names:
        if name not in known:
            said.append(f"Unit {name}.service could not be found.")
            code = NO_SUCH_UNIT
        elif verb in ("enable", "disable"):
            link = _link(name)
            if verb == "enable":
                link.parent.mkdir(parents=True, exist_ok=True)
                link.touch()
            else:
                link.unlink(missing_ok=True)
        elif verb == "is-active":
            active = control.active(name)
            said.append("active" if active else "inactive")
            code = code if active else INACTIVE
        elif verb == "is-enabled":
            said.append("enabled" if enabled(name) else "disabled")
            code = code if enabled(name) else NOT_ENABLED
        else:
            if verb in ("stop", "restart"):
                control.stop_unit(name)
            if verb in ("start", "restart") and not control.start_unit(name):
                said.append(f"Job for {name}.service failed: see the console of the instance.")
                code = FAILED
    return code, said


def _ask(verb: str, units: Sequence[str]) -> Tuple[int, List[str]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SOCKET)
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps({"verb": verb, "units": list(units)}) + "\n")
            stream.flush()
            found: Dict[str, object] = json.loads(stream.readline())
    said = found["said"]
    return int(str(found["code"])), [str(one) for one in said] if isinstance(said, list) else []


def main(argv: Sequence[str]) -> int:
    """`systemctl [--now] VERB UNIT...`."""
    words = [one for one in argv if not one.startswith("-")]
    now = "--now" in argv
    unknown = [one for one in argv if one.startswith("-") and one not in ("--now", "--quiet")]
    if unknown or len(words) < 2 or words[0] not in VERBS:
        sys.stderr.write(f"systemctl of the lab: [--now] {'|'.join(VERBS)} UNIT...\n")
        return 1
    verb, units = words[0], [one.partition(".service")[0] for one in words[1:]]
    verbs = [verb, *({"enable": ["start"], "disable": ["stop"]}.get(verb, []) if now else [])]
    worst = 0
    for each in verbs:
        try:
            code, said = _ask(each, units)
        except OSError as error:
            sys.stderr.write(f"process 1 does not answer: {error}\n")
            return 1
        for line in said:
            (sys.stdout if each.startswith("is-") else sys.stderr).write(line + "\n")
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
