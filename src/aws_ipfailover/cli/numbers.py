"""Numbers of the command line: seconds, which are finite."""

from __future__ import annotations

import math
from typing import Any, Optional

import click


class Seconds(click.FloatRange):
    """As `click.FloatRange`, without `nan`, which is in every range for it, and without `inf`."""

    def __init__(self, least: float, most: Optional[float] = None) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        """The number, checked."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return number
