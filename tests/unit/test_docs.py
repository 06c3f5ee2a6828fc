"""Pages and metadata say what the code does."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import commands_page
import reference_pages
from aws_ipfailover import __version__
from aws_ipfailover.cli.parameters import page
from aws_ipfailover.ocf.exit_codes import Exit
from aws_ipfailover.ocf.metadata import metadata
from aws_ipfailover.parameters import PARAMETERS, parse
from aws_ipfailover.setup.policy import OPTIONAL, Scope, policies

ROOT = Path(__file__).parents[2]


def test_the_page_of_parameters_is_the_agents_own_list() -> None:
    """Run `aws-ipfailover parameters > docs/parameters.md` after a change."""
    assert (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8") == page()


def test_the_guides_policies_are_what_the_command_prints() -> None:
    """The policy of overlay-ip as a whole, and the statement about an Elastic IP."""
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    given = {"ip": "192.168.10.10", "routing_table": "rtb-0123456789abcdef0"}
    found = policies(parse(given), Scope("123456789012", "eu-central-1"), without=tuple(OPTIONAL))
    assert f"```json\n{found.documents[0].text}\n```" in guide
    values = parse({**given, "allocation_id": "eipalloc-0123456789abcdef0"})
    instances, interfaces = ("i-0123456789abcdef0",), ("eni-0123456789abcdef0",)
    scope = Scope("ACCOUNT", "REGION", instances=instances, interfaces=interfaces)
    (policy,) = policies(values, scope).documents
    (statement,) = (one for one in policy.policy["Statement"] if one["Sid"] == "AssociateElasticIp")
    section = guide.split("\n### An Elastic IP\n")[1].split("```json\n")[1].split("```")[0]
    assert {**json.loads(section)["Statement"][0], "Sid": statement["Sid"]} == statement


def test_the_changelog_has_this_version() -> None:
    """A release without an entry says nothing to its users."""
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_metadata_is_xml_and_lists_every_parameter_in_order() -> None:
    """Whatever the descriptions hold is escaped."""
    tree = ElementTree.fromstring(metadata("aws-ipfailover"))
    assert [found.get("name") for found in tree.iter("parameter")] == [parameter.name for parameter in PARAMETERS]
    assert tree.findtext("version") == "1.1"
    assert all(found.get("timeout", "").endswith("s") for found in tree.iter("action"))


def test_the_page_of_commands_is_what_they_say_of_themselves() -> None:
    """Run scripts/commands_page.py after a change; `make screens` takes new pictures as well."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == commands_page.page()


@pytest.mark.parametrize("name", sorted(reference_pages.PAGES))
def test_the_pages_of_exit_codes_and_of_iam_are_made_from_the_code(name: str) -> None:
    """Run scripts/reference_pages.py after a change."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == reference_pages.PAGES[name]()


def test_the_page_of_exit_codes_has_every_code_and_action() -> None:
    """A new exit code, or a new action of the agent, needs its row."""
    assert set(reference_pages.MEANINGS) == set(Exit)
    told = {word for words in reference_pages.ACTIONS for word in re.findall(r"`([a-z_-]+)`", words)}
    actions = ElementTree.fromstring(metadata("aws-ipfailover")).iter("action")
    assert {str(action.get("name")) for action in actions} <= told
