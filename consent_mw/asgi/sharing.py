"""Sharing: what one decision lets each vendor have, worked out once, so that an event is written quickly.

Rule: what is written is what `permit` permits; only the way to it is shorter.
Rule: vendors that may get the same fields share one body.
Rule: what was masked is counted by its kind, for each vendor and each time; a page of which something was is not
      remembered as it is written.
Rule: what a visitor's page views have in common is told anew whenever anything that it is made of is another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from consent_mw.asgi.gathering import LONGEST_KEPT, OF_PAGE, OF_REFERRER, SOURCES, Source, query_of
from consent_mw.asgi.refusals import Why
from consent_mw.core.decision import Decision
from consent_mw.core.event import PAGE_VIEW, Event, Value
from consent_mw.core.permit import Permit, leaving, permit, permitted
from consent_mw.core.policy import Vendor
from consent_mw.wire.query import clean_path, clean_referrer, hide_in_text, named_parameters, target_of_page
from consent_mw.wire.remembered import Remembered

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.ruleset import Place

NO_FIELD: Final = "no-field"
"""The reason where the purpose is allowed and the vendor gets no field here."""

MEMBERS_KEPT: Final = 8192
"""Bound of the values that are remembered as they are written."""

_AS_WRITTEN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PERSONAL: Final = frozenset({"visitor_id", "ip", "ip_truncated", "user_agent", "user_id", "name", "email"})
"""Fields that few visits have in common, so that their values are not worth remembering."""


@dataclass(slots=True)
class Told:
    """What the page views of one browser have in common, and what that was made of. `members` are of each share what
    is written of the visitor; `whose` are the visitor's digest, the receipt and the jurisdiction."""

    plan: Plan
    place: Place | None
    agent: bytes
    language: bytes
    key: bytes
    bot: bool
    members: tuple[str, ...]
    whose: tuple[str, str, str]


Pages = Remembered[tuple[str, bytes], str]
"""What is written of a page, by the fields that are and its path."""


class Share:
    """The vendors that may get the same fields under one decision."""

    __slots__ = (
        "_decision", "_headed", "_named", "_of_page", "_of_visitor", "_paged", "_parameters", "_timed", "_titled",
        "_vendor", "_view", "vendors",
    )  # fmt: skip

    def __init__(self, decision: Decision, listed: tuple[str, ...], vendors: Iterable[Vendor]) -> None:
        self._vendor, *_ = named = tuple(vendors)
        self.vendors = tuple((vendor.name, vendor.purpose) for vendor in named)
        self._decision = decision
        self._parameters = frozenset(field[6:] for field in listed if field.startswith("query."))
        self._named = self._parameters - {"*"}
        self._titled = "event" in listed
        self._timed = "time" in listed
        sources = [(field, source, field in _PERSONAL) for field, source in SOURCES.items() if field in listed]
        self._of_visitor = tuple(one for one in sources if one[0] not in OF_PAGE)
        self._of_page = tuple(one for one in sources if one[0] in OF_PAGE)
        policy = decision.policy
        plain = policy.site.origin and not self._parameters and not any(one[0] in OF_REFERRER for one in sources)
        # Pages look alike to all lists of the same page fields, where nothing but the path tells them apart.
        self._paged = ",".join(one[0] for one in self._of_page) if plain else ""
        self._headed = self._titled or self._timed
        titled = _remembered("event", PAGE_VIEW)[0][1:] if self._titled else ""
        self._view = "{" + titled + (',"time":' if titled else '"time":') * self._timed

    def bodies(self, exchange: Exchange, events: Iterable[tuple[Event, str]], now: float) -> list[bytes]:
        """The body of each of these events (with the id it gets), as its vendors may have it."""
        members: str | None = None
        masked: tuple[str, ...] = ()
        written: list[bytes] = []
        queried = bool(self._parameters and exchange.seen.query)
        for event, identity in events:
            if event.props or event.values or event.query or event.time or queried:
                written.append(self._permitted(exchange, event, identity, now))
                continue
            if members is None:
                page, masked = self._members(exchange, self._of_page)
                members = self.of_visitor(exchange) + page
            head, found = _remembered("event", event.name) if self._titled and event.name else ("", ())
            if self._timed:
                head += f',"time":{now!r}'
            self._count(exchange, found + masked)
            written.append(("{" + (head + members).lstrip(",") + "}").encode())
        return written

    def view(self, exchange: Exchange, members: str, pages: Pages, now: float) -> bytes | None:
        """The body of a page view of which `members` tell the visitor; None where it takes a closer look."""
        seen = exchange.seen
        if self._parameters and seen.query:
            return None
        page = (pages.get((self._paged, seen.path)) if self._paged else None) or ""
        if not page and self._of_page:
            page, masked = self._members(exchange, self._of_page)
            if masked:
                self._count(exchange, masked)
            elif self._paged and len(seen.path) <= LONGEST_KEPT:
                pages.keep((self._paged, seen.path), page)
        if not self._headed:
            return ("{" + (members + page)[1:] + "}").encode()
        time = repr(now) if self._timed else ""
        return f"{self._view}{time}{members}{page}}}".encode()

    def of_visitor(self, exchange: Exchange) -> str:
        """What the exchange tells of its visitor, as members of a JSON object, each after a comma."""
        return self._members(exchange, self._of_visitor)[0]

    def filled(self, exchange: Exchange, event: Event, identity: str, now: float) -> Event:
        """The event with what the exchange tells of its visit, as far as these vendors may get it."""
        told = {
            field: value
            for field, source, _ in (*self._of_visitor, *self._of_page)
            if (value := source(exchange, self._named))
        }
        query = named_parameters(query_of(exchange), self._parameters) if self._parameters else {}
        redact = exchange.rules.policy.redact
        said = {field: _cleaned(field, value, redact, self._named) for field, value in event.values.items()}
        return replace(
            event,
            id=identity,
            time=event.time or now,
            props={name: _hidden(value, redact) for name, value in event.props.items()},
            values={**told, **said},
            query={**query, **event.query},
        )

    def _permitted(self, exchange: Exchange, event: Event, identity: str, now: float) -> bytes:
        """The body of an event that brings values of its own."""
        allowed = permit(self.filled(exchange, event, identity, now), self._decision, self._vendor)
        if not isinstance(allowed, Permit):
            return b"{}"
        self._count(exchange, allowed.masked)
        return _AS_WRITTEN(dict(allowed.fields)).encode()

    def _members(
        self, exchange: Exchange, sources: tuple[tuple[str, Source, bool], ...]
    ) -> tuple[str, tuple[str, ...]]:
        """What is written of these fields, and the kinds of what was masked in them."""
        named = self._named
        written = ""
        masked: tuple[str, ...] = ()
        for field, source, personal in sources:
            value = source(exchange, named)
            if value:
                member, found = _member(field, value) if personal else _remembered(field, value)
                written += member
                masked += found
        return written, masked

    def _count(self, exchange: Exchange, masked: tuple[str, ...]) -> None:
        for kind in masked:
            exchange.gate.count(f"masked_{kind}", len(self.vendors))


