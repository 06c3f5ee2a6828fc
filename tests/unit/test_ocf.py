"""ocf: what Pacemaker passes in the environment, and where an administrator hears of it."""

from __future__ import annotations

import pytest

from aws_ipfailover.ocf.environment import Environment


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
