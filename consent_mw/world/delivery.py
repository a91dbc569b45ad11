"""Delivery: what waits in the outbox goes to its vendor, once at least, in order per visitor.

Rule: a row is checked against the policy in force before it is sent; the check may only narrow or cancel.
Rule: one dead vendor never delays another: a task, a client and a wait for each.
Rule: no cookie jar, no redirects, no proxy of the environment; headers are ours alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from consent_mw.core.permit import Permit, narrow
from consent_mw.core.policy import Policy, Vendor
from consent_mw.core.terms import EventKind, Mode, Outcome
from consent_mw.errors import StoreError
from consent_mw.wire.vendors import ENCODERS, Encoder, VendorAnswer, encoder
from consent_mw.world.store import OutboxRow, Settlement, Store

LEASE = 60.0
"""Seconds that a claimed row is ours; longer than a try can take."""

TIMEOUT = httpx.Timeout(20.0, connect=5.0)
CLAIMED_AT_ONCE = 200
CONCURRENCY = 8
TRIES = 12
GIVE_UP_AFTER = 86_400.0
"""Seconds after which an event that no try delivered is dead; both this and TRIES must be exceeded."""

FIRST_WAIT = 0.5
LONGEST_BACKOFF = 300.0

Outcomes = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class _Due:
    """A row that may be sent, and what of it may."""

    row: OutboxRow
    permit: Permit


class Delivery:
    """Delivers to every vendor of the policy in force until it is stopped."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        keys: Callable[[str], str],
        on_outcome: Outcomes = lambda vendor, outcome, number: None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._keys = keys
        self._on_outcome = on_outcome
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begin to deliver."""
        self._loop = asyncio.get_running_loop()
        self._transport = httpx.AsyncHTTPTransport(trust_env=False, retries=0)
        self._draining = False
        self.refresh()

    def refresh(self) -> None:
        """See to every vendor of the policy in force; called again after a reload."""
        for vendor in self._policy().vendors:
            if vendor.name not in self._tasks and vendor.kind in ENCODERS:
                self._wake[vendor.name] = asyncio.Event()
                self._tasks[vendor.name] = asyncio.create_task(self._deliver(vendor.name))

    def notify(self) -> None:
        """Something was queued. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def stop(self, drain: float = 5.0) -> None:
        """Send what can be sent within `drain` seconds, then end every task."""
        self._draining = True
        self._wake_all()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=drain)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def _wake_all(self) -> None:
        for event in self._wake.values():
            event.set()

    async def _deliver(self, name: str) -> None:
        """Deliver to one vendor until stopped; a failing store or vendor is waited out."""
        wake = self._wake[name]
        while True:
            wake.clear()
            try:
                busy = await self._round(name)
                if not busy and self._draining:
                    return
                if not busy:
                    await self._sleep(name, wake)
            except StoreError:
                if self._draining:
                    return
                await asyncio.sleep(1.0)

    async def _sleep(self, name: str, wake: asyncio.Event) -> None:
        due = await asyncio.wrap_future(self._store.next_due(name))
        wait = 30.0 if due is None else min(max(due - time.time(), 0.02), 30.0)
        try:
            await asyncio.wait_for(wake.wait(), wait)
        except TimeoutError:
            return

    async def _round(self, name: str) -> bool:
        """Claim and deliver what is due. Returns whether there was anything."""
        policy = self._policy()
        vendor = policy.vendor(name)
        writer = None if vendor is None else self._writer(vendor, policy)
        if policy.mode is Mode.REPORT or (vendor is not None and writer is None):
            return False
        rows = await asyncio.wrap_future(self._store.claim(name, CLAIMED_AT_ONCE, time.time(), LEASE))
        if not rows:
            return False
        due = [_Due(row, permit) for row in rows if (permit := checked(row, vendor)) is not None]
        sent = {one.row.id for one in due}
        recalled = [row for row in rows if row.id not in sent]
        await self._settle(name, recalled, [VendorAnswer(Outcome.RECALLED)] * len(recalled))
        if writer is not None and due:
            await self._send_all(name, writer, due)
        return True

    def _writer(self, vendor: Vendor, policy: Policy) -> Encoder | None:
        """The encoder of this vendor; None while its key is not set, so that its events wait."""
        key = self._keys(vendor.key) if vendor.key else ""
        if vendor.key and not key:
            return None
        return encoder(vendor, key, policy.site.origin)

    async def _send_all(self, name: str, writer: Encoder, due: Sequence[_Due]) -> None:
        if writer.batch_limit > 1:
            for start in range(0, len(due), writer.batch_limit):
                await self._send(name, writer, due[start : start + writer.batch_limit])
            return
        by_visitor: dict[str, list[_Due]] = {}
        for one in due:
            # What one answer reported of a stranger was queued at one moment, and stays in order as well.
            by_visitor.setdefault(one.row.visitor or one.row.receipt or str(one.row.created), []).append(one)
        limit = asyncio.Semaphore(CONCURRENCY)

        async def in_order(queue: Sequence[_Due]) -> None:
            async with limit:
                for position, one in enumerate(queue):
                    if not await self._send(name, writer, [one]):
                        # A later event must not overtake this one, so what follows waits as well.
                        rest = [later.row for later in queue[position + 1 :]]
                        await self._settle(name, rest, [VendorAnswer(None, FIRST_WAIT)] * len(rest))
                        return

        await asyncio.gather(*(in_order(queue) for queue in by_visitor.values()))

    async def _send(self, name: str, writer: Encoder, batch: Sequence[_Due]) -> bool:
        """Send one request. Returns whether every event of it came to an end."""
        permits = [one.permit for one in batch]
        request = writer.encode(permits, time.time())
        outgoing = httpx.Request(
            request.method,
            request.url,
            headers=[*request.headers, ("user-agent", "consent_mw"), ("accept", "*/*")],
            content=request.body,
            extensions={"timeout": TIMEOUT.as_dict()},
        )
        if self._transport is None:
            return False
        try:
            response = await self._transport.handle_async_request(outgoing)
            body = await _read(response)
            headers = {key.lower(): value for key, value in response.headers.items()}
            answers = writer.answers(response.status_code, headers, body, permits, time.time())
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            answers = [VendorAnswer(None)] * len(permits)
        except httpx.HTTPError:
            # It may have arrived: sent again only where the vendor can tell that it is the same one.
            again = writer.dedupes or self._resends(name)
            answers = [VendorAnswer(None if again else Outcome.UNKNOWN)] * len(permits)
        await self._settle(name, [one.row for one in batch], answers)
        return all(answer.outcome is not None for answer in answers)

    def _resends(self, name: str) -> bool:
        vendor = self._policy().vendor(name)
        return vendor is not None and vendor.resend

    async def _settle(self, name: str, rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer]) -> None:
        if not rows:
            return
        now = time.time()
        settlements = [_settlement(row, answer, now) for row, answer in zip(rows, answers, strict=True)]
        await asyncio.wrap_future(self._store.settle(settlements))
        for one in settlements:
            if one.outcome:
                self._on_outcome(name, one.outcome, 1)


