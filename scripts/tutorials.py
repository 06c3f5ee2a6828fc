"""Run the tutorials' commands in labs that begin with an empty account, and compare what they print with the pages.

A page's fenced blocks say by their titles where they run:

    ```sh title="workstation"                    the commands run there, in one shell for the whole page
    ```sh title="node1, node2"                   on each of these
    ```sh title="app1 (leave it running)"        in a terminal of its own, until the page shows "app1 after Ctrl-C"
    ```sh title="node1 (not run)"                not run; a comment `<!-- lab: ... -->` may say what is done instead
    ```text title="output"                       what the block before printed
    ```text title="app1 after Ctrl-C"            what was left running printed, ended by SIGINT

An id that an output block shows stands, in the blocks after it, for the id that was printed in its place.

`<!-- lab: copy FILE node1 node2 -->` copies a file from one instance to another; `<!-- lab: power-off node1 -->` takes
an instance's power away. What differs between any two runs is masked before outputs are compared: times, durations.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "tutorials"
NAMES = ("overlay-ip", "eni", "private-ip")

FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+) title="(?P<title>[^"]*)"\n(?P<text>.*?)^(?P=indent)```$', re.M | re.S
)
ORDER = re.compile(r"^ *<!-- lab: (?P<order>.*?) -->$", re.M)
RESULT = re.compile(r"<!-- result -->\n.*?<!-- /result -->", re.S)
# What no two runs have alike, and what stands for it when outputs are compared.
MASKS: Tuple[Tuple[str, str], ...] = (
    (r"\d{4}-\d\d-\d\dT?[ T]?\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", "TIME"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "DURATION"),
    (r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])", "VERSION"),
    # A monitor that happens to be under way.
    (r" \(Monitoring\)$", ""),
    (r" +$", ""),
)
IDENTIFIER = re.compile(r"\b[a-z]+-[0-9a-f]{17}\b")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ENDED = "--ended-"


class TutorialError(Exception):
    """A command of a page failed, or printed something else than the page shows."""


@dataclass(frozen=True)
class Step:
    """One thing to do, in the page's order. `places` is empty for an order to the lab, `text` is then the order."""

    line: int
    places: Tuple[str, ...]
    text: str
    left_running: bool = False
    # Where in the page the text of the output lies, and how it is indented.
    output: Optional[Tuple[int, int, str]] = None
    # The place whose command is ended by Ctrl-C; its output is `output`.
    interrupt: Optional[str] = None


def steps(page: str) -> Tuple[Step, ...]:
    """What a page says is to be done. TutorialError for a block that nobody knows how to run."""
    found: List[Tuple[int, Step]] = []
    for order in ORDER.finditer(page):
        found.append((order.start(), Step(_line(page, order.start()), (), order["order"])))
    for block in FENCE.finditer(page):
        line, title, where = _line(page, block.start()), block["title"], block.start()
        names, _, remark = title.partition(" (")
        places = tuple(one.strip() for one in names.split(","))
        shown = (block.start("text"), block.end("text"), block["indent"])
        if block["language"] == "text" and title == "output":
            last = max((one for one in found if one[0] < where), key=lambda pair: pair[0])
            if len(last[1].places) != 1 or last[1].left_running:
                raise TutorialError(f"line {line}: an output follows one block of one place")
            found.remove(last)
            found.append((last[0], Step(last[1].line, last[1].places, last[1].text, output=shown)))
        elif block["language"] == "text" and title.endswith(" after Ctrl-C"):
            found.append((where, Step(line, (), "", output=shown, interrupt=title.partition(" ")[0])))
        elif block["language"] == "sh" and remark.startswith("not run"):
            continue
        elif block["language"] == "sh" and remark in ("", "leave it running)"):
            text = _without(block["text"], block["indent"])
            found.append((where, Step(line, places, text, left_running=bool(remark))))
        else:
            raise TutorialError(f'line {line}: nobody knows how to run a block with the title "{title}"')
    return tuple(step for _, step in sorted(found, key=lambda pair: pair[0]))


def _line(page: str, position: int) -> int:
    return page.count("\n", 0, position) + 1


def _without(text: str, indent: str) -> str:
    return "".join(line[len(indent) :] if line.startswith(indent) else line for line in text.splitlines(keepends=True))


def masked(text: str, *, numbers: bool = False) -> str:
    """`text` with what no two runs have alike replaced; with `numbers`, every number."""
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text, flags=re.M)
    if numbers:
        text = re.sub(r"\d+(\.\d+)?", "N", text)
        # How often a consumer loses sight of the service, and finds it again, is chance; for how long is judged by the
        # command itself, with --allowed.
        text = re.sub(r"^(TIME|.*DURATION).*\n?", "", text, flags=re.M)
    return re.sub(r"[ \t]+", " ", text).strip()


