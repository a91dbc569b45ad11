"""Reporting: what happened becomes events, events become permits, permits become rows of the outbox.

Rule: a value is gathered only if some vendor may get it; what is filtered out is never stored.
Rule: reporting never delays a page and never fails one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from consent_mw.asgi.visit import Visit
from consent_mw.core.event import IDENTIFY, PAGE_VIEW, Event
from consent_mw.core.permit import Permit, permit
from consent_mw.core.terms import EventKind
from consent_mw.wire.address import truncate
from consent_mw.wire.cookies import SetCookie, split_cookies
from consent_mw.wire.query import clean_page, clean_referrer, named_parameters
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.structured import read_instructions
from consent_mw.wire.vendors import ENCODERS
from consent_mw.world.store import OutboxRow

if TYPE_CHECKING:
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.gate import Gate


class Reporter:
    """Makes rows for the outbox of what one exchange has to report, and recalls them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def heed(self, exchange: Exchange, told: Sequence[tuple[bytes, bytes]]) -> Future[Any] | None:
        """Act on what the app said (SPEC 7), before its response is answered.

        Returns what must resolve before the reply is sent: the recall of what is queued for a minor or an erasure.
        """
        visit = exchange.visit
        if visit is None:
            return None
        _hear(visit, told)
        if not (visit.minor_declared or visit.erased) or exchange.facts is None:
            return None
        if visit.minor_declared and not exchange.consent.minor:
            exchange.take(replace(exchange.consent, minor=True, issued=exchange.facts.now))
        return self._erase(exchange) if visit.erased else self.recall(exchange)

    def report(self, exchange: Exchange, status: int, page: bool) -> None:
        """Queue what this exchange has to report: its page view and what the app said."""
        enforcement = exchange.enforcement
        if enforcement is None or not enforcement.reports:
            return
        visit = exchange.visit
        if visit is None or visit.erased:
            return
        viewed = page and exchange.page and (200 <= status < 300 or status == 304)
        events = self._events(exchange, visit, viewed=viewed and not self._gate.is_bot(exchange))
        if events:
            self.enqueue(exchange, events)

    def enqueue(self, exchange: Exchange, events: Sequence[Event]) -> Future[None] | None:
        """Queue these events for every vendor that may get something of them; None where none may or none can."""
        decision = exchange.decision
        if decision is None:
            return None
        filled = [self._fill(exchange, event) for event in events]
        rows: list[OutboxRow] = []
        now = self._gate.now()
        for vendor in decision.policy.vendors:
            if not decision.fields.get(vendor.name):
                self._gate.count(f"event_refused:{vendor.name}", len(filled))
                continue
            if vendor.kind not in ENCODERS:
                # What nobody can deliver is not stored to wait for it.
                self._gate.count(f"event_undeliverable:{vendor.name}", len(filled))
                continue
            for event in filled:
                allowed = permit(event, decision, vendor)
                if isinstance(allowed, Permit):
                    rows.append(self._row(exchange, allowed, vendor.purpose, now))
        store = self._gate.store
        if not rows or store is None:
            return None
        pending = store.enqueue(rows)
        pending.add_done_callback(self._committed)
        return pending

    def recall(self, exchange: Exchange) -> Future[Any] | None:
        """Take back what is queued for this browser, if its decision denies anything; resolves when it is gone."""
        store = self._gate.store
        decision = exchange.decision
        if store is None or decision is None:
            return None
        denied = frozenset(one.purpose for one in decision.verdicts if not one.allowed)
        subjects = self.subjects(exchange)
        return store.recall(subjects, purposes=denied) if subjects and denied else None

    def inventory(self, exchange: Exchange, answer: ResponseHead) -> None:
        """Count, in report mode, what would have been dropped (SPEC: decide and count, change nothing)."""
        decision = exchange.decision
        if decision is None:
            return
        sent = split_cookies(exchange.seen.all(b"cookie"))
        dropped = sum(not exchange.rules.keeps(cookie.name, decision) for cookie in sent)
        self._gate.count("would_drop_cookie", dropped)
        for value in answer.all(b"set-cookie"):
            parsed = SetCookie.parse(value)
            if parsed is None or not exchange.rules.keeps(parsed.name, decision):
                self._gate.count("would_drop_set_cookie")

    def _erase(self, exchange: Exchange) -> Future[Any] | None:
        store = self._gate.store
        if store is None:
            return None
        return store.erase(self.subjects(exchange), receipt=exchange.consent.receipt)

    def _events(self, exchange: Exchange, visit: Visit, *, viewed: bool) -> list[Event]:
        events: list[Event] = []
        if visit.identity is not None:
            events.append(Event(IDENTIFY, kind=EventKind.IDENTIFY))
        if viewed:
            events.append(Event(PAGE_VIEW, kind=EventKind.PAGE_VIEW))
        events.extend(visit.events)
        return events

    def _fill(self, exchange: Exchange, event: Event) -> Event:
        decision = exchange.decision
        facts = exchange.facts
        if decision is None or facts is None:
            raise ValueError("an event is filled in under a decision")
        wanted = frozenset(field for fields in decision.fields.values() for field in fields)
        gathered = _gather(self._gate, exchange, wanted)
        return replace(
            event,
            id=event.id or uuid.uuid4().hex,
            time=event.time or self._gate.now(),
            values={**gathered, **{name: value for name, value in event.values.items() if name in wanted}},
            query={**_parameters(exchange, wanted), **event.query},
        )

    def _row(self, exchange: Exchange, allowed: Permit, purpose: str, now: float) -> OutboxRow:
        decision = exchange.decision
        if decision is None:
            raise ValueError("a row is made under a decision")
        identifier = exchange.identifier
        return OutboxRow(
            id=uuid.uuid4().hex,
            vendor=allowed.vendor,
            event_id=allowed.event_id,
            kind=allowed.kind.value,
            body=json.dumps(dict(allowed.fields), ensure_ascii=False, separators=(",", ":")).encode(),
            visitor=self._gate.keyring.digest("visitor", identifier.id) if identifier is not None else "",
            receipt=exchange.consent.receipt,
            jurisdiction=decision.jurisdiction.name,
            purpose=purpose,
            policy=decision.policy.digest,
            created=now,
        )

    def subjects(self, exchange: Exchange) -> list[str]:
        """What this browser's rows in the store are found by: its visitor digest and its receipt."""
        identifier = exchange.identifier
        digest = self._gate.keyring.digest("visitor", identifier.id) if identifier is not None else ""
        return [one for one in (digest, exchange.consent.receipt) if one]

    def _committed(self, pending: Future[None]) -> None:
        if pending.cancelled() or pending.exception() is not None:
            self._gate.count("event_lost")
        else:
            self._gate.notify_delivery()


