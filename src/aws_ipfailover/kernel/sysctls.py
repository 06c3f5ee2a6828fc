"""Kernel parameters of a network interface that is one of two in a subnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Tuple

from aws_ipfailover.errors import Error, NodeError

if TYPE_CHECKING:
    from aws_ipfailover.kernel.command import Changed


class Sysctls:
    """The kernel parameters of this network namespace; `changed` is told of each that was written, as a command."""

    def __init__(self, changed: Optional[Changed] = None) -> None:
        self._changed = changed

    def configure(self, device: str) -> None:
        """Set an interface that is one of two in a subnet: loose reverse path filter, ARP for its own addresses only.

        Router advertisements are not accepted, because they would add a second default route.

        Raises:
            NodeError: the interface is gone.  Error: the kernel refuses.
        """
        for path, value in (
            (f"ipv4/conf/{device}/rp_filter", "2"),
            (f"ipv4/conf/{device}/arp_ignore", "1"),
            (f"ipv4/conf/{device}/arp_announce", "2"),
            (f"ipv6/conf/{device}/accept_ra", "0"),
        ):
            try:
                self._write(path, value)
            except FileNotFoundError:
                if path.startswith("ipv4/"):
                    raise NodeError(f"there is no network interface {device} any more") from None
                # The kernel was started without IPv6.
            except OSError as error:
                raise Error(f"writing /proc/sys/net/{path}: {error.strerror}") from None

    def _write(self, path: str, value: str) -> None:
        with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
            file.write(value)
        if self._changed is not None:
            self._changed(command(path, value))


def command(path: str, value: str) -> Tuple[str, ...]:
    """The command that writes a parameter below /proc/sys/net."""
    return ("sysctl", "--write", f"net/{path}={value}")
