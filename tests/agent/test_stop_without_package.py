"""The contract's row for `stop`: also where the package cannot be imported, the agent's file looks and removes."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import pytest

import aws_ipfailover
from aws_ipfailover.cli import install
from aws_ipfailover.holdings.eni_interface import table_of
from sandbox import (
    AGENT,
    Agent,
    EniNode,
    Ran,
    addresses,
    answers_on,
    create_eni,
    ip,
    make_interface,
    need_root,
    network_namespace,
    without_packages,
)
from vpc_lab.waiting import eventually

ADDRESS, ADDRESS6 = "192.168.10.10", "fd00:10::10"
OWN, ANOTHERS = "10.0.1.11/24", "192.168.10.20/32"
ENI, ANOTHERS_ENI = "eni-0123456789abcdef0", "eni-0123456789abcdef1"
OTHER_ACTIONS = ["start", "validate-all", "meta-data", "reload-agent", "migrate_to", "migrate_from", "usage"]
WHOLE = Path(aws_ipfailover.__file__).parent


class Broken(NamedTuple):
    """An interpreter for which the package does not load: its options, and environment variables."""

    options: Sequence[str]
    environ: Dict[str, str]

    def agent(self, **parameters: str) -> Agent:
        """The agent's file under that interpreter."""
        return Agent(parameters, self.environ, interpreter=(sys.executable, *self.options))


def damaged(directory: Path, name: str, content: bytes) -> Broken:
    """A copy of the package is found first, in which one file has this content."""
    copy = directory / "damaged" / WHOLE.name
    shutil.copytree(WHOLE, copy, ignore=shutil.ignore_patterns("lab", "trimmed", "__pycache__"))
    (copy / name).write_bytes(content)
    return Broken((), {"PYTHONPATH": str(copy.parent)})


def bad_bytecode(directory: Path) -> Broken:
    """The cached bytecode of a module is damaged; by its flags it is not compared with the source."""
    broken = damaged(directory, "py.typed", b"")
    cached = Path(importlib.util.cache_from_source(str(directory / "damaged" / WHOLE.name / "agent.py")))
    cached.parent.mkdir()
    cached.write_bytes(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8) + b"garbage")
    return broken


WAYS: Dict[str, Callable[[Path], Broken]] = {
    "another interpreter": lambda _: Broken(("-I", "-S"), {}),
    "not installed": lambda path: Broken((), without_packages(path / "shim", "aws_ipfailover")),
    "an empty file": lambda path: damaged(path, "agent.py", b""),
    "a file cut short": lambda path: damaged(path, "agent.py", (WHOLE / "agent.py").read_bytes()[:1500]),
    "zeros": lambda path: damaged(path, "errors.py", bytes(512)),
    "random bytes": lambda path: damaged(path, "kernel/command.py", b"\x9f\xf0\xff\n" * 100),
    "bytecode": bad_bytecode,
    "a module that raises": lambda path: damaged(path, "deadline.py", b"{}['x']"),
    "a module that exits": lambda path: damaged(path, "deadline.py", b"raise SystemExit(0)"),
    "main raises": lambda path: damaged(path, "agent.py", b"def main(argv, environ): raise RuntimeError('broken')"),
    "main returns nothing": lambda path: damaged(path, "agent.py", b"def main(argv, environ): pass"),
}


