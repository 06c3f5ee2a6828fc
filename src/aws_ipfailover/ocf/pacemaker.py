"""Asks Pacemaker whether it manages the resource, before a monitor repairs something in EC2."""

from __future__ import annotations

import logging
import re

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError

log = logging.getLogger(__name__)

# Seconds to wait for the answer of `crm_resource`.
_PATIENCE = 4.0
_NOT_KNOWN = "whether Pacemaker manages it is not known"


class Pacemaker:
    """The cluster that runs the resource `resource_id`; empty where the agent is run by hand."""

    def __init__(self, resource_id: str, deadline: Deadline) -> None:
        self._resource_id = resource_id
        self._deadline = deadline

    def manages(self) -> bool:
        """Whether Pacemaker manages the resource: neither unmanaged, nor blocked, nor in maintenance mode.

        `crm_resource --query-xml` begins with the resource's state as crm_mon shows it, which includes maintenance
        mode of the cluster and of the node.

        Raises:
            UnknownError: `crm_resource` is not there, does not know the resource, or does not answer in time.
        """
        which = ["--resource", self._resource_id] if self._resource_id else []
        program = programs.find("crm_resource")
        if program is None:
            raise UnknownError(f"crm_resource is not in PATH: {_NOT_KNOWN}")
        try:
            done = programs.run([program, "--query-xml", *which], self._deadline.remaining(_PATIENCE))
        except UnknownError as error:
            raise UnknownError(f"crm_resource: {error}: {_NOT_KNOWN}") from None
        if done.returncode != 0:
            raise UnknownError(f"crm_resource fails ({done.returncode}): {_NOT_KNOWN}")
        return is_managed(done.stdout)


# In text, marks stand in brackets behind the state, as in "Started node1 (disabled, unmanaged)"; in XML they are
# attributes. Names are no marks: a resource can be called "ip-maintenance". A blocked resource (on-fail=block) is not
# managed either, and that mark hides the others: Pacemaker, lib/pengine/native.c, pcmk__native_output_string.
_UNMANAGED = re.compile(
    r'\([^()]*\b(unmanaged|maintenance|blocked)\b[^()]*\)|\bmanaged="false"|\b(maintenance|blocked)="true"'
    r"|^\s*false\s*$"
)
# What a state is known by, in every version: the agent in brackets behind the resource's name, or attributes. Or, as
# other options of crm_resource print it, the bare value of is-managed.
_STATE = re.compile(r'\(ocf:|\bresource_agent="ocf:|\bmanaged="|^\s*(true|false)\s*$')


def is_managed(said: str) -> bool:
    """Whether `crm_resource` shows a managed resource: its state has none of the marks above.

    Raises:
        UnknownError: it shows no state, or something else.
    """
    state = said.split("<primitive", maxsplit=1)[0]
    if not _STATE.search(state):
        raise UnknownError(f"crm_resource shows no state: {_NOT_KNOWN}")
    return _UNMANAGED.search(state) is None
