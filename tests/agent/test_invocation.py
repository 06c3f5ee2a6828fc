"""The contract's section on invocation: actions, Pacemaker's variables, logging, the SDK's own variables."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from sandbox import (
    AGENT,
    REASON_PREFIX,
    Agent,
    Node,
    need_root,
    proxy,
    secrets_of,
    syslog,
    with_files,
    without_packages,
)
from vpc_lab.ec2 import Fault, Role, key_environment, running_aws
from vpc_lab.ec2.tls import make_certificates
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

ACTIONS = [
    "start",
    "stop",
    "monitor",
    "validate-all",
    "meta-data",
    "reload-agent",
    "migrate_to",
    "migrate_from",
    "usage",
    "help",
]
UNKNOWN = ["", "status", "promote", "demote", "notify", "reload", "START", "meta_data", "start ", "--help"]


@pytest.mark.parametrize("action", UNKNOWN)
def test_an_unknown_action(action: str) -> None:
    """An unknown action exits 3, and the usage tells what there is."""
    ran = Agent().run(action)
    assert ran.code == 3, ran
    for known in ACTIONS:
        assert known in ran.stderr


@pytest.mark.parametrize("arguments", [[], ["start", "now"]], ids=str)
def test_not_exactly_one_action(arguments: list[str]) -> None:
    """No action, or more than one argument, exits 3 and does nothing."""
    done = subprocess.run([sys.executable, str(AGENT), *arguments], check=False, capture_output=True, env={}, text=True)
    assert done.returncode == 3, done


@pytest.mark.parametrize("action", ["usage", "help"])
def test_usage(action: str) -> None:
    """usage, help: prints every action; 0."""
    ran = Agent().run(action)
    assert ran.code == 0, ran
    assert all(known in ran.stdout for known in ACTIONS)
    assert ran.stderr == ""


@pytest.mark.parametrize("action", ["meta-data", "usage"])
def test_meta_data_needs_nothing(tmp_path: Path, action: str) -> None:
    """meta-data, usage: needs no root, no parameter, no boto3, no requests, no ip, no PATH, nothing in the
    environment."""
    missing = without_packages(tmp_path / "shim", "boto3", "botocore", "requests")
    nobody = ["unshare", "--user"] if os.geteuid() == 0 else []
    ran = Agent().begin(action, environ={**missing, "PATH": "/usr/bin"}, command=nobody).end()
    assert ran.code == 0, ran
    assert ran.stdout
    assert ran.stderr == ""
    assert Agent().run(action, environ={"PATH": None}).stdout == ran.stdout


def test_it_is_executable_by_itself() -> None:
    """`heartbeat/aws-ipfailover ACTION`, in any interpreter where the package is installed: here by its first line."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run([str(AGENT), "usage"], check=False, capture_output=True, env={"PATH": path}, text=True)
    assert done.returncode == 0, done


def test_the_package_is_missing(tmp_path: Path) -> None:
    """5, and one exit reason, where the interpreter does not have the package."""
    ran = Agent(environ=without_packages(tmp_path / "shim", "aws_ipfailover")).run("start")
    assert ran.code == 5, ran
    assert "aws-ipfailover" in ran.reason
    assert sys.executable in ran.reason
    assert "Traceback" not in ran.stderr


def test_by_hand(node: Node) -> None:
    """It also works by hand with none of Pacemaker's variables set."""
    node.started()
    assert node.agent.run("monitor").code == 0
    assert node.agent.run("stop").code == 0


@pytest.mark.parametrize("value", ["", "nonsense", "-1", "1.5", "²"])
def test_numbers_that_are_none(node: Node, value: str) -> None:
    """A timeout, interval or level that is no number is one that is not set."""
    variables = ("OCF_RESKEY_CRM_meta_timeout", "OCF_RESKEY_CRM_meta_interval", "OCF_CHECK_LEVEL")
    ran = node.agent.run("monitor", environ=dict.fromkeys(variables, value))
    assert ran.code == 7, ran


# -- exit reason ----------------------------------------------------------------------------------------------------


