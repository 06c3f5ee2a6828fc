"""The .deb, installed in a box around this machine's system: its agents answer as the checkout's do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from aws_ipfailover.ocf.metadata import metadata
from box import AGENT, Box
from sandbox import Node
from vpc_lab.waiting import eventually

from .conftest import deb_of


def test_a_resource_is_started_and_stopped(installed: Box, node: Node, note: Callable[[str], None]) -> None:
    """validate-all, start, monitor with and without the cloud, stop: from the installed files, against EC2's API."""
    agent = replace(node.agent, interpreter=tuple(installed.prefix), path=Path(AGENT))
    ran = [agent.run("validate-all"), agent.run("monitor"), agent.run("start")]
    assert [one.code for one in ran] == [0, 7, 0], [str(one) for one in ran]
    assert [one.address for one in node.held()] == [node.destination]
    assert set(node.routes().values()) == {node.me.network_interface_id}
    ran += [agent.run("monitor"), agent.run("monitor", level=10, interval=60), agent.run("stop"), agent.run("monitor")]
    assert [one.code for one in ran[3:]] == [0, 0, 0, 7], [str(one) for one in ran]
    assert node.held() == []
    assert ran[3].calls == ran[5].calls == ()
    note(f"start {ran[2].elapsed:.2f} s, stop {ran[5].elapsed:.2f} s")


def test_metadata(installed: Box) -> None:
    """meta-data prints what the checkout prints, as the user `hacluster`, who is nobody special, too."""
    assert installed.run(AGENT, "meta-data").stdout == metadata("aws-ipfailover")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", AGENT, "meta-data"]
    assert installed.run(*as_nobody).stdout == metadata("aws-ipfailover")
    assert "aws-ipfailover-health" in installed.run(f"{AGENT}-health", "meta-data").stdout


def test_nothing_of_the_system_is_used(installed: Box) -> None:
    """The SDK is the package's own, isolated from the system's; certificates are the system's."""
    script = (
        "import boto3, botocore, requests, click, certifi;"
        " print(*[one.__file__ for one in (boto3, botocore, requests, click)], certifi.where(), sep='\\n')"
    )
    python = "/usr/lib/aws-ipfailover/current/bin/python"
    *modules, authorities = installed.run(python, "-I", "-c", script, environ={"PYTHONPATH": "/x"}).stdout.split()
    assert all(one.startswith("/usr/lib/aws-ipfailover/") for one in modules)
    assert authorities == "/etc/ssl/certs/ca-certificates.crt"


def test_credentials_of_every_kind(installed: Box) -> None:
    """The trimmed SDK still has the services that profiles take credentials from: STS, SSO, its login."""
    script = (
        "import botocore.session; s = botocore.session.get_session();"
        " [s.create_client(one, region_name='eu-central-1') for one in ('ec2', 'sts', 'sso', 'sso-oidc')];"
        " print(s.create_client('ec2', region_name='cn-north-1').meta.endpoint_url)"
    )
    done = installed.run("/usr/lib/aws-ipfailover/current/bin/python", "-I", "-c", script)
    assert done.stdout.strip() == "https://ec2.cn-north-1.amazonaws.com.cn"


def test_bytecode_is_there(installed: Box) -> None:
    """Every module is compiled when the package is installed, so that no operation does it."""
    count = "find /usr/lib/aws-ipfailover/current/ -name '*.{}' | wc -l"
    assert installed.sh(count.format("pyc")) == installed.sh(
        "find /usr/lib/aws-ipfailover/current/lib/python3/ -name '*.py' | wc -l"
    )


def test_the_command(installed: Box) -> None:
    """`aws-ipfailover` prints help and completes; the lab, which is another package, is told of."""
    assert installed.run("aws-ipfailover", "--version").stdout.startswith("aws-ipfailover 0.")
    assert "Usage: aws-ipfailover status" in installed.run("aws-ipfailover", "status", "--help").stdout
    assert installed.run("aws-ipfailover", "lab", "up", check=False).returncode == 1
    words = {"COMP_WORDS": "aws-ipfailover doc", "COMP_CWORD": "1", "_AWS_IPFAILOVER_COMPLETE": "bash_complete"}
    assert "doctor" in installed.run("aws-ipfailover", environ=words).stdout


def test_another_name(installed: Box) -> None:
    """`install --as` makes a link, which runs under its name; without it the package has done all there is to do."""
    done = installed.run("aws-ipfailover", "install", check=False)
    assert (done.returncode, "the system's package" in done.stderr) == (1, True), done
    installed.run("aws-ipfailover", "install", "--as", "suse:aws-vpc-move-ip")
    alias = "/usr/lib/ocf/resource.d/suse/aws-vpc-move-ip"
    assert installed.run("readlink", alias).stdout.strip() == AGENT
    assert installed.run(alias, "usage").stdout.startswith("usage: aws-vpc-move-ip")
    installed.run("aws-ipfailover", "install", "--as", "suse:aws-vpc-move-ip", "--remove")
    assert installed.run("test", "-e", alias, check=False).returncode == 1


@pytest.mark.parametrize("action", ["stop", "monitor"])
def test_neither_pythonpath_nor_the_directory_is_executed(installed: Box, action: str) -> None:
    """The agent loads nothing from PYTHONPATH and nothing from the working directory."""
    script = """
        mkdir -p /run/evil
        for name in signal logging json aws_ipfailover; do echo 'open("/run/mark", "w")' >/run/evil/$name.py; done
        cd /run/evil; PYTHONPATH=/run/evil CDPATH=/run/evil "$@" || :
        test ! -e /run/mark
    """
    installed.sh(script, AGENT, action)


def test_files_are_as_they_were_packed(installed: Box) -> None:
    """`dpkg --verify` finds nothing to complain of, also after the agent has run."""
    assert installed.run("dpkg", "--verify", "aws-ipfailover").stdout == ""


def test_before_it_is_configured(open_box: Box, packages: Path) -> None:
    """Unpacked over an agent of pip's, and not configured yet: operations run, and leave no file in the package."""
    open_box.run("dpkg", "--unpack", deb_of(packages))
    environ = {"OCF_RESKEY_ip": "192.168.10.10", "OCF_RESKEY_CRM_meta_interval": "2000"}
    assert open_box.run(AGENT, "monitor", check=False, environ=environ).returncode == 7
    assert open_box.run(AGENT, "meta-data").returncode == 0
    assert open_box.sh("find /usr/lib/aws-ipfailover/ -name __pycache__") == ""


def test_the_box_waits_for_what_has_lost_its_parent(installed: Box) -> None:
    """No zombie stays: a node of the lab whose processes nobody waits for would never be off."""
    installed.sh("sh -c 'sleep 0.1 & sleep 0.1 & exit'")
    eventually("all are gone", lambda: installed.sh("grep -ls '^State:.Z' /proc/[0-9]*/status || :") == "")