class Shell:
    """A shell in an instance that goes on from block to block, as the reader's does."""

    def __init__(self, lab: Lab, place: str) -> None:
        self._place = place
        self._count = 0
        # A login shell's blocks stop at the first command that fails.
        self._process = lab.spawn(
            place,
            ["bash", "--norc", "-eu", "-o", "pipefail"],
            environment={"AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "2", "COLUMNS": "100", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, text: str, within: float = 180.0) -> str:
        """Run a block to its end; what it printed. TutorialError if a command fails, or it takes too long."""
        self._count += 1
        end = f"{ENDED}{self._count}--"
        control, output = self._process.stdin, self._process.stdout
        if control is None or output is None:
            raise TutorialError(f"the shell on {self._place} has no pipes")
        control.write(f"{'cd' if self._count == 1 else ':'}\n{text}\nprintf '\\n%s\\n' '{end}'\n".encode())
        control.flush()
        printed, until = b"", time.monotonic() + within
        while end.encode() not in printed:
            ready, _, _ = select.select([output], [], [], max(0.0, until - time.monotonic()))
            heard = os.read(output.fileno(), 65536) if ready else b""
            printed += heard
            if not heard:
                why = "a command of it failed" if ready else f"it did not end within {within:.0f} s"
                raise TutorialError(f"on {self._place}: {why}:\n{text}\nprinted:\n{printed.decode(errors='replace')}")
        return _as_installed(printed.decode(errors="replace").split(f"\n{end}")[0])

    def close(self) -> None:
        """End the shell."""
        self._process.kill()
        self._process.communicate()


class Reader:
    """Somebody who follows a page in a lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._shells: Dict[str, Shell] = {}
        self._running: Dict[str, subprocess.Popen[bytes]] = {}
        # What these print, by place.
        self._directory = tempfile.TemporaryDirectory(prefix="tutorial-")
        self.seconds: List[Tuple[float, Step]] = []
        # By the page's ids, those that were printed in their places.
        self._ids: Dict[str, str] = {}

    def follow(self, page: str) -> Tuple[str, List[str]]:
        """Do all that the page says; the page with the outputs that were seen, and what differs, one text each."""
        seen: List[Tuple[Tuple[int, int, str], str]] = []
        differences: List[str] = []
        for step in steps(page):
            began = time.monotonic()
            try:
                printed = self._do(step)
            except (TutorialError, LabError) as error:
                raise TutorialError(f"line {step.line}: {error}") from error
            self.seconds.append((time.monotonic() - began, step))
            if step.output is None:
                continue
            start, end, indent = step.output
            numbers = step.interrupt is not None
            shown = _without(page[start:end], indent)
            self._learn(shown, printed)
            expected = masked(self._with_ids(shown), numbers=numbers)
            if expected != masked(printed, numbers=numbers):
                told = difflib.unified_diff(
                    expected.splitlines(), masked(printed, numbers=numbers).splitlines(), "page", "printed", lineterm=""
                )
                differences.append(f"line {_line(page, start)}:\n" + "\n".join(told))
            seen.append((step.output, printed))
        for (start, end, indent), printed in reversed(seen):
            text = "".join(f"{indent}{line.rstrip()}".rstrip() + "\n" for line in printed.strip("\n").splitlines())
            page = page[:start] + text + page[end:]
        return self._with_ids(page), differences

    def _learn(self, shown: str, printed: str) -> None:
        """Which printed id stands in the place of which one of the page."""
        of_page, of_lab = IDENTIFIER.findall(shown), IDENTIFIER.findall(printed)
        if len(of_page) == len(of_lab):
            for old, new in zip(of_page, of_lab):
                if old.partition("-")[0] == new.partition("-")[0]:
                    self._ids.setdefault(old, new)

    def _with_ids(self, text: str) -> str:
        return IDENTIFIER.sub(lambda found: self._ids.get(found[0], found[0]), text)

    def _do(self, step: Step) -> str:
        if step.interrupt is not None:
            return self._interrupt(step.interrupt)
        if not step.places:
            self._order(step.text.split())
            return ""
        if step.left_running:
            (place,) = step.places
            self._leave_running(place, self._with_ids(step.text))
            return ""
        return "".join([self._shell(place).run(self._with_ids(step.text)) for place in step.places])

    def _shell(self, place: str) -> Shell:
        if place not in self._shells:
            self._shells[place] = Shell(self._lab, place)
        return self._shells[place]

    def _leave_running(self, place: str, text: str) -> None:
        """Start a command, and wait until it has said two things: what it does, and what it has seen first."""
        printed = Path(self._directory.name, place)
        with printed.open("wb") as file:
            argv = ["bash", "-c", "cd; exec " + text]
            process = self._lab.spawn(place, argv, stdout=file, stderr=subprocess.STDOUT)
        self._running[place] = process

        def has_begun() -> bool:
            return printed.read_text(encoding="utf-8", errors="replace").count("\n") >= 2 or process.poll() is not None

        eventually(f"the beginning of '{text.strip()}' on {place}", has_begun, 30.0)

    def _interrupt(self, place: str) -> str:
        process = self._running[place]
        # The command itself is below nsenter, and gets what a terminal would send to the whole group.
        for child in _descendants(process.pid) or [process.pid]:
            os.kill(child, signal.SIGINT)
        process.wait(timeout=30)
        del self._running[place]
        printed = _as_installed(Path(self._directory.name, place).read_text(encoding="utf-8", errors="replace"))
        if process.returncode != 0:
            raise TutorialError(f"what was left running on {place} exited with {process.returncode}:\n{printed}")
        return printed

    def _order(self, words: List[str]) -> None:
        if words[0] == "copy" and len(words) == 4:
            source, target = self._lab.disk(words[2]) / words[1].lstrip("/"), words[3]
            content = source.read_bytes().hex()
            mode = f"{source.stat().st_mode & 0o777:o}"
            write = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_bytes(bytes.fromhex(sys.stdin.read()))"
            self._lab.exec(target, ["python3", "-c", write, words[1]], stdin=content)
            self._lab.exec(target, ["chmod", mode, words[1]])
        elif words[0] == "power-off" and len(words) == 2:
            shell = self._shells.pop(words[1], None)
            self._lab.power_off(words[1])
            if shell is not None:
                shell.close()
        else:
            raise TutorialError(f"the lab knows no order '{' '.join(words)}'")

    def close(self) -> None:
        """End every shell, and what was left running."""
        for shell in self._shells.values():
            shell.close()
        for process in self._running.values():
            process.kill()
            process.wait()
        self._directory.cleanup()


def _as_installed(text: str) -> str:
    """What a reader sees, whose agent is where `make install` puts it; without colours."""
    return COLOUR.sub("", text).replace(sys.prefix, "/opt/aws-ipfailover")


def _descendants(pid: int) -> List[int]:
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        listed = Path(f"/proc/{one}/task/{one}/children")
        children = [int(word) for word in listed.read_text(encoding="ascii").split()] if listed.exists() else []
        found += children
        waiting += children
    return found


def follow(name: str, lab_name: str, *, slowest: int = 0) -> Tuple[str, List[str]]:
    """Run one page in a lab of its own: the page with the outputs that were seen, and what differs."""
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    with Lab.running(lab_name, Settings(empty=True)) as lab:
        reader = Reader(lab)
        began = time.monotonic()
        try:
            refreshed, differences = reader.follow(page)
        finally:
            reader.close()
            for seconds, step in sorted(reader.seconds, key=lambda pair: -pair[0])[:slowest]:
                first = step.text.strip().splitlines()[0] if step.text.strip() else "Ctrl-C"
                sys.stderr.write(f"  {seconds:6.1f} s  line {step.line}: {first[:80]}\n")
        took = time.monotonic() - began
        if lab.status().errors:
            raise TutorialError(f"the lab itself failed: {'; '.join(lab.status().errors)}")
    count = sum(len(step.places) for step in steps(page))
    result = f"Last run as a whole: {count} blocks of commands in {took:.0f} s, {time.strftime('%d %B %Y')}."
    return RESULT.sub(f"<!-- result -->\n{result}\n<!-- /result -->", refreshed), differences


def main() -> int:
    """`scripts/tutorials.py [--write] [NAME...]`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the outputs that were seen into the pages")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    given = parser.parse_args()
    for name in given.names:
        if name not in NAMES:
            parser.error(f"there is no tutorial {name!r}; there are {', '.join(NAMES)}")
    wrong = 0
    for name in given.names:
        sys.stderr.write(f"{name}\n")
        try:
            page, differences = follow(name, f"tutorial-{os.getpid()}", slowest=8)
        except (TutorialError, LabError) as error:
            sys.stderr.write(f"{name}: {error}\n")
            wrong += 1
            continue
        if given.write:
            (PAGES / f"{name}.md").write_text(page, encoding="utf-8")
        for difference in differences:
            sys.stderr.write(f"{name}, {difference}\n")
        wrong += 0 if given.write else len(differences)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
