"""Delivery: what waits in the outbox goes to its vendor, once at least, in order per visitor.

Rule: one dead vendor never delays another: a task and a pause for each; one poisoned row never delays the rest.
Rule: what waits for a vendor that the policy no longer names is recalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future

from consent_mw.core.ledger import policy_load
from consent_mw.core.policy import Policy
from consent_mw.core.terms import Mode, Outcome
from consent_mw.wire.vendors import ENCODERS, encoder
from consent_mw.world.delivery.head import HeadLog
from consent_mw.world.delivery.line import Line
from consent_mw.world.delivery.sender import Sender
from consent_mw.world.delivery.turn import CLAIMED_AT_ONCE, Outcomes, Ready, Turn
from consent_mw.world.store import Store

LONGEST_REST = 30.0
"""Seconds after which an idle vendor is looked at again, though nobody woke it."""

KEEPS_EVERY = 2.0
"""Seconds between looks at whether another policy is in force."""

GATHERS_FOR = 0.1
"""Seconds between two batches to one vendor, where the first was not a full one."""

EXPIRES_EVERY = 3600.0


class Delivery:
    """Delivers to every vendor of the policy in force until it is stopped."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        keys: Callable[[str], str],
        on_outcome: Outcomes = lambda vendor, outcome, number: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._keys = keys
        self._on_outcome = on_outcome
        self._head = HeadLog(store, say)
        self._loaded: Policy | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lines: dict[str, Line] = {}
        self._known: dict[str, tuple[Policy, str, Ready | None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._sender: Sender | None = None
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begin to deliver."""
        self._loop = asyncio.get_running_loop()
        self._sender = Sender()
        self._stopping = asyncio.Event()
        self.refresh()
        self._head.say()
        self._keeper = asyncio.create_task(self._keep())

    def refresh(self) -> None:
        """See to every vendor of the policy in force; called by itself soon after a reload."""
        if self._stopping.is_set():
            return
        self._note_policy(self._policy())
        for vendor in self._policy().vendors:
            if vendor.name not in self._tasks and vendor.kind in ENCODERS:
                self._lines[vendor.name] = Line()
                self._tasks[vendor.name] = asyncio.create_task(self._deliver(vendor.name))
        self._wake_all()

    def notify(self) -> None:
        """Something was queued. May be called from any thread."""
        if self._loop is not None:
            # The loop may close at this very moment; what was queued is then delivered after the next start.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_all)

    async def stop(self, drain: float = 5.0) -> None:
        """Send what can be sent within `drain` seconds, then end every task."""
        self._stopping.set()
        self._wake_all()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=drain)
        if self._keeper is not None:
            tasks.append(self._keeper)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._lines.clear()
        self._keeper = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        await self._head.last()

    def _note_policy(self, policy: Policy) -> None:
        """Have the ledger tell of a policy that was put in force."""
        if policy is not self._loaded:
            self._loaded = policy
            told = self._store.note([policy_load(policy.revision, policy.digest, policy.mode.value)])
            told.add_done_callback(self._noted_policy)

    def _noted_policy(self, told: Future[None]) -> None:
        if told.exception() is not None:
            self._loaded = None

    def _wake_all(self) -> None:
        for line in self._lines.values():
            line.wake.set()

    async def _keep(self) -> None:
        """Follow the policy: recall what waits for a vendor that is gone, and delete what is past its retention."""
        known: Policy | None = None
        expired = 0.0
        while True:
            policy = self._policy()
            self._note_policy(policy)
            try:
                if policy is not known:
                    self.refresh()
                    await self._recall_others(policy)
                    known = policy
                if time.monotonic() - expired > EXPIRES_EVERY or not expired:
                    await self._expire(policy)
                    expired = time.monotonic()
            except Exception:  # noqa: BLE001  the store failed: the next look tries again
                known = None
            self._head.look()
            await asyncio.sleep(KEEPS_EVERY)

    async def _recall_others(self, policy: Policy) -> None:
        names = [one.name for one in policy.vendors]
        while gone := await asyncio.wrap_future(self._store.recall_others(names)):
            for name, number in gone.items():
                self._on_outcome(name, Outcome.RECALLED.value, number)

    async def _expire(self, policy: Policy) -> None:
        now, kept = time.time(), policy.retention
        ends = {
            "receipts_before": now - kept.receipts,
            "dead_before": now - kept.dead_letters,
            "ledger_before": now - kept.ledger,
        }
        gone = 1
        while gone:
            gone = await asyncio.wrap_future(self._store.expire(**ends))
        await asyncio.wrap_future(self._store.end_statistics(now, now - kept.statistics))

    async def _deliver(self, name: str) -> None:
        """Deliver to one vendor until stopped, or until no policy names it; whatever fails is waited out."""
        line = self._lines[name]
        while True:
            line.wake.clear()
            if self._policy().vendor(name) is None:
                del self._tasks[name], self._lines[name]
                self._known.pop(name, None)
                return
            try:
                more = await self._turn(name, line)
                rest = await self._rest(name, line) if not more else self._linger(name, more)
            except Exception:  # noqa: BLE001  a store that failed, mostly; the task outlives all else as well
                more, rest = 0, 1.0
            if self._stopping.is_set() and (not more or line.pause):
                return
            if rest:
                # A paused vendor is not asked sooner because something was queued, nor one that just got a batch.
                until = self._stopping if line.pause or more else line.wake
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), rest)

    def _linger(self, name: str, sent: int) -> float:
        """Seconds to gather a batch in, where the last one was not a full one and what waits can go as one."""
        ready = self._ready(name)
        gathers = ready is not None and ready.writer.batch_limit > 1 and sent < CLAIMED_AT_ONCE
        return GATHERS_FOR if gathers and not self._stopping.is_set() else 0.0

    async def _rest(self, name: str, line: Line) -> float:
        """Seconds until there may be something to do again."""
        if line.pause or self._ready(name) is None:
            return min(line.pause or LONGEST_REST, LONGEST_REST)
        due = await asyncio.wrap_future(self._store.next_due(name))
        return LONGEST_REST if due is None else min(max(due - time.time(), 0.05), LONGEST_REST)

    def _ready(self, name: str) -> Ready | None:
        """What to send with under the policy in force; None while nothing may be sent, so that events wait: in report
        mode, and while the key is not set or cannot be sent."""
        policy = self._policy()
        vendor = policy.vendor(name)
        if vendor is None or vendor.kind not in ENCODERS or policy.mode is Mode.REPORT:
            return None
        key = self._keys(vendor.key) if vendor.key else ""
        if vendor.key and not key:
            return None
        known = self._known.get(name)
        if known is not None and known[0] is policy and known[1] == key:
            return known[2]
        try:
            ready = Ready.of(policy, vendor, encoder(vendor, key, policy.site.origin))
        except ValueError:
            ready = None
        self._known[name] = (policy, key, ready)
        return ready

    async def _turn(self, name: str, line: Line) -> int:
        if self._sender is None:
            return 0
        turn = Turn(name, line, self._store, self._sender, lambda: self._ready(name), self._on_outcome)
        return await turn.run()
