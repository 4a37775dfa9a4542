# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses to be shut out: validated, compared with those that are, and written for nftables. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

FAMILY, TABLE = "inet", "runbook_block"
SETS = {4: "blocked4", 6: "blocked6"}
# Wider networks hold half a country.
_WIDEST = {4: 16, 6: 32}
MAX_ADDRESSES = 1000
MAX_TIMEOUT_SECONDS = 365 * 86400


@dataclass(frozen=True)
class Blocked:
    """A network that is shut out; C(left_seconds) until when, null for ever."""

    network: Network
    left_seconds: Optional[int] = None

    def facts(self) -> dict[str, Any]:
        """The entry of C(blocked)."""
        return {"address": text_of(self.network), "left_seconds": self.left_seconds}


@dataclass(frozen=True)
class Plan:
    """What is added and removed, in one transaction."""

    add: tuple[Network, ...] = ()
    remove: tuple[Network, ...] = ()
    refused: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is as it should be."""
        return not self.add and not self.remove


def networks_of(given: Sequence[str], option: str = "addresses") -> list[Network]:
    """Addresses and networks in CIDR notation.

    A host name is refused: it may have another address tomorrow, and a packet carries no name. So is an address with
    bits beyond its mask, which is mostly a mistake.
    """
    accepted = "an IP address, or a network in CIDR notation such as 198.51.100.0/24; names are no rule for packets"
    found: list[Network] = []
    for text in given:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=True))
        except ValueError as error:
            hint = f" ({error})" if "host bits" in str(error) else ""
            raise InvalidOption(option, text, accepted + hint) from None
    return found


def text_of(network: Network) -> str:
    """C(198.51.100.7), or C(198.51.100.0/24)."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def plan_block(
    wanted: Sequence[Network],
    blocked: Iterable[Blocked],
    protected: Mapping[str, str],
    *,
    allow_private: bool,
    allow_wide: bool,
    timeout_seconds: int = 0,
) -> Plan:
    """Shut out what is not, or not for long; C(protected) are addresses with the reason why they are never shut out."""
    present = list(blocked)
    add: list[Network] = []
    remove: list[Network] = []
    refused: list[tuple[str, str, str]] = []
    for network in _widest_first(wanted):
        covering = [each for each in present if _covers(each.network, network)]
        why = _refusal(network, protected, allow_private=allow_private, allow_wide=allow_wide)
        if not why and not any(_covers(each, network) for each in add):
            if any(_lasts(each, timeout_seconds) for each in covering):
                continue
            why = _ending(network, covering)
            if not why:
                # The set holds no two that overlap.
                remove += [each.network for each in present if _covers(network, each.network)]
                add.append(network)
        if why:
            refused.append((text_of(network), *why))
    return Plan(tuple(add), tuple(remove), tuple(refused))


def plan_unblock(wanted: Sequence[Network], blocked: Iterable[Blocked]) -> Plan:
    """Let in again what is shut out by exactly these; a part of a wider network is refused, not silently left."""
    present = [each.network for each in blocked]
    remove = [each for each in dict.fromkeys(wanted) if each in present]
    refused = [
        (text_of(each), f"it is shut out as part of {text_of(wider)}", f"Let {text_of(wider)} in, and block the rest.")
        for each in wanted
        if each not in present
        for wider in present
        if _covers(wider, each)
    ]
    return Plan((), tuple(remove), tuple(refused))


def _widest_first(networks: Sequence[Network]) -> list[Network]:
    return sorted(dict.fromkeys(networks), key=lambda each: each.prefixlen)


def _covers(wide: Network, narrow: Network) -> bool:
    return wide.version == narrow.version and narrow.subnet_of(wide)  # type: ignore[arg-type]


def _lasts(blocked: Blocked, timeout_seconds: int) -> bool:
    """Whether it is shut out for long enough: half of what is asked for, so that the next run leaves it alone."""
    return blocked.left_seconds is None or 0 < timeout_seconds <= 2 * blocked.left_seconds


