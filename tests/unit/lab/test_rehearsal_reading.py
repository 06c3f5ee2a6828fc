"""Somebody's configuration, read: what it says, and a sentence with the line for what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.crm_text import for_load
from vpc_lab.rehearsal.model import Colocation
from vpc_lab.rehearsal.pcs_text import commands
from vpc_lab.rehearsal.reading import kind_of, mended_text, read, substituted, text_of
from vpc_lab.rehearsal.report import ranges

DATA = Path(__file__).parents[2] / "lab" / "data" / "rehearsals"
PUBLISHED = Path(__file__).parents[2] / "lab" / "data" / "third-party" / "suse-netweaver-ascs-ers.crm"


def test_a_crm_file_says_what_a_lab_needs_to_know() -> None:
    """Nodes with ids, agents' full names, operations, wrappers, groups; a published file of SUSE's."""
    found = read(PUBLISHED.read_text(encoding="utf-8")).configuration
    assert found.tool == "crm"
    assert found.nodes == (("hacert01", 1084753931), ("hacert02", 1084753932))
    agents = {one.agent for one in found.primitives}
    assert {"ocf:heartbeat:SAPInstance", "ocf:suse:aws-vpc-move-ip", "stonith:external/ec2"} <= agents
    ers = found.primitive("rsc_sap_HA1_ERS10")
    assert ers is not None
    assert ers.parameters["IS_ERS"] == "true"
    assert ers.meta == {"priority": "1000"}
    assert [(one.name, one.about["interval"]) for one in ers.operations] == [("monitor", "120")]
    assert found.groups["grp_HA1_ERS10"] == ("rsc_ip_HA1_ERS10", "rsc_fs_HA1_ERS10", "rsc_sap_HA1_ERS10")
    assert found.colocations == (Colocation("grp_HA1_ERS10", "grp_HA1_ASCS00", "", "-5000"),)
    assert found.fencing
    assert [one.id for one in found.fence_devices] == ["res_AWS_STONITH"]


def test_pcs_commands_say_the_same_things() -> None:
    """Behind prompts and between the commands that set machines up, which are not run."""
    text = (DATA / "hana-pcs.txt").read_text(encoding="utf-8")
    found = read(text).configuration
    assert found.tool == "pcs"
    assert [name for name, _ in found.nodes] == ["hana01", "hana02"]
    hana = found.primitive("hana_PR1_00")
    assert hana is not None
    assert (hana.agent, hana.parameters["AUTOMATED_REGISTER"]) == ("ocf:heartbeat:SAPHana", "true")
    assert {one.about.get("role") for one in hana.operations if one.name == "monitor"} == {"Slave", "Master"}
    wrapper = found.wrapper_of("hana_PR1_00")
    assert wrapper is not None
    assert (wrapper.id, wrapper.promotable, wrapper.meta["notify"]) == ("hana_PR1_00-clone", True, "true")
    assert found.colocations == (Colocation("vip_PR1_00", "hana_PR1_00-clone", "Promoted", "2000"),)
    run, skipped = commands(text)
    assert [one.words[:3] for one in run][:2] == [("pcs", "property", "set"), ("pcs", "stonith", "create")]
    assert [number for number, _ in skipped] == [2, 3, 4, 5, 25]


def test_groups_of_pcs_are_in_the_order_of_the_commands() -> None:
    """Whether a member names its group, or the group its members."""
    text = "pcs resource create a Dummy --group g\npcs resource create b Dummy group g\npcs resource create c Dummy\n"
    text += "pcs resource group add g c a\n"
    assert read(text).configuration.groups == {"g": ("a", "b", "c")}


def test_a_cib_says_the_same_things() -> None:
    """As `cibadmin --query` prints it, with what a cluster writes by itself."""
    found = read((DATA / "db2-cib.xml").read_text(encoding="utf-8")).configuration
    assert found.nodes == (("dbone", 1), ("dbtwo", 2))
    assert found.primitives[1].agent == "ocf:heartbeat:db2"
    assert found.wrappers[0].promotable
    assert found.colocations == (Colocation("vip", "db2-master", "Promoted", "INFINITY"),)
    assert found.primitive("vip").line == 39  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("primitive a Dummy", "crm"),
        ("# with pcs it would be shorter\nprimitive a Dummy", "crm"),
        ("sudo pcs resource create a Dummy", "pcs"),
        ("[root@x ~]# pcs resource create a Dummy", "pcs"),
        ("# pcs -f cib.xml resource create a Dummy", "pcs"),
        ("/usr/sbin/pcs resource create a Dummy", "pcs"),
        ("  <cib/>", "cib"),
    ],
)
def test_the_kind_of_a_file_is_recognized(text: str, kind: str) -> None:
    """By what is in it: people give files any name."""
    assert kind_of(text) == kind


WRONG = {
    "primitive a Dummy\n\nprimitiv b Dummy": "line 3: 'primitiv' is no command of crm configure",
    "primitive a Dummy params x=1\n   y=2": "line 2: 'y=2' is no command of crm configure; does line 1 lack its backsl",
    "primitive a Dummy \\\n  params x='1": "line 1: a quotation mark is missing",
    "primitive a": "line 1: a primitive has an id and an agent",
    "primitive a Dummy params x=\u201c1\u201d": "line 1: \u201c is no quotation mark to crm and pcs",
    "node": "line 1: a node has a name",
    "property a=b": "there is no resource in it",
    "pcs resource create a Dummy\nresource create b Dummy": "line 2: 'resource' is no pcs command",
    "pcs resource create a": "line 1: pcs resource create takes an id and an agent",
    "pcs resource create a Dummy x='1": "line 1: a quotation mark is missing",
    "<cib><configuration></cib>": "line 1: this is not XML: mismatched tag",
    "<nvpair/>": "line 1: a CIB has an element 'configuration', and this has <nvpair> alone",
    "<configuration>\n<primitive id='a'/></configuration>": "primitive 'a' has no type",
    "": "there is no resource in it",
    "primitive a Dummy \\\n\nop monitor": "line 3: 'op' is no command of crm configure; does line 2 lack its",
    "pcs resource create a Dummy\n--group g": "line 2: '--group' is no pcs command, nor one that a lab does without; ",
    "primitive a Dummy params x=1\u00a0y=2": "line 1: it has blanks or dashes",
    "---\n- hosts: all\n": "line 1: this is YAML, such as Ansible reads, and no configuration",
    "Cluster name: x\nFull List of Resources:\n": "line 1: this is a status, and no configuration",
    '{"cib": {}}': "line 1: this is JSON",
    "primitive a Dummy\nprimitive a Dummy": "line 2: 'a' is there twice, first in line 1: crm",
    "pcs resource create a Dummy\npcs resource create a Dummy": "line 2: 'a' is there twice, first in line 1: pcs",
    "pcs resource create a Dummy\npcs resource group meta g x=1": "line 2: pcs has no 'resource group meta'",
    "totem {\n}\n": "line 1: this is a corosync.conf (--corosync FILE takes it)",
    "for n in a b; do\n pcs resource create $n Dummy\ndone": "line 1: 'for' of the shell",
    "#!/bin/sh\ncat <<EOF | crm configure\nprimitive a Dummy": "line 2: the here-document",
    "#!/bin/sh\nif true; then\npcs status\n": "line 2: 'if' of the shell has no end",
    "#!/bin/sh\nfi\n": "line 2: 'fi' of the shell ends what has not begun",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_gets_a_sentence_with_the_line(text: str) -> None:
    """Never a traceback."""
    with pytest.raises(LabError) as refused:
        read(text)
    assert WRONG[text] in str(refused.value)


def test_a_file_that_cannot_be_read_gets_a_sentence(tmp_path: Path) -> None:
    """It is not there, or it is no text."""
    with pytest.raises(LabError, match=r"cannot read .*nothing: No such file"):
        text_of(tmp_path / "nothing")
    (tmp_path / "image").write_bytes(b"primitive \xff")
    with pytest.raises(LabError, match="image is no text: byte 10 is not UTF-8"):
        text_of(tmp_path / "image")


def test_what_print_broke_is_mended_and_told() -> None:
    """A backslash that a page lost, and quotation marks that it made typographic, each with its line."""
    text = 'primitive a Dummy \\\n  params x="1"\ny=\u201c2\u201d\n# \u201cquoted\u201d\n'
    mended, told = mended_text(text)
    assert mended == 'primitive a Dummy \\\n  params x="1" \\\ny="2"\n# \u201cquoted\u201d\n'
    assert told == (
        "line 2: it has a backslash at its end now, since line 3 continues it",
        "line 3: typographic quotation marks are plain ones now",
    )
    assert dict(read(text, mend=True).configuration.primitives[0].parameters) == {"x": "1", "y": "2"}


def test_what_a_page_made_of_blanks_dashes_and_empty_lines_is_mended() -> None:
    """And a quotation mark that ends nothing."""
    text = 'primitive a Dummy \\\n\u00a0 params x=1 "\\\n\n op monitor\u00a0interval=10\n'
    assert read(text, mend=True).configuration.primitives[0].operations[0].about == {"interval": "10"}
    pcs = "pcs resource create a Dummy x=1 \u2013-group g\npcs resource create b Dummy \u2014group g\n"
    assert read(pcs.replace("\u2013-", "\u2013"), mend=True).configuration.groups == {"g": ("a", "b")}
    listed = (
        "primhana:~  cat x\nprimitive a Dummy \\\nparams t=<table 1>,\n<table 2> ip=<10.0.0.1> \\\nop start timeout=9\n"
    )
    (found,) = read(listed, mend=True).configuration.primitives
    assert (found.parameters, len(found.operations)) == ({"t": "table-1,table-2", "ip": "10.0.0.1"}, 1)
    wrapped = "primitive a Dummy\nlocation l a -inf:\n beta\n"
    assert [name for name, _ in read(wrapped, mend=True).configuration.nodes] == ["beta"]


def test_a_placeholder_is_a_word_of_its_own() -> None:
    """One within a longer word is another one."""
    text = "ip=overlay-ip other=second-overlay-ip x=overlay-ip2 table=rtb-1,<rtb>;i-a:i-b"
    values = {"overlay-ip": "192.168.10.10", "<rtb>": "rtb-2", "i-b": "i-0"}
    assert substituted(text, values) == (
        "ip=192.168.10.10 other=second-overlay-ip x=overlay-ip2 table=rtb-1,rtb-2;i-a:i-0"
    )


def test_commands_at_the_prompt_of_root_are_no_comments() -> None:
    """Where no command is without it; a continued one is one command, with the number of its first line."""
    text = '# pcs property set a=b\n# pcs resource create ip aws-vpc-move-ip \\\nip="192.168.1.1" \\\n--group "g"\n'
    run, _ = commands(text)
    assert [(one.line, len(one.words)) for one in run] == [(1, 4), (2, 8)]
    assert read(text).configuration.groups == {"g": ("ip",)}
    run, _ = commands("# pcs property set a=b\npcs property set c=d\n")
    assert [one.line for one in run] == [2]


def test_commands_of_a_shell_are_what_crm_loads() -> None:
    """`crm configure` in front of each is not a part of the configuration."""
    text = "sudo crm configure primitive a Dummy\ncrm configure property x=y\nconfigure group g a\n"
    assert for_load(text) == "primitive a Dummy\nproperty x=y\ngroup g a\n"
    found = read(text).configuration
    assert (found.properties, found.groups) == ({"x": "y"}, {"g": ("a",)})


def test_a_session_at_crm_s_prompt_is_what_it_configures() -> None:
    """Prompts, commands of the shell and of other levels are no configuration; maintenance is the property."""
    text = "suse01:~ # zypper install x\nsuse01:~ # crm configure\ncrm(live/suse01)configure# primitive a Dummy \\\n"
    text += "  params x=1\ncrm(live/suse01)configure# commit\ncrm(live/suse01)configure# exit\n# crm maintenance off\n"
    text += "suse01:~ # crm maintenance off\n"
    found = read(text).configuration
    assert (found.primitives[0].parameters, found.primitives[0].line) == ({"x": "1"}, 3)
    assert found.properties == {"maintenance-mode": "false"}
    assert [number for number, _ in found.skipped] == [1, 2, 5, 6]
    typed = "# crm configure show\n# crm configure primitive a Dummy \\\nparams x=1\n# crm configure load update f\n"
    assert [one.parameters for one in read(typed).configuration.primitives] == [{"x": "1"}]


def test_a_variable_may_be_assigned_after_the_function_that_uses_it() -> None:
    """It is called later; a command in the place of whole words is left out and told."""
    text = "f() {\n  pcs resource create ip_$SID Dummy $(cat keys) fake=$SID\n}\nSID=HA1\nf\n"
    found = read(text).configuration
    assert [(one.id, dict(one.parameters)) for one in found.primitives] == [("ip_HA1", {"fake": "HA1"})]
    assert (2, "$(cat") in found.skipped


def test_no_password_of_a_script_is_told() -> None:
    """Of a line that is left out there is the first word, or the name of what it assigns."""
    text = "#!/bin/sh\nPASSWORD=hush\necho hush | passwd hacluster\npcs resource create a Dummy x=$PASSWORD\n"
    found = read(text).configuration
    assert found.skipped == ((2, "PASSWORD"), (3, "echo"))
    assert ranges([1, 2, 3, 5, 7, 8, 8, 12]) == "1-3, 5, 7-8, 12"


def test_commands_that_pcs_exports_end_with_a_semicolon() -> None:
    """As `pcs resource config --output-format=cmd` prints them; one within a value is a part of it."""
    text = (
        "pcs resource create --no-default-ops --force -- a Dummy \\\n  x=1 \\\n  op \\\n    monitor interval=9s id=i;\n"
    )
    text += "pcs stonith create --force -- f fence_aws map=a:i-1;b:i-2 \\\n  op monitor interval=60;"
    text += " pcs property set a=b;\n"
    found = read(text).configuration
    (dummy, fence) = found.primitives
    assert (dummy.parameters, [dict(one.about) for one in dummy.operations]) == (
        {"x": "1"},
        [{"interval": "9s", "id": "i"}],
    )
    assert (fence.parameters, fence.operations[0].about) == ({"map": "a:i-1;b:i-2"}, {"interval": "60"})
    assert found.properties == {"a": "b"}


def test_what_is_deleted_may_be_made_again() -> None:
    """And a group's meta attributes have the command that pcs has."""
    text = "pcs resource create a Dummy\npcs resource delete a\npcs resource create a Stateful --group g\n"
    assert read(text).configuration.primitives[0].agent == "ocf:heartbeat:Stateful"
    assert "pcs resource meta g x=1" in read(text + "pcs resource group meta g x=1\n", mend=True).text


