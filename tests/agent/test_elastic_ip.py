"""The contract's row `allocation_id`: an Elastic IP that follows the service, in every mode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Union

import pytest

from sandbox import EniNode, Node, Ran, answers_on, crm_resource_stub, ip
from vpc_lab.ec2 import Fault, Policy, Statement, Timing
from vpc_lab.vpc import ElasticIp
from vpc_lab.waiting import eventually

DEGRADED = 190
NOT_RUNNING = 7
PRIVATE = "10.0.1.50"
UNKNOWN = "eipalloc-0123456789abcdef0"
MODES = ("overlay-ip", "eni", "private-ip")


@dataclass
class Service:
    """A resource with an Elastic IP. `eni` and `private`: what it has to be associated with. `address`: its own."""

    node: Union[Node, EniNode]
    mode: str
    allocation: str
    eni: str
    private: str
    address: str

    def there(self) -> ElasticIp:
        """The Elastic IP as it truly is."""
        return self.node.aws.account.world.elastic_ips[self.allocation]

    def followed(self) -> bool:
        """Whether it is associated with the service's private address."""
        found = self.there()
        return (found.network_interface_id, str(found.private_ip)) == (self.eni, self.private)

    def associate_elsewhere(self) -> str:
        """Associate it with another instance, as an administrator; the ENI."""
        other = self.node.aws.account.instance("consumer-b").network_interface_id
        self.associate(other)
        return other

    def associate(self, eni: str) -> None:
        """Associate it with the primary address of an ENI, as an administrator."""
        self.node.aws.api.administer(
            "AssociateAddress", AllocationId=self.allocation, NetworkInterfaceId=eni, AllowReassociation="true"
        )

    def run(self, action: str, **options: Any) -> Ran:
        """Run the agent."""
        return self.node.agent.run(action, **options)

    def look(self, on_drift: Optional[str] = None) -> Ran:
        """A recurring monitor at level 10."""
        return self.run("monitor", parameters={"on_drift": on_drift}, level=10, interval=10)

    def started(self) -> Ran:
        """Start it; that must succeed."""
        ran = self.run("start")
        assert ran.code == 0, ran
        return ran

    def drifted(self) -> str:
        """Start it, long ago, with Pacemaker; since then somebody has led the Elastic IP elsewhere: to this ENI."""
        self.started()
        self.node.forget_writes()
        crm_resource_stub(self.node, "managed")
        return self.associate_elsewhere()


@pytest.fixture
def make_service(make_node: Callable[..., Node], make_eni_node: Callable[..., EniNode]) -> Callable[..., Service]:
    """Make a service in a mode; the arguments are those of `running_aws`."""

    def make(mode: str, **options: Any) -> Service:
        node: Union[Node, EniNode]
        if mode == "eni":
            node = make_eni_node(**options)
            eni, private = node.eni, node.addresses[0]
            address = private
        else:
            node = make_node(**options)
            eni = node.me.network_interface_id
            address = node.address if mode == "overlay-ip" else PRIVATE
            private = str(node.me.address) if mode == "overlay-ip" else PRIVATE
            if mode == "private-ip":
                node.agent.parameters = {"mode": mode, "ip": f"2001:db8:1000:1::50,{PRIVATE},10.0.1.51"}
        node.aws.api.administer("AllocateAddress")
        (allocation,) = node.aws.account.world.elastic_ips
        node.agent.parameters["allocation_id"] = allocation
        service = Service(node, mode, allocation, eni, private, address)
        service.associate_elsewhere()
        return service

    return make


@pytest.fixture(params=MODES)
def service(make_service: Callable[..., Service], request: pytest.FixtureRequest) -> Service:
    """A service in each of the modes; another instance has its Elastic IP."""
    return make_service(request.param)


def in_mode(mode: str) -> pytest.MarkDecorator:
    """For what depends on EC2's answer about the Elastic IP, which is the same in every mode: one of them."""
    return pytest.mark.parametrize("service", [mode], indirect=True)


def logged(ran: Ran, level: str) -> List[str]:
    """What was logged at a level."""
    return [line for line in ran.stderr.splitlines() if line.startswith(f"{level}:")]


def of_elastic_ips(ran: Ran) -> List[str]:
    """The operations on Elastic IPs."""
    return [action for action in ran.ec2 if "Address" in action and "Private" not in action and "Ipv6" not in action]


def deny(service: Service, *actions: str) -> None:
    """Take permissions away from the nodes' role."""
    denied = Statement(tuple(f"ec2:{action}" for action in actions), effect="Deny")
    service.node.aws.account.identities.restrict_instances(Policy((Statement(("*",)), denied)))


