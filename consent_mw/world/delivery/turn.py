"""One turn: rows that were claimed together go to their vendor, in order per person.

Rule: a row is checked against the store and the policy in force right before it is sent; what is recalled while a
      connection is made is not sent on it.
Rule: a row ends or waits whatever happens to it; what was not tried is put back as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from consent_mw.core.permit import Permit, listed_as
from consent_mw.core.policy import Policy, Vendor
from consent_mw.core.terms import Outcome
from consent_mw.wire.vendors import Encoder, OutgoingRequest, Piecemeal, VendorAnswer
from consent_mw.world.delivery.line import Line, Unsettled
from consent_mw.world.delivery.rows import FIRST_WAIT, Check, settlements
from consent_mw.world.delivery.sender import (
    Sender,
    UnansweredError,
    UnsendableError,
    UnsentError,
    WithheldError,
)
from consent_mw.world.store import OutboxRow, Settlement, Store

LEASE = 60.0
"""Seconds that a claimed row is ours."""

LONGEST_TRY = 25.0
"""Seconds that one request may take as a whole, a dripping answer included."""

CLAIMED_AT_ONCE = 500
"""Rows of a turn: few enough that no step over them holds up the requests beside it."""

CLAIMED_ONCE = 32
"""The same for a vendor that gets an ambiguous event once only: what is claimed at a crash is ambiguous."""

CHECKED_AT_ONCE = 64
"""Rows after which the event loop is let go on."""

SETTLED_AT_ONCE = 50
"""Ends of single events that are noted together; the others are noted at the end of the turn."""

CONCURRENCY = 8

BESIDES = 256
"""Bytes of a batch beside its events."""

TOO_MUCH = frozenset({400, 413, 422})
"""Answers to a batch that may be about a single event of it."""

Outcomes = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """What a vendor is sent with under the policy in force; `pieces` is the writer, where it writes piecemeal;
    `listed` are the names of every field that the policy gives it somewhere."""

    policy: Policy
    vendor: Vendor
    writer: Encoder
    pieces: Piecemeal | None
    listed: frozenset[str]

    @classmethod
    def of(cls, policy: Policy, vendor: Vendor, writer: Encoder) -> Ready:
        """Sent with this writer."""
        listed = frozenset(vendor.fields).union(*vendor.fields_in.values())
        return cls(policy, vendor, writer, writer if isinstance(writer, Piecemeal) else None, listed)

    @property
    def once(self) -> bool:
        """Whether an event that may have arrived is not sent again."""
        return not (self.writer.dedupes or self.vendor.resend)


@dataclass(slots=True)
class Turn:
    """Claims and sends once for one vendor. `ready` tells what holds when it is asked, None while nothing may
    be sent; what is still in `waiting` at the end is put back."""

    name: str
    line: Line
    store: Store
    sender: Sender
    ready: Callable[[], Ready | None]
    on_outcome: Outcomes
    until: float = 0.0
    waiting: dict[str, OutboxRow] = field(default_factory=dict)
    ended: list[Settlement] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)
    listed: frozenset[str] = frozenset()
    just_claimed: bool = False
    asking: list[str] = field(default_factory=list)
    answered: asyncio.Future[frozenset[str]] | None = None

    async def run(self) -> int:
        """Claim and deliver what is due. Returns how many rows there were."""
        ready = self.ready()
        if ready is None or self.line.pause:
            return 0
        await self._settle_before()
        started = time.time()
        self.until = started + LEASE - LONGEST_TRY
        limit = max(CLAIMED_ONCE, ready.writer.batch_limit) if ready.once else CLAIMED_AT_ONCE
        limit = min(limit, CLAIMED_AT_ONCE)
        rows = await asyncio.wrap_future(self.store.claim(self.name, limit, started, LEASE))
        self.waiting = {row.id: row for row in rows}
        if ready.once and (gone := [row for row in rows if row.interrupted]):
            # Now, since a row that is put back is as if it had never been interrupted.
            await self._settle(gone, [VendorAnswer(Outcome.UNKNOWN)] * len(gone))
            rows = [row for row in rows if not row.interrupted]
        self.just_claimed = True
        try:
            await self._send_all(ready.writer.batch_limit, rows)
        finally:
            later = time.time() + FIRST_WAIT
            self._note([Settlement(one, retry_at=later, tried=False) for one in self.waiting])
        return len(rows)

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
        ids = [row.id for row in rows]
        held = frozenset(ids) if self.just_claimed else await self._held(ids)
        self.just_claimed = False
        ready = self.ready()
        if ready is None or self.line.pause or time.time() > self.until:
            return False
        self.listed = ready.listed
        once = ready.once
        due: list[tuple[OutboxRow, Permit]] = []
        check = Check(self.name, ready.policy)
        for number, row in enumerate(rows, 1):
            if row.id not in held:
                # Recalled since it was claimed, and counted by whoever did so.
                self.waiting.pop(row.id, None)
                continue
            left = check.left(row)
            if isinstance(left, Permit):
                due.append((row, left))
            else:
                await self._settle([row], [VendorAnswer(left)])
            if not number % CHECKED_AT_ONCE:
                await asyncio.sleep(0)
        if ready.pieces is not None:
            return await self._piecemeal(ready.pieces, due, once=once)
        if not due:
            return True
        permits = [permit for _, permit in due]
        try:
            request = ready.writer.encode(permits, time.time())
        except Exception:  # noqa: BLE001  a value that no request can hold must not stop the others
            return await self._refused([row for row, _ in due], [VendorAnswer(Outcome.REJECTED)] * len(due))
        return await self._try(ready.writer, request, [row for row, _ in due], permits, once=once)

    async def _held(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these rows (and of others: what is asked at one moment is asked together) are to be delivered."""
        self.asking += ids
        if self.answered is None:
            loop = asyncio.get_running_loop()
            self.answered = loop.create_task(self._ask())
        return await asyncio.shield(self.answered)

    async def _ask(self) -> frozenset[str]:
        await asyncio.sleep(0)
        asked, self.asking, self.answered = self.asking, [], None
        return await asyncio.wrap_future(self.store.held(asked))

    async def _piecemeal(self, writer: Piecemeal, due: Sequence[tuple[OutboxRow, Permit]], *, once: bool) -> bool:
        """Send these in as few requests as their size allows, written bit by bit."""
        rows: list[OutboxRow] = []
        permits: list[Permit] = []
        pieces: list[bytes] = []
        size = 0
        for number, (row, permit) in enumerate(due, 1):
            if not number % CHECKED_AT_ONCE:
                await asyncio.sleep(0)
            try:
                piece = writer.piece(permit)
            except Exception:  # noqa: BLE001  a value that no request can hold must not stop the others
                await self._settle([row], [VendorAnswer(Outcome.REJECTED)])
                continue
            size += len(piece) + 1
            if pieces and (size + BESIDES > writer.size_limit or len(pieces) == writer.batch_limit):
                whole = writer.whole(pieces, time.time())
                if not await self._try(writer, whole, rows, permits, once=once):
                    return False
                rows, permits, pieces, size = [], [], [], len(piece) + 1
            rows.append(row)
            permits.append(permit)
            pieces.append(piece)
        return not rows or await self._try(writer, writer.whole(pieces, time.time()), rows, permits, once=once)

    async def _try(
        self,
        writer: Encoder,
        outgoing: OutgoingRequest,
        due: Sequence[OutboxRow],
        permits: Sequence[Permit],
        *,
        once: bool,
    ) -> bool:
        ids = [row.id for row in due]
        for one in ids:
            self.waiting.pop(one, None)
        try:
            async with asyncio.timeout(LONGEST_TRY):
                answer = await self.sender.exchange(outgoing, lambda: self.store.taken_back(ids))
            answers = writer.answers(answer.status, answer.headers, answer.body, permits, time.time())
        except UnsendableError:
            return await self._refused(due, [VendorAnswer(Outcome.REJECTED)] * len(due))
        except WithheldError:
            self.waiting.update({row.id: row for row in due})
            return await self._send(due)
        except UnsentError:
            self.line.fail(0.0)
            return await self._settle(due, [VendorAnswer(None)] * len(due))
        except (UnansweredError, TimeoutError):
            # It may have arrived: sent again only where the vendor can tell that it is the same one.
            self._left(permits)
            self.line.fail(0.0)
            return await self._settle(due, [VendorAnswer(Outcome.UNKNOWN if once else None)] * len(due))
        except Exception:  # noqa: BLE001  what cannot be sent or understood ends here, never the task
            return await self._settle(due, [VendorAnswer(Outcome.REJECTED)] * len(due))
        self._left(permits)
        self.line.judge(answer.status, answers, due[0].id)
        return await (self._refused if answer.status in TOO_MUCH else self._settle)(due, answers)

    def _left(self, permits: Sequence[Permit]) -> None:
        """Note the names of the fields that left, or may have, as the policy names them: what a property is called
        may be anybody's text."""
        for permit in permits:
            if not self.fields.issuperset(permit.fields):
                self.fields.update(listed_as(name, self.listed) for name in permit.fields)

    async def _refused(self, rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer]) -> bool:
        """Settle what was refused; a batch refused as a whole is sent again in halves, so that one bad event does
        not take the others along."""
        if len(rows) == 1 or any(one.named or one.outcome is not Outcome.REJECTED for one in answers):
            return await self._settle(rows, answers)
        self.waiting.update({row.id: row for row in rows})
        middle = len(rows) // 2
        return await self._send(rows[:middle]) and await self._send(rows[middle:])

    async def _settle(self, rows: Sequence[OutboxRow], answers: Sequence[VendorAnswer]) -> bool:
        """Note what became of these rows. Returns whether each came to an end."""
        settled = settlements(rows, answers, time.time())
        for row in rows:
            self.waiting.pop(row.id, None)
        self.ended += settled
        if len(self.ended) >= SETTLED_AT_ONCE:
            self._note()
        return all(one.outcome for one in settled)

    def _note(self, put_back: Sequence[Settlement] = ()) -> None:
        """Have the store note what came to an end, or is to be tried again. Asked, not awaited: the store does what
        it is asked in order, and the task may be ending."""
        noted = Unsettled((*self.ended, *put_back), tuple(sorted(self.fields)))
        self.ended = []
        self.fields = set()
        if not noted.settlements:
            return
        loop = asyncio.get_running_loop()

        def tell(done: Future[None]) -> None:
            # The loop may be closed by now; what was noted stands in the store.
            with contextlib.suppress(RuntimeError):
                if done.exception() is None:
                    loop.call_soon_threadsafe(self._tell, noted.settlements)
                else:
                    loop.call_soon_threadsafe(self.line.unsettled.append, noted)

        self._ask_to_settle(noted).add_done_callback(tell)

    def _ask_to_settle(self, noted: Unsettled) -> Future[None]:
        return self.store.settle(noted.settlements, vendor=self.name, fields=noted.fields)

    async def _settle_before(self) -> None:
        """Have the store note what it could not take when it came to its end. What is not noted is claimed again, and
        would be sent again."""
        while self.line.unsettled:
            noted = self.line.unsettled[0]
            await asyncio.wrap_future(self._ask_to_settle(noted))
            self.line.unsettled.pop(0)
            self._tell(noted.settlements)

    def _tell(self, noted: Sequence[Settlement]) -> None:
        for outcome, number in Counter(one.outcome for one in noted if one.outcome).items():
            self.on_outcome(self.name, outcome, number)
