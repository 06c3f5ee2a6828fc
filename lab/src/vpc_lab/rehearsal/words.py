"""What the readers of configurations have in common: words, pairs, names of agents and roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

_CLASSES = ("ocf", "stonith", "systemd", "lsb", "service", "upstart", "nagios")

# Agents that Pacemaker brings, and resource-agents does not.
_PACEMAKER_S = frozenset(
    ("attribute", "controld", "HealthCPU", "HealthIOWait", "HealthSMART", "ifspeed", "o2cb", "ping", "remote")
)

# Commands that set up a machine, or look at it: a lab does without.
MACHINE_S = frozenset(
    (
        *("yum", "dnf", "apt-get", "apt", "zypper", "systemctl", "service", "passwd", "echo", "ssh", "firewall-cmd"),
        *("export", "sleep", "aws", "cat", "set", "mkdir", "vgs", "lvs", "crm_mon", "subscription-manager", "exit"),
        *("hostnamectl", "timedatectl", "su", "df", "mount", "chmod", "chown", "cd", "ls", "cibadmin", "watch"),
        *(
            "vi",
            "vim",
            "nano",
            "less",
            "man",
            "cp",
            "mv",
            "rm",
            "ln",
            "scp",
            "grep",
            "tail",
            "source",
            "printf",
            "curl",
        ),
        *("crm_resource", "crm_attribute", "crm_verify", "crm_node", "corosync-cfgtool", "corosync-quorumtool", "date"),
        *("SAPHanaSR-showAttr", "hdbnsutil", "sapcontrol", "journalctl", "ip", "ping", "touch", "tee", "sed", "reboot"),
        *(
            "corosync-keygen",
            "chpasswd",
            "hostname",
            "stonith_admin",
            "umount",
            "exportfs",
            "showmount",
            "rpm",
            "which",
        ),
    )
)


@dataclass(frozen=True)
class Statement:
    """One statement of a file, and the number of the line where it begins."""

    line: int
    words: Tuple[str, ...]


def pair(word: str) -> Optional[Tuple[str, str]]:
    """NAME=VALUE; None for another word."""
    name, equals, value = word.partition("=")
    return (name, value) if equals and name and " " not in name else None


def standard_name(agent: str) -> str:
    """An agent's full name. Without a class it is OCF's, without a provider heartbeat's, as crm and pcs take it."""
    # As pcs once printed it: ocf::heartbeat:Dummy.
    parts = [part for part in agent.split(":") if part]
    if parts[0] not in _CLASSES:
        parts = ["ocf", *parts]
    if parts[0] == "ocf" and len(parts) == 2:
        parts.insert(1, "pacemaker" if parts[1] in _PACEMAKER_S else "heartbeat")
    return ":".join(parts)


def role(word: str) -> str:
    """`Promoted`, `Unpromoted`, or nothing; Master and Slave are their names before Pacemaker 2.1."""
    return {"master": "Promoted", "promoted": "Promoted", "slave": "Unpromoted", "unpromoted": "Unpromoted"}.get(
        word.lower(), ""
    )
