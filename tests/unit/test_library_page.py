"""docs/library.md: what it shows runs, with the packages as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block by itself, as somebody would copy it; its own assertions say what comes of it."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    exec(compile(BLOCKS[number], f"{PAGE.name}, block {number + 1}", "exec"), {"__name__": "example"})


def test_there_are_examples() -> None:
    """The pattern finds the page's blocks."""
    assert len(BLOCKS) >= 5
