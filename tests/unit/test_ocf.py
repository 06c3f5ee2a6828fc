"""ocf: what Pacemaker passes in the environment, and what is kept out of what an administrator hears."""

from __future__ import annotations

import pytest

from aws_ipfailover.ocf.environment import Environment
from aws_ipfailover.ocf.log import redact
from aws_ipfailover.redaction import keep_secret


def test_parameters_are_told_from_pacemakers_own_variables() -> None:
    """CRM_meta_* and crm_feature_set are no parameters."""
    environment = Environment(
        {
            "OCF_RESKEY_ip": "10.0.0.1",
            "OCF_RESKEY_CRM_meta_timeout": "20000",
            "OCF_RESKEY_crm_feature_set": "3.16.2",
            "PATH": "/bin",
        }
    )
    assert environment.parameters() == {"ip": "10.0.0.1"}
    assert environment.timeout("start") == 20


@pytest.mark.parametrize(("interval", "probe"), [(None, True), ("0", True), ("", True), ("10000", False)])
def test_a_monitor_without_interval_is_a_probe(interval: object, probe: bool) -> None:
    """As Pacemaker passes it, and by hand."""
    environ = {} if interval is None else {"OCF_RESKEY_CRM_meta_interval": str(interval)}
    assert Environment(environ).is_probe() is probe


def test_a_timeout_that_is_no_number_is_the_recommended_one() -> None:
    """By hand, anything can be in the environment."""
    assert Environment({"OCF_RESKEY_CRM_meta_timeout": "soon"}).timeout("start") == 180


def test_the_last_net_catches_secrets() -> None:
    """Keys, tokens of the environment, and passwords in URLs; on one line."""
    environ = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"}
    text = redact(
        "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY\nhttp://user:pass@proxy:3128/ rtb-0123456789abcdef0",
        environ,
    )
    assert text == "*** *** http://***@proxy:3128/ rtb-0123456789abcdef0"


def test_what_is_known_to_be_secret_is_not_repeated() -> None:
    """Whatever the text comes from; a text of a few characters is no secret, and stays."""
    keep_secret("AQAEAExampleSessionToken==", "the", "")
    assert redact("IMDS: the AQAEAExampleSessionToken== is wrong", {}) == "IMDS: the *** is wrong"


def test_what_a_terminal_obeys_is_shown_escaped() -> None:
    """Escape sequences, C1 controls, and characters that turn the text round; letters of any script stay."""
    assert redact("a\x1b[2Jb\u202ec\x9bd\udcffé", {}) == r"a\x1b[2Jb\u202ec\x9bd\udcffé"
