"""Sharing: what one decision lets each vendor have, worked out once, so that an event is written quickly.

Rule: what is written is what `permit` permits; only the way to it is shorter.
Rule: vendors that may get the same fields share one body.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.gathering import LONGEST_KEPT, SOURCES, Source
from consent_mw.core.decision import Decision
from consent_mw.core.event import Event
from consent_mw.core.permit import Permit, leaving, permit, permitted
from consent_mw.core.policy import Vendor
from consent_mw.wire.query import named_parameters
from consent_mw.wire.vendors import ENCODERS

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange

MEMBERS_KEPT: Final = 8192
"""Bound of the values that are remembered as they are written."""

_AS_WRITTEN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PERSONAL: Final = frozenset({"visitor_id", "ip", "ip_truncated", "user_agent", "user_id", "name", "email"})
"""Fields that few visits have in common, so that their values are not worth remembering."""


class Share:
    """The vendors that may get the same fields under one decision."""

    __slots__ = ("_decision", "_named", "_parameters", "_sources", "_timed", "_titled", "vendors")

    def __init__(self, decision: Decision, listed: tuple[str, ...], vendors: Iterable[Vendor]) -> None:
        self.vendors = tuple(vendors)
        self._decision = decision
        self._parameters = frozenset(field[6:] for field in listed if field.startswith("query."))
        self._named = self._parameters - {"*"}
        self._titled = "event" in listed
        self._timed = "time" in listed
        self._sources: tuple[tuple[str, Source, bool], ...] = tuple(
            (field, source, field in _PERSONAL) for field, source in SOURCES.items() if field in listed
        )

    def bodies(self, exchange: Exchange, events: Iterable[tuple[Event, str]], now: float) -> list[bytes]:
        """The body of each of these events (with the id it gets), as its vendors may have it."""
        members: str | None = None
        written: list[bytes] = []
        queried = bool(self._parameters and exchange.seen.query)
        for event, identity in events:
            if event.props or event.values or event.query or event.time or queried:
                written.append(self._permitted(exchange, event, identity, now))
                continue
            if members is None:
                members = self._members(exchange)
            head = _remembered("event", event.name) if self._titled and event.name else ""
            if self._timed:
                head += f',"time":{now!r}'
            written.append(("{" + (head + members).lstrip(",") + "}").encode())
        return written

    def filled(self, exchange: Exchange, event: Event, identity: str, now: float) -> Event:
        """The event with what the exchange tells of its visit, as far as these vendors may get it."""
        told = {field: value for field, source, _ in self._sources if (value := source(exchange, self._named))}
        query = named_parameters(exchange.seen.query, self._parameters) if self._parameters else {}
        return replace(
            event,
            id=identity,
            time=event.time or now,
            values={**told, **event.values},
            query={**query, **event.query},
        )

    def _permitted(self, exchange: Exchange, event: Event, identity: str, now: float) -> bytes:
        """The body of an event that brings values of its own."""
        allowed = permit(self.filled(exchange, event, identity, now), self._decision, self.vendors[0])
        return _AS_WRITTEN(dict(allowed.fields) if isinstance(allowed, Permit) else {}).encode()

    def _members(self, exchange: Exchange) -> str:
        """What the exchange itself tells, as members of a JSON object, each after a comma."""
        named = self._named
        written = ""
        for field, source, personal in self._sources:
            value = source(exchange, named)
            if value:
                written += _member(field, value) if personal else _remembered(field, value)
        return written


class Plan:
    """What one decision lets leave. `refused` and `undeliverable` are the vendors that get nothing."""

    __slots__ = ("refused", "shares", "undeliverable")

    def __init__(self, decision: Decision) -> None:
        refused: list[str] = []
        undeliverable: list[str] = []
        shared: dict[tuple[str, ...], list[Vendor]] = {}
        for vendor in decision.policy.vendors:
            listed = permitted(decision, vendor)
            if not listed:
                refused.append(f"event_refused:{vendor.name}")
            elif vendor.kind not in ENCODERS:
                # What nobody can deliver is not stored to wait for it.
                undeliverable.append(f"event_undeliverable:{vendor.name}")
            else:
                shared.setdefault(tuple(sorted(listed)), []).append(vendor)
        self.refused = tuple(refused)
        self.undeliverable = tuple(undeliverable)
        self.shares = tuple(Share(decision, listed, vendors) for listed, vendors in shared.items())


def _member(field: str, value: str) -> str:
    return f',"{field}":{_AS_WRITTEN(leaving(field, value)[0])}'


_lasting = lru_cache(maxsize=MEMBERS_KEPT)(_member)


def _remembered(field: str, value: str) -> str:
    return _lasting(field, value) if len(value) <= LONGEST_KEPT else _member(field, value)
