"""`aws-ipfailover schema`: the JSON Schemas of what the commands print with --json."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import click

_DIRECTORY = Path(__file__).with_name("schemas")


def schemas() -> Dict[str, Path]:
    """The files of the schemas, by the names of the commands whose JSON they describe."""
    return {path.stem: path for path in sorted(_DIRECTORY.glob("*.json"))}


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> List[str]:
    return [name for name in schemas() if name.startswith(incomplete)]


@click.command("schema")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=_names)
def command(name: Optional[str]) -> None:
    """Print the JSON Schema of what the command NAME prints with --json; without NAME, list the names.

    \b
    Example:
      aws-ipfailover schema
    """
    known = schemas()
    if name is None:
        for one in known:
            click.echo(one)
    elif name in known:
        click.echo(known[name].read_text(encoding="utf-8"), nl=False)
    else:
        raise click.UsageError(f"there is no schema {name!r}; there are: {', '.join(known) or 'none'}")
