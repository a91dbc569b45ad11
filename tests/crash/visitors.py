"""The visitors of the crash run, and the book of what they were promised.

Rule: what a visitor allowed is read from the cookies that it sent, as any browser's would be.
Rule: a request without an answer promises nothing; what it may have changed is allowed for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httptools

from consent_mw.wire.token import Keyring
from tests.crash.line import Line, Reply
from tests.crash.service import Service
from tests.crash.site import NOTHING_IN_EEA, PURPOSES, person
from tests.journeys.site import FIREFOX, KEY

ANSWERS_WITHIN: Final = 8.0
COMMITTED_WITHIN: Final = 1.0
"""Seconds; what is not awaited is on disk within 50 ms, on a machine that does nothing else."""

ON_THE_WAY: Final = 31.0
"""Seconds after a no without an answer, which may be in force although the browser does not know."""

PAGES: Final = ("/p?", "/reset/")

_KEYS: Final = Keyring([KEY])


@dataclass(slots=True)
class Told:
    """An event: whose, where in the visitor's order, when it was asked for and answered (0: never), under which
    identity (empty for a stranger), which purposes were allowed, whether its commit was awaited, whether it may be
    lost all the same, and whether it tells who somebody is."""

    mark: str
    visitor: Visitor
    order: int
    asked: float
    allowed: frozenset[str]
    identity: str
    answered: float = 0.0
    awaited: bool = False
    doubtful: bool = False
    identifies: bool = False

    def vendors(self) -> list[str]:
        """Who may get it."""
        here = self.visitor.jurisdiction
        return [
            name
            for name, purpose in PURPOSES.items()
            if purpose in self.allowed and not (here == "eea_uk" and name in NOTHING_IN_EEA)
            # What Segment is told of who somebody is has no place for a mark.
            if not (self.identifies and name == "batch")
        ]


@dataclass(frozen=True, slots=True)
class No:
    """A no that was answered: what was made before it may not leave after it. `receipt` is its record."""

    order: int
    answered: float
    purposes: frozenset[str]


@dataclass(slots=True)
class Book:
    """What happened: every event by its mark, every receipt that was acknowledged with its visitor, and breaches
    that were seen at once."""

    told: dict[str, Told] = field(default_factory=dict)
    receipts: list[tuple[str, Visitor, int]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    answered: int = 0
    unanswered: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Visitor:
    """One browser. `mark_time` is told when a no was answered, before anything else is done."""

    def __init__(
        self, number: int, chance: random.Random, service: Service, book: Book, mark_time: Callable[[float], None]
    ) -> None:
        self.number = number
        self.jurisdiction = "eea_uk" if chance.random() < 0.4 else "elsewhere"
        network = "85.214.132" if self.jurisdiction == "eea_uk" else "74.125.224"
        self.address = f"{network}.{number % 250 + 2}"
        self.agent = f"{FIREFOX} of{number}x"
        self.secret = f"secretword{number}q"
        self.nos: list[No] = []
        self.tried: list[No] = []
        """Those without an answer, which may be in force all the same."""
        self.ids: set[str] = set()
        self.erased_at = -1
        """The order of the last erasure that was asked for, answered or not."""
        self._chance = chance
        self._service = service
        self._book = book
        self._mark_time = mark_time
        self._jar: dict[str, str] = {}
        self._order = 0
        self._doubtful_until = 0.0
        self._line: Line | None = None
        self._port = 0

    async def visit(self, done: asyncio.Event) -> None:
        """Do this and that for a while, or until it is done."""
        for _ in range(self._chance.randint(8, 40)):
            if done.is_set():
                break
            if not self._service.port:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._service.up.wait(), 0.5)
                continue
            await self._act(self._chance.random())
            await asyncio.sleep(self._chance.uniform(0.02, 0.25))
        if self._line is not None:
            self._line.close()

    async def _act(self, dice: float) -> None:
        self._order += 1
        if dice < 0.40:
            await self._report("GET", "/p?n={mark}" if dice < 0.35 else f"/reset/{self.secret}?n={{mark}}")
        elif dice < 0.58:
            await self._post_events()
        elif dice < 0.70:
            await self._report("GET", "/buy?n={mark}")
        elif dice < 0.76:
            await self._report("GET", f"/login?u={self.number}&n={{mark}}")
        elif dice < 0.90:
            await self._choose()
        elif dice < 0.96:
            await self._refuse("withdraw", {}, frozenset(PURPOSES.values()))
        else:
            self.erased_at = self._order
            await self._refuse("erase", {}, frozenset(PURPOSES.values()))

    # events

    async def _report(self, method: str, target: str) -> None:
        told = self._tell()
        told.identifies = target.startswith("/login")
        reply = await self._ask(method, target.format(mark=told.mark))
        if reply is not None:
            self._answered([told])
            if target.startswith(PAGES):
                # A page gives a newcomer an identifier, which its own event has already.
                told.identity = self._identity()
            if reply.status != 200:
                self._refused(f"{target.partition('?')[0]} {reply.status}")

    async def _post_events(self) -> None:
        all_told = [self._tell() for _ in range(self._chance.choice((1, 1, 3)))]
        said = [{"event": "click", "page_path": "/x", "props": {"n": one.mark}} for one in all_told]
        reply = await self._post("events", said if len(said) > 1 else said[0])
        if reply is None:
            return
        self._answered(all_told)
        if reply.status != 202:
            self._refused(f"events {reply.status}")
            return
        wanted = any(one.vendors() for one in all_told)
        for one in all_told:
            one.awaited = bool(json.loads(reply.body)["accepted"])
            if wanted and not one.awaited and not one.doubtful:
                self._book.breaches.append(f"an event that is allowed was answered as if it was not: {one.mark}")

    def _tell(self) -> Told:
        number = len(self._book.told)
        told = Told(f"v{self.number}.e{number}z", self, self._order, self._now(), self._allowed(), self._identity())
        told.doubtful = told.asked < self._doubtful_until
        self._book.told[told.mark] = told
        return told

    def _answered(self, all_told: list[Told]) -> None:
        for one in all_told:
            one.answered = self._now()

    # choices

    async def _choose(self) -> None:
        named = {name: self._chance.random() < 0.65 for name in sorted(set(PURPOSES.values()))}
        if self._chance.random() < 0.3:
            del named[self._chance.choice(sorted(named))]
        await self._refuse("choice", {"purposes": named}, frozenset(one for one, yes in named.items() if not yes))

    async def _refuse(self, route: str, said: Mapping[str, Any], purposes: frozenset[str]) -> None:
        before = self._receipt()
        reply = await self._post(route, said)
        if reply is None or reply.status != 200:
            # A no is honoured by its cookie even where it is refused; what it recalls is not certain.
            self.tried.append(No(self._order, 0.0, purposes))
            self._doubtful_until = self._now() + ON_THE_WAY
            if reply is not None:
                self._refused(f"{route} {reply.status}")
            return
        receipt = self._receipt()
        if purposes and (route == "erase" or receipt != before):
            self._mark_time(self._now())
            self.nos.append(No(self._order, self._now(), purposes))
        elif purposes:
            # Nothing changed, or there was no store to keep a receipt, and the cookie alone says no.
            self.tried.append(No(self._order, 0.0, purposes))
        if route != "erase" and purposes & self._allowed():
            self._book.breaches.append(f"visitor {self.number} said no to {sorted(purposes)}, which is still allowed")
        if receipt and receipt != before:
            self._book.receipts.append((receipt, self, self._order))

    # what the browser holds

    def _allowed(self) -> frozenset[str]:
        consent = _KEYS.read_consent(self._jar.get("__Host-consent", ""))
        answers = dict(consent.answers) if consent is not None else {}
        default = self.jurisdiction == "elsewhere"
        return frozenset(name for name in PURPOSES.values() if answers.get(name, default))

    def _receipt(self) -> str:
        consent = _KEYS.read_consent(self._jar.get("__Host-consent", ""))
        return consent.receipt if consent is not None else ""

    def _identity(self) -> str:
        """What the store may know this browser by."""
        identifier = _KEYS.read_identifier(self._jar.get("__Host-vid", ""))
        return identifier.id if identifier is not None else self._receipt()

    def _take(self, reply: Reply) -> None:
        for line in reply.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            if "max-age=0" in line.lower():
                self._jar.pop(name, None)
            else:
                self._jar[name] = value
        identifier = _KEYS.read_identifier(self._jar.get("__Host-vid", ""))
        if identifier is not None:
            self.ids.add(identifier.id)

    def secrets(self) -> dict[str, list[str]]:
        """What is of this person, by what it is."""
        who = person(str(self.number))
        return {
            "email": [who["email"]],
            "name": [who["name"]],
            "user": [who["user_id"]],
            "ip": [f'{self.address}"'],
            "agent": [self.agent],
            "path": [self.secret],
            "id": sorted(self.ids),
        }

    # the wire

    async def _post(self, route: str, said: object) -> Reply | None:
        body = json.dumps(said).encode()
        fields = f"Content-Type: application/json\r\nSec-Fetch-Site: same-origin\r\nContent-Length: {len(body)}\r\n"
        return await self._ask("POST", f"/_consent/{route}", fields, body)

    async def _ask(self, method: str, target: str, fields: str = "", body: bytes = b"") -> Reply | None:
        """The answer, or None where there is none."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._jar.items())
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: {self.address}\r\n"
            f"User-Agent: {self.agent}\r\n{fields}"
        )
        head += "Sec-Fetch-Dest: document\r\n" if method == "GET" else ""
        head += f"Cookie: {cookies}\r\n" if cookies else ""
        try:
            line = await self._connected()
            reply = await asyncio.wait_for(line.ask(head.encode() + b"\r\n" + body), ANSWERS_WITHIN)
        except (OSError, TimeoutError, httptools.HttpParserError):
            if self._line is not None:
                self._line.close()
            self._line = None
            self._book.unanswered += 1
            return None
        self._book.answered += 1
        self._take(reply)
        return reply

    async def _connected(self) -> Line:
        line, port = self._line, self._service.port
        if line is not None and not line.ended and self._port == port:
            return line
        if line is not None:
            line.close()
        self._line, self._port = None, port
        opening = asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
        _, made = await asyncio.wait_for(opening, ANSWERS_WITHIN)
        self._line = made
        return made

    def _refused(self, what: str) -> None:
        self._book.refused[what] = self._book.refused.get(what, 0) + 1

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