def test_exit_reason_prefix() -> None:
    """OCF_EXIT_REASON_PREFIX is used; without it, the default one."""
    assert Agent().run("start").reason
    ran = Agent().run("start", environ={"OCF_EXIT_REASON_PREFIX": "because:"})
    assert [line for line in ran.stderr.splitlines() if line.startswith("because:")]
    assert ran.reasons == []


def test_the_exit_reason_comes_last_and_once(node: Node) -> None:
    """At most one exit reason per run, on one line of its own, printed last."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="AuthFailure", message="two\nlines\tand more"))
    ran = node.agent.run("start", environ={"HA_debug": "1"})
    assert ran.code == 4, ran
    assert len(ran.reasons) == 1
    assert ran.stderr.splitlines()[-1].startswith(REASON_PREFIX)


def test_a_huge_error_message_is_cut(node: Node) -> None:
    """An exit reason is a short sentence for crm_mon: AWS's long message is cut, its code is whole."""
    message = "very long " * 1000
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="InvalidParameterValue", message=message))
    ran = node.agent.run("start")
    assert ran.code == 1, ran
    assert "ReplaceRoute: InvalidParameterValue" in ran.reason
    assert len(ran.reason) < 1000


def test_a_refusals_encoded_message_stays_out(node: Node) -> None:
    """A refusal's encoded authorization message says nothing to anybody, and is not repeated."""
    from vpc_lab.ec2 import Policy

    node.aws.account.identities.restrict_instances(Policy(()))
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert "ncoded" not in ran.reason
    assert len(ran.reason) < 300


def test_the_name_of_the_resource_forges_no_line(node: Node, tmp_path: Path) -> None:
    """OCF_RESOURCE_INSTANCE is shown on one line, whatever is in it."""
    file = tmp_path / "ha.log"
    environ = {"OCF_RESOURCE_INSTANCE": "ip\nERROR: forged\x1b[2J", "HA_LOGFILE": str(file)}
    assert node.agent.run("start", environ=environ).code == 0
    assert "aws-ipfailover(ip ERROR: forged\\x1b[2J)" in file.read_text()
    assert "\nERROR" not in file.read_text()


@pytest.mark.parametrize("action", ["meta-data", "usage"])
def test_what_cannot_be_printed_is_a_failure(action: str) -> None:
    """An action that only prints fails with 1 where standard output is closed, and is no defect to report."""
    ran = Agent().begin(action, command=["sh", "-c", 'exec "$@" >&-', "sh"]).end()
    assert ran.code == 1, ran
    assert "standard output" in ran.reason


# -- logging ----------------------------------------------------------------------------------------------------------


def test_log_file(node: Node, tmp_path: Path) -> None:
    """HA_LOGFILE: what was changed is logged there, with the resource's name; standard error has exit reasons only."""
    file = tmp_path / "ha.log"
    environ = {"HA_LOGFILE": str(file), "OCF_RESOURCE_INSTANCE": "the-vip"}
    ran = node.agent.run("start", environ=environ)
    assert ran.code == 0, ran
    assert ran.stderr == ""
    lines = file.read_text().splitlines()
    assert all("aws-ipfailover(the-vip)[" in line for line in lines)
    assert any("INFO: added 192.168.10.10 to eth0" in line for line in lines)
    assert node.agent.run("stop", environ=environ).code == 0
    assert "removed 192.168.10.10" in file.read_text()


def test_a_log_file_that_cannot_be_written(node: Node) -> None:
    """HA_LOGFILE: one that cannot be written is passed over."""
    for place in ("/no/such/directory/ha.log", "/dev/full", "/"):
        ran = node.agent.run("stop", environ={"HA_LOGFILE": place})
        assert ran.code == 0, ran


# Syslog's number for the facility local3; priority err is 3, info is 6.
LOCAL3 = 19 * 8


def test_syslog(node: Node, tmp_path: Path) -> None:
    """HA_LOGFACILITY: lines go to syslog by that facility, tagged with agent, resource and process."""
    ran, lines = syslog(node, tmp_path, "start")
    assert ran.code == 0, ran
    assert lines[0].startswith(f"<{LOCAL3 + 6}>")
    assert "aws-ipfailover(the-vip)[" in lines[0]


