"""What is taken off a tutorial's page to be run, and what counts as the same output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Sequence, cast

import pytest

import tutorials
from tutorials import Reader, TutorialError, masked, steps
from vpc_lab.lab import Lab

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


class Places:
    """A lab whose instances are all this machine, with a home directory of their own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.off: List[str] = []

    def spawn(
        self, place: str, argv: Sequence[str], *, environment: Mapping[str, str] = {}, **popen: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command."""
        own = {"HOME": str(self._home), "PLACE": place, "PATH": os.environ["PATH"]}
        return subprocess.Popen(argv, env={**own, **environment}, **popen)

    def power_off(self, place: str) -> None:
        """Note whose power is taken away."""
        self.off.append(place)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where a page's commands are run."""
    return Places(tmp_path)


@pytest.fixture
def reader(places: Places) -> Iterator[Reader]:
    """Somebody who follows a page there."""
    found = Reader(cast(Lab, places))
    yield found
    found.close()


def block(place: str, text: str, output: str = "") -> str:
    """A block of commands, and its output."""
    return f'```sh title="{place}"\n{text}\n```\n\n```text title="output"\n{output}```\n\n'


def test_an_output_that_differs_is_reported_and_written(reader: Reader) -> None:
    """The page with what was printed, and the difference with its line."""
    page = block("node1", "echo three", "two\n") + block("node1", "echo four", "four\n")
    refreshed, differences = reader.follow(page)
    assert refreshed == page.replace("two", "three")
    assert len(differences) == 1
    assert differences[0].startswith("line 6:")
    assert "+three" in differences[0]


def test_a_shell_goes_on_from_block_to_block(reader: Reader) -> None:
    """Variables and functions of earlier blocks are there, on the same place only, and files in its home."""
    page = block("node1", "A=1; echo hello > file", "") + block("node1", 'echo "$A$PLACE"; cat file', "1node1\nhello\n")
    assert reader.follow(page)[1] == []
    with pytest.raises(TutorialError, match="on node2: a command of it failed"):
        reader.follow(block("node2", 'echo "$A"'))


def test_a_command_that_fails_ends_the_run(reader: Reader) -> None:
    """Also one in the middle of a block or of a pipe, with what it printed and the page's line."""
    for failing in ("false\necho on", "false | cat", "until false; do exit 3; done"):
        with pytest.raises(TutorialError, match="line 1: on node"):
            Reader.follow(reader, block("node" + str(len(failing)), failing))


def test_an_id_stands_for_the_one_that_was_printed(reader: Reader) -> None:
    """Ids may differ from those of the page; later blocks, and the page that is written, have the printed ones."""
    old, new = "i-0123456789abcdef0", "i-0fedcba9876543210"
    page = block("node1", "echo i-0fedcba9876543210", f"{old}\n") + block("node1", f"echo is {old}", f"is {old}\n")
    refreshed, differences = reader.follow(page)
    assert differences == []
    assert old not in refreshed
    assert f"echo is {new}" in refreshed


def test_what_is_left_running_is_ended_and_judged_by_its_exit_code(reader: Reader, tmp_path: Path) -> None:
    """By SIGINT, as a terminal's Ctrl-C; where it says that something is wrong, the page is wrong."""
    program = tmp_path / "watch.py"
    program.write_text(
        "import sys, time\n"
        "try:\n    print('asking', 'answered', sep='\\n', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('ended')\nsys.exit(int(sys.argv[1]))\n"
    )

    def page(code: int) -> str:
        running = f'```sh title="app1 (leave it running)"\n{sys.executable} watch.py {code}\n```\n'
        return f'{running}```text title="app1 after Ctrl-C"\nasking\nanswered\nended\n```\n'

    assert reader.follow(page(0))[1] == []
    with pytest.raises(TutorialError, match="exited with 1"):
        reader.follow(page(1))


def test_an_order_takes_power_away(reader: Reader, places: Places) -> None:
    """And one that nobody knows is refused."""
    reader.follow("<!-- lab: power-off node2 -->\n")
    assert places.off == ["node2"]
    with pytest.raises(TutorialError, match="no order"):
        reader.follow("<!-- lab: explode node2 -->\n")


@pytest.mark.parametrize("name", tutorials.NAMES)
def test_every_block_of_a_page_is_run_or_marked(name: str) -> None:
    """No fenced block of commands or output is without a title, and where something is not run a note says so."""
    page = (tutorials.PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert steps(page)
    opened = re.findall(r"^ *```(\w+)(.*)$", page, re.M)
    assert [one for one in opened if one[0] != "diagram" and 'title="' not in one[1]] == []
    assert page.count('"In the lab"') >= 3
    assert "/tmp/" not in page


def test_a_tutorial_that_there_is_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is a sentence that says which there are; nothing is begun."""
    monkeypatch.setattr(sys, "argv", ["tutorials.py", "overlay-ip", "nope"])
    monkeypatch.setattr(tutorials, "follow", lambda *_, **__: pytest.fail("a tutorial was begun"))
    with pytest.raises(SystemExit) as ended:
        tutorials.main()
    assert ended.value.code == 2
    assert f"there is no tutorial 'nope'; there are {', '.join(tutorials.NAMES)}" in capsys.readouterr().err
