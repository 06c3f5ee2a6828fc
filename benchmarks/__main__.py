"""Run the benchmarks and write docs/performance.md: `python -m benchmarks [NAME ...]`.

What is not named keeps the figures of its last run. `--quick` runs each for a minute or two, to see that it works, and
writes nothing into docs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List

import boto3
import botocore

import aws_ipfailover

from . import peer

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "bench"
DOCS = ROOT / "docs"
# Each benchmark, and the heading of its section.
NAMES = {
    "actions": "## Actions",
    "failover": "## Failover",
    "propagation": "## Make before break while routes take effect",
    "scale": "## Many addresses",
    "many": "## Many addresses of one service",
    "doctor": "## The doctor",
}
INTRODUCTION = """# Performance

What users wait for is the gap in answers. These figures are of one machine and one day, beside what is used today:
`ocf:heartbeat:aws-vpc-move-ip` of resource-agents, with `lookup_type=NetworkInterfaceId` and the AWS CLI. EC2, instance
metadata and the VPC are [the lab's](lab.md); kernel, Corosync and Pacemaker are the real ones. EC2's own time for a
write to take effect is in no figure: AWS publishes none. `make bench` measures again and writes this page.
"""


def main() -> None:
    """Measure, keep the results, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name!r}: {', '.join(NAMES)}")
    if os.geteuid() != 0:
        parser.error("root is needed")
    peer.require()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        begun = time.monotonic()
        result = module.measure(_say, arguments.quick)
        _say(f"{name}: {(time.monotonic() - begun) / 60:.0f} minutes")
        kept = {"about": _about(), "result": result}
        (RESULTS / f"{name}{'.quick' if arguments.quick else ''}.json").write_text(json.dumps(kept), encoding="utf-8")
        if arguments.quick:
            _say(module.markdown(result))
    if not arguments.quick:
        write()


def write() -> None:
    """Write the page and its plots from the results that there are; other sections stay as they are."""
    parts, plots = [INTRODUCTION], DOCS / "performance"
    plots.mkdir(exist_ok=True)
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    sections = {"## " + part.partition("\n")[0]: "## " + part for part in page.split("\n## ")[1:]}
    for name, heading in NAMES.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            parts += [sections[heading].rstrip() + "\n"] if heading in sections else []
        else:
            kept: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            module = importlib.import_module(f"benchmarks.{name}")
            module.plots(kept["result"], plots)
            parts += [module.markdown(kept["result"]).rstrip() + "\n", f"*{'; '.join(kept['about'])}.*\n"]
    (DOCS / "performance.md").write_text("\n".join(parts), encoding="utf-8")
    _say(f"wrote {DOCS / 'performance.md'}")


def _about() -> List[str]:
    """The machine, versions and date."""
    processors = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors ({processors[0] if processors else 'unknown'})",
        f"Linux {platform.release().split('-')[0]}",
        f"Python {platform.python_version()}, boto3 {boto3.__version__}, botocore {botocore.__version__}",
        f"aws-ipfailover {aws_ipfailover.__version__}",
        f"resource-agents {_package('resource-agents')}, {peer.cli_version()}, pacemaker {_package('pacemaker')}",
    ]


def _package(name: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout or "(not a package)"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
