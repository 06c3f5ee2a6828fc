"""`aws-ipfailover plan`: what a start on this node would do, call by call; changes nothing."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import click
from rich.text import Text

from aws_ipfailover.cli import screen
from aws_ipfailover.cli.listening import listening
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.subject import Subject, subject_argument, subjects_or_advice, title_of
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError
from aws_ipfailover.output import line
from aws_ipfailover.plan import Answer, Plan, Planned, plan_for
from aws_ipfailover.steps import Need

_OK, _WRONG, _UNKNOWN = 0, 1, 3
_STYLES = {
    Answer.PERMITTED: "green",
    Answer.DENIED: "red",
    Answer.REFUSED: "red",
    Answer.UNKNOWN: "yellow",
    Answer.NOT_ASKED: "dim",
}


# Beside the verdict of a dry run, "refused" alone could be taken for one.
_NEEDS = {Need.REFUSED: "not possible as things are"}


class _Found(NamedTuple):
    """The plan for one subject; `notes`: what the engine warned of meanwhile."""

    title: str
    resource_id: str
    plan: Plan
    notes: List[str]


@click.command("plan")
@subject_argument
@click.option("--timeout", type=Seconds(1), default=30.0, metavar="SECONDS", help="For all; default 30.")
@screen.json_option
def command(what: Sequence[str], timeout: float, *, as_json: bool) -> int:
    """Print what a start on this node would do, call by call, and whether EC2 permits each call. Changes nothing.

    Of resources of the cluster, all that use the agent by default, or for parameters typed as NAME=VALUE. EC2 is
    asked by DryRun, which some calls do not have. Exit code: 0 nothing is in the way, 1 something is, 3 could not
    find out.

    \b
    Example:
      aws-ipfailover plan ip=192.168.10.10 routing_table=rtb-0a,rtb-0b
    """
    deadline = Deadline(timeout)
    chosen = subjects_or_advice(what, deadline)
    found = [_look(one, deadline) for one in chosen.found]
    for resource_id, problems in chosen.problems.items():
        found += [_Found(resource_id, resource_id, Plan((), one.error), []) for one in problems[:1]]
    if as_json:
        screen.write_json("plan", {"plans": [_document(one) for one in found]})
    else:
        _show(found)
    return _exit_code([one.plan for one in found])


def _look(subject: Subject, deadline: Deadline) -> _Found:
    notes: List[str] = []
    with listening(lambda _, text: notes.append(text)):
        try:
            plan = plan_for(subject.given, deadline, subject.resource_id)
        except ParameterError as error:
            if not subject.resource_id:
                raise  # typed: the command line is wrong
            plan = Plan((), error)
    return _Found(title_of(subject), subject.resource_id, plan, list(dict.fromkeys(notes)))


def _exit_code(plans: Sequence[Plan]) -> int:
    steps = [one for plan in plans for one in plan.steps]
    answers = [one.verdict.answer for one in steps if one.verdict is not None]
    if any(one in (Answer.DENIED, Answer.REFUSED) for one in answers):
        return _WRONG
    if any(plan.end is not None and not plan.is_open for plan in plans):
        return _WRONG
    unknown = Answer.UNKNOWN in answers or any(one.step.need is Need.UNKNOWN for one in steps)
    return _UNKNOWN if unknown or any(plan.is_open for plan in plans) else _OK


# -- for people --------------------------------------------------------------------------------------------------------


def _show(found: Sequence[_Found]) -> None:
    console = screen.console()
    if not found:
        console.print("the cluster has no resource of this agent")
    for one in found:
        console.print(Text(f"{one.title}: a start on this node", style="bold"))
        for number, planned in enumerate(one.plan.steps, 1):
            screen.hanging(console, _line(number, planned), 4)
            detail = Text(f"    {_detail(planned)}", style="dim")
            if planned.step.write is not None:
                screen.hanging(console, detail, 4)
            elif planned.step.command:
                console.print(detail, soft_wrap=True)  # it is there to be pasted
        if one.plan.is_open:
            console.print(Text(f"what comes then could not be found out: {line(str(one.plan.end))}", style="yellow"))
        elif one.plan.end is not None:
            console.print(Text(f"the start ends here: {line(str(one.plan.end))}", style="red"))
        for note in one.notes:
            console.print(Text(f"note: {note}"))


def _line(number: int, planned: Planned) -> Text:
    step, verdict = planned
    where = f"EC2 {step.write.operation}:" if step.write is not None else "kernel:"
    text = Text(f"{number:2}  {where} {line(step.text)}")
    if step.write is not None and step.before not in ("", step.after) and step.before not in step.text:
        text.append(f", before: {line(step.before)}")
    text.append(f"; {_NEEDS.get(step.need, step.need.value)}", style="dim" if step.need is Need.ALREADY else "")
    if step.made is False:
        text.append(", so nothing is done")
    if verdict is not None:
        text.append(f"; {verdict.answer.value}", style=_STYLES[verdict.answer])
        if verdict.why:
            text.append(f": {line(verdict.why)}")
    if step.note:
        text.append(f" ({line(step.note)})")
    return text


def _detail(planned: Planned) -> str:
    """The command, or the parameters of the call."""
    step = planned.step
    if step.write is None:
        return screen.command_line(step.command)
    return line(screen.parameters(step.write.arguments), 4000)


# -- for programs ------------------------------------------------------------------------------------------------------


def _document(found: _Found) -> Dict[str, Any]:
    end = found.plan.end
    return {
        "resource": found.resource_id or None,
        "title": found.title,
        "steps": [_step(one) for one in found.plan.steps],
        "end": None if end is None else {"known": not found.plan.is_open, "text": line(str(end))},
        "notes": found.notes,
    }


def _step(planned: Planned) -> Dict[str, Any]:
    step, verdict = planned
    answer: Optional[Dict[str, str]] = None
    if verdict is not None:
        answer = {"answer": verdict.answer.value, "why": line(verdict.why)}
    return {
        "place": "kernel" if step.write is None else "ec2",
        "text": line(step.text),
        "need": step.need.value,
        "made": step.made,
        "command": list(step.command) or None,
        "operation": None if step.write is None else step.write.operation,
        "parameters": None if step.write is None else dict(step.write.arguments),
        "before": step.before or None,
        "after": step.after or None,
        "note": line(step.note),
        "verdict": answer,
    }
