"""Reporting: what happened becomes events, events become permits, permits become rows of the outbox.

Rule: a value is gathered only if some vendor may get it; what is filtered out is never stored.
Rule: reporting never delays a page and never fails one.
Rule: a row says when it was decided about, so that a recall since then forbids it; what was decided too long ago for
      a recall to be remembered is not reported at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from consent_mw.asgi.ids import Ids
from consent_mw.asgi.refusals import OUTBOX_FULL
from consent_mw.asgi.sharing import Pages, Plan, Share, Told
from consent_mw.asgi.visit import Visit
from consent_mw.core.decision import DECISIONS_KEPT, Decision
from consent_mw.core.event import IDENTIFY, PAGE_VIEW, Event
from consent_mw.core.terms import EventKind
from consent_mw.errors import StoreError, StoreFullError
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.structured import read_instructions
from consent_mw.world.store import OutboxRow, PairRow, Store

if TYPE_CHECKING:
    from consent_mw.asgi.enforcement import Enforcement
    from consent_mw.asgi.exchange import Exchange
    from consent_mw.asgi.gate import Gate
    from consent_mw.asgi.ruleset import Ruleset

HANDED_OVER_WITHIN: Final = 0.01
"""Seconds that rows wait for others before the store gets them."""

HANDED_OVER_AT: Final = 256
"""Rows that do not wait for others."""

VISITORS_KEPT: Final = 8192
"""Bound of the visitors whose digest is remembered, twice."""

PAGES_KEPT: Final = 2048
"""Bound of the pages of which is remembered what is written of them, twice."""

REPORTED_WITHIN: Final = 1800.0
"""Seconds that a request may take and still be reported: fewer than the store remembers a recall for."""

PAIRED_FOR: Final = 600.0
"""Seconds that a pair of visitor and user id is not handed to the store again."""

LONGEST_USER_ID: Final = 256

_new: Final = tuple.__new__
_VIEW: Final = Event(PAGE_VIEW, kind=EventKind.PAGE_VIEW)
_IDENTIFY: Final = Event(IDENTIFY, kind=EventKind.IDENTIFY)


class Reporter:
    """Makes rows for the outbox of what one exchange has to report, and recalls them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._ids = Ids()
        self._waiting: list[OutboxRow] = []
        self._refused: list[Plan] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rules: Ruleset | None = None
        self._plans: dict[str, Plan] = {}
        self._pages: Pages = Remembered(PAGES_KEPT)
        self._key = b""
        self._digests: Remembered[str, str] = Remembered(VISITORS_KEPT)
        self._paired: Remembered[tuple[str, str, str], float] = Remembered(VISITORS_KEPT)

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
        return self._erase(exchange) if visit.erased else self.recall(exchange, "minor")

    def report(self, exchange: Exchange, status: int, page: bool) -> None:
        """Queue what this exchange has to report: its page view and what the app said."""
        enforcement = exchange.enforcement
        if enforcement is None:
            return
        if exchange.spoke:
            self._keep_pair(exchange)
        viewed = page and is_seen(status) and exchange.page
        if viewed:
            self._gate.statistics.view(exchange, enforcement)
        if not enforcement.reports or self._gate.now() - exchange.decided > REPORTED_WITHIN:
            return
        if exchange.spoke:
            events = _said(exchange, viewed=viewed and not self._gate.is_bot(exchange))
        elif viewed:
            if not enforcement.leaves:
                self.refuse(exchange.rules, enforcement, exchange.seen.first(b"user-agent"))
                return
            if self._viewed_again(exchange, enforcement.decision):
                return
            events = [] if self._gate.is_bot(exchange) else [_VIEW]
        else:
            return
        if events:
            self._waiting.extend(self._rows(exchange, enforcement.decision, events))
            self._arrange()

    def refuse(self, rules: Ruleset, enforcement: Enforcement, agent: bytes) -> None:
        """Count a page view, by this user agent, of which no vendor gets anything."""
        if enforcement.reports and not self._gate.devices.read(agent).bot:
            self._refuse(self._plan(rules, enforcement.decision))

    def enqueue(self, told: Sequence[tuple[Exchange, Event]], *, at_once: bool) -> tuple[int, Future[None] | None]:
        """Queue these events, each as told on the page of its exchange, for every vendor that may get something of
        them. Returns how many a vendor may get something of; and, where it is done `at_once`, what resolves when
        they are committed. Raises StoreError where there is something to keep and no store."""
        rows: list[OutboxRow] = []
        for exchange, event in told:
            if exchange.decision is not None:
                rows += self._rows(exchange, exchange.decision, [event])
        if rows and self._gate.store is None:
            self._gate.count("event_lost", len(rows))
            raise StoreError("the store is not open")
        pending = None
        if rows and at_once:
            self.hand_over()
            pending = self._give(rows)
        elif rows:
            self._waiting += rows
            self._arrange()
        return len({row.event_id for row in rows}), pending

    def hand_over(self) -> None:
        """Give the store what waits, so that whatever it is asked next finds it there."""
        if self._refused:
            plans, self._refused = self._refused, []
            for plan in plans:
                self._count(plan)
        if self._waiting:
            rows, self._waiting = self._waiting, []
            self._give(rows)

    def recall(self, exchange: Exchange, reason: str, purposes: frozenset[str] = frozenset()) -> Future[Any] | None:
        """Take back what is queued for this browser for these purposes (without: for those that its decision denies);
        resolves when it is gone. None where there is nothing to ask for."""
        store = self._gate.store
        decision = exchange.decision
        if store is None or decision is None:
            return None
        denied = purposes or frozenset(one.purpose for one in decision.verdicts if not one.allowed)
        self.hand_over()
        subjects = self.subjects(exchange)
        if not subjects or not denied:
            return None
        return store.recall(subjects, purposes=denied, reason=reason, at=self._gate.now())

    def erase(self, store: Store, exchange: Exchange) -> Future[int]:
        """Erase what is kept of this browser; resolves with how many things there were when they are gone."""
        self._paired.clear()
        return store.erase(self.subjects(exchange), receipt=exchange.consent.receipt, at=self._gate.now())

    def _erase(self, exchange: Exchange) -> Future[Any] | None:
        store = self._gate.store
        if store is None:
            return None
        self.hand_over()
        return self.erase(store, exchange)

    def _keep_pair(self, exchange: Exchange) -> None:
        """Keep who the app said that this visitor is, for the person's rights, where recognising is allowed."""
        visit, rule, store = exchange.visit, exchange.rules.policy.identifier, self._gate.store
        if visit is None or visit.identity is None or visit.erased or rule is None or store is None:
            return
        user_id = visit.identity.user_id
        if not 0 < len(user_id) <= LONGEST_USER_ID or not exchange.visitor:
            return
        pair = (self.visitor(exchange), user_id, exchange.consent.receipt)
        known = self._paired.get(pair)
        if known is None or self._gate.now() - known > PAIRED_FOR:
            self._paired.keep(pair, self._gate.now())
            row = PairRow(*pair, exchange.decided)
            store.keep_pair(row, rule.purpose).add_done_callback(partial(self._paired_or_not, pair))

    def _paired_or_not(self, pair: tuple[str, str, str], pending: Future[None]) -> None:
        if pending.cancelled() or pending.exception() is not None:
            self._paired.forget(pair)
            self._gate.count("store_failed")

    def _viewed_again(self, exchange: Exchange, decision: Decision) -> bool:
        """Queue a page view by what is remembered of its visitor; False where it takes a closer look."""
        jar, gate = exchange.jar, self._gate
        if exchange.identifier is not jar.identifier or exchange.consent is not jar.consent or not jar.joined:
            return False
        plan = self._plan(exchange.rules, decision)
        told, seen = jar.told, exchange.seen.seen
        agent, language = seen.get(b"user-agent", b""), seen.get(b"accept-language", b"")
        if (
            told is None
            or told.plan is not plan
            or told.place is not exchange.place
            or told.agent != agent
            or told.language != language
            or told.key is not gate.lasting.key
        ):
            told = jar.told = Told(
                plan, exchange.place, agent, language, gate.lasting.key, gate.is_bot(exchange),
                tuple(share.of_visitor(exchange) for share in plan.shares),
                (self.visitor(exchange), exchange.consent.receipt, decision.jurisdiction.name),
            )  # fmt: skip
        if told.bot:
            return True
        now = round(gate.now(), 3)
        rows: list[OutboxRow] = []
        identity = self._ids.event()
        for share, members in zip(plan.shares, told.members, strict=True):
            body = share.view(exchange, members, self._pages, now)
            if body is None:
                return False
            self._add(rows, share, [(_VIEW, identity)], [body], told.whose, decision.policy.digest, exchange.decided)
        if plan.nothing:
            self._refuse(plan)
        if rows:
            self._waiting += rows
            self._arrange()
        return True

    def _rows(self, exchange: Exchange, decision: Decision, events: Sequence[Event]) -> list[OutboxRow]:
        """A row for each of these events and each vendor that may get something of it."""
        plan = self._plan(exchange.rules, decision)
        if plan.nothing:
            self._refuse(plan, len(events))
        rows: list[OutboxRow] = []
        now = round(self._gate.now(), 3)
        told = [(event, event.id or self._ids.event()) for event in events]
        whose = (self.visitor(exchange), exchange.consent.receipt, decision.jurisdiction.name)
        for share in plan.shares:
            bodies = share.bodies(exchange, told, now)
            self._add(rows, share, told, bodies, whose, decision.policy.digest, exchange.decided)
        return rows

    def _refuse(self, plan: Plan, number: int = 1) -> None:
        """Note that the vendors to whom nothing of it may leave do not get so many events."""
        # However many vendors there are, a request makes one addition; each vendor is counted a little later.
        if not plan.refusals:
            self._refused.append(plan)
        plan.refusals += number
        self._arrange()

    def _count(self, plan: Plan) -> None:
        number, plan.refusals = plan.refusals, 0
        for name in plan.nothing:
            self._gate.count(name, number)
        self._gate.refusals.add(plan.refused, number)

    def _add(
        self,
        rows: list[OutboxRow],
        share: Share,
        told: Sequence[tuple[Event, str]],
        bodies: Sequence[bytes],
        whose: tuple[str, str, str],
        digest: str,
        decided: float,
    ) -> None:
        """Add the rows of these events for the vendors of this share; `whose` are visitor, receipt, jurisdiction."""
        visitor, receipt, jurisdiction = whose
        row = self._ids.row
        for name, purpose in share.vendors:
            for (event, identity), body in zip(told, bodies, strict=True):
                values = (
                    row(), name, identity, event.kind.value, body,
                    visitor, receipt, jurisdiction, purpose, digest, decided, 0, False,
                )  # fmt: skip
                rows.append(_new(OutboxRow, values))

    def _plan(self, rules: Ruleset, decision: Decision) -> Plan:
        """What this decision lets leave, remembered under the rules in force."""
        if rules is not self._rules or len(self._plans) >= DECISIONS_KEPT:
            self._rules = rules
            self._plans = {}
            self._pages = Remembered(PAGES_KEPT)
        plan = self._plans.get(decision.digest)
        if plan is None:
            plan = self._plans[decision.digest] = Plan(decision)
        return plan

    def visitor(self, exchange: Exchange) -> str:
        """The digest that stands for this visitor, remembered for as long as its key is the same; or nothing."""
        identifier = exchange.identifier
        if identifier is None:
            return ""
        key = self._gate.lasting.key
        if key is not self._key:
            self._key = key
            self._digests = Remembered(VISITORS_KEPT)
        known = self._digests.get(identifier.id)
        return known or self._digests.keep(identifier.id, self._gate.digest("visitor", identifier.id))

    def subjects(self, exchange: Exchange) -> list[str]:
        """What this browser's rows in the store are found by: its visitor digest and its receipt."""
        return [one for one in (self.visitor(exchange), exchange.consent.receipt) if one]

    def _arrange(self) -> None:
        """See to it that what waits is handed over: at once where it is much or no loop runs, else soon."""
        if len(self._waiting) >= HANDED_OVER_AT:
            self.hand_over()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.hand_over()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(HANDED_OVER_WITHIN, self._due)

    def _due(self) -> None:
        self._loop = None
        self.hand_over()

    def _give(self, rows: Sequence[OutboxRow]) -> Future[None] | None:
        store = self._gate.store
        if store is None:
            self._gate.count("event_lost", len(rows))
            return None
        pending = store.enqueue(rows)
        pending.add_done_callback(partial(self._committed, rows))
        return pending

    def _committed(self, rows: Sequence[OutboxRow], pending: Future[None]) -> None:
        error = pending.exception()
        if error is None:
            self._gate.notify_delivery()
            return
        self._gate.count("event_lost", len(rows))
        if isinstance(error, StoreFullError):
            for whom, number in Counter((row.vendor, row.purpose) for row in rows).items():
                self._gate.refusals.add_soon([(*whom, OUTBOX_FULL)], number)


def is_seen(status: int) -> bool:
    """Whether a page that is answered so is there to be seen."""
    return 200 <= status < 300 or status == 304


def _hear(visit: Visit, told: Sequence[tuple[bytes, bytes]]) -> None:
    """Add what response headers say to what the app said through its Visit."""
    said = read_instructions(told)
    if said.identify is not None:
        visit.identify(**said.identify)
    if said.events:
        visit.events += tuple(Event(name, props) for name, props in said.events)
        visit.spoke = True
    if said.minor:
        visit.declare_minor()
    if said.erase:
        visit.erase()


def _said(exchange: Exchange, *, viewed: bool) -> list[Event]:
    """The events of an exchange whose app spoke, the page view among them; none where it is erased."""
    visit = exchange.visit
    if visit is None or visit.erased:
        return []
    who = [_IDENTIFY] if visit.identity is not None else []
    return [*who, *([_VIEW] if viewed else []), *visit.events]
