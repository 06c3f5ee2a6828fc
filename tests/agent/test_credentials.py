"""The contract's sentences about credentials, clocks, policies, proxies and endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from sandbox import Node, Ran, ip, proxy
from vpc_lab.ec2 import Fault, Policy, Role, key_environment
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

DEGRADED = 190
TABLE = "arn:aws:ec2:eu-central-1:123456789012:route-table/*"


def replaced(ran: Ran) -> list[str | None]:
    """The access keys that ReplaceRoute was called with and accepted."""
    return [call.access_key_id for call in ran.calls if call.action == "ReplaceRoute" and call.outcome == "ok"]


# -- expired credentials ----------------------------------------------------------------------------------------------


def start_while_they_expire(node: Node, operation: str) -> Ran:
    """A start whose credentials expire before EC2, or STS, answers an operation."""
    number = node.aws.faults.add(Fault("error", action=operation, service="*", code="InternalError", status=500))
    with node.agent.begin("start") as running:
        eventually("the first credentials are used", lambda: node.aws.calls(operation))
        node.aws.account.identities.expire()
        node.aws.faults.remove(number)
        return running.end()


def test_expired_credentials_are_fetched_anew(node: Node) -> None:
    """Credentials that expired are fetched anew once: those that IMDS hands out then are used."""
    ran = start_while_they_expire(node, "ReplaceRoute")
    assert ran.code == 0, ran
    assert "RequestExpired" in {call.outcome for call in ran.calls}
    assert len(set(replaced(ran))) == 1
    assert len([path for path in ran.imds if path.endswith("/lab-node")]) == 2
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_they_are_fetched_anew_only_once(node: Node) -> None:
    """Credentials that expired are fetched anew once: where IMDS has none but those, the start ends with 4."""
    node.aws.account.identities.of_instance(node.me.instance_id)
    node.aws.account.identities.expire(renew=False)
    ran = node.agent.run("start", timeout=30)
    assert ran.code == 4, ran
    assert "RequestExpired" in ran.reason
    assert len([path for path in ran.imds if path.endswith("/lab-node")]) == 2
    assert node.held() == []


def test_expired_credentials_in_a_monitor(node: Node) -> None:
    """UNKNOWN 190: credentials that have expired, and are no others when they are fetched anew."""
    node.hold()
    node.aws.account.identities.of_instance(node.me.instance_id)
    node.aws.account.identities.expire(renew=False)
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    node.aws.account.identities.renew()
    assert node.agent.run("monitor", level=10, interval=10).code == 0


@pytest.fixture
def shared(make_node: Any) -> Node:
    """A node whose route tables belong to another account, which has a role for it."""
    node: Node = make_node(topology=topology_for(shared_vpc_owner="210987654321"))
    account = node.aws.account
    arn = "arn:aws:iam::210987654321:role/network"
    account.identities.put_role(Role(arn, None, frozenset({account.topology.account_id})))
    node.agent.parameters["routing_table_role"] = arn
    return node


@pytest.mark.parametrize("operation", ["AssumeRole", "ReplaceRoute"])
def test_expired_credentials_and_a_role(shared: Node, operation: str) -> None:
    """Credentials that expired are fetched anew once: those of a role to assume, and those to assume it with."""
    ran = start_while_they_expire(shared, operation)
    assert ran.code == 0, ran
    expired = [call.outcome for call in ran.calls if call.action == operation]
    assert {"ExpiredToken", "RequestExpired"} & set(expired), ran
    assert set(shared.routes().values()) == {shared.me.network_interface_id}


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "word"), [(1000.0, "behind"), (-1000.0, "ahead")])
def test_a_clock_that_is_off(node: Node, seconds: float, word: str) -> None:
    """AuthFailure with a clock that is off says so, in the first 110 characters, and what to do."""
    node.aws.faults.add(Fault("clock", seconds=seconds))
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert "AuthFailure: this node's clock is" in ran.reason[:110]
    assert f" s {word}: set it (chronyd)" in ran.reason[:130]


def test_a_clock_that_is_right(node: Node) -> None:
    """AuthFailure with a clock that is right says nothing of it: the credentials are not accepted."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="AuthFailure", status=401))
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert "set it" not in ran.reason
    assert "credentials" in ran.reason[:110]


