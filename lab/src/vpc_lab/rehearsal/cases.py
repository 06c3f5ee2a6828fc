"""The test cases of SUSE's guide for SAP HANA on AWS, and what of them a rehearsal plays. Values only.

Source: SUSE/suse-best-practices, `adoc/SLES4SAP-hana-sr-guide-perfopt-15-aws.adoc`, the section on testing the cluster;
the numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

_STAND_IN = "a stand-in cannot tell `HDB stop` from `HDB kill-9`: it ends, and its monitor finds that"


@dataclass(frozen=True)
class Case:
    """A case. `scenario`: what plays it, empty where nothing can; `remark`: how, or why not."""

    number: int
    name: str
    scenario: str
    remark: str


CASES: Tuple[Case, ...] = (
    Case(1, "STOP_PRIMARY_SITE_A", "failure-of-each-primary-in-turn", _STAND_IN),
    Case(2, "STOP_PRIMARY_DB_SITE_B", "failure-of-each-primary-in-turn", "its second half, after the registration"),
    Case(3, "CRASH_PRIMARY_DB_SITE_A", "failure-of-each-primary-in-turn", _STAND_IN),
    Case(4, "CRASH_PRIMARY_DB_SITE_B", "failure-of-each-primary-in-turn", "its second half, after the registration"),
    Case(5, "CRASH_PRIMARY_NODE_SITE_A", "crash-of-each-primary-in-turn", "power cut instead of sysrq"),
    Case(6, "CRASH_PRIMARY_NODE_SITE_B", "crash-of-each-primary-in-turn", "its second half, after the registration"),
    Case(7, "STOP_SECONDARY_DB_SITE_B", "failure-of-the-secondary", _STAND_IN),
    Case(8, "CRASH_SECONDARY_DB_SITE_B", "failure-of-the-secondary", _STAND_IN),
    Case(9, "CRASH_SECONDARY_NODE_SITE_B", "crash-of-a-standby", "power cut instead of sysrq"),
    Case(10, "Failure of replication LAN", "", "not applicable on AWS, as the guide says: there is no such network"),
    Case(11, "STOP_PRIMARY_DB_SITE_A", "takeover-with-automatic-registration", "its first half"),
    Case(12, "CRASH_PRIMARY_NODE_SITE_B", "takeover-with-automatic-registration", "its second half"),
)
