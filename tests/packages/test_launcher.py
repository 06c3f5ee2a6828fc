"""The package's agents where no Python can run them: a shell and `ip` stop and probe, and nothing is guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

import build_packages
from aws_ipfailover.holdings.eni_interface import table_of
from sandbox import Held, addresses, answers_on, ip, make_interface, need_commands, need_root, network_namespace

OWN = Held("eth0", "10.0.1.11/24", "eth0")
ENI = "eni-0123456789abcdef0"


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Path]:
    """The agent's file as the package has it, without the rest of the package, in a node's network."""
    need_root()
    need_commands("ip")
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0")
        ip("address", "add", "10.0.1.11/24", "dev", "eth0")
        yield written(tmp_path, "agent.sh")


def written(directory: Path, name: str) -> Path:
    """A launcher whose package is not there."""
    text = build_packages.script(f"launchers/{name}")
    for old, new in (("PYTHONS", "python3.13 python3.9"), ("FIRST", "3.9"), ("LAST", "3.13"), ("NAME", "none")):
        text = text.replace(f"@{old}@", new)
    path = directory / name
    path.write_text(text.replace("/usr/lib/aws-ipfailover/", f"{directory}/"), encoding="utf-8")
    path.chmod(0o755)
    return path


def run(path: Path, action: str, interval: int = 0, **parameters: str) -> subprocess.CompletedProcess[str]:
    """Run an action with these parameters."""
    environ: Dict[str, str] = {"PATH": "/usr/bin:/bin", "OCF_RESKEY_CRM_meta_interval": str(interval)}
    environ.update({f"OCF_RESKEY_{name}": value for name, value in parameters.items()})
    return subprocess.run([str(path), action], check=False, capture_output=True, text=True, env=environ, cwd="/")


@pytest.mark.parametrize("address", ["192.168.10.10/32", "192.168.10.10/24", "fd00:10::10/128", "fd00:10::10/64"])
@pytest.mark.parametrize("device", ["eth0", "lo"])
def test_private_ip_is_stopped(launcher: Path, address: str, device: str) -> None:
    """A private address is seen and removed, with whatever prefix length and device."""
    bare = address.split("/", maxsplit=1)[0]
    ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
    assert run(launcher, "monitor", mode="private-ip", ip=bare).returncode == 0
    done = run(launcher, "stop", mode="private-ip", ip=bare)
    assert done.returncode == 0, done
    assert "WARNING: stop was performed with `ip` alone" in done.stderr
    assert addresses() == [OWN]
    assert not answers_on(bare)
    assert run(launcher, "monitor", mode="private-ip", ip=bare).returncode == 7


def test_overlay_ip_is_stopped(launcher: Path) -> None:
    """Every overlay address is removed, also with a label; another resource's stays."""
    for address in ("192.168.10.10", "192.168.10.11", "192.168.10.20"):
        ip("address", "add", f"{address}/32", "dev", "eth0", "label", "eth0:x")
    done = run(launcher, "stop", ip="192.168.10.10, 192.168.10.11")
    assert done.returncode == 0, done
    assert addresses() == [OWN, Held("eth0", "192.168.10.20/32", "eth0:x")]


def test_a_local_route_without_an_address_is_removed(launcher: Path) -> None:
    """The kernel answers on an address for which it has a local route: after a stop it does not."""
    ip("route", "add", "local", "192.168.10.10/32", "dev", "lo", "table", "local")
    assert answers_on("192.168.10.10")
    assert run(launcher, "stop", ip="192.168.10.10").returncode == 0
    assert not answers_on("192.168.10.10")


def test_the_other_addresses_of_a_subnet_stay(launcher: Path) -> None:
    """Removing the first address of a subnet does not take its other ones along."""
    for address in ("10.0.3.60/24", "10.0.3.70/24"):
        ip("address", "add", address, "dev", "eth0")
    assert run(launcher, "stop", mode="private-ip", ip="10.0.3.60").returncode == 0
    assert [one.address for one in addresses()] == ["10.0.1.11/24", "10.0.3.70/24"]


def test_an_address_that_may_be_the_nodes_own_is_left(launcher: Path) -> None:
    """overlay-ip: what has the prefix length of a subnet may be the node's own: it stays, and stop and probe say so."""
    for action in ("stop", "monitor"):
        done = run(launcher, action, ip="10.0.1.11")
        assert done.returncode == 1, done
        assert "ocf-exit-reason:cannot tell" in done.stderr
    assert addresses() == [OWN]


def test_half_of_the_addresses(launcher: Path) -> None:
    """A probe that finds only some of the addresses does not say "not running": they would never be stopped."""
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    assert run(launcher, "monitor", ip="192.168.10.10,192.168.10.11").returncode == 1


def test_an_address_on_a_link_that_is_down(launcher: Path) -> None:
    """It is not here, as far as a probe goes, and is removed by a stop."""
    make_interface("eth1")
    ip("address", "add", "192.168.10.10/32", "dev", "eth1")
    ip("link", "set", "dev", "eth1", "down")
    assert run(launcher, "monitor", ip="192.168.10.10").returncode == 7
    assert run(launcher, "stop", ip="192.168.10.10").returncode == 0
    assert addresses() == [OWN]