def test_a_failure_in_syslog(node: Node, tmp_path: Path) -> None:
    """Failures are logged at ERROR: in syslog with the priority err, which alerting goes by."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="UnauthorizedOperation", status=403))
    ran, lines = syslog(node, tmp_path, "start")
    assert ran.code == 4, ran
    (line,) = [line for line in lines if f"ERROR: start: {ran.reason}" in line]
    assert line.startswith(f"<{LOCAL3 + 3}>")


@pytest.mark.parametrize("debug", ["0", "false", "off", "", "no"])
def test_no_debug(node: Node, debug: str) -> None:
    """HA_debug: 0 and its like are off."""
    assert "DEBUG" not in node.agent.run("start", environ={"HA_debug": debug}).stderr


def test_debug(node: Node) -> None:
    """HA_debug=1: more is logged, by the agent's own log only."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", status=503, times=1))
    ran = node.agent.run("start", environ={"HA_debug": "1"})
    assert ran.code == 0, ran
    assert (
        "DEBUG: ReplaceRoute: RequestLimitExceeded: AWS limits this account's calls, retry later; trying again"
        in ran.stderr
    )


@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "2>&-", ">&-", "2>/dev/full", ">/dev/full"])
def test_streams_that_nobody_reads(node: Node, streams: str) -> None:
    """An action does its work also where its standard streams are closed or cannot be written."""
    closing = ["sh", "-c", f'exec "$@" {streams}', "sh"]
    for action, code, held in (("start", 0, 1), ("monitor", 0, 1), ("stop", 0, 0), ("monitor", 7, 0), ("status", 3, 0)):
        ran = node.agent.begin(action, command=closing).end()
        assert ran.code == code, ran
        assert len(node.held()) == held


# -- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "error", "truncate"])
def test_no_secret_in_any_output(node: Node, tmp_path: Path, kind: str) -> None:
    """Never a secret (keys, tokens, IMDS tokens), at any log level, whatever goes wrong and wherever it is logged."""
    file = tmp_path / "ha.log"
    environ = {"HA_debug": "1", "HA_LOGFILE": str(file)}
    if kind != "none":
        node.aws.faults.add(Fault(kind, service="ec2", code="AuthFailure"))  # type: ignore[arg-type]
    output = ""
    for action, options in (("start", {}), ("monitor", {"level": 10, "interval": 10}), ("validate-all", {"level": 10})):
        ran = node.agent.run(action, environ=environ, timeout=5, **options)
        output += ran.stdout + ran.stderr
    output += file.read_text() if file.exists() else ""
    secrets = secrets_of(node.aws)
    assert len(secrets) >= 4
    assert [one for one in secrets if one in output] == []


def test_no_secret_of_the_environment(node: Node) -> None:
    """Never a secret: nor keys of the environment that AWS quotes back, nor a proxy's password."""
    user = node.aws.account.identities.user()
    quoted = f"key {user.access_key_id} and {user.secret_access_key} are wrong"
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="InvalidParameterValue", message=quoted))
    ran = node.agent.run("start", environ={**key_environment(user), "HA_debug": "1"})
    assert ran.code == 1, ran
    assert user.access_key_id not in ran.stderr
    assert user.secret_access_key not in ran.stderr
    ran = node.agent.run(
        "start", environ={"HTTP_PROXY": "http://user:hunter2hunter2@127.0.0.1:9", "HA_debug": "1"}, timeout=2
    )
    assert ran.code == 1, ran
    assert "hunter2" not in ran.stderr


# -- the SDK's own variables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"])
def test_endpoint_variables(node: Node, name: str) -> None:
    """AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EC2: EC2 is asked there."""
    ran = node.agent.run("start", environ={"AWS_ENDPOINT_URL": None, name: node.aws.ec2_url})
    assert ran.code == 0, ran


