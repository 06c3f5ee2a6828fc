"""`aws-ipfailover watch`: whether an address is answered, and by whom; anybody can run it anywhere."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Sequence

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aws_ipfailover.cli.asking import asking_of, asking_options
from aws_ipfailover.cli.files import check_writable
from aws_ipfailover.cli.group import OK, UNKNOWN, WRONG
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.screen import console, json_option, write_json
from aws_ipfailover.cli.streams import is_unread
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.watch.asking import Asking
from aws_ipfailover.watch.changes import Changes
from aws_ipfailover.watch.clock import steady
from aws_ipfailover.watch.history import History
from aws_ipfailover.watch.picture import Row, svg
from aws_ipfailover.watch.question import Protocol, Question
from aws_ipfailover.watch.record import Header
from aws_ipfailover.watch.summary import Outcome, figures, outcome_of, reasons
from aws_ipfailover.watch.target import Target, resolve
from aws_ipfailover.watch.watcher import Watcher, local_command

# Seconds for the resolver.
_RESOLVED_WITHIN = 10.0
_CODES = {Outcome.ANSWERED: OK, Outcome.LOST: WRONG, Outcome.NEVER_ANSWERED: UNKNOWN}
# What `--record` and `--svg` call standard output.
_STDOUT = "-"


@click.command("watch", short_help="Ask an address who answers, and for how long nobody does.")
@click.argument("address")
@asking_options()
@click.option("--for", "seconds", type=Seconds(0.1), metavar="S", help="End after so many seconds.")
@click.option("--allowed", type=Seconds(0), metavar="S", help="A silence may be so long: exit code 0.")
@click.option("--record", metavar="FILE", help="Write each question's outcome; - is standard output.")
@click.option("--svg", "picture", metavar="FILE", help="Draw the picture.")
@click.option("--until-eof", is_flag=True, hidden=True, help="End when standard input does.")
@json_option
def command(
    address: str,
    seconds: Optional[float],
    allowed: Optional[float],
    record: Optional[str],
    picture: Optional[str],
    until_eof: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Ask ADDRESS again and again: who answers, and for how long does nobody?

    \b
    Exit code: 0 all answered, 1 answers were lost, 3 nothing ever answered.
    Example, until Ctrl-C:
      aws-ipfailover watch 192.168.10.10 --tcp 22 --keep
    """
    asking = asking_of(options)
    documents = ["--json"] * as_json + ["--record -"] * (record == _STDOUT) + ["--svg -"] * (picture == _STDOUT)
    if len(documents) > 1:
        raise click.UsageError(f"{' and '.join(documents)} both write to standard output")
    target = resolve(address, Deadline(_RESOLVED_WITHIN))
    # Standard output is for the document, the record or the picture, if one of these was asked for.
    screen = console(stderr=bool(documents))
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(_opened(record)) if record else None
        if picture and picture != _STDOUT:
            check_writable("--svg", picture)
        watch = _Watch(target, asking, screen, lines, quiet=as_json or record == _STDOUT)
        watch.run(seconds, until_eof)
    histories = list(watch.histories.values())
    outcome = outcome_of(histories, allowed)
    if picture == _STDOUT:
        click.echo(_picture(target, watch), nl=False)
    elif picture:
        Path(picture).write_text(_picture(target, watch), encoding="utf-8")
    if as_json:
        write_json("watch", _document(target, asking, watch, allowed, outcome))
    else:
        screen.print(_table(watch.histories))
        screen.print(Text(_sentence(target, histories, allowed, outcome)))
    return _CODES[outcome]