def test_an_eni_is_quiesced(launcher: Path) -> None:
    """Its addresses, its rules and its link go; other rules and devices stay."""
    make_interface("eth1")
    ip("address", "add", "10.0.3.60/24", "dev", "eth1")
    ip("address", "add", "10.0.3.61/24", "dev", "eth1")
    ip("link", "set", "dev", "eth1", "alias", f"aws-ipfailover {ENI}, addresses: 10.0.3.60")
    ip("rule", "add", "from", "10.0.3.60", "table", str(table_of(ENI)), "priority", "1000")
    ip("rule", "add", "from", "10.0.3.99", "table", "77", "priority", "1001")
    assert run(launcher, "monitor", mode="eni", network_interface_id=ENI).returncode == 0
    done = run(launcher, "stop", mode="eni", network_interface_id=ENI)
    assert done.returncode == 0, done
    assert addresses() == [OWN]
    assert [rule["priority"] for rule in ip("-4", "rule", "show")] == [0, 1001, 32766, 32767]
    assert "UP" not in ip("link", "show", "dev", "eth1")[0]["flags"]
    assert run(launcher, "monitor", mode="eni", network_interface_id=ENI).returncode == 7


@pytest.mark.parametrize(
    "value", ["", "10.0.1.11/24", "999.1.1.1", "1:2", "127.0.0.1", "::1", "$(reboot)", "; reboot", "-h"]
)
def test_bad_parameters(launcher: Path, value: str) -> None:
    """What a start refuses names nothing: stop succeeds, nothing is touched, and nothing is executed."""
    assert run(launcher, "stop", ip=value).returncode == 0
    assert run(launcher, "monitor", ip=value).returncode == 7
    assert addresses() == [OWN]
    assert answers_on("127.0.0.1")


@pytest.mark.parametrize("action", ["start", "validate-all", "meta-data", "reload-agent", "migrate_to", "bogus"])
def test_other_actions(launcher: Path, action: str) -> None:
    """Every other action ends with 5, and says what to do."""
    done = run(launcher, action, ip="192.168.10.10")
    assert done.returncode == 5
    assert done.stderr.startswith("ocf-exit-reason:")
    assert "reinstall" in done.stderr


def test_a_recurring_monitor(launcher: Path) -> None:
    """It ends with 5: Pacemaker moves the resource away, and its stop works."""
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    assert run(launcher, "monitor", interval=10000, ip="192.168.10.10").returncode == 5


def test_an_ip_that_fails(launcher: Path, tmp_path: Path) -> None:
    """Where `ip` does not answer nothing is known: 1, for stop and probe."""
    text = launcher.read_text(encoding="utf-8").replace("PATH=/usr/sbin", f"PATH={tmp_path}/bin:/usr/sbin")
    launcher.write_text(text, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "ip"
    fake.write_text("#!/bin/sh\necho no >&2\nexit 2\n", encoding="utf-8")
    fake.chmod(0o755)
    codes: List[int] = [run(launcher, action, ip="192.168.10.10").returncode for action in ("stop", "monitor")]
    assert codes == [1, 1]


@pytest.mark.parametrize(("action", "interval", "code"), [("stop", 0, 0), ("start", 0, 5), ("monitor", 10000, 5)])
def test_the_health_agent(tmp_path: Path, action: str, interval: int, code: int) -> None:
    """Stop succeeds, because there is nothing to stop; all else ends with 5."""
    assert run(written(tmp_path, "health.sh"), action, interval=interval).returncode == code


DAMAGES = {
    "gone": (None, "ModuleNotFoundError"),
    "empty": ("", "is empty"),
    "cut": ("import os, sys\nif True:\n    pri", "NameError"),
    "in the middle of a line": ("import os\ndef main(", "SyntaxError"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["agent.sh", "health.sh"])
def test_files_of_the_package_are_damaged(launcher: Path, tmp_path: Path, damage: str, name: str) -> None:
    """What Python cannot load is stopped and probed by the shell as well; every other action says which file it is."""
    text, reason = DAMAGES[damage]
    modules = tmp_path / "current" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    modules.mkdir(parents=True)
    (tmp_path / "current" / "bin").mkdir()
    interpreter = Path(os.path.realpath(sys.executable))
    (tmp_path / "current" / "bin" / "python").symlink_to(interpreter)
    (tmp_path / "current" / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n", encoding="utf-8")
    if text is not None:
        for module in ("ocf_aws_ipfailover", "ocf_aws_ipfailover_health"):
            (modules / f"{module}.py").write_text(text, encoding="utf-8")
    path = launcher if name == "agent.sh" else written(tmp_path, name)
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    assert run(path, "stop", ip="192.168.10.10").returncode == 0
    assert addresses() == ([OWN] if name == "agent.sh" else [OWN, Held("eth0", "192.168.10.10/32", "eth0")])
    done = run(path, "meta-data", ip="192.168.10.10")
    assert done.returncode == 5
    (line,) = done.stderr.splitlines()
    assert "the package aws-ipfailover is damaged, reinstall it (" in line
    assert reason in line
