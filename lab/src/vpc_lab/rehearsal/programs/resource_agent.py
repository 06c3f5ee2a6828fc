"""An OCF resource agent that stands in for another one: to Pacemaker it runs on a node, or it does not.

`.NAME.json` beside it says which agent it is, what parameters it has and how it behaves:

* `plain`: runs or not.
* `promotable`: sets its own promotion score, the highest where it is promoted.
* `hana`: a pair of databases with system replication, see `Hana`.
* `enqueue`: as SAPInstance does, the instance with IS_ERS=true says by the node's attribute runs_ers_SID where it runs.
* `ping`: sets the node's attribute as if every host answered.
* `awsvip`: assigns the private address to this node's network interface, through EC2's API.

That it runs is a file in /run, which is gone with the node's power. Who removes the file has killed the software.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Type
from xml.sax.saxutils import quoteattr

RUNS = Path("/run/stand-ins")
# The node's disk: outlives its power.
KEPT = Path("/var/lib/pacemaker/stand-ins")
SUCCESS, GENERIC, UNIMPLEMENTED, NOT_RUNNING, PROMOTED = 0, 1, 3, 7, 8
TRUE = ("true", "yes", "on", "1", "y")
# What SAPHana's own log calls the "last primary time" of a failed primary, and of a secondary in sync.
FAILED, IN_SYNC = 10, 30
WAITING = -9000


def parameter(name: str, default: str = "") -> str:
    """A parameter of the resource."""
    return os.environ.get(f"OCF_RESKEY_{name}", default)


def run(*argv: str) -> str:
    """What a command printed; empty where it failed."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def attribute(name: str, value: Optional[object] = None, node: Optional[str] = None, lifetime: str = "reboot") -> str:
    """Read an attribute of a node, or set one of this node."""
    command = ["crm_attribute", "--name", name, "--lifetime", lifetime]
    if value is not None:
        return run(*command, "--update", str(value))
    return run(*command, "--query", "--quiet", *(["--node", node] if node else []))


def score(value: Optional[int]) -> None:
    """Set the promotion score on this node; None removes it."""
    change = ["--delete"] if value is None else ["--update", str(value)]
    run("crm_attribute", "--promotion", "--lifetime", "reboot", *change)


class Plain:
    """Runs or does not."""

    def __init__(self, about: Dict[str, Any]) -> None:
        self.about = about
        self.name = os.environ.get("OCF_RESOURCE_INSTANCE", "default").replace("/", "_")
        self.file = RUNS / self.name

    def role(self) -> str:
        """`started`, `promoted`, or nothing."""
        try:
            return self.file.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def become(self, role: str) -> None:
        """Run, in that role."""
        RUNS.mkdir(parents=True, exist_ok=True)
        self.file.write_text(role + "\n", encoding="ascii")

    def monitor(self) -> int:
        """See OCF."""
        return {"": NOT_RUNNING, "promoted": PROMOTED}.get(self.role(), SUCCESS)

    def start(self) -> int:
        """See OCF."""
        if not self.role():
            self.become("started")
        return SUCCESS

    def stop(self) -> int:
        """See OCF."""
        if self.file.exists():
            self.file.unlink()
        return SUCCESS

    def promote(self) -> int:
        """See OCF."""
        self.become("promoted")
        return SUCCESS

    def demote(self) -> int:
        """See OCF."""
        if self.role():
            self.become("started")
        return SUCCESS

    def notify(self) -> int:
        """See OCF."""
        return SUCCESS


class Promotable(Plain):
    """Prefers to be promoted where it is; at first on the first node."""

    def start(self) -> int:
        """See OCF."""
        score(10 if run("crm_node", "--name") == self.about["first"] else 5)
        return super().start()

    def promote(self) -> int:
        """See OCF."""
        score(100)
        return super().promote()

    def demote(self) -> int:
        """See OCF."""
        score(5)
        return super().demote()

    def stop(self) -> int:
        """See OCF."""
        score(None)
        return super().stop()


class Enqueue(Plain):
    """SAPInstance: the one for enqueue replication tells where it runs."""

    def tell(self, value: int) -> None:
        """Set the attribute."""
        if parameter("IS_ERS").lower() in TRUE:
            attribute(f"runs_ers_{parameter('InstanceName').split('_')[0]}", value)

    def start(self) -> int:
        """See OCF."""
        self.tell(1)
        return super().start()

    def stop(self) -> int:
        """See OCF."""
        self.tell(0)
        return super().stop()


