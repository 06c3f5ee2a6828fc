"""Which tests share a process of pytest-xdist: those of a file in tests/lab, which share its labs."""

from __future__ import annotations

from xdist.scheduler.loadscope import LoadScopeScheduling


def shared(nodeid: str) -> str:
    """What the tests of one worker have in common: their file, or the `GROUP` in `test_name[PARAMETERS@GROUP]`.

    A test outside of tests/lab shares nothing: it is its own.
    """
    file, _, name = nodeid.partition("::")
    if not file.startswith("tests/lab/"):
        return nodeid
    _, at, group = name.rpartition("@")
    return f"{file}@{group.rstrip(']')}" if at else file


class SharedLabs(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type hints that mypy sees here
    """Gives each worker whole files.

    xdist's own `--dist loadgroup` writes into a private attribute of pytest's items, which pytest 9.2 does not read any
    more: it then gives each test to any worker, and every worker brings up the lab of every file.
    """

    def _split_scope(self, nodeid: str) -> str:
        return shared(nodeid)