@pytest.fixture
def namespace() -> Iterator[None]:
    """A node: eth0 with its own address and another resource's."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0")
        ip("address", "add", OWN, "dev", "eth0")
        ip("address", "add", ANOTHERS, "dev", "eth0")
        yield


@pytest.fixture(params=WAYS)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Broken:
    """Each way in which the package does not load."""
    return WAYS[request.param](tmp_path)


BARE = Broken(("-I", "-S"), {})


def held() -> List[str]:
    """All addresses of the namespace but those that are there from the start."""
    found = [one.address for one in addresses()]
    for before in (OWN, ANOTHERS):
        found.remove(before)  # it has to be there
    return found


def bin_with_ip(directory: Path, script: str) -> str:
    """A PATH on which `ip` is this shell script; the real one is $IP."""
    real = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    fake = directory / "bin" / "ip"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nIP={real}\n{script}\n")
    fake.chmod(0o755)
    return f"{fake.parent}:/usr/sbin:/usr/bin:/sbin:/bin"


def done(ran: Ran, code: int = 0) -> None:
    """It has done its work, and said on standard error how."""
    assert ran.code == code, ran
    assert ran.reasons == []
    assert f"{ran.action} was performed with `ip` alone" in ran.stderr
    assert "Traceback" not in ran.stderr


# -- overlay-ip, private-ip -------------------------------------------------------------------------------------------


def test_stop(namespace: None, broken: Broken) -> None:
    """stop: 0 and the address is gone, whatever keeps the package from loading; others' addresses stay."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    done(broken.agent(ip=ADDRESS, routing_table="rtb-0123456789abcdef0").run("stop"))
    assert held() == []
    assert not answers_on(ADDRESS)


def test_stop_where_there_is_nothing(namespace: None, broken: Broken) -> None:
    """stop: 0 where the address is not here: a node that has nothing is never fenced for its Python."""
    done(broken.agent(ip=ADDRESS).run("stop"))
    assert held() == []


@pytest.mark.parametrize("content", [b"\1" * 100, b"", b"raise SystemExit(0)"])
def test_a_damaged_file_that_is_loaded_late(namespace: None, tmp_path: Path, content: bytes) -> None:
    """stop and a probe: a file that only they load, after the package has loaded, decides nothing either."""
    agent = damaged(tmp_path, "holdings/local_address.py", content).agent(ip=ADDRESS)
    done(agent.run("monitor"), 7)
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    done(agent.run("monitor"))
    done(agent.run("stop"))
    assert held() == []


def test_a_defect_in_stop(namespace: None, tmp_path: Path) -> None:
    """stop: 0 and the address is gone, also where the package loads and one of its modules fails in the middle."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    defect = b"\ndef release_all(parts): raise TypeError('broken')\n"
    broken = damaged(tmp_path, "failover.py", (WHOLE / "failover.py").read_bytes() + defect)
    done(broken.agent(ip=ADDRESS, routing_table="rtb-0123456789abcdef0").run("stop"))
    assert held() == []
    assert not answers_on(ADDRESS)


def test_a_defect_in_stop_quotes_no_secret(namespace: None, tmp_path: Path) -> None:
    """stop: what the package alone knows to be secret is not told of a defect either; nor is it a traceback."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    defect = (
        "\ndef release_all(parts):\n"
        "    from aws_ipfailover.redaction import keep_secret\n"
        "    keep_secret('wJalrXUtnFEMIK7MDENGbPxRfiC')\n"
        "    raise TypeError('wJalrXUtnFEMIK7MDENG\\nbPxRfiC d0phbHJYVXRuRkVNSUs3TURFTkdiUHhSZmlD and more')\n"
    )
    broken = damaged(tmp_path, "failover.py", (WHOLE / "failover.py").read_bytes() + defect.encode())
    ran = broken.agent(ip=ADDRESS, routing_table="rtb-0123456789abcdef0").run("stop")
    done(ran)
    assert re.search(r"TypeError at aws_ipfailover\.[.a-z_]+:\d+: \*\*\* \*\*\* and more", ran.stderr), ran.stderr
    assert held() == []


