"""The page of a run: what it tells, what it can bear, and that it needs nothing from elsewhere."""

from __future__ import annotations

import gzip
import html
import json
import os
import random
import re
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from aws_ipfailover.redaction import keep_secret
from aws_ipfailover.report import files
from aws_ipfailover.report.document import (
    SCHEMA,
    Consumer,
    Document,
    Judged,
    Mark,
    Note,
    Problem,
    Span,
    parse,
)
from aws_ipfailover.report.lanes import Answers, Lane, Mixed, Unasked, coarser, lanes_of
from aws_ipfailover.report.page import page
from aws_ipfailover.report.picture import MARKS, picture
from aws_ipfailover.report.questions import read
from aws_ipfailover.watch.history import Silence
from aws_ipfailover.watch.question import Failure, Protocol, Question

T = 1_000_000.0
ADDRESS = "192.168.10.10"
DOCUMENT = Document(
    title="crash of the active node",
    verdict="passed",
    begins=T,
    ends=T + 20,
    summary="Another node takes over.",
    consumers=(Consumer("app1"), Consumer("app2")),
    rows=("faults", "node1", "EC2"),
    guided="faults",
    spans=(Span("faults", T + 2, T + 9, "crash node1"), Span("node1", T + 1, None, "start of ip", wrong=True)),
    marks=(
        Mark("EC2", T + 4, "ReplaceRoute rtb-1 by node2: ok"),
        Mark("EC2", T + 5, "DescribeInstances by node2: ok", minor=True),
    ),
    settings={"mode": "overlay-ip", "seed": "7"},
    versions={"Pacemaker": "2.1.5"},
)
# Whatever a page is told: an end of the script, an element, a quote, an entity, a control character, right-to-left.
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;\x00\x1b[31m\u202e`${x}`<!--]]>"


def question(
    sent: float,
    node: Optional[str] = "node1",
    *,
    answered: Optional[float] = None,
    error: Failure = "timeout",
    protocol: Protocol = "tcp",
    address: str = ADDRESS,
) -> Question:
    """One that was sent so many seconds after the beginning; lost without a node, answered after 2 ms else."""
    if node is None:
        return Question(protocol, 0, T + sent, None, None, error, address=address)
    return Question(
        protocol, 0, T + sent, T + (sent + 0.002 if answered is None else answered), node, None, address=address
    )


def lane(*questions: Question, consumer: str = "app1") -> Lane:
    """The one lane of these questions."""
    (found,) = lanes_of(consumer, {}, questions, 0.9)
    return found


FAILOVER = lane(question(0), question(1), question(2, None), question(3, None, error="refused"), question(4, "node2"))


