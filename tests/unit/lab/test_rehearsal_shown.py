"""What `pcs config` prints, as commands that make the same."""

from __future__ import annotations

import pytest

from vpc_lab.rehearsal.model import Colocation, Configuration
from vpc_lab.rehearsal.reading import kind_of, read

# As pcs 0.9 prints it, and as pcs 0.11 does.
OLD = """[root@one ~]# pcs config show
Cluster Name: sap
Corosync Nodes:
 one two
Pacemaker Nodes:
 one two

Resources:
 Group: g
  Meta Attrs: resource-stickiness=3000
  Resource: fs (class=ocf provider=heartbeat type=Filesystem)
   Attributes: device=x:/y directory=/y options=rw,vers=4.1
   Operations: monitor interval=20s timeout=40s (fs-monitor-interval-20s)
               stop interval=0s timeout=60s (fs-stop-interval-0s)
  Resource: ip (class=ocf provider=heartbeat type=aws-vpc-move-ip)
   Attributes: interface=eth0 ip=172.16.30.5 routing_table=rtb-0aaaaaaaaaaaaaaa1
 Master: db-master
  Meta Attrs: notify=true
  Resource: db (class=ocf provider=heartbeat type=pgsql)
   Meta Attrs: priority=100

Stonith Devices:
 Resource: f (class=stonith type=fence_aws)
  Attributes: pcmk_host_map=one:i-x1;two:i-x2 region=us-east-1
Fencing Levels:

Location Constraints:
  Resource: g
    Enabled on: one (score:50) (id:location-g-one-50)
Ordering Constraints:
  promote db-master then start g (kind:Optional) (non-symmetrical) (id:order-1)
Colocation Constraints:
  g with db-master (score:2000) (rsc-role:Started) (with-rsc-role:Master) (id:colocation-1)
Ticket Constraints:

Resources Defaults:
 migration-threshold=3
Operations Defaults:
 No defaults set

Cluster Properties:
 dc-version: 1.1.23
 stonith-timeout: 600
"""
NEW = """Cluster Name: sap
Corosync Nodes:
 one two
Pacemaker Nodes:
 one two

Resources:
  Group: g
    Meta Attributes: g-meta_attributes
      resource-stickiness=3000
    Resource: fs (class=ocf provider=heartbeat type=Filesystem)
      Attributes: fs-instance_attributes
        device=x:/y
        directory=/y
        options=rw,vers=4.1
      Operations:
        monitor: fs-monitor-interval-20s
          interval=20s
          timeout=40s
        stop: fs-stop-interval-0s
          interval=0s
          timeout=60s
    Resource: ip (class=ocf provider=heartbeat type=aws-vpc-move-ip)
      Attributes: ip-instance_attributes
        interface=eth0
        ip=172.16.30.5
        routing_table=rtb-0aaaaaaaaaaaaaaa1
  Clone: db-master
    Meta Attributes: db-master-meta_attributes
      notify=true
      promotable=true
    Resource: db (class=ocf provider=heartbeat type=pgsql)
      Meta Attributes: db-meta_attributes
        priority=100

Stonith Devices:
  Resource: f (class=stonith type=fence_aws)
    Attributes: f-instance_attributes
      pcmk_host_map=one:i-x1;two:i-x2
      region=us-east-1

Location Constraints:
  resource 'g' prefers node 'one' with score 50
Colocation Constraints:
  Started resource 'g' with Promoted resource 'db-master'
    score=2000
Order Constraints:
  promote resource 'db-master' then start resource 'g'
    symmetrical=0 kind=Optional

Resources Defaults:
  Meta Attrs: rsc_defaults-meta_attributes
    migration-threshold=3

Cluster Properties: cib-bootstrap-options
  dc-version=2.1.7
  stonith-timeout=600
"""


def said(text: str) -> Configuration:
    """What the commands say that are made of it."""
    assert kind_of(text) == "shown"
    return read(text).configuration


@pytest.mark.parametrize("text", [OLD, NEW], ids=["pcs 0.9", "pcs 0.11"])
def test_what_pcs_prints_is_what_its_commands_would_make(text: str) -> None:
    """Resources with all that they have, groups, clones, fence devices, constraints, defaults and properties."""
    found = said(text)
    assert found.tool == "pcs"
    assert [name for name, _ in found.nodes] == ["one", "two"]
    assert [one.id for one in found.primitives] == ["fs", "ip", "db", "f"]
    fs, ip, db, fence = found.primitives
    assert fs.parameters == {"device": "x:/y", "directory": "/y", "options": "rw,vers=4.1"}
    assert [(one.name, dict(one.about)) for one in fs.operations] == [
        ("monitor", {"interval": "20s", "timeout": "40s"}),
        ("stop", {"interval": "0s", "timeout": "60s"}),
    ]
    assert ip.parameters["routing_table"] == "rtb-0aaaaaaaaaaaaaaa1"
    assert (db.meta, fence.agent) == ({"priority": "100"}, "stonith:fence_aws")
    assert text.splitlines()[ip.line - 1].strip().startswith("Resource: ip (")
    assert found.groups == {"g": ("fs", "ip")}
    (wrapper,) = found.wrappers
    assert (wrapper.id, wrapper.of, wrapper.promotable, dict(wrapper.meta)) == (
        "db-master",
        "db",
        True,
        {"notify": "true"},
    )
    assert [(one.what, one.with_what, one.with_role) for one in found.colocations] == [("g", "db-master", "Promoted")]
    assert found.properties == {"stonith-timeout": "600"}


@pytest.mark.parametrize("text", [OLD, NEW], ids=["pcs 0.9", "pcs 0.11"])
def test_constraints_and_defaults_are_commands_in_their_lines(text: str) -> None:
    """What belongs to a constraint and is printed in the next line is a part of it."""
    source = read(text)
    lines = [line for line in source.text.splitlines() if line.startswith(("pcs constraint", "pcs resource defaults"))]
    assert sorted(lines) == [
        "pcs constraint colocation add Started g with Promoted db-master 2000"
        if text is NEW
        else "pcs constraint colocation add Started g with Master db-master 2000",
        "pcs constraint location g prefers one=50",
        "pcs constraint order promote db-master then start g kind=Optional symmetrical=false",
        "pcs resource defaults update migration-threshold=3",
    ]
    assert source.configuration.colocations == (Colocation("g", "db-master", "Promoted", "2000"),)
    assert len(source.mended) == 1


def test_levels_of_fencing_and_nodes_in_lines_of_their_own_are_taken_over() -> None:
    """As another pcs 0.11 prints them; a rule is not, and that is told with its line."""
    nodes = (
        "    Disabled on:\n      Node: one (score:-INFINITY) (id:l)\n    Constraint: r\n      Rule: score=10 (id:r)\n"
    )
    text = OLD.replace("Fencing Levels:\n", "Fencing Levels:\n  Target: one\n    Level 1 - f\n")
    text = text.replace("    Enabled on: one (score:50) (id:location-g-one-50)\n", nodes)
    source = read(text)
    assert "pcs stonith level add 1 one f" in source.text.splitlines()
    assert "pcs constraint location g prefers one=-INFINITY" in source.text.splitlines()
    line = text.splitlines().index("      Rule: score=10 (id:r)") + 1
    told = [one for one in source.mended if "not taken over" in one]
    assert told == [f"line {line}: not taken over: Rule: score=10 (id:r) ..."]
