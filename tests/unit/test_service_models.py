"""aws/service_models.py: the trimmed models against those of the SDK that is installed; aws/session.py does without."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import botocore
import botocore.session
import pytest
from botocore.loaders import Loader
from packaging.version import Version

import locked
from aws_ipfailover.aws import client, models, service_models, session, survey, survey_models
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.retry import Calls
from aws_ipfailover.aws.session import Account, ServiceClient, ec2_calls
from aws_ipfailover.aws.survey import Survey
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import Error, RouteExistsError
from vpc_lab.ec2.running import RunningAws, running_aws

ROOT = Path(__file__).parents[2]
SERVICES = ("ec2", "sts")


def trimmed(service: str) -> Tuple[str, Dict[str, Any]]:
    """API version and content of a trimmed model."""
    (path,) = (service_models.MODELS / service).glob("*/service-2.json")
    return path.parent.name, json.loads(path.read_text())


def less(part: Any, whole: Any) -> Iterator[str]:
    """Where `part` says something that `whole` does not say."""
    if isinstance(part, dict) and isinstance(whole, dict):
        for key, value in part.items():
            if key not in whole:
                yield key
            else:
                yield from (f"{key}.{rest}" for rest in less(value, whole[key]))
    elif isinstance(part, list) and isinstance(whole, list):
        yield from (str(one) for one in part if one not in whole)
    elif part != whole:
        yield f"{part!r} is {whole!r}"


# What EC2 has got since the oldest SDK that is supported; all of it or nothing is in an SDK's own model.
ADDED = {
    "Instance.members.SecondaryInterfaces",
    "InstanceSecondaryInterface",
    "InstanceSecondaryInterfaceAttachment",
    "InstanceSecondaryInterfaceList",
    "InstanceSecondaryInterfacePrivateIpAddress",
    "InstanceSecondaryInterfacePrivateIpAddressList",
    "SecondaryInterfaceStatus",
}


@pytest.mark.parametrize("service", SERVICES)
def test_they_say_nothing_else(service: str) -> None:
    """Every operation, shape and member has the names and types that it has in the SDK's own model."""
    version, part = trimmed(service)
    whole = Loader().load_service_model(service, "service-2", version)
    assert set(part["operations"]) <= set(whole["operations"])
    newer = set() if ADDED & set(whole["shapes"]) else ADDED
    for kind in ("operations", "shapes"):
        assert set(less(part[kind], whole[kind])) <= newer
    # SDKs of several years: their descriptions of the service itself grow.
    for key in ("apiVersion", "endpointPrefix", "protocol", "serviceId", "xmlNamespace"):
        assert part["metadata"][key] == whole["metadata"][key]


def test_the_comparison_sees_a_difference() -> None:
    """A wrong name, a member that is not there: the test above can fail."""
    _, part = trimmed("ec2")
    shapes = json.loads(json.dumps(part["shapes"]))
    shapes["ReplaceRouteRequest"]["members"]["RouteTableId"]["locationName"] = "tableId"
    shapes["Vpc"]["members"]["Colour"] = {"shape": "String"}
    assert sorted(less(shapes, part["shapes"])) == [
        "ReplaceRouteRequest.members.RouteTableId.locationName.'tableId' is 'routeTableId'",
        "Vpc.members.Colour",
    ]


def named_source() -> str:
    """The version of botocore that the trimmed models come from."""
    match = re.fullmatch(r"botocore==(\S+)\n", (service_models.MODELS / "source").read_text(encoding="utf-8"))
    assert match is not None
    return match[1]


def test_they_come_from_the_locked_botocore() -> None:
    """`trimmed/source` names the newest botocore of the agent's lock: after `make lock` they are made from that one."""
    versions = [one.version for one in locked.read("agent") if one.name == "botocore"]
    assert named_source() == max(versions, key=Version)


