"""The verb `rehearse` of `aws-ipfailover lab`: somebody's own configuration, in a lab derived from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import click

from vpc_lab.cli.verb import FILE, WRONG, Verb, argument
from vpc_lab.errors import LabError

if TYPE_CHECKING:
    from vpc_lab.lab import Lab
    from vpc_lab.rehearsal.rehearsal import Outcome

UNKNOWN, INTERRUPTED = 3, 130


def _pairs(ctx: click.Context, param: click.Parameter, given: Tuple[str, ...]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"NAME=VALUE, such as rtb-XYZ=rtb-0123456789abcdef0, not '{one}'")
        found[name] = value
    return found


def _token(ctx: click.Context, param: click.Parameter, found: Optional[int]) -> Optional[int]:
    if found is not None and not 200 <= found <= 300000:
        raise click.BadParameter(f"milliseconds, 200 to 300000, not {found}")
    return found


@click.command("rehearse", cls=Verb)
@argument("file", "what crm, pcs or cibadmin has of a cluster", metavar="FILE", type=FILE)
@click.option("--set", "values", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="fill in a placeholder")
@click.option("--mend", is_flag=True, help="put right what print broke: quotes, missing backslashes")
@click.option("--corosync", type=FILE, metavar="FILE", help="its corosync.conf: names, ids, token")
@click.option("--node", "names", multiple=True, metavar="NAME", help="a node, where the file names none")
@click.option("--token", "token_ms", type=int, callback=_token, metavar="MS", help="corosync's token (1000)")
@click.option("--scenario", "wanted", multiple=True, metavar="NAME", help="only this one; repeatable")
@click.option("--short", is_flag=True, help="only a move and a crash")
@click.option("--derive", is_flag=True, help="only say what the lab would be")
@click.option("--directory", type=FILE, metavar="DIR", help="for records and logs")
@click.option("--json", "as_json", is_flag=True, help="the outcome as JSON")
def rehearse_verb(
    lab: Lab,
    file: Path,
    values: Dict[str, str],
    mend: bool,
    corosync: Optional[Path],
    names: Tuple[str, ...],
    token_ms: Optional[int],
    wanted: Tuple[str, ...],
    short: bool,
    derive: bool,
    directory: Optional[Path],
    as_json: bool,
) -> int:
    """Load your own configuration into a lab made for it, and play failures.

    \b
    Example:
      aws-ipfailover lab rehearse cluster.crm --short
    """
    from vpc_lab.cli.scenarios import place_for  # noqa: PLC0415 - a verb runs
    from vpc_lab.rehearsal import report  # noqa: PLC0415 - as above
    from vpc_lab.rehearsal.derivation import NOTHING_KNOWN, corosync_facts  # noqa: PLC0415 - as above
    from vpc_lab.rehearsal.plan import refuse_unknown  # noqa: PLC0415 - as above
    from vpc_lab.rehearsal.reading import text_of  # noqa: PLC0415 - as above
    from vpc_lab.rehearsal.rehearsal import Outcome, prepare, rehearse  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.narrator import PlainNarrator, narrator  # noqa: PLC0415 - as above

    refuse_unknown(wanted)
    facts = NOTHING_KNOWN if corosync is None else corosync_facts(text_of(corosync))
    try:
        prepared = prepare(text_of(file), mend=mend, values=values, corosync=facts, names=names, token_ms=token_ms)
    except LabError as error:
        raise LabError(f"{file}: {error}") from None
    voice = PlainNarrator(sys.stderr) if as_json else narrator()
    report.tell_derived(prepared, voice)
    outcome = Outcome(prepared)
    if derive:
        if as_json:
            _print(outcome)
        return 0
    place = place_for(directory)
    try:
        rehearse(lab.rundir.name, prepared, place, voice, wanted=wanted, whole=not short, outcome=outcome)
    except KeyboardInterrupt:
        voice.say(f"Interrupted: the lab is gone, and everything in it. The records are in {place}.")
        return INTERRUPTED
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return UNKNOWN
    report.tell_outcome(outcome, voice)
    voice.say(f"The records are in {place}, each with its page, report.html.")
    if as_json:
        _print(outcome)
    return 0 if outcome.passed else WRONG


def _print(outcome: Outcome) -> None:
    sys.stdout.write(json.dumps(outcome.to_json(), indent=1) + "\n")
