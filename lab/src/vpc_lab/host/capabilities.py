"""What root may do in an instance: that of a node's root which stays within the instance's own namespaces.

An instance shares the user namespace of the machine, where root's capabilities count for the whole machine. Those that
are kept act on the instance's network, its processes and its files; capabilities(7) says what each of them is.

A user namespace of the instance's own would do the same and more, but it takes a range of the machine's user ids for
root, hacluster and nobody, files with owners of that range (the machine's programs have others), and a kernel that
allows overlapping mounts of /proc and /sys in it. Fewer capabilities over a read-only root take none of that.
"""

from __future__ import annotations

from typing import Mapping, Tuple

from vpc_lab.host import namespaces as ns

# Names and numbers as in linux/capability.h.
KEPT: Mapping[str, int] = {
    # The daemons change to the user hacluster, and share files and memory with it.
    "chown": 0,
    "dac_override": 1,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
    # Addresses, routes, rules, packet filters, ARP, ping.
    "net_bind_service": 10,
    "net_admin": 12,
    "net_raw": 13,
    # corosync and Pacemaker lock their memory and raise their priority and limits.
    "ipc_lock": 14,
    "sys_nice": 23,
    "sys_resource": 24,
}


def drop() -> None:
    """Leave the caller, and all that it starts, no capability but those of `KEPT`; OSError if the kernel refuses."""
    ns.keep_capabilities(KEPT.values())
    ns.no_new_privileges()


def dropping() -> Tuple[str, ...]:
    """The command that runs another one as after `drop` (setpriv(1) of util-linux)."""
    kept = ",".join(f"+{name}" for name in KEPT)
    return ("setpriv", "--inh-caps=-all", f"--bounding-set=-all,{kept}", "--no-new-privs", "--")
