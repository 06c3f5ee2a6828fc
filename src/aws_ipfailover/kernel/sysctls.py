"""Kernel parameters of a network interface that is one of two in a subnet."""

from __future__ import annotations

from aws_ipfailover.errors import Error, NodeError


def set_sysctls(device: str) -> None:
    """Configure an interface that is one of two in a subnet: loose reverse path filter, ARP only for its own addresses.

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
            with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                file.write(value)
        except FileNotFoundError:
            if path.startswith("ipv4/"):
                raise NodeError(f"there is no network interface {device} any more") from None
            # The kernel was started without IPv6.
        except OSError as error:
            raise Error(f"writing /proc/sys/net/{path}: {error.strerror}") from None
