"""What a command is about: resources of the cluster by their ids, or parameters that were typed as NAME=VALUE."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Sequence, Tuple, TypeVar

import click

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf import OCF_ROOT
from aws_ipfailover.ocf.scheduler import Scheduler
from aws_ipfailover.output import printable
from aws_ipfailover.parameters import PARAMETERS, held
from aws_ipfailover.prospects import Problems, resources_here

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def agents_root() -> Path:
    """The directory of OCF's agents."""
    return Path(os.environ.get("OCF_ROOT") or OCF_ROOT)


class Subject(NamedTuple):
    """One resource: its id, empty where parameters were typed, and its parameters as Pacemaker would give them."""

    resource_id: str
    given: Mapping[str, str]


class Subjects(NamedTuple):
    """What can be looked at, and the problems of what cannot, by the resources' ids."""

    found: Tuple[Subject, ...]
    problems: Problems


def title_of(subject: Subject) -> str:
    """How a subject is called: its id, or else its addresses, or its network interface."""
    what = held(subject.given)
    named = ", ".join(map(str, what.addresses)) or what.network_interface_id
    return printable(subject.resource_id or named or "the parameters")


def subject_argument(decorated: Decorated) -> Decorated:
    """Add the arguments RESOURCE or NAME=VALUE, which the function gets as `what`."""
    return click.argument("what", nargs=-1, metavar="[RESOURCE...|NAME=VALUE...]")(decorated)


def typed(what: Sequence[str]) -> Mapping[str, str]:
    """The parameters of arguments NAME=VALUE; empty if there are none.

    Raises:
        click.UsageError: parameters and ids are mixed, or there is no such parameter.
    """
    pairs = [one.partition("=") for one in what]
    if not any(equals for _, equals, _ in pairs):
        return {}
    known = [one.name for one in PARAMETERS]
    names = [name for name, *_ in pairs]
    for name, equals, _ in pairs:
        if not equals:
            raise click.UsageError(f"{name!r} is no NAME=VALUE: give parameters or ids of resources, not both")
        if name not in known:
            raise click.UsageError(f"the agent has no parameter {name!r}; it has {', '.join(sorted(known))}")
        if names.count(name) > 1:
            raise click.UsageError(f"parameter {name} is given {names.count(name)} times; several values: {name}=A,B")
    return {name: value for name, _, value in pairs}


def subjects(what: Sequence[str], deadline: Deadline) -> Subjects:
    """What the arguments mean: the parameters typed, or the resources with these ids, or all that use the agent.

    Raises:
        click.UsageError: as `typed`.
        ParameterError: the cluster's configuration has no such resource, or it is of another agent.
        UnknownError: the cluster's configuration cannot be read.
    """
    given = typed(what)
    if given:
        return Subjects((Subject("", given),), {})
    root = agents_root()
    parameters, problems = resources_here(Scheduler(os.environ, deadline), list(what), root)
    misnamed = [each.error for one in what for each in problems.get(one, ()) if isinstance(each.error, ParameterError)]
    if misnamed:
        raise ParameterError("; ".join(map(str, misnamed)))
    found: List[Subject] = [Subject(one, values) for one, values in parameters.items()]
    return Subjects(tuple(found), problems)


def subjects_or_advice(what: Sequence[str], deadline: Deadline) -> Subjects:
    """As `subjects`; where the cluster does not tell its configuration, the error says what to type instead.

    Raises:
        click.UsageError, ParameterError, UnknownError: as `subjects`.
    """
    try:
        return subjects(what, deadline)
    except UnknownError as error:
        raise UnknownError(f"{error}; parameters of a resource can be typed as NAME=VALUE instead") from None
