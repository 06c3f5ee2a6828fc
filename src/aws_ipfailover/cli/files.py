"""Files that a command writes at its end: whether it can is said at its beginning."""

from __future__ import annotations

from pathlib import Path

import click


def check_writable(option: str, path: str) -> None:
    """Refuse at once, and not after an hour, a file that cannot be written.

    Raises:
        click.BadParameter: it cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint=option) from None
