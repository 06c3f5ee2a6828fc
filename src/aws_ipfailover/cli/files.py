"""Files that a command writes at its end: whether it can is said at its beginning."""

from __future__ import annotations

import os
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


def check_directory(option: str, path: str) -> None:
    """As `check_writable`, for a file that is written whole, into a directory: nothing is made yet.

    Raises:
        click.BadParameter: it is a directory, or its own cannot be written to.
    """
    directory = Path(path).parent
    if Path(path).is_dir():
        raise click.BadParameter(f"{path} is a directory", param_hint=option)
    if not directory.is_dir():
        raise click.BadParameter(f"there is no directory {directory}", param_hint=option)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{directory} cannot be written to", param_hint=option)
