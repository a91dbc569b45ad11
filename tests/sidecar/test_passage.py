"""A request that came before goes another way within the sidecar, and nobody outside can tell."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from consent_mw import load_policy
from consent_mw.asgi.gate import Gate
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.sidecar.relay import Relay
from consent_mw.wire.token import Keyring
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.upstream import Pool, Upstream
from tests.journeys.site import KEY, NEW_YORK, POLICY
from tests.sidecar.raw import OK, Origin, a_sidecar, connect, counted, drop, operate, read_until, until

ROUNDS = 4
"""Requests after which the next one like them comes as one that came before, and its answer, too."""

ALIKE = POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nbanner = "none"').replace(
    'purpose = "analytics"\nlasts = "395d"\n[[', 'purpose = "cross_site"\nlasts = "395d"\n[[', 1
)
"""A policy by which a page is the same for all who send GPC from New York: no banner, and no identifier."""

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: _ga=1\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Site:
    """A running sidecar, its site, and where its log is."""

    origin: Origin
    port: int
    admin: int
    log: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    origin, folder = Origin(), tmp_path_factory.mktemp("passage")
    with a_sidecar(folder, origin.port, policy=ALIKE) as (_, port, admin):
        yield Site(origin, port, admin, folder / "err")
    origin.close()


def request(word: str, target: str = "/a") -> bytes:
    """A page that this browser asks for."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: document\r\nSec-GPC: 1\r\n"
        f"X-Forwarded-For: {NEW_YORK}\r\nCookie: session={word}; other=1\r\n\r\n"
    ).encode()


def whole(peer: socket.socket, raw: bytes) -> None:
    """Have this request answered with `ok`."""
    peer.sendall(raw)
    assert read_until(peer, b"\r\n\r\nok")


def rest(peer: socket.socket) -> bytes:
    """What comes until nothing does for a moment, and how it ends."""
    peer.settimeout(0.25)
    got = b""
    try:
        while chunk := peer.recv(65_536):
            got += chunk
    except TimeoutError:
        return got + b"(stays)"
    except ConnectionResetError:
        return got + b"(reset)"
    return got + b"(ends)"


