"""Answers as the browser gets them: what no rule changes arrives byte for byte, what is no answer becomes a 502."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from tests.sidecar.raw import CLOSE, LAST_OK, OK, Origin, ask, connect, plain, read_all, read_until

GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
HEAD = b"HEAD / HTTP/1.1\r\n" + CLOSE + b"\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\n"
SIZED = b"Content-Length: 2\r\n\r\nok"
LAST = b"Connection: close\r\n"
FRESH = b"Cache-Control: private, no-cache\r\nVary: Cookie, DNT, Sec-GPC\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def ended(head: bytes, body: bytes = b"ok", *, size: bool = True) -> bytes:
    """An answer as the last one on its connection."""
    return head + (b"Content-Length: %d\r\n" % len(body) if size else b"") + LAST + b"\r\n" + body


KEPT = {
    # asked with, said by the site, got by the browser, whether the connection to the site is used again
    "plain": (GET, OK, LAST_OK, True),
    "order, case and duplicates": (
        GET, DONE + b"X-B: 1\r\nx-a: 2\r\nX-B: 3\r\nx-b: 1\r\n" + SIZED,
        ended(DONE + b"X-B: 1\r\nx-a: 2\r\nX-B: 3\r\nx-b: 1\r\n"), True,
    ),
    "high bytes": (
        GET, DONE + b"X: " + bytes(range(0x80, 0x100)) + b"\r\n" + SIZED,
        ended(DONE + b"X: " + bytes(range(0x80, 0x100)) + b"\r\n"), True,
    ),
    "a folded field": (GET, DONE + b"X: a \r\n\t b\r\n" + SIZED, ended(DONE + b"X: a b\r\n"), True),
    "an empty value": (GET, DONE + b"X:\r\n" + SIZED, ended(DONE + b"X: \r\n"), True),
    "a long value": (GET, DONE + b"X: " + b"a" * 200_000 + b"\r\n" + SIZED,
                     ended(DONE + b"X: " + b"a" * 200_000 + b"\r\n"), True),
    "very many fields": (GET, DONE + b"X: 1\r\n" * 1000 + SIZED, ended(DONE + b"X: 1\r\n" * 1000), True),
    "each Set-Cookie by itself": (
        GET, DONE + b"Set-Cookie: session=a, b; Path=/\r\nX: 1\r\nset-cookie: session=c\r\n" + SIZED,
        DONE + b"X: 1\r\nContent-Length: 2\r\n" + FRESH
        + b"Set-Cookie: session=a, b; Path=/\r\nset-cookie: session=c\r\n" + LAST + b"\r\nok", True,
    ),
    "an unknown status": (GET, b"HTTP/1.1 299 Odd\r\n" + SIZED, ended(b"HTTP/1.1 299 Odd\r\n"), True),
    "a status of no class": (GET, b"HTTP/1.1 999 Odd\r\n" + SIZED, ended(b"HTTP/1.1 999 Odd\r\n"), True),
    "no reason": (GET, b"HTTP/1.1 200 \r\n" + SIZED, ended(b"HTTP/1.1 200 \r\n"), True),
    "neither reason nor space": (GET, b"HTTP/1.1 200\r\n" + SIZED, ended(b"HTTP/1.1 200 \r\n"), True),
    "a reason in high bytes": (
        GET, b"HTTP/1.1 200 K\xf6nnen\r\n" + SIZED, ended(b"HTTP/1.1 200 K\xf6nnen\r\n"), True),
    "a redirect": (GET, b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n",
                   ended(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\n", b""), True),
    "a coded body": (GET, DONE + b"Content-Encoding: gzip\r\n" + SIZED,
                     ended(DONE + b"Content-Encoding: gzip\r\n"), True),
    "a part": (GET, b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/9\r\n" + SIZED,
               ended(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/9\r\n"), True),
    "an upgrade required": (GET, b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nConnection: Upgrade\r\n" + SIZED,
                            ended(b"HTTP/1.1 426 Upgrade Required\r\n"), True),
    # chunks
    "chunks": (GET, DONE + CHUNKED + b"\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
               DONE + CHUNKED + LAST + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
    "chunks in odd case": (GET, DONE + b"transfer-ENCODING: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                           DONE + CHUNKED + LAST + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
    "chunks with extensions": (GET, DONE + CHUNKED + b"\r\n2;a=b\r\nok\r\n0;c\r\n\r\n",
                               DONE + CHUNKED + LAST + b"\r\n2\r\nok\r\n0\r\n\r\n", True),
    "no chunk": (GET, DONE + CHUNKED + b"\r\n0\r\n\r\n", DONE + CHUNKED + LAST + b"\r\n0\r\n\r\n", True),
    "chunks for HTTP/1.0": (
        OLD, DONE + CHUNKED + b"\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", DONE + LAST + b"\r\nok", True),
    "a length for HTTP/1.0": (OLD, OK, LAST_OK, True),
    # no body
    "head with a length": (
        HEAD, DONE + b"Content-Length: 99\r\n\r\n", DONE + b"Content-Length: 99\r\n" + LAST + b"\r\n",
                           True),
    "head with chunks": (HEAD, DONE + CHUNKED + b"\r\n", DONE + LAST + b"\r\n", True),
    "head of unknown length": (HEAD, DONE + b"\r\n", DONE + LAST + b"\r\n", True),
    "head with a body": (HEAD, OK, DONE + b"Content-Length: 2\r\n" + LAST + b"\r\n", False),
    "204": (GET, b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 204 No\r\n" + LAST + b"\r\n", True),
    "204 with a length": (
        GET, b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 204 No\r\n" + LAST + b"\r\n",
                          True),
    "204 with a body": (GET, b"HTTP/1.1 204 No\r\n" + SIZED, b"HTTP/1.1 204 No\r\n" + LAST + b"\r\n", False),
    "204 with chunks": (GET, b"HTTP/1.1 204 No\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n",
                        b"HTTP/1.1 204 No\r\n" + LAST + b"\r\n", False),
    "304": (
        GET, b'HTTP/1.1 304 Not\r\nETag: "x"\r\n\r\n', b'HTTP/1.1 304 Not\r\nETag: "x"\r\n' + LAST + b"\r\n", True),
    "304 with a length": (GET, b"HTTP/1.1 304 Not\r\nContent-Length: 99\r\n\r\n",
                          b"HTTP/1.1 304 Not\r\nContent-Length: 99\r\n" + LAST + b"\r\n", True),
    "304 with a body": (GET, b"HTTP/1.1 304 Not\r\n" + SIZED, b"HTTP/1.1 304 Not\r\nContent-Length: 2\r\n" + LAST
                        + b"\r\n", False),
    "205": (GET, b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", ended(b"HTTP/1.1 205 Reset\r\n", b""), True),
    "length nought": (GET, DONE + b"Content-Length: 0\r\n\r\n", ended(DONE, b""), True),
    # the site's connection
    "the site closes": (GET, DONE + LAST + SIZED, LAST_OK, False),
    "HTTP/1.0": (GET, b"HTTP/1.0 200 OK\r\n" + SIZED, LAST_OK, False),
    "HTTP/1.0 kept alive": (GET, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + SIZED, LAST_OK, True),
    "bytes after the body": (GET, OK + b"more", LAST_OK, False),
    "an answer after the answer": (GET, OK + OK.replace(b"ok", b"no"), LAST_OK, False),
    "bytes after the last chunk": (GET, DONE + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\nmore",
                                   DONE + CHUNKED + LAST + b"\r\n2\r\nok\r\n0\r\n\r\n", False),
    # interim answers
    "hints": (GET, b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n" * 3 + OK,
              b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n" * 3 + LAST_OK, True),
    "continue that nobody expected": (GET, b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
                                      b"HTTP/1.1 100 Continue\r\n\r\n" + LAST_OK, True),
    "an unknown interim answer": (GET, b"HTTP/1.1 199 Odd\r\nX: 1\r\n\r\n" + OK,
                                  b"HTTP/1.1 199 Odd\r\nX: 1\r\n\r\n" + LAST_OK, True),
    "an interim answer that sets a cookie": (
        GET, b"HTTP/1.1 103 Hints\r\nSet-Cookie: session=1\r\nConsent-Event: x\r\nConnection: x\r\n\r\n" + OK,
        b"HTTP/1.1 103 Hints\r\n\r\n" + LAST_OK, True,
    ),
    "an interim answer for HTTP/1.0": (OLD, b"HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n" + OK, LAST_OK, True),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "said", "got", "again"), KEPT.values(), ids=KEPT)
def test_an_answer_arrives_as_it_was_said(
    port: int, origin: Origin, asked: bytes, said: bytes, got: bytes, again: bool
) -> None:
    origin.say(said)
    assert plain(ask(port, asked)) == got
    accepted = origin.accepted
    origin.reset()
    assert plain(ask(port, GET)) == LAST_OK
    assert (origin.accepted == accepted) is again


@pytest.mark.parametrize("case", ["plain", "204", "head with a length", "304 with a length", "hints"])
def test_an_answer_that_drips_arrives_as_it_was_said(port: int, origin: Origin, case: str) -> None:
    asked, said, got, _ = KEPT[case]

    def drip(peer: socket.socket, head: bytes) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(said)):
            peer.sendall(said[place : place + 1])
            time.sleep(0.0005)

    origin.answer = drip
    assert plain(ask(port, asked)) == got


def test_chunks_that_drip_arrive_as_they_come(port: int, origin: Origin) -> None:
    def drip(peer: socket.socket, head: bytes) -> None:
        for part in (DONE + CHUNKED, b"\r\n1\r\no\r", b"\n1\r\nk\r\n", b"0\r\n\r", b"\n"):
            peer.sendall(part)
            time.sleep(0.02)

    origin.answer = drip
    head, _, body = plain(ask(port, GET)).partition(b"\r\n\r\n")
    assert head == (DONE + CHUNKED + LAST).removesuffix(b"\r\n")
    assert body in (b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n")


def test_an_answer_on_an_idle_connection_is_nobodys(port: int, origin: Origin) -> None:
    poison = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(OK)
        if b" /first " in head:
            assert poison.wait(5)
            peer.sendall(OK.replace(b"ok", b"no"))

    origin.answer = answer
    first = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(port) as peer:
        peer.sendall(first)
        assert plain(read_until(peer, b"ok")) == OK
        poison.set()
        assert origin.gone.wait(5)
        peer.sendall(b"GET /second HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert plain(read_all(peer)) == LAST_OK


def reset(peer: socket.socket) -> None:
    """End a connection by a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_a_reset_after_the_answer_takes_nothing_from_it(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(OK)
        if b" /first " in head:
            time.sleep(0.05)
            reset(peer)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
        assert plain(read_until(peer, b"ok")) == OK
        assert origin.gone.wait(5)
        peer.sendall(b"GET /second HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert plain(read_all(peer)) == LAST_OK


def test_an_answer_that_begins_during_the_upload_streams_beside_it(port: int, origin: Origin) -> None:
    def echo(peer: socket.socket, head: bytes) -> None:
        peer.sendall(DONE + CHUNKED + b"\r\n")
        while (chunk := read_until(peer, b"\r\n")) != b"0\r\n":
            data = read_until(peer, b"\r\n")
            peer.sendall(chunk + data)
        read_until(peer, b"\r\n")
        peer.sendall(b"0\r\n\r\n")

    origin.answer = echo
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n")
        head = read_until(peer, b"\r\n\r\n")
        for word in (b"one", b"two", b"six"):
            peer.sendall(b"3\r\n" + word + b"\r\n")
            assert read_until(peer, b"\r\n" + word + b"\r\n") == b"3\r\n" + word + b"\r\n"
        peer.sendall(b"0\r\n\r\n")
        assert read_all(peer) == b"0\r\n\r\n"
    assert plain(head) == DONE + CHUNKED + LAST + b"\r\n"


def test_an_early_answer_of_a_site_that_reads_on_arrives_once(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(OK)
        while peer.recv(65_536):
            pass

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(10_000))
        got = read_until(peer, b"ok")
        for _ in range(9):
            peer.sendall(bytes(10_000))
        assert plain(got + read_all(peer)) == LAST_OK


def test_a_browser_that_said_all_it_has_to_say_loses_no_answer(port: int, origin: Origin) -> None:
    for _ in range(2000):
        with connect(port) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            peer.shutdown(socket.SHUT_WR)
            assert plain(read_all(peer)) == OK
