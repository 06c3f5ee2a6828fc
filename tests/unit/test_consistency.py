"""consistency.py: what a node remembers of its own write, and when a read of EC2 is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Optional

import pytest

from aws_ipfailover import consistency
from aws_ipfailover.consistency import SETTLE_SECONDS, Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError


def test_the_last_write_is_remembered_for_what_was_written(tmp_path: Path) -> None:
    """Another ENI's write is none of ours; the file is private."""
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "fd00:10::10")
    assert memory.age("eni-1") is None
    memory.remember("eni-1")
    age = memory.age("eni-1")
    assert age is not None
    assert 0 <= age < 60
    assert memory.age("eni-2") is None
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"what": "eni-1"}', '{"what": "eni-1", "at": "soon"}', '{"what": "eni-1", "at": 1, "wrote": 1}'],
)
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    """It is an aid; things are done without it."""
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1")
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert memory.age("eni-1") is None


def test_a_memory_from_before_a_reboot_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that counts starts again with the kernel."""
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1")
    monkeypatch.setattr(consistency, "_now", lambda: 0.0)
    assert memory.age("eni-1") is None


def test_a_memory_that_cannot_be_kept_is_done_without(tmp_path: Path) -> None:
    """Neither remembering nor asking fails where the directory is a file."""
    (tmp_path / "file").write_text("")
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path / "file")}, "10.0.0.1")
    memory.remember("eni-1")
    assert memory.age("eni-1") is None


def test_what_was_written_is_recent_while_reads_may_lag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the settling time and no longer, and only for the very thing that was written."""
    now = [1000.0]
    monkeypatch.setattr(consistency, "_now", lambda: now[0])
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1")
    now[0] += SETTLE_SECONDS - 1
    assert memory.is_recent("eni-1")
    assert not memory.is_recent("eni-2")
    now[0] += 1
    assert not memory.is_recent("eni-1")


def test_what_a_write_reached_is_remembered(tmp_path: Path) -> None:
    """The parts that were written, of the last write of that very thing."""
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    assert not memory.is_recent("eni-1", "rtb-b")
    memory.remember("eni-1", wrote=["rtb-b", "rtb-c"])
    assert memory.is_recent("eni-1", "rtb-b")
    assert not memory.is_recent("eni-1", "rtb-a")
    assert not memory.is_recent("eni-2", "rtb-b")
    memory.remember("eni-1")  # all of it
    assert memory.is_recent("eni-1", "rtb-a")


def test_a_later_write_of_a_part_makes_no_other_part_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair of one route: of the others, reads may have lagged since the start, and no longer."""
    now = [1000.0]
    monkeypatch.setattr(consistency, "_now", lambda: now[0])
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1", wrote=["rtb-a", "rtb-b"])
    now[0] += SETTLE_SECONDS
    memory.remember_also("eni-1", ["rtb-a"])
    assert memory.is_recent("eni-1", "rtb-a")
    assert not memory.is_recent("eni-1", "rtb-b")
    assert memory.age("eni-1", "rtb-b") == SETTLE_SECONDS
    memory.remember_also("eni-2", ["rtb-c"])  # another ENI: what was written before is of no use any more
    assert memory.is_recent("eni-2", "rtb-c")
    assert memory.age("eni-1") is None


def test_what_was_refused_is_remembered_until_it_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a later write of that part or of all of it, or as reads tell."""
    now = [1000.0]
    monkeypatch.setattr(consistency, "_now", lambda: now[0])
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    assert memory.refused("eni-1") == ()
    memory.remember("eni-1", wrote=["rtb-a"], refused=["rtb-b", "rtb-c"])
    assert memory.refused("eni-1") == ("rtb-b", "rtb-c")
    assert memory.refused("eni-2") == ()
    memory.remember_also("eni-1", ["rtb-b"])
    assert memory.refused("eni-1") == ("rtb-c",)
    memory.accept("eni-1", but=[])  # a read that lags may have told so
    assert memory.refused("eni-1") == ("rtb-c",)
    now[0] += SETTLE_SECONDS
    memory.accept("eni-1", but=["rtb-c"])
    assert memory.refused("eni-1") == ("rtb-c",)
    memory.accept("eni-1", but=[])
    assert memory.refused("eni-1") == ()
    assert memory.age("eni-1", "rtb-a") == SETTLE_SECONDS
    memory.remember("eni-1", wrote=["rtb-a"], refused=["rtb-b"])
    memory.remember("eni-1", wrote=["rtb-a"])
    assert memory.refused("eni-1") == ()


