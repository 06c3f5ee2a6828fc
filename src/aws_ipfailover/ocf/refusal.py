"""Why one of Pacemaker's programs has failed, as half a sentence.

Facts: Pacemaker, include/crm/common/results.h: CRM_EX_INSUFFICIENT_PRIV (4), CRM_EX_DISCONNECT (102); with
`--output-as=xml` a program writes its errors to standard output (xml/api/status-2.0.rng). `cibadmin` was seen to end
with 102 also where the user may not ask (2.1.5).
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET

from aws_ipfailover.output import printable
from aws_ipfailover.programs import Done

_NOT_PERMITTED, _DISCONNECTED = 4, 102
_LONGEST = 300  # characters of what a program says


def refusal(name: str, done: Done) -> str:
    """What `name` said when it failed, on one line, and what to do about it where that is known."""
    said = printable(_errors(done.stdout) or done.stderr or done.stdout)[:_LONGEST]
    text = f"{name} fails ({done.returncode}){f': {said}' if said else ''}"
    if done.returncode not in (_NOT_PERMITTED, _DISCONNECTED):
        return text
    if os.geteuid() != 0:
        return f"{text}; Pacemaker answers root, so run this as root"
    return f"{text}; Pacemaker does not answer on this node"


def _errors(printed: str) -> str:
    """The errors in a document of Pacemaker; empty if it is none, or has none."""
    if "<pacemaker-result" not in printed:
        return ""
    try:
        root = ET.fromstring(printed)  # noqa: S314  what the installed Pacemaker prints
    except ET.ParseError:
        return ""
    return "; ".join(one.text or "" for one in root.iterfind("status/errors/error"))
