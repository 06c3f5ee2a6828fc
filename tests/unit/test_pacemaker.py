"""ocf/pacemaker.py: what `crm_resource --query-xml` says of whether Pacemaker manages a resource.

The outputs are those of Pacemaker 2.1.5; a word that other versions print is noted where it stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.pacemaker import Pacemaker, is_managed
from sandbox import need_commands

# What follows the state: the resource's own XML, which says what is configured and not what holds.
CONFIGURED = """\
<primitive id="{name}" class="ocf" provider="heartbeat" type="aws-ipfailover">
  <meta_attributes id="m">
    <nvpair id="m1" name="is-managed" value="{managed}"/>
    <nvpair id="m2" name="maintenance" value="{maintenance}"/>
  </meta_attributes>
</primitive>
"""


def text(state: str, name: str = "ip", managed: str = "true", maintenance: str = "false") -> str:
    """What `crm_resource --query-xml --resource NAME` prints."""
    xml = CONFIGURED.format(name=name, managed=managed, maintenance=maintenance)
    return f"{name}\t(ocf:heartbeat:aws-ipfailover):\t {state}\nResource XML:\n{xml}"


def xml(attributes: str, name: str = "ip", managed: str = "true") -> str:
    """What it prints with `--output-as=xml`."""
    configured = CONFIGURED.format(name=name, managed=managed, maintenance="false")
    return (
        f'<pacemaker-result api-version="2.25" request="crm_resource --query-xml --resource {name} --output-as=xml">\n'
        "  <resource_config>\n"
        f'    <resource id="{name}" resource_agent="ocf:heartbeat:aws-ipfailover" role="Started" active="true"'
        f' orphaned="false" blocked="false" {attributes} failed="false" nodes_running_on="1">\n'
        '      <node name="node1" id="1" cached="true"/>\n'
        "    </resource>\n"
        f"    <xml><![CDATA[{configured}]]></xml>\n"
        "  </resource_config>\n"
        '  <status code="0" message="OK"/>\n'
        "</pacemaker-result>\n"
    )


@pytest.mark.parametrize(
    ("said", "managed"),
    [
        (text("Started node1"), True),
        (text("FAILED node1"), True),
        (text("Starting node1"), True),
        (text("Started node1 (unmanaged)"), False),
        (text("Started node1 (disabled, unmanaged)"), False),
        # on-fail=block; in maintenance mode, too, this mark stands alone.
        (text("FAILED node1 (blocked)"), False),
        (text("FAILED node1 (disabled, blocked)"), False),
        # From 2.1.6 on.
        (text("Started node1 (maintenance)"), False),
        (text("Started node1 (disabled, maintenance)"), False),
        # What maintenance mode of the cluster or of the node makes of a resource that is configured as managed.
        (text("Started node1 (unmanaged)", managed="true"), False),
        # What is configured is not what holds: a group's or the cluster's own setting can be stronger.
        (text("Started node1", managed="false", maintenance="true"), True),
        # Names are an administrator's own.
        (text("Started node1", name="ip-maintenance"), True),
        (text("Started unmanaged", name="unmanaged"), True),
        (xml('managed="true"'), True),
        (xml('managed="false"'), False),
        (xml('managed="true"', managed="false"), True),
        # From 2.1.6 on.
        (xml('maintenance="false" managed="true"'), True),
        (xml('maintenance="true" managed="false"'), False),
        (xml('maintenance="true" managed="true"'), False),
        (xml('managed="true"', name="ip-maintenance"), True),
        (xml('managed="true"').replace('blocked="false"', 'blocked="true"'), False),
        # Up to 2.0.
        (text("Started node1").replace("ocf:", "ocf::"), True),
        (text("Started node1 (unmanaged)").replace("ocf:", "ocf::"), False),
    ],
)
def test_what_crm_resource_says(said: str, managed: bool) -> None:
    """Managed, unless the state says otherwise: unmanaged, or maintenance mode of resource, group, node or cluster."""
    assert is_managed(said) is managed


@pytest.mark.parametrize(
    "said",
    [
        *("", "\n", CONFIGURED.format(name="ip", managed="true", maintenance="false")),
        *("Could not connect to the CIB\n", "\x00\xff", "<pacemaker-result><status code='0'/></pacemaker-result>"),
    ],
)
def test_no_state_is_no_answer(said: str) -> None:
    """UnknownError where nothing is said of the resource's state."""
    with pytest.raises(UnknownError, match="shows no state"):
        is_managed(said)


