"""Keeps the faults of a lab in force: each with a number, from its injection until it is healed or ends by itself."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type

from vpc_lab import faults
from vpc_lab.ec2.cloud import Cloud
from vpc_lab.ec2.errors import ApiError
from vpc_lab.errors import LabError
from vpc_lab.fabric.kernel import Fabric
from vpc_lab.fabric.ruleset import Cuts
from vpc_lab.faults import Fault, InForce
from vpc_lab.host.event_log import EventLog
from vpc_lab.host.injection import inside
from vpc_lab.host.injection.calls import of_api
from vpc_lab.host.injection.conditions import Conditions, Lags, Places, combined
from vpc_lab.host.injection.drift import Drift
from vpc_lab.host.injection.inside import FullDisk, Undo
from vpc_lab.host.machines import Machines

# Seconds that healing waits for the services of an instance that reboots.
_REBOOT_SECONDS = 60.0
_OFF = (faults.Crash, faults.GracefulStop)
_RESOURCE_ID = re.compile(r"[a-z-]+-[0-9a-f]{8,}")


@dataclass
class _Entry:
    """A fault in force, and what it takes to heal it. `boot`: process 1 of the instance with which it ends."""

    told: InForce
    fault: Fault
    undo: Undo
    boot: Optional[Tuple[str, int]] = None
    timer: Optional[threading.Timer] = None


def _nothing() -> None:
    """What undoes a fault that is nothing but a condition."""


class Injector:
    """The faults in force. Each method may be called from any thread.

    What a fault does by itself it does outside the lock, because some of it takes long, and EC2's own switches report
    here meanwhile. What all of them cause together is computed, and made so, under the lock.
    """

    def __init__(
        self,
        machines: Machines,
        cloud: Cloud,
        fabric: Fabric,
        events: EventLog,
        places: Places,
        base: Lags,
        *,
        moving: Optional[str] = None,
        dead_indexes: bool = False,
    ) -> None:
        """`base`, `dead_indexes`: what the lab was brought up with; `moving`: the ENI that moves, if there is one."""
        self._machines = machines
        self._cloud = cloud
        self._fabric = fabric
        self._events = events
        self._places = places
        self._base = base
        self._moving = moving
        self._dead_indexes = dead_indexes
        self._drift = Drift(cloud.account, machines.ids)
        self._lock = threading.RLock()
        self._entries: Dict[int, _Entry] = {}
        self._last = 0
        self._reboots: Dict[int, threading.Event] = {}
        self._full: Dict[Tuple[str, str], FullDisk] = {}
        self._begin: Mapping[Type[Fault], Callable[[int, Any], Undo]] = {
            faults.Crash: self._crash,
            faults.Reboot: self._reboot,
            faults.GracefulStop: self._stop,
            faults.CpuHogged: lambda _, fault: inside.hog(machines.powered(fault.node)),
            faults.RouteChanged: self._change_route,
            faults.RouteDeleted: self._delete_route,
            faults.RouteTableDeleted: self._delete_table,
            faults.SourceDestCheck: self._switch_check,
            faults.AddressTaken: self._take_address,
            faults.EniDetached: self._detach_eni,
            faults.AddressRemoved: lambda _, fault: inside.remove_address(
                machines.powered(fault.node), fault.address, lambda: list(machines.instances.values())
            ),
            faults.RulesRemoved: lambda _, fault: inside.remove_rules(machines.powered(fault.node)),
            faults.ExpiredCredentials: self._expire,
        }

    @property
    def zones(self) -> Tuple[str, ...]:
        """The availability zones that can be cut off."""
        return self._places.zones

    def add_instance(self, name: str, zone: str) -> None:
        """One more instance that can be cut off, in this availability zone."""
        with self._lock:
            known = self._places
            zones = tuple(dict.fromkeys((*known.zones, zone)))
            self._places = replace(known, instances=(*known.instances, name), zones=zones)

    def in_force(self) -> Tuple[InForce, ...]:
        """The faults in force, in the order of their numbers."""
        with self._lock:
            return tuple(self._entries[number].told for number in sorted(self._entries))

    def inject(self, fault: Fault, lasting: Optional[float] = None) -> int:
        """Put a fault in force, for so many seconds if given; its number.

        LabError where it cannot be in this lab, or not now; nothing is left of it then.
        """
        if lasting is not None and not 0 < lasting < threading.TIMEOUT_MAX:
            raise LabError("a fault lasts a number of seconds, more than 0")
        effective = self._resolved(fault)
        self._check_names(effective)
        with self._lock:
            self._last += 1
            number = self._last
            self._combine(effective)  # so that one that nobody understands is refused before anything happens
        now = time.time()
        told = InForce(number, fault, now, None if lasting is None else now + lasting)
        # Before it happens: what it causes, such as power that goes, is told after it.
        self._events.add("fault", number=number, name=fault.name, parameters=fault.values(), lasting=lasting)
        try:
            boot = self._boot_of(effective)
            undo = self._do(number, effective)
            with self._lock:
                self._entries[number] = _Entry(told, effective, undo, boot)
                try:
                    self._apply()
                except BaseException:
                    del self._entries[number]
                    undo()
                    self._apply()
                    raise
        except BaseException as error:
            self._told_over(told, f"it could not be: {error}")
            raise
        self._arm(number, lasting)
        if number in self._reboots:
            threading.Thread(target=self._await_reboot, args=(number,), name=f"reboot-{number}", daemon=True).start()
        self._end_without_power()
        return number

    def heal(self, number: int, why: str = "") -> bool:
        """Undo a fault; False if that has been done. LabError for a number that no fault ever had.

        One that cannot be undone stays in force.
        """
        with self._lock:
            if not 0 < number <= self._last:
                raise LabError(f"there never was a fault {number} in this lab")
            entry = self._entries.pop(number, None)
        if entry is None:
            return False
        if entry.timer is not None:
            entry.timer.cancel()
        try:
            entry.undo()
            with self._lock:
                self._apply()
        except BaseException:
            with self._lock:
                self._entries[number] = entry
            raise
        self._told_over(entry.told, why)
        return True

    def heal_all(self) -> List[int]:
        """Undo every fault, the latest first; the numbers. LabError with what stays in force, and why."""
        failed: List[str] = []
        healed: List[int] = []
        for one in reversed(self.in_force()):
            try:
                if self.heal(one.number):
                    healed.append(one.number)
            except (LabError, TimeoutError) as error:
                failed.append(f"fault {one.number} ({one.fault.name}) is not healed: {error}")
        if failed:
            raise LabError("; ".join(failed))
        return healed

    def power_lost(self, _: str) -> None:
        """An instance has lost its power: faults that are of its running system are over."""
        self._end_without_power()

    # -- what each fault does ------------------------------------------------------------------------------------------

    def _do(self, number: int, fault: Fault) -> Undo:
        begin = self._begin.get(type(fault))
        if begin is not None:
            return begin(number, fault)
        account = self._cloud.account
        of_calls = of_api(fault, lambda name: str(account.instance(name).address))
        if of_calls is None:
            return _nothing
        put = self._cloud.aws.faults.add(of_calls)
        return lambda: self._cloud.aws.faults.remove(put)

    def _crash(self, _: int, fault: faults.Crash) -> Undo:
        self._machines.powered(fault.node)
        self._machines.switch_off(fault.node, "failed")
        return lambda: self._power_on(fault.node)

    def _stop(self, _: int, fault: faults.GracefulStop) -> Undo:
        instance_id = self._machines.id_of(fault.node)
        state = self._cloud.state(instance_id)
        if state != "running":
            raise LabError(f"{fault.node} is {state}")
        flags = {"Force": fault.force, "SkipOsShutdown": fault.skip_os_shutdown}
        asked = {flag: "true" for flag, given in flags.items() if given}
        with self._lock:
            # The conditions say so once this is in force, and EC2 looks at it in this call.
            self._cloud.account.shut_down_first.add(instance_id)
            self._cloud.aws.api.administer("StopInstances", InstanceId=instance_id, **asked)
        return lambda: self._power_on(fault.node)

    def _power_on(self, name: str) -> None:
        with self._lock:
            if any(isinstance(one.fault, _OFF) and one.fault.node == name for one in self._entries.values()):
                return
        try:
            self._cloud.start(self._machines.id_of(name))
        except TimeoutError as error:
            raise LabError(f"EC2 does not start {name}: {error}") from error
        self._machines.switch_on(name, "recovered")

    def _reboot(self, number: int, fault: faults.Reboot) -> Undo:
        done = self._reboots[number] = self._machines.reboot(fault.node)

        def undo() -> None:
            if not done.wait(_REBOOT_SECONDS):
                self._machines.switch_off(fault.node, "its services do not end")
                self._machines.switch_on(fault.node, "its services do not end")

        return undo

    def _await_reboot(self, number: int) -> None:
        done = self._reboots.pop(number, None)
        if done is not None:
            done.wait()
            self._heal_quietly(number, "it is up again")

    def _change_route(self, number: int, fault: faults.RouteChanged) -> Undo:
        self._drift.change_route(number, fault)
        return lambda: self._drift.restore_routes(number)

    def _delete_route(self, number: int, fault: faults.RouteDeleted) -> Undo:
        self._drift.delete_route(number, fault)
        return lambda: self._drift.restore_routes(number)

    def _delete_table(self, _: int, fault: faults.RouteTableDeleted) -> Undo:
        table_id = self._drift.delete_table(fault.table)
        return lambda: self._drift.restore_table(table_id)

    def _switch_check(self, number: int, fault: faults.SourceDestCheck) -> Undo:
        self._drift.check(number, fault.node)
        return lambda: self._drift.restore_check(number)

    def _take_address(self, number: int, fault: faults.AddressTaken) -> Undo:
        self._drift.take_address(number, fault)
        return lambda: self._drift.restore_address(number)

    def _detach_eni(self, _: int, __: faults.EniDetached) -> Undo:
        account, api = self._cloud.account, self._cloud.aws.api
        eni = self._moving
        if eni is None:
            raise LabError("this lab has no network interface that moves: mode eni has one")
        held = account.world.interfaces[eni].attachment
        if held is None:
            raise LabError(f"{eni} is attached to no instance")
        try:
            api.administer("DetachNetworkInterface", AttachmentId=held.attachment_id, Force="true")
        except ApiError as error:
            raise LabError(f"{eni} cannot be detached: {error}") from None

        def undo() -> None:
            if account.world.interfaces[eni].attachment is None:
                index = str(held.device_index)
                # Whoever has taken it, or the index, meanwhile is left alone.
                with contextlib.suppress(ApiError):
                    api.administer(
                        "AttachNetworkInterface", NetworkInterfaceId=eni, InstanceId=held.instance_id, DeviceIndex=index
                    )

        return undo

    def _expire(self, _: int, fault: faults.ExpiredCredentials) -> Undo:
        with self._lock:
            renewing = self._combine(fault).renewing
        self._cloud.account.identities.expire(renew=renewing)
        return _nothing

    # -- what all of them cause together -------------------------------------------------------------------------------

    def _combine(self, *more: Fault) -> Conditions:
        held = [entry.fault for _, entry in sorted(self._entries.items())]
        return combined([*held, *more], self._places, self._base, dead_indexes=self._dead_indexes)

    def _apply(self) -> None:
        """Make everything as the faults in force have it."""
        now, account = self._combine(), self._cloud.account
        self._fabric.cut(Cuts(now.cuts))
        self._fabric.delay_routes(now.lags.routes)
        account.timing = replace(account.timing, remap=now.lags.remap, imds_address_lag=now.lags.imds)
        account.consistency = now.consistency
        account.identities.instance_policies = now.policies
        if now.renewing and not account.identities.renewing:
            account.identities.renew()
        account.imds_disabled = set(now.imds_off)
        if self._moving is not None and now.stuck_detach:
            account.stuck_detach.add(self._moving)
        elif self._moving in account.stuck_detach:
            self._cloud.aws.api.detaches_again(self._moving)
        account.dead_indexes_after_force = now.dead_indexes
        account.shut_down_first = {self._machines.ids[name] for name in now.shut_down_first}
        self._cloud.aws.throttle.limit(*now.limits)
        self._freeze(now.frozen)
        self._fill(now)

    def _freeze(self, frozen: Mapping[str, bool]) -> None:
        for name, instance_id in self._machines.ids.items():
            instance = self._machines.instances[name]
            with instance.lock:
                if name in frozen and instance.running:
                    self._cloud.account.unresponsive.add(instance_id)
                    instance.freeze(kernel=frozen[name])
                    continue
                instance.thaw()
            if instance_id in self._cloud.account.unresponsive:
                self._cloud.aws.api.responds_again(instance_id)

    def _fill(self, now: Conditions) -> None:
        for key in now.full - self._full.keys():
            name, where = key
            self._full[key] = FullDisk(self._machines.instances[name], where)
        for key in self._full.keys() - now.full:
            self._full.pop(key).empty()

    # -- when they end -------------------------------------------------------------------------------------------------

    def _boot_of(self, fault: Fault) -> Optional[Tuple[str, int]]:
        """The boot with which a fault ends; LabError where its instance has no power."""
        running = isinstance(fault, (faults.Freeze, faults.CpuHogged)) or (
            isinstance(fault, faults.DiskFull) and fault.where == "run"
        )
        if not running or not isinstance(fault, faults.OfInstance):
            return None
        pid = self._machines.powered(fault.node).pid
        return None if pid is None else (fault.node, pid)

    def _end_without_power(self) -> None:
        with self._lock:
            over = [
                number
                for number, entry in self._entries.items()
                if entry.boot is not None and self._machines.instances[entry.boot[0]].pid != entry.boot[1]
            ]
        for number in over:
            self._heal_quietly(number, "its instance has lost its power")

    def _arm(self, number: int, lasting: Optional[float]) -> None:
        if lasting is None:
            return
        timer = threading.Timer(lasting, self._heal_quietly, (number, "its time is over"))
        timer.daemon = True
        with self._lock:
            if number in self._entries:
                self._entries[number].timer = timer
                timer.start()

    def _heal_quietly(self, number: int, why: str) -> None:
        """Heal where nobody waits for the outcome: what goes wrong is an event, and the fault stays in force."""
        try:
            self.heal(number, why)
        except Exception as error:  # noqa: BLE001 - told by the event, in full to the log
            traceback.print_exc(file=sys.stderr)
            self._events.add("not-healed", number=number, why=f"{type(error).__name__}: {error}")

    def _told_over(self, told: InForce, why: str) -> None:
        about = {"why": why} if why else {}
        self._events.add("healed", number=told.number, name=told.fault.name, parameters=told.fault.values(), **about)

    # -- what it names -------------------------------------------------------------------------------------------------

    def _resolved(self, fault: Fault) -> Fault:
        """The same with the id of a table that is named by its subnet, where IAM is asked."""
        if not isinstance(fault, faults.AccessDenied) or fault.resource == faults.EVERY:
            return fault
        if _RESOURCE_ID.fullmatch(fault.resource):
            return fault
        return replace(fault, resource=self._drift.table_id(fault.resource))

    def _check_names(self, fault: Fault) -> None:
        """LabError for an instance, a place or a zone that there is not."""
        for name in (getattr(fault, "node", None), getattr(fault, "caller", None)):
            if name is not None:
                self._machines.id_of(name)
        if isinstance(fault, faults.Partition):
            known = self._fabric.places()
            for place in (fault.one, fault.other):
                if place not in known:
                    raise LabError(f"there is no place '{place}'; there are {', '.join(known)}")
        if isinstance(fault, faults.ZoneCut) and fault.zone not in self._places.zones:
            known = self._places.zones
            raise LabError(f"there is no availability zone '{fault.zone}'; there are {', '.join(known)}")
        if isinstance(fault, faults.StuckDetach) and self._moving is None:
            raise LabError("this lab has no network interface that moves; bring it up with --mode eni")