def test_the_service_specific_endpoint_wins(node: Node) -> None:
    """AWS_ENDPOINT_URL_EC2 goes before AWS_ENDPOINT_URL, and the parameter endpoint_url before both."""
    nowhere = "http://127.0.0.1:9"
    environ = {"AWS_ENDPOINT_URL": nowhere, "AWS_ENDPOINT_URL_EC2": node.aws.ec2_url}
    assert node.agent.run("start", environ=environ).code == 0
    environ = {"AWS_ENDPOINT_URL": nowhere, "AWS_ENDPOINT_URL_EC2": nowhere}
    assert node.agent.run("start", {"endpoint_url": node.aws.ec2_url}, environ=environ).code == 0
    assert node.agent.run("start", environ=environ, timeout=5).code == 1


def test_region(node: Node) -> None:
    """Region: the parameter, then AWS_REGION, AWS_DEFAULT_REGION, then the instance's own from IMDS."""

    def asked(parameters: Dict[str, str], environ: Dict[str, str]) -> tuple[str | None, bool]:
        ran = node.agent.run("start", parameters, environ=environ)
        assert ran.code == 0, ran
        (region,) = {call.region for call in ran.calls if call.service == "ec2"}
        return region, "/latest/meta-data/placement/region" in ran.imds

    both = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}
    assert asked({"region": "eu-west-3"}, both) == ("eu-west-3", False)
    assert asked({}, both) == ("eu-west-1", False)
    assert asked({}, {"AWS_DEFAULT_REGION": "eu-west-2"}) == ("eu-west-2", False)
    assert asked({"auth_type": "role"}, {}) == ("eu-central-1", True)


def test_profile(node: Node, tmp_path: Path) -> None:
    """profile: region and keys of a shared-config profile; AWS_PROFILE does the same."""
    user = node.aws.account.identities.user("by-profile")
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = eu-west-9\n"
        "[profile cluster]\n"
        "region = eu-north-1\n"
        f"aws_access_key_id = {user.access_key_id}\naws_secret_access_key = {user.secret_access_key}\n"
    )
    environ = {"AWS_CONFIG_FILE": str(config)}
    for parameters, more in (({"profile": "cluster"}, {}), ({}, {"AWS_PROFILE": "cluster"})):
        ran = node.agent.run("start", parameters, environ={**environ, **more})
        assert ran.code == 0, ran
        calls = [call for call in ran.calls if call.service == "ec2"]
        assert {(call.region, call.access_key_id) for call in calls} == {("eu-north-1", user.access_key_id)}


def test_a_profile_with_a_region_only(node: Node, tmp_path: Path) -> None:
    """profile: as vendors have it, with a region and no key: the credentials are the instance's role's."""
    config = tmp_path / "config"
    config.write_text("[profile cluster]\nregion = eu-north-1\noutput = text\n")
    ran = node.agent.run("start", {"profile": "cluster"}, environ={"AWS_CONFIG_FILE": str(config)})
    assert ran.code == 0, ran
    (principal,) = {call.principal for call in ran.calls if call.service == "ec2"}
    assert principal is not None
    assert ":assumed-role/lab-node/" in principal


def test_credentials_of_the_instance(node: Node) -> None:
    """Without a profile and keys, the credentials are those of the instance's role."""
    (principal,) = {call.principal for call in node.started().calls if call.service == "ec2"}
    assert principal is not None
    assert ":assumed-role/lab-node/" in principal


def test_the_default_metadata_address(node: Node) -> None:
    """Without AWS_EC2_METADATA_SERVICE_ENDPOINT, IMDS is at 169.254.169.254, or fd00:ec2::254 in mode IPv6."""
    from sandbox import ip
    from vpc_lab.ec2.server import imds_server

    ip("address", "add", "169.254.169.254/32", "dev", "lo")
    ip("-6", "address", "add", "fd00:ec2::254/128", "dev", "lo", "nodad")
    imds = type(node.aws.imds)(node.aws.account, lambda caller: "node1", faults=node.aws.faults, calls=node.aws.calls)
    server = imds_server(imds, [("169.254.169.254", 80), ("fd00:ec2::254", 80)])
    try:
        for mode, caller in ((None, "169.254.169.254"), ("IPv6", "fd00:ec2::254")):
            environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": None, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": mode}
            ran = node.agent.run("start", environ=environ)
            assert ran.code == 0, ran
            assert {call.caller for call in ran.calls if call.service == "imds"} == {caller}
    finally:
        server.close()