@pytest.mark.parametrize("module", ["output.py", "redaction.py", "ocf/syslog.py", "ocf/log_file.py"])
def test_a_log_that_does_not_load(namespace: None, tmp_path: Path, module: str) -> None:
    """stop and a probe do their work where what is only needed to tell of it does not load."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    broken = damaged(tmp_path, module, b"raise SystemError('damaged')\n")
    agent = broken.agent(ip=ADDRESS, routing_table="rtb-0123456789abcdef0")
    environ = {"HA_LOGFILE": str(tmp_path / "ha.log"), "HA_LOGFACILITY": "daemon"}
    assert agent.run("monitor", environ=environ).code == 0
    ran = agent.run("stop", environ=environ)
    assert ran.code == 0, ran
    assert "Traceback" not in ran.stderr
    assert "alone" not in ran.stderr  # the package has done it
    assert held() == []
    assert agent.run("monitor", environ=environ).code == 7


PLACES: List[Tuple[str, List[List[str]]]] = [
    (ADDRESS, [[f"{ADDRESS}/24", "dev", "eth0"]]),
    (ADDRESS, [[f"{ADDRESS}/32", "dev", "eth0", "label", "eth0:vip"]]),
    (ADDRESS, [[f"{ADDRESS}/32", "dev", "lo"]]),
    (ADDRESS, [[ADDRESS, "peer", "192.168.99.1/24", "dev", "eth0"]]),
    (ADDRESS, [[f"{ADDRESS}/{length}", "dev", device] for length in (32, 24, 16) for device in ("eth0", "lo")]),
    (ADDRESS6, [[f"{ADDRESS6}/128", "dev", "eth0", "nodad"]]),
    ("FD00:0010:0::10", [[f"{ADDRESS6}/64", "dev", device, "nodad"] for device in ("eth0", "lo")]),
]


@pytest.mark.parametrize(("text", "places"), PLACES, ids=str)
@pytest.mark.parametrize("mode", ["overlay-ip", "private-ip"])
def test_wherever_it_is(namespace: None, mode: str, text: str, places: List[List[str]]) -> None:
    """stop: off every device, with whatever prefix length, label or peer it is found."""
    for place in places:
        ip("address", "add", *place)
    done(BARE.agent(mode=mode, ip=text).run("stop"))
    assert held() == []
    assert not answers_on(text)


def test_several_addresses(namespace: None) -> None:
    """stop: every address that `ip` and `address` name, separated by commas, blanks trimmed."""
    for address in (ADDRESS, "192.168.10.11", "192.168.10.12", "192.168.10.110"):
        ip("address", "add", f"{address}/32", "dev", "eth0")
    ip("address", "add", f"{ADDRESS6}/128", "dev", "eth0", "nodad")
    done(BARE.agent(ip=f" {ADDRESS}, {ADDRESS6},192.168.10.11", address="192.168.10.12").run("stop"))
    assert held() == ["192.168.10.110/32"]


REFUSED = [
    "",
    ",",
    "nonsense",
    f"{ADDRESS}/32",
    f"{ADDRESS}/24",
    "192.168.010.10",
    f"{ADDRESS6}%eth0",
    f"::ffff:{ADDRESS}",
    "3232238090",
    "127.0.0.1",
    "::1",
    "169.254.9.9",
    "0.0.0.0",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_refused_text(namespace: None, text: str) -> None:
    """stop: 0; a text that start refuses names nothing, and what another resource may have is left alone."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    ip("address", "add", f"{ADDRESS6}/128", "dev", "eth0", "nodad")
    ip("address", "add", "169.254.9.9/32", "dev", "eth0")
    everything = addresses()
    done(BARE.agent(ip=text, address=text).run("stop"))
    assert addresses() == everything
    assert answers_on("127.0.0.1")
    assert answers_on("::1")


def test_a_refused_text_beside_a_good_one(namespace: None) -> None:
    """stop: each text between commas counts for itself: one that is refused does not keep the others on this node."""
    for address in (ADDRESS, "192.168.10.11"):
        ip("address", "add", f"{address}/32", "dev", "eth0")
    done(BARE.agent(ip=f"{ADDRESS},192.168.10.11/32").run("stop"))
    assert held() == ["192.168.10.11/32"]


def test_secondaries_stay(namespace: None) -> None:
    """stop: the address is the first one of its subnet; the kernel would take the others of that subnet with it."""
    for other in (f"{ADDRESS}/24", "192.168.10.77/24", "192.168.10.78/24"):
        ip("address", "add", other, "dev", "eth0")
    done(BARE.agent(ip=ADDRESS).run("stop"))
    assert held() == ["192.168.10.77/24", "192.168.10.78/24"]


def test_a_leftover_local_route(namespace: None) -> None:
    """stop: the kernel answers on an address that only a route of its local table has; that goes as well."""
    for address, family in ((ADDRESS, "-4"), (ADDRESS6, "-6")):
        ip(family, "route", "add", "local", address, "dev", "lo", "table", "local")
    assert answers_on(ADDRESS)
    done(BARE.agent(ip=f"{ADDRESS},{ADDRESS6}").run("stop"))
    assert not answers_on(ADDRESS)
    assert ip("-6", "route", "show", "table", "local", "exact", f"{ADDRESS6}/128") == []


