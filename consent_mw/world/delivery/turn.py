"""One turn: rows that were claimed together go to their vendor, in order per person.

Rule: a row is checked against the store and the policy in force right before it is sent.
Rule: a row ends or waits whatever happens to it; what was not tried is put back as it was.
Rule: no cookie jar, no redirects, no proxy of the environment; headers are ours alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from consent_mw.core.permit import Permit
from consent_mw.core.policy import Policy, Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors import Encoder, OutgoingRequest, VendorAnswer
from consent_mw.world.delivery.rows import FIRST_WAIT, backoff, checked, settlement
from consent_mw.world.store import OutboxRow, Settlement, Store

LEASE = 60.0
"""Seconds that a claimed row is ours."""

LONGEST_TRY = 25.0
"""Seconds that one request may take as a whole, a dripping answer included."""

LARGEST_ANSWER = 65_536
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
CLAIMED_AT_ONCE = 200
CONCURRENCY = 8

ALL_BUSY = frozenset({429, 503})
"""Answers that speak of the vendor as a whole, not of the events sent, unless they name some."""

TOO_MUCH = frozenset({400, 413, 422})
"""Answers to a batch that may be about a single event of it."""

OURS = (("user-agent", "consent_mw"), ("accept", "*/*"))
"""What a request says where its vendor's format says nothing else; Plausible takes the visitor's agent by header."""

Outcomes = Callable[[str, str, int], None]


@dataclass(slots=True)
class Line:
    """What is known of the way to one vendor."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    paused_until: float = 0.0

    def fail(self, after: float) -> None:
        self.failures += 1
        self.paused_until = time.time() + max(backoff(self.failures), after)

    def succeed(self) -> None:
        self.failures = 0
        self.paused_until = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the vendor is asked again."""
        return max(self.paused_until - time.time(), 0.0)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a vendor is sent with under the policy in force."""

    policy: Policy
    vendor: Vendor
    writer: Encoder