# -- policies ---------------------------------------------------------------------------------------------------------


def test_a_policy_with_the_arn_of_a_table_for_describe(node: Node) -> None:
    """The samples of SUSE grant DescribeRouteTables on a table's ARN, which EC2 denies: the 190 names Resource "*" in
    the first 110 characters."""
    node.hold()
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["ec2:ReplaceRoute", "ec2:DescribeRouteTables"], "Resource": TABLE},
            {"Effect": "Allow", "Action": "ec2:DescribeNetworkInterfaces", "Resource": "*"},
        ],
    }
    node.aws.account.identities.restrict_instances(Policy.from_document(document))
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert ran.reason.startswith("Address up, nothing moved: DescribeRouteTables: UnauthorizedOperation: ")
    assert 'allow it on Resource "*"' in ran.reason[:110]


@pytest.mark.parametrize("kind", ["no statement", "Deny", "service control policy"])
def test_aws_own_words_on_a_denial(node: Node, kind: str) -> None:
    """The exit reason keeps AWS's own text of a denial: which kind of policy it is."""
    identities = node.aws.account.identities
    allow: Dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "ec2:ReplaceRoute", "Resource": "*"}
    if kind == "no statement":
        reads = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
        identities.restrict_instances(Policy.from_document({"Statement": [reads]}))
        expected = "no identity-based policy allows the ec2:ReplaceRoute action"
    elif kind == "Deny":
        identities.restrict_instances(Policy.from_document({"Statement": [allow, deny]}))
        expected = "explicit deny in an identity-based policy"
    else:
        identities.service_control_policy = Policy.from_document({"Statement": [allow, deny]})
        expected = "explicit deny in a service control policy"
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert expected in ran.reason
    assert "ncoded" not in ran.reason


# -- proxies and endpoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_for_anybody(node: Node, name: str) -> None:
    """NO_PROXY=*: no request goes through the proxy, though IMDS' address has to be kept from it as well."""
    with proxy() as (url, asked):
        variables = dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"], url)
        ran = node.agent.run("start", environ={**variables, name: "*"})
        assert ran.code == 0, ran
        assert asked == []
        # The guard works: EC2 is asked through the proxy without it.
        assert node.agent.run("start", environ=variables, timeout=5).code == 1
        assert asked


PLAIN = "http://10.9.9.9:8080"


@pytest.mark.parametrize("action", ["start", "validate-all", "reload-agent", "migrate_to", "migrate_from"])
def test_a_plain_http_endpoint_is_refused(node: Node, action: str) -> None:
    """insecure_endpoint: an endpoint over plain http beyond loopback is refused with 6; nobody is asked."""
    ran = node.agent.run(action, {"endpoint_url": PLAIN})
    assert ran.code == 6, ran
    assert "plain http" in ran.reason[:110]
    assert "insecure_endpoint=true" in ran.reason
    assert ran.calls == ()


def test_a_plain_http_endpoint_that_is_accepted(node: Node) -> None:
    """insecure_endpoint=true: an endpoint over plain http beyond loopback is accepted, with a warning at each
    action."""
    # EC2 at an address of this node that is not loopback's.
    from vpc_lab.ec2.server import api_server

    ip("address", "add", "10.9.9.9/32", "dev", "lo")
    server = api_server(node.aws.api, [("10.9.9.9", 8080)])
    parameters = {"endpoint_url": PLAIN, "insecure_endpoint": "yes"}
    try:
        for action, options in (
            ("start", {}),
            ("monitor", {"level": 10, "interval": 10}),
            ("validate-all", {"level": 10}),
            ("reload-agent", {}),
        ):
            ran = node.agent.run(action, parameters, environ={"AWS_ENDPOINT_URL": None}, **options)
            assert ran.code == 0, ran
            assert "WARNING: endpoint_url is plain http" in ran.stderr
    finally:
        server.close()


