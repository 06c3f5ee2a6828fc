"""`meta-data`: OCF 1.1, and what Debian's tools make of it."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import List

import pytest

from aws_ipfailover import __version__
from aws_ipfailover.cli.main import main
from sandbox import Agent, Node, cannot_run, need_commands, need_root

GOLDEN = Path(__file__).with_name("data") / "meta-data.xml"
SCHEMA = Path("/usr/share/pcs/data/ocf-1.1.rng")
NAME = "ocf:heartbeat:aws-ipfailover"
INSTALLED = Path("usr/lib/ocf/resource.d/heartbeat/aws-ipfailover")
SECOND = ["insecure_endpoint", "monapi", "on_drift", "drain"]
OTHER_NAMES = ["address", "secondary_private_ip"]
PEERS = [
    *("elastic_ip", "api_delay", "lookup_type", "auth_type", "awscli", "awscli_timeout", "curl_retries", "curl_sleep"),
]


@pytest.fixture(scope="module")
def text() -> str:
    """The metadata as the agent prints it."""
    ran = Agent().run("meta-data")
    assert ran.code == 0, ran
    return ran.stdout


@pytest.fixture(scope="module")
def root(text: str) -> ET.Element:
    """The metadata as XML."""
    return ET.fromstring(text)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The agent as `aws-ipfailover install --root` puts it."""
    assert main(["install", "--root", str(tmp_path)]) == 0
    return tmp_path / INSTALLED


def in_place(installed: Path) -> List[str]:
    """A command prefix: what follows finds the agent where Pacemaker looks, in a mount namespace of its own."""
    need_root()
    places = Path("/usr/lib/ocf/resource.d/heartbeat")
    if not places.is_dir():
        cannot_run("needs resource-agents")
    work = installed.parents[1] / "overlay"
    (work / "upper").mkdir(parents=True)
    (work / "work").mkdir()
    arrange = (
        'mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" && cp "$2" "$1/upper/"'
        ' && mount -t overlay -o "lowerdir=$3,upperdir=$1/upper,workdir=$1/work" overlay "$3" && shift 3 && exec "$@"'
    )
    return [
        *("unshare", "--mount", "--propagation", "private", "sh", "-ec", arrange, "sh"),
        *(str(work), str(installed), str(places)),
    ]


def test_golden(text: str) -> None:
    """The metadata is what it was: a change of it is a change of the interface, and shows in a diff of this file."""
    assert text == GOLDEN.read_text().replace("@VERSION@", __version__)


