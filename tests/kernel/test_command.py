"""kernel/command.py against a real kernel, in a fresh network namespace."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Iterator

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
from aws_ipfailover.kernel.command import Ip, ip_path
from aws_ipfailover.kernel.kernel import Kernel
from sandbox import ip, make_interface, need_root, network_namespace

ADDRESS = ip_address("192.168.10.10")


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A fresh namespace with lo up and eth0."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", "02:00:00:00:00:01")
        yield


@pytest.fixture
def kernel() -> Kernel:
    """The kernel of this namespace."""
    return Kernel(Deadline(20))


def test_no_path_at_all(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PATH in the environment, `ip` is found where it usually is."""
    monkeypatch.delenv("PATH")
    assert os.path.isabs(ip_path())
    assert kernel.addresses.find([ADDRESS]) == []


def test_no_power(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the right to change addresses: DeniedError."""
    shim = tmp_path / "ip"
    shim.write_text('#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec unshare --user ip "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeniedError, match="root is needed"):
        kernel.addresses.add(ADDRESS, "eth0", None)
    assert kernel.addresses.find([ADDRESS]) == []


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("echo nonsense", UnknownError),
        ("echo '[{'", UnknownError),
        ("exit 3", Error),
        ("kill -9 $$", Error),
        ("exec sleep 30", UnknownError),
    ],
)
def test_a_broken_ip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, kind: type) -> None:
    """An `ip` that does not work is an error, never "not here"."""
    shim = tmp_path / "ip"
    shim.write_text(f"#!/bin/sh\n{script}\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(kind):
        Kernel(Deadline(0.5)).addresses.find([ADDRESS])


def test_the_locale_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Messages are read in the C locale, whatever the administrator's is."""
    shim = tmp_path / "ip"
    shim.write_text(
        '#!/bin/sh\n[ "$LC_ALL" = C ] && echo "Cannot find device eth7" >&2 || echo "Schnittstelle fehlt" >&2\nexit 1\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(NodeError, match="eth7"):
        Ip(Deadline(20)).run("link", "set", "dev", "eth7", "up")


@pytest.mark.parametrize("shown", ["{}", "7", "[1]", '"text"', "nonsense"])
def test_output_that_is_no_list_of_objects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: str) -> None:
    """UnknownError with the command: whoever reads it can rely on the shape."""
    shim = tmp_path / "ip"
    shim.write_text(f"#!/bin/sh\necho '{shown}'\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UnknownError, match="ip link show: its output is not a list in JSON"):
        Ip(Deadline(20)).json("link", "show")
