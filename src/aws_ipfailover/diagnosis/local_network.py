"""Checks of what this node itself does to packets to and from the address: its packet filter, its routes and rules.

Only what certainly keeps packets away is told: see `packet_filter`. Facts: nft(8), iptables-save(8), ip-rule(8),
ip-route(8); the kernel's networking/ip-sysctl (the larger of conf/all/rp_filter and conf/DEVICE/rp_filter counts, and 1
drops what comes in by another interface than an answer would leave by); Amazon VPC User Guide, "Route tables" (the
first addresses of a subnet are the VPC's own).
"""

from __future__ import annotations

import json
import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from aws_ipfailover import programs
from aws_ipfailover.address import Address
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.finding import (
    FILTERS,
    Check,
    Command,
    Finding,
    Needs,
    NotAskedError,
    passed,
    untold,
    warned,
)
from aws_ipfailover.diagnosis.iptables_save import OF_IPTABLES, objects_of
from aws_ipfailover.diagnosis.packet_filter import dropping
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError, Error, MissingError, UnknownError
from aws_ipfailover.holdings.overlay_routes import CHECK_UNTOLD
from aws_ipfailover.kernel.command import Ip
from aws_ipfailover.kernel.links import Link

_MODES = ("overlay-ip", "private-ip")
# For each version of IP: the file that lists the tables of iptables-legacy, and who prints the rules.
_IPTABLES = {4: ("ip", "ip_tables_names", "iptables"), 6: ("ip6", "ip6_tables_names", "ip6tables")}
_STRICT = 1
_LOOK = ("Look at routes and rules.",)


# -- the packet filter -------------------------------------------------------------------------------------------------


def _packet_filter(surroundings: Surroundings) -> Finding:
    addresses, device = surroundings.values().ip, surroundings.link().name
    if os.path.exists(f"/sys/class/net/{device}/master"):
        device = ""  # packets come in by the bridge, or the bond, that it belongs to
    versions = sorted({one.version for one in addresses})
    objects = packet_filters(versions, surroundings.deadline)
    for address in addresses:
        found = dropping(objects, address, device)
        if found is None:
            continue
        command: Command = ("nft", "--handle", "list", "chain", found.family, found.table, found.chain)
        if found.table.endswith(OF_IPTABLES):
            command = (f"{_IPTABLES[address.version][2]}-save",)
        return warned(str(found), "Let through what the service needs, before that.", command)
    return passed("nothing drops all that comes for the address, or all answers from it; ports are not looked at")


def packet_filters(versions: Sequence[int], deadline: Deadline, net: Path = Path("/proc/net")) -> List[Any]:
    """The rules of nftables and of iptables, as the objects of `nft --json`. `net`: the kernel's directory.

    Raises:
        UnknownError: there can be some that cannot be read.
    """
    nft = programs.find("nft")
    objects = [] if nft is None else _nftables(nft, deadline)
    for version in versions:
        family, names, program = _IPTABLES[version]
        legacy = _text(net / names).strip()
        # Where there is no nft, iptables tells what it has put into nftables.
        if not legacy and (nft is not None or not _has_nftables(net)):
            continue
        found = (legacy and programs.find(f"{program}-legacy-save")) or programs.find(f"{program}-save")
        if not found:
            what, which = ("rules of iptables", "no") if legacy else ("nftables", "neither nft nor")
            raise UnknownError(f"the kernel has {what}, and {which} {program}-save is there")
        objects += objects_of(_printed([found], deadline), family)
    return objects


def _nftables(program: str, deadline: Deadline) -> List[Any]:
    try:
        found = json.loads(_printed([program, "--json", "list", "ruleset"], deadline) or '{"nftables": []}')["nftables"]
        return [one for one in found if isinstance(one, dict)]
    except (KeyError, TypeError, ValueError):
        raise UnknownError("nft --json list ruleset: its output is not what is expected") from None


def _has_nftables(net: Path) -> bool:
    """Whether the kernel has loaded nftables."""
    return any(line.startswith("nf_tables ") for line in _text(net.parent / "modules").splitlines())


