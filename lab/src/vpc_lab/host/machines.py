"""The instances of a lab and their power: what boots them, and what takes the power away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Optional

from vpc_lab.ec2.account import Power
from vpc_lab.errors import LabError
from vpc_lab.fabric.kernel import Fabric
from vpc_lab.host.event_log import EventLog
from vpc_lab.host.guest import Guest
from vpc_lab.topology import Outside


class Machines:
    """All instances, by name; `ids`: those that EC2 knows. Each method may be called from any thread.

    `on_loss` is told the name of an instance that has lost its power, after it has.
    """

    def __init__(self, fabric: Fabric, events: EventLog, shutdown_seconds: float, boot_seconds: float = 0.0) -> None:
        self._fabric = fabric
        self._events = events
        self._shutdown_seconds = shutdown_seconds
        self._boot_seconds = boot_seconds
        self._booting: Dict[str, threading.Timer] = {}
        self._outside: Dict[str, Outside] = {}
        self.instances: Dict[str, Guest] = {}
        self.ids: Dict[str, str] = {}
        self.on_loss: Callable[[str], None] = lambda name: None
        # Makes the guest of an instance that EC2 has launched, and adds it.
        self.on_launch: Callable[[str], None] = lambda instance_id: None

    def add(self, instance: Guest, instance_id: Optional[str], outside: Optional[Outside] = None) -> None:
        """One more instance: of EC2, by its id, or one outside the VPC."""
        self.instances[instance.name] = instance
        if instance_id is not None:
            self.ids[instance.name] = instance_id
        if outside is not None:
            self._outside[instance.name] = outside

    def boot_all(self) -> None:
        """Boot every instance, at the same time."""
        with ThreadPoolExecutor(len(self.instances)) as pool:
            list(pool.map(self._boot, self.instances))
        for name in self.ids:
            self._events.add("power-on", instance=name, why="the lab came up")

    def id_of(self, name: str) -> str:
        """The id of an instance of EC2; LabError if there is none of that name."""
        if name not in self.instances:
            raise LabError(f"there is no instance '{name}'; there are {', '.join(self.instances)}")
        if name not in self.ids:
            raise LabError(f"{name} is not an instance of the VPC: it has no power switch here")
        return self.ids[name]

    def powered(self, name: str) -> Guest:
        """An instance of EC2 that has power; LabError if there is none of that name, or it has none."""
        self.id_of(name)
        if not self.instances[name].running:
            raise LabError(f"{name} has no power")
        return self.instances[name]

    def switched_by_ec2(self, instance_id: str, power: Power) -> None:
        """EC2 switches an instance, because somebody called StopInstances or StartInstances."""
        if instance_id not in self.ids.values():
            self.on_launch(instance_id)
        name = next(name for name, known in self.ids.items() if known == instance_id)
        if power == "shutdown":
            self._events.add("shutdown", instance=name, why="EC2 asks its system to")
            self.instances[name].shut_down(self._shutdown_seconds)
        elif power == "off":
            self.switch_off(name, "stopped by EC2")
        elif self._boot_seconds:
            booting = threading.Timer(self._boot_seconds, self.switch_on, (name, "started by EC2"))
            booting.daemon = True
            self._booting[name] = booting
            booting.start()
        else:
            self.switch_on(name, "started by EC2")

    def _boots_no_more(self, name: str) -> None:
        """Whoever switches an instance has the last word: one that was to boot later does not."""
        booting = self._booting.pop(name, None)
        if booting is not None:
            booting.cancel()

    def switch_off(self, name: str, why: str) -> None:
        """Take an instance's power away; nothing if it has none."""
        self._boots_no_more(name)
        with self.instances[name].lock:
            lost = self._off(name, why)
        if lost:
            self.on_loss(name)

    def switch_on(self, name: str, why: str) -> None:
        """Give an instance power; nothing if it has."""
        self._boots_no_more(name)
        if self._boot(name):
            self._events.add("power-on", instance=name, why=why)

    def reboot(self, name: str) -> threading.Event:
        """Let the system of an instance shut down and boot; the event is set when it is up again, or has lost power."""
        instance, done = self.powered(name), threading.Event()
        booted = instance.pid

        def run() -> None:
            try:
                self._events.add("shutdown", instance=name, why="it reboots")
                instance.shut_down(self._shutdown_seconds)
                with instance.lock:
                    if instance.pid != booted:
                        return  # somebody has taken its power away meanwhile
                    self._off(name, "it reboots")
                    self._boot(name)
                    self._events.add("power-on", instance=name, why="it reboots")
                self.on_loss(name)
            finally:
                done.set()

        threading.Thread(target=run, name=f"reboot-{name}", daemon=True).start()
        return done

    def _off(self, name: str, why: str) -> bool:
        instance = self.instances[name]
        if not instance.running:
            return False
        self._events.add("power-off", instance=name, why=why)
        # The devices first: what has no power does not even answer a ping while the kernel clears up.
        self._fabric.power_off(self.ids[name])
        instance.kill()
        return True

    def _boot(self, name: str) -> bool:
        instance = self.instances[name]
        with instance.lock:
            if instance.running:
                return False
            pid = instance.start()
            if name in self.ids:
                self._fabric.power_on(self.ids[name], pid)
            else:
                self._fabric.plug_outside(self._outside[name], pid)
            instance.go()
        return True
