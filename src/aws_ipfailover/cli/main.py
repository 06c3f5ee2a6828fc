"""The entry point of the command `aws-ipfailover`. It loads also where click and rich are not installed."""

from __future__ import annotations

import sys

# What it needs is loaded below, where Ctrl-C is no traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence

_USAGE, _INTERRUPTED = 2, 130  # as in `group`, which needs click
_NEEDED = ("click", "rich")
_MISSING = (
    "the commands of aws-ipfailover need {missing}: pip install 'aws-ipfailover[cli]'"
    " (aws-ipfailover install, and the agent itself, work without)\n"
)


def command() -> None:
    """Run the command line of this process, and end the process with its exit code.

    At once where a thread goes on that was given up, or is not needed any more. It may be in OpenSSL, as one that loads
    certificate authorities, and OpenSSL frees at the end of a process what that thread reads: SIGSEGV would be the end.
    """
    code = main()
    # Behind the part in which an interrupt is no traceback.
    import os  # noqa: PLC0415 - see above
    import threading  # noqa: PLC0415 - see above

    if threading.active_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):  # nobody reads it any more, or it is closed
                pass
        os._exit(code)
    sys.exit(code)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; returns its exit code. `arguments`: without the program's name; by default the process's."""
    # While modules are loaded, too, and where there is no click.
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED


def _run(given: List[str]) -> int:
    from importlib.util import find_spec  # noqa: PLC0415 - see above

    empty = _empty(given)
    if empty:
        sys.stderr.write(f"{empty} is empty; is a variable of the shell not set?\n")
        return _USAGE
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if not missing:
        # What libraries warn of is not the administrator's. For the whole process, as several threads load them, and
        # `warnings.catch_warnings` is one thread's; python -W and PYTHONWARNINGS show it all the same.
        if not sys.warnoptions:
            import warnings  # noqa: PLC0415 - see above

            warnings.simplefilter("ignore")
        from aws_ipfailover.cli import group  # noqa: PLC0415 - needs click

        return group.run(given)
    if given[:1] == ["install"]:
        from aws_ipfailover.cli import install  # noqa: PLC0415 - see above

        return install.main(given[1:])
    sys.stderr.write(_MISSING.format(missing=" and ".join(missing)))
    return 1


def _empty(given: List[str]) -> str:
    """What of a command line is empty; empty if nothing is.

    An empty value would count as one that is not given: a policy for all accounts instead of one, an installation into
    the working directory. What the lab is given can be another program's command line.
    """
    if given[:1] == ["lab"]:
        return ""
    for number, one in enumerate(given):
        option, equals, value = one.partition("=")
        if option.startswith("--") and equals and not value.strip():
            return f"the value of {option}"
        if not one.strip():
            before = given[number - 1] if number else ""
            return f"the value of {before}" if before.startswith("--") else f"argument {number + 1}"
    return ""


if __name__ == "__main__":
    command()