class Plan:
    """What one decision lets leave. `nothing` are the names under which is counted that a vendor gets nothing, and
    `refused` says for the ledger why it does not; `refusals` are the events that are not yet counted under these."""

    __slots__ = ("nothing", "refusals", "refused", "shares")

    def __init__(self, decision: Decision) -> None:
        refused: list[Why] = []
        shared: dict[tuple[str, ...], list[Vendor]] = {}
        for vendor in decision.policy.vendors:
            listed = permitted(decision, vendor)
            if not listed:
                verdict = decision.verdict(vendor.purpose)
                denied = verdict is not None and not verdict.allowed
                reason = verdict.reason.value if verdict is not None and denied else NO_FIELD
                refused.append((vendor.name, vendor.purpose, reason))
            else:
                shared.setdefault(tuple(sorted(listed)), []).append(vendor)
        self.nothing = tuple(f"event_refused:{vendor}" for vendor, _, _ in refused)
        self.refused = tuple(refused)
        self.refusals = 0
        self.shares = tuple(Share(decision, listed, vendors) for listed, vendors in shared.items())


def _cleaned(field: str, value: str, redact: Sequence[str], named: frozenset[str]) -> str:
    """What an event itself says of a field, without what the policy keeps back of URLs."""
    if field == "page_path":
        return clean_path(re.split("[?#]", value, maxsplit=1)[0], redact)
    if field in ("page_url", "referrer_url"):
        return clean_referrer(target_of_page(value), redact, named).url
    return str(_hidden(value, redact)) if field == "title" else value


def _hidden(value: Value, redact: Sequence[str]) -> Value:
    return hide_in_text(value, redact) if isinstance(value, str) else value


def _member(field: str, value: str) -> tuple[str, tuple[str, ...]]:
    shown, masked = leaving(field, value)
    return f',"{field}":{_AS_WRITTEN(shown)}', masked


_lasting = lru_cache(maxsize=MEMBERS_KEPT)(_member)


def _remembered(field: str, value: str) -> tuple[str, tuple[str, ...]]:
    return _lasting(field, value) if len(value) <= LONGEST_KEPT else _member(field, value)