@pytest.mark.parametrize("case", ["upper", "lower"])
def test_proxy(node: Node, tmp_path: Path, case: str) -> None:
    """HTTPS_PROXY: EC2 is asked through the proxy; IMDS never goes through one. AWS_CA_BUNDLE is what is trusted."""
    certificates = make_certificates(tmp_path / "tls", ["127.0.0.1"])
    with running_aws(tls=certificates.server_context()) as aws, proxy() as (url, asked):
        variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        if case == "lower":
            variables = [name.lower() for name in variables]
        environ = {
            **aws.environment(),
            "AWS_CA_BUNDLE": str(certificates.authority),
            **dict.fromkeys(variables, url),
        }
        tables = ",".join(aws.account.route_table_ids)
        ran = node.agent.run("start", {"routing_table": tables}, environ=environ)
        assert ran.code == 0, ran
        assert len(aws.calls("ReplaceRoute")) == 2
        assert set(asked) == {f"CONNECT {aws.ec2_url.removeprefix('https://')}"}
        # The guard works: with NO_PROXY for EC2 too, nothing goes through the proxy.
        asked.clear()
        assert (
            node.agent.run("start", {"routing_table": tables}, environ={**environ, "NO_PROXY": "127.0.0.1"}).code == 0
        )
        assert asked == []


def test_a_certificate_that_is_not_trusted(node: Node, tmp_path: Path) -> None:
    """AWS_CA_BUNDLE: without the authority's certificate the call fails, and the reason says it is about TLS."""
    certificates = make_certificates(tmp_path / "tls", ["127.0.0.1"])
    with running_aws(tls=certificates.server_context()) as aws:
        ran = node.agent.run("start", environ=aws.environment(), timeout=5)
        assert ran.code == 1, ran
        assert "TLS" in ran.reason
        assert node.held() == []


# -- shared VPC -----------------------------------------------------------------------------------------------------

OWNER = "210987654321"
SHARED = f"arn:aws:iam::{OWNER}:role/network"


@pytest.fixture
def shared(make_node: object) -> Node:
    """A node whose route tables belong to another account, which has a role for it."""
    node: Node = make_node(topology=topology_for(shared_vpc_owner=OWNER))  # type: ignore[operator]
    account = node.aws.account
    account.identities.put_role(Role(SHARED, None, frozenset({account.topology.account_id}), may_be_tagged=True))
    node.agent.parameters["routing_table_role"] = SHARED
    return node


def test_routing_table_role(shared: Node) -> None:
    """routing_table_role: one AssumeRole per process, whatever the number of tables; the tables are written by it."""
    ran = shared.agent.run("start")
    assert ran.code == 0, ran
    assert ran.sts == ["AssumeRole"]
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", "ReplaceRoute", "ReplaceRoute"]
    # The ENI is the participant's own, which the tables' owner does not see.
    principals = {call.action: call.principal for call in ran.calls if call.service == "ec2"}
    session = f"{shared.me.instance_id}-aws-ipfailover"
    assert principals["ReplaceRoute"] == f"arn:aws:sts::{OWNER}:assumed-role/network/{session}"
    assert ":assumed-role/lab-node/" in str(principals["DescribeNetworkInterfaces"])
    ran = shared.agent.run("monitor", level=10, interval=10)
    assert (ran.code, ran.sts) == (0, ["AssumeRole"]), ran
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", "DescribeRouteTables"]
    assert shared.agent.run("validate-all", level=10).code == 0


def test_without_the_role_the_tables_are_not_seen(shared: Node) -> None:
    """A shared VPC's tables are unknown to the participant's own credentials: 2, naming them."""
    ran = shared.agent.run("start", {"routing_table_role": None})
    assert ran.code == 2, ran
    assert shared.tables[0] in ran.reason


def test_a_role_that_may_not_be_assumed(shared: Node) -> None:
    """4, with operation and code, where the role may not be assumed; nothing has been changed."""
    ran = shared.agent.run("start", {"routing_table_role": f"arn:aws:iam::{OWNER}:role/other"})
    assert ran.code == 4, ran
    assert "AssumeRole: AccessDenied" in ran.reason
    assert shared.held() == []