# -- start ------------------------------------------------------------------------------------------------------------


def test_start(service: Service) -> None:
    """start takes the Elastic IP from whoever has it, with one call: overlay-ip and eni for the ENI's primary address,
    private-ip for the first IPv4 address of `ip`."""
    ran = service.started()
    assert service.followed(), service.there()
    assert of_elastic_ips(ran) == ["AssociateAddress"]
    assert logged(ran, "ERROR") == []
    assert answers_on(service.address)


def test_start_is_idempotent(service: Service) -> None:
    """A second start associates it again, as it asserts everything else in the cloud."""
    service.started()
    service.associate_elsewhere()
    again = service.started()
    assert service.followed()
    assert of_elastic_ips(again) == ["AssociateAddress"]


def test_without_it(service: Service) -> None:
    """Without `allocation_id` no Elastic IP is asked for or moved; awseip's `elastic_ip` has no effect."""
    service.node.agent.parameters.update(allocation_id="", elastic_ip="203.0.113.1")
    calls = service.node.aws.calls()
    service.started()
    for action in ("monitor", "validate-all"):
        assert service.run(action, level=10, interval=10).code == 0
    asked = {call.action for call in service.node.aws.calls()[len(calls) :]}
    assert not asked & {"AssociateAddress", "DescribeAddresses"}
    assert not service.followed()


def test_never_before_the_address(service: Service) -> None:
    """Not before the local address is there: a start that does not get that far leaves the Elastic IP where it is."""
    if service.mode == "overlay-ip":  # an address of DHCP: certainly the node's own
        ip("address", "add", f"{service.address}/32", "dev", "eth0", "valid_lft", "600", "preferred_lft", "600")
    else:
        deny(service, "AssignPrivateIpAddresses", "AttachNetworkInterface")
    ran = service.run("start")
    assert ran.code != 0, ran
    assert of_elastic_ips(ran) == []


def test_at_the_same_time_as_the_routes(make_service: Callable[..., Service]) -> None:
    """overlay-ip: associated while the routes are still being written, with the address on the node already."""
    service = make_service("overlay-ip")
    service.node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    with service.node.agent.begin("start", timeout=60) as running:
        eventually("the Elastic IP is associated", service.followed)
        assert answers_on(service.address)
        assert {call.outcome for call in service.node.aws.calls("ReplaceRoute")} <= {"pending", "fault:hang"}
        running.process.kill()


def test_not_after_instance_metadata(make_service: Callable[..., Service]) -> None:
    """private-ip: associated once EC2 has assigned the address, while instance metadata does not list it yet."""
    service = make_service("private-ip", timing=Timing(imds_address_lag=math.inf))
    with service.node.agent.begin("start", timeout=300) as running:
        eventually("the Elastic IP is associated", service.followed)
        running.process.kill()


@in_mode("eni")
def test_an_answer_that_does_not_come(service: Service) -> None:
    """A hanging AssociateAddress holds the start up for a few seconds, not until its timeout: 0, and an error in the
    log that it is not known whether the Elastic IP is here."""
    service.node.aws.faults.add(Fault("hang", action="AssociateAddress"))
    ran = service.run("start", timeout=300)
    assert ran.code == 0, ran
    (error,) = logged(ran, "ERROR")
    assert "not known" in error
    assert service.allocation in error
    assert "AssociateAddress" in error
    assert answers_on(service.address)


@in_mode("private-ip")
def test_throttled(service: Service) -> None:
    """AssociateAddress is throttled to the end: 0, and an error in the log with EC2's code."""
    service.node.aws.faults.add(Fault("error", action="AssociateAddress", code="RequestLimitExceeded"))
    ran = service.run("start", timeout=300)
    assert ran.code == 0, ran
    (error,) = logged(ran, "ERROR")
    assert "AssociateAddress: RequestLimitExceeded" in error


@in_mode("overlay-ip")
def test_nothing_outlasts_the_deadline(service: Service) -> None:
    """With no time left for its answer a start whose address is served succeeds all the same."""
    service.node.aws.faults.add(Fault("hang", action="AssociateAddress"))
    ran = service.run("start", timeout=8)
    assert ran.code == 0, ran
    assert len(logged(ran, "ERROR")) == 1
    assert answers_on(service.address)


@in_mode("eni")
def test_denied(service: Service) -> None:
    """No permission: start is 0, with an error in the log that names EC2's code and the permission."""
    deny(service, "AssociateAddress")
    ran = service.started()
    (error,) = logged(ran, "ERROR")
    assert "AssociateAddress: UnauthorizedOperation" in error
    assert "ec2:AssociateAddress" in error
    assert ran.reasons == []
    assert answers_on(service.address)


