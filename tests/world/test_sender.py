"""An exchange with a vendor is whole, or says whether anything may have arrived."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from consent_mw.wire.vendors import OutgoingRequest
from consent_mw.world.delivery import sender
from consent_mw.world.delivery.sender import (
    LARGEST_ANSWER,
    Answer,
    Sender,
    UnansweredError,
    UnsendableError,
    UnsentError,
)
from tests.sidecar.certificates import write_pair

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: a\r\nx-one: b\r\n\r\nok"


class Vendor:
    """A server on loopback that answers each request with the next of these bytes; None closes instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                for byte in answer[:200]:
                    writer.write(bytes([byte]))
                writer.write(answer[200:])
                if b"content-length" not in answer.lower() and b"chunked" not in answer:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def vendor(*answers: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    made = Vendor(*answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def a_request(port: int = 1, **more: Any) -> OutgoingRequest:
    url = f"http://127.0.0.1:{port}/in?x=%20y"
    return OutgoingRequest(
        **{"method": "POST", "url": url, "headers": (("content-type", "a/b"),), "body": b"{}", **more}
    )


def run(journey: Callable[[Sender], Awaitable[None]]) -> None:
    async def whole() -> None:
        one = Sender()
        try:
            async with asyncio.timeout(10):
                await journey(one)
        finally:
            one.close()

    for runs in (asyncio.run, uvloop.run):
        runs(whole())


def test_a_request_is_sent_as_it_is_and_the_first_of_two_fields_counts() -> None:
    async def journey(one: Sender) -> None:
        async with vendor(OK) as there:
            answer = await one.exchange(a_request(there.port))
            assert answer == Answer(200, {"content-length": "2", "x-one": "a"}, b"ok")
            assert there.requests == [
                b"POST /in?x=%%20y HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: a/b\r\nuser-agent: consent_mw\r\n"
                b"accept: */*\r\ncontent-length: 2\r\n\r\n{}" % there.port
            ]

    run(journey)


ANSWERS = {
    "chunked": (b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 202, b"ok"),
    "until-it-closes": (b"HTTP/1.1 400 No\r\n\r\nno", 400, b"no"),
    "no-content": (b"HTTP/1.1 204 N\r\ncontent-length: 0\r\n\r\n", 204, b""),
    "after-an-interim-one": (b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n" + OK, 200, b"ok"),
    "a-redirect": (b"HTTP/1.1 307 Go\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 307, b""),
    "long": (b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000, 200, b"x" * LARGEST_ANSWER),
}


@pytest.mark.parametrize(("raw", "status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_however_it_is_framed(raw: bytes, status: int, body: bytes) -> None:
    async def journey(one: Sender) -> None:
        async with vendor(raw, OK) as there:
            answer = await one.exchange(a_request(there.port))
            assert (answer.status, answer.body) == (status, body)
            assert "link" not in answer.headers
            assert (await one.exchange(a_request(there.port))).body == b"ok"

    run(journey)


def test_a_connection_is_used_again_after_a_whole_answer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    closing = OK.replace(b"X-One: a", b"Connection: close")

    async def journey(one: Sender) -> None:
        async with vendor(OK, OK, closing, OK, OK) as there:
            for expected in (1, 1, 1, 2):
                await one.exchange(a_request(there.port))
                assert there.connections == expected
            with monkeypatch.context() as patched:
                patched.setattr(sender, "KEPT_FOR", -1.0)
                await one.exchange(a_request(there.port))
            assert there.connections == 3

    run(journey)


def test_each_of_several_at_once_has_its_own_connection() -> None:
    async def journey(one: Sender) -> None:
        async with vendor(*[OK] * 4) as there:
            await asyncio.gather(*(one.exchange(a_request(there.port)) for _ in range(4)))
            assert there.connections == 4

    run(journey)


TROUBLE = {
    "closed": None,
    "cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok\r\n0\r\n\r\n",
    "garbage": b"SSH-2.0-x content-length\r\n\r\n",
    "switched": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\ncontent-length: 0\r\n\r\n",
    "endless-head": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: " + b"y" * 70_000,
}


@pytest.mark.parametrize("raw", TROUBLE.values(), ids=TROUBLE)
def test_what_is_no_whole_answer_may_have_arrived(raw: bytes | None) -> None:
    async def journey(one: Sender) -> None:
        async with vendor(raw, OK) as there:
            with pytest.raises(UnansweredError):
                await one.exchange(a_request(there.port))
            assert (await one.exchange(a_request(there.port))).status == 200

    run(journey)


def test_more_than_an_answer_is_no_answer_to_the_next_request() -> None:
    async def journey(one: Sender) -> None:
        async with vendor(OK + OK.replace(b"ok", b"no"), OK, OK) as there:
            with contextlib.suppress(UnansweredError):
                await one.exchange(a_request(there.port))
            await asyncio.sleep(0.05)
            assert (await one.exchange(a_request(there.port))).body == b"ok"
            assert there.connections == 2

    run(journey)


def test_where_nobody_listens_nothing_was_sent() -> None:
    async def journey(one: Sender) -> None:
        async with vendor() as there:
            port = there.port
        with pytest.raises(UnsentError):
            await one.exchange(a_request(port))

    run(journey)


@pytest.mark.parametrize(
    "more",
    [
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://[::1/"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http:///x"},
        {"url": "/in"},
        {"headers": (("x", "a\r\nb: c"),)},
        {"headers": (("x\n", "a"),)},
        {"headers": (("x", "\xfc"),)},
        {"method": "GET / HTTP/1.1\r\nx: y\r\n\r\n"},
    ],
)
def test_what_no_request_can_hold_is_not_sent(more: dict[str, Any]) -> None:
    async def journey(one: Sender) -> None:
        with pytest.raises(UnsendableError):
            await one.exchange(a_request(**more))

    run(journey)


def test_a_vendor_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    chain, key = write_pair(tmp_path, "vendor")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    async def journey(one: Sender) -> None:
        async with vendor(OK, tls=context) as there:
            with pytest.raises(UnsentError):
                await one.exchange(a_request(url=f"https://127.0.0.1:{there.port}/in"))
            assert there.requests == []
            one._context = ssl.create_default_context(cafile=chain)
            assert (await one.exchange(a_request(url=f"https://127.0.0.1:{there.port}/in"))).status == 200

    run(journey)