class Reader(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, and its texts outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.texts: List[str] = []
        self.scripts: List[str] = []
        self._in: List[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "script":
            self.scripts.append(data)
        elif self._in and self._in[-1] != "style" and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def record(self) -> Dict[str, Any]:
        """What the script draws."""
        found: Dict[str, Any] = json.loads(self.scripts[0])
        return found


def parts(found: Lane) -> List[Tuple[Any, ...]]:
    """The parts of a lane in short, in seconds after the beginning."""
    told: List[Tuple[Any, ...]] = []
    for one in found.parts:
        times = (round(one.begins - T, 3), round(one.ends - T, 3))
        if isinstance(one, Answers):
            told.append((*times, one.who, one.answers))
        elif isinstance(one, Silence):
            told.append((*times, "silence", one.lost))
        else:
            told.append((*times, type(one).__name__))
    return told


# -- lanes -----------------------------------------------------------------------------------------------------------


def test_a_silence_lasts_from_the_last_answer_to_the_first_one_after() -> None:
    """As the judge and the watch have it; who answered before and after is known, and why questions were lost."""
    assert parts(FAILOVER) == [(0.002, 1.002, "node1", 2), (1.002, 4.002, "silence", 2), (4.002, 4.002, "node2", 1)]
    (silence,) = FAILOVER.silences
    assert (silence.before, silence.after, silence.ended, silence.never_before) == ("node1", "node2", True, False)
    assert silence.errors == {"timeout": 1, "refused": 1}
    assert (FAILOVER.asked, FAILOVER.answered) == (5, 3)


def test_questions_are_put_in_the_order_in_which_they_were_sent() -> None:
    """A lost one is told when its time is over, after the answers to later ones."""
    told = [question(0), question(2, "node2"), question(3, "node2"), question(1, None)]
    assert parts(lane(*told)) == parts(lane(*sorted(told, key=lambda one: one.sent)))


def test_who_was_never_answered_has_one_silence() -> None:
    """From the first question on, to the last one."""
    found = lane(question(1, None), question(2, None))
    assert parts(found) == [(1, 2, "silence", 2)]
    assert (found.silences[0].never_before, found.silences[0].ended) == (True, False)


def test_another_node_that_answers_in_between_is_seen() -> None:
    """One answer of a wrong node has a part of its own."""
    found = lane(question(0), question(1, "node2"), question(2))
    assert [one[2] for one in parts(found)] == ["node1", "node2", "node1"]


def test_a_consumer_that_asks_nothing_is_neither_answered_nor_silent() -> None:
    """Its machine was off; a silence that goes on meanwhile stays one."""
    assert parts(lane(question(0), question(10))) == [
        (0.002, 0.002, "node1", 1),
        (0.002, 10, "Unasked"),
        (10.002, 10.002, "node1", 1),
    ]
    lost = lane(question(0), question(1, None), question(20, None), question(21))
    assert [one[2] for one in parts(lost)] == ["node1", "silence", "node1"]


def test_lanes_are_in_the_order_of_addresses_and_protocols() -> None:
    """An Elastic IP is the service's address; a clock that is ahead is set back."""
    asked = {"203.0.113.1": "10.0.1.60", "10.0.1.61": "10.0.1.61"}
    told = [
        question(1, protocol="icmp", address="10.0.1.61"),
        question(1, protocol="udp", address="203.0.113.1"),
        question(1, protocol="tcp", address="203.0.113.1"),
    ]
    found = lanes_of("internet", asked, told, 0.9, ahead=0.5)
    assert [(one.address, one.over) for one in found] == [
        ("10.0.1.60", "TCP"),
        ("10.0.1.60", "UDP"),
        ("10.0.1.61", "ICMP"),
    ]
    assert found[0].parts[0].begins == pytest.approx(T + 0.502)


def test_too_many_parts_become_fewer_and_lose_no_question() -> None:
    """Short neighbours become one; a long silence stays as it is."""
    told = [question(step / 10, None if step % 2 else "node1") for step in range(2000)]
    told += [question(300, None), question(301)]
    found = lane(*told)
    coarse = coarser(found.parts, 100)
    assert len(coarse) <= 100
    answers = sum(one.answers for one in coarse if isinstance(one, (Answers, Mixed)))
    lost = sum(one.lost for one in coarse if isinstance(one, (Silence, Mixed)))
    assert (answers, lost) == (found.answered, found.asked - found.answered)
    assert any(isinstance(one, Silence) and one.seconds > 90 for one in coarse)
    assert coarser(FAILOVER.parts, 100) == FAILOVER.parts


# -- the document -----------------------------------------------------------------------------------------------------


def test_a_document_is_read_as_it_was_written() -> None:
    """Every field of every class."""
    whole = replace(
        DOCUMENT,
        consumers=(Consumer("app1", "/tmp/app1.jsonl.gz", {"203.0.113.1": "10.0.1.60"}, 0.25),),
        problems=(Problem("something", T + 1, "app1", "tcp", ADDRESS), Problem("something else")),
        judged=(Judged("app1", "tcp", ADDRESS, T, T + 1, 0.5),),
        notes=(Note("Afterwards", ("as before",)),),
        figures={"faults": "1"},
    )
    assert parse(json.dumps({"schema": SCHEMA, **asdict(whole)})) == whole


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": "aws-ipfailover/report/9"}, '"schema" is not'),
        ({"verdict": "perhaps"}, "verdict is one of passed, failed, unknown, not 'perhaps'"),
        ({"begins": "today"}, "wrong value"),
        ({"begins": float("nan")}, "wrong value: nan is no time"),
        ({"spans": [{"row": "faults"}]}, "without 'begins'"),
        ({"spans": 3}, "wrong value"),
        ({"consumers": ["app1"]}, "wrong value"),
        ({"settings": []}, "wrong value"),
    ],
)
def test_what_is_no_document_is_a_sentence(change: Dict[str, Any], sentence: str) -> None:
    """And never a traceback."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse(json.dumps({"schema": SCHEMA, **asdict(DOCUMENT), **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "3"])
def test_what_is_no_object_is_a_sentence(text: str) -> None:
    """Such as an input that was cut."""
    with pytest.raises(ValueError, match=r"JSON|document"):
        parse(text)


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_first_line_is_the_verdict() -> None:
    """In words, and with a sign: not by colour alone. A page says one of three things."""
    for verdict, words in (("passed", "Passed"), ("failed", "Failed"), ("unknown", "Could not find out")):
        found = Reader(page(replace(DOCUMENT, verdict=verdict), [FAILOVER]))
        title, sign, told = found.texts[:3]
        assert title == f"{words}: crash of the active node"
        assert sign in "✔✘?"
        assert (told, found.texts[3]) == (words, "crash of the active node")


def test_silences_are_in_the_table_the_longest_first() -> None:
    """With who answered before and after, what was lost and why, and what nothing explains for a judge."""
    short = lane(question(0), question(1, None), question(1.5), consumer="app2")
    judged = (Judged("app1", "tcp", ADDRESS, T + 1, T + 4, 0.25),)
    text = html.unescape(page(replace(DOCUMENT, judged=judged), [short, FAILOVER]))
    rows = re.findall(
        r"<tr role=\"row\"><td.*?</tr>", text.split("Silences, the longest first")[1].split("</table>")[0]
    )
    cells = [re.sub(r"<[^>]+>", "|", row) for row in rows]
    assert len(cells) == 2
    assert "1.002 s" in cells[0]
    assert "13:46:41.002" in cells[0]
    for told in ("3.00 s", "app1", "TCP", "node1 → node2", "2 (timeout 1, refused 1)", "250 ms"):
        assert f"|{told}|" in cells[0]
    assert "|app2|" in cells[1]
    assert "|-|" in cells[1]


def test_a_run_without_silences_says_so() -> None:
    """No empty table."""
    found = Reader(page(DOCUMENT, [lane(question(0), question(1))]))
    assert "Every question was answered." in found.texts


def test_a_run_without_a_record_is_a_page_too() -> None:
    """A lab that did not come up: the verdict and the reason are all there is."""
    document = Document("a", "failed", T, T, problems=(Problem("the lab did not come up"),))
    found = Reader(page(document, []))
    assert "the lab did not come up" in found.texts
    assert not [one for one, about in found.elements if about.get("id") == "picture"]
    assert "there is no record of any" in found.texts


def test_events_faults_and_configuration_are_told() -> None:
    """What changed nothing is counted, and told by the picture."""
    found = Reader(page(DOCUMENT, [FAILOVER]))
    told = " ".join(found.texts)
    for text in (
        "crash node1, 7.00 s",
        "start of ip, to the end",
        "ReplaceRoute rtb-1 by node2: ok",
        "Not in this table, but in the picture: 1 calls",
        "overlay-ip",
        "2.1.5",
    ):
        assert text in told
    assert "DescribeInstances" not in told
    rows = {row["name"]: row for row in found.record["rows"]}
    assert rows["faults"]["spans"] == [[2000, 9000, "crash node1", 0]]
    assert rows["node1"]["spans"] == [[1000, None, "start of ip", 1]]
    assert rows["EC2"]["marks"][1] == [5000, "DescribeInstances by node2: ok", 0, 1]
    assert rows["TCP"]["parts"] == [2, 1000, 0, 2, 1002, 3000, -1, 2, 4002, 0, 1, 1]
    assert rows["TCP"]["told"] == {"1": "timeout 1, refused 1"}


def test_the_same_run_makes_the_same_page() -> None:
    """Nothing in it depends on when or where it was made."""
    assert page(DOCUMENT, [FAILOVER]) == page(DOCUMENT, [FAILOVER])


def test_a_page_needs_nothing_from_elsewhere() -> None:
    """No address of a network, no file, no frame; its policy forbids a browser to load any."""
    text = page(DOCUMENT, [FAILOVER])
    # The name of a vocabulary, which nobody fetches, is all that looks like an address.
    assert re.findall(r"[a-z]+://[^\s\"']*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(
        r"url\((?!#)|@import|\bsrc=|\bhref=|srcset|fetch\(|XMLHttpRequest|importScripts|WebSocket", text
    )
    found = Reader(text)
    assert {one for one, _ in found.elements}.isdisjoint(
        {"link", "img", "iframe", "object", "embed", "base", "form", "a"}
    )
    policy = next(about["content"] for one, about in found.elements if one == "meta" and "http-equiv" in about)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_policy_names_the_script_and_style_of_the_page() -> None:
    """By their hashes, as a browser computes them."""
    import base64
    import hashlib

    text = page(DOCUMENT, [FAILOVER])
    style = text.split("<style>")[1].split("</style>")[0]
    script = text.rsplit("<script>", 1)[1].split("</script>")[0]
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    for own in (style, script):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" in policy


def hostile(value: Any) -> Any:
    """A document's value, with every text in it replaced."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(one) for one in value)
    if isinstance(value, dict):
        return {HOSTILE + str(number): HOSTILE for number, _ in enumerate(value)}
    if hasattr(value, "__dataclass_fields__"):
        kept = ("verdict", "row", "rows", "guided")
        return replace(value, **{name: hostile(old) for name, old in vars(value).items() if name not in kept})
    return value