def test_throttled_sts(shared: Node) -> None:
    """AssumeRole is retried as everything else."""
    shared.aws.faults.add(Fault("error", service="sts", code="Throttling", status=400, times=1))
    shared.aws.faults.add(Fault("reset", service="sts", times=1))
    assert shared.agent.run("start").code == 0


@pytest.mark.parametrize("kind", ["hang", "reset", "error"])
def test_sts_that_does_not_answer(shared: Node, kind: str) -> None:
    """An STS that does not answer fails the start with 1, before anything is changed; a monitor says 190."""
    shared.aws.faults.add(Fault(kind, service="sts", code="Throttling"))  # type: ignore[arg-type]
    ran = shared.agent.run("start", timeout=5)
    assert ran.code == 1, ran
    assert "AssumeRole" in ran.reason or "EC2" in ran.reason
    assert shared.held() == []


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-iso"])
def test_any_partition(shared: Node, partition: str) -> None:
    """routing_table_role: any partition."""
    arn = SHARED.replace("arn:aws:", f"arn:{partition}:")
    account = shared.aws.account
    account.identities.put_role(Role(arn, None, frozenset({account.topology.account_id})))
    ran = shared.agent.run("start", {"routing_table_role": arn})
    assert ran.code == 0, ran


def test_the_regional_endpoint(shared: Node, tmp_path: Path) -> None:
    """routing_table_role: by the regional endpoint of STS, and EC2's own name, region and CA bundle for both."""
    need_root()
    from vpc_lab.ec2.server import api_server

    names = ["ec2.eu-central-1.amazonaws.com", "sts.eu-central-1.amazonaws.com", "sts.amazonaws.com"]
    certificates = make_certificates(tmp_path / "tls", names)
    hosts = tmp_path / "hosts"
    # The global endpoint is there as well, at an address where nobody listens.
    hosts.write_text(f"127.0.0.1 {names[0]} {names[1]}\n127.0.0.2 {names[2]}\n")
    server = api_server(shared.aws.api, [("127.0.0.1", 443)], tls=certificates.server_context())
    try:
        ran = shared.agent.begin(
            "start",
            environ={"AWS_ENDPOINT_URL": None, "AWS_CA_BUNDLE": str(certificates.authority)},
            command=with_files({hosts: "/etc/hosts"}),
        ).end()
    finally:
        server.close()
    assert ran.code == 0, ran
    assert ran.sts == ["AssumeRole"]
    assert {call.region for call in ran.calls if call.service != "imds"} == {"eu-central-1"}


def test_the_endpoint_of_sts(shared: Node) -> None:
    """AWS_ENDPOINT_URL_STS: STS is asked there; endpoint_url is for EC2 alone."""
    environ = {"AWS_ENDPOINT_URL": None, "AWS_ENDPOINT_URL_STS": shared.aws.ec2_url}
    ran = shared.agent.run("start", {"endpoint_url": shared.aws.ec2_url}, environ=environ)
    assert ran.code == 0, ran
    assert ran.sts == ["AssumeRole"]


# -- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_terminated_in_the_middle_of_start(node: Node, number: signal.Signals) -> None:
    """A start that is ended by a signal leaves no address, prints no traceback, and says one exit reason."""
    node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    with node.agent.begin("start", timeout=60) as running:
        eventually("the routes are being written", lambda: len(node.aws.calls("ReplaceRoute")) == 2)
        assert node.held()
        running.process.send_signal(number)
        ran = running.end()
    assert ran.code == 1, ran
    assert "signal" in ran.reason
    assert "Traceback" not in ran.stderr
    assert node.held() == []


def test_terminated_while_a_failed_start_cleans_up(node: Node, tmp_path: Path) -> None:
    """A signal in the middle of the clean-up of a start that failed by itself: the address is removed all the same."""
    real, once = shutil.which("ip"), tmp_path / "once"
    (tmp_path / "ip").write_text(
        "#!/bin/sh\n"
        f'case "$*" in "address del"*) if mkdir {once} 2>/dev/null; then kill -TERM $PPID; exec sleep 60; fi;; esac\n'
        f'exec {real} "$@"\n'
    )
    (tmp_path / "ip").chmod(0o755)
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="UnauthorizedOperation"))
    ran = node.agent.run("start", environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=60)
    assert ran.code == 1, ran
    assert once.exists()
    assert node.held() == []