def checked(row: OutboxRow, vendor: Vendor | None) -> Permit | None:
    """What of this row may still leave under the policy in force; None where nothing may, so that it is recalled."""
    if vendor is None or vendor.purpose != row.purpose:
        return None
    try:
        fields = json.loads(row.body)
    except ValueError:
        return None
    listed = vendor.fields_for(row.jurisdiction)
    if not isinstance(fields, dict) or not listed:
        return None
    return Permit(vendor.name, row.event_id, EventKind(row.kind), narrow(fields, listed))


def _settlement(row: OutboxRow, answer: VendorAnswer, now: float) -> Settlement:
    if answer.outcome is not None:
        return Settlement(row.id, answer.outcome.value)
    if row.attempts >= TRIES and now - row.created > GIVE_UP_AFTER:
        return Settlement(row.id, Outcome.DEAD.value)
    backoff = min(FIRST_WAIT * 2 ** max(row.attempts - 1, 0), LONGEST_BACKOFF)
    wait = max(backoff * random.uniform(0.5, 1.0), answer.after)  # noqa: S311  jitter needs no secret
    return Settlement(row.id, retry_at=now + wait)


async def _read(response: httpx.Response) -> bytes:
    """At most 64 KiB of the answer; the rest says nothing we heed."""
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > 65_536:
                break
    finally:
        await response.aclose()
    return bytes(body)