def test_schema(tmp_path: Path, text: str) -> None:
    """It validates against the OCF 1.1 schema that pcs checks agents by."""
    need_commands("xmllint")
    if not SCHEMA.is_file():
        cannot_run("needs pcs, which has the schema of OCF 1.1")
    file = tmp_path / "meta-data.xml"
    file.write_text(text)
    command = ["xmllint", "--noout", "--relaxng", str(SCHEMA), str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The guard works.
    file.write_text(text.replace('reloadable="1"', 'reloadable="maybe"'))
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_version_and_attributes(root: ET.Element) -> None:
    """OCF 1.1: `<version>1.1</version>`, unique-group, reloadable, deprecated; the agent's own version apart."""
    assert root.findtext("version") == "1.1"
    assert (root.get("name"), root.get("version")) == ("aws-ipfailover", __version__)
    parameters = root.findall("parameters/parameter")
    assert all(parameter.get("unique") is None for parameter in parameters)
    assert all(parameter.get("reloadable") in ("0", "1") for parameter in parameters)
    assert {parameter.get("unique-group") for parameter in parameters} == {None, "address", "network-interface"}


def test_every_parameter_of_the_contract(root: ET.Element) -> None:
    """Every parameter is announced, with both descriptions; which are required depends on the mode, so none is."""
    named = {parameter.get("name"): parameter for parameter in root.findall("parameters/parameter")}
    own = [
        *("mode", "ip", "destination", "routing_table", "routing_table_role", "external_id", "allocation_id"),
        *("network_interface_id", "device_index", "network_card_index", "interface"),
    ]
    assert list(named) == [*own, "iflabel", "region", "profile", "endpoint_url", *SECOND, *OTHER_NAMES, *PEERS]
    for parameter in named.values():
        assert (parameter.findtext("longdesc") or "").strip()
        assert (parameter.findtext("shortdesc") or "").strip()
    assert {name for name, one in named.items() if one.get("required") == "1"} == set()
    for name in ("ip", "routing_table", "network_interface_id"):
        assert "(required)" in (named[name].findtext("longdesc") or "")
    defaults = {name: one.find("content").get("default") for name, one in named.items()}  # type: ignore[union-attr]
    assert {name: text for name, text in defaults.items() if text is not None} == {
        "mode": "overlay-ip",
        "network_card_index": "0",
        "insecure_endpoint": "false",
        "monapi": "false",
        "on_drift": "repair",
        "drain": "1",
    }


def test_deprecated_parameters(root: ET.Element) -> None:
    """The peer's parameters are marked deprecated; `address` is replaced with `ip`."""
    deprecated = {
        parameter.get("name"): parameter.find("deprecated/replaced-with")
        for parameter in root.findall("parameters/parameter")
        if parameter.find("deprecated") is not None
    }
    assert set(deprecated) == {*OTHER_NAMES, *PEERS}
    for name in OTHER_NAMES:
        replaced = deprecated[name]
        assert replaced is not None
        assert replaced.get("name") == "ip"


def test_nothing_is_required_that_another_name_stands_for(root: ET.Element) -> None:
    """crm refuses a configuration without a required parameter: published ones have `address`, and no `ip`."""
    replaced = {one.get("name") for one in root.findall("parameters/parameter/deprecated/replaced-with")}
    assert replaced == {"ip"}
    parameters = root.findall("parameters/parameter")
    assert [one.get("required") for one in parameters if one.get("name") in replaced] == ["0"]


def test_actions(root: ET.Element) -> None:
    """The actions of the contract are announced, with times in seconds that end in s and depths that do not."""
    actions = root.findall("actions/action")
    announced = [(action.get("name"), action.get("depth")) for action in actions]
    assert announced == [
        ("start", None),
        ("stop", None),
        ("monitor", "0"),
        ("monitor", "10"),
        ("reload-agent", None),
        ("migrate_to", None),
        ("migrate_from", None),
        ("validate-all", None),
        ("meta-data", None),
    ]
    for action in actions:
        for name in ("timeout", "interval"):
            assert (action.get(name) or "1s").endswith("s")
    intervals = [action.get("interval") for action in actions if action.get("name") == "monitor"]
    assert len(set(intervals)) == len(intervals)


def test_install(installed: Path) -> None:
    """`aws-ipfailover install --root`: executable by everybody, and run by the interpreter that has the package."""
    assert installed.stat().st_mode & 0o777 == 0o755
    assert sorted(installed.parent.iterdir()) == [installed, installed.with_name("aws-ipfailover-health")]
    done = subprocess.run([str(installed), "meta-data"], check=False, capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    assert done.stdout == Agent().run("meta-data").stdout


def test_crm_ra_info(installed: Path) -> None:
    """`crm ra info` renders it."""
    need_commands("crm")
    prefix = in_place(installed)
    done = subprocess.run([*prefix, "crm", "ra", "info", NAME], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("routing_table (string)", "Operations' defaults", "monapi (boolean, [false])", "reload-agent"):
        assert expected in done.stdout
    assert "ERROR" not in done.stderr


def test_pcs_resource_describe(installed: Path) -> None:
    """`pcs resource describe` renders it."""
    need_commands("pcs")
    prefix = in_place(installed)
    done = subprocess.run([*prefix, "pcs", "resource", "describe", NAME], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("overlay-ip (required)", "network_interface_id", "device_index", "monitor", "migrate_from"):
        assert expected in done.stdout
    assert "Error" not in done.stderr


@pytest.mark.parametrize("tool", [["crm", "ra", "info"], ["pcs", "resource", "describe"]])
def test_the_tools_show_the_health_agent(installed: Path, tool: List[str]) -> None:
    """`crm ra info` and `pcs resource describe` render the health agent's metadata without a complaint."""
    need_commands(tool[0])
    command = [*in_place(installed.with_name("aws-ipfailover-health")), *tool, f"{NAME}-health"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("resources", "dampen", "node-health-strategy"):
        assert expected in done.stdout
    assert "rror" not in done.stderr


@pytest.mark.parametrize("monapi", ["false", "true"])
def test_ocf_tester(node: Node, installed: Path, tmp_path: Path, monapi: str) -> None:
    """`ocf-tester` passes: the resource's whole life, as OCF's own tool drives it."""
    need_commands("ocf-tester", "xmllint")
    # It knows the schema of OCF 1.0 only, which has none of 1.1's attributes: it gets that of 1.1 instead.
    lint = tmp_path / "bin" / "xmllint"
    lint.parent.mkdir()
    lint.write_text(f"#!/bin/sh\nexec /usr/bin/xmllint --noout --relaxng {SCHEMA} -\n")
    lint.chmod(0o755)
    parameters = {**node.agent.parameters, "monapi": monapi}
    options = [text for name, value in parameters.items() for text in ("-o", f"{name}={value}")]
    command = [*in_place(installed), "ocf-tester", "-v", "-n", "vip", *options, f"/{INSTALLED}"]
    path = f"{lint.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    environ = {**node.agent.environ, "PATH": path, "OCF_ROOT": "/usr/lib/ocf"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    complaints = [line for line in done.stdout.splitlines() if line.startswith("* rc=")]
    if not nobody_may_look_in():
        # It runs the metadata as nobody, who cannot see a checkout in, say, root's home.
        complaints = [line for line in complaints if "permissions" not in line]
    assert complaints == [], done.stdout + done.stderr
    assert "Checking for migrate_from action" in done.stdout


def nobody_may_look_in() -> bool:
    """Whether the user nobody can run this interpreter with the package."""
    command = f"{sys.executable} -c 'import aws_ipfailover'"
    return subprocess.run(["su", "nobody", "-s", "/bin/sh", "-c", command], check=False).returncode == 0