@pytest.mark.parametrize("path", ["/latest/api/token", "/latest/meta-data/*"])
def test_terminated_while_resolving(node: Node, path: str) -> None:
    """A signal while IMDS is asked ends the start at once, with nothing changed."""
    node.aws.faults.add(Fault("hang", service="imds", action=path))
    with node.agent.begin("start", timeout=60) as running:
        eventually("IMDS is being asked", lambda: [c for c in node.aws.calls() if re.match(path, c.action)])
        running.process.terminate()
        ran = running.end()
    assert ran.code == 1, ran
    assert "Traceback" not in ran.stderr
    assert node.held() == []


def test_terminated_monitor(node: Node) -> None:
    """A monitor that is ended by a signal says nothing of the resource, and leaves it alone."""
    node.started()
    node.aws.faults.add(Fault("hang", action="DescribeRouteTables"))
    with node.agent.begin("monitor", level=10, interval=10, timeout=60) as running:
        eventually("EC2 is being asked", lambda: node.aws.calls("DescribeRouteTables"))
        running.process.terminate()
        ran = running.end()
    assert ran.code == 1, ran
    assert "Traceback" not in ran.stderr
    assert len(node.held()) == 1


# -- the other actions ------------------------------------------------------------------------------------------------


def test_reload_agent(node: Node) -> None:
    """reload-agent: 0; takes new values of reloadable parameters without touching the address, without a call."""
    node.started()
    before = node.held(), node.routes()
    ran = node.agent.run("reload-agent", {"monapi": "true", "region": "eu-west-1", "profile": "other"})
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert (node.held(), node.routes()) == before
    assert node.agent.run("reload-agent", {"monapi": "maybe"}).code == 6
    assert (node.held(), node.routes()) == before


def test_migrate(node: Node) -> None:
    """migrate_to, migrate_from: make before break. The source keeps serving; the target takes address and routes."""
    # The source: it holds the address, and migrate_to leaves everything as it is.
    node.started()
    before = node.held(), node.routes()
    ran = node.agent.run("migrate_to")
    assert ran.code == 0, ran
    assert (node.held(), node.routes()) == before
    # The target: migrate_from is a start.
    node.agent.run("stop")
    node.point_routes_at("node2")
    ran = node.agent.run("migrate_from")
    assert ran.code == 0, ran
    assert len(node.held()) == 1
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_migrate_from_fails_as_start_does(node: Node) -> None:
    """migrate_from: exit codes as start, and cleans up as start does."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="UnauthorizedOperation"))
    ran = node.agent.run("migrate_from")
    assert ran.code == 4, ran
    assert node.held() == []


# -- root -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["start", "migrate_from"])
def test_not_root(node: Node, action: str) -> None:
    """4: not root. Nothing is asked and nothing changed."""
    ran = node.agent.begin(action, command=["unshare", "--user"]).end()
    assert ran.code == 4, ran
    assert "root" in ran.reason
    assert ran.calls == ()


@pytest.mark.parametrize("name", ["boto3", "botocore", "requests"])
def test_start_without_packages(node: Node, tmp_path: Path, name: str) -> None:
    """5: boto3 or requests missing; the reason names it, and nothing has been changed."""
    ran = node.agent.run("start", environ=without_packages(tmp_path / "shim", name))
    assert ran.code == 5, ran
    assert name in ran.reason
    assert node.held() == []
    assert "Traceback" not in ran.stderr


def test_start_without_iproute2(node: Node, tmp_path: Path) -> None:
    """5: iproute2 missing."""
    (tmp_path / "empty").mkdir()
    ran = node.agent.run("start", environ={"PATH": str(tmp_path / "empty")})
    assert ran.code == 5, ran
    assert "iproute2" in ran.reason
    assert ran.calls == ()
