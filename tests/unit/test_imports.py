"""Which module may import which: the shape of the library."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest

import aws_ipfailover

ROOT = Path(aws_ipfailover.__file__).parent
PACKAGE = "aws_ipfailover"

# Each module of the library, and the modules of it that it may import when it runs, wherever in it the import stands.
# "" is the package itself, which holds the version.
ALLOWED: Dict[str, Set[str]] = {
    "": set(),
    "errors": set(),
    "escapes": set(),
    "redaction": {"escapes"},
    "output": {"redaction"},
    "deadline": {"errors"},
    "memory": set(),
    "configured": {"address", "memory"},
    "consistency": {"deadline", "errors", "memory"},
    "failover": {"errors"},
    "interfaces": {"failover", "steps"},
    "steps": set(),
    "plan": {
        *("aws.writes", "configured", "context", "deadline", "errors", "holdings.local_address", "kernel.command"),
        *("kernel.kernel", "modes", "parameters", "redaction", "steps", "validation"),
    },
    # Imports what a mode holds only when it makes it, so that a probe loads the holdings of its own mode alone.
    "modes": {
        *("errors", "holdings.announcement", "holdings.bounded", "holdings.chosen_tables", "holdings.destinations"),
        *("holdings.delegated_prefixes", "holdings.elastic_ip", "holdings.eni_attachment", "holdings.eni_interface"),
        *("holdings.local_address", "holdings.overlay_routes", "holdings.secondary_address"),
    },
    "address": set(),
    "changes": set(),
    "parameters": {"address", "errors", "failover", "modes"},
    "setup.permissions": {"modes"},
    "setup.policy": {"parameters", "setup.permissions"},
    "setup.cluster_configuration": {"errors", "parameters"},
    "setup.fence_agent": {"deadline", "errors", "programs"},
    "setup": set(),
    "state": set(),
    "setup.advice": {"errors"},
    "setup.migration": {"errors", "ocf", "ocf.cib", "ocf.constraints", "ocf.durations", "output", "parameters"},
    "coexistence": {"modes"},
    "node": {"address", "deadline", "errors", "kernel.links"},
    "context": {
        *("address", "aws.certificate_authorities", "aws.client", "aws.imds", "aws.imds_endpoint", "aws.session"),
        *("consistency", "deadline", "errors", "kernel.kernel", "memory", "node", "parameters"),
    },
    "state.cloud_answers": {"address", "context", "deadline", "errors", "modes", "parameters"},
    "state.cloud_state": {
        *("address", "errors", "holdings.overlay_routes", "parameters", "state.cloud_answers", "state.node_names"),
    },
    "state.history": {"deadline", "errors", "ocf.durations", "ocf.record", "programs"},
    "state.node_names": {"address", "ocf.cib", "ocf.corosync"},
    "state.status": {
        *(
            "state.cloud_answers",
            "state.cloud_state",
            "context",
            "deadline",
            "errors",
            "failover",
            "kernel.kernel",
            "modes",
        ),
        *(
            "state.node_names",
            "ocf.cib",
            "ocf.cluster_view",
            "ocf.corosync",
            "ocf.scheduler",
            "parameters",
            "redaction",
        ),
    },
    "colour": {"validation"},
    "prospects": {
        *("context", "deadline", "errors", "kernel.command", "kernel.kernel", "ocf", "ocf.cib", "ocf.installed"),
        *("ocf.scheduler", "parameters", "redaction", "validation"),
    },
    "health": {
        *("colour", "deadline", "errors", "memory", "ocf", "ocf.action", "ocf.environment", "ocf.exit_codes"),
        *("ocf.log", "ocf.metadata", "ocf.name", "ocf.node_attribute", "ocf.scheduler", "parameters", "programs"),
        *("prospects", "validation"),
    },
    "validation": {
        *("address", "coexistence", "context", "deadline", "errors", "holdings.eni_attachment"),
        *("holdings.delegated_prefixes", "holdings.overlay_routes", "holdings.route_writes", "modes", "parameters"),
        "holdings.secondary_address",
    },
    "by_hand": {
        *("agent", "aws.writes", "context", "deadline", "errors", "kernel.kernel", "memory", "ocf", "ocf.action"),
        *("ocf.exit_codes", "parameters", "redaction"),
    },
    "state.location": {
        *("context", "deadline", "errors", "failover", "holdings.elastic_ip", "kernel.kernel", "modes", "parameters"),
        *("redaction", "steps"),
    },
    "agent": {
        *("address", "changes", "configured", "consistency", "context", "deadline", "errors", "failover"),
        *("kernel.command", "ocf.record"),
        *("kernel.kernel", "modes"),
        *("ocf", "ocf.action", "ocf.environment", "ocf.exit_codes", "ocf.log", "ocf.metadata", "ocf.name"),
        *("ocf.pacemaker", "output", "parameters", "validation"),
    },
    "aws": set(),
    "aws.certificate_authorities": {"deadline", "errors"},
    "aws.client": {"address", "aws.models", "aws.writes", "consistency", "deadline", "errors"},
    "aws.errors": {"errors", "output", "redaction"},
    "aws.imds": {"deadline", "errors", "redaction"},
    "aws.imds_endpoint": set(),
    "aws.models": {"address", "errors", "output"},
    "aws.retry": {"aws.errors", "aws.throttling", "changes", "deadline", "errors"},
    "aws.service_models": set(),
    "aws.session": {
        *("aws.certificate_authorities", "aws.errors", "aws.imds", "aws.imds_endpoint", "aws.retry", "aws.transport"),
        *("aws.service_models", "consistency", "deadline", "errors", "parameters", "redaction"),
    },
    "aws.writes": {"deadline", "errors"},
    "aws.survey": {"address", "aws.writes", "aws.survey_models", "errors"},
    "aws.survey_models": {"address"},
    "aws.throttling": {"deadline"},
    "aws.transport": {"aws.errors", "aws.retry", "deadline", "errors", "parameters"},
    "diagnosis": set(),
    "diagnosis.access": {"deadline", "diagnosis.connections", "diagnosis.finding", "diagnosis.surroundings", "errors"},
    "diagnosis.aws_cli": {"diagnosis.finding", "diagnosis.surroundings"},
    "diagnosis.cluster": {
        *(
            "context",
            "diagnosis.cluster_reads",
            "diagnosis.finding",
            "diagnosis.surroundings",
            "errors",
            "failover",
            "ocf.cib",
        ),
        *("ocf.durations", "programs"),
    },
    "diagnosis.cluster_reads": {
        *("deadline", "diagnosis.finding", "diagnosis.reads", "errors", "ocf.cib", "ocf.managing", "ocf.scheduler"),
        "programs",
    },
    "diagnosis.connections": {
        *("aws.client", "aws.survey", "context", "deadline", "diagnosis.finding", "diagnosis.reads", "diagnosis.sdk"),
        *("errors", "parameters", "redaction"),
    },
    "diagnosis.coverage": {
        *("address", "aws.models", "aws.survey_models", "diagnosis.aws_cli", "diagnosis.finding", "diagnosis.routing"),
        *("diagnosis.surroundings", "errors", "holdings.route_writes"),
    },
    "diagnosis.examination": {
        *(
            "deadline",
            "diagnosis.access",
            "diagnosis.cluster",
            "diagnosis.coverage",
            "diagnosis.filters",
            "diagnosis.finding",
        ),
        *(
            "diagnosis.interface",
            "diagnosis.local_network",
            "diagnosis.machine",
            "diagnosis.permissions",
            "diagnosis.routing",
        ),
        *("diagnosis.surroundings", "errors"),
    },
    "diagnosis.filters": {
        *("address", "aws.models", "aws.survey_models", "diagnosis.aws_cli", "diagnosis.finding"),
        *("diagnosis.surroundings", "holdings.route_writes"),
    },
    "diagnosis.finding": {"errors"},
    "diagnosis.interface": {
        *("diagnosis.aws_cli", "diagnosis.finding", "diagnosis.surroundings", "errors", "holdings.delegated_prefixes"),
    },
    "diagnosis.iptables_save": set(),
    "diagnosis.local_network": {
        *("address", "deadline", "diagnosis.finding", "diagnosis.iptables_save", "diagnosis.packet_filter"),
        *("diagnosis.surroundings", "errors", "holdings.overlay_routes", "kernel.command", "kernel.links", "programs"),
    },
    "diagnosis.machine": {
        *("", "coexistence", "diagnosis.finding", "diagnosis.sdk", "diagnosis.surroundings", "errors"),
        *("kernel.command", "modes", "ocf", "ocf.installed", "parameters", "programs"),
    },
    "diagnosis.mending": {"diagnosis.examination", "diagnosis.finding", "diagnosis.surroundings", "errors"},
    "diagnosis.packet_filter": {"address"},
    "diagnosis.permissions": {
        *("address", "deadline", "diagnosis.finding", "diagnosis.surroundings", "errors", "holdings.route_writes"),
    },
    "diagnosis.reads": {"deadline", "diagnosis.finding", "errors"},
    "diagnosis.routing": {
        *("address", "aws.models", "diagnosis.aws_cli", "diagnosis.finding", "diagnosis.surroundings", "errors"),
        *("holdings.destinations", "holdings.overlay_routes", "holdings.route_writes"),
    },
    "diagnosis.sdk": {"aws.certificate_authorities", "aws.imds", "aws.session", "diagnosis.finding"},
    "diagnosis.surroundings": {
        "diagnosis.cluster_reads",
        *("address", "context", "deadline", "diagnosis.connections", "diagnosis.finding", "diagnosis.reads", "errors"),
        *("holdings.chosen_tables", "holdings.eni_attachment", "kernel.kernel", "kernel.links", "modes", "node"),
        "parameters",
    },
    "holdings": set(),
    "holdings.announcement": {"errors", "failover", "kernel.announcements", "kernel.links", "address", "steps"},
    "holdings.bounded": {"deadline", "failover"},
    "holdings.elastic_ip": {"consistency", "deadline", "errors", "failover", "steps"},
    "holdings.delegated_prefixes": {"address", "deadline", "errors"},
    "holdings.eni_attachment": {
        "address",
        "changes",
        "consistency",
        "deadline",
        "errors",
        "failover",
        "holdings.eni_plan",
        "steps",
    },
    "holdings.eni_interface": {
        *("deadline", "errors", "failover", "holdings.announcement", "kernel.kernel", "kernel.links"),
        *("kernel.rules", "address", "steps"),
    },
    "holdings.eni_plan": set(),
    "holdings.local_address": {
        *("address", "errors", "failover", "kernel.addresses", "kernel.kernel", "kernel.links", "steps"),
    },
    "holdings.chosen_tables": {"consistency", "deadline", "errors", "holdings.destinations", "memory"},
    "holdings.destinations": {"address"},
    "holdings.overlay_routes": {
        *("address", "changes", "consistency", "deadline", "errors", "failover", "holdings.chosen_tables"),
        *("holdings.destinations", "holdings.route_writes", "steps"),
    },
    "holdings.route_writes": {"address", "deadline", "errors"},
    "holdings.secondary_address": {
        *("address", "changes", "consistency", "deadline", "errors", "failover", "holdings.delegated_prefixes"),
        "steps",
    },
    "kernel": set(),
    "kernel.addresses": {"address", "changes", "errors", "kernel.command"},
    "kernel.announcements": {"errors"},
    "kernel.command": {"deadline", "errors", "programs"},
    "kernel.kernel": {
        *("deadline", "kernel.addresses", "kernel.command", "kernel.links", "kernel.rehearsal", "kernel.rules"),
        "kernel.sysctls",
    },
    "kernel.rehearsal": {
        *("deadline", "errors", "kernel.addresses", "kernel.command", "kernel.kernel", "kernel.links", "kernel.rules"),
        "kernel.sysctls",
    },
    "kernel.links": {"kernel.command"},
    "kernel.rules": {"errors", "kernel.command", "address"},
    "kernel.sysctls": {"errors"},
    "ocf": set(),
    "ocf.environment": set(),
    "ocf.action": {"errors", "ocf.exit_codes", "ocf.log"},
    "ocf.exit_codes": {"errors"},
    "ocf.installed": {"ocf"},
    "ocf.managing": {
        *("deadline", "errors", "ocf", "ocf.cib", "ocf.pacemaker", "ocf.scheduler", "parameters", "programs"),
    },
    "ocf.node_attribute": {"deadline", "errors", "programs"},
    "ocf.attributes": {"errors", "ocf.durations"},
    "ocf.cib": {"errors", "ocf.attributes", "ocf.constraints", "ocf.durations", "ocf.node_states"},
    "ocf.constraints": {"ocf.durations"},
    "ocf.durations": set(),
    "ocf.node_states": {"ocf.attributes", "ocf.durations"},
    "ocf.cluster_view": {"errors", "ocf.durations"},
    "ocf.corosync": {"address"},
    "ocf.scheduler": {"deadline", "errors", "ocf.cib", "ocf.cluster_view", "ocf.refusal", "programs"},
    "ocf.refusal": {"output", "programs"},
    "ocf.record": {"changes", "ocf.environment", "ocf.log", "output", "redaction"},
    "ocf.log": {"ocf.log_file", "ocf.syslog", "output", "redaction"},
    "ocf.log_file": set(),
    "ocf.syslog": set(),
    "ocf.metadata": {"", "ocf.environment", "parameters"},
    "ocf.name": {"ocf"},
    "ocf.pacemaker": {"deadline", "errors", "programs"},
    "programs": {"errors"},
    "background": {"errors"},
    "drill": set(),
    "drill.cluster": {
        *("drill.placement", "errors", "ocf.cib", "ocf.cluster_view", "ocf.refusal", "output", "programs"),
    },
    "drill.conduct": {
        *("deadline", "drill.cluster", "drill.consumers", "drill.judgement", "drill.placement", "errors", "ocf.cib"),
        *("watch.clock",),
    },
    "drill.consumers": {
        *("deadline", "drill.judgement", "errors", "watch.addresses", "watch.asking", "watch.clock", "watch.question"),
        *("watch.watcher",),
    },
    "drill.doctor": {"errors", "output", "programs"},
    "drill.judgement": {"watch.history", "watch.question"},
    "drill.page": {"", "drill.judgement", "drill.report", "report.document", "report.lanes"},
    "drill.placement": {"errors", "ocf.cib", "ocf.constraints", "ocf.durations"},
    "drill.readiness": {"drill.placement", "errors", "ocf.cib", "ocf.cluster_view"},
    "drill.report": {"drill.conduct", "drill.doctor", "drill.judgement"},
    "report": set(),
    "report.__main__": {
        *("errors", "report.document", "report.files", "report.lanes", "report.page", "report.questions"),
    },
    "report.document": set(),
    "report.files": set(),
    "report.lanes": {"watch.history", "watch.question"},
    "report.page": {"report.document", "report.lanes", "report.picture", "watch.history"},
    "report.picture": {"output", "report.document", "report.lanes", "watch.history"},
    "report.questions": {"errors", "watch.question"},
    "watch": set(),
    "watch.__main__": {
        *("watch.addresses", "watch.clock", "watch.exchange", "watch.icmp", "watch.kept", "watch.outcomes"),
        *("watch.question", "watch.schedule", "watch.tcp", "watch.udp"),
    },
    "watch.addresses": set(),
    "watch.answers": set(),
    "watch.clock": set(),
    "watch.echo": set(),
    "watch.exchange": set(),
    "watch.failures": {"watch.question"},
    "watch.icmp": {"watch.addresses", "watch.echo", "watch.failures", "watch.outcomes", "watch.ttl"},
    "watch.kept": {
        *("watch.addresses", "watch.answers", "watch.exchange", "watch.failures", "watch.outcomes", "watch.prober"),
        "watch.question",
    },
    "watch.outcomes": {"watch.addresses", "watch.question"},
    "watch.prober": {"watch.addresses", "watch.exchange", "watch.outcomes"},
    "watch.question": set(),
    "watch.schedule": {
        *("watch.addresses", "watch.icmp", "watch.kept", "watch.outcomes", "watch.question", "watch.tcp", "watch.udp"),
    },
    "watch.tcp": {"watch.answers", "watch.exchange", "watch.failures", "watch.prober"},
    "watch.asking": {"watch.addresses", "watch.question"},
    "watch.changes": {"watch.question"},
    "watch.history": {"watch.question"},
    "watch.picture": {"watch.history"},
    "watch.record": {"watch.question"},
    "watch.summary": {"watch.history"},
    "watch.target": {"deadline", "errors", "watch.addresses"},
    "watch.watcher": {
        *("background", "deadline", "errors", "output", "watch.addresses", "watch.asking", "watch.question"),
        *("watch.record",),
    },
    "watch.ttl": set(),
    "watch.udp": {"watch.answers", "watch.exchange", "watch.failures", "watch.prober"},
}
# What is outside of this project, and the modules that alone may import it.
OWNERS: Dict[str, Set[str]] = {
    "boto3": {"aws.session", "aws.errors"},
    "botocore": {"aws.session", "aws.errors", "aws.service_models", "aws.transport"},
    "requests": {"aws.imds", "aws.certificate_authorities"},
    "urllib3": {"aws.imds", "aws.certificate_authorities", "aws.transport"},
    "subprocess": {"background", "programs"},
}


def library() -> List[Path]:
    """The files of the library: of the package, but for what an administrator types."""
    return sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "cli")


def name_of(path: Path) -> str:
    """The name of a module within the package, with dots."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, package: str, *, deferred: bool = True) -> Iterator[str]:
    """Full names of what a module of `package` imports when it runs; without `deferred`, when it is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not deferred:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            module = (above + (node.module or "")).rstrip(".")
            # `from PACKAGE.a import b`: b may be a module, or something in a.
            yield from (f"{module}.{name.name}" for name in node.names)
        yield from imported(node, package, deferred=deferred)


def names(path: Path, *, deferred: bool = True) -> Set[str]:
    """Full names of what a file imports."""
    package = ".".join((PACKAGE, *path.relative_to(ROOT).parent.parts))
    return set(imported(ast.parse(path.read_text(encoding="utf-8")), package, deferred=deferred))


def ours(path: Path, *, deferred: bool = True) -> Set[str]:
    """The modules of this package that a file imports, by their names within it."""
    found = set()
    for full in names(path, deferred=deferred):
        if full.split(".")[0] != PACKAGE:
            continue
        name = full[len(PACKAGE) + 1 :]
        if not (ROOT / name.replace(".", "/")).is_dir() and not (ROOT / f"{name.replace('.', '/')}.py").exists():
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {name_of(path)}


@pytest.mark.parametrize("path", library(), ids=name_of)
def test_a_module_imports_what_the_table_says(path: Path) -> None:
    """A new module, or a new arrow between modules, is a decision that this table records."""
    assert ours(path) <= ALLOWED[name_of(path)]


def test_the_table_names_no_module_that_is_gone() -> None:
    """A row of a module that was moved or deleted would permit what nobody decided."""
    assert set(ALLOWED) == {name_of(path) for path in library()}
    assert {name for allowed in ALLOWED.values() for name in allowed} <= set(ALLOWED)


def test_imports_point_one_way() -> None:
    """No module needs, to be loaded, one that needs it: `prepare` raises CycleError where two do."""
    TopologicalSorter({name_of(path): ours(path, deferred=False) for path in library()}).prepare()


@pytest.mark.parametrize("outside", OWNERS)
def test_each_outside_thing_has_its_modules(outside: str) -> None:
    """The SDK and what it sends by in a few modules of aws; processes in two modules."""
    users = {name_of(path) for path in library() if outside in {name.split(".")[0] for name in names(path)}}
    assert users == OWNERS[outside]


SLEEPS = (("time", "sleep"), ("asyncio", "sleep"))


def waits(tree: ast.AST) -> bool:
    """Whether a module waits by itself: it names `time.sleep`, or imports it from `time`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = (node.value.id, node.attr) in SLEEPS
        elif isinstance(node, ast.ImportFrom):
            found = any((node.module, name.name) in SLEEPS for name in node.names)
        else:
            found = False
        if found:
            return True
    return False


def test_the_library_waits_in_one_module() -> None:
    """Every other wait goes through a `Deadline`, which ends it in time."""
    waiting = {name_of(path) for path in library() if waits(ast.parse(path.read_text(encoding="utf-8")))}
    assert waiting == {"deadline"}


@pytest.mark.parametrize("source", ["import time\ntime.sleep(1)", "from time import sleep", "f(time.sleep)"])
def test_the_search_for_waits_finds_one(source: str) -> None:
    """Called, imported by itself, or handed to somebody else: the test above can fail."""
    assert waits(ast.parse(source))


def test_the_library_knows_neither_command_line_nor_lab() -> None:
    """The agent runs where neither is installed."""
    for path in library():
        assert not any(name.startswith((f"{PACKAGE}.cli", "vpc_lab")) for name in names(path)), path.name