def _text(path: Path) -> str:
    """A file of the kernel's; empty where it has none.

    Raises:
        UnknownError: it has one that cannot be read, as `ip_tables_names` by others than root.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnknownError(f"{path} cannot be read: {error.strerror}") from None


def _printed(command: Sequence[str], deadline: Deadline) -> str:
    name = os.path.basename(command[0])
    try:
        done = programs.run(command, deadline.remaining(), {**os.environ, "LC_ALL": "C"})
    except UnknownError as error:
        raise UnknownError(f"{name}: {error}") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:200]
        raise UnknownError(f"{name} fails ({done.returncode}){f': {said}' if said else ''}")
    return done.stdout


# -- the way of answers ------------------------------------------------------------------------------------------------


def _answers(surroundings: Surroundings) -> Finding:
    """By which interface answers would leave: asked for addresses of the VPC, which have consumers, or may get them."""
    link, ip = surroundings.link(), Ip(surroundings.deadline)
    if not link.up:
        raise NotAskedError("interface")
    cidrs = surroundings.node().vpc_cidrs()
    overlay = surroundings.values().mode == "overlay-ip"
    here = {one.address for one in surroundings.kernel.addresses.find(surroundings.values().ip)}
    for address in surroundings.values().ip:
        own_rules = [] if address in here else rules_for(ip.json(f"-{address.version}", "rule", "show"), address)
        if own_rules:
            return untold(
                f"rules for {address} decide about its answers, which the kernel tells only where the address is:"
                f" {', '.join(own_rules)}",
                "Ask on the active node.",
                ("ip", f"-{address.version}", "rule", "show"),
            )
        for cidr in cidrs:
            # An overlay address within a CIDR of the VPC: that is what the check outside-vpc tells.
            if cidr.version != address.version or (overlay and address in cidr):
                continue
            for consumer in dict.fromkeys((cidr[1], cidr[-2])) if cidr.num_addresses > 3 else ():
                found = _answer(surroundings, ip, link, address, consumer, local=address in here)
                if found is not None:
                    return found
    return passed(f"they leave by {link.name}, as far as the VPC's CIDRs tell")


def _answer(
    surroundings: Surroundings, ip: Ip, link: Link, address: Address, consumer: Address, *, local: bool
) -> Optional[Finding]:
    """What keeps an answer to one consumer away; `None` if nothing certainly does."""
    source = ("from", str(address)) if local else ()
    question = ("ip", f"-{address.version}", "route", "get", str(consumer), *source)
    try:
        routes = ip.json(*question[1:])
    except (MissingError, UnknownError):
        raise
    except DeniedError:  # EACCES is a rule's or route's answer: this question needs no root
        return warned(f"answers to {consumer} go nowhere: a rule or route prohibits them", *_LOOK, question)
    except Error as error:
        return warned(f"answers to {consumer} go nowhere: {error}", *_LOOK, question)
    route = routes[0] if routes else {}
    device = str(route.get("dev", ""))
    if not device or device == link.name or route.get("type") == "local":
        return None
    if address.version == 4 and _reverse_path_filter(link.name) == _STRICT:
        return warned(
            f"answers to {consumer} would leave by {device}, so that rp_filter=1 of {link.name} drops what comes from"
            " there",
            f"Add a rule and a route by which they leave by {link.name}, or switch to the loose filter.",
            question,
            ("sysctl", "--write", f"net.ipv4.conf.{link.name}.rp_filter=2"),
        )
    return _by_another(surroundings, device, address, consumer, question)


def _by_another(
    surroundings: Surroundings, device: str, address: Address, consumer: Address, question: Sequence[str]
) -> Optional[Finding]:
    """An answer leaves by another interface than packets come in by: EC2 drops it, if that is an ENI that checks."""
    macs = [one.mac for one in surroundings.links() if one.name == device and one.mac and not one.virtual]
    for eni in surroundings.ec2().network_interfaces_with(macs) if macs else ():
        if address in eni.addresses:
            continue
        if eni.source_dest_check is None:
            raise UnknownError(f"{CHECK_UNTOLD} of {eni.network_interface_id}")
        if eni.source_dest_check:
            return warned(
                f"answers to {consumer} leave by {device}, and the source/destination check of"
                f" {eni.network_interface_id} drops them, as they come from {address}",
                "Add a rule and a route by which they leave by the address's own interface.",
                tuple(question),
            )
    return None


def rules_for(rules: Sequence[Mapping[str, Any]], address: Address) -> List[str]:
    """The policy rules that treat answers from an address otherwise than all that this node sends, as words. Pure.

    `rules`: of `ip -json rule show`. Those for packets that come in do not count, nor those of other sources.
    """
    found: List[str] = []
    for rule in rules:
        source = str(rule.get("src", "all"))
        if source == "all" or rule.get("iif") not in (None, "lo"):
            continue
        try:
            named = address in ip_network(
                f"{source}/{rule.get('srclen', ip_address(source).max_prefixlen)}", strict=False
            )
        except ValueError:
            named = True
        if named is ("not" in rule):
            continue
        does = f"lookup {rule['table']}" if "table" in rule else str(rule.get("action", "?"))
        negated = "not " if "not" in rule else ""
        found.append(f"{rule.get('priority', '?')}: {negated}from {source} {does}")
    return found


def _reverse_path_filter(device: str) -> int:
    """The reverse path filter in force: 0 none, 1 strict, 2 loose.

    Raises:
        UnknownError: it cannot be read.
    """
    found: Dict[str, int] = {}
    for name in ("all", device):
        path = f"/proc/sys/net/ipv4/conf/{name}/rp_filter"
        try:
            found[name] = int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise UnknownError(f"{path} cannot be read: {error}") from None
    return max(found.values())


CHECKS = (
    Check(
        *("packet-filter", "Packet filter", "Does this node's packet filter let anything through to the address?"),
        *(FILTERS, Needs.METADATA, _packet_filter),
        modes=_MODES,
    ),
    Check(
        *("answers", "Way of answers", "Do answers to the VPC leave by the interface that the address is on?"),
        *(FILTERS, Needs.METADATA, _answers),
        modes=_MODES,
    ),
)
