"""The configurations of crm-examples/: placeholders, and what they have in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Mapping, cast

import pytest

from vpc_lab import examples
from vpc_lab.topology import node_names, topology_for

DIRECTORY = cast("Path", examples.directory())
FILES = sorted([*DIRECTORY.glob("*.crm"), *DIRECTORY.glob("*.pcs")])


def values(text: str) -> Mapping[str, str]:
    """What a lab of the mode that a configuration is for puts in."""
    nodes = node_names(3 if "@NODE3@" in text else 2)
    return examples.values_of(topology_for(examples.mode_of(text), nodes=nodes), ["rtb-1", "rtb-2"])


def test_render_replaces_every_placeholder() -> None:
    """Each one, each time, and nothing but them."""
    assert examples.render("a=@A@ b=@B_2@ a=@A@ me@example.org", {"A": "1", "B_2": "2"}) == "a=1 b=2 a=1 me@example.org"


def test_render_names_what_is_missing() -> None:
    """All that are missing at once: nobody wants to find them one by one."""
    with pytest.raises(ValueError, match="no value for @A@, @C@"):
        examples.render("@C@ @B@ @A@", {"B": "2"})


def test_render_puts_a_value_in_only_once() -> None:
    """A value that looks like a placeholder is a value."""
    assert examples.render("@A@ @B@", {"A": "@B@", "B": "2"}) == "@B@ 2"


def test_a_placeholder_in_a_comment_needs_no_value() -> None:
    """A comment may speak of placeholders."""
    assert (
        examples.render("# write @X@ here\n  # and @Y@\n@A@", {"A": "1", "Y": "2"}) == "# write @X@ here\n  # and 2\n1"
    )


def test_pcs_commands_are_argument_lists() -> None:
    """Quotes and continued lines are the shell's, comments and empty lines are nothing."""
    text = '# two of them\npcs a \\\n    b="c;d e"\n\n  pcs x\n'
    assert examples.pcs_commands(text) == [["pcs", "a", "b=c;d e"], ["pcs", "x"]]


def test_a_line_that_is_no_pcs_command_is_refused() -> None:
    """Such a file is run as root."""
    with pytest.raises(ValueError, match="not a pcs command: reboot"):
        examples.pcs_commands("pcs a\nreboot")


def test_a_configuration_tells_its_mode() -> None:
    """Comments do not count; without a word it is overlay-ip."""
    assert examples.mode_of("# mode=eni\nparams ip=1.2.3.4") == "overlay-ip"
    assert examples.mode_of("params mode=eni network_interface_id=x") == "eni"
    assert examples.mode_of("params mode=private-ip ip=x") == "private-ip"


def test_the_examples_are_found() -> None:
    """In a checkout they lie at its top."""
    assert len(FILES) >= 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: cast("Path", path).name)
class TestEachExample:
    """What every file promises."""

    def test_the_lab_has_every_value(self, path: Path) -> None:
        """It renders with what a lab knows, and no placeholder is left outside of comments."""
        text = path.read_text(encoding="utf-8")
        rendered = examples.render(text, values(text))
        assert not examples.placeholders(rendered)

    def test_it_says_who_it_is_for(self, path: Path) -> None:
        """The header: what it is, for whom, how to load it."""
        header = path.read_text(encoding="utf-8").split("\n\n")[0]
        assert header.startswith("# ")
        assert "\n# For: " in header
        assert "\n# Load: " in header
        assert path.name in header

    def test_the_readme_lists_it(self, path: Path) -> None:
        """With every placeholder it uses."""
        readme = (DIRECTORY / "README.md").read_text(encoding="utf-8")
        assert f"[{path.name}]({path.name})" in readme
        for name in examples.placeholders(path.read_text(encoding="utf-8")):
            assert f"`@{name}@`" in readme

    def test_it_fences(self, path: Path) -> None:
        """No example without fencing: people copy them."""
        text = path.read_text(encoding="utf-8")
        assert "stonith-enabled=true" in text
        assert "fence_aws" in text

    def test_the_routes_are_monitored(self, path: Path) -> None:
        """Each address has a monitor that asks EC2, at an interval of its own."""
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        resources = [line for line in text.splitlines() if re.search(r"ocf:heartbeat:aws-ipfailover(?!-)", line)]
        assert resources
        for resource in resources:
            intervals = re.findall(r"op monitor interval=(\w+)", resource)
            assert len(intervals) == len(set(intervals)) == 2
            assert "OCF_CHECK_LEVEL=10" in resource
            assert "op start interval=0" in resource
            assert "op stop interval=0" in resource

    def test_failures_expire_later_than_any_action_ends(self, path: Path) -> None:
        """Each address and fence device has a failure-timeout; none of their actions, nor fencing, lasts as long."""
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        concerned = [
            line
            for line in lines
            if not line.startswith("#") and re.search(r"aws-ipfailover|stonith:fence_aws|stonith create", line)
        ]
        assert len(concerned) >= 2
        defaults = [found for line in lines if line.startswith("rsc_defaults") for found in seconds(EXPIRY, line)]
        longest = max(value for line in concerned for value in seconds(r"\b(?:pcmk_off_)?timeout=(\d+)", line))
        for line in concerned:
            expiry = seconds(EXPIRY, line) or defaults
            assert len(expiry) == 1
            assert expiry[0] > longest


EXPIRY = r"failure-timeout=(\d+)s"


def seconds(pattern: str, line: str) -> List[int]:
    """What a pattern finds in a line, as numbers; a failure-timeout is no timeout of an action."""
    text = line if pattern == EXPIRY else re.sub(EXPIRY, "", line)
    return [int(found) for found in re.findall(pattern, text)]
