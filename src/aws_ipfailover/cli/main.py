"""The command `aws-ipfailover`."""

from __future__ import annotations

import argparse
import sys
from typing import Optional, Sequence

from aws_ipfailover import __version__
from aws_ipfailover.cli import install, lab, parameters


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="aws-ipfailover", description="Move a fixed IP address between AWS instances, under Pacemaker."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    install.register(commands)
    lab.register(commands)
    parameters.register(commands)
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
