"""HTTP/2 before a real sidecar: the same proxy as in HTTP/1, stream by stream."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import BERLIN, NEW_YORK
from tests.sidecar.h2_browser import PREFACE, Browser, Fields, asking, frame
from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, ask, connect, read_all, read_until

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CALM = 0, 1, 2, 11
LARGE = 4_096_000


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with a_sidecar(tmp_path_factory.mktemp("h2"), origin.port, "--access-log", "off") as (_, port, admin):
        yield port, admin


def lengthy(peer: socket.socket, head: bytes) -> bytes:
    """The body of a request that says its length."""
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
    got = bytearray()
    while len(got) < length:
        got += peer.recv(65_536)
    return bytes(got)


# what is asked


def test_a_request_reaches_the_site_as_one_of_http_1(port: int, origin: Origin) -> None:
    crumbs = [(b"cookie", b"session=s"), (b"cookie", b"_ga=g; odd=o")]
    with Browser(port) as browser:
        answer = browser.get(
            b"/a/../b%2f//c?x=%20&&e", (b"x-dup", b"1"), *crumbs, (b"x-dup", b"2"), (b"te", b"trailers"),
            (b"x-forwarded-for", BERLIN.encode()),
        )  # fmt: skip
    assert (answer.status, answer.body, answer.ended) == (200, b"ok", True)
    lines = origin.heads[0].split(b"\r\n")
    assert [line for line in lines if not line.startswith(b"consent-")] == [
        b"GET /a/../b%2f//c?x=%20&&e HTTP/1.1", b"Host: a", b"x-dup: 1", b"cookie: session=s", b"x-dup: 2",
        b"X-Forwarded-For: 85.214.132.117, 127.0.0.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a",
        b"Via: 1.1 consent_mw", b"Connection: TE", b"TE: trailers", b"", b"",
    ]  # fmt: skip


def test_what_comes_again_is_looked_at_as_the_first_time(port: int, origin: Origin) -> None:
    pairs = [(b"cookie", b"session=s; _ga=g"), (b"x-forwarded-for", BERLIN.encode())]
    with Browser(port) as browser, Browser(port) as other:
        got = [one.get(path, *pairs) for path in (b"/a", b"/b?c", b"/a") for one in (browser, other)]
        refused = browser.answer(browser.ask([*asking(b"/a", *pairs), (b"host", b"b")]))
        told = browser.get(b"/_consent/state", *pairs)
    assert {(one.status, bytes(one.body), tuple(one.headers)) for one in got} == {
        (200, b"ok", ((b"content-length", b"2"),))
    }
    assert [head.split(b"\r\n")[0] for head in origin.heads] == [
        b"GET /a HTTP/1.1", b"GET /a HTTP/1.1", b"GET /b?c HTTP/1.1", b"GET /b?c HTTP/1.1", b"GET /a HTTP/1.1",
        b"GET /a HTTP/1.1",
    ]  # fmt: skip
    assert len({head.partition(b"\r\n")[2] for head in origin.heads}) == 1
    assert b"\r\ncookie: session=s\r\n" in origin.heads[0]
    assert (refused.status, json.loads(told.body)["jurisdiction"]) == (400, "eea_uk")


def test_many_requests_are_under_way_at_once(port: int, origin: Origin) -> None:
    every = threading.Barrier(20, timeout=8)

    def answer(peer: socket.socket, head: bytes) -> None:
        every.wait()
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + head[5:8])

    origin.answer = answer
    with Browser(port) as browser:
        numbers = [browser.ask(asking(b"/%03d" % number)) for number in range(20)]
        assert [browser.answer(number).body for number in numbers] == [b"%03d" % number for number in range(20)]


def test_a_preface_may_come_byte_by_byte(port: int) -> None:
    with connect(port) as peer:
        for byte in PREFACE + frame(4, 0, 0):
            peer.sendall(bytes([byte]))
        assert peer.recv(9)[3:5] == b"\x04\x00"


@pytest.mark.parametrize(
    "before", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["", "empty line"]
)
def test_a_preface_after_a_request_is_refused(port: int, before: bytes) -> None:
    got = ask(port, before + PREFACE + frame(4, 0, 0))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\nokHTTP/1.1 505 HTTP Version Not Supported\r\n" in got


def test_nobody_is_upgraded_to_http_2(port: int, origin: Origin) -> None:
    asked = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: close, upgrade\r\n\r\n"
    )
    assert ask(port, asked).startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"h2c" not in origin.heads[0]


def test_an_upload_arrives_byte_for_byte(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        got.append(lengthy(peer, head))
        peer.sendall(OK)

    origin.answer = answer
    body = bytes(range(256)) * (LARGE // 256)
    with Browser(port) as browser:
        fields = asking(b"/", (b"content-length", b"%d" % len(body)), method=b"POST")
        number = browser.ask(fields, ended=False)
        assert browser.upload(number, body) == len(body)
        assert browser.answer(number).status == 200
    assert got == [body]


def test_an_upload_of_any_length_arrives_in_chunks(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        got.append(read_until(peer, b"\r\n0\r\n\r\n"))
        peer.sendall(OK)

    origin.answer = answer
    with Browser(port) as browser:
        number = browser.ask(asking(method=b"POST"), b"hello", ended=False)
        browser.h2.send_data(number, b" world", end_stream=True)
        browser.flush()
        assert browser.answer(number).status == 200
    assert b"\r\nTransfer-Encoding: chunked\r\n" in origin.heads[0]
    assert got == [b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"]


def test_trailers_are_passed_on_both_ways(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        got.append(read_until(peer, b"\r\n\r\n"))
        end = b"2\r\nok\r\n0\r\nX-Sum: 2\r\nSet-Cookie: a=b\r\n\r\n"
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + end)

    origin.answer = answer
    with Browser(port) as browser:
        number = browser.ask(asking(b"/", (b"te", b"trailers"), method=b"POST"), b"hello", ended=False)
        browser.h2.send_headers(number, [(b"x-sum", b"5"), (b"authorization", b"x")], end_stream=True)
        browser.flush()
        answered = browser.answer(number)
    assert got == [b"5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"]
    assert b"\r\nConnection: TE\r\nTE: trailers\r\n" in origin.heads[0]
    assert (answered.body, answered.trailers, answered.ended) == (b"ok", [(b"x-sum", b"2")], True)


def test_an_upload_that_breaks_off_is_never_whole_at_the_site(port: int, origin: Origin) -> None:
    got: list[bytes] = []
    asked = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        begun = peer.recv(10, socket.MSG_WAITALL)
        asked.set()
        got.append(begun + read_all(peer))

    origin.answer = answer
    with Browser(port) as browser:
        number = browser.ask(asking(method=b"POST"), b"hello", ended=False)
        assert asked.wait(5)
        browser.h2.reset_stream(number, 8)
        browser.flush()
        assert origin.gone.wait(5)
    assert got == [b"5\r\nhello\r\n"]


# what is answered


def test_an_answer_keeps_its_fields_but_those_of_the_connection(port: int, origin: Origin) -> None:
    head = (
        b"HTTP/1.1 200 Fine\r\nX-Case: A\r\nSet-Cookie: session=1; Path=/\r\nSet-Cookie: adid=2; Path=/\r\n"
        b"X-Hop: 1\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nx-case: B\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    origin.answer = lambda peer, _: peer.sendall(head)
    with Browser(port) as browser:
        answer = browser.get(b"/", (b"x-forwarded-for", BERLIN.encode()))
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers == [
        (b"x-case", b"A"), (b"x-case", b"B"), (b"content-length", b"2"), (b"cache-control", b"private, no-cache"),
        (b"vary", b"Cookie, DNT, Sec-GPC"), (b"set-cookie", b"session=1; Path=/"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "raw", "status"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n", 304),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    ],
    ids=["HEAD", "204", "304", "nothing"],
)  # fmt: skip
def test_an_answer_without_a_body_ends_its_stream(
    port: int, origin: Origin, method: bytes, raw: bytes, status: int
) -> None:
    origin.answer = lambda peer, _: peer.sendall(raw)
    with Browser(port) as browser:
        for _ in range(2):
            answer = browser.get(method=method)
            assert (answer.status, answer.body, answer.ended, answer.reset) == (status, b"", True, None)


def test_hints_come_before_the_answer(port: int, origin: Origin) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n"
    origin.answer = lambda peer, _: peer.sendall(hints + OK)
    with Browser(port) as browser:
        answer = browser.get()
    assert answer.interim == [[(b":status", b"103"), (b"link", b"</a.css>; rel=preload")]]
    assert (answer.status, answer.body) == (200, b"ok")


def test_events_are_flushed_and_given_up_with_the_stream(port: int, origin: Origin) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    def answer(peer: socket.socket, _: bytes) -> None:
        peer.sendall(head + b"data: 1\n\n")
        assert peer.recv(1) == b""

    origin.answer = answer
    with Browser(port) as browser:
        number = browser.ask(asking())
        while browser.answers[number].body != b"data: 1\n\n":
            browser.read()
        browser.h2.reset_stream(number, 8)
        browser.flush()
        assert origin.gone.wait(5)
        origin.answer = lambda peer, head: peer.sendall(OK)
        assert browser.get().status == 200


TRUNCATED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
}


@pytest.mark.parametrize("raw", TRUNCATED.values(), ids=TRUNCATED)
def test_a_truncated_answer_is_reset_and_never_ended(port: int, origin: Origin, raw: bytes) -> None:
    def answer(peer: socket.socket, _: bytes) -> None:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    with Browser(port) as browser:
        got = browser.get()
        assert (got.status, got.ended, got.reset) == (200, False, INTERNAL_ERROR)
        origin.answer = lambda peer, head: peer.sendall(OK)
        assert browser.get().body == b"ok"


def test_a_refused_upload_gets_the_sites_reason_and_leaves_the_connection(port: int, origin: Origin) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong"

    def answer(peer: socket.socket, _: bytes) -> None:
        peer.sendall(refusal)
        peer.shutdown(socket.SHUT_WR)

    origin.answer = answer
    with Browser(port) as browser:
        number = browser.ask(asking(b"/", (b"content-length", b"%d" % LARGE), method=b"POST"), ended=False)
        assert browser.upload(number, b"x" * LARGE) < LARGE
        got = browser.answers[number]
        assert (got.status, got.body, got.ended) == (413, b"long", True)
        while got.reset is None:
            browser.read()
        assert got.reset == NO_ERROR
        origin.answer = lambda peer, head: peer.sendall(OK)
        assert browser.get().body == b"ok"


def test_our_own_routes_answer(port: int) -> None:
    with Browser(port) as browser:
        state = browser.get(b"/_consent/state", (b"x-forwarded-for", NEW_YORK.encode()))
        assert (state.status, json.loads(state.body)["jurisdiction"]) == (200, "elsewhere")
        chosen = browser.answer(
            browser.ask(
                asking(
                    b"/_consent/choice", (b"content-type", b"application/json"), (b"sec-fetch-site", b"same-origin"),
                    method=b"POST",
                ),
                b'{"all":false}',
            )
        )  # fmt: skip
    assert chosen.status == 200
    assert any(name == b"set-cookie" and value.startswith(b"__Host-consent=") for name, value in chosen.headers)


# one slow stream


def test_a_browser_that_reads_slowly_holds_its_own_stream_only(port: int, origin: Origin) -> None:
    pushed = [0]
    full = threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET /slow "):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * LARGE))
            peer.settimeout(1.0)
            try:
                while pushed[0] < 4 * LARGE:
                    pushed[0] += peer.send(b"x" * 65_536)
            except TimeoutError:
                full.set()
            peer.settimeout(8)
            while pushed[0] < 4 * LARGE:
                pushed[0] += peer.send(b"x" * min(65_536, 4 * LARGE - pushed[0]))
        else:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"y" * LARGE)

    origin.answer = answer
    with Browser(port) as browser:
        # The window of the connection is shared: it is widened so that the held stream does not use it up.
        browser.h2.increment_flow_control_window(LARGE)
        slow = browser.ask(asking(b"/slow"))
        browser.held.add(slow)
        assert browser.get(b"/fast").body == b"y" * LARGE
        assert full.wait(8)
        assert len(browser.answers[slow].body) == 65_535
        assert pushed[0] < 3 * LARGE
        browser.held.discard(slow)
        browser.h2.acknowledge_received_data(65_535, slow)
        browser.flush()
        assert len(browser.answer(slow).body) == 4 * LARGE


def test_a_site_that_reads_slowly_holds_its_own_stream_only(port: int, origin: Origin) -> None:
    go = threading.Event()
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"POST"):
            assert go.wait(8)
            got.append(lengthy(peer, head))
        peer.sendall(OK)

    origin.answer = answer
    body = b"x" * (4 * LARGE)
    with Browser(port) as browser:
        number = browser.ask(asking(b"/", (b"content-length", b"%d" % len(body)), method=b"POST"), ended=False)
        sent = 0
        browser.socket.settimeout(1.0)
        try:
            while sent < len(body):
                room = min(browser.h2.local_flow_control_window(number), 16_384, len(body) - sent)
                if room:
                    browser.h2.send_data(number, body[sent : sent + room])
                    sent += room
                    browser.flush()
                else:
                    browser.read()
        except TimeoutError:
            pass
        assert sent < 3 * LARGE
        browser.socket.settimeout(8)
        assert browser.get().body == b"ok"
        go.set()
        assert browser.upload(number, body[sent:]) == len(body) - sent
        assert browser.answer(number).status == 200
    assert got == [body]


# what is refused

REFUSED: dict[str, tuple[int, Fields]] = {
    "other host": (400, asking(b"/", (b"host", b"b"))),
    "fragment": (400, asking(b"/#a")),
    "tunnel": (405, [(b":method", b"CONNECT"), (b":authority", b"a:443")]),
    "trace": (405, asking(method=b"TRACE")),
    "long target": (414, asking(b"/" + b"a" * 16_384)),
    "large head": (431, asking(b"/", *[(b"x-a", b"a" * 4000)] * 17)),
    "many fields": (431, asking(b"/", *[(b"x-a", b"a")] * 200)),
    "expectation": (417, asking(b"/", (b"expect", b"200-ok"))),
}


@pytest.mark.parametrize(("status", "fields"), REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_request_is_refused_on_its_stream(
    port: int, origin: Origin, status: int, fields: Fields
) -> None:
    with Browser(port) as browser:
        got = browser.answer(browser.ask(fields))
        assert (got.status, got.ended) == (status, True)
        assert browser.get().status == 200
    assert len(origin.heads) == 1


MALFORMED: dict[str, Fields] = {
    "upper case": asking(b"/", (b"X-A", b"1")),
    "connection": asking(b"/", (b"connection", b"close")),
    "transfer-encoding": asking(b"/", (b"transfer-encoding", b"chunked")),
    "te": asking(b"/", (b"te", b"gzip")),
    "line in a value": asking(b"/", (b"a", b"1\r\nb: 2")),
    "line in the path": asking(b"/ HTTP/1.1\r\nx: y"),
    "line in the authority": [*asking()[:2], (b":authority", b"a\r\nb: c"), asking()[3]],
    "no path": asking()[:3],
    "doubled path": [*asking(), (b":path", b"/b")],
    "pseudo-header field at the end": [*asking()[:3], (b"a", b"1"), asking()[3]],
    "extended connect": [*asking(method=b"CONNECT"), (b":protocol", b"websocket")],
    "a length that is none": asking(b"/", (b"content-length", b"1x")),
    "a length of a body that never comes": asking(b"/", (b"content-length", b"5")),
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_an_error_of_its_stream(port: int, origin: Origin, fields: Fields) -> None:
    with Browser(port) as browser:
        got = browser.answer(browser.ask(fields))
        assert (got.status, got.reset) == (0, PROTOCOL_ERROR)
        assert browser.get().status == 200
    assert len(origin.heads) == 1


@pytest.mark.parametrize(("said", "sent"), [(b"5", b"more"), (b"5", b"too long")], ids=["short", "long"])
def test_a_body_that_is_not_as_long_as_it_says_is_never_whole(
    port: int, origin: Origin, said: bytes, sent: bytes
) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET"):
            peer.sendall(OK)
        else:
            got.append(read_all(peer))

    origin.answer = answer
    with Browser(port) as browser:
        fields = asking(b"/", (b"content-length", said), method=b"POST")
        assert browser.answer(browser.ask(fields, sent)).reset == PROTOCOL_ERROR
        assert browser.get().status == 200
    assert all(len(one) < 5 for one in got)


# the end


def test_draining_lets_streams_end_and_takes_no_more(tmp_path: Path, origin: Origin) -> None:
    go, asked = threading.Event(), threading.Event()

    def answer(peer: socket.socket, _: bytes) -> None:
        asked.set()
        assert go.wait(8)
        peer.sendall(OK)

    origin.answer = answer
    with a_sidecar(tmp_path, origin.port) as (process, port, _), Browser(port) as browser, Browser(port) as idle:
        number = browser.ask(asking())
        assert asked.wait(5)
        process.send_signal(signal.SIGTERM)
        assert idle.wait_for_end() == NO_ERROR
        # The first GOAWAY announces, the second says which requests are still served.
        while browser.goaway is None:
            browser.read()
        go.set()
        raw = b""
        while chunk := browser.socket.recv(65_536):
            raw += chunk
        assert number == 1
        assert frame(0, 1, 1, b"ok") in raw
        assert process.wait(10) == 0


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed (Debian: nghttp2-client)")
def test_a_crowd_is_served(port: int) -> None:
    command = ["h2load", "-n", "2000", "-c", "10", "-m", "10", f"http://127.0.0.1:{port}/"]
    got = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in got


def test_http_1_is_served_on_the_same_port(port: int) -> None:
    assert ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
