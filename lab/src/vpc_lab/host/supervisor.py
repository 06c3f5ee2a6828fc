"""What takes orders for a lab on a unix socket.

It lives in the lab's own namespaces (see `launcher`); when it ends, for whatever reason, so does everything else.
Orders are one JSON object on a line, `{"do": VERB, ...}`; the answer is one line, `{"ok": true, "result": …}` or
`{"ok": false, "error": "a sentence"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import threading
import traceback
from typing import Any, Callable, Dict, List, Mapping, Optional

from vpc_lab import examples
from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.iam.identity import Role
from vpc_lab.errors import LabError
from vpc_lab.faults import Fault
from vpc_lab.host import observation
from vpc_lab.host.rundir import RunDir
from vpc_lab.host.site import Site
from vpc_lab.settings import Settings

Values = Dict[str, Any]


class Supervisor:
    """The orders. Each may be given from any thread; what it raises as LabError or ApiError is for the user to read."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.ended = threading.Event()
        self._orders: Dict[str, Callable[..., object]] = {
            "status": self._status,
            "inject": self._inject,
            "heal": self._heal,
            "faults": self._faults,
            "calls": self._calls,
            "events": self._events,
            "values": self._values,
            "settle": site.cloud.account.settle,
            "power-off": self._power_off,
            "power-on": self._power_on,
            "administer": self._administer,
            "new-route-table": site.new_route_table,
            "elastic-ip": lambda: str(site.elastic_ip()),
            "put-role": self._put_role,
            "put-key": self._put_key,
            "down": self.ended.set,
        }

    def answer(self, order: Values) -> object:
        """Do what an order says; LabError with a sentence for the user if it cannot be done."""
        verb = str(order.pop("do", ""))
        if verb not in self._orders:
            raise LabError(f"the lab knows no order {verb!r}; it knows {', '.join(self._orders)}")
        return self._orders[verb](**order)

    def _status(self) -> Values:
        """What there is and how it is: a `Status`."""
        return observation.status(self._site).to_json()

    def _inject(self, fault: Mapping[str, Any], lasting: Optional[float] = None) -> int:
        """Put a fault in force, for so many seconds if given; its number."""
        return self._site.injector.inject(Fault.from_json(fault), lasting)

    def _heal(self, number: Optional[int] = None) -> List[int]:
        """Undo a fault, or with no number every one; the numbers of those that were in force."""
        if number is None:
            return self._site.injector.heal_all()
        return [number] if self._site.injector.heal(number) else []

    def _faults(self) -> List[Values]:
        """The faults in force."""
        return [one.to_json() for one in self._site.injector.in_force()]

    def _power_off(self, name: str) -> None:
        """Take an instance's power away: EC2 still calls it running. Nothing if it has none."""
        self._site.machines.id_of(name)
        self._site.machines.switch_off(name, "switched off")

    def _power_on(self, name: str) -> None:
        """Start an instance that failed or was stopped, with the disk it had."""
        instance_id = self._site.machines.id_of(name)
        try:
            self._site.cloud.start(instance_id)
        except TimeoutError as error:
            raise LabError(f"EC2 does not start {name}: {error}") from error
        self._site.machines.switch_on(name, "switched on")

    def _administer(self, action: str, parameters: Mapping[str, str]) -> None:
        """One EC2 call by an administrator who may do everything, whatever faults there are."""
        self._site.cloud.aws.api.administer(action, **parameters)
        self._site.cloud.account.settle()

    def _put_role(self, arn: str, trusted_accounts: List[str]) -> None:
        """A role that these accounts may assume, such as the owner of a shared VPC lends for its route tables."""
        self._site.cloud.account.identities.put_role(Role(arn, trusted_accounts=frozenset(trusted_accounts)))

    def _put_key(self, access_key_id: str, secret_access_key: str) -> None:
        """An access key of an IAM user who may do everything, as a fence device may have one."""
        self._site.cloud.account.identities.put_key(access_key_id, secret_access_key)

    def _values(self) -> Mapping[str, str]:
        """What this lab has for the placeholders of a configuration."""
        return examples.values_of(self._site.topology, self._site.cloud.account.route_table_ids)

    def _calls(self, since: float = 0.0, metadata: bool = False) -> List[Values]:
        """The API calls from the moment `since` on; those to IMDS only with `metadata`."""
        return self._site.cloud.calls(since, metadata=metadata)

    def _events(self, since: float = 0.0) -> List[Values]:
        """What happened from `since` on: power, faults, API calls."""
        found = [*self._site.events.since(since), *self._site.cloud.calls(since)]
        return sorted(found, key=lambda event: float(event["time"]))


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        supervisor: Supervisor = self.server.supervisor  # type: ignore[attr-defined]
        line = self.rfile.readline()
        if not line:
            return  # somebody only wanted to know whether we live, or who we are
        try:
            reply: Values = {"ok": True, "result": supervisor.answer(json.loads(line))}
        except (LabError, ApiError) as error:
            reply = {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - the user gets a sentence, the log the rest
            traceback.print_exc()
            reply = {"ok": False, "error": f"the lab failed at this: {type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _serve(supervisor: Supervisor, rundir: RunDir) -> None:
    server = _Server(str(rundir.socket), _Handler)
    rundir.socket.chmod(0o600)
    server.supervisor = supervisor  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()


def main(rundir: RunDir, spec: str) -> int:
    """Build a lab and serve it until it is told to end. Progress and the outcome go to standard output as JSON."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(rundir.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def tell(**what: object) -> None:
        # The holder may have stopped listening; that is no reason to stop.
        with contextlib.suppress(BrokenPipeError):
            report.write(json.dumps(what) + "\n")
            report.flush()

    try:
        settings = Settings.from_json(spec)
        site = Site(rundir, settings.topology(), settings)
        site.build(lambda text: tell(progress=text))
        supervisor = Supervisor(site)
        _serve(supervisor, rundir)
    except Exception as error:  # noqa: BLE001 - told to the holder, and in full to the log
        traceback.print_exc()
        tell(error=str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}")
        return 1
    tell(ready=True)
    with contextlib.suppress(OSError):
        report.close()
    supervisor.ended.wait()
    return 0
