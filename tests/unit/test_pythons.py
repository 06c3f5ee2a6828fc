"""scripts/pythons, which `make pythons` and `make test` run: with interpreters that only note what they are asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Mapping, Optional

import pytest

ROOT = Path(__file__).parents[2]
# Notes its arguments beside the environment's name in the file `calls`. `python -m venv DIR` makes DIR/bin/python the
# same. It fails where the file `fails` has a line with exactly its arguments.
INTERPRETER = """#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
echo "${here##*/}: $*" >>"$TREE/calls"
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
case "$2" in *platform*) echo "the versions of ${here##*/}" ;; esac
! grep -qxF -e "$*" "$TREE/fails"
"""


# How each call of pip that installs from locks begins, and what installs the package itself.
LOCKED = "install --quiet --no-compile --require-hashes --only-binary :all:"
ITSELF = "install --quiet --no-deps --no-build-isolation --editable . --editable lab"
NEWEST = "--requirement requirements/lab.txt --requirement requirements/test.txt"
OLDEST = "--requirement requirements/oldest.txt"


class Checkout:
    """A directory with scripts/pythons and what it reads; interpreters are in `bin`, which is on PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "pythons", directory / "scripts")
        self.write("pyproject.toml", "")
        (directory / "requirements").mkdir()
        self.write("requirements/lab.txt", "")
        self.write("calls", "")
        self.write("fails", "")
        (directory / "bin").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def interpreter(self, path: str, text: str = INTERPRETER) -> Path:
        """An interpreter at a path below the directory; its absolute path."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file

    def run(
        self,
        pythons: Optional[str],
        *arguments: str,
        environ: Optional[Mapping[str, str]] = None,
        own_group: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run the script with PYTHONS set to `pythons`; with `own_group` what it kills is not these tests' group."""
        chosen = {} if pythons is None else {"PYTHONS": pythons}
        return subprocess.run(
            # A shell cannot trap a signal that was ignored when it began, as SIGINT is in the background of another.
            ["env", "--default-signal=INT,TERM", str(self.directory / "scripts" / "pythons"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            start_new_session=own_group,
            env={
                "PATH": f"{self.directory}/bin:/usr/bin:/bin",
                "HOME": str(self.directory),
                "TREE": str(self.directory),
                **chosen,
                **(environ or {}),
            },
        )

    def calls(self, module: str) -> List[str]:
        """The calls of `python -m module`: the environment and the arguments."""
        calls = (self.directory / "calls").read_text().splitlines()
        return [call.replace(f"-m {module} ", "") for call in calls if f": -m {module} " in call]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """With the interpreters pythona and pythonb."""
    made = Checkout(tmp_path)
    made.interpreter("bin/pythona")
    made.interpreter("bin/pythonb")
    return made


def test_each_interpreter_has_an_environment_with_its_sdk(checkout: Checkout) -> None:
    """The locks of the pair's SDK, newest by default, and then the package are installed into .venv/NAME-SDK."""
    done = checkout.run("pythona:oldest pythonb")
    assert done.returncode == 0, done
    assert checkout.calls("pip") == [
        f"pythona-oldest: {LOCKED} --requirement requirements/build.txt",
        f"pythona-oldest: {LOCKED} {OLDEST}",
        f"pythona-oldest: {ITSELF}",
        f"pythonb-newest: {LOCKED} --requirement requirements/build.txt",
        f"pythonb-newest: {LOCKED} {NEWEST}",
        f"pythonb-newest: {ITSELF}",
    ]


def test_an_sdk_without_a_lock_fails_it(checkout: Checkout) -> None:
    """The message says which there are, and nothing is installed."""
    done = checkout.run("pythona:1.26")
    assert done.returncode == 1, done
    assert "no SDK called 1.26, only oldest and newest" in done.stderr
    assert checkout.calls("pip") == []


def test_each_interpreter_runs_the_tests_of_the_library_and_the_agent(checkout: Checkout) -> None:
    """tests/unit and tests/agent are run by each environment's own interpreter."""
    checkout.run("pythona:oldest pythonb")
    assert checkout.calls("pytest") == [
        "pythona-oldest: -p no:cacheprovider --numprocesses 6 tests/unit tests/agent",
        "pythonb-newest: -p no:cacheprovider --numprocesses 6 tests/unit tests/agent",
    ]


def test_arguments_go_to_pytest(checkout: Checkout) -> None:
    """With arguments, pytest gets these instead of the two tiers."""
    checkout.run("pythona", "tests/unit", "-x")
    assert checkout.calls("pytest") == ["pythona-newest: -p no:cacheprovider --numprocesses 6 tests/unit -x"]


def test_the_summary_says_what_ran(checkout: Checkout) -> None:
    """The last lines name each pair with the versions it was run with."""
    done = checkout.run("pythona:oldest pythonb:newest")
    assert done.stdout.splitlines()[-3:] == [
        "make pythons ran tests/unit tests/agent with 2 of 2 pairs of Python and SDK:",
        "  pythona:oldest: passed with the versions of pythona-oldest",
        "  pythonb:newest: passed with the versions of pythonb-newest",
    ]


def test_the_interpreters_that_are_here_can_share_the_tests(checkout: Checkout) -> None:
    """Three quarters of the tests go to .venv, each of the others to one of these; the summary says so."""
    checkout.interpreter(".venv/bin/python")
    done = checkout.run("pythona:oldest python-missing:newest pythonb:newest", "--share", "tests/agent")
    assert sorted(checkout.calls("pytest")) == [
        ".venv: -p no:cacheprovider --numprocesses 4 --share 1-6/8 tests/agent",
        "pythona-oldest: -p no:cacheprovider --numprocesses 1 --share 7/8 tests/agent",
        "pythonb-newest: -p no:cacheprovider --numprocesses 1 --share 8/8 tests/agent",
    ]
    first, *summary = done.stdout.splitlines()[-5:]
    assert first.startswith(
        "make pythons ran tests/agent with 2 of 3 pairs of Python and SDK, three quarters of the tests with .venv"
    )
    assert summary == [
        "  python-missing:newest: not run: no python-missing that can make virtual environments on this machine",
        "  .venv: passed with the versions of .venv",
        "  pythona:oldest: passed with the versions of pythona-oldest",
        "  pythonb:newest: passed with the versions of pythonb-newest",
    ]


@pytest.mark.parametrize(
    ("at_once", "here", "each"), [("2", 2, ["1", "1", "1"]), ("9", 2, ["7", "1", "1"]), ("9", 1, ["7", "2"])]
)
def test_shares_are_run_at_the_same_time(checkout: Checkout, at_once: str, here: int, each: List[str]) -> None:
    """AT_ONCE is for all of them together, and each runs at least one test at a time."""
    checkout.interpreter(".venv/bin/python")
    checkout.run(" ".join(["pythona", "pythonb"][:here]), "--share", "tests/unit", environ={"AT_ONCE": at_once})
    assert [call.split("--numprocesses ")[1].split()[0] for call in sorted(checkout.calls("pytest"))] == each


def test_a_share_that_fails_fails_it(checkout: Checkout) -> None:
    """What its tests said is shown once it has ended, and the summary names it."""
    checkout.interpreter(".venv/bin/python")
    checkout.interpreter("bin/pythonb", f'{INTERPRETER}case "$2" in pytest) echo one failed; exit 1 ;; esac\n')
    done = checkout.run("pythona pythonb", "--share", "tests/unit")
    assert done.returncode == 1, done
    assert done.stdout.count("one failed") == 1
    assert "  pythona: passed with" in done.stdout
    assert "  pythonb: FAILED with" in done.stdout


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_a_signal_ends_all_shares(checkout: Checkout, signal: str) -> None:
    """TERM to the script alone, INT to its group as Ctrl-C sends it: what ran is interrupted, shown, and gone.

    Those beside .venv's interpreter wait for the interruption; .venv's has sent it once they have begun.
    """
    interrupted = f'{INTERPRETER}case "$2" in pytest) trap "echo interrupted; exit 2" INT; : >"$TREE/$$.begun"\n'
    for name in ("pythona", "pythonb"):
        checkout.interpreter(f"bin/{name}", f"{interrupted}for i in $(seq 400); do sleep 0.05; done ;; esac\n")
    begun = 'until [ "$(ls "$TREE" | grep -c begun)" = 2 ]; do sleep 0.05; done'
    kill = "kill -INT 0" if signal == "INT" else 'kill -TERM "$PPID"'
    checkout.interpreter(".venv/bin/python", f'{INTERPRETER}case "$2" in pytest) {begun}; {kill} ;; esac\n')
    done = checkout.run("pythona pythonb", "--share", "tests/unit", own_group=True)
    assert done.returncode == 130, done
    assert done.stdout.count("interrupted") == 2
    for file in checkout.directory.glob("*.begun"):
        assert not Path("/proc", file.stem).exists()


def test_without_other_interpreters_all_tests_are_the_share_of_this_one(checkout: Checkout) -> None:
    """.venv's interpreter runs every test where none of the others is here."""
    checkout.interpreter(".venv/bin/python")
    assert checkout.run("python-missing:newest", "--share", "tests/agent").returncode == 0
    assert checkout.calls("pytest") == [".venv: -p no:cacheprovider --numprocesses 6 tests/agent"]


def test_the_environments_can_be_made_before(checkout: Checkout) -> None:
    """`--prepare` makes those of the interpreters that are here, and runs no test; who runs tests then makes none."""
    done = checkout.run("pythona:oldest python-missing:newest pythonb", "--prepare")
    assert done.returncode == 0, done
    made = checkout.calls("pip")
    assert {call.split(":")[0] for call in made} == {"pythona-oldest", "pythonb-newest"}
    assert checkout.calls("pytest") == []
    checkout.run("pythona:oldest python-missing:newest pythonb")
    assert checkout.calls("pip") == made
    assert len(checkout.calls("pytest")) == 2


def test_one_that_cannot_be_made_before_is_told_by_who_runs_tests(checkout: Checkout) -> None:
    """`--prepare` itself succeeds: what it cannot make is tried again."""
    assert checkout.run("pythona:1.26", "--prepare").returncode == 0
    done = checkout.run("pythona:1.26")
    assert done.returncode == 1
    assert "FAILED: could not make its virtual environment .venv/pythona-1.26" in done.stdout


def test_every_test_is_in_one_share() -> None:
    """The shares of this file's own tests are all of them, and none twice."""

    def collected(*options: str) -> List[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", *options, __file__]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        return sorted(line for line in done.stdout.splitlines() if "::" in line)

    most, one, other = collected("--share", "1-4/6"), collected("--share", "5/6"), collected("--share", "6/6")
    assert most
    assert one
    assert other
    assert sorted(most + one + other) == collected()


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_missing_interpreter_is_said_and_left_out(checkout: Checkout, ci: str) -> None:
    """One line names it, the others run, and this is no failure, neither in CI."""
    done = checkout.run("python-missing:oldest pythonb:newest", environ={"CI": ci})
    assert done.returncode == 0, done
    (line,) = [line for line in done.stdout.splitlines() if "python-missing" in line]
    assert "not run" in line
    assert [call.split(":")[0] for call in checkout.calls("pytest")] == ["pythonb-newest"]


@pytest.mark.parametrize("pythons", ["", "python-missing:oldest"])
def test_that_nothing_ran_is_said(checkout: Checkout, pythons: str) -> None:
    """Without any interpreter the summary says that none ran."""
    done = checkout.run(pythons)
    assert done.returncode == 0, done
    assert " with 0 of " in done.stdout


@pytest.mark.parametrize("known_by", ["HOME", "PYENV_ROOT", "pyenv root"])
def test_an_interpreter_of_pyenv_is_found(checkout: Checkout, known_by: str) -> None:
    """pyenv's command on PATH, which fails unless that version is selected, is passed over for the version itself."""
    checkout.interpreter("bin/python-of-pyenv", "#!/bin/sh\nexit 127\n")
    root = ".pyenv" if known_by == "HOME" else "elsewhere"
    checkout.interpreter(f"{root}/versions/1.2.3/bin/python-of-pyenv")
    environ = {"PYENV_ROOT": str(checkout.directory / root)} if known_by == "PYENV_ROOT" else {}
    if known_by == "pyenv root":
        checkout.interpreter("bin/pyenv", f'#!/bin/sh\necho "{checkout.directory / root}"\n')
    done = checkout.run("python-of-pyenv", environ=environ)
    assert "with 1 of 1" in done.stdout, done


def test_an_interpreter_may_be_a_path(checkout: Checkout) -> None:
    """Its environment has the name of the file."""
    path = checkout.interpreter("somewhere/else/pythonc")
    checkout.run(f"{path}:oldest")
    assert [call.split(":")[0] for call in checkout.calls("pytest")] == ["pythonc-oldest"]


def test_failed_tests_fail_it(checkout: Checkout) -> None:
    """The summary says which pair failed, and the next pair is run all the same."""
    checkout.write("fails", "-m pytest -p no:cacheprovider --numprocesses 6 tests/unit tests/agent\n")
    checkout.interpreter("bin/pythonb", INTERPRETER.rsplit("!", 1)[0])
    done = checkout.run("pythona pythonb")
    assert done.returncode == 1, done
    assert "  pythona: FAILED with" in done.stdout
    assert "  pythonb: passed with" in done.stdout


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_a_signal_ends_it(checkout: Checkout, signal: str) -> None:
    """Interrupted during one pair's tests, it does not go on to the next."""
    checkout.interpreter("bin/pythona", f'{INTERPRETER}case "$2" in pytest) kill -{signal} "$PPID" ;; esac\n')
    done = checkout.run("pythona pythonb")
    assert done.returncode == 130, done
    assert [call.split(":")[0] for call in checkout.calls("pytest")] == ["pythona-newest"]


@pytest.mark.parametrize("failing", [f"{LOCKED} --requirement requirements/build.txt", f"{LOCKED} {OLDEST}", ITSELF])
def test_an_environment_that_cannot_be_made_fails_it(checkout: Checkout, failing: str) -> None:
    """That what a lock has or the package cannot be installed is a failure; tests are run by the other pair alone."""
    checkout.interpreter("bin/pythonb", INTERPRETER.rsplit("!", 1)[0])
    checkout.write("fails", f"-m pip {failing}\n")
    done = checkout.run("pythona:oldest pythonb:newest")
    assert done.returncode == 1, done
    assert "  pythona:oldest: FAILED: could not make" in done.stdout
    assert [call.split(":")[0] for call in checkout.calls("pytest")] == ["pythonb-newest"]


def test_an_environment_is_used_again(checkout: Checkout) -> None:
    """A second run installs nothing."""
    checkout.run("pythona")
    checkout.write("calls", "")
    done = checkout.run("pythona")
    assert "with 1 of 1" in done.stdout, done
    assert checkout.calls("pip") == []


@pytest.mark.parametrize("change", ["pyproject.toml", "requirements/lab.txt", "interpreter", "failed installation"])
def test_an_environment_is_made_again(checkout: Checkout, change: str) -> None:
    """After a change of pyproject.toml, of a lock or of the interpreter, or where its installation failed."""
    if change == "failed installation":
        checkout.write("fails", f"-m pip {LOCKED} {NEWEST}\n")
    checkout.run("pythona")
    checkout.write("calls", "")
    checkout.write("fails", "")
    if (checkout.directory / change).is_file():
        checkout.write(change, "# changed\n")
    path = checkout.interpreter("other/pythona") if change == "interpreter" else "pythona"
    checkout.run(str(path))
    assert [call for call in checkout.calls("pip") if call.endswith(ITSELF)] != []


def test_the_default_is_the_oldest_and_the_newest_python_that_are_promised(checkout: Checkout) -> None:
    """The first and the last of the package's classifiers, with the oldest and the newest SDK."""
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    first, last = f"python{promised[0]}", f"python{promised[-1]}"
    checkout.interpreter(f"bin/{first}")
    checkout.interpreter(f"bin/{last}")
    checkout.run(None)
    assert [call.split(":")[0] for call in checkout.calls("pytest")] == [f"{first}-oldest", f"{last}-newest"]


@pytest.mark.parametrize("result", [0, 1])
def test_it_is_part_of_make_test(checkout: Checkout, result: int) -> None:
    """`make test` without TESTS runs it, fails when it fails, and says at the end how each tier went."""
    shutil.copy(ROOT / "scripts" / "test", checkout.directory / "scripts")
    for command in ("python", "aws-ipfailover"):
        checkout.interpreter(f".venv/bin/{command}")
    stub = f'#!/bin/sh\necho the other Pythons\n[ "$1" = --all-here ] || exit {result}\n'
    checkout.interpreter("scripts/pythons", stub)
    environ = {"PATH": "/usr/bin:/bin", "TREE": str(checkout.directory)}
    script = checkout.directory / "scripts" / "test"
    done = subprocess.run([str(script)], check=False, capture_output=True, text=True, env=environ)
    assert done.returncode == result, done
    assert "the other Pythons" in done.stdout
    told = {line[2:26].strip(): line[27:33] for line in done.stdout.splitlines()[-6:]}
    outcome = "FAILED" if result else "passed"
    assert told == {
        "lab": "passed",
        "soak, 3 minutes": "passed",
        "aws, imds, kernel": "passed",
        "packages": "passed",
        "unit, Pythons": outcome,
        "agent, Pythons": outcome,
    }


@pytest.mark.parametrize("package", ["boto3", "requests"])
def test_the_oldest_sdk_that_is_tested_is_the_oldest_that_is_promised(package: str) -> None:
    """The dependency group `oldest` has the minor versions at which the package's dependencies begin."""
    text = (ROOT / "pyproject.toml").read_text()
    (promised,) = re.findall(rf'^dependencies = .*"{package}>=([\d.]+)"', text, re.MULTILINE)
    (tested,) = re.findall(rf'^oldest = .*"{package}==([\d.]+)"', text, re.MULTILINE)
    assert tested.startswith(f"{promised}.")


def test_whether_all_are_here_is_told_without_a_run(checkout: Checkout) -> None:
    """`--all-here`, by which `make test` decides what is left for its own interpreter."""
    checkout.interpreter("bin/pythona")
    checkout.interpreter("bin/pythonb")
    assert checkout.run("pythona:oldest pythonb", "--all-here").returncode == 0
    assert checkout.run("pythona:oldest pythonc", "--all-here").returncode == 1
    assert checkout.calls("pytest") == []
