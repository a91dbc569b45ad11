"""Admissions: what became of a request's header block, for the next request that brings the very same one.

Rule: found only by all bytes of the block, for the same peer, under the same policy and keys, and before anything in
it grows old; a body, an upgrade, an expectation or another method than GET is looked at anew.
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
from consent_mw.asgi.ruleset import Bearing, Place, Route, Ruleset
from consent_mw.asgi.statistics import viewer
from consent_mw.core.account import Account
from consent_mw.sidecar.forwarding import forwarded
from consent_mw.wire.known import PlainKnown, known
from consent_mw.wire.request_head import RequestHead

ADMISSIONS_KEPT: Final = 2048
"""Bound of the header blocks that are remembered, twice."""

LONGEST_BLOCK_KEPT: Final = 3072
MOST_FIELDS_KEPT: Final = 64
"""Bytes and fields of a header block beyond which it is not remembered: browsers send a third of either."""


@dataclass(slots=True)
class Admission:
    """What became of one header block. `filtered` is whether cookies were dropped from it; `bearing` is what bears on
    the reply, None where more does than can be told beforehand; `viewer` is who makes a page view by it, None where
    nobody does; `account` is what is kept of such a request, once one was logged."""

    rules: Ruleset
    peer: str
    secure: bool
    filtered: bool
    bearing: Bearing | None
    viewer: tuple[bytes, str] | None
    head: RequestHead
    seen: Observation
    jar: Jar
    place: Place
    enforcement: Enforcement
    number: int
    account: Account | None = None

    def exchange(self, gate: Gate, target: bytes, ago: float = 0.0) -> Exchange:
        """The exchange for a request that asked for this target with this block so many seconds ago."""
        exchange = Exchange(gate, self.rules, Route.FORWARD, self.seen.elsewhere(target))
        exchange.enter(self.jar, self.place, gate.now() - ago, self.enforcement, self.number)
        return exchange

    def accounted(self) -> Account:
        """What is kept of a request with this block, the same for each."""
        made = self.account = self.rules.account(self.enforcement, self.place, self.jar)
        return made


class Admissions:
    """The admissions of one process."""

    def __init__(self) -> None:
        self._known: PlainKnown[Admission] = known(ADMISSIONS_KEPT)

    def find(self, raw: bytes, gate: Gate, peer: str, secure: bool) -> tuple[Admission, bytes] | None:
        """The admission of this request head, if its header block is known and still holds, and what goes upstream
        for it. Such a head is whole, and nothing follows it: its block came alone before."""
        rules = gate.rules
        found = self._known.request(raw, gate.now(), rules.apart)
        if found is None:
            return None
        admission = found[0]
        if (
            admission.rules is not rules
            or admission.peer != peer
            or admission.secure is not secure
            or gate.bypassed
            or (rules.excluding and rules.excludes(target_of(found[1]).partition(b"?")[0]))
        ):
            return None
        if admission.filtered:
            gate.counts["cookie_dropped"] += 1
        return found

    def admit(
        self, head: RequestHead, gate: Gate, peer: str, secure: bool, named: bytes
    ) -> tuple[Admission, bytes] | None:
        """The admission of this request, if it is an ordinary one that goes to the site, and what goes there for it;
        `named` is the Host of a request that names none. Remembered, if its block came before."""
        if not _is_ordinary(head):
            return None
        exchange = gate.decide(Observation(head.method, head.target, head.seen, head.repeated), peer)
        enforcement, place, rules = exchange.enforcement, exchange.place, exchange.rules
        if exchange.route is not Route.FORWARD or enforcement is None or place is None:
            return None
        rendered = forwarded(head, exchange, peer, named, trusted=rules.trusts(peer), secure=secure)
        jar = exchange.jar
        filtered = bool(jar.joined) and jar.remaining.get(exchange.number) is not jar.joined
        # The reply to who closes is written otherwise.
        bearing = exchange.bearing() if head.keep_alive else None
        views = viewer(exchange, enforcement) if exchange.page else None
        admission = Admission(
            rules, peer, secure, filtered and rules.enforced, bearing, views, head, exchange.seen, jar, place,
            enforcement, exchange.number,
        )  # fmt: skip
        if not rules.partial and len(head.block) <= LONGEST_BLOCK_KEPT and self._known.once(head.block):
            kept = replace(admission, head=_without_fields(head))
            until = jar.until if bearing is None else min(jar.until, exchange.alike_until)
            self._known.keep(head.block, kept, until, rendered[rendered.index(b"\r\n") :])
        return admission, rendered

    def forget(self) -> None:
        """Remember nothing: of what was in force before, nothing holds any longer."""
        self._known.clear()


def _is_ordinary(head: RequestHead) -> bool:
    """Whether a request is a GET of which nothing but its fields is to be told."""
    if head.method != b"GET" or head.length != 0 or not head.block or len(head.fields) > MOST_FIELDS_KEPT:
        return False
    return not (head.upgrade or head.continues or head.http10 or b"via" in head.seen)


def target_of(rendered: bytes) -> bytes:
    """The target of a request that is sent on."""
    return rendered[4 : rendered.index(b" ", 4)]


def _without_fields(head: RequestHead) -> RequestHead:
    """This head as far as it is looked at again: its fields went into what is sent, and there can be many of them."""
    return RequestHead(
        head.method, head.target, [], head.seen, head.repeated, head.host, head.length, head.http10, head.keep_alive,
        head.upgrade, head.continues, head.options,
    )  # fmt: skip
