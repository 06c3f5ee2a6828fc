"""The environment variables that Pacemaker passes to an agent; all of them may be missing."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple


class Action(NamedTuple):
    """An action as the metadata announces it; times in seconds."""

    name: str
    timeout: int
    interval: Optional[int] = None
    depth: Optional[int] = None


ACTIONS: Tuple[Action, ...] = (
    Action("start", 180),
    Action("stop", 180),
    Action("monitor", 30, interval=60, depth=0),
    Action("monitor", 30, interval=120, depth=10),
    Action("reload-agent", 20),
    Action("migrate_to", 180),
    Action("migrate_from", 180),
    Action("validate-all", 20),
    Action("meta-data", 5),
)


# Seconds. A longer timeout is cut: no action needs more, and timers overflow with very large numbers.
_LONGEST_TIMEOUT = 86400.0


class Environment:
    """Pacemaker's variables, with defaults for a run by hand."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def parameters(self) -> Dict[str, str]:
        """The resource's own parameters, without prefix and without Pacemaker's own."""
        prefix = "OCF_RESKEY_"
        return {
            name[len(prefix) :]: text
            for name, text in self._environ.items()
            if name.startswith(prefix) and not name[len(prefix) :].lower().startswith("crm_")
        }

    def timeout(self, action: str, actions: Sequence[Action] = ACTIONS) -> float:
        """Seconds that this action may take; without a timeout from Pacemaker, what the metadata recommends.

        `actions`: those of the metadata.
        """
        milliseconds = self._number("OCF_RESKEY_CRM_meta_timeout")
        if milliseconds:
            return min(milliseconds / 1000, _LONGEST_TIMEOUT)
        return float(next((known.timeout for known in actions if known.name == action), 30))

    def is_probe(self) -> bool:
        """Whether a monitor is a probe, which has no interval."""
        return not self._number("OCF_RESKEY_CRM_meta_interval")

    def resource_id(self) -> str:
        """The id of the resource in the cluster; empty by hand."""
        return self._environ.get("OCF_RESOURCE_INSTANCE", "").strip()

    def check_level(self) -> int:
        """The requested depth of a check, OCF_CHECK_LEVEL; 0 if there is none."""
        return self._number("OCF_CHECK_LEVEL")

    def _number(self, name: str) -> int:
        text = self._environ.get(name, "").strip()
        return int(text[:15]) if text.isascii() and text.isdigit() else 0