def test_what_several_commands_set_is_one_statement() -> None:
    """crm takes each set of options once in a load; the last value counts, and another set is another."""
    text = "crm configure property a=1\nprimitive d Dummy\nproperty cib-bootstrap-options: \\\n  b='x y' \\\n  a=2\n"
    text += "property SAPHanaSR: c=3\nrsc_defaults x=1\n"
    assert for_load(text).split("\n") == [
        "property a=2 b='x y'",
        "primitive d Dummy",
        "",
        "",
        "",
        "property SAPHanaSR: c=3",
        "rsc_defaults x=1",
        "",
    ]


SCRIPT = """#!/bin/bash
set -e
export IP=192.168.10.1
NODES="alpha beta"
RTB=$(aws ec2 describe-route-tables --query x)
log() { echo "$1"; }
setup () {
  log "nodes: $NODES"
  pcs cluster setup hana $NODES --force
  if [ $? -ne 0 ]; then
    echo 'no cluster'; exit 1
  fi
}
if [ "$VERSION" = 7 ]; then
  yum install pcs
else
  dnf install pcs
  pcs property set stonith-enabled=false >/dev/null 2>&1 || true
fi
cat >/etc/corosync/x.conf <<EOF
node {
}
EOF
for n in $NODES; do pcs host auth $n; done
pcs -f cfg resource create vip ocf:heartbeat:aws-vpc-move-ip \\
    ip=${IP} routing_table="$RTB" interface=${NIC:-ens5} ; pcs cluster cib-push cfg
pcs resource create d Dummy fake='$IP' && pcs resource move d
"""


