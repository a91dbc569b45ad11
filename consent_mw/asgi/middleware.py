"""ConsentMiddleware: the policy in front of any ASGI app.

Rule: this object holds nothing about a single request.
Rule: an app that does not speak lifespan still gets its policy; what must run starts on the first request.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from consent_mw.asgi.again import Again
from consent_mw.asgi.arrivals import Arrival, target_of
from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.outgoing import Message, Outgoing, Scope, Send
from consent_mw.asgi.ruleset import Route
from consent_mw.asgi.visit import Visit
from consent_mw.core.policy import Policy
from consent_mw.world.policy_file import load_policy

Receive = Callable[[], Awaitable[Message]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ConsentMiddleware:
    """Applies a policy to every request and response of an ASGI app (ASGI 3.0).

    `policy` is a Policy or the path of a policy file; `keys` are the signing keys, oldest first (default: the
    environment variable `CONSENT_MW_KEYS`); `store` is a URL such as `sqlite:///consent.db`.
    Raises PolicyError and KeysError at construction, StoreError when the store cannot be opened at start-up.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: Policy | str | os.PathLike[str],
        keys: Sequence[str | bytes] | None = None,
        store: str = "sqlite:///consent.db",
    ) -> None:
        self.app = app
        compiled = policy if isinstance(policy, Policy) else load_policy(policy)
        self.gate = Gate.of(compiled, keys, store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gate = self.gate
        if scope["type"] == "http":
            now = gate.now()
            arrival = gate.arrivals.find(scope, now)
            if arrival is not None:
                again = Again(gate, arrival, scope, send, now)
                await self.app(_scope_again(scope, arrival, again.visit), receive, again.send)
                return
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if not gate.started:
            await gate.start()
        exchange = self._admit(scope)
        if exchange.route is Route.OURS:
            await self._ours(scope, receive, send, exchange)
            return
        if exchange.route is Route.PASS:
            passed = {**scope, "headers": _request_headers(scope, exchange)}
            await self.app(passed, receive, Outgoing(send, exchange).send)
            return
        inner = _inner_scope(scope, exchange)
        if scope["type"] == "http":
            gate.arrivals.keep(scope, inner["headers"], exchange)
        await self.app(inner, receive, Outgoing(send, exchange).send)

    async def _ours(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.gate.app({**scope, "consent_mw.exchange": exchange}, receive, send)

    def _admit(self, scope: Scope) -> Exchange:
        peer = scope.get("client")
        return self.gate.admit(
            str(scope.get("method", "GET")).encode("latin-1"),
            target_of(scope),
            scope["headers"],
            str(peer[0]) if peer else "",
        )

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start before the app and stop after it, whether or not the app speaks lifespan."""
        started = False
        done = False

        async def start_first() -> Message:
            nonlocal started
            message = await receive()
            if message["type"] == "lifespan.startup" and not started:
                started = True
                await self.gate.start()
            return message

        async def stop_last(message: Message) -> None:
            nonlocal done
            if message["type"] in (
                "lifespan.shutdown.complete",
                "lifespan.shutdown.failed",
                "lifespan.startup.failed",
            ):
                await self.gate.stop()
            if message["type"] == "lifespan.startup.complete":
                done = True
            await send(message)

        try:
            await self.app(scope, start_first, stop_last)
        except Exception:
            if done:
                raise
            await self._lifespan_alone(started, receive, send)

    async def _lifespan_alone(self, started: bool, receive: Receive, send: Send) -> None:
        """Speak lifespan for an app that does not (ASGI: an app may raise on a scope it does not know)."""
        if not started:
            await receive()
            await self.gate.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.gate.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _inner_scope(scope: Scope, exchange: Exchange) -> Scope:
    inner = {**scope, "headers": _request_headers(scope, exchange), "consent_mw": exchange.visit}
    if exchange.may_edit and "extensions" in scope:
        inner["extensions"] = _extensions(scope)
    return inner


def _scope_again(scope: Scope, arrival: Arrival, visit: Visit) -> Scope:
    inner = dict(scope)
    # Whoever edits headers edits this list, which is one request's.
    inner["headers"] = arrival.headers.copy()
    inner["consent_mw"] = visit
    if arrival.editable and "extensions" in scope:
        inner["extensions"] = _extensions(scope)
    return inner


def _extensions(scope: Scope) -> dict[str, Any]:
    """The extensions without those by which a file is sent by its path: it never passes through us, so that a page
    could leave without its banner."""
    return {name: value for name, value in (scope["extensions"] or {}).items() if "send" not in name}


def _request_headers(scope: Scope, exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The request's headers as the app may see them."""
    edited: list[tuple[bytes, bytes]] = list(scope["headers"])
    filtered = exchange.enforcement is not None and exchange.rules.enforced
    placed = False
    gone: list[int] = []
    for index, lower in exchange.seen.changed:
        name, value = edited[index]
        if lower == b"cookie" and filtered:
            kept = None if placed else exchange.remaining_cookies()
            placed = True
        else:
            kept = exchange.changed_field(lower, value)
        if kept is None:
            gone.append(index)
        elif kept is not value:
            edited[index] = (name, kept)
    for index in reversed(gone):
        del edited[index]
    edited += [(field[0], field[1]) for field in exchange.announced()]
    return edited
