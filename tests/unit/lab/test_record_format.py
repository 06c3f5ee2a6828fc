"""The record of questions: what `aws_ipfailover.watch` writes, the lab reads. Neither imports the other."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import pytest

from aws_ipfailover.watch import question as written
from aws_ipfailover.watch.ttl import STEP, node_of
from vpc_lab.traffic import question as read
from vpc_lab.traffic import ttl

ANSWERED = written.Question("tcp", 7, 1.25, 1.5, "node1", None, 1.375, "192.168.10.10")
LOST = written.Question("stream", 8, 2.5, None, None, "reset", address="2001:db8::1", connection=3)


@pytest.mark.parametrize("question", [ANSWERED, LOST], ids=["answered", "lost"])
def test_the_lab_reads_every_field_that_is_written(question: written.Question) -> None:
    """Nothing is lost on the way, and nothing is taken for something else."""
    line = question.to_json()
    assert asdict(read.Question.from_json(line)) == asdict(question)
    assert written.Question.from_json(line) == question


def test_both_know_the_same_protocols_and_failures() -> None:
    """The lab's judge has a word for every failure."""
    assert read.PROTOCOLS == written.PROTOCOLS
    assert get_args(read.Failure) == get_args(written.Failure)


def test_what_the_lab_s_nodes_sign_is_told_apart() -> None:
    """The lab's TTLs lie as far apart as who reads them expects."""
    assert ttl.STEP >= STEP
    signed = {f"node{index}": ttl.initial_ttl(index) for index in range(ttl.NODES)}
    assert [node_of(value - 3, signed) for value in signed.values()] == list(signed)
