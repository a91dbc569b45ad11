"""What every vendor's encoder takes and gives, and what HTTP answers mean to most of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, runtime_checkable

from consent_mw.core.event import Value
from consent_mw.core.permit import Permit
from consent_mw.core.terms import Outcome

LONGEST_WAIT = 300.0
"""Seconds of Retry-After that we heed at most."""

LATEST = 253_402_300_799.0
"""The last second that RFC 3339 can say."""

AGAIN = frozenset({408, 425, 429})
NEVER_AGAIN = frozenset({501, 505})

UNNAMED = "event"
"""The name of an event whose name the vendor was not permitted to get, where its format needs one."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request to a vendor: header names in lower case, the body complete. Its text says none of it: a URL may
    hold a key, as GA4's does."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What an answer means for one event: an outcome, or None to try again, `after` seconds at the earliest.
    `named` is whether the answer spoke of this very event, so that there is nothing to find out by asking again."""

    outcome: Outcome | None
    after: float = 0.0
    named: bool = False


class Encoder(Protocol):
    """Writes permits in one vendor's format and reads its answers. Pure."""

    batch_limit: int
    dedupes: bool

    def encode(self, batch: Sequence[Permit], now: float) -> OutgoingRequest:
        """The request that delivers these permits; `now` is in seconds since 1970."""

    def answers(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[Permit], now: float
    ) -> list[VendorAnswer]:
        """What this answer means for each of the permits, in order."""


@runtime_checkable
class Piecemeal(Encoder, Protocol):
    """An encoder whose requests are made of one piece an event, so that a long batch is written bit by bit, and no
    request is larger than `size_limit` bytes (but for one of a single event)."""

    size_limit: int

    def piece(self, permit: Permit) -> bytes:
        """The part of a request that delivers this permit. Raises ValueError for what cannot be written."""

    def whole(self, pieces: Sequence[bytes], now: float) -> OutgoingRequest:
        """The request of these pieces."""


def may_try_again(status: int) -> bool:
    """Whether this status speaks of the moment, not of what was sent: 408, 425, 429, and 5xx but for 501 and 505."""
    return status in AGAIN or (500 <= status < 600 and status not in NEVER_AGAIN)


def as_json(content: object) -> bytes:
    """The content as compact JSON in UTF-8. Raises ValueError for what JSON cannot say."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def iso(seconds: float) -> str:
    """The time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_time(fields: Mapping[str, Value]) -> float | None:
    """The time of the event, if it is permitted and one that can be said."""
    value = fields.get("time")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LATEST:
        return None
    return float(value)


def members(fields: Mapping[str, Value], family: str) -> dict[str, Value]:
    """The named values of one family (`props`, `query`), by name."""
    prefix = f"{family}."
    return {name[len(prefix) :]: value for name, value in fields.items() if name.startswith(prefix)}


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds that Retry-After asks for (RFC 9110 10.2.3), at most LONGEST_WAIT; 0 where it says nothing readable."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:6]), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(said).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)
