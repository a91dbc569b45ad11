"""Admissions: what became of a request's header block, for the next request that brings the very same one.

Rule: found only by all bytes of the block, for the same peer, under the same policy and keys, and before anything in
it grows old; a body, an upgrade, an expectation or another method is looked at anew.
Rule: the decision is not skipped: it is the one that these bytes had, and it can have no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from consent_mw.asgi.enforcement import Enforcement
from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.jar import Jar
from consent_mw.asgi.observe import Observation
from consent_mw.asgi.ruleset import Place, Route, Ruleset
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.request_head import RequestHead, target_of

ADMISSIONS_KEPT: Final = 2048
"""Bound of the header blocks that are remembered, twice."""

LONGEST_BLOCK_KEPT: Final = 3072
MOST_FIELDS_KEPT: Final = 64
"""Bytes and fields of a header block beyond which it is not remembered: browsers send a third of either."""


@dataclass(slots=True)
class Admission:
    """What became of one header block. `rest` is what went to the upstream after the request line; `filtered` is
    whether cookies were dropped from it."""

    head: RequestHead
    seen: Observation
    rules: Ruleset
    jar: Jar
    place: Place
    enforcement: Enforcement
    number: int
    rest: bytes
    filtered: bool
    peer: str
    secure: bool


@dataclass(slots=True)
class Admitted:
    """A request that was admitted without another look: its head (but for the target), and what goes upstream."""

    head: RequestHead
    target: bytes
    exchange: Exchange
    rendered: bytes


class Admissions:
    """The admissions of one process."""

    def __init__(self) -> None:
        self._known: Remembered[bytes, Admission] = Remembered(ADMISSIONS_KEPT)

    def find(self, raw: bytes, gate: Gate, peer: str, *, secure: bool) -> Admitted | None:
        """The admission of this request head, if its header block is known and still holds."""
        line, _, block = raw.partition(b"\r\n")
        known = self._known.get(block)
        if known is None or known.peer != peer or known.secure is not secure or known.rules is not gate.rules:
            return None
        target = target_of(line, known.head.method)
        if target is None:
            return None
        seen = known.seen.elsewhere(target)
        now = gate.now()
        if now > known.jar.until or gate.bypassed or known.rules.route(seen.path) is not Route.FORWARD:
            return None
        exchange = Exchange(gate, known.rules, Route.FORWARD, seen)
        exchange.enter(known.jar, known.place, int(now), known.enforcement, known.number)
        if known.filtered:
            gate.count("cookie_dropped")
        return Admitted(known.head, target, exchange, line + known.rest)

    def keep(self, head: RequestHead, exchange: Exchange, rendered: bytes, peer: str, *, secure: bool) -> None:
        """Remember what became of this request's header block, if it is one that can come again."""
        block = head.block
        ordinary = head.length == 0 and not (head.upgrade or head.continues or head.http10 or b"via" in head.seen)
        if not ordinary or not 0 < len(block) <= LONGEST_BLOCK_KEPT or head.method not in (b"GET", b"HEAD"):
            return
        if len(head.fields) > MOST_FIELDS_KEPT:
            return
        enforcement, place = exchange.enforcement, exchange.place
        if enforcement is None or place is None or exchange.rules.partial or exchange.route is not Route.FORWARD:
            return
        rest = rendered[rendered.index(b"\r\n") :]
        filtered = (
            bool(exchange.jar.joined) and exchange.jar.remaining.get(exchange.number) is not exchange.jar.joined
        )
        self._known.keep(
            block,
            Admission(
                _without_fields(head), exchange.seen, exchange.rules, exchange.jar, place, enforcement,
                exchange.number, rest, filtered and exchange.rules.enforced, peer, secure,
            ),
        )  # fmt: skip

    def forget(self) -> None:
        """Remember nothing: of what was in force before, nothing holds any longer."""
        self._known.clear()


def _without_fields(head: RequestHead) -> RequestHead:
    """This head as far as it is looked at again: its fields went into `rest`, and there can be many of them."""
    return replace(head, fields=[], block=b"")
