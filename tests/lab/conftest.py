"""A lab for the tests of a module, and audits after every one of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Generator, Iterator, List

import pytest

from vpc_lab.errors import LabError
from vpc_lab.judge.audits import Auditor
from vpc_lab.lab import Lab, missing_programs
from vpc_lab.settings import Settings

from .calls import end_callers

# The files that take minutes, longest first: begun last, one of them would be waited for by idle workers.
LONG = (
    "test_outages",
    "test_many_addresses",
    "test_examples",
    "test_scenarios",
    "test_doctor_of_a_cluster",
    "test_tutorials",
    "test_wrong_agents",
    "test_migrate",
    "test_eni",
    "test_health",
    "test_drill",
    "test_config",
    "test_judge",
    "test_coexistence",
)

# One name for each process that runs tests: they may run beside each other, and beside a user's lab.
NAME = f"test-{os.getpid()}"


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Skip, or under CI=true fail, what this machine cannot run. Long files come first."""
    items.sort(key=_rank)
    missing = missing_programs()
    reason = "a lab takes root" if os.geteuid() != 0 else f"not installed: {', '.join(missing)}" if missing else None
    for item in items:
        if reason is not None and "root" in item.keywords and Path(__file__).parent in item.path.parents:
            if os.environ.get("CI") == "true":
                raise pytest.UsageError(f"the lab tier cannot run here, and has to under CI=true: {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share a lab share a worker."""
    from lab_workers import SharedLabs  # only where pytest-xdist is

    return SharedLabs(config, log)


def _rank(item: pytest.Item) -> int:
    if Path(__file__).parent not in item.path.parents:
        return -1
    return LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG)


@pytest.fixture(scope="session", autouse=True)
def callers() -> Iterator[None]:
    """What `calls` has begun is gone after the last test."""
    yield
    end_callers()


@pytest.fixture(scope="session")
def network_lab() -> Iterator[Lab]:
    """A VPC with instances, without a cluster."""
    with Lab.running(f"{NAME}-net", Settings(boot_cluster=False)) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster_lab() -> Iterator[Lab]:
    """A lab with its cluster online."""
    with Lab.running(f"{NAME}-cluster") as lab:
        yield lab


def delete_route(lab: Lab, destination: str) -> None:
    """Take a route out of every table that has it, as an administrator, for good."""
    name = "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"
    for table in lab.status().every_route_table:
        with contextlib.suppress(LabError):  # there is none in this one
            lab.administer("DeleteRoute", RouteTableId=table, **{name: destination})


class Audited:
    """A lab under audit: what a test may do to it without the audit complaining."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        status = lab.status()
        self.auditor = Auditor(lab, [status.overlay, status.overlay_ipv6])
        self.may_be_fenced: List[str] = []


@pytest.fixture
def audited(cluster_lab: Lab) -> Iterator[Audited]:
    """The cluster's lab, audited when the test is over."""
    held = Audited(cluster_lab)
    yield held
    assert held.auditor.complaints(may_be_fenced=held.may_be_fenced) == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the logs of the lab of a test that failed, and say where they are."""
    report = yield
    if report.failed:
        for lab in {id(value): value for value in getattr(item, "funcargs", {}).values()}.values():
            held = lab.lab if isinstance(lab, Audited) else lab
            if isinstance(held, Lab):
                place = Path(tempfile.mkdtemp(prefix="aws-ipfailover-lab-"))
                try:
                    told = f"logs are kept in {held.save_logs(place)}"
                except LabError as error:  # what failed may be the end of the lab itself
                    told = f"no logs: {error}"
                report.sections.append(("lab", told))
                break
    return report
