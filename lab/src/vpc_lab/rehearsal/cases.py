"""The test cases of SUSE's guide for SAP HANA on AWS, and what of them a rehearsal plays. Values only.

Source: SUSE/suse-best-practices, `adoc/SLES4SAP-hana-sr-guide-perfopt-15-aws.adoc`, the section on testing the cluster;
the numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

_ENDS = "the stand-in ends, and its monitor finds that: `HDB stop` and `HDB kill-9` are the same to it"
_SECOND = "the second half, from the other side, after the registration"
_TAKEOVER = "the secondary takes over; the former primary is not registered; afterwards no failed action is left"
_CRASH = "the node is fenced, the secondary takes over; the former primary is not registered"
_RESTART = "the database is restarted where it was and in sync again; no failed action is left"


@dataclass(frozen=True)
class Case:
    """A case. `expected`: what the guide expects, and the rehearsal checks.

    `address`: from which node to which the address goes. `scenario`: what plays it, empty where nothing can; `remark`:
    how, or why not.
    """

    number: int
    name: str
    expected: str
    address: str
    scenario: str
    remark: str


_PRIMARY, _CRASHES = "failure-of-each-primary-in-turn", "crash-of-each-primary-in-turn"
_AUTOMATIC = "takeover-with-automatic-registration"
_SYSRQ = "a power cut instead of sysrq"
CASES: Tuple[Case, ...] = (
    Case(1, "STOP_PRIMARY_SITE_A", _TAKEOVER, "1 to 2", _PRIMARY, _ENDS),
    Case(2, "STOP_PRIMARY_DB_SITE_B", _TAKEOVER, "2 to 1", _PRIMARY, _SECOND),
    Case(3, "CRASH_PRIMARY_DB_SITE_A", _TAKEOVER, "1 to 2", _PRIMARY, _ENDS),
    Case(4, "CRASH_PRIMARY_DB_SITE_B", _TAKEOVER, "2 to 1", _PRIMARY, _SECOND),
    Case(5, "CRASH_PRIMARY_NODE_SITE_A", _CRASH, "1 to 2", _CRASHES, _SYSRQ),
    Case(6, "CRASH_PRIMARY_NODE_SITE_B", _CRASH, "2 to 1", _CRASHES, _SECOND),
    Case(7, "STOP_SECONDARY_DB_SITE_B", _RESTART, "stays", "failure-of-the-secondary", _ENDS),
    Case(8, "CRASH_SECONDARY_DB_SITE_B", _RESTART, "stays", "failure-of-the-secondary", _ENDS),
    Case(
        9,
        "CRASH_SECONDARY_NODE_SITE_B",
        "the node is fenced; its database starts by itself when it is back, and is in sync",
        "stays",
        "crash-of-a-standby",
        _SYSRQ,
    ),
    Case(
        10,
        "Failure of replication LAN",
        "nothing",
        "-",
        "",
        "not applicable on AWS, as the guide says: there is no such network",
    ),
    Case(
        11,
        "STOP_PRIMARY_DB_SITE_A, registration automatic",
        "the secondary takes over; the former primary is a secondary in sync, without a hand",
        "1 to 2",
        _AUTOMATIC,
        "the first half",
    ),
    Case(
        12,
        "CRASH_PRIMARY_NODE_SITE_B, registration automatic",
        "the node is fenced, the other takes over; when it is back it is a secondary in sync, without a hand",
        "2 to 1",
        _AUTOMATIC,
        "the second half",
    ),
)