def test_hostile_texts_stay_texts() -> None:
    """Of events, names of consumers and of whoever answers, kinds of errors, settings, notes: everything is escaped."""
    whole = replace(
        DOCUMENT,
        problems=(Problem("x", T + 1),),
        notes=(Note("x", ("x",)),),
        figures={"x": "x"},
        rows=(*DOCUMENT.rows, HOSTILE),
        marks=(*DOCUMENT.marks, Mark(HOSTILE, T + 3, "x")),
    )
    told = [question(0, HOSTILE), Question("tcp", 0, T + 1, None, None, HOSTILE), question(2, HOSTILE)]  # type: ignore[arg-type]
    found_lanes = lanes_of(HOSTILE, {ADDRESS: HOSTILE}, told, 0.9)
    text = page(hostile(whole), found_lanes)
    plain, found = Reader(page(whole, lanes_of("a", {}, told[::2], 0.9))), Reader(text)
    assert [one for one, _ in found.elements].count("script") == 2
    assert {one for one, _ in found.elements} <= {one for one, _ in plain.elements} | {"ol", "td", "tr"}
    allowed = {"type", "id", "class", "hidden", "role", "scope", "start", "open", "title", "name", "content", "charset"}
    allowed |= {"lang", "http-equiv", "tabindex"}
    for _, about in found.elements:
        assert all(name in allowed or name.startswith(("aria-", "data-")) for name in about), about
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert found.record["rows"][-1]["group"].startswith("</script>")