class Stub:
    """A `crm_resource` first in PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def does(self, script: str) -> None:
        """Let it run these lines of shell."""
        path = self.directory / "crm_resource"
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{self.directory}/arguments"\n{script}\n')
        path.chmod(0o755)

    @property
    def arguments(self) -> str:
        """What it was asked, a line each time."""
        return (self.directory / "arguments").read_text()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stub:
    """The cluster of this test; no other `crm_resource` is found."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Stub(tmp_path)


@pytest.mark.parametrize(("state", "managed"), [("Started node1", True), ("Started node1 (unmanaged)", False)])
def test_the_cluster_is_asked_about_the_resource(stub: Stub, state: str, managed: bool) -> None:
    """`crm_resource` is asked, once, by the resource's id."""
    stub.does(f"printf 'ip\\t(ocf:heartbeat:aws-ipfailover):\\t {state}\\n'")
    assert Pacemaker("ip", Deadline(20)).manages() is managed
    assert stub.arguments == "--query-xml --resource ip\n"


@pytest.mark.parametrize("code", [105, 102, 1])
def test_an_error_is_no_answer(stub: Stub, code: int) -> None:
    """UnknownError: no such resource (105), no connection to the cluster (102), anything else; with the code."""
    stub.does(f"echo 'ip (ocf:heartbeat:aws-ipfailover): Started node1'; exit {code}")
    with pytest.raises(UnknownError, match=f"crm_resource fails \\({code}\\)"):
        Pacemaker("ip", Deadline(20)).manages()


def test_silence_is_no_answer(stub: Stub) -> None:
    """ "It does not answer: 190": UnknownError when the deadline comes, and the process is gone."""
    stub.does(f'echo $$ > "{stub.directory}/pid"; exec sleep 60')
    with pytest.raises(UnknownError, match="not finished before"):
        Pacemaker("ip", Deadline(0.5)).manages()
    pid = Path(stub.directory, "pid")
    assert not pid.exists() or not Path("/proc", pid.read_text().strip()).exists()


def test_a_node_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """UnknownError where `crm_resource` is not installed; one in the working directory is none."""
    monkeypatch.setenv("PATH", f".:{tmp_path}/nothing:")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm_resource").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "crm_resource").chmod(0o755)
    with pytest.raises(UnknownError, match="is not in PATH"):
        Pacemaker("ip", Deadline(20)).manages()


CIB = """\
<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="0" have-quorum="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="o">
        <nvpair id="o1" name="maintenance-mode" value="{cluster}"/>
        <nvpair id="o2" name="stonith-enabled" value="false"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="node1">
        <instance_attributes id="n"><nvpair id="n1" name="maintenance" value="{node}"/></instance_attributes>
      </node>
    </nodes>
    <resources>
      <group id="group">
        <meta_attributes id="g"><nvpair id="g1" name="is-managed" value="{group}"/></meta_attributes>
        <primitive id="ip" class="ocf" provider="pacemaker" type="Dummy">
          <meta_attributes id="m">{resource}</meta_attributes>
        </primitive>
      </group>
    </resources>
    <constraints/>
  </configuration>
  <status>
    <node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member">
      <lrm id="1">
        <lrm_resources>
          <lrm_resource id="ip" class="ocf" provider="pacemaker" type="Dummy">
            <lrm_rsc_op id="ip_last_0" operation_key="ip_start_0" operation="start" crm_feature_set="3.16.2"
                transition-key="1:1:0:0" transition-magic="0:0;1:1:0:0" call-id="5" rc-code="0" op-status="0"
                interval="0" on_node="node1"/>
          </lrm_resource>
        </lrm_resources>
      </lrm>
    </node_state>
  </status>
</cib>
"""


@pytest.mark.parametrize(
    ("resource", "group", "node", "cluster", "managed"),
    [
        ("", "true", "false", "false", True),
        ('<nvpair id="m1" name="is-managed" value="true"/>', "true", "false", "false", True),
        ('<nvpair id="m1" name="is-managed" value="false"/>', "true", "false", "false", False),
        ('<nvpair id="m1" name="maintenance" value="true"/>', "true", "false", "false", False),
        ("", "false", "false", "false", False),
        ("", "true", "true", "false", False),
        ("", "true", "false", "true", False),
    ],
)
def test_the_pacemaker_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    resource: Optional[str],
    group: str,
    node: str,
    cluster: str,
    managed: bool,
) -> None:
    """By `crm_resource` itself, of a CIB in a file: unmanaged by the resource, its group, its node or the cluster."""
    need_commands("crm_resource")
    path = tmp_path / "cib.xml"
    path.write_text(CIB.format(resource=resource, group=group, node=node, cluster=cluster))
    monkeypatch.setenv("CIB_file", str(path))
    assert Pacemaker("ip", Deadline(20)).manages() is managed
