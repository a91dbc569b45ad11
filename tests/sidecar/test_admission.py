"""What is remembered of bytes that come again says only what would be said anew."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent_mw import load_policy
from consent_mw.asgi.exchange import Exchange
from consent_mw.asgi.gate import Gate
from consent_mw.core.consent import Consent
from consent_mw.sidecar.admission import Admissions, target_of
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.known import known
from consent_mw.wire.request_head import RequestHead, read_head
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.token import Keyring
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.upstream import Pool, Upstream
from tests.journeys.site import BERLIN, KEY, NEW_YORK, POLICY
from tests.sidecar.raw import Origin, a_sidecar, connect, read_until

BLOCK = b"Host: a\r\nSec-Fetch-Dest: document\r\nX-Forwarded-For: %s\r\nCookie: session=1; _ga=2\r\n\r\n"


def head_of(address: str, target: bytes = b"/a", method: bytes = b"GET", block: bytes = BLOCK) -> bytes:
    """A request head as it comes."""
    return method + b" " + target + b" HTTP/1.1\r\n" + (block % address.encode() if b"%s" in block else block)


class Door:
    """A gate with its admissions, and a clock that can be set."""

    def __init__(self, folder: Path, policy: str = POLICY) -> None:
        self.time = 1_800_000_000.0
        self.file = folder / "policy.toml"
        self.file.write_text(policy)
        self.keyring = Keyring([KEY])
        self.gate = Gate(load_policy(self.file), self.keyring, clock=lambda: self.time)
        self.admissions = Admissions()

    def keep(self, raw: bytes, peer: str = "127.0.0.1") -> None:
        """Admit this request, and remember it when it comes again."""
        head = read_head(raw)
        assert isinstance(head, RequestHead)
        for _ in range(2):
            self.admissions.admit(head, self.gate, peer, False, b"b")

    def finds(self, raw: bytes, peer: str = "127.0.0.1") -> str:
        """The jurisdiction by which this request is admitted at once; empty where it is not."""
        found = self.admissions.find(raw, self.gate, peer, False)
        decision = None if found is None else found[0].exchange(self.gate, target_of(found[1])).decision
        return "" if decision is None else decision.jurisdiction.name


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_the_same_block_is_admitted_for_whatever_it_asks(door: Door) -> None:
    door.keep(head_of(BERLIN))
    found = door.admissions.find(head_of(BERLIN, b"/other?x=1"), door.gate, "127.0.0.1", False)
    assert found is not None
    admission, rendered = found
    seen = admission.exchange(door.gate, target_of(rendered)).seen
    assert (target_of(rendered), seen.path, seen.query) == (b"/other?x=1", b"/other", b"x=1")
    assert rendered.startswith(b"GET /other?x=1 HTTP/1.1\r\nHost: a\r\n")
    assert door.finds(head_of(NEW_YORK)) == ""


NOT_AT_ONCE = {
    "another method": head_of(BERLIN, method=b"HEAD"),
    "our own routes": head_of(BERLIN, b"/_consent/state"),
    "HTTP/1.0": head_of(BERLIN).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "absolute form": head_of(BERLIN, b"http://b/a"),
    "a malformed line": head_of(BERLIN, b"/a b"),
    "one byte more": head_of(BERLIN).replace(b"session=1", b"session=12"),
}


@pytest.mark.parametrize("raw", NOT_AT_ONCE.values(), ids=NOT_AT_ONCE)
def test_what_differs_in_anything_is_looked_at_anew(door: Door, raw: bytes) -> None:
    door.keep(head_of(BERLIN))
    assert (door.finds(head_of(BERLIN)), door.finds(raw)) == ("eea_uk", "")


def test_another_peer_is_looked_at_anew(door: Door) -> None:
    door.keep(head_of(BERLIN))
    assert door.finds(head_of(BERLIN), "192.0.2.1") == ""


NEVER = {
    "many fields": b"Host: a\r\n" + b"".join(b"x%d:\r\n" % number for number in range(64)) + b"\r\n",
    "a body": b"Host: a\r\nContent-Length: 5\r\n\r\n",
    "an expectation": b"Host: a\r\nExpect: 100-continue\r\n\r\n",
    "an upgrade": b"Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a chain of proxies": b"Host: a\r\nVia: 1.1 consent_mw\r\n\r\n",
}


@pytest.mark.parametrize("block", NEVER.values(), ids=NEVER)
def test_what_needs_a_look_every_time_is_not_remembered(door: Door, block: bytes) -> None:
    raw = head_of("", block=block)
    door.keep(raw)
    assert door.admissions.find(raw, door.gate, "127.0.0.1", False) is None


def test_a_new_policy_and_a_bypass_forget_what_was_admitted(door: Door) -> None:
    door.keep(head_of(BERLIN))
    door.gate.bypassed = True
    assert door.finds(head_of(BERLIN)) == ""
    door.gate.bypassed = False
    assert door.finds(head_of(BERLIN)) == "eea_uk"
    door.gate.adopt(load_policy(door.file))
    assert door.finds(head_of(BERLIN)) == ""


def test_a_remembered_head_holds_no_field_that_is_not_looked_at_again(door: Door) -> None:
    door.keep(head_of(BERLIN))
    found = door.admissions.find(head_of(BERLIN), door.gate, "127.0.0.1", False)
    assert found is not None
    assert (found[0].head.fields, found[0].head.block, found[0].head.host) == ([], b"", b"a")


def test_a_token_that_grows_old_is_looked_at_anew(door: Door) -> None:
    token = door.keyring.new_identifier(bytes(16), int(door.time) // 86_400)[1]
    raw = head_of(
        NEW_YORK, block=b"Host: a\r\nX-Forwarded-For: %s\r\nCookie: __Host-vid=" + token.encode() + b"\r\n\r\n"
    )
    door.keep(raw)
    before = door.finds(raw)
    door.time += 400 * 86_400
    assert (before, door.finds(raw)) == ("elsewhere", "")


def test_what_is_remembered_has_a_bound(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.admissions, "_known", known(10))
    for number in range(100):
        door.keep(head_of(f"192.0.2.{number}"))
    assert len(door.admissions._known) <= 20


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Origin, int]]:
    origin = Origin()
    with a_sidecar(tmp_path_factory.mktemp("sidecar"), origin.port) as (_, port, _admin):
        yield origin, port
    origin.close()


def answer_to(peer: socket.socket, address: str) -> bytes:
    """The head of the answer to a page that is asked for from this address."""
    peer.sendall(head_of(address))
    head = read_until(peer, b"\r\n\r\n")
    assert read_until(peer, b"ok")
    return head


def test_an_answer_that_comes_again_is_given_to_each_by_their_own_decision(sidecar: tuple[Origin, int]) -> None:
    origin, port = sidecar
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: _ga=1\r\nContent-Length: 2\r\n\r\nok"
    origin.answer = lambda peer, head: peer.sendall(page.replace(b"text/html", b"text/css"))
    with connect(port) as peer:
        rounds = [(answer_to(peer, BERLIN), answer_to(peer, NEW_YORK)) for _ in range(5)]
    assert {berlin for berlin, _ in rounds} == {rounds[0][0]}
    assert {york for _, york in rounds} == {rounds[0][1]}
    assert (b"_ga" in rounds[0][0], b"_ga" in rounds[0][1]) == (False, True)


def test_a_cookie_that_ends_with_the_clock_is_judged_every_time(sidecar: tuple[Origin, int]) -> None:
    origin, port = sidecar
    gone = b"Set-Cookie: _ga=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n" + gone + b"\r\nContent-Length: 2\r\n\r\nok"
    origin.answer = lambda peer, head: peer.sendall(page)
    with connect(port) as peer:
        assert all(gone in answer_to(peer, BERLIN) for _ in range(4))


def test_what_a_no_ended_is_ended_every_time_it_comes(sidecar: tuple[Origin, int]) -> None:
    origin, port = sidecar
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
    origin.answer = lambda peer, head: peer.sendall(page)
    now, told = int(time.time()), "2026-01"
    said = Consent({"analytics": False, "cross_site": False}, now, told, seen=told, issued=now)
    no = b"__Host-consent=" + Keyring([KEY]).sign_consent(said).encode()
    with connect(port) as peer:
        still = [_heads(peer, no + b"; session=1; _ga=2") for _ in range(4)]
        gone = [_heads(peer, no + b"; session=1") for _ in range(4)]
    assert all(b"Set-Cookie: _ga=; Max-Age=0" in head for head in still)
    assert not any(b"Set-Cookie" in head for head in gone)


def _heads(peer: socket.socket, cookies: bytes) -> bytes:
    """The head of the answer to a page that is asked for with these cookies."""
    block = b"Host: a\r\nSec-Fetch-Dest: document\r\nX-Forwarded-For: " + NEW_YORK.encode() + b"\r\nCookie: "
    peer.sendall(b"GET /a HTTP/1.1\r\n" + block + cookies + b"\r\n\r\n")
    head = read_until(peer, b"\r\n\r\n")
    assert read_until(peer, b"ok")
    return head


def test_a_gate_that_fails_on_an_answer_seen_before_is_a_502(
    sidecar: tuple[Origin, int], door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Exchange, answer: ResponseHead) -> None:
        raise RuntimeError

    async def visit() -> bytes:
        plane = Plane(door.gate, Pool(Upstream("127.0.0.1", origin.port)), Meters(), AccessLog(None))
        server = await asyncio.get_running_loop().create_server(lambda: Client(plane), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(head_of(BERLIN))
        got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
        plane.pool.close()
        server.close()
        return got

    origin, _ = sidecar
    origin.answer = lambda peer, head: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    monkeypatch.setattr(Exchange, "respond_again", failing)
    assert asyncio.run(visit()).startswith(b"HTTP/1.1 502 ")


def test_what_came_once_is_not_remembered(door: Door) -> None:
    head = read_head(head_of(BERLIN))
    assert isinstance(head, RequestHead)
    found = []
    for _ in range(2):
        door.admissions.admit(head, door.gate, "127.0.0.1", False, b"b")
        found.append(door.finds(head_of(BERLIN)))
    assert found == ["", "eea_uk"]


OPEN = POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nbanner = "none"')
"""A policy by which a newcomer from New York gets an identifier, and no banner."""


@pytest.mark.parametrize("csp", ["off", "enforce"])
def test_an_identifier_is_given_to_each_newcomer_anew_and_to_nobody_else(tmp_path: Path, csp: str) -> None:
    origin = Origin()
    page = b"HTTP/1.1 200 OK\r\nContent-Security-Policy: img-src 'self'\r\nContent-Type: text/html\r\n"
    page += b"Set-Cookie: session=2\r\nContent-Length: 2\r\n\r\nok"
    origin.answer = lambda peer, head: peer.sendall(page)
    token = Keyring([KEY]).new_identifier(bytes(16), int(time.time()) // 86_400)[1].encode()
    bot = b"User-Agent: Googlebot/2.1 (+http://www.google.com/bot.html)\r\n"
    ahead, image = b"Sec-Purpose: prefetch\r\n", b"Sec-Fetch-Dest: image\r\n"
    with (
        a_sidecar(tmp_path, origin.port, policy=OPEN + f'[csp]\nmode = "{csp}"\n') as (_, port, _admin),
        connect(port) as peer,
    ):

        def heads(number: int) -> list[bytes]:
            held = b"session=%d; __Host-vid=%b" % (number, token)
            asked = [(b"session=%d" % number, b""), (held, b""), (b"session=3", bot), (b"session=4", ahead)]
            return [_page_head(peer, cookies, more) for cookies, more in [*asked, (b"session=%d" % number, image)]]

        rounds = [heads(number) for number in range(6)]
        rounds += [heads(1) for _ in range(4)]
    origin.close()
    told = [[re.sub(rb"__Host-vid=[^;]+;", b"__Host-vid=*;", head) for head in heads] for heads in rounds]
    assert told == [told[0]] * 10
    assert [head.count(b"__Host-vid=*") for head in told[0]] == [1, 0, 0, 0, 0]
    given = [re.findall(rb"__Host-vid=([^;]+);", heads[0])[0] for heads in rounds]
    assert len(set(given)) == 10
    assert all(Keyring([KEY]).read_identifier(one.decode()) for one in given)


def _page_head(peer: socket.socket, cookies: bytes, more: bytes) -> bytes:
    """The head of the answer to a page (unless `more` asks for something else), with these cookies."""
    dest = b"" if b"Dest" in more else b"Sec-Fetch-Dest: document\r\n"
    block = b"Host: a\r\n" + dest + more + b"X-Forwarded-For: " + NEW_YORK.encode() + b"\r\nCookie: "
    peer.sendall(b"GET /a HTTP/1.1\r\n" + block + cookies + b"\r\n\r\n")
    head = read_until(peer, b"\r\n\r\n")
    assert read_until(peer, b"ok")
    return head
