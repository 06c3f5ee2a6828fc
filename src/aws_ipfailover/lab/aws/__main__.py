"""`python -m aws_ipfailover.lab.aws`: an AWS in a process of its own. Ends with its standard input, or on SIGTERM."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Optional, Sequence, Tuple

from aws_ipfailover.lab.aws.account import Account
from aws_ipfailover.lab.aws.control import control_server
from aws_ipfailover.lab.aws.running import start_aws
from aws_ipfailover.lab.aws.tls import make_certificates
from aws_ipfailover.lab.plan import Plan


def address(text: str) -> Tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT`."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def named_mac(text: str) -> Tuple[str, str]:
    """`NAME=MAC`."""
    name, separator, mac = text.partition("=")
    if not separator or len(mac.split(":")) != 6:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MAC")
    return name, mac


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m aws_ipfailover.lab.aws", description=__doc__)
    parser.add_argument("--api", type=address, action="append", help="HOST:PORT for EC2 and STS (repeatable)")
    parser.add_argument("--imds", type=address, action="append", help="HOST:PORT for instance metadata (repeatable)")
    parser.add_argument("--control", type=Path, help="path of the Unix socket for control calls")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="serve the API over TLS; certificates are made in DIR")
    parser.add_argument("--imds-instance", default="node1", help="who a caller with an unplanned address is to IMDS")
    parser.add_argument("--extra-route-tables", type=int, default=0)
    parser.add_argument("--mac", type=named_mac, action="append", default=[], help="NAME=MAC of a primary ENI")
    parser.add_argument("--region", default=Plan.region)
    parser.add_argument("--shared-vpc-owner", help="the account that owns the route tables")
    options = parser.parse_args(arguments)

    subnets = tuple(
        replace(subnet, availability_zone=options.region + subnet.availability_zone[-1]) for subnet in Plan.subnets
    )
    plan = replace(Plan(), region=options.region, subnets=subnets)
    ending = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())

    def watch_standard_input() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        ending.set()

    Thread(target=watch_standard_input, daemon=True).start()
    tls = None
    api_addresses = options.api or [("127.0.0.1", 0)]
    if options.tls is not None:
        names = (*plan.api_host_names(), *(host for host, _ in api_addresses))
        tls = make_certificates(options.tls, names).server_context()
    account = Account(
        plan,
        extra_route_tables=options.extra_route_tables,
        macs=dict(options.mac),
        shared_vpc_owner=options.shared_vpc_owner,
    )

    def who(caller: str) -> str:
        found = account.instance_at(caller)
        return options.imds_instance if found is None else found.name

    aws = start_aws(
        account,
        api_addresses=api_addresses,
        imds_addresses=options.imds or [("127.0.0.1", 0)],
        tls=tls,
        who=who,
    )
    control = None if options.control is None else control_server(aws, options.control)
    print(json.dumps({"ec2_url": aws.ec2_url, "imds_url": aws.imds_url}), flush=True)  # noqa: T201 - the parent waits
    ending.wait()
    if control is not None:
        control.close()
    aws.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
