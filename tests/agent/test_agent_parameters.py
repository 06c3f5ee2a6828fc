"""The contract's table of parameters, and `validate-all` at level 0: what is wrong in the text of a parameter is 6."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from sandbox import Agent, Held, Node, addresses, ip, make_interface, with_files, without_packages

TABLE = "rtb-0123456789abcdef0"
OK = {"ip": "192.168.10.10", "routing_table": TABLE}
ROLE = "arn:aws:iam::123456789012:role/network"

# What is provably wrong in its own text, by parameter.
MALFORMED: Dict[str, Tuple[str, ...]] = {
    "mode": ("teleport", "overlay", "overlay-ip,eni", "OVERLAY-IP", "0"),
    "ip": (
        "10.99.0.500",
        "10.99.0",
        "192.168.10.10/32",
        "192.168.10.10/24",
        "192.168.010.010",
        "0xc0a80a0a",
        "3232238090",
        "192.168.10.10 192.168.10.11",
        "192.168.10.10,,192.168.10.11",
        "192.168.10.10;192.168.10.11",
        "192.168.10.10,garbage",
        "192.168.10.10; reboot",
        "$(reboot)",
        "my-host",
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "240.0.0.1",
        "224.0.0.5",
        "239.1.1.1",
        "169.254.169.254",
        "169.254.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:10::10%eth0",
        "fd00:10::10/128",
        "fd00:10::10::1",
        "ff02::1",
        "::ffff:192.168.10.10",
        "[fd00:10::10]",
        "fd00:10:zz::10",
        "١٩٢.168.10.10",
    ),
    "routing_table": (
        "rtb",
        "rtb-",
        "rtb-xyz",
        "rtb-0123456",
        "rtb-0123456789abcdef01",
        "RTB-0123456789abcdef0",
        "rtb-0123456789ABCDEF0",
        "eni-0123456789abcdef0",
        f"{TABLE},",
        f",{TABLE}",
        f"{TABLE},,{TABLE}",
        f"{TABLE};{TABLE}",
        f"{TABLE} {TABLE}",
        f"{TABLE},eni-0123456789abcdef0",
        ",",
        "all",
    ),
    "routing_table_role": (
        "network",
        "role/network",
        "arn:aws:iam::12345678901:role/network",
        "arn:aws:iam::1234567890123:role/network",
        "arn:aws:iam::123456789012:user/network",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam:eu-central-1:123456789012:role/network",
        "arn:aws:sts::123456789012:assumed-role/network/x",
        "arn:azure:iam::123456789012:role/network",
        "arn:aws:iam::123456789012:role/net work",
        f"{ROLE},{ROLE}",
    ),
    "interface": ("eth/0", "eth 0", "eth0:1", ".", "..", "x" * 128, "eth0\t1"),
    "iflabel": ("a:b", "a b", "a/b", "x" * 14, "far-too-long-for-a-label"),
    "region": ("nowhere", "eu_central_1", "EU-CENTRAL-1", "eu-central-1a", "eu-central", "eu-central-1,eu-west-1", "-"),
    "profile": ("a]b", "[default]", "a\tb"),
    "endpoint_url": (
        "ec2.eu-central-1.amazonaws.com",
        "ftp://example.com",
        "https://",
        "https://user:password@example.com",
        "https://example.com:99999",
        "https://example.com:port",
        "https://exa mple.com",
        "http://10.0.0.1",
        "http://vpce-0123456789abcdef0.ec2.eu-central-1.vpce.amazonaws.com",
        "http://[fd00::1]:8080",
        "//example.com",
    ),
    "insecure_endpoint": ("maybe", "http://10.0.0.1"),
    "monapi": ("maybe", "2", "truee", "-1", "o n"),
    "on_drift": ("mend", "REPAIR", "repair,report", "true"),
    "drain": ("-1", "3601", "10000", "1.5", "1s", "often", "²"),
    "address": ("10.99.0.500", "nonsense", "127.0.0.1"),
}
CASES = [(name, value) for name, values in MALFORMED.items() for value in values]

# What the peer's users and everybody else may write.
WELL_FORMED: Dict[str, Tuple[str, ...]] = {
    "mode": ("overlay-ip", "", " overlay-ip "),
    "ip": ("192.168.10.10", " 192.168.10.10 ", "fd00:10::10", "FD00:10::10", "2001:db8::1", "100.64.0.1", "8.8.8.8"),
    "routing_table": (
        TABLE,
        "rtb-01234567",
        f"{TABLE},rtb-0123456789abcdef1",
        f" {TABLE} , rtb-0123456789abcdef1 ",
        f"{TABLE}, rtb-0123456789abcdef1",
        ",".join(f"rtb-{number:017x}" for number in range(250)),
    ),
    "routing_table_role": (
        ROLE,
        "arn:aws-cn:iam::123456789012:role/network",
        "arn:aws-us-gov:iam::123456789012:role/network",
        "arn:aws-iso-b:iam::123456789012:role/network",
        "arn:aws-eusc:iam::123456789012:role/path/to/net+work=,.@-_1",
        "",
    ),
    "interface": ("eth0", "ens5", "enp0s5", "dev", "eth0.100", "br-ä", ""),
    "iflabel": ("1", "overlay", ""),
    "region": ("eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-4", "us-iso-east-1", "eusc-de-east-1", ""),
    "profile": ("cluster", "default", "my profile", ""),
    "endpoint_url": (
        "https://vpce-0123456789abcdef0-01234567.ec2.eu-central-1.vpce.amazonaws.com",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://localhost:4566/path",
        "http://[::1]:8080",
        "https://[fd00::1]:443/path",
        "",
    ),
    "monapi": (
        "true",
        "TRUE",
        "True",
        "yes",
        "YES",
        "on",
        "On",
        "1",
        "y",
        "t",
        "ja",
        "false",
        "FALSE",
        "no",
        "off",
        "0",
        "n",
        "f",
        "",
    ),
    "insecure_endpoint": ("true", "FALSE", ""),
    "on_drift": ("repair", "restart", "report", " report ", ""),
    "drain": ("0", "1", "3600", " 5 ", ""),
    "address": ("192.168.10.10", ""),
    "lookup_type": ("InstanceId", "NetworkInterfaceId", "anything"),
    "auth_type": ("key", "role"),
    "awscli": ("/usr/bin/aws", "/no/such --profile x"),
    "awscli_timeout": ("10", ""),
    "curl_retries": ("3",),
    "curl_sleep": ("1",),
}


def agent(**parameters: str) -> Agent:
    """The agent where nothing outside it is set up: at this level it needs nothing but the text."""
    return Agent(parameters={**OK, **parameters})


@pytest.mark.parametrize(("name", "value"), CASES)
def test_malformed_on_validate(name: str, value: str) -> None:
    """validate-all, level 0: 6 for what is wrong in a parameter's text; the reason names parameter and value."""
    ran = agent(**{name: value}).run("validate-all")
    assert ran.code == 6, ran
    assert f"parameter {name}" in ran.reason
    shown = " ".join(value.split())
    assert shown in ran.reason or repr(value).strip("'") in ran.reason or "***" in ran.reason, ran.reason
    assert "expected" in ran.reason


