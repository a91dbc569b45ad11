"""ConsentMiddleware: the policy in front of any ASGI app.

Rule: this object holds nothing about a single request.
Rule: an app that does not speak lifespan still gets its policy; what must run starts on the first request.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from consent_mw.asgi.exchange import Exchange, Reply
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.ruleset import Route
from consent_mw.core.policy import Policy
from consent_mw.world.policy_file import load_policy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})


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
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if not self.gate.started:
            await self.gate.start()
        exchange = self._admit(scope)
        if exchange.route is Route.OURS:
            await self._ours(scope, receive, send, exchange)
            return
        if exchange.route is Route.PASS:
            inner = {**scope, "headers": _request_headers(scope, exchange)}
            await self.app(inner, receive, _Outgoing(send, exchange))
            return
        await self.app(_inner_scope(scope, exchange), receive, _Outgoing(send, exchange))

    async def _ours(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.gate.app({**scope, "consent_mw.exchange": exchange}, receive, send)

    def _admit(self, scope: Scope) -> Exchange:
        path: bytes = scope.get("raw_path") or str(scope["path"]).encode("utf-8", "surrogateescape")
        query: bytes = scope.get("query_string", b"")
        peer = scope.get("client")
        return self.gate.admit(
            str(scope.get("method", "GET")).encode("latin-1"),
            path.partition(b"?")[0] + (b"?" + query if query else b""),
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
    if exchange.editable and "extensions" in scope:
        # A file sent by path never passes through us, so a page could leave without its banner.
        kept = {name: value for name, value in (scope["extensions"] or {}).items() if "send" not in name}
        inner["extensions"] = kept
    return inner


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


class _Outgoing:
    """The messages of one response, on their way out."""

    __slots__ = ("_exchange", "_held", "_reply", "_send")

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self._held: Message | None = None
        self._reply: Reply | None = None

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind in _STARTS:
            if kind == "http.response.start" and self._exchange.gating is not None:
                # Whether a page must be edited shows in its body, which most apps send whole, and at once.
                self._held = message
            else:
                await self._start(message, None)
            return
        held, self._held = self._held, None
        if held is not None:
            whole = kind == "http.response.body" and not message.get("more_body", False)
            bodiless = self._exchange.seen.method == b"HEAD" or held.get("status") in (204, 304)
            await self._start(held, bytes(message.get("body", b"")) if whole and not bodiless else None)
        reply = self._reply
        if kind == "http.response.body" and reply is not None and reply.editor is not None:
            more = message.get("more_body", False)
            body = reply.editor.feed(bytes(message.get("body", b"")))
            if not more:
                body += reply.editor.finish()
            if body or not more:
                await self._send({**message, "body": body})
            return
        await self._send(message)

    async def _start(self, message: Message, body: bytes | None) -> None:
        exchange = self._exchange
        head = exchange.gate.answers.head(int(message.get("status", 101)), message.get("headers", ()))
        told = body is not None or exchange.gating is None
        reply = exchange.respond_again(head, body or b"") if told else None
        self._reply = reply = reply or exchange.respond(head, body=body)
        if reply.pending is not None:
            await exchange.gate.settled(reply.pending)
        await self._send({**message, "headers": [(field[0], field[1]) for field in reply.fields]})
