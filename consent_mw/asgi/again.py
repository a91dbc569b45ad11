"""Again: the way of the answer to a request that came before, where the answer is one that came before, too.

Rule: whatever else happens is an Outgoing's to handle, from then on.
Rule: what is skipped is work, nothing else: the same goes out, the same is counted and reported.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, TypeVar, cast

from consent_mw.asgi.arrivals import Arrival, path_of, target_of
from consent_mw.asgi.exchange import Reply
from consent_mw.asgi.gate import Gate
from consent_mw.asgi.outgoing import BODY, HINT, START, Message, Outgoing, Scope, Send
from consent_mw.asgi.reporting import is_seen
from consent_mw.asgi.visit import Visit

F = TypeVar("F", bound=Callable[..., Any])


class _Nothing(Coroutine[Any, Any, None]):
    """Takes no time to wait for, by whatever way somebody waits for what they send."""

    def __await__(self) -> Generator[Any, Any, None]:
        return _DONE

    def send(self, value: Any, /) -> Any:
        raise StopIteration

    def throw(self, *error: Any) -> Any:
        raise error[1] if len(error) > 1 and error[1] is not None else error[0]

    def close(self) -> None:
        pass


_DONE: Final = cast(Generator[Any, Any, None], iter(()))
_NOTHING: Final = _Nothing()


def _marked(function: F) -> F:
    """Mark what is called as a coroutine function is; some who call `send` from a thread look for that."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    # All that there was for it before (asgiref does the same).
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
    return function


class Again:
    """The messages of one response, as an Outgoing's are. `visit` is what the app sees of the visitor."""

    __slots__ = ("_arrival", "_gate", "_held", "_now", "_other", "_reply", "_scope", "_send", "visit")

    _reply: Reply

    def __init__(self, gate: Gate, arrival: Arrival, scope: Scope, send: Send, now: float) -> None:
        self._gate = gate
        self._arrival = arrival
        self._scope = scope
        self._send = send
        self._now = now
        self._held: Message | None = None
        self._other: Outgoing | None = None
        self.visit = Visit(arrival.decision, arrival.visitor)

    # A coroutine for each message would cost as much as all else that is done about it.
    @_marked
    def send(self, message: Message) -> Awaitable[None]:
        """Send this message, or what becomes of it."""
        if self._other is not None:
            return self._other.send(message)
        kind = message["type"]
        if kind == START:
            return self._start(message)
        if self._held is not None:
            return self._end(self._held, message)
        return self._send(message) if kind != HINT else self._otherwise().send(message)

    def _start(self, message: Message) -> Awaitable[None]:
        answer = self._gate.answers.again(message.get("status", 0), message.get("headers"))
        replies = answer.replies if answer is not None else None
        reply: Reply | None = replies.get(self._arrival.bearing) if replies else None
        if reply is not None and reply.concerned is not None:
            # Until the body is there the app may speak, and the store fail.
            self._reply, self._held = reply, message
            return _NOTHING
        if reply is None or self._differs(reply):
            return self._otherwise().send(message)
        return self._send(self._told(message, reply))

    def _end(self, held: Message, message: Message) -> Awaitable[None]:
        """Send the start that was held, and this: most often the whole body."""
        self._held, reply = None, self._reply
        whole = message["type"] == BODY and not message.get("more_body", False)
        if (
            not whole
            or self._differs(reply)
            or (reply.concerned is not None and reply.concerned(bytes(message.get("body", b""))))
        ):
            return _both(self._otherwise().send, held, message)
        return _both(self._send, self._told(held, reply), message)

    def _differs(self, reply: Reply) -> bool:
        """Whether this reply cannot be given again as it is: it names its visitor, the app spoke, the store fails."""
        return reply.issues is not None or self.visit.spoke or self._gate.failing

    def _told(self, message: Message, reply: Reply) -> Message:
        """The start of this reply, counted and reported."""
        gate, arrival, viewer = self._gate, self._arrival, self._arrival.viewer
        if reply.dropped:
            gate.counts["set_cookie_dropped"] += reply.dropped
        if reply.page and viewer is not None and is_seen(message["status"]):
            if arrival.enforcement.leaves:
                exchange = arrival.exchange(gate, target_of(self._scope), self._now, self.visit)
                gate.reporter.report(exchange, message["status"], reply.page)
            else:
                gate.statistics.count(path_of(self._scope), *viewer, self._now)
                gate.reporter.refuse(arrival.rules, arrival.enforcement, viewer[0])
        if reply.untouched:
            return message
        pairs = reply.pairs
        if pairs is None:
            pairs = reply.pairs = [(field[0], field[1]) for field in reply.fields]
        return {**message, "headers": pairs.copy()}

    def _otherwise(self) -> Outgoing:
        """What handles this response from now on."""
        exchange = self._arrival.exchange(self._gate, target_of(self._scope), self._now, self.visit)
        other = self._other = Outgoing(self._send, exchange)
        return other


async def _both(send: Send, first: Message, then: Message) -> None:
    await send(first)
    await send(then)
