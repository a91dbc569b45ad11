"""One crash run from its seed: load, kills, a proper end, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.crash import verdict as judging
from tests.crash.service import Form, Service, Victim
from tests.crash.site import policy
from tests.crash.vendors import Vendors
from tests.crash.verdict import Verdict
from tests.crash.visitors import Book, Visitor

DRAINS_WITHIN = 60.0
"""Seconds that all that is queued may take to be delivered, once every vendor takes it."""

LIVES_AT_MOST = 2.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: `visitors` at once; `forms` are run in turn, `kills` in all, most of them after so many
    answers (`lives`) since the one before."""

    seed: int
    kills: int = 200
    visitors: int = 24
    lives: tuple[int, int] = (5, 80)
    forms: tuple[Form, ...] = (Form.ALONE, Form.WORKERS, Form.ALONE, Form.MOUNTED, Form.WORKERS)


class Run:
    """A run in this folder."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.plan = plan
        self.book = Book()
        self.service = Service(folder, random.Random(f"{plan.seed} service"))
        self.vendors = Vendors(plan.seed)
        self._say = say
        self._chance = random.Random(f"{plan.seed} kills")
        self._done = asyncio.Event()
        self._number = 0

    async def go(self) -> Verdict:
        """Do all of it."""
        began = time.monotonic()
        await self.vendors.start()
        await self.service.open(policy(self.vendors.ports))
        visitors = [asyncio.create_task(self._visit(number)) for number in range(self.plan.visitors)]
        try:
            await self._kill_again_and_again()
            self._done.set()
            await asyncio.gather(*visitors)
            verdict = await self._end()
        finally:
            self._done.set()
            for task in visitors:
                task.cancel()
            await asyncio.gather(*visitors, return_exceptions=True)
            await self.service.close()
            self.vendors.stop()
        for group in self.service.left_over:
            verdict.breach("left over", f"processes of group {group} outlived the one that started them")
        verdict.counts["seconds"] = round(time.monotonic() - began)
        return verdict

    async def _visit(self, place: int) -> None:
        """One visitor after the other."""
        while not self._done.is_set():
            self._number += 1
            chance = random.Random(f"{self.plan.seed} visitor {self._number}")
            visitor = Visitor(self._number, chance, self.service, self.book, self.vendors.mark)
            await visitor.visit(self._done)

    async def _kill_again_and_again(self) -> None:
        starts = 0
        service, chance = self.service, self._chance
        while len(service.kills) < self.plan.kills:
            if not service.port:
                form = self.plan.forms[starts % len(self.plan.forms)]
                starts += 1
                if chance.random() < 0.1:
                    await service.kill_newborn(form)
                    continue
                await service.start(form)
            await self._live()
            await service.kill(self._victim())
            service.look()
            if len(service.kills) % 10 == 0:
                self._say(f"{len(service.kills)} kills, {len(self.book.told)} events, {self.vendors.counts()}")
        if not service.port:
            await service.start(Form.ALONE)

    async def _live(self) -> None:
        """Let it serve for a while: a machine that does much else begins to answer late."""
        loop = asyncio.get_running_loop()
        if self._chance.random() < 0.8:
            answers, end = self.book.answered + self._chance.randint(*self.plan.lives), loop.time() + LIVES_AT_MOST
            while self.book.answered < answers and loop.time() < end:  # noqa: ASYNC110  whichever comes first
                await asyncio.sleep(0.005)
        await asyncio.sleep(self._chance.uniform(0.0, 0.1))

    def _victim(self) -> Victim:
        if self.service.form is not Form.WORKERS:
            return Victim.PROCESS
        return self._chance.choice((Victim.WORKER, Victim.WORKER, Victim.SUPERVISOR, Victim.GROUP))

    async def _end(self) -> Verdict:
        """Let everything be delivered, end the process as an operator does, and judge."""
        self.vendors.become_patient()
        left = -1
        end = time.monotonic() + DRAINS_WITHIN
        while time.monotonic() < end and left:
            left = _waiting(self.service.store)
            await asyncio.sleep(0.1)
        code = await self.service.stop()
        kills = [at for at, _, _ in self.service.kills]
        verdict = await asyncio.to_thread(
            judging.judge, self.book, self.vendors, kills, self.service.store, self.service.log
        )
        if left:
            verdict.breach("not delivered", f"{left} rows still wait although every vendor takes them")
        if code:
            verdict.breach("ended badly", f"the exit code is {code}")
        judging.leftovers(verdict, self.book, self.service.store)
        verdict.counts["kills"] = len(self.service.kills)
        killed = Counter(f"killed: {victim} ({form})" for _, victim, form in self.service.kills)
        verdict.counts.update(killed)
        return verdict


def _waiting(store: Path) -> int:
    """How many rows wait."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM outbox WHERE dead = 0").fetchone()[0])
