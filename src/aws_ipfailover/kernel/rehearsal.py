"""The kernel for a plan: it is read, and what would change it is kept instead of carried out."""

from __future__ import annotations

import os
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, NodeError
from aws_ipfailover.kernel.addresses import Addresses
from aws_ipfailover.kernel.command import Ip
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Links
from aws_ipfailover.kernel.rules import Rules
from aws_ipfailover.kernel.sysctls import Sysctls, command

_SYSCTLS = "/proc/sys/net/"


class Change(NamedTuple):
    """A command that would change the kernel, and whether it would: `None` if that cannot be found out."""

    command: Tuple[str, ...]
    needed: Optional[bool]


class Rehearsal(Kernel):
    """The kernel of this network namespace, which no method changes; `changes`: what they would have done, in order."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(deadline)
        self.changes: List[Change] = []
        ip = _Reading(deadline, self.changes)
        self.addresses = Addresses(ip)
        self.links = Links(ip)
        self.rules = Rules(ip)

    @property
    def sysctls(self) -> Sysctls:
        """The parameters of interfaces."""
        return _Unwritten(self.changes)


class _Reading(Ip):
    """Runs `ip` for what it prints as JSON only."""

    def __init__(self, deadline: Deadline, changes: List[Change]) -> None:
        super().__init__(deadline)
        self._changes = changes

    def run(self, *arguments: str) -> str:
        if arguments[:1] == ("-json",):
            return super().run(*arguments)
        self._changes.append(Change(("ip", *arguments), self._is_needed(arguments)))
        return ""

    def _is_needed(self, arguments: Sequence[str]) -> Optional[bool]:
        """Whether the kernel does not already show what a command makes. A removal, or a rule, is needed always:

        the caller has looked for the one and found that it is there, and for the other that it is not.
        """
        families = [one for one in arguments if one in ("-4", "-6")]
        words = [one for one in arguments if one not in families]
        is_so = _SHOWN.get((words[0], words[1] if words[0] != "link" else _setting(words)))
        if is_so is None:
            return True
        try:
            return not is_so(self, families, words)
        except NodeError:  # there is no such device yet
            return True
        except Error:
            return None

    def _link(self, words: Sequence[str]) -> Mapping[str, Any]:
        return next(iter(self.json("link", "show", "dev", _after(words, "dev"))), {})

    def is_up(self, _: Sequence[str], words: Sequence[str]) -> bool:
        return "UP" in self._link(words).get("flags", ())

    def has_alias(self, _: Sequence[str], words: Sequence[str]) -> bool:
        return bool(self._link(words).get("ifalias") == words[-1])

    def has_mtu(self, _: Sequence[str], words: Sequence[str]) -> bool:
        return str(self._link(words).get("mtu")) == words[-1]

    def has_address(self, _: Sequence[str], words: Sequence[str]) -> bool:
        listed = self.json("address", "show", "dev", _after(words, "dev"))
        there = [f"{info['local']}/{info['prefixlen']}" for one in listed for info in one.get("addr_info", ())]
        # One that differs in its label alone is removed first, and still shown here.
        removed = any(one.command[1:4] == ("address", "del", words[2]) for one in self._changes)
        return words[2] in there and not removed

    def has_route(self, families: Sequence[str], words: Sequence[str]) -> bool:
        try:
            listed = self.json(*families, "route", "show", "table", _after(words, "table"), words[2])
        except Error as error:
            if "table does not exist" in str(error):
                return False
            raise
        gateway = _after(words, "via") if "via" in words else None
        device = _after(words, "dev")
        return any(one.get("dev") == device and one.get("gateway") == gateway for one in listed)


_SHOWN: Mapping[Tuple[str, str], Callable[[_Reading, Sequence[str], Sequence[str]], bool]] = {
    ("link", "up"): _Reading.is_up,
    ("link", "alias"): _Reading.has_alias,
    ("link", "mtu"): _Reading.has_mtu,
    ("address", "replace"): _Reading.has_address,
    ("route", "replace"): _Reading.has_route,
}


def _setting(words: Sequence[str]) -> str:
    """What `ip link set dev DEVICE SETTING` sets."""
    return words[4]


def _after(words: Sequence[str], word: str) -> str:
    return words[words.index(word) + 1]


class _Unwritten(Sysctls):
    """Kernel parameters, read and not written."""

    def __init__(self, changes: List[Change]) -> None:
        super().__init__()
        self._changes = changes

    def _write(self, path: str, value: str) -> None:
        needed: Optional[bool] = True
        try:
            with open(_SYSCTLS + path, encoding="ascii") as file:
                needed = file.read().strip() != value
        except FileNotFoundError:
            if not os.path.isdir(_SYSCTLS + path.split("/", maxsplit=1)[0]):
                raise  # the kernel was started without IPv6
            # Else there is no such device yet.
        except OSError:
            needed = None
        self._changes.append(Change(command(path, value), needed))
