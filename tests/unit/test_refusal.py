"""What is told where one of Pacemaker's programs fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_ipfailover.cli.main import main
from aws_ipfailover.ocf.refusal import refusal
from aws_ipfailover.programs import Done

# As seen with 2.1.5.
CIBADMIN = Done(
    102, "", "Could not connect to the CIB: Transport endpoint is not connected\nInit failed, could not perform\n\n"
)
CRM_MON = Done(
    4,
    """<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml">
  <status code="4" message="Insufficient privileges"><errors>
      <error>error: Could not connect to launcher: Permission denied</error>
      <error>crm_mon: Connection to cluster failed: Permission denied</error>
  </errors></status></pacemaker-result>""",
    "",
)
NOT_CONNECTED = "Could not connect to the CIB: Transport endpoint is not connected Init failed, could not perform"


@pytest.mark.parametrize(
    ("user", "done", "text"),
    [
        (0, CIBADMIN, f"tool fails (102): {NOT_CONNECTED}; Pacemaker does not answer on this node"),
        (9, CIBADMIN, f"tool fails (102): {NOT_CONNECTED}; Pacemaker answers root, so run this as root"),
        (
            9,
            CRM_MON,
            (
                "tool fails (4): error: Could not connect to launcher: Permission denied; crm_mon: Connection to"
                " cluster failed: Permission denied; Pacemaker answers root, so run this as root"
            ),
        ),
        (0, Done(108, "", "it exists"), "tool fails (108): it exists"),
        (0, Done(1, "<pacemaker-result", ""), "tool fails (1): <pacemaker-result"),
        (0, Done(1, "", "\x1b[31mred"), "tool fails (1): \\x1b[31mred"),
        (0, Done(1, "", ""), "tool fails (1)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_is_half_a_sentence(monkeypatch: pytest.MonkeyPatch, user: int, done: Done, text: str) -> None:
    """On one line, without the document around it, and with what to do where that is known."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert refusal("tool", done) == text


@pytest.mark.parametrize("verb", ["status", "plan", "where", "take"])
def test_without_pacemaker_it_says_what_to_type(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line: why the cluster does not answer, and that its configuration is not needed."""
    tool = tmp_path / "cibadmin"
    tool.write_text("#!/bin/sh\nprintf 'Could not connect\\n\\n' >&2\nexit 102\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main([verb, "ip_service"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "cibadmin fails (102): Could not connect; Pacemaker does not answer on this node; parameters of a resource can"
        " be typed as NAME=VALUE instead\n"
    )
