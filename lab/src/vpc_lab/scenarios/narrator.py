"""How a demonstration speaks: with rich on a terminal when it is installed, in plain lines everywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import ContextManager, Iterator, Optional, Protocol, Sequence, TextIO, Tuple

Alignment = Sequence[bool]  # per column: whether it holds numbers


class Narrator(Protocol):
    """Says what happens. Every line tells how many seconds have passed since the beginning."""

    def step(self, text: str) -> ContextManager[None]:
        """Say what begins now and goes on for the length of the `with` block."""

    def say(self, text: str) -> None:
        """Say something that is so."""

    def heading(self, text: str) -> None:
        """Begin a new part."""

    def table(self, title: str, columns: Sequence[Tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
        """Show rows; `columns` are names, and whether they hold numbers."""

    def verdict(self, text: str, good: bool) -> None:
        """The last word on something."""


class PlainNarrator:
    """Plain lines, each flushed: for pipes, logs, continuous integration."""

    def __init__(self, out: Optional[TextIO] = None) -> None:
        self._out = out or sys.stdout
        self._began = time.monotonic()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `Narrator`."""
        self.say(f"{text} ...")
        yield

    def say(self, text: str) -> None:
        """See `Narrator`."""
        self._write(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def heading(self, text: str) -> None:
        """See `Narrator`."""
        self._write(f"\n== {text}")

    def table(self, title: str, columns: Sequence[Tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
        """See `Narrator`."""
        self._write(f"\n{title}")
        lines = [[name for name, _ in columns], *rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
        for line in lines:
            cells = [
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, (_, number) in zip(line, widths, columns)
            ]
            self._write(("  " + "  ".join(cells)).rstrip())
        self._write("")

    def verdict(self, text: str, good: bool) -> None:
        """See `Narrator`."""
        self._write(text if good else f"PROBLEM: {text}")

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class RichNarrator:
    """Colour, a spinner while something takes its time, and tables with lines."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - an optional dependency

        self._console = Console(highlight=False)
        self._began = time.monotonic()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `Narrator`."""
        with self._console.status(self._escape(text)):
            yield
        self.say(text)

    def say(self, text: str) -> None:
        """See `Narrator`."""
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {self._escape(text)}")

    def heading(self, text: str) -> None:
        """See `Narrator`."""
        self._console.print(f"\n[bold]{self._escape(text)}[/bold]")

    def table(self, title: str, columns: Sequence[Tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
        """See `Narrator`."""
        from rich.table import Table  # noqa: PLC0415 - an optional dependency

        table = Table(title=self._escape(title), title_justify="left")
        for name, number in columns:
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(self._escape(cell) for cell in row))
        self._console.print(table)

    def verdict(self, text: str, good: bool) -> None:
        """See `Narrator`."""
        self._console.print(self._escape(text), style="green" if good else "bold red")

    @staticmethod
    def _escape(text: str) -> str:
        from rich.markup import escape  # noqa: PLC0415 - an optional dependency

        return escape(text)


def narrator() -> Narrator:
    """The best one for standard output."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            return RichNarrator()
    return PlainNarrator()
