"""The foundation of the commands: what main and the group do for each of them."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Callable, Iterator, List, Set

import click
import pytest
from jsonschema import Draft202012Validator
from requests.certs import where  # type: ignore[attr-defined]
from rich.console import Console
from rich.text import Text

from aws_ipfailover import __version__
from aws_ipfailover.cli import group, install, main, schema, screen
from aws_ipfailover.errors import DeniedError, Error, MissingError, ParameterError, ThrottledError, UnknownError
from running import running

PROGRAM = str(Path(sys.executable).with_name("aws-ipfailover"))
# Runs a command in a Python that has no module of the names in its first argument.
WITHOUT = """
import sys
for name in sys.argv[1].split():
    sys.modules[name] = None
from aws_ipfailover.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def paths(command: click.Command, *before: str) -> Iterator[List[str]]:
    """What is typed for each command below one, that one first."""
    yield list(before)
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None, name
                yield from paths(inner, *before, name)


# -- where click and rich are not installed ----------------------------------------------------------------------------


def without(modules: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where some modules are not installed."""
    argv = [sys.executable, "-c", WITHOUT, modules, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_install_needs_neither_click_nor_rich(tmp_path: Path) -> None:
    """The agent is installed, and removed, on a node that has only what the agent needs."""
    done = without("click rich", "install", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "usr/lib/ocf/resource.d/heartbeat/aws-ipfailover").is_file()
    assert without("click rich", "install", "--root", str(tmp_path), "--remove").returncode == 0
    refused = without("click rich", "install", "--as", "nonsense")
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)


@pytest.mark.parametrize("arguments", [["parameters"], ["lab", "up"], ["--help"], []], ids=str)
@pytest.mark.parametrize(
    ("modules", "named"), [("click", "click"), ("rich", "rich"), ("click rich", "click and rich")], ids=str
)
def test_other_commands_say_what_to_install(modules: str, named: str, arguments: List[str]) -> None:
    """One line with what is missing and how to install it, and exit code 1."""
    done = without(modules, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"the commands of aws-ipfailover need {named}: pip install 'aws-ipfailover[cli]'")


def test_warnings_of_libraries_are_not_the_administrators() -> None:
    """Whichever thread loads them; python -W shows them all the same."""
    code = "import warnings; from aws_ipfailover.cli.main import main; main(['--version']); warnings.warn('a library')"
    for options, shown in (([], False), (["-Wdefault"], True)):
        done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
        assert ("a library" in done.stderr) is shown


def test_an_interruption_without_click(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told as one line there, too."""

    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(install, "main", interrupted)
    assert main.main(["install"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


# -- commands of other packages ----------------------------------------------------------------------------------------


class Point:
    """An entry point."""

    def __init__(self, name: str, load: Callable[[], object]) -> None:
        self.name = name
        self.value = f"package.of.{name}"
        self.load = load


class Points(List[Point]):
    """What importlib.metadata hands out, of any Python."""

    def select(self, group: str) -> List[Point]:
        """The entry points of one group."""
        return list(self) if group == "aws_ipfailover.commands" else []


def damaged() -> object:
    """What importing a damaged package does."""
    raise ImportError("no module named 'gone'")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entry points that are no commands, and one that is."""
    found = Points([Point("broken", damaged), Point("old", lambda: print), Point("whole", lambda: _whole)])
    monkeypatch.setattr(metadata, "entry_points", lambda: found)


@click.command("whole", help="A command of another package.")
def _whole() -> int:
    click.echo("this one works")
    return 0


def test_without_the_lab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever follows `lab`, and as a failure."""
    monkeypatch.setattr(metadata, "entry_points", Points)
    for arguments in (["up", "--mode", "eni"], ["--help"], []):
        assert main.main(["lab", *arguments]) == 1
        assert "pip install aws-ipfailover-lab" in capsys.readouterr().err
    assert main.main(["--help"]) == 0
    assert "  lab " in capsys.readouterr().out


@pytest.mark.usefixtures("broken")
def test_a_package_that_does_not_load_leaves_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for its command, or for the list, is told why it is not there; nobody else is."""
    assert main.main(["parameters"]) == 0
    said = capsys.readouterr()
    assert "# Parameters of" in said.out
    assert said.err == ""
    assert main.main(["whole"]) == 0
    assert capsys.readouterr() == ("this one works\n", "")
    assert main.main(["broken"]) == 2
    assert "the command 'broken' does not load: ImportError: no module named 'gone'\n" in capsys.readouterr().err
    assert main.main(["--help"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^  whole +A command of another package\.$", said.out, re.MULTILINE)
    assert re.search(r"^  parameters, schema ", said.out, re.MULTILINE)
    assert said.err.splitlines() == [
        "the command 'broken' does not load: ImportError: no module named 'gone'",
        "the command 'old' does not load: package.of.old is no command of click",
    ]


def test_with_the_lab_its_verbs_are_there() -> None:
    """The lab's package adds its command by an entry point."""
    done = subprocess.run([PROGRAM, "lab", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "power-off" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["parameters"], ["vpc_lab", "boto3", "botocore"]),
        (["lab", "up", "--help"], ["vpc_lab.lab", "vpc_lab.topology", "moto", "boto3", "botocore"]),
    ],
    ids=str,
)
def test_a_command_loads_nothing_of_the_others(arguments: List[str], heavy: List[str]) -> None:
    """Neither the lab for a command of the agent, nor for its help what the lab is made of."""
    script = (
        "import sys\nfrom aws_ipfailover.cli.main import main\n"
        "main(sys.argv[1:])\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert set(done.stderr.splitlines()) & set(heavy) == set()


# -- the end of the process --------------------------------------------------------------------------------------------

# What a command leaves that has its answer before it has the certificate authorities: threads in OpenSSL.
LOADING = """
import ssl, sys, threading
from aws_ipfailover.cli import main
began = threading.Event()
def load():
    while True:
        began.set()
        ssl.create_default_context(cafile=sys.argv[1])
def answered():
    for _ in range(3):
        threading.Thread(target=load, daemon=True).start()
    began.wait()
    sys.stdout.write("the answer")
    return 7
main.main = answered
main.command()
"""


def test_a_thread_that_goes_on_does_not_crash_the_end_of_a_command() -> None:
    """Its exit code is the command's, and all is printed; Python's own end crashes every other such process."""
    begun = [
        subprocess.Popen([sys.executable, "-c", LOADING, where()], stdout=subprocess.PIPE, text=True) for _ in range(12)
    ]
    ended = [(one.communicate(timeout=60)[0], one.returncode) for one in begun]
    assert ended == [("the answer", 7)] * 12


# -- exit codes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Make `aws-ipfailover odd` a command that does something."""

    def make(does: Callable[[], object]) -> None:
        module = ModuleType("odd_command")
        vars(module)["command"] = click.Command("odd", callback=does)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(group._OWN, "odd", module.__name__)

    return make


Make = Callable[[Callable[[], object]], None]


def raising(error: BaseException) -> Callable[[], object]:
    """A function that raises this."""

    def fail() -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Error("it failed"), 1),
        (DeniedError("not root"), 1),
        (MissingError("no program 'ip'"), 1),
        (ParameterError("ip is empty"), 2),
        (UnknownError("no answer"), 3),
        (ThrottledError("too many calls"), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_library_is_one_sentence(
    command_that: Make, capsys: pytest.CaptureFixture[str], error: Error, code: int
) -> None:
    """On standard error; what could not be found out has an exit code of its own."""
    command_that(raising(error))
    assert main.main(["odd"]) == code
    assert capsys.readouterr() == ("", f"{error}\n")


@pytest.mark.parametrize(("returned", "code"), [(0, 0), (1, 1), (3, 3), (None, 0), ("text", 0)])
def test_the_exit_code_is_what_the_command_returns(command_that: Make, returned: object, code: int) -> None:
    """A command that returns no number has succeeded."""
    command_that(lambda: returned)
    assert main.main(["odd"]) == code


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=lambda error: type(error).__name__)
def test_an_interrupted_command_is_told_in_one_line(
    command_that: Make, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Ctrl-C, in a command or at its question: exit code 130."""
    command_that(raising(error))
    assert main.main(["odd"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_ctrl_c_at_a_process() -> None:
    """SIGINT ends it as Ctrl-C would: one line, no traceback."""
    script = """
import signal, sys
import click
from aws_ipfailover.cli import group, main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children ignore it
def wait():
    print("ready", flush=True)
    signal.pause()
sys.modules["odd_command"] = type(sys)("odd_command")
sys.modules["odd_command"].command = click.Command("odd", callback=wait)
group._OWN["odd"] = "odd_command"
sys.exit(main.main(["odd"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "interrupted\n")
    assert process.returncode == 130


# Presses Ctrl-C when a module is loaded that not every Python has loaded at its start.
WHILE_LOADING = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("aws_ipfailover.cli.") and name != "aws_ipfailover.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from aws_ipfailover.cli.main import main
sys.exit(main(["parameters"]))
"""


def test_ctrl_c_while_it_loads() -> None:
    """The first tenths of a second are no exception: one line, no traceback."""
    done = subprocess.run([sys.executable, "-c", WHILE_LOADING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "error", [UnknownError("\x1b[31mno\n\x9banswer\u202e"), click.UsageError("\x1b[31mno\n\x9banswer\u202e")], ids=str
)
def test_what_an_error_quotes_is_no_escape_of_a_terminal(
    command_that: Make, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """An error can quote another program, EC2, or what somebody has called a resource."""
    command_that(raising(error))
    main.main(["odd"])
    said = capsys.readouterr().err
    assert said.replace("\n", "").isprintable()
    assert said.endswith("no\n\\x9banswer\\u202e\n")


@pytest.mark.parametrize("arguments", [["parameters"], ["doctor", "--list"], ["doctor", "--list", "--json"]], ids=str)
def test_a_full_disk_is_a_sentence(arguments: List[str]) -> None:
    """Exit code 3: nobody has found out anything."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "the output cannot be written: No space left on device\n"
    assert done.returncode == 3


def test_a_file_that_cannot_be_written_is_a_sentence(command_that: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name, and what the kernel says."""
    command_that(raising(OSError(28, "No space left on device", "/tmp/picture.svg")))
    assert main.main(["odd"]) == 3
    assert capsys.readouterr() == ("", "/tmp/picture.svg: No space left on device\n")


@pytest.mark.parametrize("arguments", [["parameters"], ["doctor", "--list"]], ids=str)
def test_a_caller_may_have_closed_its_streams(arguments: List[str]) -> None:
    """As `>&-` in a shell does, or a service without them."""
    command = [PROGRAM, *arguments]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-15"])
def test_a_terminal_need_not_know_every_character(encoding: str) -> None:
    """A character that its encoding does not have is escaped, and is no error."""
    script = """
import sys
import click
from aws_ipfailover.cli import group, main
sys.modules["odd_command"] = type(sys)("odd_command")
sys.modules["odd_command"].command = click.Command("odd", callback=lambda: print("cut\u2026"))
group._OWN["odd"] = "odd_command"
sys.exit(main.main(["odd"]))
"""
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "cut\\u2026\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "No such command 'nope'."),
        (["parameters", "--nope"], "No such option"),
        (["schema", "nope"], "there is no schema 'nope'"),
        (["lab", "up", "--nodes", "4"], "Invalid value for '--nodes'"),
    ],
    ids=str,
)
def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str], arguments: List[str], sentence: str) -> None:
    """Exit code 2, and nothing on standard output."""
    assert main.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["iam-policy", "--mode", "eni", "--account", ""], "the value of --account"),
        (["iam-policy", "--mode=eni", "--account="], "the value of --account"),
        (["advise", "--consumers", " "], "the value of --consumers"),
        (["watch", "127.0.0.1", "--for", "0.1", "--record", ""], "the value of --record"),
        (["install", "--root", ""], "the value of --root"),
        (["doctor", ""], "argument 2"),
        (["drill", "ip_service", ""], "argument 3"),
        ([""], "argument 1"),
    ],
    ids=str,
)
def test_an_empty_argument_is_none_that_is_left_out(
    capsys: pytest.CaptureFixture[str], arguments: List[str], named: str
) -> None:
    """It comes of a variable that is not set: a policy for all accounts, or files in this directory, are not meant."""
    assert main.main(arguments) == 2
    assert capsys.readouterr() == ("", f"{named} is empty; is a variable of the shell not set?\n")


def test_an_empty_argument_without_click() -> None:
    """As where it is there."""
    done = without("click rich", "install", "--root", "")
    assert (done.returncode, done.stderr) == (2, "the value of --root is empty; is a variable of the shell not set?\n")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        *(["doctor", "--timeout"], ["plan", "--timeout"], ["where", "--timeout"], ["take", "--timeout"]),
        *(["release", "--timeout"], ["drill", "--wait"], ["drill", "--allowed"], ["status", "--interval"]),
        *(["watch", "127.0.0.1", "--for"], ["watch", "127.0.0.1", "--interval"], ["watch", "127.0.0.1", "--timeout"]),
        *(["watch", "127.0.0.1", "--allowed"], ["advise", "--seconds"]),
    ],
    ids=" ".join,
)
def test_seconds_are_finite(capsys: pytest.CaptureFixture[str], arguments: List[str], number: str) -> None:
    """`nan` is in every range, and nothing can be waited for until then."""
    assert main.main([*arguments, number]) == 2
    assert number in capsys.readouterr().err


def test_without_arguments_the_help_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that forgot its arguments has not succeeded."""
    assert main.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "  parameters, schema " in said.err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"aws-ipfailover {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["parameters"], ["doctor", "--list"], ["--help"], ["lab", "--help"], ["lab", "scenarios", "--list"]],
    ids=str,
)
def test_a_reader_that_is_gone_is_no_error(arguments: List[str]) -> None:
    """As in `aws-ipfailover parameters | head -1`: exit code 0, and no word of it."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([PROGRAM, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_exit_code_is_an_answer_also_where_nobody_reads(stream: str) -> None:
    """As in `aws-ipfailover where … | head -1`, which told that all is well."""
    reader, writer = os.pipe()
    os.close(reader)
    environ = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere"}
    argv = [PROGRAM, "where", "ip=192.0.2.1", "routing_table=auto", "profile=nobody", "region=eu-central-1"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        done = subprocess.run(argv, text=True, check=False, env=environ, timeout=60, **streams)  # type: ignore[call-overload]
    finally:
        os.close(writer)
    assert done.returncode == 3
    assert not done.stderr


def test_what_goes_on_for_ever_ends_where_nobody_reads() -> None:
    """As in `aws-ipfailover watch … | head -1`."""
    argv = [PROGRAM, "watch", "127.0.0.1", "--tcp", "1", "--interval", "0.05", "--record", "-"]
    with running(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 3
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_connection_that_breaks_is_no_reader_that_is_gone(
    command_that: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that lost its connection to something else could not find out."""
    command_that(raising(BrokenPipeError(32, "Broken pipe")))
    assert main.main(["odd"]) == 3
    assert "Broken pipe" in capsys.readouterr().err


# -- help and completion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [*paths(group.command), ["lab", "up", "--help-ec2"]], ids=lambda words: " ".join(words) or "itself"
)
def test_help_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: List[str]
) -> None:
    """80 columns and 24 lines, the last of which is the prompt; with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    asked = arguments if "--help-ec2" in arguments else [*arguments, "--help"]
    assert main.main(asked) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any("aws-ipfailover" in line and not line.startswith("Usage:") for line in lines), "no example"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    """It completes by asking the command itself."""
    monkeypatch.setenv("_AWS_IPFAILOVER_COMPLETE", f"{shell}_source")
    assert main.main([]) == 0
    said = capsys.readouterr()
    assert f"_AWS_IPFAILOVER_COMPLETE={shell}_complete" in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["par"], {"parameters"}),
        (["lab", "fau"], {"fault", "faults"}),
        (["lab", "power"], {"power-off", "power-on"}),
        (["lab", "fault", "route-"], {"route-lag", "route-changed", "route-deleted", "route-table-deleted"}),
        (["lab", "up", "--mode", ""], {"overlay-ip", "eni", "private-ip"}),
        (["lab", "up", "--at"], {"--attach"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shell: str,
    words: List[str],
    expected: Set[str],
) -> None:
    """Names of commands, of the lab's verbs and faults, options and their values."""
    typed = ["aws-ipfailover", *words]
    monkeypatch.setenv("_AWS_IPFAILOVER_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(typed))
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
    main.main([])
    lines = capsys.readouterr().out.splitlines()
    if shell == "zsh":  # kind, name and help, a line each
        found = set(lines[1::3])
    else:
        found = {re.split(r"[,\t]", line)[1] for line in lines if line.startswith("plain,")} or set(lines[1::3])
    assert found == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes() -> None:
    """The script that bash reads offers the verbs of the lab."""
    script = (
        'eval "$(_AWS_IPFAILOVER_COMPLETE=bash_source aws-ipfailover)"'
        " && COMP_WORDS=(aws-ipfailover lab sce) COMP_CWORD=2"
        ' && _aws_ipfailover_completion aws-ipfailover && echo "${COMPREPLY[@]}"'
    )
    path = f"{Path(PROGRAM).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("scenarios\n", "")


# -- schemas -----------------------------------------------------------------------------------------------------------


def test_schemas_are_listed_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the files are; where there is none, the list is empty."""
    monkeypatch.setattr(schema, "_DIRECTORY", tmp_path / "none")
    assert main.main(["schema"]) == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(schema, "_DIRECTORY", tmp_path)
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(f'{{"title": "{name}"}}\n', encoding="utf-8")
    assert main.main(["schema"]) == 0
    assert capsys.readouterr().out == "a\nb\n"
    assert main.main(["schema", "b"]) == 0
    assert capsys.readouterr().out == '{"title": "b"}\n'
    for name in ("c", "../a", "a.json"):
        assert main.main(["schema", name]) == 2
        assert "there are: a, b" in capsys.readouterr().err


def test_every_schema_is_one_and_describes_a_command() -> None:
    """Of JSON Schema's edition 2020-12; its name is a command's, or that of one with its option."""
    for name, file in schema.schemas().items():
        document = json.loads(file.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(document)
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema", name
        assert name in group._OWN or name.rpartition("-")[0] in group._OWN


def test_a_document_says_which_schema_it_fits(capsys: pytest.CaptureFixture[str]) -> None:
    """So that whoever keeps it knows later."""
    screen.write_json("odd", {"value": 1})
    assert json.loads(capsys.readouterr().out) == {"schema": "aws-ipfailover/odd/1", "value": 1}


def test_a_document_has_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and tags can have any character; JSON by itself escapes those below the blank alone."""
    name = "\x1b[31m\x9b31m\x7f\u202e\udc80"
    screen.write_json("where", {"name": name})
    screen.write_json_line("where", {"name": name})
    said = capsys.readouterr().out
    assert said.replace("\n", "").isascii()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", said)
    assert json.loads(said.splitlines()[-1])["name"] == name


def test_a_command_to_paste_is_quoted_last() -> None:
    """What stands for a secret is no pattern that a shell replaces by the names of files, and an escape stays one."""
    arguments = ["aws", "--id", "AKIAIOSFODNN7EXAMPLE", "a b", "$(id)", "x'y", "\x1b[31m", "two\nlines"]
    said = screen.command_line(arguments)
    assert said.isprintable()
    assert shlex.split(said) == ["aws", "--id", "***", "a b", "$(id)", "x'y", "\\x1b[31m", "two lines"]
    assert "'***'" in said


def test_every_command_of_this_package_is_in_the_list_of_the_help() -> None:
    """Also one that was added since: the list is written by hand, so that it fits a terminal."""
    assert {name for names, _ in group._LIST for name in names} == set(group._OWN)


@pytest.mark.parametrize("width", [24, 40, 1000])
def test_further_lines_of_a_text_are_indented_on_a_terminal(width: int) -> None:
    """No line is too long, no word is lost, and styles stay; a text that fits is one line."""
    text = Text(" 3  EC2 ReplaceRoute: route 192.168.10.10/32 in rtb-0ed1351a48233ac81").append("; permitted", "green")
    out = io.StringIO()
    screen.hanging(Console(file=out, force_terminal=True, color_system="standard", width=width), text, 4)
    plain = Text.from_ansi(out.getvalue())
    first, *further = plain.plain.splitlines()
    assert first.startswith(" 3  EC2")
    assert all(line.startswith("    ") and not line.startswith("     ") for line in further)
    assert max(map(len, (first, *further))) <= width
    assert "".join(plain.plain.split()) == "".join(text.plain.split())
    assert bool(further) == (width < len(text.plain))
    assert "\x1b[32m" in out.getvalue()  # green


def test_elsewhere_a_text_is_one_line() -> None:
    """So that one can grep."""
    out = io.StringIO()
    screen.hanging(Console(file=out, width=1000), Text(" 3  " + "word " * 50 + "end"), 4)
    assert out.getvalue() == " 3  " + "word " * 50 + "end\n"