class Ping(Plain):
    """Every host answers."""

    def start(self) -> int:
        """See OCF."""
        self.tell()
        return super().start()

    def monitor(self) -> int:
        """See OCF."""
        if self.role():
            self.tell()
        return super().monitor()

    def tell(self) -> None:
        """Set the attribute."""
        hosts = len(parameter("host_list").split())
        attribute(parameter("name", "pingd"), hosts * int(parameter("multiplier", "1000") or 1))


class Hana(Plain):
    """One of two databases, of which one replicates the other. The names of attributes and scores are SAPHanaSR's.

    On its disk each knows whether it is the primary. One that was, and that another one has succeeded, waits to be
    registered: AUTOMATED_REGISTER does it at its start, else an administrator, by writing `secondary` into that file.
    A primary that fails loses to a secondary in sync where PREFER_SITE_TAKEOVER says so, and is restarted otherwise.
    """

    def __init__(self, about: Dict[str, Any]) -> None:
        super().__init__(about)
        self.sid = parameter("SID", "hdb").lower()
        self.node = run("crm_node", "--name")
        self.disk = KEPT / f"{self.name}.mode"
        self.expected = RUNS / f"{self.name}.expected"

    def mode(self) -> str:
        """`primary` or `secondary`."""
        try:
            return self.disk.read_text(encoding="ascii").strip()
        except OSError:
            return "primary" if self.node == self.about["first"] else "secondary"

    def keep(self, mode: str) -> None:
        """Write the mode to the disk."""
        KEPT.mkdir(parents=True, exist_ok=True)
        self.disk.write_text(mode + "\n", encoding="ascii")

    def last_primary(self, value: Optional[int] = None, node: Optional[str] = None) -> int:
        """When a node was the primary for the last time, in seconds; 0 where nobody knows."""
        found = attribute(f"lpa_{self.sid}_lpt", value, node, "forever")
        return int(found) if found.isdigit() else 0

    def peers(self) -> List[str]:
        """The other nodes."""
        lines = (line.split() for line in run("crm_node", "--list").splitlines())
        return [line[1] for line in lines if len(line) > 1 and line[1] != self.node]

    def succeeded(self) -> bool:
        """Whether another node has been the primary since, or is about to be."""
        own = self.last_primary()
        return own > 0 and any(self.last_primary(node=peer) > own for peer in self.peers())

    def tell(self, replication: str, value: int) -> None:
        """Set the attributes and the promotion score."""
        letter = "P" if replication == "PRIM" else "S"
        if attribute(f"hana_{self.sid}_sync_state", node=self.node) != replication:
            attribute(f"hana_{self.sid}_sync_state", replication)
            attribute(f"hana_{self.sid}_roles", f"4:{letter}:master1:master:worker:master")
        attribute(f"hana_{self.sid}_clone_state", "PROMOTED" if self.role() == "promoted" else "DEMOTED")
        score(value)

    def settle(self) -> None:
        """Find out what this database is now, and tell the cluster."""
        if self.mode() == "primary" and self.role() != "promoted" and self.succeeded():
            if parameter("AUTOMATED_REGISTER", "false").lower() in TRUE:
                self.keep("secondary")
            else:
                self.tell("SFAIL", WAITING)
                return
        if self.mode() == "primary":
            self.keep("primary")
            if not self.last_primary():
                self.last_primary(int(time.time()))
            self.tell("PRIM", 150)
        else:
            self.keep("secondary")
            if self.last_primary() != IN_SYNC:
                self.last_primary(IN_SYNC)
            self.tell("SOK", 100)

    def start(self) -> int:
        """See OCF."""
        super().start()
        self.expected.touch()
        self.settle()
        return SUCCESS

    def monitor(self) -> int:
        """See OCF."""
        if self.role():
            self.settle()
            return super().monitor()
        if self.expected.exists():
            self.failed()
        return NOT_RUNNING

    def failed(self) -> None:
        """It should run, and does not."""
        if self.mode() != "primary":
            self.tell("SFAIL", WAITING)
        elif parameter("PREFER_SITE_TAKEOVER", "true").lower() in TRUE and any(
            attribute(f"hana_{self.sid}_sync_state", node=peer) == "SOK" for peer in self.peers()
        ):
            self.last_primary(FAILED)
            score(WAITING)

    def promote(self) -> int:
        """See OCF."""
        if self.mode() == "primary" and self.succeeded():
            return GENERIC
        self.keep("primary")
        self.last_primary(int(time.time()))
        super().promote()
        self.tell("PRIM", 150)
        return SUCCESS

    def demote(self) -> int:
        """See OCF."""
        # Whoever is promoted instead keeps that: until this one knows what it is now, it wants less.
        score(10)
        return super().demote()

    def stop(self) -> int:
        """See OCF."""
        if self.expected.exists():
            self.expected.unlink()
        if self.mode() == "secondary":
            attribute(f"hana_{self.sid}_sync_state", "SFAIL")
        return super().stop()


