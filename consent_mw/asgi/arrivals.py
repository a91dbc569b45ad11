"""Arrivals: what became of the headers of a request to a mounted app, for the next one that brings the very same.

Rule: found only by all bytes of the headers, from the same peer, under the same policy and keys, before anything in
      them grows old; what is no GET is looked at anew.
Rule: the decision is not skipped: it is the one that these bytes had, and it can have no other.
Rule: most headers never come again: of those that came once only a hash is remembered.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.ruleset import Bearing, Place, Route, Ruleset
from consent_mw.asgi.statistics import viewer
from consent_mw.asgi.visit import Visit
from consent_mw.core.decision import Decision
from consent_mw.wire.known import PlainKnown, block, known

if TYPE_CHECKING:
    from consent_mw.asgi.enforcement import Enforcement
    from consent_mw.asgi.gate import Gate
    from consent_mw.asgi.jar import Jar
    from consent_mw.asgi.observe import Observation

ARRIVALS_KEPT: Final = 2048
"""Bound of the requests that are remembered, twice."""

MOST_HEADERS_KEPT: Final = 64
"""Headers beyond which a request is not remembered: browsers send a third."""

Pairs = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]


@dataclass(slots=True)
class Arrival:
    """What became of one request's headers. `headers` are those that the app gets; `filtered` is whether cookies were
    dropped from them; `bearing` is what bears on the reply, None where more does than can be told beforehand;
    `viewer` is who makes a page view by it, None where nobody does."""

    rules: Ruleset
    headers: Pairs
    filtered: bool
    editable: bool
    bearing: Bearing | None
    viewer: tuple[bytes, str] | None
    decision: Decision
    visitor: str
    seen: Observation
    jar: Jar
    place: Place
    enforcement: Enforcement
    number: int

    def exchange(self, gate: Gate, target: bytes, now: float, visit: Visit) -> Exchange:
        """The exchange for a request that asked for this target with these headers at this time."""
        exchange = Exchange(gate, self.rules, Route.FORWARD, self.seen.elsewhere(target))
        exchange.enter(self.jar, self.place, now, self.enforcement, self.number)
        exchange.go_on_with(visit)
        return exchange


class Arrivals:
    """The arrivals at one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.forget()

    def forget(self) -> None:
        """Remember nothing: of what was in force before, nothing holds any longer."""
        self._known: PlainKnown[Arrival] = known(ARRIVALS_KEPT)

    def find(self, scope: Scope, now: float) -> Arrival | None:
        """The arrival of this request to the app, if its headers are known and still hold."""
        peer = scope.get("client")
        found = self._known.headers(scope["headers"], peer[0] if peer else "", now)
        if found is None or scope.get("method") != "GET":
            return None
        gate, rules, path = self._gate, found.rules, scope.get("raw_path") or path_of(scope)
        if (
            path.startswith(rules.apart)
            or b"?" in path
            or gate.bypassed
            or rules is not gate.rules
            or (rules.excluding and rules.excludes(path))
        ):
            return None
        if found.filtered:
            gate.counts["cookie_dropped"] += 1
        return found

    def keep(self, scope: Scope, headers: Pairs, exchange: Exchange) -> None:
        """Remember what became of this request, whose app gets these headers, if it came before."""
        enforcement, place, rules = exchange.enforcement, exchange.place, exchange.rules
        if enforcement is None or place is None or rules.partial or scope.get("method") != "GET":
            return
        peer = scope.get("client")
        key = block(scope["headers"], peer[0] if peer else "")
        if key is None or len(scope["headers"]) > MOST_HEADERS_KEPT or not self._known.once(key):
            return
        jar, seen, bearing = exchange.jar, exchange.seen, exchange.bearing()
        filtered = bool(jar.joined) and jar.remaining.get(exchange.number) is not jar.joined and rules.enforced
        arrival = Arrival(
            rules, headers.copy(), filtered, exchange.may_edit, bearing,
            viewer(exchange, enforcement) if exchange.page else None, enforcement.decision, exchange.visitor, seen,
            jar, place, enforcement, exchange.number,
        )  # fmt: skip
        until = jar.until if bearing is None else min(jar.until, exchange.alike_until)
        self._known.keep(key, arrival, until, b"")


def path_of(scope: Scope) -> bytes:
    """The raw path that was asked for; some servers leave the query in it."""
    return scope.get("raw_path") or str(scope["path"]).encode("utf-8", "surrogateescape")


def target_of(scope: Scope) -> bytes:
    """The raw path and query that were asked for."""
    query: bytes = scope.get("query_string", b"")
    return path_of(scope).partition(b"?")[0] + (b"?" + query if query else b"")
