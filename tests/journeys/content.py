"""One page asked for through both forms of consent_mw, byte for byte: what the origin says, and what comes of it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consent_mw.core.consent import Consent
from consent_mw.errors import SpoiltBodyError
from consent_mw.wire.token import Keyring
from tests.journeys.sidecar import serving
from tests.journeys.site import BERLIN, KEY, POLICY, Pairs, mounted
from tests.sidecar import raw

HTML = (b"content-type", b"text/html; charset=utf-8")


@dataclass
class Said:
    """What the origin answers next: its head, and its body in the parts that it is sent in.
    `before` is an interim answer."""

    headers: Pairs = field(default_factory=lambda: [HTML])
    parts: list[bytes] = field(default_factory=list)
    status: int = 200
    between: Callable[[int], None] = lambda _: None
    before: bytes = b""
    asked: list[Pairs] = field(default_factory=list)

    def asked_with(self, name: bytes) -> list[bytes]:
        """The values of this header in the last request that reached the origin."""
        return [value for key, value in self.asked[-1] if key.lower() == name]


@dataclass(frozen=True)
class Answer:
    """What came back: `whole` is False where it was broken off."""

    status: int
    headers: Pairs
    body: bytes
    whole: bool = True

    def all(self, name: bytes) -> list[bytes]:
        """The values of this header."""
        return [value for key, value in self.headers if key == name]

    def one(self, name: bytes) -> bytes | None:
        """The value of this header, which comes once or not at all."""
        found = self.all(name)
        assert len(found) < 2, found
        return found[0] if found else None


class Form:
    """One form of consent_mw before the origin; `ask` visits it."""

    port = 0

    def __init__(
        self, said: Said, ask: Callable[[str, str, Pairs], Answer], counts: Callable[[], Any] | None
    ) -> None:
        self.said = said
        self._ask = ask
        self._counts = counts

    def ask(self, *, method: str = "GET", path: str = "/", document: bool = True, **headers: str) -> Answer:
        """Ask for this path from Berlin, as a document unless told otherwise."""
        pairs = {"x-forwarded-for": BERLIN, "sec-fetch-dest": "document" if document else "empty"}
        pairs |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._ask(method, path, [(name.encode(), value.encode()) for name, value in pairs.items() if value])

    def count(self, name: str) -> int | None:
        """How often this was counted; None where that cannot be seen."""
        return None if self._counts is None else int(self._counts()[name])


@contextmanager
def as_middleware(folder: Path, policy: str = POLICY, inside: Any = None, outside: Any = None) -> Iterator[Form]:
    """ConsentMiddleware, mounted: over `inside(app)` and under `outside(app)`."""
    said = Said()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        said.asked.append(list(scope["headers"]))
        await send({"type": "http.response.start", "status": said.status, "headers": list(said.headers)})
        for number, part in enumerate(said.parts if said.status not in (204, 304) else ()):
            said.between(number)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    loop = asyncio.new_event_loop()
    middleware = mounted(inside(app) if inside else app, folder, policy)
    served = outside(middleware) if outside else middleware

    async def drive(method: str, path: str, headers: Pairs) -> Answer:
        status, sent, body, whole = 0, [], bytearray(), False

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, sent, whole
            if message["type"] == "http.response.start":
                status, sent = message["status"], [(name.lower(), value) for name, value in message["headers"]]
                return
            body.extend(message.get("body", b""))
            whole = not message.get("more_body", False)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "scheme": "https", "headers": [(b"host", b"example.com"), *headers],
            "client": ("127.0.0.1", 1), "http_version": "1.1",
        }  # fmt: skip
        try:
            await served(scope, receive, send)
        except SpoiltBodyError:
            assert not whole
        return Answer(status, sent, bytes(body), whole)

    try:
        yield Form(said, lambda *asked: loop.run_until_complete(drive(*asked)), lambda: middleware.gate.counts)
    finally:
        loop.run_until_complete(middleware.gate.stop())
        loop.close()


@contextmanager
def as_sidecar(folder: Path, policy: str = POLICY) -> Iterator[Form]:
    """`consent-mw serve` as a process before an origin of raw sockets."""
    said = Said()
    origin = raw.Origin()

    def answer(peer: socket.socket, head: bytes) -> None:
        # Taken at once: a test may say something else as soon as it has this answer's head.
        status, headers, parts, between = said.status, list(said.headers), list(said.parts), said.between
        first, *lines = head.split(b"\r\n")[:-2]
        said.asked.append([(name, value) for name, _, value in (line.partition(b": ") for line in lines)])
        bodiless = first.startswith(b"HEAD") or status in (204, 304)
        lengths = {name for name, _ in headers} & {b"content-length"}
        framing = [] if lengths or bodiless else [(b"transfer-encoding", b"chunked")]
        pairs = b"".join(b"%b: %b\r\n" % pair for pair in [*headers, *framing])
        opening = said.before + b"HTTP/1.1 %d OK\r\n%b\r\n" % (status, pairs)
        if lengths and not bodiless and len(parts) == 1:
            between(0)
            peer.sendall(opening + parts[0])  # whole, in one piece
            return
        peer.sendall(opening)
        if bodiless:
            return
        for number, part in enumerate(parts):
            between(number)
            peer.sendall(part if lengths else b"%x\r\n%b\r\n" % (len(part), part))
        if not lengths:
            peer.sendall(b"0\r\n\r\n")

    origin.answer = answer
    try:
        with serving(folder, policy, f"http://127.0.0.1:{origin.port}") as url:
            port = int(url.rpartition(":")[2])
            form = Form(said, lambda *asked: _over_http(port, *asked), None)
            form.port = port
            yield form
    finally:
        origin.close()


def _over_http(port: int, method: str, path: str, headers: Pairs) -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in [(b"host", b"example.com"), *headers]:
        client.putheader(name.decode(), value)
    client.endheaders()
    response = client.getresponse()
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.getheaders()]
    try:
        return Answer(response.status, pairs, response.read())
    except (http.client.IncompleteRead, ConnectionError):
        return Answer(response.status, pairs, b"", whole=False)
    finally:
        client.close()


def answered(*, yes: bool = False) -> str:
    """The Cookie of a Berliner who answered just now, so that no banner is due."""
    now = int(time.time())
    answers = {"analytics": yes, "cross_site": yes}
    consent = Consent(answers, now, "2026-01", seen="2026-01", issued=now)
    return "__Host-consent=" + Keyring([KEY]).sign_consent(consent)
