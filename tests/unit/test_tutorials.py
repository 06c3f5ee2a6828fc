"""What is taken off a tutorial's page to be run, and what counts as the same output."""

from __future__ import annotations

import re

import pytest

import tutorials
from tutorials import TutorialError, masked, steps

PAGE = """
```sh title="workstation"
echo one
```

```text title="output"
one
```

<!-- lab: power-off node2 -->

=== "Debian"

    ```sh title="node1, node2"
    echo two
    ```

```sh title="node1 (not run)"
ssh node2
```

```sh title="app1 (leave it running)"
aws-ipfailover watch 192.168.10.10
```

```text title="app1 after Ctrl-C"
```
"""


def test_blocks_run_in_the_pages_order_where_their_titles_say() -> None:
    """Indented blocks, as in tabs, lose their indentation; one that is not run is no step."""
    found = [(step.places, step.text.strip(), step.left_running, step.interrupt) for step in steps(PAGE)]
    assert found == [
        (("workstation",), "echo one", False, None),
        ((), "power-off node2", False, None),
        (("node1", "node2"), "echo two", False, None),
        (("app1",), "aws-ipfailover watch 192.168.10.10", True, None),
        ((), "", False, "app1"),
    ]


def test_an_output_belongs_to_the_block_before_it() -> None:
    """So that it can be compared, and replaced."""
    shown = steps(PAGE)[0].output
    assert shown is not None
    assert PAGE[shown[0] : shown[1]] == "one\n"


def test_a_title_that_nobody_knows_is_refused() -> None:
    """A block that is neither run nor marked would be one that nobody has ever tried."""
    with pytest.raises(TutorialError, match="line 1"):
        steps('```sh title="node1 (perhaps)"\nfalse\n```\n')
    with pytest.raises(TutorialError, match="one place"):
        steps('```sh title="a, b"\nls\n```\n```text title="output"\n```\n')


def test_times_and_durations_make_no_difference_and_words_do() -> None:
    """What no two runs have alike is masked, an address or an exit code is not."""
    assert masked("12:00:01.5 node1 took 3.2 s") == masked("13:59:59 node1  took 41 s")
    assert masked("10.0.1.11 Started node1") != masked("10.0.1.12 Started node1")
    assert masked("boto3 1.44.8") == masked("boto3 1.40.0")


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_every_block_of_a_page_is_run_or_marked(name: str) -> None:
    """No fenced block of commands or output is without a title, and where something is not run a note says so."""
    page = (tutorials.PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert steps(page)
    opened = re.findall(r"^ *```(\w+)(.*)$", page, re.M)
    assert [one for one in opened if one[0] != "mermaid" and 'title="' not in one[1]] == []
    assert page.count('"In the lab"') >= 3
    assert "/tmp/" not in page
