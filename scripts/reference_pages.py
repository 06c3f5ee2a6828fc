#!/usr/bin/env python3
"""Write docs/exit-codes.md and docs/iam.md from the code: the agent's exit codes, and what IAM has to allow."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Dict, List, Mapping

from aws_ipfailover import errors
from aws_ipfailover.ocf.exit_codes import Exit, exit_of
from aws_ipfailover.setup.permissions import PERMISSIONS, Permission, User
from aws_ipfailover.setup.policy import OPTIONAL, Scope, policies, widest

DOCS = Path(__file__).resolve().parents[1] / "docs"

# For each exit code what it means, what Pacemaker does about it, and what to do. Pacemaker's part: Pacemaker Explained,
# "How are OCF Return Codes Interpreted?", and the lab's cluster, 2.1.5.
MEANINGS: Mapping[Exit, List[str]] = {
    Exit.SUCCESS: ["done, or the address is here", "goes on", ""],
    Exit.GENERIC: [
        "it failed, or could not be found out",
        "start: tries another node; monitor: restarts the resource; stop: **fences the node**",
        "read the reason; `failure-timeout` ends the ban of the node, or `crm resource cleanup`",
    ],
    Exit.ARGS: [
        "the parameters do not fit this node or VPC: no such table or interface, another zone or subnet, a limit",
        "bans this node, tries another one",
        "correct them, or the node",
    ],
    Exit.UNIMPLEMENTED: ["an action that the agent does not have", "bans this node", "a defect, or run by hand"],
    Exit.PERM: ["not root, or AWS refuses the credentials", "bans this node, tries another one", "correct the policy"],
    Exit.INSTALLED: [
        "boto3, requests or iproute2 is missing, or the package itself does not load",
        "bans this node, tries another one",
        "install it for the interpreter in the agent's first line",
    ],
    Exit.CONFIGURED: ["a parameter is wrong in its own text", "gives up on **all** nodes", "correct it, then clean up"],
    Exit.NOT_RUNNING: [
        "the address is not here",
        "after a probe: that is so; after a recurring monitor: restarts the resource",
        "the reason names the programs that are known to remove addresses",
    ],
    Exit.DEGRADED: [
        "running, but EC2 could not be asked, or not all of it leads here",
        "goes on, and shows it; the fail count stays 0",
        "read the reason; nothing is moved",
    ],
}
# Which exit codes an action can end with, as the agent's contract says; the tests of tests/agent see that it is so.
ACTIONS: Mapping[str, str] = {
    "`start`, `migrate_from`": "0, 1, 2, 4, 5, 6; `migrate_from` of `eni` and `private-ip` 1 instead of each but 0",
    "`stop`": "0, 1. 1 only where something is still on the node",
    "`monitor`, as a probe": "0, 7; 1 where it cannot be told",
    "`monitor`, plain": "0, 7; 1 where it cannot be told",
    "`monitor`, `OCF_CHECK_LEVEL=10` or `monapi=true`": "0, 1, 7, 190",
    "`validate-all`": "0, 5, 6; with `OCF_CHECK_LEVEL=10` 1, 2 and 4 too",
    "`reload-agent`": "0, 1, 6",
    "`migrate_to`": "0, 6",
    "`meta-data`, `usage`": "0",
}
# What commands end with in cases that all of them know; tests/unit/test_named_resources.py sees that it is so.
COMMANDS: Mapping[str, str] = {
    "the cluster's configuration has no resource with the id that was typed, or it is of another agent; nothing is"
    " looked at, not even what was typed beside it": "2",
    "that configuration cannot be read: no Pacemaker here, or it does not answer": "3; `doctor` looks at the node all"
    " the same, and ends with 1 if something fails there",
    "a parameter that was typed is wrong": "2",
    "a parameter is wrong in the cluster's configuration": "1; `where` 3, as it cannot know",
    "the agent of a resource that was typed is not installed on this node": "1; `where` 3",
    "nobody can tell in advance whether a call is allowed: AssignPrivateIpAddresses, which has no dry run;"
    " DetachNetworkInterface while there is nothing to detach": "does not count: `doctor` lists it as unknown",
    "`drill`: the doctor cannot be asked at all": "3; `--unexamined` begins all the same",
    "`history`: nothing is known of the id; logs tell of resources that are no longer configured too": "0",
}


def exit_codes() -> str:
    """The page of exit codes."""
    rows = "".join(f"| {int(code)} | {' | '.join(MEANINGS[code])} |\n" for code in Exit)
    actions = "".join(f"| {name} | {codes} |\n" for name, codes in ACTIONS.items())
    cases = "".join(f"| {case} | {code} |\n" for case, code in COMMANDS.items())
    kinds = "".join(f"| {_described(kind)} | {int(exit_of(kind()))} |\n" for kind in _kinds())
    return f"""# Exit codes