def test_a_script_is_read_as_far_as_it_configures() -> None:
    """Variables have their values, of the two branches only one configures, and what sets up machines is left out."""
    found = read(SCRIPT).configuration
    assert [name for name, _ in found.nodes] == ["alpha", "beta"]
    vip, dummy = found.primitives
    assert vip.parameters == {"ip": "192.168.10.1", "routing_table": "command-1", "interface": "ens5"}
    assert (vip.line, dummy.parameters) == (25, {"fake": "$IP"})
    assert found.properties == {"stonith-enabled": "false"}
    assert {number for number, _ in found.skipped} >= {2, 3, 4, 5, 6, 15, 17, 20, 24}
    run, _ = commands(read(SCRIPT).text)
    assert [one.words[1:3] for one in run] == [
        ("property", "set"),
        ("-f", "cfg"),
        ("cluster", "cib-push"),
        ("resource", "create"),
    ]


def test_here_documents_of_crm_stay_in_their_lines() -> None:
    """With variables where the document has no quotation marks; `$id` is crm's own."""
    text = 'SID=HA1\ncat << EOF | tee f\nproperty \\$id="o" \\\n  a=b\nprimitive ip_${SID} Dummy params x=$OTHER\nEOF\n'
    text += "Debug crm configure load update f\ncrm configure <<'END'\nprimitive b Dummy params x='$SID'\nEND\n"
    found = read(text)
    assert 'property $id="o"' in found.text
    assert [(one.id, one.line, dict(one.parameters)) for one in found.configuration.primitives] == [
        ("ip_HA1", 5, {"x": "OTHER"}),
        ("b", 9, {"x": "$SID"}),
    ]