class SecondaryAddress(Plain):
    """awsvip: a private address of this node's network interface."""

    def session(self) -> Any:
        """A session of the SDK."""
        import boto3  # noqa: PLC0415 - nothing else of this file needs it

        return boto3.Session(
            profile_name=parameter("profile") if parameter("profile", "default") != "default" else None,
            region_name=parameter("region") or self.metadata("placement/region"),
        )

    def metadata(self, path: str) -> str:
        """An answer of instance metadata."""
        import http.client  # noqa: PLC0415 - as above

        connection = http.client.HTTPConnection("169.254.169.254", timeout=5)
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        connection.request("PUT", "/latest/api/token", headers=ttl)
        token = connection.getresponse().read().decode()
        connection.request("GET", f"/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token})
        return connection.getresponse().read().decode().strip()

    def interface(self) -> str:
        """The id of the primary network interface."""
        return self.metadata(f"network/interfaces/macs/{self.metadata('mac')}/interface-id")

    def start(self) -> int:
        """See OCF."""
        address = parameter("secondary_private_ip")
        self.session().client("ec2").assign_private_ip_addresses(
            NetworkInterfaceId=self.interface(), PrivateIpAddresses=[address], AllowReassignment=True
        )
        return super().start()

    def stop(self) -> int:
        """See OCF."""
        if self.role():
            address = parameter("secondary_private_ip")
            self.session().client("ec2").unassign_private_ip_addresses(
                NetworkInterfaceId=self.interface(), PrivateIpAddresses=[address]
            )
        return super().stop()


KINDS: Dict[str, Type[Plain]] = {
    "plain": Plain,
    "promotable": Promotable,
    "hana": Hana,
    "enqueue": Enqueue,
    "ping": Ping,
    "awsvip": SecondaryAddress,
}


def metadata(about: Dict[str, Any]) -> str:
    """What Pacemaker, crm and pcs ask for: exactly the parameters that the configuration uses."""
    name = about["name"]
    lines = [
        '<?xml version="1.0"?>',
        f'<resource-agent name={quoteattr(name)} version="1"><version>1.0</version>',
        '<longdesc lang="en">A stand-in of the lab: to Pacemaker it runs or it does not.</longdesc>',
        f'<shortdesc lang="en">Stand-in for {name}</shortdesc>',
        "<parameters>",
    ]
    for one in about["parameters"]:
        lines += [
            f'<parameter name={quoteattr(one)} unique="0" required="0">',
            f'<longdesc lang="en">As that of {name}.</longdesc><shortdesc lang="en">As that of {name}</shortdesc>',
            '<content type="string"/></parameter>',
        ]
    lines += ["</parameters>", "<actions>"]
    lines += ['<action name="start" timeout="60s"/>', '<action name="stop" timeout="60s"/>']
    lines += ['<action name="promote" timeout="60s"/>', '<action name="demote" timeout="60s"/>']
    lines += ['<action name="notify" timeout="20s"/>']
    lines += [f'<action name={quoteattr(one)} timeout="60s"/>' for one in about["operations"]]
    if about["promotable"]:
        lines += [
            '<action name="monitor" timeout="30s" interval="10s" depth="0" role="Master"/>',
            '<action name="monitor" timeout="30s" interval="11s" depth="0" role="Slave"/>',
        ]
    else:
        lines += ['<action name="monitor" timeout="30s" interval="10s" depth="0"/>']
    lines += ['<action name="validate-all" timeout="10s"/>', '<action name="meta-data" timeout="5s"/>']
    lines += ["</actions>", "</resource-agent>"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Do what Pacemaker asks."""
    path = Path(sys.argv[0])
    about = json.loads((path.parent / f".{path.name}.json").read_text(encoding="utf-8"))
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action == "meta-data":
        sys.stdout.write(about.get("metadata") or metadata(about))
        return SUCCESS
    if action == "validate-all":
        return SUCCESS
    if action not in ("start", "stop", "monitor", "promote", "demote", "notify"):
        return UNIMPLEMENTED
    try:
        done: int = getattr(KINDS[about["kind"]](about), action)()
    except Exception as error:  # noqa: BLE001 - Pacemaker gets a sentence
        sys.stderr.write(f"ocf-exit-reason:{about['name']} (stand-in): {error}\n")
        return GENERIC
    return done


if __name__ == "__main__":
    sys.exit(main())
