"""Parameters: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Dict

import pytest

from aws_ipfailover.errors import ParameterError
from aws_ipfailover.parameters import PARAMETERS, Held, TableNames, held, parse, without_effect

TABLE = "rtb-0123456789abcdef0"
ENI = "eni-0123456789abcdef0"
GOOD = {"ip": "192.168.10.10", "routing_table": TABLE}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mode", "overlay"),
        ("ip", "10.0.0.500"),
        ("ip", "10.0.0.1/32"),
        ("ip", "10.0.0"),
        ("ip", "localhost"),
        ("ip", "127.0.0.1"),
        ("ip", "169.254.1.1"),
        ("ip", "0.0.0.0"),
        ("ip", "224.0.0.1"),
        ("ip", "255.255.255.255"),
        ("ip", "240.0.0.1"),
        ("ip", "::"),
        ("ip", "::1"),
        ("ip", "fe80::1"),
        ("ip", "ff02::1"),
        ("ip", "fd00::1%eth0"),
        ("ip", "::ffff:10.0.0.1"),
        ("address", "10.0.0.500"),
        ("routing_table", "rtb-"),
        ("routing_table", "rtb-0123456789abcdef"),
        ("routing_table", "rtb-0123456789abcdef01"),
        ("routing_table", "rtb-XYZ"),
        ("routing_table", "eni-0123456789abcdef0"),
        ("routing_table", f"{TABLE},"),
        ("routing_table", f"{TABLE},,{TABLE}"),
        ("routing_table", f"{TABLE} {TABLE}"),
        ("routing_table_role", "lab"),
        ("routing_table_role", "arn:aws:iam::1234:role/lab"),
        ("routing_table_role", "arn:aws:iam::123456789012:user/lab"),
        ("routing_table_role", "arn:aws:iam::123456789012:role/lab:a"),
        ("routing_table_role", "arn:aws:iam::123456789012:role/a path/lab"),
        ("network_interface_id", "rtb-0123456789abcdef0"),
        ("network_interface_id", "eni-"),
        ("device_index", "0"),
        ("device_index", "-1"),
        ("device_index", "one"),
        ("interface", "eth0/1"),
        ("interface", "eth 0"),
        ("interface", ".."),
        ("iflabel", "a b"),
        ("iflabel", "fourteen-chars"),
        ("region", "Frankfurt"),
        ("region", "eu-central"),
        ("profile", "a]b"),
        ("endpoint_url", "ec2.amazonaws.com"),
        ("endpoint_url", "ftp://ec2.amazonaws.com"),
        ("endpoint_url", "https://ec2.amazonaws.com:99999"),
        ("monapi", "maybe"),
    ],
)
def test_a_malformed_value_is_refused_by_name_and_value(name: str, text: str) -> None:
    """The sentence names the parameter and the value, and says what would be right."""
    with pytest.raises(ParameterError, match="expected ") as refused:
        parse({**GOOD, name: text})
    assert f"parameter {name}:" in str(refused.value)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mode", "overlay-ip"),
        ("ip", "fd00:10::10"),
        ("ip", "2001:db8::1"),
        ("ip", "100.64.0.1"),
        ("routing_table", f"{TABLE}, rtb-0123abcd"),
        ("routing_table_role", "arn:aws:iam::123456789012:role/path/to/lab+=,.@-_"),
        ("routing_table_role", "arn:aws:iam::123456789012:role/team:a/~ha/lab"),
        ("routing_table_role", "arn:aws-cn:iam::123456789012:role/lab"),
        ("routing_table_role", "arn:aws-us-gov:iam::123456789012:role/lab"),
        ("routing_table_role", "arn:aws-iso-b:iam::123456789012:role/lab"),
        ("interface", "enp0s5"),
        ("interface", "an-alternative-name-of-an-interface"),
        ("iflabel", "hana"),
        ("region", "us-gov-west-1"),
        ("region", "cn-northwest-1"),
        ("region", "us-isob-east-1"),
        ("profile", "cluster"),
        ("endpoint_url", "https://vpce-0a1b-2c3d.ec2.eu-central-1.vpce.amazonaws.com"),
        ("endpoint_url", "http://127.0.0.1:5000"),
        ("endpoint_url", "https://[fd00::1]:443/"),
        ("monapi", "YES"),
        ("auth_type", "role"),
        ("lookup_type", "InstanceId"),
        ("awscli_timeout", "anything at all"),
    ],
)
def test_a_good_value_is_accepted(name: str, text: str) -> None:
    """What AWS and the kernel accept is not refused here."""
    parse({**GOOD, name: text})


@pytest.mark.parametrize("text", ["https://user:secret@ec2", "https://user:se/secret@x@ec2", "user:secret@ec2"])
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    """The sentence ends in crm_mon and in logs."""
    with pytest.raises(ParameterError, match=r"endpoint_url: '\*\*\*@ec2'") as refused:
        parse({**GOOD, "endpoint_url": text})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("missing", ["ip", "routing_table"])
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_a_required_parameter_that_is_missing_or_empty_is_named(missing: str, empty: object) -> None:
    """An empty value is one not given."""
    given: Dict[str, str] = {name: text for name, text in GOOD.items() if name != missing}
    if isinstance(empty, str):
        given[missing] = empty
    with pytest.raises(ParameterError, match=f"parameter {missing} is missing"):
        parse(given)


def test_route_tables_are_trimmed_and_counted_once() -> None:
    """AWS's own documentation writes a blank after the comma."""
    assert parse({**GOOD, "routing_table": f" {TABLE} , rtb-0123abcd,{TABLE}"}).routing_table.ids == (
        TABLE,
        "rtb-0123abcd",
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("ON", True), ("1", True), ("No", False), ("off", False)])
def test_monapi_takes_the_truth_values_of_ocf_in_any_case(text: str, value: bool) -> None:
    """As `ocf_is_true` does."""
    assert parse({**GOOD, "monapi": text}).monapi is value