@in_mode("private-ip")
def test_unknown(service: Service) -> None:
    """An allocation id that EC2 does not know: start is 0, with an error in the log that names the parameter."""
    service.node.agent.parameters["allocation_id"] = UNKNOWN
    (error,) = logged(service.started(), "ERROR")
    assert "AssociateAddress: InvalidAllocationID.NotFound" in error
    assert "parameter allocation_id" in error


@in_mode("overlay-ip")
def test_of_another_account(service: Service) -> None:
    """Another account's Elastic IP: EC2's AuthFailure then says nothing about the node's credentials, nor does this."""
    words = f"The address '{service.allocation}' does not belong to you."
    service.node.aws.faults.add(Fault("error", action="AssociateAddress", code="AuthFailure", message=words))
    (error,) = logged(service.started(), "ERROR")
    assert "AssociateAddress: AuthFailure" in error
    assert "parameter allocation_id" in error
    assert "credentials" not in error


# -- what is local only -----------------------------------------------------------------------------------------------


def test_no_call_where_only_the_kernel_counts(service: Service) -> None:
    """stop, a probe and a plain monitor ask EC2 nothing about it, and leave it where it is."""
    service.started()
    runs = [service.run("monitor"), service.run("monitor", interval=10), service.run("stop")]
    assert [ran.code for ran in runs] == [0, 0, 0]
    assert [of_elastic_ips(ran) for ran in runs] == [[], [], []]
    assert service.followed()


# -- monitor at level 10 ----------------------------------------------------------------------------------------------


def test_here(service: Service) -> None:
    """Associated here: 0, by one read."""
    service.started()
    ran = service.look()
    assert ran.code == 0, ran
    assert of_elastic_ips(ran) == ["DescribeAddresses"]
    assert ran.reasons == []


def test_repair(service: Service) -> None:
    """Associated elsewhere, as two reads say: associated here again, in place, 0 with a warning."""
    other = service.drifted()
    ran = service.look()
    assert ran.code == 0, ran
    assert of_elastic_ips(ran) == ["DescribeAddresses", "DescribeAddresses", "AssociateAddress"]
    assert service.followed()
    assert [line for line in logged(ran, "WARNING") if other in line]
    assert [line for line in logged(ran, "WARNING") if "again" in line]
    assert service.look().stderr == ""


@in_mode("overlay-ip")
def test_repair_of_one_that_is_associated_with_nothing(service: Service) -> None:
    """Somebody has disassociated it: associated here again."""
    service.drifted()
    association = service.there().association_id
    assert association is not None
    service.node.aws.api.administer("DisassociateAddress", AssociationId=association)
    assert service.look().code == 0
    assert service.followed()


def test_another_private_address(make_service: Callable[..., Service]) -> None:
    """private-ip: associated with this ENI, and with another address of it: that is elsewhere."""
    service = make_service("private-ip")
    service.drifted()
    service.associate(service.eni)
    ran = service.look()
    assert ran.code == 0, ran
    assert service.followed()


@pytest.mark.parametrize(("on_drift", "code"), [("restart", 1), ("report", DEGRADED)])
def test_on_drift(service: Service, on_drift: str, code: int) -> None:
    """`restart` answers 1 and `report` 190; neither writes."""
    other = service.drifted()
    ran = service.look(on_drift)
    assert ran.code == code, ran
    assert other in ran.reason
    assert "AssociateAddress" not in ran.ec2


@in_mode("eni")
def test_repair_that_fails(service: Service) -> None:
    """The address is served, so a repair that EC2 refuses is 190 and never 1."""
    service.drifted()
    deny(service, "AssociateAddress")
    ran = service.look()
    assert ran.code == DEGRADED, ran
    assert service.allocation in ran.reason[:110]
    assert "AssociateAddress: UnauthorizedOperation" in ran.reason


@in_mode("private-ip")
def test_repair_without_an_answer(service: Service) -> None:
    """EC2 does not say whether it was associated: 190."""
    service.drifted()
    service.node.aws.faults.add(Fault("hang", action="AssociateAddress"))
    ran = service.look()
    assert ran.code == DEGRADED, ran
    assert "AssociateAddress" in ran.reason


def test_not_managed(service: Service) -> None:
    """Never a write while Pacemaker does not manage the resource."""
    service.drifted()
    crm_resource_stub(service.node, "unmanaged")
    ran = service.look()
    assert ran.code == DEGRADED, ran
    assert "AssociateAddress" not in ran.ec2