def test_a_refused_endpoint_and_what_is_local(node: Node) -> None:
    """A refused endpoint_url changes nothing about what is local: probe and stop need no endpoint."""
    node.hold()
    assert node.agent.run("monitor", {"endpoint_url": PLAIN}).code == 0
    assert node.agent.run("monitor", {"endpoint_url": PLAIN}, interval=10).code == 0
    ran = node.agent.run("monitor", {"endpoint_url": PLAIN}, interval=10, level=10)
    assert ran.code == DEGRADED, ran
    assert node.agent.run("stop", {"endpoint_url": PLAIN}).code == 0
    assert node.held() == []


def test_a_plain_http_endpoint_on_loopback(node: Node) -> None:
    """insecure_endpoint: loopback is this node itself; neither refused nor warned of."""
    ran = node.agent.run("start", {"endpoint_url": node.aws.ec2_url})
    assert ran.code == 0, ran
    assert "plain http" not in ran.stderr


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_blank_profile(node: Node, variable: str) -> None:
    """A blank variable, as an environment file of Pacemaker leaves it, counts as unset. To the SDK it is a profile
    without a name, which does not exist: an exit code that bans the node."""
    ran = node.agent.run("start", environ={variable: ""})
    assert ran.code == 0, ran


# -- instance metadata that is off or silent --------------------------------------------------------------------------


@pytest.fixture
def with_profile(node: Node, tmp_path: Path) -> Node:
    """A node with credentials and region of its own: a profile has both."""
    user = node.aws.account.identities.user()
    config = tmp_path / "config"
    keys = key_environment(user)
    config.write_text(
        "[profile cluster]\nregion = eu-central-1\n"
        f"aws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n"
    )
    node.agent.environ["AWS_CONFIG_FILE"] = str(config)
    node.agent.parameters["profile"] = "cluster"
    return node


def switch_off(node: Node) -> None:
    """IMDS answers 403 to everything."""
    node.aws.account.imds_disabled.add("node1")


def silence(node: Node) -> None:
    """IMDS takes a request and never answers."""
    node.aws.faults.add(Fault("hang", service="imds"))


@pytest.mark.parametrize("trouble", [switch_off, silence])
def test_without_imds(with_profile: Node, trouble: Any) -> None:
    """IMDS switched off (403) or silent: with `region` and credentials from a profile the node finds its ENI by MAC
    through EC2: start, level-10 monitor and validate-all work."""
    trouble(with_profile)
    ran = with_profile.agent.run("start", timeout=30)
    assert ran.code == 0, ran
    assert [one.device for one in with_profile.held()] == ["eth0"]
    assert set(with_profile.routes().values()) == {with_profile.me.network_interface_id}
    ran = with_profile.agent.run("monitor", level=10, interval=10, timeout=30)
    assert ran.code == 0, ran
    ran = with_profile.agent.run("validate-all", level=10, timeout=20)
    assert ran.code == 0, ran


def test_imds_switched_off_without_a_profile(node: Node) -> None:
    """IMDS switched off, and no credentials of its own: the start ends with 1 and says so; nothing is changed."""
    switch_off(node)
    ran = node.agent.run("start", {"region": "eu-central-1"}, timeout=10)
    assert ran.code == 1, ran
    assert "403" in ran.reason
    assert "switched off" in ran.reason[:110]
    assert node.held() == []


@pytest.mark.parametrize("trouble", [switch_off, silence])
def test_imds_and_what_is_local(node: Node, trouble: Any) -> None:
    """IMDS switched off or silent: probe, monitor level 0 and stop never ask it."""
    node.hold()
    trouble(node)
    assert node.agent.run("monitor").code == 0
    assert node.agent.run("monitor", interval=10).code == 0
    ran = node.agent.run("stop")
    assert (ran.code, ran.calls) == (0, ()), ran