def test_a_namespace_without_any_address(namespace: None) -> None:
    """stop: 0 on a machine that has not a single address, and so no local table."""
    with network_namespace():
        done(BARE.agent(ip=ADDRESS).run("stop"))


def test_a_device_that_is_renamed_meanwhile(namespace: None, tmp_path: Path) -> None:
    """stop: a device that is renamed between the look and the command is found again under its new name."""
    ip("link", "add", "name", "tmp0", "type", "veth", "peer", "name", "tmp1")
    ip("address", "add", f"{ADDRESS}/32", "dev", "tmp0")
    rename = 'case "$*" in *"del"*"dev tmp0"*) $IP link set dev tmp0 name ens5;; esac; exec $IP "$@"'
    done(BARE.agent(ip=ADDRESS).run("stop", environ={"PATH": bin_with_ip(tmp_path, rename)}))
    assert held() == []


# -- what stands in its way -------------------------------------------------------------------------------------------


def failed(ran: Ran) -> str:
    """It has failed with one exit reason; what stands in the part of it that Pacemaker shows."""
    assert ran.code == 1, ran
    assert len(ran.reasons) == 1
    assert "Traceback" not in ran.stderr
    return ran.reason[:110]


def test_an_address_that_cannot_be_removed(namespace: None) -> None:
    """stop: 1 where the address is here and stays; the reason tells where it is, what to do, and ip's own words."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    # In a user namespace of its own the process has no power over this network.
    ran = BARE.agent(ip=ADDRESS).begin("stop", command=["unshare", "--user"]).end()
    assert failed(ran).startswith(f"{ADDRESS} is still on eth0, remove it by hand: ip address del {ADDRESS}/32")
    assert "Operation not permitted" in ran.reason
    assert "does not load" in ran.reason
    assert answers_on(ADDRESS)


@pytest.mark.parametrize(
    "script", ["exit 1", "echo", "echo nonsense", "echo '{}'", "echo '[{}]'", "echo '[{\"a\": 1}]'"]
)
def test_ip_cannot_tell(namespace: None, tmp_path: Path, script: str) -> None:
    """stop: 1 where `ip` does not tell what is here: what cannot be found out is not taken for a no."""
    ran = BARE.agent(ip=ADDRESS).run("stop", environ={"PATH": bin_with_ip(tmp_path, script)})
    assert failed(ran).startswith("cannot tell what is on this node: ")


def test_nothing_named_asks_nothing(namespace: None, tmp_path: Path) -> None:
    """stop: 0 without a look where the parameters name nothing, so also where `ip` cannot tell."""
    done(BARE.agent().run("stop", environ={"PATH": bin_with_ip(tmp_path, "exit 1")}))


def test_without_path(namespace: None) -> None:
    """stop: `ip` is found also where PATH is not set or has only relative places."""
    for path in (None, "", ":bin"):
        ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
        done(BARE.agent(ip=ADDRESS).run("stop", environ={"PATH": path}))
        assert held() == []


@pytest.mark.parametrize("path", [".", "", "bin"])
def test_an_ip_in_the_current_directory(namespace: None, tmp_path: Path, path: str) -> None:
    """stop: a place in PATH that depends on the current directory is passed over: anybody may have put an ip there."""
    bin_with_ip(tmp_path, "exit 1")
    shutil.copy(tmp_path / "bin" / "ip", tmp_path / "ip")
    here = ["/usr/bin/env", f"--chdir={tmp_path}"]
    done(BARE.agent(ip=ADDRESS).begin("stop", environ={"PATH": path}, command=here).end())


@pytest.mark.parametrize("when", ["show", "del"])
def test_an_ip_that_hangs(namespace: None, tmp_path: Path, when: str) -> None:
    """stop: ends by itself before Pacemaker would kill it, with 1 and the reason, when `ip` hangs."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    path = bin_with_ip(tmp_path, f'case "$*" in *{when}*) exec sleep 600;; esac; exec $IP "$@"')
    killed = ["timeout", "--signal=KILL", "3"]
    ran = BARE.agent(ip=ADDRESS).begin("stop", environ={"PATH": path}, timeout=3, command=killed).end()
    failed(ran)
    assert "not finished before the operation's timeout" in ran.reason