def test_what_a_page_leaves_open_becomes_plain_words() -> None:
    """In names too, also in the words of Ansible and AsciiDoc; what is optional goes. XML has angles of its own."""
    text = "primitive ip_<SID>_{nr}_{{ role }}_@@X@@ Dummy params x=<a b>[,<2nd>]\n"
    text += "xml <rule id='r'> \\\n <x> \\\n</rule>\n"
    found = read(text)
    assert found.text == "primitive ip_SID_nr_role_X Dummy params x=a-b\nxml <rule id='r'> \\\n <x> \\\n</rule>\n"
    assert found.mended[0].startswith("what it leaves open is a plain word now: <SID> is SID")


def test_what_is_left_open_is_no_word_that_is_there_already() -> None:
    """It is replaced later wherever it stands, and a parameter's name must not be."""
    assert dict(read("primitive a Dummy params ip=<ip> x=<y>").configuration.primitives[0].parameters) == {
        "ip": "ip-value",
        "x": "y",
    }
    script = "#!/bin/sh\npcs resource create a Dummy ip=$ip x=${y[2]} z=$other\n"
    assert dict(read(script).configuration.primitives[0].parameters) == {"ip": "ip-value", "x": "y-2", "z": "other"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("primitive a Dummy\nproperty stonith-watchdog-timeout=10 x=1", "property stonith-watchdog-timeout=0 x=1"),
        ('primitive a Dummy\nproperty maintenance-mode="true"', 'property maintenance-mode="false"'),
        ("primitive a Dummy meta maintenance=true", "primitive a Dummy meta maintenance=false"),
        ("pcs resource create a Dummy\npcs property set maintenance-mode=true", "set maintenance-mode=false"),
        (
            """<configuration><crm_config><cluster_property_set>
            <nvpair id='x' name='maintenance-mode' value='true'/></cluster_property_set></crm_config>
            <resources><primitive id='a' class='ocf' type='Dummy'/></resources></configuration>""",
            "name='maintenance-mode' value='false'",
        ),
    ],
)
def test_what_would_keep_a_cluster_from_running_is_switched_off(text: str, expected: str) -> None:
    """And told: a watchdog that no lab has, and maintenance."""
    found = read(text)
    assert expected in found.text
    assert len(found.mended) == 1