class _Watch:
    """One run: what asks, what is shown of it, and what is written down."""

    def __init__(self, target: Target, asking: Asking, screen: Console, lines: Optional[IO[str]], quiet: bool) -> None:
        self._target = target
        self._asking = asking
        self._screen = screen
        self._lines = lines
        self._quiet = quiet
        self.began = steady()
        self.names: Dict[Protocol, str] = {port.protocol: str(port) for port in asking.ports}
        self.histories: Dict[Protocol, History] = {
            port.protocol: History(port.protocol, asking.timeout) for port in asking.ports
        }
        self._changes = {port.protocol: Changes(str(port)) for port in asking.ports}

    def run(self, seconds: Optional[float], until_eof: bool) -> None:
        """Ask until Ctrl-C or SIGTERM, for so many seconds, or until standard input ends.

        Raises:
            UnknownError: it cannot ask.
        """
        target, asking = self._target, self._asking
        if not self._quiet:
            for line in _opening(target, asking):
                self._screen.print(Text(line))
        self._write(
            Header(
                target.name,
                str(target.address),
                tuple(self.names.values()),
                asking.interval,
                asking.timeout,
                steady(),
            ).to_json()
        )
        command = local_command(target.address, asking, seconds)
        with self._live() as live, Watcher(str(target), command, asking.timeout) as watcher:
            with _signals() as told:
                while not (watcher.ended or told or is_unread() or (until_eof and _at_end(sys.stdin.fileno()))):
                    self._take(watcher.questions(0.2), live)
            watcher.check()
            # A second Ctrl-C ends it without the questions under way.
            self._take(watcher.rest(), live)
        for history in self.histories.values():
            history.finish()

    def _take(self, questions: Sequence[Question], live: Optional[Live]) -> None:
        for question in questions:
            self._write(question.to_json())
            self.histories[question.protocol].add(question)
            told = self._changes[question.protocol].tell(question)
            if told is not None and not self._quiet:
                self._screen.print(Text(told))
        if live is not None:
            live.update(self._now())

    def _write(self, line: str) -> None:
        if self._lines is not None:
            self._lines.write(line + "\n")
            self._lines.flush()

    def _live(self) -> contextlib.AbstractContextManager[Optional[Live]]:
        if self._quiet or not self._screen.is_terminal:
            return contextlib.nullcontext()
        return Live(console=self._screen, refresh_per_second=5, transient=True)

    def _now(self) -> Text:
        """The line of each series as it is now."""
        lines: List[str] = []
        for changes in self._changes.values():
            last = changes.last
            if last is None:
                state = "asked"
            elif changes.silent_since is not None:
                state = f"no answer for {max(0.0, steady() - changes.silent_since):.1f} s ({last.error})"
            else:
                took = ((last.answered or last.sent) - last.sent) * 1000
                state = f"answered in {took:.1f} ms" + (f" by {changes.who}" if changes.who else "")
            lines.append(f"{changes.name}: {state}; lost {changes.lost} of {changes.asked}")
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _opening(target: Target, asking: Asking) -> Iterator[str]:
    """What is said before the first question."""
    ports = ", ".join(str(port) for port in asking.ports)
    yield f"asking {target} over {ports} every {asking.interval:g} s; Ctrl-C ends it"
    if target.others:
        others = ", ".join(str(other) for other in target.others)
        yield f"{target.name} was resolved once; not asked: {others}"


def _table(histories: Mapping[Protocol, History]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("over", "asked", "lost", "longest silence", "round trip", "answered by"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("asked", "lost") else "left")
    for protocol, history in histories.items():
        longest = history.longest
        lost = str(history.lost) + (f" ({reasons(history.errors)})" if history.errors else "")
        trip = "-" if history.mean is None else f"{history.mean * 1000:.1f} ms"
        who = ", ".join(f"{name} ({count})" for name, count in history.who.items())
        silence = "-" if longest is None else f"{longest.seconds:.2f} s"
        over = "tcp, kept" if protocol == "stream" else protocol
        unnamed = "(says nothing)" if history.answered else "nobody"
        table.add_row(over, str(history.asked), lost, silence, trip, Text(who or unnamed))
    return table


def _sentence(target: Target, histories: Sequence[History], allowed: Optional[float], outcome: Outcome) -> str:
    if outcome is Outcome.NEVER_ANSWERED:
        return f"{target} never answered"
    longest = max((one.longest.seconds for one in histories if one.longest is not None), default=None)
    if longest is None:
        return f"{target}: nothing was lost"
    limit = "" if allowed is None else f", {'at most' if outcome is Outcome.ANSWERED else 'and'} {allowed:g} s allowed"
    return f"{target}: {sum(one.lost for one in histories)} lost, longest silence {longest:.2f} s{limit}"


def _document(
    target: Target, asking: Asking, watch: _Watch, allowed: Optional[float], outcome: Outcome
) -> Dict[str, Any]:
    return {
        "target": target.name,
        "address": str(target.address),
        "interval": asking.interval,
        "timeout": asking.timeout,
        "allowed": allowed,
        "began": round(watch.began, 6),
        "outcome": outcome.value,
        "series": [
            {
                "over": "kept" if port.protocol == "stream" else port.protocol,
                "port": port.number,
                **figures(watch.histories[port.protocol]),
            }
            for port in asking.ports
        ],
    }


def _picture(target: Target, watch: _Watch) -> str:
    rows = [Row(watch.names[protocol], history) for protocol, history in watch.histories.items()]
    begun = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(watch.began))
    return svg(f"{target}, from {begun}", rows)


@contextlib.contextmanager
def _opened(record: str) -> Iterator[IO[str]]:
    """The file of `--record`, or standard output."""
    if record == _STDOUT:
        yield sys.stdout
        return
    check_writable("--record", record)
    with Path(record).open("w", encoding="utf-8") as file:
        yield file


@contextlib.contextmanager
def _signals() -> Iterator[List[int]]:
    """The signals that have asked this process to end: noted, so that no outcome gets lost that is just being read."""
    told: List[int] = []
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda found, _frame: told.append(found)) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_end(descriptor: int) -> bool:
    """Whether this descriptor has come to its end; what can be read of it until then is dropped."""
    while select.select([descriptor], [], [], 0)[0]:
        if not os.read(descriptor, 4096):
            return True
    return False
