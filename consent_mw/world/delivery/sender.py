"""Sending: one HTTP/1.1 exchange with a vendor, over connections that are kept for a while.

A general client costs some 400 µs of CPU an exchange; with one event a request that is what an event costs. This one
does what an event needs, for some 30.

Rule: no cookie jar, no redirects, no proxy of the environment, no decoding; headers are the caller's alone.
Rule: whether something may have arrived is always told apart from what surely did not.
Rule: a connection is used again only after a whole answer, and not after a rest that a vendor may have ended.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, cast

import httptools
import httpx

from consent_mw.wire.vendors import OutgoingRequest

LARGEST_ANSWER: Final = 65_536
"""Bytes of an answer, its head included, that are read; the rest says nothing we heed."""

CONNECTS_WITHIN: Final = 5.0
KEPT_FOR: Final = 5.0
"""Seconds that a connection rests at most before it is used again."""

_WRITABLE: Final = re.compile(r"[\t -~]*")

OURS: Final = (("user-agent", "consent_mw"), ("accept", "*/*"))
"""What a request says where its vendor's format says nothing else; Plausible takes the visitor's agent by header."""


class UnsendableError(Exception):
    """No request can be made of this."""


class UnsentError(Exception):
    """Nothing of the request reached the vendor."""


class WithheldError(Exception):
    """It must not leave any more; nothing of the request was sent."""


class UnansweredError(Exception):
    """The request may have arrived, but no whole answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A vendor's answer: header names in lower case, and the beginning of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str


class Sender:
    """Sends requests. Belongs to one event loop."""

    def __init__(self) -> None:
        self._resting: dict[tuple[bool, str, int], list[_Connection]] = {}
        self._context: ssl.SSLContext | None = None

    async def exchange(self, request: OutgoingRequest, withheld: Callable[[], bool] = lambda: False) -> Answer:
        """Send this request and read its answer. `withheld` is asked at the last moment, with the connection there.
        Raises UnsendableError, UnsentError, WithheldError or UnansweredError."""
        target = _target(request.url)
        rendered = _rendered(request, target)
        connection = self._rested(target) or await self._connect(target)
        if withheld():
            self._rest(connection, target)
            raise WithheldError
        try:
            answer = await connection.exchange(rendered)
        except BaseException:
            connection.abort()
            raise
        self._rest(connection, target)
        return answer

    def close(self) -> None:
        """Close every connection."""
        for resting in self._resting.values():
            for connection in resting:
                connection.abort()
        self._resting.clear()

    def _rest(self, connection: _Connection, target: _Target) -> None:
        """Keep this connection for the next request, where it can be used again."""
        if connection.usable:
            self._resting.setdefault((target.secure, target.host, target.port), []).append(connection)
        else:
            connection.abort()

    def _rested(self, target: _Target) -> _Connection | None:
        resting = self._resting.get((target.secure, target.host, target.port))
        now = asyncio.get_running_loop().time()
        while resting:
            connection = resting.pop()
            if connection.usable and now - connection.rested <= KEPT_FOR:
                return connection
            connection.abort()
        return None

    async def _connect(self, target: _Target) -> _Connection:
        loop = asyncio.get_running_loop()
        if target.secure and self._context is None:
            self._context = httpx.create_ssl_context(trust_env=False)
            self._context.set_alpn_protocols(["http/1.1"])
        try:
            async with asyncio.timeout(CONNECTS_WITHIN):
                _, connection = await loop.create_connection(
                    _Connection, target.host, target.port, ssl=self._context if target.secure else None
                )
        except (OSError, TimeoutError, ssl.CertificateError) as error:
            raise UnsentError from error
        except (ValueError, UnicodeError) as error:
            raise UnsendableError from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection: an exchange at a time."""

    def __init__(self) -> None:
        self.rested = 0.0
        self.usable = False
        self._transport: asyncio.Transport | None = None
        self._reading: _Reading | None = None
        self._answer: asyncio.Future[Answer] | None = None

    def exchange(self, rendered: bytes) -> asyncio.Future[Answer]:
        """Send these bytes; the future answers, or fails with UnansweredError."""
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        self._reading = _Reading()
        self.usable = False
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(UnansweredError())
        else:
            self._transport.write(rendered)
        return answer

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: another event loop's transports are not of this class.
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True
        self.rested = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        reading = self._reading
        if reading is None:
            # Nobody asked for this: what follows could pass for an answer to the next request.
            self.abort()
            return
        try:
            reading.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail()
            return
        if reading.whole or reading.enough:
            self._succeed(reading, usable=reading.whole and reading.keeps)

    def connection_lost(self, exc: Exception | None) -> None:
        reading = self._reading
        self.usable = False
        if reading is not None and exc is None and reading.until_close:
            self._succeed(reading, usable=False)
        else:
            self._fail()

    def _succeed(self, reading: _Reading, *, usable: bool) -> None:
        reading.end()
        self._reading = None
        self.usable = usable
        self.rested = asyncio.get_running_loop().time()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(reading.status, reading.headers, bytes(reading.body)))

    def _fail(self) -> None:
        if self._reading is not None:
            self._reading.end()
        self._reading = None
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(UnansweredError())


@dataclass(slots=True)
class _Reading:
    """What has come of one answer. `keeps` is whether the connection may be used again after it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    keeps: bool = False
    _headed: bool = False
    _bytes: int = 0
    _parser: Any = None

    def feed(self, data: bytes) -> None:
        """Read on. Raises what httptools raises."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._bytes += len(data)
        self._parser.feed_data(data)
        if not self._headed and self._bytes > LARGEST_ANSWER:
            raise httptools.HttpParserError("the head of the answer does not end")

    def end(self) -> None:
        """Let the parser go, which knows this and is known by it."""
        self._parser = None

    @property
    def enough(self) -> bool:
        """Whether more has come than is read."""
        return self._headed and len(self.body) >= LARGEST_ANSWER

    @property
    def until_close(self) -> bool:
        """Whether the end of the connection ends the answer (RFC 9112 6.3)."""
        return self._headed and not {"content-length", "transfer-encoding"} & self.headers.keys()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more field; of several of a name the first counts, as for Retry-After."""
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head has come."""
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200

    def on_body(self, data: bytes) -> None:
        """More of the body."""
        self.body += data[: LARGEST_ANSWER - len(self.body)]

    def on_message_complete(self) -> None:
        """The answer has come, or one that only precedes it."""
        if self.whole or self.status == 101:
            raise httptools.HttpParserError("more than was asked for")
        if not self._headed:
            self.headers.clear()
            return
        self.whole = True
        self.keeps = bool(self._parser.should_keep_alive())


@lru_cache(maxsize=64)
def _target(address: str) -> _Target:
    """Where this URL leads. Raises UnsendableError."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise UnsendableError from error
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    if url.scheme not in ("http", "https") or not url.host or not 0 < port < 65_536:
        raise UnsendableError
    return _Target(
        secure, url.raw_host.decode("ascii"), port, url.netloc.decode("ascii"), url.raw_path.decode("ascii")
    )


def _rendered(request: OutgoingRequest, target: _Target) -> bytes:
    """The request as it goes over the wire."""
    said = {name for name, _ in request.headers}
    fields = [*request.headers, *(one for one in OURS if one[0] not in said)]
    lines = [f"{request.method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if not all(map(_WRITABLE.fullmatch, lines)):
        raise UnsendableError
    head = "\r\n".join(lines)
    return f"{head}\r\ncontent-length: {len(request.body)}\r\n\r\n".encode("ascii") + request.body