def test_own_write(service: Service) -> None:
    """For 60 s after this node's own write a read that contradicts it is no evidence: 190, and no write."""
    service.started()
    service.associate_elsewhere()
    ran = service.look()
    assert ran.code == DEGRADED, ran
    assert of_elastic_ips(ran) == ["DescribeAddresses"]
    assert service.allocation in ran.reason


@in_mode("overlay-ip")
def test_a_failed_start_is_no_write(service: Service) -> None:
    """After a start that could not associate it, the next monitor associates it, without those 60 s."""
    service.started()
    service.associate_elsewhere()
    fault = service.node.aws.faults.add(Fault("error", action="AssociateAddress", code="OperationNotPermitted"))
    service.started()
    service.node.aws.faults.remove(fault)
    crm_resource_stub(service.node, "managed")
    ran = service.look()
    assert ran.code == 0, ran
    assert service.followed()


@in_mode("overlay-ip")
def test_one_that_cannot_be_associated_is_no_reason_to_restart(service: Service) -> None:
    """ "One that cannot be associated … 190 at level 10", also under `restart`: each start would be refused again."""
    service.started()
    service.associate_elsewhere()
    deny(service, "AssociateAddress")
    assert service.node.agent.run("start").code == 0
    ran = service.look("restart")
    assert ran.code == DEGRADED, ran
    assert service.allocation in ran.reason[:110]


@in_mode("eni")
@pytest.mark.parametrize("on_drift", ["repair", "restart"])
def test_unknown_to_a_monitor(service: Service, on_drift: str) -> None:
    """One that EC2 does not know is 190, naming it, whatever `on_drift` says."""
    service.started()
    service.node.agent.parameters["allocation_id"] = UNKNOWN
    ran = service.look(on_drift)
    assert ran.code == DEGRADED, ran
    assert UNKNOWN in ran.reason[:110]
    assert "DescribeAddresses: InvalidAllocationID.NotFound" in ran.reason


@in_mode("private-ip")
def test_a_read_that_is_denied(service: Service) -> None:
    """No permission to read it: 190, naming the operation."""
    service.started()
    deny(service, "DescribeAddresses")
    ran = service.look("restart")
    assert ran.code == DEGRADED, ran
    assert "DescribeAddresses: UnauthorizedOperation" in ran.reason


@in_mode("overlay-ip")
def test_a_read_without_an_answer(service: Service) -> None:
    """EC2 does not answer the read: 190."""
    service.started()
    service.node.aws.faults.add(Fault("hang", action="DescribeAddresses"))
    ran = service.look("restart")
    assert ran.code == DEGRADED, ran
    assert "DescribeAddresses" in ran.reason


def test_the_address_counts_first(service: Service) -> None:
    """Without the address the Elastic IP makes no difference: 7, and nothing is asked."""
    service.started()
    assert service.run("stop").code == 0
    ran = service.look()
    assert ran.code == NOT_RUNNING, ran
    assert of_elastic_ips(ran) == []


def test_a_repair_beside_a_repair(make_service: Callable[..., Service]) -> None:
    """Routes and Elastic IP both led elsewhere: one monitor repairs both."""
    service = make_service("overlay-ip")
    assert isinstance(service.node, Node)
    service.drifted()
    service.node.point_routes_at("node2")
    ran = service.look()
    assert ran.code == 0, ran
    assert service.followed()
    assert set(service.node.routes().values()) == {service.eni}


# -- validate-all -----------------------------------------------------------------------------------------------------


def test_validate(service: Service) -> None:
    """validate-all at level 10 asks by a dry run whether it may be associated, and whether EC2 knows it: 0."""
    before = service.there()
    ran = service.run("validate-all", level=10)
    assert ran.code == 0, ran
    assert of_elastic_ips(ran) == ["AssociateAddress", "DescribeAddresses"]
    assert service.there() == before


@in_mode("eni")
def test_validate_unknown(service: Service) -> None:
    """One that EC2 does not know: 2, naming the parameter and the value."""
    service.node.agent.parameters["allocation_id"] = UNKNOWN
    ran = service.run("validate-all", level=10)
    assert ran.code == 2, ran
    assert f"parameter allocation_id: {UNKNOWN}" in ran.reason


@in_mode("private-ip")
@pytest.mark.parametrize("action", ["AssociateAddress", "DescribeAddresses"])
def test_validate_denied(service: Service, action: str) -> None:
    """A permission is missing: 4, naming it."""
    deny(service, action)
    ran = service.run("validate-all", level=10)
    assert ran.code == 4, ran
    assert f"{action}: UnauthorizedOperation" in ran.reason