def test_malformed_on_start(node: Node) -> None:
    """start: 6 for each malformed value; nothing has been changed before: no address, no call, no file."""
    before = addresses()
    for name, value in (cases[0] for cases in by_parameter()):
        ran = node.agent.run("start", {name: value})
        assert ran.code == 6, ran
        assert f"parameter {name}" in ran.reason
        assert ran.calls == (), ran
        assert addresses() == before
        assert node.remembered() == []
    assert set(node.routes().values()) == {node.aws.account.instance("node2").network_interface_id}


def by_parameter() -> List[List[Tuple[str, str]]]:
    """The malformed values of each parameter."""
    return [[case for case in CASES if case[0] == name] for name in MALFORMED]


@pytest.mark.parametrize("action", ["start", "migrate_to", "migrate_from", "reload-agent", "validate-all"])
def test_6_by_every_action_that_has_it(action: str) -> None:
    """The actions that may say 6 say it, whatever else is missing on this node, and by every interpreter."""
    ran = agent(ip="10.99.0.500").run(action)
    assert ran.code == 6, ran
    assert "parameter ip: '10.99.0.500'" in ran.reason


@pytest.mark.parametrize(
    "missing", [{"ip": None}, {"ip": ""}, {"ip": "  "}, {"routing_table": None}, {"routing_table": ""}], ids=str
)
@pytest.mark.parametrize("action", ["validate-all", "start"])
def test_required_parameters(action: str, missing: Dict[str, str | None]) -> None:
    """ip and routing_table are required; an empty value is one not given. 6, naming the parameter."""
    ran = agent().run(action, missing)
    assert ran.code == 6, ran
    assert f"parameter {next(iter(missing))} is missing" in ran.reason


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WELL_FORMED.items() for value in values])
def test_well_formed(name: str, value: str) -> None:
    """validate-all, level 0: 0 for what is well formed, whether or not it exists; not a word."""
    ran = agent(**{name: value}).run("validate-all")
    assert ran.code == 0, ran
    assert (ran.stdout, ran.stderr) == ("", "")