def test_it_goes_without_a_relay(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    begun = Relay.__init__
    monkeypatch.setattr(Relay, "__init__", lambda self, *rest: (made.append(rest[2:]), begun(self, *rest))[1])

    async def visits() -> None:
        gate = Gate(load_policy(tmp_path / "policy.toml"), Keyring([KEY]))
        plane = Plane(gate, Pool(Upstream("127.0.0.1", site.origin.port)), Meters(), AccessLog(None))
        server = await asyncio.get_running_loop().create_server(lambda: Client(plane), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(10):
            writer.write(request("alone"))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 5)
        writer.close()
        plane.pool.close()
        server.close()
        assert plane.meters.answered[2] == 10

    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    (tmp_path / "policy.toml").write_text(ALIKE)
    asyncio.run(visits())
    assert len(made) <= ROUNDS


ODD = {
    "an answer that came before": OK,
    "another answer": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "no body": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "a body that is longer than was said": OK + b"more",
    "a body that breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
    "garbage": b"what\r\n\r\n",
    "nothing": b"",
    "an interim answer first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an event": b"HTTP/1.1 200 OK\r\nConsent-Event: signup\r\nContent-Length: 2\r\n\r\nok",
    "an end that ends the body": b"HTTP/1.1 200 OK\r\n\r\nok",
}
ENDS = ("a body that breaks off", "nothing", "an end that ends the body")


@pytest.mark.parametrize("name", ODD)
def test_whatever_the_site_answers_arrives_as_it_does_the_first_time(site: Site, name: str) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(ODD[name] if b" /odd " in head else OK)
        if b" /odd " in head and name in ENDS:
            drop(peer)

    site.origin.answer = answer
    told = []
    for rounds in (0, ROUNDS):
        failed = counted(site.admin, "consent_mw_upstream_failures_total")
        with connect(site.port) as peer:
            for _ in range(rounds):
                whole(peer, request(name + str(rounds)))
            peer.sendall(request(name + str(rounds), "/odd"))
            told.append((rest(peer), counted(site.admin, "consent_mw_upstream_failures_total") - failed))
    assert told[0] == told[1]


def test_an_answer_in_two_parts_arrives_whole(site: Site) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        for part in (PAGE[:30], PAGE[30:-1], PAGE[-1:]) if b" /odd " in head else (PAGE,):
            peer.sendall(part)
            time.sleep(0.03)

    site.origin.answer = answer
    with connect(site.port) as peer:
        for _ in range(ROUNDS):
            whole(peer, request("parts"))
        # A page that is not there at once goes through its gate, and loses its length.
        peer.sendall(request("parts", "/odd"))
        assert read_until(peer, b"0\r\n\r\n").endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        whole(peer, request("parts"))


def test_requests_that_come_together_are_answered_in_order(site: Site) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    site.origin.answer = answer
    with connect(site.port) as peer:
        for _ in range(ROUNDS):
            peer.sendall(b"".join(request("many", f"/{letter}") for letter in "abc"))
            assert [read_until(peer, end)[-2:] for end in (b"/a", b"/b", b"/c")] == [b"/a", b"/b", b"/c"]


def test_a_connection_that_the_site_closed_meanwhile_is_not_the_browsers_loss(site: Site) -> None:
    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    failed = counted(site.admin, "consent_mw_upstream_failures_total")
    with connect(site.port) as peer:
        for _ in range(ROUNDS):
            whole(peer, request("stale"))
        accepted = site.origin.accepted

        def once(one: socket.socket, head: bytes) -> None:
            site.origin.answer = lambda peer, head: peer.sendall(PAGE)
            drop(one)

        site.origin.answer = once
        whole(peer, request("stale"))
    assert site.origin.accepted == accepted + 1
    assert counted(site.admin, "consent_mw_upstream_failures_total") == failed


def test_a_browser_that_leaves_meanwhile_is_counted_and_the_next_one_served(site: Site) -> None:
    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    given_up = counted(site.admin, 'consent_mw_responses_total{class="given-up"}')
    with connect(site.port) as peer:
        for _ in range(ROUNDS):
            whole(peer, request("leaves"))
        site.origin.answer = lambda peer, head: time.sleep(0.2)
        peer.sendall(request("leaves"))
        time.sleep(0.05)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: counted(site.admin, 'consent_mw_responses_total{class="given-up"}') == given_up + 1)
    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    with connect(site.port) as peer:
        whole(peer, request("leaves"))


def test_a_body_that_the_browser_does_not_take_waits_and_arrives(site: Site) -> None:
    body = b"x" * 60_000
    page = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    site.origin.answer = lambda peer, head: peer.sendall(page)
    with connect(site.port) as peer:
        for _ in range(200):
            peer.sendall(request("slow"))
        time.sleep(0.3)
        got = 0
        while got < 200 * len(body):
            chunk = peer.recv(1 << 20)
            assert chunk
            got += len(chunk)


def test_it_is_counted_and_logged_like_any_other(site: Site) -> None:
    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    names = (
        "consent_mw_requests_total",
        'consent_mw_responses_total{class="2xx"}',
        "consent_mw_requests_filtered_total",
    )
    names += ("consent_mw_response_body_bytes_total", "consent_mw_request_duration_seconds_count")
    before = [counted(site.admin, name) for name in names]
    with connect(site.port) as peer:
        for number in range(10):
            whole(peer, request("counted", f"/counted?{number}"))
    until(lambda: site.log.read_text().count('"/counted"') == 10)
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if '"/counted"' in line]
    kept = ("method", "path", "status", "bytes", "jurisdiction")
    assert {tuple(line[name] for name in kept) for line in lines} == {("GET", "/counted", 200, 2, "elsewhere")}
    after = [counted(site.admin, name) for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [10, 10, 10, 20, 10]


def test_the_kill_switch_holds_for_it_at_once(site: Site) -> None:
    site.origin.answer = lambda peer, head: peer.sendall(PAGE)
    site.origin.heads.clear()
    with connect(site.port) as peer:
        for _ in range(ROUNDS):
            whole(peer, request("switch"))
        assert operate(site.admin, "POST", "/bypass", b'{"on": true}')[0] == 200
        try:
            whole(peer, request("switch"))
            assert b"; other=1\r\n" in site.origin.heads[-1]
        finally:
            operate(site.admin, "POST", "/bypass", b'{"on": false}')
        whole(peer, request("switch"))
        assert b"; other=1\r\n" not in site.origin.heads[-1]
