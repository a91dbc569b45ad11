"""What a request takes of Python, in instructions: counted, not timed, so that a slow change shows on any machine."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from consent_mw import ConsentMiddleware, load_policy
from consent_mw.asgi.gate import Gate
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.native import native
from consent_mw.wire.token import Keyring
from consent_mw.world.access_log import AccessLog
from consent_mw.world.metrics import Meters
from consent_mw.world.store import Store
from consent_mw.world.upstream import Connection, Pool, Upstream
from tests.journeys.site import KEY, NEW_YORK, POLICY

GOLDEN = Path(__file__).with_name("instructions.toml")
TOLERANCE = 0.03
"""By how much a count may be off: patch releases of Python and of libraries differ a little."""

DAY = 20_000
POLICY_OPEN = POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nbanner = "none"')
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Type: %b\r\nContent-Length: 2\r\n"
    b"Set-Cookie: session=1; Path=/\r\nSet-Cookie: _ga=1; Path=/\r\n\r\nok"
)
BROWSER = (
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept-Language: en\r\n"
    b"Accept-Encoding: gzip\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n"
)


class Counter:
    """Counts the instructions of all Python but this file's, while it is on."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace


class Wire(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent = bytes(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Ends:
    """A sidecar's two connections without a network: one of a browser, one to the site."""

    def __init__(self, gate: Gate, log: AccessLog) -> None:
        plane = Plane(gate, Pool(Upstream("127.0.0.1", 1)), Meters(), log)
        self._browser, self._site = Wire(), Wire()
        self._client, self._connection = Client(plane), Connection(plane.pool)
        self._client.connection_made(self._browser)
        self._connection.connection_made(self._site)
        plane.pool.give_back(self._connection)

    def visit(self, request: bytes, answer: bytes) -> bytes:
        """What the browser gets."""
        self._client.data_received(request)
        assert self._site.sent.startswith(b"GET /")
        self._connection.data_received(answer)
        return self._browser.sent


def request(number: int, kind: bytes, *, known: bool) -> bytes:
    """A request of one visitor for a page or for a part of one."""
    token = Keyring([KEY]).new_identifier(number.to_bytes(16, "big"), DAY)[1].encode()
    held = b"; __Host-vid=" + token if known else b""
    address = NEW_YORK.rpartition(".")[0].encode() + b".%d" % (number % 200 + 10)
    return (
        b"GET /articles/%d HTTP/1.1\r\nHost: example.com\r\n%bSec-Fetch-Dest: %b\r\nAccept: */*\r\n"
        b"X-Forwarded-For: %b\r\nCookie: session=%d; theme=dark; _ga=GA1.2.%d%b\r\n\r\n"
    ) % (number % 9 + 1, BROWSER, kind, address, number + 1000, number + 1000, held)


async def in_the_sidecar(gate: Gate, log: AccessLog) -> dict[str, int]:
    """Instructions of one request, by what it is; the mean of many, which differ a little."""
    ends, told = Ends(gate, log), {}
    page, style = ANSWER % b"text/html", ANSWER % b"text/css"
    cases = {
        "page-again": ([request(number, b"document", known=True) for number in range(50)], page, 4),
        "part-again": ([request(number, b"style", known=True) for number in range(50)], style, 4),
        "page-of-somebody-not-seen-before": (
            [request(number, b"document", known=True) for number in range(100, 150)], page, 0,
        ),
        "page-of-a-newcomer": ([request(number, b"document", known=False) for number in range(200, 250)], page, 0),
    }  # fmt: skip
    # What reads browsers' names is loaded when it is asked first.
    gate.devices.read(b"")
    for name, (asked, answer, before) in cases.items():
        for one in asked * before:
            ends.visit(one, answer)
        counter = Counter()
        for one in asked:
            with counter:
                got = ends.visit(one, answer)
            assert got.endswith(b"ok")
        told[f"{name}-logged" if log.on else name] = round(counter.count / len(asked))
    log.close()
    return told


def scope_of(raw: bytes) -> dict[str, Any]:
    """The ASGI scope of this request."""
    line, *lines = raw[:-4].split(b"\r\n")
    path = line.split(b" ")[1]
    headers = [(name.lower(), value) for name, _, value in (one.partition(b": ") for one in lines)]
    return {
        "type": "http", "method": "GET", "path": path.decode(), "raw_path": path, "query_string": b"",
        "scheme": "https", "headers": headers, "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip


async def mounted(middleware: ConsentMiddleware, kinds: dict[str, list[tuple[bytes, bytes]]]) -> dict[str, int]:
    """Instructions of one request to the middleware, by what it is."""
    told = {}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        return

    page = [(b"content-type", b"text/html"), (b"set-cookie", b"session=1; Path=/"), (b"set-cookie", b"_ga=1; Path=/")]
    cases = {
        "mounted-page-again": (300, b"document", True, page, 4),
        "mounted-part-again": (300, b"style", True, [(b"content-type", b"text/css")], 4),
        "mounted-page-of-somebody-not-seen-before": (400, b"document", True, page, 0),
        "mounted-page-of-a-newcomer": (500, b"document", False, page, 0),
    }
    for name, (first, kind, known_already, kinds["headers"], before) in cases.items():
        scopes = [scope_of(request(number, kind, known=known_already)) for number in range(first, first + 50)]
        for scope in scopes * before:
            await middleware(dict(scope), receive, send)
        counter = Counter()
        for scope in scopes:
            with counter:
                await middleware(dict(scope), receive, send)
        told[name] = round(counter.count / len(scopes))
    return told


def counts(folder: Path) -> dict[str, int]:
    """What everything takes."""
    file = folder / "policy.toml"
    file.write_text(POLICY_OPEN)
    kinds: dict[str, list[tuple[bytes, bytes]]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": kinds["headers"]})
        await send({"type": "http.response.body", "body": b"ok"})

    def gate() -> Gate:
        # No store is opened: what that takes is its own, and no request waits for it.
        made = Gate(load_policy(file), Keyring([KEY]), clock=lambda: DAY * 86_400.0 + 5)
        made.store, made.started = cast(Store, SimpleNamespace(healthy=True)), True
        return made

    middleware = ConsentMiddleware(app, policy=file, keys=[KEY])
    middleware.gate = gate()
    with Path(os.devnull).open("wb") as nowhere:
        logged = asyncio.run(in_the_sidecar(gate(), AccessLog(nowhere.fileno())))
    return {
        **asyncio.run(in_the_sidecar(gate(), AccessLog(None))),
        **logged,
        **asyncio.run(mounted(middleware, kinds)),
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    if sys.gettrace() is not None:
        pytest.skip("somebody else is tracing")
    return counts(tmp_path_factory.mktemp("instructions"))


def test_a_request_takes_what_it_took(measured: dict[str, int]) -> None:
    version, core = f"{sys.version_info[0]}.{sys.version_info[1]}", "pure" if native is None else "native"
    golden = tomllib.loads(GOLDEN.read_text("utf-8")).get(version, {}).get(core)
    if golden is None:
        pytest.skip(f"nobody counted on Python {version} ({core}) yet: {measured}")
    off = {
        name: (count, golden.get(name))
        for name, count in measured.items()
        if abs(count - golden.get(name, 0)) > TOLERANCE * golden.get(name, 0)
    }
    assert off == {}, f"counted and kept in {GOLDEN.name}; where less is taken now, keep that: {measured}"


def test_a_request_that_came_before_takes_a_fraction(measured: dict[str, int]) -> None:
    for where in ("", "mounted-"):
        assert measured[f"{where}page-again"] * 3 < measured[f"{where}page-of-somebody-not-seen-before"]
