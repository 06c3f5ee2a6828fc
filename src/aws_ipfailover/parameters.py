"""The agent's parameters: the only list of them. Parsing, metadata and documentation are all made from `PARAMETERS`.

Checks here look at text only. Nothing is asked of the kernel, IMDS or AWS, so what they refuse is wrong on every node.
Named tuples instead of dataclasses, whose import costs a probe a tenth of its time.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.errors import ParameterError
from aws_ipfailover.failover import OnDrift
from aws_ipfailover.modes import MODES, mode_named

_TRUE = ("1", "on", "true", "t", "yes", "y", "ja")
_FALSE = ("0", "off", "false", "f", "no", "n")
# EC2 ids end in 8 hexadecimal digits (before 2018) or 17.
_RESOURCE_ID = "[0-9a-f]{8}([0-9a-f]{9})?"
_NAME_LENGTH = 15  # IFNAMSIZ - 1, for interfaces and for address labels
_ALTNAME_LENGTH = 127  # ALTIFNAMSIZ - 1
_LONGEST_SHOWN = 200
# Characters of an AWS tag.
_LONGEST_TAG_KEY = 128
_LONGEST_TAG = 256
_LONGEST_DRAIN = 3600  # seconds


class TableNames(NamedTuple):
    """Which route tables `routing_table` names: by id, by tags (key and value), and `auto`."""

    ids: Tuple[str, ...] = ()
    tags: Tuple[Tuple[str, str], ...] = ()
    auto: bool = False

    @property
    def need_lookup(self) -> bool:
        """Whether EC2 has to be asked which tables these are."""
        return bool(self.tags or self.auto)


class Values(NamedTuple):
    """The parameters of one resource, checked and typed; `None` or empty where not given.

    `destination`: never empty if `ip` is not, as by default each address is a destination of its own.
    """

    mode: str
    ip: Tuple[Address, ...]
    destination: Tuple[Cidr, ...]
    routing_table: TableNames
    routing_table_role: Optional[str]
    external_id: Optional[str]
    allocation_id: Optional[str]
    network_interface_id: Optional[str]
    device_index: Optional[int]
    network_card_index: int
    interface: Optional[str]
    iflabel: Optional[str]
    region: Optional[str]
    profile: Optional[str]
    endpoint_url: Optional[str]
    insecure_endpoint: bool
    monapi: bool
    on_drift: OnDrift
    drain: int

    @property
    def required_network_interface_id(self) -> str:
        """`network_interface_id`, in a mode that requires it."""
        if self.network_interface_id is None:
            expected = _EXAMPLES["network_interface_id"]
            raise ParameterError(f"parameter network_interface_id is missing, expected {expected}")
        return self.network_interface_id


def _mode(text: str) -> str:
    names = [mode.name for mode in MODES]
    if text not in names:
        raise ValueError(" or ".join(names))
    return text


_OF_AWS = ip_network("fd00:ec2::/32")


def _address(text: str) -> Address:
    right = "an IPv4 or IPv6 address without prefix length"
    if "%" in text:
        raise ValueError(right + " and without a zone")
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(right) from None
    first = address.packed[0]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError("that IPv4 address itself")
    if (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or (address.version == 4 and (first == 0 or first >= 240))
    ):
        raise ValueError("a unicast address that is not loopback, link-local or unspecified")
    if address in _OF_AWS:
        raise ValueError("an address outside fd00:ec2::/32, which AWS has for instance metadata and the like")
    return address


def _addresses(text: str) -> Tuple[Address, ...]:
    return tuple(dict.fromkeys(_each(text, _address)))


def _each(text: str, check: Callable[[str], Any]) -> List[Any]:
    """The checked parts of a list; raises `ValueError`, which quotes the wrong part of several."""
    parts = [part.strip() for part in text.split(",")]
    checked = []
    for part in parts:
        try:
            checked.append(check(part))
        except ValueError as right:
            if len(parts) == 1:
                raise
            raise ValueError(f"{right}, separated by commas, and not {_shown(part)}") from None
    return checked


def _destinations(text: str) -> Tuple[Cidr, ...]:
    return tuple(dict.fromkeys(_each(text, _destination)))


def _destination(text: str) -> Cidr:
    right = "an IPv4 or IPv6 CIDR such as 10.1.0.0/24"
    if not re.fullmatch(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", text, re.ASCII):
        raise ValueError(right)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(right) from None
    if ip_address(text.split("/", maxsplit=1)[0]) != network.network_address:
        raise ValueError(f"the network itself, {network}")
    if network.prefixlen == 0:
        raise ValueError("a CIDR of the service's own, and not the default route")
    return network


def _route_tables(text: str) -> TableNames:
    ids: List[str] = []
    tags: List[Tuple[str, str]] = []
    auto = False
    for part in (one.strip() for one in text.split(",")):
        key, equals, value = part[len("tag:") :].partition("=")
        if part == "auto":
            auto = True
        elif part.startswith("tag:") and equals and _is_tag(key, value):
            tags.append((key, value))
        elif re.fullmatch("rtb-" + _RESOURCE_ID, part):
            ids.append(part)
        else:
            raise ValueError(
                "route table ids such as rtb-0123456789abcdef0, tag:KEY=VALUE or auto, separated by commas"
            )
    return TableNames(tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(tags)), auto)


def _is_tag(key: str, value: str) -> bool:
    """Whether EC2 takes it for a tag; bytes that are no UTF-8, which Python has as surrogates, cannot be sent."""
    is_text = not any("\ud800" <= one <= "\udfff" for one in key + value)
    return 0 < len(key) <= _LONGEST_TAG_KEY and len(value) <= _LONGEST_TAG and is_text


def _allocation_id(text: str) -> str:
    if not re.fullmatch("eipalloc-" + _RESOURCE_ID, text):
        raise ValueError("the allocation id of an Elastic IP such as eipalloc-0123456789abcdef0")
    return text


def _external_id(text: str) -> str:
    # What STS accepts: API reference, AssumeRole.
    if not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", text, re.ASCII):
        raise ValueError("2 to 1224 letters, digits and characters of +=,.@:/-_")
    return text


def _role(text: str) -> str:
    if not re.fullmatch(r"arn:aws(-[a-z0-9]+)*:iam::[0-9]{12}:role/(?!.*arn:)([!-~]*/)?[\w+=,.@-]+", text, re.ASCII):
        raise ValueError("the ARN of an IAM role, such as arn:aws:iam::123456789012:role/NAME")
    return text


def _network_interface_id(text: str) -> str:
    if not re.fullmatch("eni-" + _RESOURCE_ID, text):
        raise ValueError("the id of a network interface such as eni-0123456789abcdef0")
    return text


_RIGHT_DEVICE_INDEX = "a device index from 1 on"


def _device_index(text: str) -> int:
    # No instance type has more than a few dozen interfaces. `parse` refuses the primary ENI's 0.
    if not re.fullmatch("[0-9]{1,3}", text, re.ASCII):
        raise ValueError(_RIGHT_DEVICE_INDEX)
    return int(text)


def _network_card_index(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text, re.ASCII):
        raise ValueError("the index of a network card, from 0 on")
    return int(text)


def _interface(text: str) -> str:
    if len(text) > _ALTNAME_LENGTH or text in (".", "..") or re.search(r"[/:\s\x00-\x20\x7f]", text):
        raise ValueError("the name of a network interface, such as eth0")
    return text


def _label(text: str) -> str:
    if not re.fullmatch(r"[^\s:/\x00-\x20\x7f]{1,13}", text):
        raise ValueError(f"a label of which INTERFACE:LABEL has at most {_NAME_LENGTH} characters")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}", text):
        raise ValueError("an AWS region such as eu-central-1")
    return text


def _profile(text: str) -> str:
    if re.search(r"[\[\]\x00-\x1f\x7f]", text):
        raise ValueError("the name of a profile of the shared AWS configuration")
    return text


def _endpoint_url(text: str) -> str:
    match = re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}))?(/\S*)?", text)
    if not match or int(match.group(3) or 443) not in range(1, 65536):
        raise ValueError("an http or https URL without user and password, such as https://vpce-….amazonaws.com")
    return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("true or false (also yes, no, on, off, 1, 0)")


def is_true(text: str) -> bool:
    """Whether a text is one of OCF's truth values for true."""
    return text.strip().lower() in _TRUE