@dataclass(slots=True)
class Turn:
    """Claims and sends once for one vendor. `ready` tells what holds when it is asked, None while nothing may
    be sent; what is still in `waiting` at the end is put back."""

    name: str
    line: Line
    store: Store
    transport: httpx.AsyncHTTPTransport
    ready: Callable[[], Ready | None]
    on_outcome: Outcomes
    until: float = 0.0
    waiting: dict[str, OutboxRow] = field(default_factory=dict)

    async def run(self) -> bool:
        """Claim and deliver what is due. Returns whether there was anything."""
        ready = self.ready()
        if ready is None or self.line.pause:
            return False
        started = time.time()
        self.until = started + LEASE - LONGEST_TRY
        rows = await asyncio.wrap_future(self.store.claim(self.name, CLAIMED_AT_ONCE, started, LEASE))
        self.waiting = {row.id: row for row in rows}
        try:
            await self._send_all(ready.writer.batch_limit, rows)
        finally:
            # Asked, not awaited: the task may be ending. The store does what it was asked in order.
            later = time.time() + FIRST_WAIT
            self.store.settle([Settlement(one, retry_at=later, tried=False) for one in self.waiting])
        return bool(rows)

    async def _send_all(self, batch_limit: int, rows: Sequence[OutboxRow]) -> None:
        if batch_limit > 1:
            batches = [rows[start : start + batch_limit] for start in range(0, len(rows), batch_limit)]
            await self._in_order(batches)
            return
        by_person: dict[str, list[Sequence[OutboxRow]]] = {}
        for row in rows:
            # What one answer reported of a stranger was queued at one moment, and stays in order as well.
            by_person.setdefault(row.visitor or row.receipt or str(row.created), []).append([row])
        limit = asyncio.Semaphore(CONCURRENCY)

        async def in_order(batches: Sequence[Sequence[OutboxRow]]) -> None:
            async with limit:
                await self._in_order(batches)

        async with asyncio.TaskGroup() as group:
            for batches in by_person.values():
                group.create_task(in_order(batches))

    async def _in_order(self, batches: Sequence[Sequence[OutboxRow]]) -> None:
        """Send these one after the other; a later event must not overtake one that is to be tried again."""
        for batch in batches:
            if not await self._send(batch):
                return

    async def _send(self, rows: Sequence[OutboxRow]) -> bool:
        """Send one request. Returns whether every event of it came to an end."""
        held = await asyncio.wrap_future(self.store.held([row.id for row in rows]))
        ready = self.ready()
        if ready is None or self.line.pause or time.time() > self.until:
            return False
        once = not (ready.writer.dedupes or ready.vendor.resend)
        due: list[tuple[OutboxRow, Permit]] = []
        for row in rows:
            if row.id not in held:
                # Recalled since it was claimed, and counted by whoever did so.
                self.waiting.pop(row.id, None)
                continue
            left = Outcome.UNKNOWN if once and row.interrupted else checked(row, ready.policy)
            if isinstance(left, Permit):
                due.append((row, left))
            else:
                await self._settle([row], [VendorAnswer(left)])
        if not due:
            return True
        return await self._try(ready.writer, [row for row, _ in due], [permit for _, permit in due], once=once)

    async def _try(self, writer: Encoder, due: Sequence[OutboxRow], permits: Sequence[Permit], *, once: bool) -> bool:
        try:
            request = _outgoing(writer.encode(permits, time.time()))
        except Exception:  # noqa: BLE001  a value that no request can hold must not stop the others
            return await self._refused(due, [VendorAnswer(Outcome.REJECTED)] * len(due))
        for row in due:
            self.waiting.pop(row.id, None)
        try:
            status, headers, body = await self._exchange(request)
            answers = writer.answers(status, headers, body, permits, time.time())
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            self.line.fail(0.0)
            return await self._settle(due, [VendorAnswer(None)] * len(due))
        except (httpx.HTTPError, TimeoutError) as error:
            if isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol)):
                return await self._refused(due, [VendorAnswer(Outcome.REJECTED)] * len(due))
            # It may have arrived: sent again only where the vendor can tell that it is the same one.
            self.line.fail(0.0)
            return await self._settle(due, [VendorAnswer(Outcome.UNKNOWN if once else None)] * len(due))
        except Exception:  # noqa: BLE001  what cannot be sent or understood ends here, never the task
            return await self._settle(due, [VendorAnswer(Outcome.REJECTED)] * len(due))
        if status in ALL_BUSY and not any(one.named for one in answers):
            self.line.fail(max((one.after for one in answers), default=0.0))
        else:
            self.line.succeed()
        return await (self._refused if status in TOO_MUCH else self._settle)(due, answers)

    async def _refused(self, rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer]) -> bool:
        """Settle what was refused; a batch refused as a whole is sent again in halves, so that one bad event does
        not take the others along."""
        if len(rows) == 1 or any(one.named or one.outcome is not Outcome.REJECTED for one in answers):
            return await self._settle(rows, answers)
        self.waiting.update({row.id: row for row in rows})
        middle = len(rows) // 2
        return await self._send(rows[:middle]) and await self._send(rows[middle:])

    async def _exchange(self, request: httpx.Request) -> tuple[int, Mapping[str, str], bytes]:
        async with asyncio.timeout(LONGEST_TRY):
            response = await self.transport.handle_async_request(request)
            body = await _read(response)
        return response.status_code, {name.lower(): value for name, value in response.headers.items()}, body

    async def _settle(self, rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer]) -> bool:
        """Note what became of these rows. Returns whether each came to an end."""
        now = time.time()
        settlements = [settlement(row, answer, now) for row, answer in zip(rows, answers, strict=True)]
        for row in rows:
            self.waiting.pop(row.id, None)
        await asyncio.wrap_future(self.store.settle(settlements))
        for one in settlements:
            if one.outcome:
                self.on_outcome(self.name, one.outcome, 1)
        return all(one.outcome for one in settlements)


def _outgoing(request: OutgoingRequest) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url,
        headers=[*request.headers, *(one for one in OURS if one[0] not in dict(request.headers))],
        content=request.body,
        extensions={"timeout": TIMEOUT.as_dict()},
    )


async def _read(response: httpx.Response) -> bytes:
    """The beginning of the answer; the rest says nothing we heed."""
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                break
    finally:
        await response.aclose()
    return bytes(body)
