"""The page of a run in a real browser, where there is one: drawn, zoomed, walked through by keys, and quiet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from aws_ipfailover.report.document import Consumer, Document, Mark, Problem, Span
from aws_ipfailover.report.lanes import Lane, lanes_of
from aws_ipfailover.report.page import page
from aws_ipfailover.watch.question import Question
from browser import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")

T = 1_000_000.0
HOSTILE = "</script><script>window.hostile = 1</script><img src=x onerror='window.hostile = 1'>"
DOCUMENT = Document(
    title="a crash",
    verdict="failed",
    begins=T,
    ends=T + 30,
    consumers=(Consumer("app1"), Consumer("app2")),
    rows=("faults", "node1", "EC2"),
    guided="faults",
    spans=(Span("faults", T + 10, T + 20, "crash node1"), Span("node1", T + 12, T + 13, "start of ip: exit code 0")),
    marks=(
        Mark("EC2", T + 12.5, "ReplaceRoute rtb-1 by node2: ok"),
        Mark("EC2", T + 14, "StopInstances i-1", wrong=True),
    ),
    problems=(Problem("app1 got no answer for 4 s", T + 10, "app1", "tcp"), Problem("node1 was fenced")),
    settings={"mode": "overlay-ip"},
)
LABEL = "document.querySelector('#drawing svg').getAttribute('aria-label')"
TOLD = "document.getElementById('told').textContent"
TEXTS = "[...document.querySelectorAll('#drawing text')].map(one => one.textContent)"


def lanes(names: Tuple[str, str] = ("node1", "node2")) -> List[Lane]:
    """Two consumers; four seconds of silence from 10 s on."""
    questions = []
    for step in range(300):
        sent = T + step / 10
        who = None if 10 <= step / 10 < 14 else names[step >= 140]
        questions.append(
            Question("tcp", step, sent, None if who is None else sent + 0.001, who, None if who else "timeout")
        )
    return [*lanes_of("app1", {}, questions, 0.9), *lanes_of("app2", {}, questions, 0.9)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with Browser() as found:
        yield found


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    """The page of the crash, in the browser."""
    file = tmp_path / "page.html"
    file.write_text(page(DOCUMENT, lanes()), encoding="utf-8")
    browser.size(1280, 900)
    browser.errors.clear()
    browser.open(file)
    return browser


def test_the_picture_is_drawn_and_nothing_is_fetched(opened: Browser) -> None:
    """Bars with names, the silence with its length, events, an axis; the policy refuses none of it."""
    told = opened.evaluate(TEXTS)
    for text in (
        "✘ StopInstances i-1",
        "app1",
        "app2",
        "node1",
        "node2",
        "4.10 s",
        "crash node1",
        "✘ 1",
        "0 s",
        "25 s",
    ):
        assert text in told
    assert opened.errors == []
    assert [one for one in opened.requests() if not one.startswith("file:")] == []
    assert len(opened.requests()) == 1
    assert opened.evaluate("document.getElementById('without').hidden")


def test_keys_zoom_move_and_walk_through_events(opened: Browser) -> None:
    """Everything without a mouse; what is walked to is told to a screen reader."""
    opened.evaluate("document.getElementById('drawing').focus()")
    opened.press("+")
    assert opened.evaluate(LABEL).startswith("From 7.500 s (13:46:47.500 UTC) to 22.500 s")
    opened.press("ArrowLeft")
    assert opened.evaluate(LABEL).startswith("From 3.000 s")
    opened.press("0", "l")
    assert opened.evaluate(LABEL).startswith("From 7.4")
    assert opened.evaluate(TOLD).startswith("app1 over TCP, 9.901 s (13:46:49.901 UTC), for 4.10 s: silence, 40 lost")
    opened.press("0")
    found = []
    for _ in range(8):
        opened.press("n")
        found.append(opened.evaluate(TOLD))
    assert [one.split(",")[0] for one in found] == [
        "app1 over TCP",
        "app2 over TCP",
        "Problem 1",
        "faults",
        "node1",
        "EC2",
        "EC2",
        "There is no later event.",
    ]
    opened.press("p")
    assert "ReplaceRoute" in opened.evaluate(TOLD)


def test_a_row_of_the_table_shows_its_silence(opened: Browser) -> None:
    """The picture goes there, and has the focus."""
    opened.evaluate("document.querySelector('.silences .show').click()")
    assert opened.evaluate(LABEL).startswith("From 7.8")
    assert opened.evaluate("document.activeElement.id") == "drawing"


def test_a_mouse_zooms_into_what_it_is_dragged_over(opened: Browser) -> None:
    """And tells what it is on."""
    left, top, right = opened.evaluate(
        "(box => [box.left, box.top, box.right])(document.getElementById('drawing').getBoundingClientRect())"
    )
    middle = (left + right) / 2
    opened.mouse("mouseMoved", middle, top + 40)
    assert "crash node1" in opened.evaluate("document.getElementById('readout').textContent")
    opened.mouse("mousePressed", middle, top + 40)
    opened.mouse("mouseMoved", middle + 100, top + 40)
    opened.mouse("mouseReleased", middle + 100, top + 40)
    span = opened.evaluate(f"{LABEL}.match(/[0-9.]+ s/g).map(parseFloat)")
    assert 2 < span[1] - span[0] < 4


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_its_window(opened: Browser, width: int, dark: bool) -> None:
    """No text is cut at the right, and nothing scrolls sideways: also on a telephone."""
    opened.size(width, 900)
    opened.dark(dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("document.querySelector('#drawing svg').clientWidth") <= width
    beyond = (
        "[...document.querySelectorAll('#drawing text')].filter(one => one.getBoundingClientRect().right >"
        f" {width} + 1).map(one => one.textContent)"
    )
    assert opened.evaluate(beyond) == []
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    opened.dark(dark=False)


def test_hostile_texts_run_nothing(browser: Browser, tmp_path: Path) -> None:
    """They are shown as they are."""
    file = tmp_path / "page.html"
    document = replace(
        DOCUMENT, title=HOSTILE, marks=(Mark("EC2", T + 5, HOSTILE),), problems=(Problem(HOSTILE, T + 1),)
    )
    file.write_text(page(document, lanes((HOSTILE, "node2"))), encoding="utf-8")
    browser.errors.clear()
    browser.open(file)
    assert browser.evaluate("typeof window.hostile") == "undefined"
    assert browser.evaluate("document.images.length") == 0
    assert browser.errors == []
    assert "<img src=x" in browser.evaluate("document.querySelector('h1').textContent")


def test_contrast_is_enough(opened: Browser) -> None:
    """4.5 to 1 for every text of the page outside of the picture, in both themes (WCAG 2.1, 1.4.3)."""
    measured = """(() => {
      const parse = text => text.match(/[0-9.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map(one => one / 255)
        .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
      const paper = node => {
        for (let one = node; one; one = one.parentElement) {
          const found = parse(getComputedStyle(one).backgroundColor);
          if (found.length < 4 || found[3] > 0) { return found; }
        }
      };
      const low = [];
      for (const node of document.querySelectorAll('main *:not(svg *)')) {
        if (![...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim())) { continue; }
        const [a, b] = [light(parse(getComputedStyle(node).color)), light(paper(node))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) { low.push(node.textContent); }
      }
      return low;
    })()"""
    for dark in (False, True):
        opened.dark(dark=dark)
        assert opened.evaluate(measured) == []
    opened.dark(dark=False)