def test_they_are_what_is_made_from_an_sdk(tmp_path: Path) -> None:
    """Made again: from the botocore that they name, every byte; from another one, every operation, shape and member.

    Another one that requirements/ has is that of Python 3.9, or the oldest; an environment with any third is refused.
    """
    subprocess.run([sys.executable, str(ROOT / "scripts" / "trim-models"), str(tmp_path)], check=True)
    if botocore.__version__ == named_source():
        # This one is not the SDK's.
        shutil.copy(service_models.MODELS / "endpoints.json", tmp_path)
        made, found = (
            {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
            for directory in (tmp_path, service_models.MODELS)
        )
        assert made == found
        return
    locks = {one.version for name in ("agent", "oldest") for one in locked.read(name) if one.name == "botocore"}
    assert botocore.__version__ in locks, f"requirements/ does not have botocore {botocore.__version__}"
    for service in SERVICES:
        version, part = trimmed(service)
        made_model = json.loads((tmp_path / service / version / "service-2.json").read_text())
        newer = set() if ADDED & set(made_model["shapes"]) else ADDED
        for kind in ("operations", "shapes"):
            assert set(less(part[kind], made_model[kind])) <= newer
            assert list(less(made_model[kind], part[kind])) == []


def first_arguments(modules: Sequence[ModuleType], *functions: str) -> Set[str]:
    """The texts that modules give to functions of these names, first of their arguments."""
    nodes = [node for module in modules for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8")))]
    return {
        str(node.args[0].value)
        for node in nodes
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in functions
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_operation_has_a_model() -> None:
    """Every operation that the client and the survey call, and there is none that they do not call."""
    called = first_arguments([client, survey], "_calls", "_pages", "_all", "sts")
    called |= first_arguments([session], "sts")
    assert called == {name for service in SERVICES for name in trimmed(service)[1]["operations"]}


def test_everything_that_is_read_is_in_them() -> None:
    """A member of an answer that the trimmed models leave out would never be there: each that is read is in them."""
    shapes = [shape for service in SERVICES for shape in trimmed(service)[1]["shapes"].values()]
    members = {name for shape in shapes for name in shape.get("members", ())}
    read = first_arguments([client, models, survey, survey_models], "get")
    assert len(read) > 50
    assert read <= members


CALLS: Dict[str, Callable[[Any], Any]] = {
    "ec2": lambda client: client.describe_vpcs(),
    "sts": lambda client: client.assume_role(RoleArn="arn:aws:iam::123456789012:role/one", RoleSessionName="one"),
}


def sent(loader: Loader, service: str, region: str) -> Tuple[str, str]:
    """URL, and the region and service signed for, of a request that is not sent."""
    sdk = botocore.session.Session()
    sdk.register_component("data_loader", loader)
    sdk.set_config_variable("sts_regional_endpoints", "regional")
    sdk.set_credentials("AKIDEXAMPLE", "secret")
    client: Any = sdk.create_client(service, region)

    class NotSentError(Exception):
        pass

    seen = []

    def stop(request: Any, **_: Any) -> None:
        seen.append((request.url, "/".join(request.headers["Authorization"].decode().split("/")[2:4])))
        raise NotSentError

    client.meta.events.register("before-send", stop)
    with pytest.raises(NotSentError):
        CALLS[service](client)
    return seen[0]


@pytest.mark.parametrize("service", SERVICES)
def test_endpoints_are_the_sdks(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every region of every partition, host and signature are those of the SDK with all its data."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    sdk = botocore.session.Session()
    whole, quick = Loader(), service_models.TrimmedLoader()
    regions = [
        region for partition in sdk.get_available_partitions() for region in sdk.get_available_regions("ec2", partition)
    ]
    assert {"eu-central-1", "cn-north-1", "us-gov-west-1"} <= set(regions)
    for region in regions:
        assert sent(quick, service, region) == sent(whole, service, region)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAws]:
    """An AWS that this process's SDK is led to, with keys."""
    with running_aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield aws


def imds_of(aws: RunningAws) -> Imds:
    """The metadata service of this node."""
    return Imds(aws.imds_url, Deadline(60))


def client_of(aws: RunningAws, seconds: float = 60.0) -> Ec2:
    """Our client; its calls are tried again for so many seconds."""
    return Ec2(calls_of(aws, seconds), aws.account.topology.region)


def calls_of(aws: RunningAws, seconds: float = 60.0) -> Calls:
    """The calls of a client of ours, which are tried again for so many seconds."""
    return ec2_calls(Account(aws.account.topology.region), Deadline(seconds), imds_of(aws), Progress(""))


def everything(aws: RunningAws, seconds: float = 60.0) -> Tuple[object, ...]:
    """All that is read from EC2, after a route was written."""
    ec2, node = client_of(aws, seconds), aws.account.instance("node1")
    table = aws.account.route_table_ids[0]
    overlay = ip_network("192.168.10.10/32")
    try:
        ec2.create_route(table, overlay, node.network_interface_id)
    except RouteExistsError:
        ec2.replace_route(table, overlay, node.network_interface_id)
    found = ec2.network_interface(node.network_interface_id)
    around = Survey(calls_of(aws, seconds))
    return (
        around.security_groups(found.vpc_id),
        around.network_acls(found.vpc_id),
        around.peerings(found.vpc_id),
        around.interface_limits(ec2.instance(node.instance_id).instance_type),
        ec2.route_tables([table]),
        found,
        ec2.instance(node.instance_id),
        ec2.vpc_cidrs(found.vpc_id),
        ec2.subnet_cidrs(found.subnet_id),
    )


def test_answers_read_the_same(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whether the SDK has its whole model (AWS_DATA_PATH: the user's models come first) or the trimmed one."""
    loaded: List[str] = []
    load = service_models.TrimmedLoader.load_service_model

    def note(self: Any, service: str, *arguments: Any, **more: Any) -> Any:
        loaded.append(service)
        return load(self, service, *arguments, **more)

    monkeypatch.setattr(service_models.TrimmedLoader, "load_service_model", note)
    quick = everything(aws)
    assert "ec2" in loaded
    loaded.clear()
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    assert everything(aws) == quick
    assert loaded == []


def test_an_sdk_that_cannot_use_them(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A client is made all the same, with the SDK's own data."""
    quick = everything(aws)
    broken = tmp_path / "ec2" / "2016-11-15" / "service-2.json"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"metadata": {}}')
    monkeypatch.setattr(service_models, "MODELS", tmp_path)
    assert everything(aws) == quick


def damaged(directory: Path, damage: Callable[[Dict[str, Any]], None]) -> Path:
    """The trimmed models, with the one of EC2 damaged."""
    shutil.copytree(service_models.MODELS, directory)
    (path,) = (directory / "ec2").glob("*/service-2.json")
    model = json.loads(path.read_text())
    damage(model)
    path.write_text(json.dumps(model))
    return directory


def without_parameter(model: Dict[str, Any]) -> None:
    """The SDK refuses the parameter, which it does not know."""
    for operation in ("ReplaceRouteRequest", "CreateRouteRequest"):
        del model["shapes"][operation]["members"]["NetworkInterfaceId"]


def without_operation(model: Dict[str, Any]) -> None:
    """The client is made without such a method."""
    del model["operations"]["DescribeVpcs"]


def without_shape(model: Dict[str, Any]) -> None:
    """The SDK finds no shape for a part of the answer."""
    del model["shapes"]["RouteTable"]


DAMAGES = (without_parameter, without_operation, without_shape)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_call_that_fails_by_them_is_made_again(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[Dict[str, Any]], None]
) -> None:
    """By the SDK's own models, which answer it, and every call after it."""
    right = everything(aws)
    monkeypatch.setattr(service_models, "MODELS", damaged(tmp_path / "trimmed", damage))
    assert everything(aws) == right


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_the_sdks_own_models_such_a_call_fails(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[Dict[str, Any]], None]
) -> None:
    """The damage does what it says: the test above can fail."""
    monkeypatch.setattr(service_models, "MODELS", damaged(tmp_path / "trimmed", damage))

    def refuse(self: ServiceClient, error: Exception) -> None:
        raise error

    monkeypatch.setattr(ServiceClient, "_use_own_models", refuse)
    with pytest.raises(Error):
        everything(aws, seconds=1.0)


def test_many_calls_that_fail_by_them_at_once_are_all_made_again(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As many as there are tables, each on a thread of its own: none of them fails because another one was first."""
    monkeypatch.setattr(service_models, "MODELS", damaged(tmp_path / "trimmed", without_parameter))
    ec2, count = client_of(aws), 8
    table, eni = aws.account.route_table_ids[0], aws.account.instance("node1").network_interface_id
    overlay = ip_network("192.168.10.20/32")
    aws.account.put_route(str(overlay), "node2")
    together = threading.Barrier(count)
    changed: List[Exception] = []
    request, change = ServiceClient._request, ServiceClient._use_own_models

    def fail_together(*arguments: Any) -> Any:
        try:
            return request(*arguments)
        except Exception:
            together.wait(30)
            raise

    def note(self: ServiceClient, error: Exception) -> None:
        changed.append(error)
        change(self, error)

    monkeypatch.setattr(ServiceClient, "_request", fail_together)
    monkeypatch.setattr(ServiceClient, "_use_own_models", note)
    with ThreadPoolExecutor(count) as pool:
        # What the SDK refuses to send is an error that no `Calls` tries again.
        list(pool.map(lambda _: ec2.replace_route(table, overlay, eni), range(count)))
    assert len(changed) == 1
