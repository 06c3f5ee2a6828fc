"""An init script that stands in for another one: to Pacemaker its service runs on a node, or it does not (class lsb).

`.NAME.json` beside it says which resource has it. That it runs is a file in /run, as of a stand-in for an OCF agent.
Exit codes: Linux Standard Base, "Init Script Actions".
"""

### BEGIN INIT INFO
# Provides: stand-in
# Required-Start:
# Required-Stop:
# Default-Start:
# Default-Stop:
# Short-Description: A stand-in of the lab: it runs or it does not.
### END INIT INFO

from __future__ import annotations

import json
import sys
from pathlib import Path

RUNS = Path("/run/stand-ins")
SUCCESS, UNIMPLEMENTED, NOT_RUNNING = 0, 3, 3


def perform(action: str, file: Path) -> int:
    """What is asked for; the exit code."""
    if action in ("start", "restart", "force-reload"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("started\n", encoding="ascii")
        return SUCCESS
    if action == "stop":
        if file.exists():
            file.unlink()
        return SUCCESS
    if action == "status":
        return SUCCESS if file.exists() else NOT_RUNNING
    return UNIMPLEMENTED


def main() -> int:
    """Do what Pacemaker asks."""
    path = Path(sys.argv[0])
    about = json.loads((path.parent / f".{path.name}.json").read_text(encoding="utf-8"))
    return perform(sys.argv[1] if len(sys.argv) > 1 else "", RUNS / about["resource"])


if __name__ == "__main__":
    sys.exit(main())
