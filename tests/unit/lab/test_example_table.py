"""The table of results in crm-examples/README.md: newer rows replace older ones, the rest of the page stays."""

from __future__ import annotations

import pytest

from lab.example_table import BEGIN, END, Row, updated

PAGE = f"# Page\n\n{BEGIN}\n{END}\nMore.\n"


def test_rows_are_sorted_and_read_again() -> None:
    """What is written is read: rows of files that were not tried this time stay as they were."""
    first = updated(PAGE, {"b.pcs": Row("b.pcs", 7.04, "passed"), "a-b.crm": Row("a-b.crm", None, "failed")})
    assert first.startswith(f"# Page\n\n{BEGIN}\n| example | tool |")
    assert first.endswith(f"| a-b | crm | - | failed |\n| b | pcs | 7.0 s | passed |\n{END}\nMore.\n")
    again = updated(first, {"a-b.crm": Row("a-b.crm", 5.96, "passed")})
    assert again == first.replace("| a-b | crm | - | failed |", "| a-b | crm | 6.0 s | passed |")


def test_a_page_without_a_table() -> None:
    """It is refused, and not written over."""
    with pytest.raises(ValueError, match="no <!-- results --> with an <!-- end of results --> after it"):
        updated("# Page\n", {})