def _on_drift(text: str) -> OnDrift:
    try:
        return OnDrift(text)
    except ValueError:
        raise ValueError(" or ".join(one.value for one in OnDrift)) from None


def _drain(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text, re.ASCII) or int(text) > _LONGEST_DRAIN:
        raise ValueError(f"whole seconds from 0 to {_LONGEST_DRAIN}")
    return int(text)


def _anything(text: str) -> str:
    return text


class Parameter(NamedTuple):
    """One parameter of the agent; `check` converts its text, or raises `ValueError` with what is expected."""

    name: str
    check: Callable[[str], Any]
    shortdesc: str
    longdesc: str
    content: str = "string"  # OCF's type of the content
    options: Tuple[str, ...] = ()  # the values, where the type is select
    default: Optional[str] = None
    required: bool = False
    unique_group: Optional[str] = None
    reloadable: bool = False
    deprecated: bool = False
    replaced_with: Optional[str] = None


def _ignored(name: str, content: str, meant: str, agent: str = "aws-vpc-move-ip") -> Parameter:
    return Parameter(
        name,
        _anything,
        f"No effect ({meant})",
        f"Accepted for configurations written for {agent}, where it {meant}. It has no effect here.",
        content=content,
        reloadable=True,
        deprecated=True,
    )


PARAMETERS: Tuple[Parameter, ...] = (
    Parameter(
        "mode",
        _mode,
        "How the address moves",
        "overlay-ip: an address outside the VPC's CIDRs; every route table in routing_table gets a route for it to the"
        " network interface (ENI) of the active node. Works across availability zones."
        " eni: a network interface that has the address is detached from the failed node and attached to the active"
        " one, within one availability zone; it keeps its addresses, MAC address, security groups and Elastic IP."
        " private-ip: a secondary private address of the subnet moves between the nodes' own network interfaces.",
        content="select",
        options=tuple(mode.name for mode in MODES),
        default="overlay-ip",
    ),
    Parameter(
        "ip",
        _addresses,
        "Service addresses",
        "The address that moves: IPv4 or IPv6, without prefix length. overlay-ip (required): outside every CIDR of the"
        " VPC. private-ip (required): an address of the nodes' subnet. eni (optional): a further address on the"
        " interface. Several, separated by commas, move together.",
        unique_group="address",
        reloadable=True,
    ),
    Parameter(
        "destination",
        _destinations,
        "Destinations of the routes",
        "overlay-ip: CIDRs, separated by commas, that hold every address of ip: each route table gets one route for"
        " each of them, instead of one for each address.",
        reloadable=True,
    ),
    Parameter(
        "routing_table",
        _route_tables,
        "Route tables",
        "overlay-ip (required): all route tables through which the address is reached, separated by commas: ids;"
        " tag:KEY=VALUE for those of this node's VPC with that tag; auto for those of it that have a route for the"
        " destination. Tags and auto are looked up at each start, and at each monitor with OCF_CHECK_LEVEL=10.",
        reloadable=True,
    ),
    Parameter(
        "routing_table_role",
        _role,
        "Role for the route tables",
        "overlay-ip: ARN of an IAM role to assume for reading and writing the route tables, as in a shared VPC whose"
        " tables belong to another account. Any AWS partition.",
        reloadable=True,
    ),
    Parameter(
        "external_id",
        _external_id,
        "External id for the role",
        "overlay-ip: the external id that the trust policy of routing_table_role asks for.",
        reloadable=True,
    ),
    Parameter(
        "allocation_id",
        _allocation_id,
        "Elastic IP that follows",
        "Allocation id of an Elastic IP that start associates with the active node: in overlay-ip and eni with the"
        " network interface's primary private address, in private-ip with the first IPv4 address of ip. It moves across"
        " availability zones. One that cannot be associated fails no start: it is an error in the log, and a monitor"
        " with OCF_CHECK_LEVEL=10 shows the resource as degraded.",
        reloadable=True,
    ),
    Parameter(
        "network_interface_id",
        _network_interface_id,
        "Network interface that moves",
        "eni (required): id of the network interface that is attached to the active node. Not an instance's primary"
        " one.",
        unique_group="network-interface",
    ),
    Parameter(
        "device_index",
        _device_index,
        "Device index",
        "eni: the device index to attach the network interface at; by default the lowest free one from 1 on. 0 only on"
        " another network card than the first (network_card_index), whose 0 is the primary network interface's.",
        content="integer",
    ),
    Parameter(
        "network_card_index",
        _network_card_index,
        "Network card index",
        "eni: the network card to attach the network interface at, on instance types that have several. Device indexes"
        " are counted on each card by itself.",
        content="integer",
        default="0",
    ),
    Parameter(
        "interface",
        _interface,
        "Network interface",
        "Local network interface (name or alternative name) that gets the address; routes go to its ENI. By default"
        " the interface of the instance's primary ENI, found by its MAC address. eni: always the interface whose MAC"
        " address is the ENI's.",
    ),
    Parameter(
        "iflabel",
        _label,
        "Address label",
        "Label of an IPv4 address: it is shown as INTERFACE:LABEL, which has at most 15 characters.",
    ),
    Parameter(
        "region",
        _region,
        "AWS region",
        "The AWS region of the route tables. By default AWS_REGION, AWS_DEFAULT_REGION or the profile's region, else"
        " the region of this instance.",
        reloadable=True,
    ),
    Parameter(
        "profile",
        _profile,
        "AWS profile",
        "Profile of the shared AWS configuration. By default the AWS SDK's own chain, which ends at the instance's"
        " role.",
        reloadable=True,
    ),
    Parameter(
        "endpoint_url",
        _endpoint_url,
        "EC2 endpoint",
        "URL of the EC2 API, for a VPC interface endpoint without private DNS. By default the SDK's own choice.",
        reloadable=True,
    ),
    Parameter(
        "insecure_endpoint",
        _boolean,
        "Accept a plain http endpoint",
        "Whether the endpoint of EC2 or STS (endpoint_url, AWS_ENDPOINT_URL) may be plain http beyond this node's"
        " loopback. Whoever is on the way then reads the session token and can forge answers: each action warns of it.",
        content="boolean",
        default="false",
        reloadable=True,
    ),
    Parameter(
        "monapi",
        _boolean,
        "Ask EC2 in every monitor",
        "Whether every recurring monitor also asks EC2 where the routes point, as a monitor with OCF_CHECK_LEVEL=10"
        " does. An API that does not answer never fails the resource: it is then shown as degraded.",
        content="boolean",
        default="false",
        reloadable=True,
    ),
    Parameter(
        "on_drift",
        _on_drift,
        "What to do when the cloud side has changed",
        "What a monitor with OCF_CHECK_LEVEL=10 (or monapi=true) does when EC2 does not lead the address here any"
        " more, because somebody changed a route, for instance. repair: write what is missing, in place, and go on;"
        " nothing that depends on the address is restarted, and nothing is written while Pacemaker does not manage the"
        " resource. restart: answer 1, so that Pacemaker restarts the resource and all that depends on it. report:"
        " change nothing and show the resource as degraded.",
        content="select",
        options=tuple(one.value for one in OnDrift),
        default=OnDrift.REPAIR.value,
        reloadable=True,
    ),
    Parameter(
        "drain",
        _drain,
        "Seconds to go on answering after a planned move",
        "overlay-ip with the meta attribute allow-migrate=true: for so many seconds after the new node has the routes,"
        " the old one goes on answering, as AWS makes a written route effective at its own pace. 0 to 3600, and at most"
        " half of the time that stop has.",
        content="integer",
        default="1",
        reloadable=True,
    ),
    Parameter(
        "address",
        _addresses,
        "Service addresses",
        "The former name of ip.",
        unique_group="address",
        reloadable=True,
        deprecated=True,
        replaced_with="ip",
    ),
    Parameter(
        "secondary_private_ip",
        _addresses,
        "Service addresses",
        "The name of ip in awsvip, whose users set mode=private-ip.",
        unique_group="address",
        reloadable=True,
        deprecated=True,
        replaced_with="ip",
    ),
    _ignored("elastic_ip", "string", "was the Elastic IP that allocation_id names too", "awseip"),
    _ignored("api_delay", "integer", "was the pause between calls of the API", "awseip and awsvip"),
    _ignored("lookup_type", "string", "chose between instance and network interface ids"),
    _ignored("auth_type", "string", "chose between an access key and the instance's role"),
    _ignored("awscli", "string", "was the path of the AWS CLI"),
    _ignored("awscli_timeout", "string", "was the AWS CLI's connect timeout"),
    _ignored("curl_retries", "string", "was the number of tries for instance metadata"),
    _ignored("curl_sleep", "string", "was the pause between tries for instance metadata"),
)

