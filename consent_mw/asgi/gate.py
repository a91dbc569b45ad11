"""The Gate: the one object that stands between requests and the policy, in both forms of consent_mw.

Rule: holds what outlives a request (policy, keys, databases, store, counters) and nothing about one request.
Rule: the policy in force is one attribute, so that a reload is one assignment.
Rule: if the store fails, the site stays up and nothing non-essential is set or leaves (SPEC 10).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from consent_mw.asgi.answers import Answers
from consent_mw.asgi.arrivals import Arrivals
from consent_mw.asgi.awaiting import awaited
from consent_mw.asgi.banner import PageEdit, PageLinks, edit_page, edition
from consent_mw.asgi.enforcement import Enforcement
from consent_mw.asgi.exchange import CONSENT_LASTS, Exchange
from consent_mw.asgi.gating import PageGating
from consent_mw.asgi.inventory import Inventory
from consent_mw.asgi.jar import Jar, fill
from consent_mw.asgi.lasting import Lasting
from consent_mw.asgi.limiter import EVENTS_AT_ONCE, EVENTS_PER_SECOND, Limiter
from consent_mw.asgi.observe import Observation, observe
from consent_mw.asgi.refusals import Refusals
from consent_mw.asgi.reporting import Reporter
from consent_mw.asgi.routes.app import VisitorRoutes
from consent_mw.asgi.ruleset import LONGEST_JAR_KEPT, LONGEST_KEPT, Headers, Place, Route, Ruleset
from consent_mw.asgi.statistics import Statistics
from consent_mw.asgi.tokens import Tokens
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import decide
from consent_mw.core.facts import Facts
from consent_mw.core.policy import DAY, Policy
from consent_mw.core.terms import Overflow
from consent_mw.errors import KeysError, ServeError, StoreError
from consent_mw.wire import cookies
from consent_mw.wire.address import client_of
from consent_mw.wire.fields import forget_lines
from consent_mw.wire.ledger import Book
from consent_mw.wire.receipts import Signer
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.token import Keyring, parse_keys
from consent_mw.world.assets import Assets
from consent_mw.world.device import DeviceReader
from consent_mw.world.geo import Locator
from consent_mw.world.store import Store, open_store

if TYPE_CHECKING:
    from consent_mw.world.delivery import Delivery

T = TypeVar("T")

log = logging.getLogger("consent_mw")

OPENED_AGAIN_AFTER = 5.0
"""Seconds after which a store that could not be opened is tried again."""


class Gate:
    """Decides about every request. Made once, started before the first request, stopped after the last. `now` says
    the time, in seconds since 1970."""

    rules: Ruleset

    def __init__(
        self,
        policy: Policy,
        keyring: Keyring,
        store_url: str = "sqlite:///consent.db",
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`store`: one that somebody else opened, and delivers from; `store_url` is then not looked at. `say` is told
        what the operator should know (else the logger `consent_mw` is). Raises KeysError where CONSENT_MW_LEDGER_KEY
        is no key."""
        self._book = ledger_book(keyring)
        self.lasting = Lasting(keyring)
        self.store: Store | None = None
        self._take_keys(keyring, Signer(keyring))
        self.assets = Assets()
        self.edition = edition(self.assets)
        self.devices = DeviceReader()
        self.answers = Answers()
        self.arrivals = Arrivals(self)
        self.limiter = Limiter()
        self.event_limiter = Limiter(EVENTS_AT_ONCE, EVENTS_PER_SECOND)
        self.refusals = Refusals(self)
        # One page may break its policy a hundred times, which must not cost its visitor a choice.
        self.reports_limiter = Limiter(burst=240, per_second=4.0)
        self.reporter = Reporter(self)
        self.statistics = Statistics(self)
        self.inventory = Inventory(self)
        self.counts: Counter[str] = Counter()
        self.bypassed = False
        self.started = False
        self._say = say or log.info
        self._warn = say or log.warning
        self._store_url = store_url
        self._opening: asyncio.Task[None] | None = None
        self._lent = store
        self.now = clock
        self._delivery: Delivery | None = None
        self._starting: asyncio.Lock | None = None
        self._in_force = False
        self.locator = Locator(())
        self.adopt(policy)

    @classmethod
    def of(cls, policy: Policy, keys: Sequence[str | bytes] | None, store_url: str) -> Gate:
        """A gate with these keys, or with those of CONSENT_MW_KEYS. Raises KeysError."""
        if keys is None:
            text = os.environ.get("CONSENT_MW_KEYS", "")
            if not text:
                raise KeysError("no keys: pass keys=[…] or set CONSENT_MW_KEYS (`consent-mw keys new` makes one)")
            return cls(policy, parse_keys(text), store_url)
        return cls(policy, Keyring(keys), store_url)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.rules.policy

    def adopt(self, policy: Policy, keyring: Keyring | None = None) -> None:
        """Put this policy (and these keys) in force for every request from now on.

        Raises ServeError, and changes nothing, where a database that was whole before cannot be read now.
        """
        self.prepare(policy, keyring)()

    def prepare(self, policy: Policy, keyring: Keyring | None = None) -> Callable[[], None]:
        """Work out all that this policy and these keys need; what is returned puts them in force and cannot fail.
        May run in any thread. Raises as `adopt` does."""
        rules = Ruleset(policy)
        locator = Locator(policy.geo.databases)
        if self._in_force and locator.problems and not self.locator.problems:
            raise ServeError(f"a database cannot be read: {locator.problems[0]}")
        app = VisitorRoutes(rules)
        signer = Signer(keyring) if keyring is not None and keyring.keys != self.keyring.keys else None

        def put_in_force() -> None:
            if keyring is not None and signer is not None:
                self._take_keys(keyring, signer)
            self.locator = locator
            self.app = app
            if self._in_force:
                self.rules.forget()
            self.rules = rules
            self.answers.forget()
            self.arrivals.forget()
            # A request that was read while the rules were made may have been read by the names of the old ones.
            forget_lines()
            self._in_force = True
            if self._delivery is not None:
                self._delivery.refresh()

        return put_in_force

    def _take_keys(self, keyring: Keyring, signer: Signer) -> None:
        self.keyring = keyring
        self.signer = signer
        self.lasting.take(signer, self.store)
        # What a key verified that is gone must not be believed any longer; nor do the new rules remember it.
        self.tokens = Tokens(keyring)

    # life

    async def start(self, *, strict: bool = False) -> None:
        """Open the store and start delivering. A store that cannot be opened leaves the site up (SPEC 10), unless
        `strict`: then StoreError is raised, so that an operator hears of it at start-up."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self.started:
                return
            if self._lent is None:
                await self._open_store(strict=strict)
            else:
                self.store = self._lent
            self.refusals.start()
            if self.store is not None:
                await self._learn_keys(self.store, strict=strict)
            self.statistics.start()
            self.inventory.start()
            self.started = True

    async def _learn_keys(self, store: Store, *, strict: bool) -> None:
        try:
            await self.lasting.learn(store)
        except StoreError:
            if strict:
                raise
            self.count("store_failed")

    async def _open_store(self, *, strict: bool) -> None:
        try:
            await self._take_store()
        except StoreError:
            if strict:
                raise
            self.count("store_failed")
            self._opening = asyncio.create_task(self._open_later())

    async def _open_later(self) -> None:
        """A store that could not be opened may be there later: a database that starts beside us."""
        while self.store is None:
            await asyncio.sleep(OPENED_AGAIN_AFTER)
            try:
                store = await self._take_store()
            except StoreError:
                self.count("store_failed")
            else:
                await self._learn_keys(store, strict=False)

    async def _take_store(self) -> Store:
        from consent_mw.world.delivery import Delivery  # brings an HTTP client that a worker does without

        rule = self.policy.outbox
        drops = rule.overflow is Overflow.DROP_OLDEST
        # A database may take its time to answer, and pages must not.
        store = await asyncio.to_thread(
            open_store, self._store_url, max_size=rule.max_size, drop_oldest=drops, book=self._book
        )
        self.store = store
        if warning := ledger_warning():
            self._warn(warning)
        self._delivery = Delivery(store, lambda: self.policy, vendor_key, on_outcome=self._outcome, say=self._say)
        await self._delivery.start()
        return store

    async def stop(self, drain: float = 5.0) -> None:
        """Deliver what can be delivered within `drain` seconds, then close the store."""
        if not self.started:
            return
        self.started = False
        self.arrivals.forget()
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self.reporter.hand_over()
        await self.statistics.stop()
        await self.inventory.stop()
        if self.store is not None:
            # What was handed over may be refused, which the ledger is to be told of.
            with contextlib.suppress(StoreError):
                await asyncio.wrap_future(self.store.note([]))
        self.refusals.close()
        if self._delivery is not None:
            await self._delivery.stop(drain)
        if self.store is not None:
            await asyncio.to_thread(self.store.close)
        self.store = None
        self._delivery = None
        self._starting = None

    def digest(self, purpose: str, value: str) -> str:
        """A keyed digest of a value for one use, the same for as long as the store is."""
        return self.lasting.digest(purpose, value)

    def count(self, name: str, by: int = 1) -> None:
        """Count something by a fixed name; never by anything that a visitor sends."""
        self.counts[name] += by

    def notify_delivery(self) -> None:
        """Something was queued; may be called from the store's thread."""
        if self._delivery is not None:
            self._delivery.notify()

    def _outcome(self, vendor: str, outcome: str, number: int) -> None:
        self.count(f"event_{outcome}:{vendor}", number)

    # requests

    def admit(self, method: bytes, target: bytes, headers: Headers, peer: str) -> Exchange:
        """The exchange for a request: where it goes. `target` is the raw path and query."""
        return self.decide(observe(method, target, headers), peer)

    def decide(self, seen: Observation, peer: str) -> Exchange:
        """The exchange for an observed request: where it goes, and what is decided about it."""
        rules = self.rules
        route = Route.PASS if self.bypassed else rules.route(seen.path)
        exchange = Exchange(self, rules, route, seen)
        if route is Route.PASS:
            return exchange
        now = self.now()
        jar = self._jar(rules, seen, now)
        place = self._place(rules, seen, peer)
        # A decision depends on these alone, so that what followed from them is found by one number.
        dnt, gpc = seen.dnt, seen.gpc
        number = place.number * 6 + (0 if dnt is None else 2 + 2 * dnt) + gpc
        enforcement = jar.enforced.get(number)
        exchange.enter(jar, place, now, enforcement or self._enforce(exchange, jar, place, int(now), number), number)
        if rules.partial and route is Route.FORWARD and not self.within_share(exchange):
            exchange = Exchange(self, rules, Route.PASS, seen)
            exchange.outside = True
        return exchange

    def _enforce(self, exchange: Exchange, jar: Jar, place: Place, now: int, number: int) -> Enforcement:
        rules, settled, seen = exchange.rules, place.settled, exchange.seen
        consent = jar.consent
        facts = Facts(
            jurisdiction=settled.jurisdiction,
            now=now,
            whereabouts=settled.whereabouts,
            dnt=seen.dnt,
            gpc=seen.gpc,
            consent=consent,
            minor=consent.minor,
            refusals=jar.refusals,
        )
        made = jar.enforced[number] = rules.enforcement(decide(facts, rules.policy))
        return made

    def _jar(self, rules: Ruleset, seen: Observation, now: float) -> Jar:
        joined = seen.cookies
        if not joined:
            return rules.no_cookies
        jar = rules.jars.get(joined)
        if jar is not None and now <= jar.until:
            return jar
        jar = fill(joined, rules, self.tokens, now)
        return rules.jars.keep(joined, jar) if len(joined) <= LONGEST_JAR_KEPT else jar

    def _place(self, rules: Ruleset, seen: Observation, peer: str) -> Place:
        said = seen.seen.get(rules.address_header) if rules.trust else None
        if said is None:
            key = (peer, b"")
        else:
            values = seen.repeated.get(rules.address_header)
            key = (peer, said if values is None else b"\0".join(values))
        known = rules.places.get(key)
        if known is not None:
            return known
        client = client_of(seen.all(rules.address_header), peer, rules.trust)
        locations = self.locator.locate(client.address)
        place = rules.place(locations, client.readable, client.address)
        return rules.places.keep(key, place) if len(key[1]) <= LONGEST_KEPT else place

    def within_share(self, exchange: Exchange) -> bool:
        """Whether this visitor is of the share that `[scope] percent` puts under the policy."""
        # Who answered stays under the policy: a no must not be forgotten because an address changed.
        if exchange.consent is not NO_CONSENT:
            return True
        percent = exchange.rules.policy.scope.percent
        bucket = int(self.keyring.digest("share", exchange.address)[:8], 16) % 100
        return bucket < percent

    # cookies of ours

    def consent_cookie(self, rules: Ruleset, consent: Consent) -> bytes:
        """The Set-Cookie line that keeps this consent in the browser."""
        value = self.keyring.sign_consent(consent, issued=int(self.now()))
        return cookies.make_set_cookie(
            rules.consent_cookie, value.encode(), max_age=CONSENT_LASTS, domain=rules.cookie_domain
        )

    def changed_cookies(self, exchange: Exchange) -> list[bytes]:
        """The Set-Cookie lines after a route may have taken a choice: the consent, and what a no expires."""
        facts = exchange.facts
        if facts is None or facts.consent.issued != facts.now:
            return []
        return [self.consent_cookie(exchange.rules, facts.consent), *exchange.expired_after_a_no()]

    def issue_identifier(self, exchange: Exchange) -> list[bytes]:
        """A new identifier for this browser, where one is allowed and none is held; else nothing."""
        rule = exchange.rules.policy.identifier
        decision = exchange.decision
        if rule is None or decision is None or not decision.allows(rule.purpose) or decision.minor:
            return []
        if exchange.identifier is not None or not self.healthy or self.is_bot(exchange):
            return []
        exchange.identifier, token = self.keyring.new_identifier(secrets.token_bytes(16), int(self.now()) // DAY)
        before, after = exchange.rules.identifier_line
        return [before + token.encode() + after]

    def forget_cookies(self, exchange: Exchange) -> list[bytes]:
        """Deletions of our own cookies. A refusal is not forgotten: a bare no stays, with nothing else in it."""
        held = exchange.consent
        refused = {name: False for name, yes in held.answers.items() if not yes}
        rules = exchange.rules
        bare = Consent(refused, held.at, held.revision, seen=held.seen, minor=held.minor, issued=held.issued)
        stays = [self.consent_cookie(rules, bare)] if refused or held.minor else []
        gone = [name for name in sorted(rules.own_cookies) if not (stays and name == rules.consent_cookie)]
        lines = [
            line for name in gone for line in cookies.expire_cookies(name, rules.own_parties, exchange.seen.host)
        ]
        return [*lines, *stays]

    # what stands behind

    @property
    def healthy(self) -> bool:
        """Whether the store takes what it is given."""
        return self.store is not None and self.store.healthy

    @property
    def failing(self) -> bool:
        """Whether there should be a store that takes what it is given, and is none."""
        store = self.store
        return self.started and (store is None or not store.healthy)

    def is_bot(self, exchange: Exchange) -> bool:
        """Whether the user agent says that it is a program."""
        return self.devices.read(exchange.seen.first(b"user-agent")).bot

    def links(self, rules: Ruleset) -> PageLinks:
        """Where our pages find their files."""
        return PageLinks.of(self.assets, rules.prefix.decode())

    def edit_page(
        self, exchange: Exchange, answer: ResponseHead, gating: PageGating | None, *, page: bool
    ) -> PageEdit | None:
        """What is done to a page, or to what is opened and is none (see `banner`)."""
        decision = exchange.decision
        return edit_page(self, exchange, decision, answer, gating, page=page) if decision is not None else None

    async def store_result(self, ask: Callable[[Store], Future[T]]) -> T:
        """What the store answers. Raises StoreError where there is no store or it fails."""
        if self.store is None:
            raise StoreError("the store is not open")
        self.reporter.hand_over()
        return await awaited(ask(self.store))

    async def settled(self, pending: Future[Any]) -> None:
        """Wait for what must be done before a reply is sent; its failure is counted, never the visitor's."""
        try:
            await asyncio.wait_for(awaited(pending), timeout=5.0)
        except (StoreError, TimeoutError):
            self.count("store_failed")

    async def recall_denied(self, exchange: Exchange, reason: str) -> None:
        """Recall what is queued for this browser under purposes that are now denied."""
        pending = self.reporter.recall(exchange, reason)
        if pending is not None:
            await self.settled(pending)


def ledger_book(keyring: Keyring) -> Book:
    """The keys of the ledger: CONSENT_MW_LEDGER_KEY, else derived from the oldest of these. Raises KeysError."""
    return Book.of(keyring, os.environ.get("CONSENT_MW_LEDGER_KEY", ""))


def ledger_warning() -> str:
    """What an operator should know about the ledger's key; nothing where it is one of its own."""
    if os.environ.get("CONSENT_MW_LEDGER_KEY", "").strip():
        return ""
    return (
        "the ledger's key is derived from the oldest signing key, and goes when that goes: set CONSENT_MW_LEDGER_KEY "
        "(`consent-mw keys new` makes one)"
    )


def vendor_key(key: str) -> str:
    """The secret that a vendor's `key` stands for: a literal, or what `env:NAME` holds (empty where unset)."""
    return os.environ.get(key.removeprefix("env:"), "") if key.startswith("env:") else key
