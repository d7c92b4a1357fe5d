"""Shares of what is limited: how much all clients hold together, and how much each of them may hold."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter


class Shares:
    """A limited amount of something (places, connections, bytes), of which one client gets at most a share.

    Args:
        total: Amount for all clients together.
        share: Part of it that one client may hold, above 0 and at most 1.
        least: Amount that one client may hold in any case, if it is free.
    """

    def __init__(self, total: int, share: float = 1.0, least: int = 1) -> None:
        self.total = total
        self.for_one = max(least, math.ceil(total * share))
        self.used = 0
        self._held: Counter[str] = Counter()

    def full(self, amount: int = 1) -> bool:
        """Whether less than `amount` is free."""
        return self.used + amount > self.total

    def refuses(self, client: str, amount: int = 1) -> bool:
        """Whether `client` cannot get `amount` now."""
        return self.full(amount) or self._held[client] + amount > self.for_one

    def take(self, client: str, amount: int = 1) -> None:
        """Note that `client` holds `amount` more; ask `refuses` before."""
        self.used += amount
        self._held[client] += amount

    def give_back(self, client: str, amount: int = 1) -> None:
        """Note that `client` holds `amount` less."""
        self.used -= amount
        self._held[client] -= amount
        if not self._held[client]:
            del self._held[client]


def client_of(address: str) -> str:
    """The client that an address belongs to: the address itself, or the network of 64 bits of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
