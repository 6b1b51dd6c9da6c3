"""Which network addresses may be fetched from: public ones, and those that somebody allowed.

The lists follow the IANA registries of special-purpose addresses (RFC 6890 and its successors).
They are written out, because what the standard library calls global differs between versions of
Python: 3.11 says it of multicast, 6to4, NAT64 and IPv4-compatible addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import psutil
from antiphon_contracts import ConfigError

from antiphon_documents.errors import ForbiddenAddress

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a provider (CGNAT)
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; clouds keep their secrets at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
PUBLIC_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
HOME = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
"""Where a host that is allowed by its name may live."""

WIDEST_OWN_PREFIX = 8


def is_address(text: str) -> bool:
    """Return whether a host is an address, and no name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet.

    An IPv4 address that is written as IPv6 never does, but for the well-known NAT64 prefix: there
    the address inside decides, since networks without IPv4 reach all of IPv4 through it.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return (
        address in PUBLIC_V6
        and address.scope_id is None
        and not any(address in network for network in SPECIAL_V6)
    )


def own_networks() -> tuple[Network, ...]:
    """Return the networks of this machine's interfaces: with IPv6 a whole house is public."""
    found: set[Network] = set()
    for cards in psutil.net_if_addrs().values():
        for card in cards:
            try:
                address = ip_address(card.address.partition("%")[0])
                mask = ip_address(card.netmask or "")
            except ValueError:  # a hardware address, or a point-to-point link
                continue
            prefix = int(mask).bit_count()
            if prefix >= WIDEST_OWN_PREFIX:
                found.add(ip_network(f"{address}/{prefix}", strict=False))
    return tuple(found)


@dataclass(frozen=True)
class Gate:
    """Says which addresses of a host may be connected to.

    Attributes:
        networks: private networks that are allowed.
        hosts: names that may lead into the house.
        own: tells the networks that this machine is part of.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    own: Callable[[], tuple[Network, ...]] = own_networks

    @classmethod
    def of(
        cls,
        allowed: Iterable[str],
        *,
        own: Callable[[], tuple[Network, ...]] = own_networks,
    ) -> Gate:
        """Return the gate for an allow-list of networks, addresses and host names.

        Raises:
            ConfigError: an entry is none of the three.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in allowed:
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                name = entry.lower().rstrip(".")
                if "/" in entry or ":" in entry or not name or name[-1].isdigit():
                    raise ConfigError(
                        f"{entry!r} in allow_private is neither a network such as 192.168.1.0/24,"
                        " nor an address, nor a host name."
                    ) from error
                hosts.add(name)
        return cls(tuple(networks), frozenset(hosts), own)

    def passed(self, host: str, answers: Sequence[str]) -> tuple[str, ...]:
        """Return the addresses that may be connected to, in their order; at least one.

        Every answer for a name must be fit, since which one is used is up to the network: a name
        with one private address is refused whole. Only a host that is allowed by name may have
        unfit ones beside, which are left out.

        Raises:
            ForbiddenAddress: an address is private or special, or there is none.
        """
        own = self.own()
        fit = tuple(text for text in answers if self._fits(host, text, own))
        if fit and (len(fit) == len(answers) or host in self.hosts):
            return fit
        raise ForbiddenAddress(
            f"{host} leads to a private or special network address, which is never fetched unless"
            " it is on the list of allowed private places."
        )

    def _fits(self, host: str, text: str, own: tuple[Network, ...]) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        if any(address in network for network in self.networks):
            return True
        if host in self.hosts and any(address in network for network in HOME):
            return True
        return is_public(address) and not any(address in network for network in own)