def test_a_page_has_no_secret() -> None:
    """One that this process knows, the id of an access key, a password in a URL, the value of a setting that is one."""
    keep_secret("correct-horse-battery")
    secrets = ("correct-horse-battery", "AKIAIOSFODNN7EXAMPLE", "hunter2hunter2", "sesame-open")
    marks = tuple(Mark("EC2", T + 1, f"by {one}") for one in secrets[:2])
    document = replace(
        DOCUMENT,
        marks=marks,
        problems=(Problem("proxy http://me:hunter2hunter2@proxy:3128 refused"),),
        settings={
            "external_id": "sesame-open",
            "Session-Token": "sesame-open",
            "parameters": "mode=eni, external_id=sesame-open",
            "token_ms": "1000",
        },
        notes=(Note("configuration", ('params external_id="sesame-open" token=3000 password=sesame-open',)),),
    )
    text = page(document, [FAILOVER])
    assert not [one for one in secrets if one in text]
    told = Reader(text).texts
    assert "mode=eni, external_id=***" in told
    assert "params external_id=*** token=3000 password=***" in told
    assert told[told.index("token_ms") + 1] == "1000"


def test_times_that_no_calendar_has_are_no_traceback() -> None:
    """A record can say anything."""
    for begins in (-1e15, 1e15, 0.0):
        assert "<h1>" in page(replace(DOCUMENT, begins=begins, ends=begins), [FAILOVER])


def minutes(count: int, every: float, flapping: bool) -> Iterator[Question]:
    """The questions of one consumer over four protocols; nobody answers for five seconds of each minute."""
    draw = random.Random(7)
    protocols: Tuple[Protocol, ...] = ("tcp", "udp", "icmp", "stream")
    for step in range(round(count * 60 / every)):
        sent = step * every
        minute, second = divmod(sent, 60)
        for protocol in protocols:
            lost = second < 5 or (flapping and draw.random() < 0.5)
            yield question(sent, None if lost else f"node{1 + int(minute) % 3}", protocol=protocol)


@pytest.mark.parametrize("flapping", [False, True], ids=["failovers", "every other question lost"])
def test_thirty_minutes_of_questions_every_100_ms_stay_below_3_mb(flapping: bool) -> None:
    """Of five consumers, with a thousand calls: also where every other question is lost, and every text is long."""
    one = lanes_of("app1", {}, minutes(30, 0.1, flapping), 0.9)
    marks = tuple(Mark("EC2", T + number, "ReplaceRoute " + "x" * 120) for number in range(1000))
    text = page(replace(DOCUMENT, ends=T + 1800, marks=marks), one * 5)
    assert len(text.encode()) < 3_000_000
    assert len(one) == 4


