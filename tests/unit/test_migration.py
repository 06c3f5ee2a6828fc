"""`aws-ipfailover migrate`: which commands for which configuration, and where there are none."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, List, Optional

import pytest

from aws_ipfailover.cli import main
from aws_ipfailover.cli import migrate as cli
from aws_ipfailover.ocf.cib import AgentName, Cib
from aws_ipfailover.setup.migration import TOOLS, Migration, migration, script

jsonschema: Any = pytest.importorskip("jsonschema")
SCHEMA = json.loads((Path(cli.__file__).parent / "schemas" / "migrate.json").read_text(encoding="utf-8"))
MOVE_IP = {"ip": "192.168.10.10", "routing_table": "rtb-01234567", "interface": "eth0", "awscli": "/usr/bin/aws"}
DEEP = '<op id="d" name="monitor" interval="120s" OCF_CHECK_LEVEL="10"/>'
TIMES = '<op id="s" name="start" interval="0" timeout="180"/><op id="t" name="stop" interval="0s" timeout="3min"/>'


IN_A_SET = (
    '<rsc_order id="o"><resource_set id="s"><resource_ref id="address"/><resource_ref id="x"/></resource_set>'
    "</rsc_order>"
)


def primitive(name: str, agent: str, operations: str = "", attribute: str = "", rule: str = "", **given: str) -> str:
    """A primitive of `heartbeat:NAME` or `PROVIDER:NAME`."""
    provider, _, kind = agent.rpartition(":")
    about = attribute or f'class="ocf" provider="{provider or "heartbeat"}" type="{kind}"'
    pairs = "".join(f'<nvpair id="{name}-{key}" name="{key}" value="{value}"/>' for key, value in given.items())
    return (
        f'<primitive id="{name}" {about}><instance_attributes id="{name}-a">{rule}{pairs}</instance_attributes>'
        f'<operations>{operations}<op id="{name}-m" name="monitor" interval="20s"/></operations></primitive>'
    )


def cib(*resources: str, constraints: str = "", properties: str = "") -> Cib:
    """A configuration."""
    return Cib(
        '<cib><configuration><crm_config><cluster_property_set id="cib-bootstrap-options">'
        f"{properties}</cluster_property_set></crm_config><nodes/><resources>{''.join(resources)}</resources>"
        f"<constraints>{constraints}</constraints></configuration></cib>"
    )


def nobody(_: AgentName) -> Optional[bool]:
    """No agent on this node is ours."""
    return None


def commands(found: Migration) -> List[str]:
    """All commands, in order."""
    return [command for step in found.steps for command in step.commands]


def changed(found: Migration, action: str = "modify") -> List[ET.Element]:
    """The elements of cibadmin's commands, each of which is well-formed."""
    given = [shlex.split(one) for one in commands(found) if one.startswith(f"cibadmin --{action} ")]
    return [ET.fromstring(words[words.index("--xml-text") + 1]) for words in given]


def test_the_agent_changes_in_place() -> None:
    """Id, parameters and operations stay; a monitor that asks EC2 comes, and time for start and stop."""
    found = migration(cib(primitive("ip", "aws-vpc-move-ip", **MOVE_IP)), nobody)
    (element,) = changed(found)
    assert element.attrib == {"id": "ip", "class": "ocf", "provider": "heartbeat", "type": "aws-ipfailover"}
    operations = {one.get("id", ""): one.attrib for one in element.iter("op")}
    assert {one["name"]: one["timeout"] for one in operations.values()} == {
        "start": "180s",
        "stop": "180s",
        "monitor": "60s",
    }
    (level,) = element.iter("nvpair")
    assert (level.get("name"), level.get("value")) == ("OCF_CHECK_LEVEL", "10")
    assert any("without an effect from now on: awscli." in one for one in found.differences)


