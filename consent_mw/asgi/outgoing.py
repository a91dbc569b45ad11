"""The outgoing side of a mounted app: the messages of one response, on their way to the server.

Rule: whether a page must be edited shows in its body, so that its start waits for that.
Rule: a hint makes a browser call no denied host before the page does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from consent_mw.asgi.exchange import Exchange, Reply
from consent_mw.wire.fields import response_field

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

START: Final = "http.response.start"
BODY: Final = "http.response.body"
HINT: Final = "http.response.early_hint"

_STARTS: Final = frozenset({START, "websocket.http.response.start", "websocket.accept"})


class Outgoing:
    """The messages of one response, on their way out."""

    __slots__ = ("_exchange", "_held", "_reply", "_send")

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self._held: Message | None = None
        self._reply: Reply | None = None

    async def send(self, message: Message) -> None:
        """Send this message, or what becomes of it."""
        kind = message["type"]
        if kind in _STARTS:
            if kind == START and self._exchange.gating is not None:
                # Whether a page must be edited shows in its body, which most apps send whole, and at once.
                self._held = message
            else:
                await self._start(message, None)
            return
        if kind == HINT:
            await self._hint(message)
            return
        held, self._held = self._held, None
        if held is not None:
            whole = kind == BODY and not message.get("more_body", False)
            bodiless = self._exchange.seen.method == b"HEAD" or held.get("status") in (204, 304)
            await self._start(held, bytes(message.get("body", b"")) if whole and not bodiless else None)
        reply = self._reply
        if kind == BODY and reply is not None and reply.editor is not None:
            more = message.get("more_body", False)
            body = reply.editor.feed(bytes(message.get("body", b"")))
            if not more:
                body += reply.editor.finish()
            if body or not more:
                await self._send({**message, "body": body})
            return
        await self._send(message)

    async def _hint(self, message: Message) -> None:
        """An early hint (an ASGI extension), if something of it is left."""
        kept = self._exchange.hints([response_field(b"Link", one) for one in message.get("links", ())])
        if kept:
            await self._send({**message, "links": [field[1] for field in kept]})

    async def _start(self, message: Message, body: bytes | None) -> None:
        exchange = self._exchange
        head = exchange.gate.answers.head(int(message.get("status", 101)), message.get("headers", ()))
        told = body is not None or exchange.gating is None
        reply = exchange.respond_again(head, body or b"") if told else None
        self._reply = reply = reply or exchange.respond(head, body=body)
        if reply.pending is not None:
            await exchange.gate.settled(reply.pending)
        if reply.fields is head.fields and type(message.get("headers")) is list:
            await self._send(message)
            return
        await self._send({**message, "headers": [(field[0], field[1]) for field in reply.fields]})