def test_a_large_record_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 tables with 40 routes each: a monitor has eight seconds for all it does."""
    memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    parts = [f"rtb-{table:017x} 192.168.{cidr}.0/24" for table in range(200) for cidr in range(40)]
    memory.remember("eni-1", wrote=parts)
    reads: List[str] = []
    read = memory._memory.read
    monkeypatch.setattr(memory._memory, "read", lambda: reads.append("") or read())  # type: ignore[func-returns-value]
    assert len(memory.recent("eni-1", parts)) == len(parts)
    with pytest.raises(UnknownError, match="reads can lag"):
        confirmed(lambda: dict.fromkeys(parts, "wrong"), memory, "eni-1", Deadline(5.0))
    assert len(reads) == 2


class Reads:
    """What EC2 answers, one answer for each read; the clock moves only where a deadline waits."""

    def __init__(self, *answers: Contradictions) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.times: List[float] = []

    def __call__(self) -> Contradictions:
        self.times.append(self.now)
        return self.answers.pop(0)

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def believed(tmp_path: Path) -> Callable[..., Contradictions]:
    """`confirmed` for a node that wrote eni-1 so many seconds ago, or never."""

    def ask(reads: Reads, seconds: float = 30.0, wrote: Optional[float] = None) -> Contradictions:
        memory = WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
        if wrote is not None:
            ages = {"eni-1": wrote} if wrote < SETTLE_SECONDS else {}
            memory.recent = (  # type: ignore[method-assign]
                lambda what, parts: dict.fromkeys(parts, ages[what]) if what in ages else {}
            )
        return confirmed(reads, memory, "eni-1", reads.deadline(seconds))

    return ask


A, B = {"rtb-a": "rtb-a is wrong"}, {"rtb-b": "rtb-b is wrong"}


def test_one_read_without_a_contradiction_is_believed(believed: Callable[..., Contradictions]) -> None:
    """All is well by a single read, also right after this node's own write."""
    for wrote in (None, 3.0):
        reads = Reads({})
        assert believed(reads, wrote=wrote) == {}
        assert reads.times == [0.0]


def test_a_contradiction_counts_when_a_later_read_agrees(believed: Callable[..., Contradictions]) -> None:
    """ "A single contradicting read is not believed until a second one agrees", after a pause."""
    reads = Reads(A, A)
    assert believed(reads) == A
    assert reads.times[1] > 0.9
    assert believed(Reads(A, {})) == {}


def test_only_what_both_reads_contradict_counts(believed: Callable[..., Contradictions]) -> None:
    """Each thing by itself: what one of the two reads shows alone can be an old read; in the words of the second."""
    assert believed(Reads(A, {**A, **B})) == A
    assert believed(Reads({**A, **B}, B)) == B
    assert believed(Reads(A, {"rtb-a": "rtb-a is gone"})) == {"rtb-a": "rtb-a is gone"}


def test_what_a_read_raises_is_raised(believed: Callable[..., Contradictions]) -> None:
    """One contradiction and one silence are no answer."""
    reads = Reads(A)

    def read() -> Contradictions:
        if not reads.answers:
            raise UnknownError("DescribeRouteTables: RequestLimitExceeded")
        return reads()

    read.deadline = reads.deadline  # type: ignore[attr-defined]
    with pytest.raises(UnknownError, match="RequestLimitExceeded"):
        believed(read)


def test_two_reads_that_name_different_things_are_unknown(believed: Callable[..., Contradictions]) -> None:
    """Each of them can be an old one."""
    with pytest.raises(UnknownError, match="contradict each other: rtb-b is wrong"):
        believed(Reads(A, B))


def test_a_contradiction_of_ones_own_write_is_unknown_while_reads_may_lag(
    believed: Callable[..., Contradictions],
) -> None:
    """Within the settling time no second read is made; after it, contradictions count."""
    reads = Reads(A, A)
    with pytest.raises(UnknownError, match="reads can lag 60 s: rtb-a is wrong"):
        believed(reads, wrote=SETTLE_SECONDS - 1)
    assert len(reads.times) == 1
    assert believed(Reads(A, A), wrote=SETTLE_SECONDS) == A


def test_what_was_not_written_is_no_old_read(tmp_path: Path, believed: Callable[..., Contradictions]) -> None:
    """ "Its own successful write": a contradiction of what could not be written counts at once, if two reads agree."""
    WriteMemory({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1").remember("eni-1", wrote=["rtb-a"])
    assert believed(Reads(B, B)) == B
    assert believed(Reads(B, {})) == {}
    with pytest.raises(UnknownError, match="reads can lag 60 s: rtb-a is wrong"):
        believed(Reads({**A, **B}))


def test_the_second_read_fits_into_the_deadline(believed: Callable[..., Contradictions]) -> None:
    """With little time left it follows sooner; with none left the answer is unknown."""
    reads = Reads(A, A)
    assert believed(reads, seconds=0.3) == A
    assert reads.times[1] < 0.3
    with pytest.raises(UnknownError, match="no time left to read a second time: rtb-a is wrong"):
        believed(Reads(A), seconds=0.0)