def _hear(visit: Visit, told: Sequence[tuple[bytes, bytes]]) -> None:
    """Add what response headers say to what the app said through its Visit."""
    said = read_instructions(told)
    if said.identify is not None:
        visit.identify(**said.identify)
    visit.events.extend(Event(name, props) for name, props in said.events)
    visit.minor_declared = visit.minor_declared or said.minor
    visit.erased = visit.erased or said.erase


def _gather(gate: Gate, exchange: Exchange, wanted: frozenset[str]) -> dict[str, str]:
    """The values that some vendor may get; each is worked out only if it is wanted."""
    visit = exchange.visit
    identity = visit.identity if visit is not None else None
    location = exchange.location
    values = {
        "visitor_id": exchange.visitor,
        "ip": exchange.address,
        "user_agent": exchange.seen.first(b"user-agent").decode("latin-1"),
        "language": exchange.seen.first(b"accept-language").partition(b",")[0].decode("latin-1"),
        "country": location.country if location is not None else "",
        "region": location.region if location is not None else "",
        "city": location.city if location is not None else "",
        "user_id": identity.user_id if identity is not None else "",
        "name": identity.name if identity is not None else "",
        "email": identity.email if identity is not None else "",
    }
    if "ip_truncated" in wanted and exchange.address:
        values["ip_truncated"] = truncate(exchange.address)
    if wanted & {"browser", "os", "device"}:
        device = gate.devices.read(exchange.seen.first(b"user-agent"))
        values.update(browser=device.browser, os=device.os, device=device.device)
    values.update(_pages(exchange, wanted))
    return {name: value for name, value in values.items() if value and name in wanted}


def _pages(exchange: Exchange, wanted: frozenset[str]) -> dict[str, str]:
    """Where the visitor is and came from, without what the policy keeps back (SPEC 2)."""
    policy = exchange.rules.policy
    named = frozenset(field[6:] for field in wanted if field.startswith("query."))
    seen = exchange.seen
    values: dict[str, str] = {}
    if wanted & {"page_path", "page_url"}:
        base = policy.site.origin or f"https://{seen.first(b'host').decode('latin-1')}"
        target = seen.path + (b"?" + seen.query if seen.query else b"")
        page = clean_page(base, target, policy.redact, named)
        values.update(page_path=page.path, page_url=page.url)
    if wanted & {"referrer_host", "referrer_url"}:
        referrer = clean_referrer(seen.first(b"referer"), policy.redact, named)
        values.update(referrer_host=referrer.host, referrer_url=referrer.url)
    return values


def _parameters(exchange: Exchange, wanted: frozenset[str]) -> dict[str, str]:
    """The query parameters that some vendor may get, by name."""
    named = frozenset(field[6:] for field in wanted if field.startswith("query."))
    return named_parameters(exchange.seen.query, named) if named else {}
