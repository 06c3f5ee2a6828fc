"""The log of calls keeps the last ones, however long a lab runs."""

from __future__ import annotations

from vpc_lab.ec2.call_log import Call, CallLog


def call(number: int) -> Call:
    """A call that has been read."""
    return Call(float(number), "ec2", f"Describe{number}", "10.0.1.11")


def test_the_oldest_calls_are_forgotten() -> None:
    """Also the end of one that is forgotten is no error."""
    log = CallLog(most=3)
    numbers = [log.begin(call(number)) for number in range(5)]
    log.end(numbers[0], "ok", 200)
    log.end(numbers[4], "ok", 200)
    assert [(one.action, one.outcome) for one in log()] == [
        ("Describe2", "pending"),
        ("Describe3", "pending"),
        ("Describe4", "ok"),
    ]
