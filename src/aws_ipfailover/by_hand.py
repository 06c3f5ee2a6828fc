"""The agent's actions by hand: the same engine, in the environment that Pacemaker would give it.

What is written is noted, the commands to the kernel and the calls of EC2 alike.
"""

from __future__ import annotations

import threading
from typing import Dict, List, Mapping, Optional, Sequence, Union

from aws_ipfailover.agent import Run
from aws_ipfailover.aws.writes import Made
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.memory import DEFAULT_DIRECTORY
from aws_ipfailover.ocf import AGENT, OCF_ROOT
from aws_ipfailover.ocf.action import Terminated, ended_by_signal
from aws_ipfailover.ocf.exit_codes import Exit
from aws_ipfailover.parameters import Values
from aws_ipfailover.redaction import keep_secret

_PREFIX = "OCF_RESKEY_"

# A call of EC2, or a command to the kernel as an argument list.
Written = Union[Made, Sequence[str]]


def environment(
    given: Mapping[str, str], environ: Mapping[str, str], timeout: Optional[float], resource_id: str = ""
) -> Dict[str, str]:
    """The environment that Pacemaker gives an agent for a resource with these parameters.

    The rest is that of `environ`, such as the settings of the AWS SDK. `timeout`: seconds, by default what the agent's
    metadata recommends. Facts: Pacemaker, `services_action_create`; ocf-directories of resource-agents.
    """
    made = {name: text for name, text in environ.items() if not name.startswith((_PREFIX, "OCF_RESOURCE"))}
    made.update({f"{_PREFIX}{name}": text for name, text in given.items()})
    made.setdefault("OCF_ROOT", OCF_ROOT)
    made.setdefault("HA_RSCTMP", DEFAULT_DIRECTORY)
    made.update(OCF_RA_VERSION_MAJOR="1", OCF_RA_VERSION_MINOR="1", OCF_RESOURCE_PROVIDER="heartbeat")
    made.update(OCF_RESOURCE_TYPE=AGENT)
    if resource_id:
        made["OCF_RESOURCE_INSTANCE"] = resource_id
    if timeout is not None:
        made[f"{_PREFIX}CRM_meta_timeout"] = str(int(timeout * 1000))
    return made


class Result:
    """How an action ended: `error` is `None` if it succeeded; `interrupted`: by a signal."""

    def __init__(self, error: Optional[Error], *, interrupted: bool = False) -> None:
        self.error = error
        self.interrupted = interrupted


class ByHand(Run):
    """One start or stop, by hand; `written`: what it has written so far, in order."""

    def __init__(self, action: str, environ: Mapping[str, str]) -> None:
        super().__init__(action, environ)
        keep_secret(environ.get(f"{_PREFIX}external_id"))
        self.written: List[Written] = []
        self._lock = threading.Lock()
        self._error: Optional[Error] = None
        self.kernel = Kernel(self.deadline, self._note)

    def connect(self, values: Values, deadline: Deadline) -> Context:
        """As `Run.connect`; the calls of EC2 are noted."""
        context = super().connect(values, deadline)
        same = context.role_ec2 is context.ec2
        context.ec2 = context.ec2.noted(self._note)
        context.role_ec2 = context.ec2 if same else context.role_ec2.noted(self._note)
        return context

    def code_of(self, error: Error) -> Exit:
        """As `Run.code_of`; the error is kept."""
        self._error = error
        return super().code_of(error)

    def carry_out(self) -> Result:
        """Perform the action. A signal ends it: a start is then undone in the kernel, as under Pacemaker.

        See `ocf.action.terminate_on_signals`, which the caller has to call before.
        """
        try:
            code, reason = self.perform()
        except Terminated:
            return Result(Error(ended_by_signal(self.action)[1]), interrupted=True)
        except RuntimeError as error:  # a defect, in a stop
            return Result(Error(f"{self.action}: {error}"))
        if code is Exit.SUCCESS:
            return Result(None)
        interrupted = (code, reason) == ended_by_signal(self.action)
        return Result(self._error or Error(reason), interrupted=interrupted)

    def _note(self, written: Written) -> None:
        with self._lock:
            self.written.append(written)