def test_the_former_name_of_ip() -> None:
    """`address` means `ip`; both with the same value are fine, two different ones are 6."""
    assert agent().run("validate-all", {"ip": None, "address": "192.168.10.10"}).code == 0
    assert agent().run("validate-all", {"address": "192.168.10.10"}).code == 0
    ran = agent().run("validate-all", {"address": "192.168.10.11"})
    assert ran.code == 6, ran
    assert "192.168.10.11" in ran.reason


def test_start_by_the_former_name(node: Node) -> None:
    """`address` means `ip` for start and monitor too; the peer's other parameters have no effect."""
    peers: Dict[str, str | None] = {
        "ip": None,
        "address": node.address,
        "awscli": "/no/such",
        "awscli_timeout": "1",
        "auth_type": "role",
        "lookup_type": "InstanceId",
        "curl_retries": "0",
        "curl_sleep": "99",
    }
    ran = node.agent.run("start", peers)
    assert ran.code == 0, ran
    assert len(node.held()) == 1
    assert node.agent.run("monitor", peers).code == 0


def test_a_misspelt_parameter() -> None:
    """A parameter that is not known is said, and does not fail the action."""
    ran = agent(routing_tabel="x").run("validate-all")
    assert ran.code == 0, ran
    assert "routing_tabel" in ran.stderr


def test_pacemakers_own_are_no_parameters() -> None:
    """CRM_meta_* and crm_feature_set are Pacemaker's own, and not complained about."""
    more = {"OCF_RESKEY_CRM_meta_name": "start", "OCF_RESKEY_crm_feature_set": "3.16.2"}
    assert agent().run("validate-all", environ=more).stderr == ""


@pytest.mark.parametrize(
    ("interface", "label", "code"),
    [("eth0", "a" * 10, 0), ("eth0", "a" * 11, 6), ("enp0s31f6", "abcde", 0), ("enp0s31f6", "abcdef", 6)],
)
def test_label_and_interface_together(interface: str, label: str, code: int) -> None:
    """iflabel: IFACE:LABEL has at most 15 characters."""
    ran = agent(interface=interface, iflabel=label).run("validate-all")
    assert ran.code == code, ran


def test_a_label_too_long_for_the_nic_that_is_found(node: Node) -> None:
    """iflabel: where the interface is found on this node, a label too long for its name is wrong on this node: 2."""
    ran = node.agent.run("start", {"iflabel": "a" * 11})
    assert ran.code == 2, ran
    assert node.held() == []
    assert ran.ec2 == []


def test_the_label_is_set(node: Node) -> None:
    """iflabel: the address carries IFACE:LABEL; one that is here without it gets it."""
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    ran = node.agent.run("start", {"iflabel": "overlay"})
    assert ran.code == 0, ran
    assert node.held() == [Held("eth0", "192.168.10.10/32", "eth0:overlay")]


def second_eni(node: Node) -> str:
    """Attach another ENI to this instance, as eth1; its id."""
    before = set(node.aws.account.world.interfaces)
    node.aws.api.administer("CreateNetworkInterface", SubnetId=node.me.subnet.subnet_id)
    (eni,) = set(node.aws.account.world.interfaces) - before
    node.aws.api.administer(
        "AttachNetworkInterface", NetworkInterfaceId=eni, InstanceId=node.me.instance_id, DeviceIndex="1"
    )
    make_interface("eth1", node.aws.account.world.interfaces[eni].mac)
    return eni