Made by `scripts/reference_pages.py` from the agent's code. What a code does to the cluster is Pacemaker's doing;
[the exit reason](reasons.md) says what was wrong.

| code | means | Pacemaker | what to do |
|---|---|---|---|
{rows}
| action | ends with |
|---|---|
{actions}
## From an error to a code

The library raises one of these, and the agent makes an exit code of it. In a stop and a monitor it is 1 whatever the
kind; a monitor at level 10 makes 190 of all that is unknown about EC2.

| error | code |
|---|---|
{kinds}
## Of the commands

Those of `aws-ipfailover` are in [Commands](commands.md): 0 in order, 1 something is wrong, 2 the command line, 3 could
not find out, 130 interrupted. The same for all of them:

| case | code |
|---|---|
{cases}"""


def _kinds() -> List[type]:
    kinds = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.Error)]
    return sorted(kinds, key=lambda kind: (len(kind.__mro__), kind.__name__))


def _described(kind: type) -> str:
    return f"`{kind.__name__}`: {' '.join((kind.__doc__ or '').split())}".rstrip(".")


def iam() -> str:
    """The page of permissions."""
    modes = "".join(_mode(mode) for mode in ("overlay-ip", "eni", "private-ip"))
    rows = "".join(_permission(one) for one in PERMISSIONS)
    optional = "".join(f"- `--without {sid}`: where {why}.\n" for sid, why in OPTIONAL.items())
    return f"""# IAM

Made by `scripts/reference_pages.py` from the same list as `aws-ipfailover iam-policy`, which prints the least policy
for your parameters: with your tables, interfaces and instances, and not with `*` as here.

```
aws-ipfailover iam-policy ip=192.168.10.10 routing_table=rtb-0123456789abcdef0 --fencing --health --doctor \\
    --account 123456789012 --region eu-central-1 --instances i-0123456789abcdef0,i-0fedcba9876543210
```

What can be left out of it:

{optional}
How to keep it small, and a role of another account: [Security](security.md#the-instances-role). What each statement is
for, by mode: [Running it on AWS](operations.md#what-aws-has-to-allow).

## Every permission

`*`: it only reads, and EC2 knows no resources for it; a statement with an ARN never matches.

| permission | on | mode | who | for | without it |
|---|---|---|---|---|---|
{rows}
## Policies by mode

Of the agent and `fence_aws`, for an account and a region. `ACCOUNT` and `REGION` stand for yours.
{modes}"""


def _permission(one: Permission) -> str:
    on = ", ".join(kind.value for kind in one.kinds) or "`*`"
    everybody = {User.AGENT, User.HEALTH, User.DOCTOR}
    who = (
        "agent, health agent, doctor" if everybody <= set(one.users) else ", ".join(_short(user) for user in one.users)
    )
    mode = "each" if len(one.modes) > 1 else one.modes[0]
    return f"| `{one.action}` | {on} | {mode} | {who} | {_cell(one.purpose)} | {_cell(one.without)} |\n"


def _short(user: User) -> str:
    names: Dict[User, str] = {User.AGENT: "agent", User.HEALTH: "health agent", User.DOCTOR: "doctor"}
    return names.get(user, f"`{user.value}`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _mode(mode: str) -> str:
    found = policies(widest(mode), Scope("ACCOUNT", "REGION"), (User.AGENT, User.FENCE_AWS))
    return f"\n### {mode}\n\n```json\n{found.documents[0].text}\n```\n"


PAGES = {"exit-codes.md": exit_codes, "iam.md": iam}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
