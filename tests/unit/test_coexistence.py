"""coexistence.py: what else configures interfaces on this node, by its files."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

import pytest

from aws_ipfailover.coexistence import PROGRAMS, warnings
from aws_ipfailover.modes import MODES, mode_named

MAC = "06:aa:bb:cc:dd:ee"
WANTS = "etc/systemd/system/multi-user.target.wants"
# What shows each program at work, and what tells it to keep off.
SHOWN: Dict[str, Tuple[str, str, str]] = {
    "cloud-netconfig": (
        "usr/libexec/netconfig/netconfig.d/cloud-netconfig",
        "etc/default/cloud-netconfig",
        'CLOUD_NETCONFIG_MANAGE="no"\n',
    ),
    "amazon-ec2-net-utils": (
        "usr/bin/setup-policy-routes",
        "etc/systemd/network/10-service.network",
        f"[Match]\nMACAddress={MAC.upper()}\n\n[Link]\nUnmanaged=yes\n",
    ),
    "systemd-networkd": (
        f"{WANTS}/systemd-networkd.service",
        "etc/systemd/network/10-service.network",
        f"[Match]\nMACAddress=02:00:00:00:00:01 {MAC}\n[Link]\nUnmanaged=true\n",
    ),
    "NetworkManager": (
        f"{WANTS}/NetworkManager.service",
        "etc/NetworkManager/conf.d/service.conf",
        f"[keyfile]\nunmanaged-devices=interface-name:veth*;mac:{MAC}\n",
    ),
}


def put(root: Path, path: str, text: str = "") -> None:
    """A file below the root."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_a_node_with_none_of_them(tmp_path: Path) -> None:
    """Nothing is found and nothing said."""
    assert warnings(mode_named("eni"), MAC, tmp_path) == []


@pytest.mark.parametrize("name", SHOWN)
def test_each_is_named_with_its_remedy(tmp_path: Path, name: str) -> None:
    """One sentence; none any more once the program is told to keep off, also by an administrator's own file."""
    shown, settings, text = SHOWN[name]
    put(tmp_path, shown)
    (warning,) = warnings(mode_named("eni"), MAC, tmp_path)
    assert warning.startswith(f"{name} ")
    put(tmp_path, settings, f"# {text}" if "\n" not in text.strip() else text.replace(MAC, "").replace(MAC.upper(), ""))
    assert warnings(mode_named("eni"), MAC, tmp_path) == [warning]
    put(tmp_path, settings, text)
    assert warnings(mode_named("eni"), MAC, tmp_path) == []


@pytest.mark.parametrize("mode", ["overlay-ip", "private-ip", "eni"])
def test_nm_cloud_setup_concerns_every_mode(tmp_path: Path, mode: str) -> None:
    """It removes whatever metadata does not list; masked or not enabled it is no matter."""
    put(tmp_path, "usr/lib/systemd/system/nm-cloud-setup.timer")
    assert warnings(mode_named(mode), None, tmp_path) == []
    put(tmp_path, "etc/systemd/system/timers.target.wants/nm-cloud-setup.timer")
    (warning,) = warnings(mode_named(mode), None, tmp_path)
    assert "systemctl disable --now nm-cloud-setup.timer" in warning
    (tmp_path / "etc/systemd/system/nm-cloud-setup.timer").symlink_to("/dev/null")
    assert warnings(mode_named(mode), None, tmp_path) == []


def test_an_overlay_address_has_nothing_to_do_with_new_interfaces(tmp_path: Path) -> None:
    """networkd and NetworkManager matter to an interface that moves only."""
    for shown, _, _ in SHOWN.values():
        put(tmp_path, shown)
    assert warnings(mode_named("overlay-ip"), None, tmp_path) == []
    assert len(warnings(mode_named("eni"), MAC, tmp_path)) == len(SHOWN)


def test_the_mac_address_is_in_the_remedy(tmp_path: Path) -> None:
    """So that it can be copied; without one the placeholder stands."""
    put(tmp_path, SHOWN["NetworkManager"][0])
    assert f"unmanaged-devices=mac:{MAC}" in warnings(mode_named("eni"), MAC, tmp_path)[0]
    assert "unmanaged-devices=mac:MAC" in warnings(mode_named("eni"), None, tmp_path)[0]


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    """A directory in place of a settings file is passed over."""
    put(tmp_path, SHOWN["NetworkManager"][0])
    (tmp_path / "etc/NetworkManager/NetworkManager.conf").mkdir(parents=True)
    assert len(warnings(mode_named("eni"), MAC, tmp_path)) == 1


def test_every_program_that_a_mode_names_is_known() -> None:
    """A mode's row and the list of programs cannot drift apart: a name that is written wrongly would never warn."""
    assert {name for mode in MODES for name in mode.disturbed_by} == {program.name for program in PROGRAMS}
