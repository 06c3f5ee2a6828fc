"""What an error means for a start."""

from __future__ import annotations

import pytest

from aws_ipfailover import errors
from aws_ipfailover.validation import Effect, effect_of

ANSWERS = (
    *(errors.ParameterError, errors.NodeError, errors.NoTableError, errors.NetworkCardError, errors.DeniedError),
    *(errors.NoIpv6Error, errors.LimitError),
    *(errors.MissingError, errors.NoCredentialsError),
)


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_certain(kind: type[errors.Error]) -> None:
    """AWS, the node, or the text of the parameters has said no."""
    assert effect_of(kind("x")) is Effect.FAILS
    assert effect_of(kind("x"), Effect.PARTLY) is Effect.PARTLY


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(errors).values() if isinstance(one, type) and one not in ANSWERS],
)
def test_everything_else_is_not(kind: type[errors.Error]) -> None:
    """No answer, throttled, expired credentials, a call that something else prevents at the moment: never red."""
    assert effect_of(kind("x")) is effect_of(kind("x"), Effect.PARTLY) is Effect.UNKNOWN
