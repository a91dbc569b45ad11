"""A limit per address, so that anonymous posts cannot fill the store.

Rule: bounded memory: the addresses that were quiet the longest are forgotten first.
Rule: an IPv6 address counts as its /64, which is what one subscriber has (RFC 6177).
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from consent_mw.wire.address import read_address

ADDRESSES_KEPT = 16_384

EVENTS_AT_ONCE = 600
EVENTS_PER_SECOND = 10.0
"""Events from pages that one address may report; an office has one address for all."""


class Limiter:
    """A token bucket per address: `burst` at once, `per_second` after that."""

    def __init__(self, burst: int = 60, per_second: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(burst)
        self._rate = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, address: str, cost: int = 1) -> bool:
        """Whether this address may write this many times more now."""
        key = _subscriber(address)
        now = self._clock()
        left, since = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        admitted = left >= cost
        self._buckets[key] = (left - cost if admitted else left, now)
        if len(self._buckets) > ADDRESSES_KEPT:
            self._buckets.popitem(last=False)
        return admitted


def _subscriber(address: str) -> str:
    parsed = read_address(address)
    if parsed is None:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
