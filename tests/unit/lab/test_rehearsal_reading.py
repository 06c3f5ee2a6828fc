"""Somebody's configuration, read: what it says, and a sentence with the line for what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.crm_text import for_load
from vpc_lab.rehearsal.model import Colocation
from vpc_lab.rehearsal.pcs_text import commands
from vpc_lab.rehearsal.reading import kind_of, mended_text, read, substituted, text_of

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