def test_the_order() -> None:
    """Nothing under way, maintenance, the change, the history, the check, and only then the end of maintenance."""
    text = script(migration(cib(primitive("ip", "aws-vpc-move-ip", **MOVE_IP)), nobody))
    steps = [
        "crm_resource --show-metadata ocf:heartbeat:aws-ipfailover",
        "crm_resource --wait",
        "crm_attribute --name maintenance-mode --update true",
        "cibadmin --modify",
        "crm_resource --refresh --resource ip --force",
        "crm_simulate",
        "exit 1",
        "\ncrm_attribute --name maintenance-mode --update false",
    ]
    places = [text.index(one) for one in steps]
    assert places == sorted(places)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_sets_the_property(tool: str) -> None:
    """By crmsh, pcs or Pacemaker itself; the rest is Pacemaker's own in each case."""
    found = migration(cib(primitive("ip", "aws-vpc-move-ip", **MOVE_IP)), nobody, tool)
    words = {"crm": "crm configure property", "pcs": "pcs property set", "pacemaker": "crm_attribute --name"}[tool]
    assert len([one for one in commands(found) if one.startswith(f"{words} maintenance-mode")]) == 2


def test_a_cluster_in_maintenance_stays_there() -> None:
    """Somebody has a reason for it."""
    on = '<nvpair id="m" name="maintenance-mode" value="true"/>'
    found = migration(cib(primitive("ip", "aws-vpc-move-ip", **MOVE_IP), properties=on), nobody)
    assert [one for one in commands(found) if "maintenance-mode" in one and "CIB_file" not in one] == []
    assert any("crm_simulate" in one for one in commands(found))


def test_operations_that_are_enough_stay() -> None:
    """Long timeouts and a deep monitor of its own: only the agent changes."""
    found = migration(cib(primitive("ip", "aws-vpc-move-ip", TIMES + DEEP, **MOVE_IP)), nobody)
    (element,) = changed(found)
    assert list(element) == []


def test_a_template_is_changed_where_it_is() -> None:
    """The agent of a primitive with a template is the template's."""
    template = f'<template id="all" class="ocf" provider="suse" type="aws-vpc-move-ip"><operations>{TIMES}</operations>'
    body = primitive("ip", "", DEEP, 'template="all"', **MOVE_IP)
    found = migration(cib(f"{template}</template>", body), nobody)
    assert [(one.tag, one.get("type")) for one in changed(found)] == [("template", "aws-ipfailover")]


def test_awsvip_and_ipaddr2_become_one() -> None:
    """awsvip's id stays; what names IPaddr2 names it then, and a constraint between the two goes."""
    vip = primitive("vip", "awsvip", secondary_private_ip="10.0.1.50", api_delay="3")
    address = primitive("address", "IPaddr2", ip="10.0.1.50", iflabel="svc")
    other = primitive("other", "IPaddr2", ip="10.0.1.5")
    constraints = (
        '<rsc_colocation id="c1" rsc="address" with-rsc="vip" score="INFINITY"/>'
        '<rsc_colocation id="c2" rsc="db" with-rsc="address" score="INFINITY"/>'
        '<rsc_order id="o1" first="vip" then="address"/><rsc_order id="o2" first="address" then="db"/>'
        '<rsc_location id="l1" rsc="address" node="a" score="5"/><rsc_location id="l2" rsc="vip" node="a" score="5"/>'
    )
    found = migration(cib(vip, address, other, primitive("db", "Dummy"), constraints=constraints), nobody)
    assert [(one.resource_id, one.absorbs) for one in found.moved] == [("vip", ("address",))]
    assert [(one.tag, one.attrib) for one in changed(found)][1:] == [
        ("rsc_colocation", {"id": "c2", "with-rsc": "vip"}),
        ("rsc_order", {"id": "o2", "first": "vip"}),
        ("rsc_location", {"id": "l1", "rsc": "vip"}),
    ]
    assert [(one.tag, one.get("id")) for one in changed(found, "delete")] == [
        ("rsc_colocation", "c1"),
        ("rsc_order", "o1"),
        ("primitive", "address"),
    ]
    sets = [one for one in commands(found) if "--set-parameter" in one]
    assert sets == [
        "crm_resource --resource vip --set-parameter mode --parameter-value private-ip",
        "crm_resource --resource vip --set-parameter iflabel --parameter-value svc",
    ]
    assert "crm_resource --refresh --resource address --force" in commands(found)
    assert "constraint l2 stays as it is" in found.unchanged
    assert not any("c2" in one or "l1" in one for one in found.unchanged)