def test_lines_that_a_page_broke_are_one_again() -> None:
    """Before operations, parameters and options too; which is no command by itself."""
    text = "primitive a Dummy params x=1\ny=2\nop monitor interval=10\ntimeout=20\n"
    found = read(text, mend=True).configuration.primitives[0]
    assert (dict(found.parameters), dict(found.operations[0].about)) == (
        {"x": "1", "y": "2"},
        {"interval": "10", "timeout": "20"},
    )


def test_nodes_may_be_named_by_constraints_alone() -> None:
    """As in an excerpt without `node` lines."""
    crm = "primitive a Dummy\nlocation l a 100: alpha\nlocation m a rule -inf: #uname eq beta\n"
    assert [name for name, _ in read(crm).configuration.nodes] == ["alpha", "beta"]
    assert read(f"node 7: gamma\n{crm}").configuration.nodes == (("gamma", 7),)
    pcs = "pcs resource create a Dummy\npcs constraint location a prefers alpha=50\n"
    pcs += "pcs constraint location a rule score=5 '#uname' eq beta\n"
    assert [name for name, _ in read(pcs).configuration.nodes] == ["alpha", "beta"]


def test_a_template_gives_what_a_primitive_does_not_have() -> None:
    """crm's rsc_template."""
    text = "rsc_template t ocf:suse:Widget params x=1 y=2 op monitor interval=9\nprimitive a @t params y=3\n"
    (found,) = read(text).configuration.primitives
    assert (found.agent, dict(found.parameters), len(found.operations)) == ("ocf:suse:Widget", {"x": "1", "y": "3"}, 1)


