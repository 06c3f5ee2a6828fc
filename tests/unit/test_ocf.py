"""ocf: what Pacemaker passes in the environment, and where an administrator hears of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aws_ipfailover.ocf.environment import Environment
from aws_ipfailover.ocf.name import name_of


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/lib/ocf/resource.d/suse/aws-vpc-move-ip", "aws-vpc-move-ip"),
        ("aws_vpc.2", "aws_vpc.2"),
        *[(text, "aws-ipfailover") for text in ("", "-c", "/x/", "/x/.hidden", "/x/..", "/x/a b", "/x/é", "/x/a\n")],
        ("/x/" + "a" * 64, "a" * 64),
        ("/x/" + "a" * 65, "aws-ipfailover"),
    ],
)
def test_the_agent_is_called_as_its_file(path: str, name: str) -> None:
    """By the last part of the path that was started, if that can be an agent's name."""
    assert name_of(path) == name


UNSEEN = """
import logging, sys, threading, warnings
from aws_ipfailover.ocf.log import log, set_up_logging
set_up_logging({"HA_debug": "1"}, "aws-ipfailover")
class Ending:
    def __del__(self):
        raise ValueError("wJalrXUtnFEMI of an object")
Ending()
thread = threading.Thread(target=lambda: [][1])
thread.start()
thread.join()
warnings.warn("wJalrXUtnFEMI of a library")
logging.getLogger("botocore.auth").error("wJalrXUtnFEMI of the SDK")
log.info("%d", "wJalrXUtnFEMI in a message that does not fit its arguments")
"""


def test_what_others_print_is_told_by_its_kind() -> None:
    """Reports of Python on threads and objects are told by the kind of error; libraries' warnings and logs are not."""
    done = subprocess.run([sys.executable, "-c", UNSEEN], check=True, capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        "DEBUG: an object's end failed: ValueError",
        "DEBUG: a thread failed: IndexError",
        "ERROR: a message that cannot be written, please report it (TypeError)",
    ]