@pytest.mark.parametrize(
    ("eip", "group", "bound"),
    [
        ({"allocation_id": "eipalloc-01234567", "private_ip_address": "10.0.1.50"}, False, True),
        ({"allocation_id": "eipalloc-01234567", "private_ip_address": "10.0.1.5"}, True, False),
        ({"allocation_id": "eipalloc-01234567"}, True, True),
        ({"allocation_id": "eipalloc-01234567"}, False, False),
        ({"elastic_ip": "198.51.100.1"}, True, False),
    ],
)
def test_awseip_follows_an_address(eip: Any, group: bool, bound: bool) -> None:
    """The one that it is associated with, or the one of its group; else it stays with its agent, and that is told."""
    both = primitive("vip", "awsvip", secondary_private_ip="10.0.1.50") + primitive("eip", "awseip", **eip)
    found = migration(cib(f'<group id="g">{both}</group>' if group else both), nobody)
    sets = [one for one in commands(found) if "allocation_id" in one]
    assert len(sets) == (1 if bound else 0)
    assert found.moved[0].absorbs == (("eip",) if bound else ())
    assert bool(found.left) is not bound


def test_an_agent_under_another_name_is_ours() -> None:
    """What `install --as` has put there needs nothing; what is not known to be ours is another's."""
    suse = cib(primitive("ip", "suse:aws-vpc-move-ip", **MOVE_IP))
    found = migration(suse, lambda agent: agent == AgentName("suse", "aws-vpc-move-ip"))
    assert (found.steps, found.refused) == ((), ())
    assert "this agent already" in found.left[0]
    assert migration(suse, lambda _: False).steps


@pytest.mark.parametrize(
    ("resources", "constraints", "said"),
    [
        ([primitive("ip", "aws-vpc-move-ip", ip="10.0.0.300", routing_table="rtb-01234567")], "", "parameter ip:"),
        (
            [primitive("ip", "aws-vpc-move-ip", rule='<rule id="r"/>', **MOVE_IP)],
            "",
            "depend on a rule of ip-a",
        ),
        (
            [
                primitive("vip", "awsvip", secondary_private_ip="10.0.1.50"),
                primitive("address", "IPaddr2", ip="10.0.1.50"),
            ],
            IN_A_SET,
            "o names address in a resource set: put vip there",
        ),
        (
            [
                primitive("vip", "awsvip", secondary_private_ip="10.0.1.50"),
                f'<group id="g">{primitive("address", "IPaddr2", ip="10.0.1.50")}</group>',
            ],
            "",
            "address, which would be removed, is all that is in group g",
        ),
        (
            [
                primitive("vip", "awsvip", secondary_private_ip="10.0.1.50"),
                f'<clone id="c">{primitive("address", "IPaddr2", ip="10.0.1.50")}</clone>',
            ],
            "",
            "address, which would be removed, is in a clone",
        ),
    ],
)
def test_what_cannot_be_done_by_commands(resources: List[str], constraints: str, said: str) -> None:
    """It is told, and there are no commands at all: half a migration helps nobody."""
    found = migration(cib(*resources, primitive("x", "Dummy"), constraints=constraints), nobody)
    assert any(said in one for one in found.refused), found.refused
    assert found.steps == ()


# An id as XML writes it, and what a fake tool of Pacemaker does: it notes what it was given.
HOSTILE = "a'b;>injected;$(>injected)`>injected`&#10;>injected&#10;#"
TOOL = """#!/bin/sh
printf '%s\\0' "$@" >>{log}
"""