def test_no_record_makes_a_page_without_bounds() -> None:
    """Thousands of events, problems, notes and names: those that matter more are kept."""
    many = 8_000
    document = replace(
        DOCUMENT,
        marks=tuple(
            Mark("EC2", T + one / 100, "x" * 500, wrong=one == many - 1, minor=one % 2 == 0) for one in range(many)
        ),
        spans=tuple(Span("faults", T, T + one, "y" * 500) for one in range(many)),
        problems=tuple(Problem("z" * 500, T + 1) for _ in range(many)),
        notes=(Note("n", ("w" * 500,) * many),),
        settings={str(one): "v" * 100 for one in range(many)},
        figures={str(one): "v" * 100 for one in range(many)},
    )
    named = lane(*(question(one / 100, f"node-{one}") for one in range(5_000)))
    text = page(document, [named])
    assert len(text.encode()) < 8_000_000
    kept = picture(document, [named])["rows"][1]["marks"]
    assert len(kept) == MARKS
    assert kept[-1][2] == 1


# -- the program and its file ------------------------------------------------------------------------------------


def run(target: Path, text: str) -> subprocess.CompletedProcess[str]:
    """The program that makes a page."""
    argv = [sys.executable, "-m", "aws_ipfailover.report", str(target)]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)


def test_the_program_makes_a_page_from_a_document_and_files_of_questions(tmp_path: Path) -> None:
    """Plain and packed; a line that is cut is left out, and a consumer without a file asked nothing."""
    lines = "".join(one.to_json() + "\n" for one in (question(0), question(1, None), question(2)))
    (tmp_path / "app1.jsonl").write_text(lines + '{"protocol":"tcp","seq', encoding="utf-8")
    with gzip.open(tmp_path / "app2.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.write(lines)
    consumers = tuple(
        Consumer(name, str(tmp_path / file))
        for name, file in (("app1", "app1.jsonl"), ("app2", "app2.jsonl.gz"), ("app3", "none.jsonl"))
    )
    target = tmp_path / "page.html"
    done = run(target, json.dumps({"schema": SCHEMA, **asdict(replace(DOCUMENT, consumers=consumers))}))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = Reader(target.read_text(encoding="utf-8"))
    assert "6, of which 2 were lost" in found.texts
    assert [row["group"] for row in found.record["rows"] if "group" in row] == ["app1", "app2"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask()


def umask() -> int:
    """The process's own."""
    found = os.umask(0o22)
    os.umask(found)
    return found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{}", "no page can be made: no document of a page"), ("", "no page can be made: no JSON")],
)
def test_the_program_says_why_there_is_no_page(tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence; nothing is written, and an old page stays."""
    target = tmp_path / "page.html"
    target.write_text("old", encoding="utf-8")
    done = run(target, text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_program_cannot_write_everywhere(tmp_path: Path) -> None:
    """A directory that is not there, and a packed file that is none."""
    text = json.dumps({"schema": SCHEMA, **asdict(replace(DOCUMENT, consumers=()))})
    done = run(tmp_path / "no" / "page.html", text)
    assert (done.returncode, done.stderr) == (1, f"cannot write {tmp_path}/no/page.html: No such file or directory\n")
    broken = tmp_path / "app1.jsonl.gz"
    broken.write_bytes(b"no gzip")
    text = json.dumps({"schema": SCHEMA, **asdict(replace(DOCUMENT, consumers=(Consumer("app1", str(broken)),)))})
    done = run(tmp_path / "page.html", text)
    assert done.returncode == 1
    assert done.stderr.startswith(f"no page can be made: cannot read the questions in {broken}: ")
    usage = subprocess.run([sys.executable, "-m", "aws_ipfailover.report"], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr.split(":")[0]) == (2, "usage")


def test_half_a_page_is_no_page(tmp_path: Path) -> None:
    """What fails on the way leaves the old one, and nothing else."""
    target = tmp_path / "page.html"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        files.write(target, "new \ud800")
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_of_questions_that_is_a_directory_is_a_sentence(tmp_path: Path) -> None:
    """Never a traceback."""
    from aws_ipfailover.errors import Error

    with pytest.raises(Error, match="cannot read the questions in"):
        list(read(tmp_path))


def test_the_parts_of_a_lane_cover_what_was_asked() -> None:
    """Whatever comes: every question is an answer or a loss of exactly one part."""
    draw = random.Random(3)
    for _ in range(50):
        told = []
        for step in range(draw.randrange(1, 80)):
            who = draw.choice(["node1", "node2", None])
            told.append(question(step * draw.choice([0.1, 0.1, 7.0]), who))
        found = lane(*told)
        answers = sum(one.answers for one in found.parts if isinstance(one, Answers))
        lost = sum(one.lost for one in found.parts if isinstance(one, Silence))
        assert (answers, lost) == (found.answered, found.asked - found.answered)
        assert all(one.ends >= one.begins for one in found.parts)
        assert not any(isinstance(one, Unasked) and one.ends - one.begins < 3.9 for one in found.parts)