def test_address_means_ip() -> None:
    """The former name still works, alone and beside an equal `ip`."""
    del_ip = {"routing_table": TABLE, "address": "192.168.10.10"}
    assert parse(del_ip).ip == (ip_address("192.168.10.10"),)
    assert parse({**GOOD, "address": "192.168.10.10"}).ip == (ip_address("192.168.10.10"),)


def test_address_and_ip_that_differ_are_refused() -> None:
    """Nobody can say which one was meant."""
    with pytest.raises(ParameterError, match="differ"):
        parse({**GOOD, "address": "192.168.10.11"})


def test_interface_and_label_together_have_at_most_15_characters() -> None:
    """The kernel's limit for INTERFACE:LABEL."""
    parse({**GOOD, "interface": "enp0s31f6", "iflabel": "hana1"})
    with pytest.raises(ParameterError, match=r"iflabel: 'enp0s31f6:hana12' has 16 characters"):
        parse({**GOOD, "interface": "enp0s31f6", "iflabel": "hana12"})


def test_what_is_held_can_be_read_past_every_mistake() -> None:
    """Stop and a probe look for whatever the parameters can mean, and say what is wrong with them."""
    here, there = ip_address("192.168.10.10"), ip_address("192.168.10.11")
    assert held({"ip": "192.168.10.10", "monapi": "maybe"}) == Held("overlay-ip", (here,), (), None, ())
    assert held({"ip": "192.168.10.10", "mode": "?"}).addresses == (here,)
    assert held({"ip": "192.168.10.10", "address": "garbage"}).addresses == (here,)
    assert held({"ip": "garbage", "address": "192.168.10.10"}).addresses == (here,)
    assert held({"ip": "192.168.10.10", "address": "192.168.10.11"}) == Held("overlay-ip", (here,), (there,), None, ())
    assert held({"ip": "127.0.0.1"}).addresses == ()
    assert held({}) == Held("overlay-ip", (), (), None, ("parameter ip is missing",))
    assert held({"mode": "eni", "network_interface_id": ENI}).network_interface_id == ENI
    assert held({"mode": "eni"}).complaints == ("parameter network_interface_id is missing",)


@pytest.mark.parametrize("text", ["192.168.10.10/32", "192.168.10.10/24", "192.168.010.010", "192.168.10.500"])
def test_an_address_whose_own_text_is_refused_names_nothing(text: str) -> None:
    """A refused `ip` names nothing: what another resource may have is left alone; the complaint says what is wrong."""
    found = held({"ip": text})
    assert found.addresses == ()
    assert text in found.complaints[0]
    assert held({"ip": text, "address": "192.168.10.11"}).addresses == (ip_address("192.168.10.11"),)


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"mode": "eni"}, "network_interface_id"), ({"mode": "private-ip"}, "ip")],
)
def test_each_mode_has_its_own_required_parameters(given: Dict[str, str], missing: str) -> None:
    """What another mode needs is not asked for."""
    with pytest.raises(ParameterError, match=f"parameter {missing} is missing"):
        parse(given)


def test_the_other_modes_need_no_route_table() -> None:
    """An ENI needs its id alone, a private address itself alone."""
    assert parse({"mode": "eni", "network_interface_id": ENI, "device_index": "2"}).device_index == 2
    assert parse({"mode": "private-ip", "ip": "10.0.1.50"}).routing_table == TableNames()


def test_unknown_names_are_found() -> None:
    """A misspelt optional parameter is not passed over in silence."""
    assert without_effect({**GOOD, "monapy": "true"}) == [
        "parameter monapy is not known to this agent and has no effect"
    ]
    assert without_effect({**GOOD, "external_id": "of-the-owner"}) == [
        "parameter external_id is given without routing_table_role and has no effect"
    ]
    assert without_effect(GOOD) == []


def test_every_parameter_is_documented() -> None:
    """Metadata and pages are made from these texts."""
    for parameter in PARAMETERS:
        assert parameter.shortdesc
        assert parameter.longdesc.endswith(".")