def test_hostile_names_begin_no_command(tmp_path: Path) -> None:
    """Whatever a configuration calls a resource, a group or a provider: the script runs its own commands alone."""
    together = primitive("vip", "awsvip", secondary_private_ip="10.0.0.9") + primitive(
        "OTHER", "IPaddr2", ip="10.0.0.9", iflabel="x;>injected"
    )
    resources = [
        f'<group id="g&#10;>injected">{together}</group>',
        primitive("NAME", "su&#10;>injected&#10;se:aws-vpc-move-ip", **MOVE_IP),
    ]
    resources = [one.replace("NAME", HOSTILE).replace("OTHER", f"o{HOSTILE}") for one in resources]
    file, log = tmp_path / "migrate.sh", tmp_path / "log"
    file.write_text(script(migration(cib(*resources), nobody)), encoding="utf-8")
    for name in ("crm_resource", "cibadmin", "crm_attribute", "crm_simulate"):
        (tmp_path / name).write_text(TOOL.format(log=shlex.quote(str(log))), encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-e", str(file)], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "injected").exists()
    meant = HOSTILE.replace("&#10;", "\n")
    assert {meant, f"o{meant}"} <= set(log.read_text(encoding="utf-8").split("\0"))


# -- the command ------------------------------------------------------------------------------------------------------

PEER = (
    "<cib><configuration><crm_config/><nodes/><resources>"
    f"{primitive('ip', 'aws-vpc-move-ip', **MOVE_IP)}</resources><constraints/></configuration></cib>"
)


DEEPLY = "<group id='g'>" * 5000 + "</group>" * 5000


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run it for a configuration in a file: its exit code, standard output and standard error."""
    monkeypatch.setenv("OCF_ROOT", str(tmp_path))

    def run(text: str, *arguments: str) -> Any:
        file = tmp_path / "cib.xml"
        file.write_text(text)
        code = main.main(["migrate", "--cib", str(file), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_script(run: Any) -> None:
    """For `sh -e`, with what is to be known as comments; a shell can read it."""
    code, out, err = run(PEER)
    assert (code, err) == (0, "")
    assert out.startswith("# As root on one node: sh -e FILE.")
    assert "# ip: ocf:heartbeat:aws-vpc-move-ip becomes ocf:heartbeat:aws-ipfailover." in out
    for line in out.splitlines():
        if not line.startswith("#"):
            shlex.split(line)


def test_json(run: Any) -> None:
    """As the schema says."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for text in (PEER, PEER.replace("192.168.10.10", "nowhere"), PEER.replace("aws-vpc-move-ip", "Dummy")):
        _, out, _ = run(text, "--json", "--crm")
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(out))


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (PEER.replace("192.168.10.10", "nowhere"), 1, "ip: parameter ip: 'nowhere' is wrong"),
        (PEER.replace("aws-vpc-move-ip", "Dummy"), 0, "nothing to migrate"),
        ("no xml", 3, "cib.xml is no XML"),
        # As `pcs cluster cib scope=configuration` prints it: that it has no resources would be a wrong answer.
        (PEER[len("<cib>") : -len("</cib>")], 3, "cib.xml is no CIB: its outermost element is 'configuration'"),
        ("<cib><configuration><resources>" + "<group id='g'>" * 5000, 3, "is no XML"),
        (
            f"<cib><configuration><resources>{DEEPLY}</resources></configuration></cib>",
            3,
            "'g' is in 8 groups and clones, one in the other",
        ),
    ],
)
def test_nothing_to_print(run: Any, text: str, code: int, said: str) -> None:
    """Nothing on standard output, which may lead into a script."""
    found, out, err = run(text)
    assert (found, out) == (code, "")
    assert said in err


def test_without_a_cluster(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """3: what there is to migrate could not be found out."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert main.main(["migrate"]) == 3
    assert "cibadmin" in capsys.readouterr().err


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 by 24, the last line of which is the prompt; with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["migrate", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any(re.match(r" *Example:", line) for line in lines)