_BY_NAME: Dict[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}


def _value(name: str, given: Mapping[str, str]) -> Any:
    parameter = _BY_NAME[name]
    text = given.get(name, "").strip() or parameter.default
    if text is None:
        return None
    try:
        return parameter.check(text)
    except ValueError as right:
        if name == "external_id":  # a secret between two accounts
            text = "***"
        if name == "endpoint_url" and "@" in text:  # the part before it can contain a password
            text = "***" + text[text.rindex("@") :]
        raise ParameterError(f"parameter {name}: {_shown(text)} is wrong, expected {right}") from None


def _shown(text: str) -> str:
    """A value quoted for a message, and cut if it is long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


class Held(NamedTuple):
    """What a resource can hold on a node, by its parameters: all that stop and a probe need.

    `mode`: eni where the parameter names none of the modes, because the ENI can still be here. `addresses`: those of
    `ip`. `others`: those that only another name of `ip` gives, against what start accepts. `complaints`: what
    is wrong with the parameters.
    """

    mode: str
    addresses: Tuple[Address, ...]
    others: Tuple[Address, ...]
    network_interface_id: Optional[str]
    complaints: Tuple[str, ...]

    def and_also(self, addresses: Sequence[Address]) -> Held:
        """The same, and these addresses."""
        more = (one for one in addresses if one not in self.addresses and one not in self.others)
        return self._replace(others=(*self.others, *more))


# The names under which the service addresses can be given.
NAMES_OF_IP = ("ip", *(parameter.name for parameter in PARAMETERS if parameter.replaced_with == "ip"))


def held(given: Mapping[str, str]) -> Held:
    """Read the valid ones of these parameters: an error in another one must not keep stop from removing an address.

    Never raises. An invalid `ip` names nothing, because what it seems to name may be another resource's.
    """
    named: List[Tuple[Address, ...]] = []
    complaints: List[str] = []

    def attempt(name: str) -> Any:
        try:
            return _value(name, given)
        except ParameterError as error:
            complaints.append(str(error))
            return None

    for name in NAMES_OF_IP:
        if given.get(name, "").strip():
            found = attempt(name)
            named += [found] if found else []
    addresses = named[0] if named else ()
    others = dict.fromkeys(one for more in named[1:] for one in more if one not in addresses)
    # With an invalid mode the ENI can still be here, if its id is given.
    mode = attempt("mode") or "eni"
    eni = attempt("network_interface_id") if mode == "eni" else None
    if not addresses and eni is None and not complaints:
        complaints.append(f"parameter {mode_named(mode).required[0]} is missing")
    return Held(mode, addresses, tuple(others), eni, tuple(complaints))


def parse(given: Mapping[str, str]) -> Values:
    """Check every parameter of `given` (names without the OCF prefix); an empty value counts as not given.

    Raises:
        ParameterError: for the first one that is wrong or missing.
    """
    checked = {name: _value(name, given) for name in _BY_NAME}
    checked["ip"] = _service_addresses(checked)
    url = checked["endpoint_url"]
    if url is not None and is_insecure(url) and not checked["insecure_endpoint"]:
        raise ParameterError(f"parameter endpoint_url: {_shown(url)} {PLAIN_HTTP}")
    for name in mode_named(checked["mode"]).required:
        if not checked[name]:
            raise ParameterError(f"parameter {name} is missing, expected {_EXAMPLES[name]}")
    if checked["device_index"] == 0 and checked["network_card_index"] == 0:
        # The primary ENI's, which cannot move; the other network cards have a 0 of their own.
        raise ParameterError(f"parameter device_index: '0' is wrong, expected {_RIGHT_DEVICE_INDEX}")
    if checked["mode"] == "eni":  # the interface is the one with the ENI's MAC address, and gets no label
        checked["interface"] = checked["iflabel"] = None
    checked["routing_table"] = checked["routing_table"] or TableNames()
    if checked["mode"] == "overlay-ip":
        checked["destination"] = _holding(checked["ip"], checked["destination"])
    else:
        checked["destination"] = _hosts(checked["ip"])
    if checked["mode"] == "private-ip" and checked["allocation_id"] and all(one.version == 6 for one in checked["ip"]):
        raise ParameterError(
            f"parameter allocation_id: {checked['allocation_id']!r} is an IPv4 address's, expected one in ip too"
        )
    interface, label = checked["interface"], checked["iflabel"]
    if interface and label and len(f"{interface}:{label}") > _NAME_LENGTH:
        raise ParameterError(
            f"parameter iflabel: '{interface}:{label}' has {len(interface) + 1 + len(label)} characters,"
            f" expected at most {_NAME_LENGTH}"
        )
    return Values(**{name: checked[name] for name in Values._fields})


def _service_addresses(checked: Mapping[str, Any]) -> Tuple[Address, ...]:
    """The addresses under whichever name they are given.

    Raises:
        ParameterError: two names give different ones.
    """
    given = [(name, checked[name]) for name in NAMES_OF_IP if checked[name]]
    for name, addresses in given[1:]:
        first, expected = given[0]
        if set(addresses) != set(expected):
            raise ParameterError(
                f"parameters {first} and {name} differ ({_listed(expected)} and {_listed(addresses)}),"
                " expected ip alone"
            )
    return given[0][1] if given else ()


def _listed(things: Sequence[object]) -> str:
    text = ", ".join(map(str, things))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _hosts(addresses: Sequence[Address]) -> Tuple[Cidr, ...]:
    return tuple(ip_network(address) for address in addresses)


def _holding(addresses: Sequence[Address], destinations: Optional[Tuple[Cidr, ...]]) -> Tuple[Cidr, ...]:
    """The destinations of the routes, by default each address's own.

    Raises:
        ParameterError: one holds no address, or an address is in none.
    """
    if not destinations:
        return _hosts(addresses)
    for address in addresses:
        if not any(address in destination for destination in destinations):
            raise ParameterError(
                f"parameter destination: '{_listed(destinations)}' does not hold {address}, expected CIDRs that hold"
                " every address of ip"
            )
    for destination in destinations:
        if not any(address in destination for address in addresses):
            raise ParameterError(
                f"parameter destination: '{destination}' holds no address of ip, expected only CIDRs that hold one"
            )
    return destinations


_EXAMPLES = {
    "ip": "an IPv4 or IPv6 address",
    "routing_table": "route table ids separated by commas",
    "network_interface_id": "the id of a network interface",
}


# What to say of an endpoint that is refused because of it.
PLAIN_HTTP = (
    "is plain http, expected https (or insecure_endpoint=true: whoever is on the way reads this node's credentials)"
)


def is_insecure(url: str) -> bool:
    """Whether an endpoint is anything but https, and not on this node itself."""
    from urllib.parse import urlsplit  # here, because a probe and stop have no endpoint

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return True
    if parts.scheme == "https" or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def without_effect(given: Mapping[str, str]) -> List[str]:
    """A sentence for each parameter of `given` that most likely was to have an effect and has none."""
    set_ = {name for name, text in given.items() if text.strip()}
    told = [f"parameter {name} is not known to this agent" for name in sorted(given) if name not in _BY_NAME]
    for name, needed in (("external_id", "routing_table_role"), ("elastic_ip", "allocation_id")):
        if name in set_ and needed not in set_:
            told.append(f"parameter {name} is given without {needed}")
    return [f"{text} and has no effect" for text in told]
