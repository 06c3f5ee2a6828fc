"""All checks, and how they are asked: side by side, within one deadline."""

from __future__ import annotations

from functools import partial
from typing import List, Sequence, Tuple

from aws_ipfailover.deadline import Task
from aws_ipfailover.diagnosis import (
    access,
    cluster,
    coverage,
    filters,
    interface,
    local_network,
    machine,
    permissions,
    routing,
)
from aws_ipfailover.diagnosis.finding import Area, Check, Finding, NotAskedError, unknown
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError, Error, defect

# In the order in which they are told.
CHECKS: Tuple[Check, ...] = (
    *machine.CHECKS,
    *access.CHECKS,
    *permissions.CHECKS,
    *routing.CHECKS,
    *interface.CHECKS,
    *coverage.CHECKS,
    *filters.CHECKS,
    *local_network.CHECKS,
    *cluster.CHECKS,
)


AREAS: Tuple[Area, ...] = tuple(dict.fromkeys(one.area for one in CHECKS))


class Examination:
    """The checks of one resource, which have begun; those of the node itself are left out unless `of_node`."""

    def __init__(self, surroundings: Surroundings, checks: Sequence[Check] = CHECKS, *, of_node: bool) -> None:
        self._deadline = surroundings.deadline
        chosen = [one for one in checks if one.of_node is of_node and surroundings.mode in one.modes]
        self.checks = [one for one in chosen if one.applies(surroundings)]
        self._tasks = [Task(partial(_ask, one, surroundings)) for one in self.checks]

    def findings(self) -> List[Finding]:
        """What each check found, in their order; what has no answer at the deadline is UNKNOWN."""
        found = []
        for check, task in zip(self.checks, self._tasks):
            try:
                finding = task.result(self._deadline, check.name)
            except Error:
                finding = unknown("no answer in time")
            found.append(finding._replace(check=check.name, title=check.title, area=check.area.key))
        return found


def _ask(check: Check, surroundings: Surroundings) -> Finding:
    """What a check finds: UNKNOWN where it has no answer, whatever happens."""
    try:
        return check.look(surroundings)
    except NotAskedError as error:
        return unknown(str(error))
    except DeniedError as error:
        return unknown(str(error), f'Allow {_action(error)} on Resource "*", so that this can be answered.')
    except Error as error:
        return unknown(str(error))
    except Exception as error:  # noqa: BLE001  a defect here must not look like an answer
        return unknown(defect(error))


def _action(error: Error) -> str:
    """The permission that an error is about: a sentence of EC2 starts with the operation."""
    return f"ec2:{str(error).partition(':')[0]}"