def test_a_name_with_two_colons_is_the_same_agent() -> None:
    """As pcs printed it once."""
    assert read("primitive a ocf::heartbeat:Dummy").configuration.primitives[0].agent == "ocf:heartbeat:Dummy"


def test_words_of_an_old_pcs_are_mended() -> None:
    """RHEL 7's: today's pcs refuses --clone and master, and calls the clone by another name."""
    text = (
        "pcs resource create t ocf:heartbeat:SAPHanaTopology SID=A --clone interleave=true\n"
        "pcs resource create h SAPHana SID=A op demote timeout=9 master meta notify=true\n"
        "pcs constraint colocation add ip with master h-master 2000\n"
    )
    found = read(text, mend=True)
    assert "SID=A clone interleave=true\n" in found.text
    assert "timeout=9 promotable meta notify=true\n" in found.text
    assert "with master h-clone 2000\n" in found.text
    assert [one.partition(":")[0] for one in found.mended] == ["line 1", "line 2", "line 1"]
    assert [(one.id, one.promotable) for one in found.configuration.wrappers] == [("t-clone", False), ("h-clone", True)]


def test_an_agent_without_a_provider_is_the_one_that_there_is() -> None:
    """Some are Pacemaker's own."""
    found = read("pcs resource create p ping\npcs resource create f Filesystem").configuration
    assert [one.agent for one in found.primitives] == ["ocf:pacemaker:ping", "ocf:heartbeat:Filesystem"]
