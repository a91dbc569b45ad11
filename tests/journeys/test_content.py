"""Content codings through both forms: what is asked for, what is edited, what goes out, and what is broken off."""

from __future__ import annotations

import gzip
import importlib
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.middleware.gzip import GZipMiddleware

from tests.journeys.content import HTML, Answer, Form, answered, as_middleware, as_sidecar
from tests.journeys.site import BERLIN, mounted
from tests.sidecar import raw

ROWS = b"".join(b"<tr><td>row %d<td>of a table\n" % number for number in range(200))
PAGE = b"<!doctype html><html><head><title>T</title></head><body><table>" + ROWS + b"</table></body></html>"
TINY = b"<!doctype html><title>t</title><p>tiny"
BROWSERS = "gzip, deflate, br, zstd"
PLAIN_VARY = [b"Cookie, DNT, Sec-GPC"]
CODED_VARY = [b"Cookie, DNT, Sec-GPC, Accept-Encoding, Accept-Language"]


@pytest.fixture(scope="module", params=["middleware", "sidecar"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    made: dict[str, Any] = {"middleware": as_middleware, "sidecar": as_sidecar}
    form: AbstractContextManager[Form] = made[request.param](tmp_path_factory.mktemp(request.param))
    with form as one:
        yield one


@pytest.fixture
def form(running: Form) -> Form:
    """The form, whose origin answers a plain page again."""
    said = running.said
    said.headers, said.parts, said.status, said.between = [HTML], [PAGE], 200, lambda _: None
    return running


def undone(answer: Answer) -> bytes:
    """The plain body, by the coding that the answer names; it must be whole."""
    coding = answer.one(b"content-encoding")
    if coding is None:
        return answer.body
    stream = zlib.decompressobj({b"gzip": 31, b"deflate": 15}[coding])
    plain = stream.decompress(answer.body)
    assert (stream.eof, stream.unused_data) == (True, b"")
    return plain


def is_edited(plain: bytes, page: bytes = PAGE) -> bool:
    """Whether this is the page, byte for byte, with a banner in it."""
    start, end = plain.find(b"<link"), plain.rfind(b"</script>") + len(b"</script>")
    banner = plain[start:end]
    return b"cmw-banner" in banner and plain.replace(banner, b"") == page


@pytest.mark.parametrize("said", [BROWSERS, "identity;q=0, gzip", "br", "*", ""], ids=str)
def test_a_page_that_gets_a_banner_is_asked_for_plain(form: Form, said: str) -> None:
    form.ask(accept_encoding=said)
    assert form.said.asked_with(b"accept-encoding") == [b"identity"]


@pytest.mark.parametrize(
    "visit",
    [{"cookie": answered()}, {"sec_fetch_dest": "iframe"}, {"document": False}],
    ids=["answered", "frame", "no document"],
)
def test_what_gets_no_banner_is_asked_for_as_the_browser_does(form: Form, visit: dict[str, Any]) -> None:
    form.said.headers, form.said.parts = [HTML, (b"content-encoding", b"zstd")], [b"whatever it is"]
    answer = form.ask(accept_encoding="br, zstd", **visit)
    # A page may have to be gated: it is asked for in what can be undone and done again, which here is nothing.
    asked = b"br, zstd" if "document" in visit else b"identity"
    assert form.said.asked_with(b"accept-encoding") == [asked]
    assert (answer.body, answer.one(b"content-encoding")) == (b"whatever it is", b"zstd")
    assert answer.all(b"vary") == PLAIN_VARY


@pytest.mark.parametrize(
    ("said", "coding"),
    [(BROWSERS, b"gzip"), ("deflate", b"deflate"), ("", None), ("identity", None), ("br", None), ("gzip;q=0", None)],
    ids=str,
)
@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
def test_an_edited_page_goes_out_as_the_browser_takes_it(
    form: Form, said: str, coding: bytes | None, sized: bool
) -> None:
    form.said.headers = [HTML, (b"etag", b'"1"'), (b"vary", b"Origin")]
    if sized:
        form.said.headers.append((b"content-length", b"%d" % len(PAGE)))
    form.said.parts = [PAGE[:1000], PAGE[1000:]]
    answer = form.ask(accept_encoding=said)
    assert is_edited(undone(answer))
    assert answer.one(b"content-encoding") == coding
    assert answer.all(b"vary") == [b"Origin, Cookie, DNT, Sec-GPC, Accept-Encoding, Accept-Language"]
    assert answer.one(b"content-length") is None
    assert (answer.one(b"etag") or b"").startswith(b'W/"1-cmws')


@pytest.mark.parametrize(
    ("said", "coding"), [(BROWSERS, None), ("gzip, identity;q=0", b"gzip"), ("*;q=0", None)], ids=str
)
def test_a_tiny_page_is_coded_only_for_who_takes_no_plain_one(form: Form, said: str, coding: bytes | None) -> None:
    form.said.headers, form.said.parts = [HTML, (b"content-length", b"%d" % len(TINY))], [TINY]
    answer = form.ask(accept_encoding=said)
    assert is_edited(undone(answer), TINY)
    assert (answer.one(b"content-encoding"), answer.all(b"vary")) == (coding, CODED_VARY)


def brotli(data: bytes) -> bytes:
    return importlib.import_module("brotli").compress(data)  # type: ignore[no-any-return]  # no type stubs


CAME = {
    "gzip": (b"gzip", gzip.compress(PAGE), BROWSERS, b"gzip"),
    "its old name": (b"X-GZIP", gzip.compress(PAGE), BROWSERS, b"gzip"),
    "deflate": (b"deflate", zlib.compress(PAGE), BROWSERS, b"gzip"),
    "br": (b"br", brotli(PAGE), BROWSERS, b"gzip"),
    "one over another": (b"deflate, gzip", gzip.compress(zlib.compress(PAGE)), BROWSERS, b"gzip"),
    "identity by name": (b"identity", PAGE, BROWSERS, b"gzip"),
    "a coding that nobody takes": (b"gzip", gzip.compress(PAGE), "identity", b"gzip"),
    "deflate to who takes nothing": (b"deflate", zlib.compress(PAGE), "", b"deflate"),
}


@pytest.mark.parametrize(("coding", "body", "said", "goes"), CAME.values(), ids=CAME)
def test_a_page_that_comes_coded_unasked_is_edited(
    form: Form, coding: bytes, body: bytes, said: str, goes: bytes
) -> None:
    form.said.headers = [HTML, (b"content-encoding", coding), (b"content-length", b"%d" % len(body))]
    form.said.parts = [body[:5], body[5:]]
    answer = form.ask(accept_encoding=said)
    assert is_edited(undone(answer))
    assert (answer.all(b"content-encoding"), answer.all(b"vary")) == ([goes], CODED_VARY)


UNTOUCHED: dict[str, list[tuple[bytes, bytes]]] = {
    "an unknown coding": [(b"content-encoding", b"dcb")],
    "a coding over an unknown one": [(b"content-encoding", b"dcb, gzip")],
    "br to who takes only br": [(b"content-encoding", b"br")],
    "no-transform": [(b"cache-control", b"no-transform")],
    "no-transform, coded": [(b"cache-control", b"max-age=5, no-transform"), (b"content-encoding", b"gzip")],
}


@pytest.mark.parametrize("headers", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_cannot_be_edited_goes_out_as_it_came(form: Form, headers: list[tuple[bytes, bytes]]) -> None:
    body = b"any bytes \x00\xff at all"
    form.said.headers, form.said.parts = [HTML, *headers, (b"content-length", b"%d" % len(body))], [body]
    before = form.count("page_not_editable")
    answer = form.ask(accept_encoding="br")
    assert answer.body == body
    assert answer.one(b"content-length") == b"%d" % len(body)
    assert answer.all(b"content-encoding") == [value for name, value in headers if name == b"content-encoding"]
    assert before is None or form.count("page_not_editable") == before + 1


@pytest.mark.parametrize(
    "headers",
    [[(b"content-type", b"application/json")], [(b"content-type", b"text/css"), (b"vary", b"Accept-Encoding")]],
    ids=["json", "css"],
)
def test_what_is_no_page_is_never_coded(form: Form, headers: list[tuple[bytes, bytes]]) -> None:
    form.said.headers = [*headers, (b"content-length", b"%d" % len(PAGE))]
    answer = form.ask(accept_encoding=BROWSERS)
    assert (answer.body, answer.one(b"content-encoding")) == (PAGE, None)
    assert answer.all(b"vary") == [value for name, value in headers if name == b"vary"]


SPOILT = {
    "cut short": (b"gzip", [gzip.compress(PAGE)[:-9]]),
    "cut short in its checksum": (b"gzip", [gzip.compress(PAGE)[:-1]]),
    "damaged": (b"gzip", [gzip.compress(PAGE)[:40], b"damage, " * 40]),
    "not coded at all": (b"deflate", [PAGE]),
    "with a tail": (b"gzip", [gzip.compress(PAGE), b"<p>more"]),
}


@pytest.mark.parametrize(("coding", "parts"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("said", [BROWSERS, ""], ids=["coded", "plain"])
def test_a_spoilt_page_is_broken_off_and_never_ended(
    form: Form, coding: bytes, parts: list[bytes], said: str
) -> None:
    form.said.headers, form.said.parts = [HTML, (b"content-encoding", coding)], parts
    assert form.ask(accept_encoding=said).whole is False
    form.said.headers, form.said.parts = [HTML], [PAGE]
    assert is_edited(undone(form.ask(accept_encoding=said)))


@contextmanager
def served(app: Any) -> Iterator[int]:
    """This ASGI app under a real server; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(15)


@pytest.mark.parametrize(("length", "whole"), [(None, True), (-1, False)], ids=["a whole one", "one cut short"])
def test_a_real_server_ends_only_a_whole_page(tmp_path: Path, length: int | None, whole: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [HTML, (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": gzip.compress(PAGE)[:length]})

    with served(mounted(app, tmp_path)) as port:
        asked = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {BERLIN}\r\nSec-Fetch-Dest: document\r\n"
        with raw.connect(port) as peer:
            peer.sendall(asked.encode() + b"Accept-Encoding: gzip\r\nConnection: close\r\n\r\n")
            came = raw.read_all(peer)
    assert came.startswith(b"HTTP/1.1 200")
    assert came.endswith(b"\r\n0\r\n\r\n") is whole


def test_an_app_that_sends_less_than_it_said_ends_no_page(tmp_path: Path) -> None:
    with as_middleware(tmp_path) as form:
        form.said.headers, form.said.parts = [HTML, (b"content-length", b"%d" % len(PAGE))], [PAGE[:-1]]
        assert [form.ask(accept_encoding=said).whole for said in (BROWSERS, "")] == [False, False]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([HTML, (b"content-length", b"%d" % len(PAGE))], PAGE),
        ([HTML, (b"content-length", b"%d" % len(TINY))], TINY),
        ([HTML, (b"content-encoding", b"gzip")], gzip.compress(PAGE)),
        ([HTML, (b"content-encoding", b"dcb"), (b"content-length", b"4")], b"abcd"),
    ],
    ids=["a page", "a tiny page", "a coded page", "an unknown coding"],
)
@pytest.mark.parametrize("said", [BROWSERS, ""], ids=["coded", "plain"])
def test_a_head_says_what_the_get_would(
    form: Form, headers: list[tuple[bytes, bytes]], body: bytes, said: str
) -> None:
    form.said.headers, form.said.parts = [*headers, (b"etag", b'"1"')], [body]
    got = form.ask(accept_encoding=said)
    form.said.parts = [b""]
    head = form.ask(method="HEAD", accept_encoding=said)
    framing = (b"transfer-encoding", b"date")
    told, expected = ([pair for pair in one.headers if pair[0] not in framing] for one in (head, got))
    assert (head.status, told, head.body) == (got.status, expected, b"")


def test_a_page_streams_through_its_coding(tmp_path: Path) -> None:
    """The origin sends each part only once the browser has read the one before."""
    read = [threading.Event() for _ in range(4)]
    with as_sidecar(tmp_path) as form:
        form.said.parts = [b"<!doctype html><body>", b"<p>one", b"<p>two", b"<p>three"]
        form.said.between = lambda number: number == 0 or read[number - 1].wait(10) or pytest.fail("it was held back")
        port = form.port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            asked = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {BERLIN}\r\nSec-Fetch-Dest: document\r\n"
            peer.sendall(asked.encode() + b"Accept-Encoding: gzip\r\n\r\n")
            stream, came, plain = zlib.decompressobj(31), b"", b""
            while b"\r\n\r\n" not in came:
                came += peer.recv(65_536)
            came = came.partition(b"\r\n\r\n")[2]
            for number, ending in enumerate((b"</script>", b"<p>one", b"<p>two", b"<p>three")):
                while not plain.endswith(ending):
                    while came.count(b"\r\n") < 2:
                        came += peer.recv(65_536)
                    size, _, rest = came.partition(b"\r\n")
                    while len(rest) < int(size, 16) + 2:
                        rest += peer.recv(65_536)
                    plain += stream.decompress(rest[: int(size, 16)])
                    came = rest[int(size, 16) + 2 :]
                read[number].set()


def test_events_are_neither_held_back_nor_coded(form: Form) -> None:
    form.said.headers = [(b"content-type", b"text/event-stream")]
    form.said.parts = [b"data: one\n\n", b"data: two\n\n"]
    answer = form.ask(accept_encoding=BROWSERS)
    assert (answer.body, answer.one(b"content-encoding")) == (b"data: one\n\ndata: two\n\n", None)


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("cookie", ["", answered()], ids=["with a banner", "answered"])
def test_an_app_that_compresses_its_own_pages_is_coded_once(tmp_path: Path, where: str, cookie: str) -> None:
    with as_middleware(tmp_path, **{where: lambda app: GZipMiddleware(app, minimum_size=500)}) as form:
        form.said.headers.append((b"content-length", b"%d" % len(PAGE)))
        form.said.parts = [PAGE]
        coded = form.ask(accept_encoding=BROWSERS, cookie=cookie)
        plain = form.ask(cookie=cookie)
    assert coded.one(b"content-encoding") == b"gzip"
    assert plain.one(b"content-encoding") is None
    for answer in (coded, plain):
        page = undone(answer)
        assert page == PAGE if cookie else is_edited(page)