def test_a_signal(namespace: None, tmp_path: Path) -> None:
    """stop: a signal ends it with 1, as it ends every action, and the `ip` that it waits for with it."""
    mark = tmp_path / "asked"
    path = bin_with_ip(tmp_path, f"echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 600")
    with BARE.agent(ip=ADDRESS).begin("stop", environ={"PATH": path}) as running:
        eventually("ip is being run", mark.exists)
        waits_in = Path("/proc", str(running.process.pid), "wchan")
        eventually("the agent waits for it", lambda: "poll" in waits_in.read_text())
        running.process.terminate()
        ran = running.end()
    assert ran.code == 1, ran
    assert "Traceback" not in ran.stderr
    assert not Path("/proc", mark.read_text().strip()).exists()


# -- eni --------------------------------------------------------------------------------------------------------------


def test_eni_that_the_package_started(eni_node: EniNode, broken: Broken) -> None:
    """stop, eni: what the package's start has made is found and quiesced: addresses, rules, link. EC2 is not asked."""
    eni_node.started()
    ran = broken_copy(eni_node, broken).run("stop")
    done(ran)
    assert ran.calls == ()
    assert eni_node.quiesced()
    assert eni_node.status() == "attached"
    done(broken_copy(eni_node, broken).run("stop"))


def broken_copy(node: EniNode, broken: Broken) -> Agent:
    """The node's agent, under the interpreter for which the package does not load."""
    return Agent(
        node.agent.parameters,
        {**node.agent.environ, **broken.environ},
        node.aws,
        interpreter=(sys.executable, *broken.options),
    )


def test_eni_with_an_extra_address_and_ipv6(make_eni_node: Callable[..., EniNode]) -> None:
    """stop, eni: all addresses of the interface, IPv4 and IPv6, and the extra one that `ip` names."""
    node = make_eni_node("10.0.1.60", "10.0.1.61", "2001:db8:1000:1::60")
    node.agent.parameters["ip"] = ADDRESS
    node.started()
    done(broken_copy(node, BARE).run("stop"))
    assert node.quiesced()
    assert answers_on("10.0.1.11")


def test_eni_of_another_resource(make_eni_node: Callable[..., EniNode]) -> None:
    """stop, eni: another resource's interface, rules and link on this node stay as they are."""
    node = make_eni_node()
    node.started()
    subnet = node.interface().subnet_id
    mine = create_eni(node.aws, subnet, "10.0.1.70")
    agent = Agent({**node.agent.parameters, "network_interface_id": mine}, node.agent.environ, node.aws)
    assert agent.run("start").code == 0
    assert answers_on("10.0.1.70")
    agent.interpreter = (sys.executable, *BARE.options)
    done(agent.run("stop"))
    assert not answers_on("10.0.1.70")
    assert node.served()


def configure(eni: str, device: str, address: str) -> None:
    """Bring about by hand what a start leaves: mark, address, rule, link."""
    make_interface(device)
    ip("link", "set", "dev", device, "alias", f"aws-ipfailover {eni}, addresses: 1")
    ip("address", "add", f"{address}/32", "dev", device)
    ip("rule", "add", "from", address, "table", str(table_of(eni)), "priority", "5000")


def rules(eni: str) -> List[str]:
    """The sources of the rules into an ENI's table."""
    return [rule["src"] for rule in ip("rule", "show") if rule["table"] == str(table_of(eni))]


def test_an_address_without_a_rule(namespace: None) -> None:
    """stop, eni: any address on the marked interface, also one that somebody else has added."""
    configure(ENI, "ens6", ADDRESS)
    ip("address", "add", "192.168.10.40/32", "dev", "ens6")
    done(BARE.agent(mode="eni", network_interface_id=ENI).run("stop"))
    assert held() == []