def test_the_interface_is_used(node: Node) -> None:
    """interface: the address goes on it, and the routes to its ENI, found by its MAC."""
    eni = second_eni(node)
    ran = node.agent.run("start", {"interface": "eth1"})
    assert ran.code == 0, ran
    assert [one.device for one in node.held()] == ["eth1"]
    assert set(node.routes().values()) == {eni}
    # A route to another ENI of the same instance is a route elsewhere.
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {node.me.network_interface_id}
    ran = node.agent.run("monitor", {"interface": "eth1", "on_drift": "restart"}, level=10, interval=10)
    assert ran.code == 1, ran


@pytest.mark.parametrize("name", ["lo", "br0", "dev"])
def test_an_interface_made_on_this_node(node: Node, name: str) -> None:
    """interface: one that is no NIC gets the address, and the routes go to the primary ENI."""
    ip("link", "add", "name", "br0", "type", "bridge")
    make_interface("dev")
    ran = node.agent.run("start", {"interface": name})
    assert ran.code == 0, ran
    assert [one.device for one in node.held()] == [name]
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_the_interface_by_its_alternative_name(node: Node) -> None:
    """interface: an alternative name is as good."""
    ip("link", "property", "add", "dev", "eth0", "altname", "enp0s5")
    ran = node.agent.run("start", {"interface": "enp0s5"})
    assert ran.code == 0, ran
    assert [one.device for one in node.held()] == ["eth0"]


def test_an_interface_that_is_not_there(node: Node) -> None:
    """2: well formed but wrong on this node: no such interface. Nothing is changed."""
    ran = node.agent.run("start", {"interface": "eth7"})
    assert ran.code == 2, ran
    assert "eth7" in ran.reason
    assert node.held() == []
    assert ran.ec2 == []


def test_interface_and_mac_by_default(node: Node) -> None:
    """interface: by default the NIC of the primary ENI, whatever its name."""
    make_interface("aaa0")
    ip("link", "set", "dev", "eth0", "down")
    ip("link", "set", "dev", "eth0", "name", "dev")
    ip("link", "set", "dev", "dev", "up")
    node.started()
    assert [one.device for one in node.held()] == ["dev"]


def test_no_nic_of_the_primary_eni(node: Node) -> None:
    """interface: 2 where no NIC has the primary ENI's MAC; the reason says what to set."""
    ip("link", "set", "dev", "eth0", "address", "02:00:00:00:00:01")
    ran = node.agent.run("start")
    assert ran.code == 2, ran
    assert "interface" in ran.reason


# -- validate-all, level 0 --------------------------------------------------------------------------------------------


def test_no_network_no_boto3(tmp_path: Path) -> None:
    """validate-all, level 0: parameters only; no network, no boto3, no IMDS."""
    missing = without_packages(tmp_path / "shim", "boto3", "botocore", "requests")
    ran = agent().run("validate-all", environ=missing)
    assert ran.code == 0, ran


def test_5_without_iproute2(tmp_path: Path) -> None:
    """validate-all, level 0: 5 where ip (iproute2) is missing; a malformed parameter is still 6."""
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = agent().run("validate-all", environ={"PATH": str(empty)})
    assert ran.code == 5, ran
    assert "iproute2" in ran.reason
    assert agent(ip="x").run("validate-all", environ={"PATH": str(empty)}).code == 6


def test_level_0_makes_no_call(node: Node) -> None:
    """validate-all, level 0: asks nobody and changes nothing, with a level of 0 and without."""
    before = addresses()
    for level in (None, 0):
        ran = node.agent.run("validate-all", level=level)
        assert ran.code == 0, ran
        assert ran.calls == ()
    assert addresses() == before


def test_level_0_needs_no_root(node: Node) -> None:
    """validate-all, level 0: needs no root."""
    assert node.agent.begin("validate-all", command=["unshare", "--user"]).end().code == 0


def test_hosts_file_helper(tmp_path: Path) -> None:
    """The tests' own way to replace a file sees to it that nobody else is touched."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for mount namespaces")
    import subprocess

    before = Path("/etc/hosts").read_text()
    (tmp_path / "hosts").write_text("here\n")
    command = [*with_files({tmp_path / "hosts": "/etc/hosts"}), "cat", "/etc/hosts"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "here\n"
    assert Path("/etc/hosts").read_text() == before
