"""What a start does, step by step, as the holdings tell it before it is done: commands to the kernel, calls of EC2."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from aws_ipfailover.address import Address
    from aws_ipfailover.aws.writes import Write
    from aws_ipfailover.kernel.rehearsal import Change


class Need(enum.Enum):
    """Whether a step changes anything, as things are now."""

    NEEDED = "needed"
    ALREADY = "already so"
    UNKNOWN = "could not find out"
    REFUSED = "refused"  # EC2 cannot do it as things are; `Step.note` tells what follows


class Step(NamedTuple):
    """One step of a start.

    `text`: what it makes, in half a sentence. `command`: of the kernel, as typed; empty for `write`, a call of EC2, and
    where nothing has to be done. `made`: whether the start gives the command, or makes the call, also where that
    changes nothing; `None` if that is not known. `before` and `after`: the ids of what a call changes, such as the ENI
    that a route leads to; `before` is empty if there is none, or it is not known. `note`: half a sentence more.
    """

    text: str
    need: Need
    command: Tuple[str, ...] = ()
    write: Optional[Write] = None
    made: Optional[bool] = True
    before: str = ""
    after: str = ""
    note: str = ""


def of_kernel(changes: Sequence[Change], already: str = "") -> List[Step]:
    """The steps of changes of the kernel; without any, a step that says what is `already` so."""
    if not changes:
        return [Step(already, Need.ALREADY, made=False)]
    needs = {True: Need.NEEDED, False: Need.ALREADY, None: Need.UNKNOWN}
    return [Step(_told(one.command), needs[one.needed], one.command) for one in changes]


def of_announcement(addresses: Sequence[Address], device: str) -> Step:
    """The step that tells the neighbours of a device's addresses: frames, and no command."""
    text = f"{', '.join(map(str, addresses))} announced on {device} (ARP, neighbour advertisements)"
    return Step(text, Need.NEEDED)


def of_call(
    write: Write, text: str, before: Optional[str], after: str, *, made: Optional[bool] = True, note: str = ""
) -> Step:
    """The step of a call that changes `before` to `after`; `before` is `None` if it is not known."""
    need = Need.UNKNOWN if before is None else Need.ALREADY if before == after else Need.NEEDED
    return Step(text, need, (), write, made, before or "", after, note)


def _told(command: Sequence[str]) -> str:
    """A command of `ip` or `sysctl` in words; the command itself where there are no words for it."""
    words = [one for one in command if one not in ("-4", "-6")]
    if words[0] == "sysctl":
        return f"kernel parameter {words[-1]}"
    device = words[words.index("dev") + 1] if "dev" in words else ""
    kind, verb = words[1], words[2]
    if (kind, verb) == ("address", "replace"):
        return f"{words[3]} added to {device}"
    if (kind, verb) == ("address", "del"):
        return f"{words[3]} removed from {device}"
    if kind == "link":
        setting = words[5:]
        return f"{device} set up" if setting == ["up"] else f"{device}: {' '.join(setting)}"
    if kind in ("route", "rule"):
        return f"{kind}: {' '.join(words[3:])}" if verb != "del" else f"{kind} removed: {' '.join(words[3:])}"
    return " ".join(command)
