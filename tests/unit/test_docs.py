"""Pages and metadata say what the code does."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from aws_ipfailover import __version__
from aws_ipfailover.cli.parameters import page
from aws_ipfailover.ocf.metadata import metadata
from aws_ipfailover.parameters import PARAMETERS

ROOT = Path(__file__).parents[2]


def test_the_page_of_parameters_is_the_agents_own_list() -> None:
    """Run `aws-ipfailover parameters > docs/parameters.md` after a change."""
    assert (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8") == page()


def test_the_changelog_has_this_version() -> None:
    """A release without an entry says nothing to its users."""
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_metadata_is_xml_and_lists_every_parameter_in_order() -> None:
    """Whatever the descriptions hold is escaped."""
    tree = ElementTree.fromstring(metadata("aws-ipfailover"))
    assert [found.get("name") for found in tree.iter("parameter")] == [parameter.name for parameter in PARAMETERS]
    assert tree.findtext("version") == "1.1"
    assert all(found.get("timeout", "").endswith("s") for found in tree.iter("action"))
