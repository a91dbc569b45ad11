"""The bridge: the visitor's routes are an ASGI app, and the data plane speaks callbacks; this joins the two.

Rule: an app's failure becomes a 500 of ours; a part of an answer is never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

from consent_mw.asgi.exchange import Exchange
from consent_mw.wire.request_head import RequestHead

LONGEST_BODY = 1_048_576
"""Bytes of a request body that are kept for an app; its own limits are far below."""

log = logging.getLogger("consent_mw.sidecar")

Message = MutableMapping[str, Any]


class Answering(Protocol):
    """Who takes the app's response."""

    def app_starts(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The head of the response, with the first part of its body."""

    def app_sends(self, chunk: bytes) -> None:
        """A part of its body."""

    def app_ends(self) -> None:
        """The response is whole."""

    def app_fails(self) -> None:
        """The response will never be whole, or never begins."""


class Bridge:
    """One request to an ASGI app."""

    def __init__(self, app: Callable[..., Any], answering: Answering) -> None:
        self._app = app
        self._answering = answering
        self._heard: deque[Message] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, head: RequestHead, exchange: Exchange, peer: str, *, secure: bool) -> None:
        """Start the app on this request."""
        path, _, query = head.target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.0" if head.http10 else "1.1",
            "method": head.method.decode("ascii"),
            "scheme": "https" if secure else "http",
            "path": unquote(path.decode("ascii", "replace")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in head.headers],
            "client": (peer, 0) if peer else None,
            "server": None,
            "consent_mw.exchange": exchange,
        }
        self._task = asyncio.get_running_loop().create_task(self._run(scope))

    def feed(self, chunk: bytes) -> None:
        """A part of the request body; what is over any limit of the app is counted and not kept."""
        self._size += len(chunk)
        if self._size <= LONGEST_BODY:
            self._tell({"type": "http.request", "body": chunk, "more_body": True})

    def finish(self) -> None:
        """The request body is whole."""
        self._tell({"type": "http.request", "body": b"", "more_body": False})

    def cancel(self) -> None:
        """The browser is gone."""
        self._tell({"type": "http.disconnect"})
        if self._task is not None:
            self._task.cancel()

    def _tell(self, message: Message) -> None:
        self._heard.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _receive(self) -> Message:
        while not self._heard:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._heard.popleft()

    async def _run(self, scope: dict[str, Any]) -> None:
        answering = self._answering
        head: Message | None = None
        ended = False

        async def send(message: Message) -> None:
            nonlocal head, ended
            if message["type"] == "http.response.start":
                head = message
            elif message["type"] == "http.response.body":
                chunk = bytes(message.get("body", b""))
                if head is None:
                    answering.app_sends(chunk)
                else:
                    # Held until now, since one write costs less than two.
                    answering.app_starts(int(head["status"]), dated(head.get("headers", ())), chunk)
                    head = None
                if not message.get("more_body", False) and not ended:
                    ended = True
                    answering.app_ends()

        try:
            await self._app(scope, self._receive, send)
        except Exception:
            log.exception("a visitor's route failed")
        if not ended:
            answering.app_fails()


def dated(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with a Date, which an origin server sends (RFC 9110 6.6.1)."""
    return [*headers, (b"date", _date(int(time.time())))]


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