def is_up(device: str) -> bool:
    """Whether a device is up."""
    return "UP" in ip("link", "show", "dev", device)[0]["flags"]


def test_eni_whose_interface_is_gone(namespace: None) -> None:
    """stop, eni: 0 where nothing of it is here; rules that outlived the interface go, and so do their addresses."""
    agent = BARE.agent(mode="eni", network_interface_id=ENI)
    done(agent.run("stop"))
    ip("rule", "add", "from", ADDRESS, "table", str(table_of(ENI)), "priority", "5000")
    ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
    done(agent.run("stop"))
    assert rules(ENI) == []
    assert held() == []


def test_rules_of_others_stay(namespace: None) -> None:
    """stop, eni: neither another ENI's rules nor one without a source, even into the same table, is removed."""
    configure(ENI, "ens6", ADDRESS)
    configure(ANOTHERS_ENI, "ens7", "192.168.10.30")
    ip("rule", "add", "from", "all", "table", str(table_of(ENI)), "priority", "7000")
    ip("rule", "add", "from", "192.168.10.0/24", "table", str(table_of(ENI)), "priority", "7001")
    done(BARE.agent(mode="eni", network_interface_id=ENI).run("stop"))
    assert rules(ENI) == ["all", "192.168.10.0"]
    assert rules(ANOTHERS_ENI) == ["192.168.10.30"]
    assert (is_up("ens6"), is_up("ens7")) == (False, True)
    assert held() == ["192.168.10.30/32"]


STRAY: List[Tuple[Dict[str, str], bool]] = [
    ({"mode": "eni"}, True),
    ({"mode": "teleport"}, True),
    ({}, False),
    ({"mode": "overlay-ip"}, False),
    ({"mode": "private-ip"}, False),
]


@pytest.mark.parametrize(("parameters", "quiet"), STRAY, ids=str)
def test_which_mode_has_an_eni(namespace: None, parameters: Dict[str, str], quiet: bool) -> None:
    """stop: as with the package, the ENI counts in mode eni or one that is none; elsewhere it is a stray parameter."""
    configure(ENI, "ens6", "192.168.10.30")
    done(BARE.agent(ip=ADDRESS, network_interface_id=ENI, **parameters).run("stop"))
    assert is_up("ens6") is not quiet


def test_a_link_that_stays_up(namespace: None) -> None:
    """stop, eni: 1 where the interface stays up, for it would go on answering."""
    configure(ENI, "ens6", ADDRESS)
    ip("address", "flush", "dev", "ens6")
    ip("rule", "del", "table", str(table_of(ENI)), "priority", "5000")
    ran = BARE.agent(mode="eni", network_interface_id=ENI).begin("stop", command=["unshare", "--user"]).end()
    assert failed(ran).startswith("ens6 is still up, remove it by hand: ip link set dev ens6 down")


# -- a probe ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [None, 0])
def test_a_probe(namespace: None, broken: Broken, interval: float | None) -> None:
    """probe: 0 here, 7 not here. Pacemaker takes the 5 of a probe for a no, and would start it on a second node."""
    agent = broken.agent(ip=ADDRESS)
    done(agent.run("monitor", interval=interval), 7)
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth0")
    before = addresses()
    done(agent.run("monitor", interval=interval))
    assert addresses() == before


def test_a_probe_of_a_link_that_is_down(namespace: None) -> None:
    """probe: an address on a link that is down is not here; stop removes it all the same."""
    make_interface("eth1")
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth1")
    ip("link", "set", "dev", "eth1", "down")
    done(BARE.agent(ip=ADDRESS).run("monitor"), 7)
    done(BARE.agent(ip=ADDRESS).run("stop"))
    assert held() == []


def test_a_probe_of_several_addresses(namespace: None) -> None:
    """probe: 0 where all are here, 1 where only some are, so that Pacemaker stops them; by any name of `ip`."""
    several = f"{ADDRESS},{ADDRESS6}"
    agents = [BARE.agent(ip=several), BARE.agent(secondary_private_ip=several)]
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    for agent in agents:
        ran = agent.run("monitor")
        assert ran.code == 1, ran
        assert "incomplete" in ran.reason
    ip("address", "add", f"{ADDRESS6}/128", "dev", "eth0", "nodad")
    for agent in agents:
        done(agent.run("monitor"))
    done(agents[1].run("stop"))
    assert held() == []


