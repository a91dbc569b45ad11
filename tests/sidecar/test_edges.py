"""The sidecar where HTTP is awkward: old versions, early ends, stale connections, other protocols."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, ask, connect, read_all, read_until


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with a_sidecar(tmp_path_factory.mktemp("edges"), origin.port) as (_, port, admin):
        yield port, admin


# requests


def test_a_browser_that_sends_no_more_still_gets_its_answer(port: int) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == OK


def test_a_browser_that_leaves_ends_the_request_at_the_site(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.recv(1)  # silent until the other side is gone
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
    assert origin.gone.wait(4)


def test_a_request_that_breaks_off_in_its_body_is_never_whole_at_the_site(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        got.append(read_all(peer))

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert origin.gone.wait(4)
    assert got == [b"3\r\nabc\r\n"]


def test_pipelined_requests_are_answered_in_their_order(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        path = head.split(b" ")[1]
        time.sleep(0.2 if path == b"/1" else 0)
        body = read_until(peer, b"0\r\n\r\n") if head.startswith(b"POST") else b""
        said = path + b":" + b"".join(body.split(b"\r\n")[1:-3:2])
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    origin.answer = answer
    first = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    got = ask(port, first + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /3 HTTP/1.1\r\n" + CLOSE + b"\r\n")
    ended = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n/3:"
    assert got == b"".join([
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/1:ab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n/2:",
        ended,
    ])  # fmt: skip


def test_an_absolute_target_is_asked_for_at_its_own_host(port: int, origin: Origin) -> None:
    ask(port, b"GET http://shop.example/a?b HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
    lines = origin.heads[0].split(b"\r\n")
    assert lines[:2] == [b"GET /a?b HTTP/1.1", b"Host: shop.example"]
    assert b"X-Forwarded-Host: shop.example" in lines


def test_a_browser_of_http_1_0_gets_plain_bodies_and_the_site_a_host(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    assert ask(port, b"GET / HTTP/1.0\r\n\r\n") == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    assert b"\r\nHost: 127.0.0.1:%d\r\n" % origin.port in origin.heads[0]


# answers


BODILESS = {
    "head": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "head of unknown length": (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    "no content": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "not modified": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n'),
    "empty": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize(("method", "raw"), BODILESS.values(), ids=BODILESS)
def test_an_answer_without_a_body_leaves_the_connection_usable(
    port: int, origin: Origin, method: bytes, raw: bytes
) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK if b" /2 " in head else raw)
    got = ask(port, method + b" /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert got == raw + OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def test_an_answer_keeps_its_fields_but_those_of_the_connection(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(
        b"HTTP/1.1 299 Odd Phrase\r\nX-B: 1\r\nx-a: caf\xe9\r\nX-B: 2\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n"
        b"Connection: x-hop, set-cookie\r\nSet-Cookie: session=1\r\nTrailer: x\r\nContent-Length: 2\r\n\r\nok"
    )
    assert ask(port, b"GET /logo HTTP/1.1\r\n" + CLOSE + b"\r\n").split(b"\r\n") == [
        b"HTTP/1.1 299 Odd Phrase", b"X-B: 1", b"x-a: caf\xe9", b"X-B: 2", b"Content-Length: 2",
        b"Cache-Control: private, no-cache", b"Vary: Cookie, DNT, Sec-GPC", b"Set-Cookie: session=1",
        b"Connection: close", b"", b"ok",
    ]  # fmt: skip


def test_a_part_is_reset_where_its_end_would_look_whole(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        time.sleep(0.2)
        peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert read_until(peer, b"\r\n\r\nabc")
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_a_refused_upload_gets_the_sites_reason(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        peer.close()  # with unread bytes: a reset

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
        try:
            for _ in range(200):
                peer.sendall(bytes(10_000))
        except OSError:
            pass
        got = read_all(peer)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b"big")


def test_hints_arrive_without_cookies(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(b"HTTP/1.1 103 Hints\r\nLink: x\r\nSet-Cookie: a=b\r\n\r\n" + OK)
    got = ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert got.startswith(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n")


# connections to the site


def test_a_stale_connection_costs_no_visitor_an_answer(port: int, origin: Origin) -> None:
    def drop_the_second(peer: socket.socket, head: bytes) -> None:
        if b" /first " in head or origin.accepted > accepted:
            peer.sendall(OK)
        else:
            peer.shutdown(socket.SHUT_RDWR)

    origin.answer = drop_the_second
    ask(port, b"GET /first HTTP/1.1\r\n" + CLOSE + b"\r\n")
    accepted = origin.accepted
    assert ask(port, b"GET /second HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b"ok")
    assert len(origin.heads) == 3


def test_a_request_with_a_body_is_never_sent_twice(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK) if b" /first " in head else peer.shutdown(socket.SHUT_RDWR)
    ask(port, b"GET /first HTTP/1.1\r\n" + CLOSE + b"\r\n")
    got = ask(port, b"POST /second HTTP/1.1\r\n" + CLOSE + b"Content-Length: 1\r\n\r\nx")
    assert got.startswith(b"HTTP/1.1 502 ")
    assert len(origin.heads) == 2


def test_what_came_before_a_refused_upgrade_is_no_request(port: int, origin: Origin) -> None:
    upgrade = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    got = ask(port, upgrade + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert got == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert len(origin.heads) == 1


# our own routes and the admin port


def test_our_own_routes_answer_on_the_same_connection(port: int, origin: Origin) -> None:
    got = ask(port, b"GET /_consent/state HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"\r\ndate: " in got
    assert [head.split(b" ")[1] for head in origin.heads] == [b"/"]


def test_the_kill_switch_passes_everything_through(port: int, admin: int, origin: Origin) -> None:
    said = b"HTTP/1.1 200 OK\r\nSet-Cookie: odd=1\r\nContent-Length: 2\r\n\r\nok"
    origin.answer = lambda peer, head: peer.sendall(said)
    switch = b"POST /bypass HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    on, off = b'{"on": true}', b'{"on": false}'
    assert ask(admin, switch % (len(on), on)).endswith(b'{"bypassed": true}\n')
    try:
        got = ask(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    finally:
        assert ask(admin, switch % (len(off), off)).endswith(b'{"bypassed": false}\n')
    assert got == said + said.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert b"odd" not in ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")


def test_the_admin_port_hears_no_web_page(admin: int) -> None:
    head = b"POST /bypass HTTP/1.1\r\nHost: localhost\r\nOrigin: https://x.example\r\nContent-Length: 12\r\n\r\n"
    assert ask(admin, head + b'{"on": true}').startswith(b"HTTP/1.1 401 ")


def test_a_log_that_nobody_reads_stops_no_request(tmp_path: Path, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK)
    reading, writing = os.pipe()
    try:
        with a_sidecar(tmp_path, origin.port, stderr=writing) as (_, port, _admin), connect(port) as peer:
            for _ in range(30):
                peer.sendall(b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                assert read_until(peer, OK) == OK
    finally:
        os.close(writing)
        os.close(reading)


def test_the_access_log_names_no_person(tmp_path: Path, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK)
    with a_sidecar(tmp_path, origin.port) as (process, port, _):
        ask(port, b"GET /a?email=x@example.org HTTP/1.1\r\nCookie: session=secret\r\n" + CLOSE + b"\r\n")
        process.terminate()
        process.wait(10)
    told = (tmp_path / "err").read_text().splitlines()
    [line] = [one for one in told if not one.startswith("consent-mw: ")]
    said = json.loads(line)
    assert said.pop("ms") < 5000
    assert re.fullmatch(r"[0-9a-f]{20}", said.pop("id"))
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {"method": "GET", "path": "/a", "status": 200, "bytes": 2, "jurisdiction": said["jurisdiction"]}


@pytest.mark.parametrize("size", range(1, 8))
def test_a_first_part_of_any_size_is_no_request_yet(port: int, origin: Origin, size: int) -> None:
    raw = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    origin.answer = lambda peer, head: peer.sendall(OK)
    with connect(port) as peer:
        peer.sendall(raw[:size])
        time.sleep(0.05)
        peer.sendall(raw[size:])
        assert read_all(peer).endswith(b"ok")
