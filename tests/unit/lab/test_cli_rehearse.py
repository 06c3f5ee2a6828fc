"""What `lab rehearse` says to wrong input, and what it derives without a lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

CLI = [str(Path(sys.executable).with_name("aws-ipfailover")), "lab", "rehearse"]
DATA = Path(__file__).parents[2] / "lab" / "data" / "rehearsals"


@pytest.mark.parametrize(
    ("text", "arguments", "code", "sentence"),
    [
        ("primitive a Dummy", [], 1, "cluster.crm: there is no resource in it that moves an address"),
        ("nonsense\n", [], 1, "cluster.crm: line 1: 'nonsense' is no command of crm configure"),
        (
            "",
            ["--set", "x"],
            2,
            "Invalid value for '--set': NAME=VALUE, such as rtb-XYZ=rtb-0123456789abcdef0, not 'x'",
        ),
        ("", ["--token", "5"], 2, "Invalid value for '--token': milliseconds, 200 to 300000, not 5"),
        ("", ["--scenario", "nope"], 1, "there is no scenario 'nope' to rehearse; there are planned-move, "),
        ("", ["--corosync", "/proc/none"], 1, "cannot read /proc/none: No such file or directory"),
    ],
)
def test_wrong_input_is_a_sentence(text: str, arguments: List[str], code: int, sentence: str, tmp_path: Path) -> None:
    """With the exit code of its kind, nothing on standard output, and no lab."""
    (tmp_path / "cluster.crm").write_text(text, encoding="utf-8")
    done = subprocess.run([*CLI, "cluster.crm", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_the_lab_would_be_is_told_without_one() -> None:
    """For programs as JSON; passwords of commands that are not run are in neither."""
    done = subprocess.run(
        [*CLI, str(DATA / "hana-pcs.txt"), "--derive", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["nodes"]] == ["hana01", "hana02"]
    assert found["agent_under_test"] == ["heartbeat:aws-vpc-move-ip"]
    assert {one["agent"] for one in found["stand_ins"]} == {"ocf:heartbeat:SAPHana", "ocf:heartbeat:SAPHanaTopology"}
    assert "secret" not in done.stdout + done.stderr
    assert "Not run, line 3: pcs host auth ..." in done.stderr