def test_a_probe_of_a_refused_text(namespace: None) -> None:
    """probe: 7 for a text that start refuses, though another resource may have that address."""
    done(BARE.agent(ip=ANOTHERS).run("monitor"), 7)


def test_a_probe_cannot_tell(namespace: None, tmp_path: Path) -> None:
    """probe: 1 where `ip` does not tell."""
    ran = BARE.agent(ip=ADDRESS).run("monitor", environ={"PATH": bin_with_ip(tmp_path, "exit 1")})
    assert failed(ran).startswith("cannot tell what is on this node: ")


def test_a_probe_of_an_eni(eni_node: EniNode) -> None:
    """probe, eni: 0 for the interface that the package's start configured, 7 before, and 7 after a stop."""
    agent = broken_copy(eni_node, BARE)
    done(agent.run("monitor"), 7)
    eni_node.started()
    done(agent.run("monitor"))
    done(agent.run("stop"))
    done(agent.run("monitor"), 7)


def test_a_recurring_monitor(namespace: None) -> None:
    """monitor: 5 with an interval, so that Pacemaker moves the resource to a node whose package loads."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    ran = BARE.agent(ip=ADDRESS).run("monitor", interval=10)
    assert ran.code == 5, ran
    assert "does not load" in ran.reason
    assert answers_on(ADDRESS)


# -- the other actions, and the file itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("action", OTHER_ACTIONS)
def test_the_other_actions(action: str) -> None:
    """5, and in the part of the reason that Pacemaker shows, what is wrong and what to do."""
    ran = BARE.agent(ip=ADDRESS).run(action)
    assert ran.code == 5, ran
    assert ran.stdout == ""
    assert "the Python package aws-ipfailover does not load" in ran.reason[:110]
    assert "reinstall it and run 'aws-ipfailover install'" in ran.reason[:110]
    assert sys.executable in ran.reason
    assert "No module named" in ran.reason


@pytest.mark.parametrize("action", ["migrate_to", "migrate_from"])
def test_a_planned_move_with_a_single_holder(action: str) -> None:
    """eni, private-ip: 1, because 5 would ban the node; overlay-ip: 5, as start."""
    for parameters in ({"mode": "eni", "network_interface_id": ENI}, {"mode": "private-ip", "ip": ADDRESS}):
        ran = BARE.agent(**parameters).run(action)
        assert ran.code == 1, ran
        assert "does not load" in ran.reason


def test_every_other_way(broken: Broken) -> None:
    """5 and one reason, without a traceback, whatever keeps the package from loading."""
    ran = broken.agent(ip=ADDRESS).run("start")
    assert ran.code == 5, ran
    assert "does not load" in ran.reason
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "2>/dev/full"])
def test_streams_that_nobody_reads(namespace: None, streams: str) -> None:
    """stop: done also where its standard streams are closed or cannot be written."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    closing = ["sh", "-c", f'exec "$@" {streams}', "sh"]
    ran = BARE.agent(ip=ADDRESS).begin("stop", command=closing).end()
    assert ran.code == 0, ran
    assert held() == []


def test_the_installed_file(namespace: None, tmp_path: Path) -> None:
    """What `aws-ipfailover install` writes does the same by its first line's interpreter, which is isolated."""
    path, _ = install.install(tmp_path / "root")
    first, rest = path.read_text().split("\n", 1)
    assert first == f"#!{sys.executable} -I"
    path.write_text(f"{first}S\n{rest}")  # -S: without the directories in which packages are installed
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    done(Agent({"ip": ADDRESS}, interpreter=(), path=path).run("stop"))
    assert held() == []


def test_an_older_interpreter_reads_it() -> None:
    """The whole file is Python 3.6, so that an interpreter that is too old for the package can run it."""
    tree = ast.parse(AGENT.read_text(), feature_version=(3, 6))
    texts = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    programs = [text for text in texts if "\n" in text]
    assert len(programs) == 2
    for program in programs:
        ast.parse(program, feature_version=(3, 6))