def _ending(network: Network, covering: Sequence[Blocked]) -> Optional[tuple[str, str]]:
    """Why it is not shut out for longer: a wider network has the time, and others in it."""
    for each in covering:
        if each.network != network:
            wide = text_of(each.network)
            return (
                f"it is shut out as part of {wide}, for {each.left_seconds} s more",
                f"Shut out {wide} again for as long, or let it in first.",
            )
    return None


def _refusal(
    network: Network, protected: Mapping[str, str], *, allow_private: bool, allow_wide: bool
) -> Optional[tuple[str, str]]:
    for address, reason in protected.items():
        held = ipaddress.ip_network(address, strict=False)
        if held.version == network.version and held.overlaps(network):
            return reason, "Leave it out, or narrow the network."
    if network.is_loopback or network.is_multicast or network.is_unspecified or network.is_link_local:
        return "it is no address of anybody outside", "Leave it out."
    if network.is_private and not allow_private and not _is_documentation(network):
        return "it is a private network", "Set allow_private if the attacker is inside."
    if network.prefixlen < _WIDEST[network.version] and not allow_wide:
        return f"it is wider than /{_WIDEST[network.version]}", "Name narrower networks, or set allow_wide."
    return None


def _is_documentation(network: Network) -> bool:
    """The ranges of RFC 5737 and 3849 count as private for Python, and examples are written with them."""
    ranges = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    return any(_covers(ipaddress.ip_network(each), network) for each in ranges)


def blocked_of(listed: Mapping[str, Any]) -> list[Blocked]:
    """The elements of our sets in C(nft --json list table)."""
    found = []
    for entry in listed.get("nftables", []):
        one = entry.get("set")
        if one and one.get("table") == TABLE and one.get("name") in SETS.values():
            found += [_element(each) for each in one.get("elem", [])]
    return found


def _element(element: Any) -> Blocked:
    left = None
    if isinstance(element, Mapping) and "elem" in element:
        inner = element["elem"]
        left = inner.get("expires", inner.get("timeout"))
        element = inner["val"]
    if isinstance(element, Mapping) and "prefix" in element:
        prefix = element["prefix"]
        return Blocked(ipaddress.ip_network(f"{prefix['addr']}/{prefix['len']}"), left)
    if isinstance(element, Mapping) and "range" in element:
        first, last = (ipaddress.ip_address(each) for each in element["range"])
        network: Any = next(iter(ipaddress.summarize_address_range(first, last)))  # type: ignore[arg-type]
        return Blocked(network, left)
    return Blocked(ipaddress.ip_network(str(element)), left)


def script_of(plan: Plan, *, exists: bool, timeout_seconds: int, empties: bool) -> str:
    """The transaction for C(nft -f -): all of it is in force, or nothing."""
    if empties:
        return f"delete table {FAMILY} {TABLE}\n"
    lines = []
    if not exists:
        lines.append(f"add table {FAMILY} {TABLE}")
        for version, name in SETS.items():
            kind = "ipv4_addr" if version == 4 else "ipv6_addr"
            lines.append(f"add set {FAMILY} {TABLE} {name} {{ type {kind}; flags interval, timeout; }}")
        # Before the machine's own filters, and before connections are tracked as established.
        for hook in ("input", "forward"):
            lines.append(
                f"add chain {FAMILY} {TABLE} {hook} {{ type filter hook {hook} priority -300; policy accept; }}"
            )
            lines.append(f"add rule {FAMILY} {TABLE} {hook} ip saddr @blocked4 counter drop")
            lines.append(f"add rule {FAMILY} {TABLE} {hook} ip6 saddr @blocked6 counter drop")
    for verb, networks in (("delete", plan.remove), ("add", plan.add)):
        for network in networks:
            limit = f" timeout {timeout_seconds}s" if verb == "add" and timeout_seconds else ""
            name = SETS[network.version]
            lines.append(f"{verb} element {FAMILY} {TABLE} {name} {{ {text_of(network)}{limit} }}")
    return "\n".join(lines) + "\n"
