"""The machine's own fence agent, described with parameters that only newer ones have: it is run without them.

`.NAME.json` among the OCF agents names these parameters; the agent itself is beside that file. Without it crm and pcs
would refuse a configuration that is written for a newer version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Sequence
from xml.sax.saxutils import quoteattr


def described(metadata: str, parameters: Sequence[str]) -> str:
    """The agent's metadata with these parameters in it."""
    more = "".join(
        f'<parameter name={quoteattr(name)} unique="0" required="0">'
        f'<getopt mixed={quoteattr("--" + name + "=")}/><content type="string"/>'
        f'<shortdesc lang="en">Newer than the agent of this machine, which is run without it</shortdesc></parameter>\n'
        for name in parameters
    )
    return metadata.replace("</parameters>", more + "</parameters>", 1)


def known(lines: Sequence[str], parameters: Sequence[str]) -> List[str]:
    """What the fencer writes, without these parameters."""
    return [line for line in lines if line.partition("=")[0].strip() not in parameters]


def main() -> int:
    """Do what Pacemaker asks, through the agent, which takes this process's place where it acts."""
    path = Path(sys.argv[0])
    place = path.parents[2] / "usr/lib/ocf/resource.d/.lab"
    parameters = json.loads((place / f".{path.name}.json").read_text(encoding="utf-8"))["newer"]
    agent = [str(place / path.name), *sys.argv[1:]]
    if {"metadata", "--action=metadata"} & set(sys.argv):
        done = subprocess.run(agent, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False, text=True)
        sys.stdout.write(described(done.stdout, parameters))
        return done.returncode
    lines = [] if len(sys.argv) > 1 else sys.stdin.readlines()
    if any(line.strip() == "action=metadata" for line in lines):
        done = subprocess.run([*agent, "-o", "metadata"], stdout=subprocess.PIPE, check=False, text=True)
        sys.stdout.write(described(done.stdout, parameters))
        return done.returncode
    # So that the fencer's signals reach it.
    reader, writer = os.pipe()
    os.write(writer, "".join(known(lines, parameters)).encode())
    os.close(writer)
    os.dup2(reader, 0)
    return os.execv(agent[0], agent)  # noqa: S606 - an argument list


if __name__ == "__main__":
    sys.exit(main())
