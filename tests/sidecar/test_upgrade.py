"""WebSockets through the sidecar, by a real client and a real server; other upgrades over raw sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from tests.sidecar.raw import (
    CLOSE,
    LAST,
    LAST_OK,
    STRANGERS,
    Origin,
    a_sidecar,
    ask,
    connect,
    plain,
    read_all,
    read_until,
)

LARGEST = 32 << 20
SPOKEN = [Subprotocol("chat.v2"), Subprotocol("chat.v1")]


class Site:
    """A server of WebSockets: echoes, and does what a few words tell it; keeps the handshakes and the ends."""

    def __init__(self) -> None:
        self.handshakes: list[Request] = []
        self.ended = threading.Event()
        self.code = 0
        self.server: Server = serve(
            self.converse,
            "127.0.0.1",
            0,
            subprotocols=SPOKEN,
            process_request=self.greet,
            process_response=self.dress,
            max_size=LARGEST,
        )
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        return connection.respond(403, "not for you\n") if request.path == "/refused" else None

    def dress(self, connection: ServerConnection, request: Request, response: Response) -> None:
        for line in ("session=s1; Path=/", "_ga=g1; Path=/", "odd=o1"):
            response.headers["Set-Cookie"] = line

    def converse(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                if message == "go":
                    connection.close(4001, "as you wish")
                    break
                connection.send(message)
        finally:
            self.code = connection.protocol.close_code or 0
            self.ended.set()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def address(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sidecar(tmp_path_factory.mktemp("websockets"), site.port, policy=STRANGERS) as (_, port, _admin):
        yield f"ws://127.0.0.1:{port}"


@pytest.fixture
def opened(address: str, site: Site) -> Iterator[ClientConnection]:
    """A WebSocket as a browser opens one."""
    site.handshakes.clear()
    site.ended.clear()
    sent = {"Cookie": "session=s; _ga=g; odd=1", "Consent-Allows": "analytics"}
    with open_websocket(
        f"{address}/ws?a=%20b", additional_headers=sent, subprotocols=SPOKEN[1:], max_size=LARGEST, proxy=None
    ) as connection:
        yield connection
    assert site.ended.wait(5)


MESSAGES = {
    "text": "Grüße",
    "bytes": bytes(range(256)),
    "empty": "",
    "larger than a frame's short length": "a" * 70_000,
    "very large": bytes(range(256)) * (1 << 15),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_passes_both_ways(opened: ClientConnection, message: str | bytes) -> None:
    opened.send(message)
    assert opened.recv(10) == message


def test_messages_keep_their_order(opened: ClientConnection) -> None:
    sent = [f"{number}" * (number % 50) for number in range(2000)]
    sender = threading.Thread(target=lambda: [opened.send(one) for one in sent], daemon=True)
    sender.start()
    assert [opened.recv(10) for _ in sent] == sent
    sender.join(5)


def test_fragments_pass_as_one_message(opened: ClientConnection) -> None:
    opened.send(["a", "b" * 1000, "c"])
    assert opened.recv(10) == "a" + "b" * 1000 + "c"


def test_a_ping_is_answered_by_the_site(opened: ClientConnection) -> None:
    assert opened.ping(b"are you there").wait(5)


def test_the_sites_code_and_reason_reach_the_browser(opened: ClientConnection, site: Site) -> None:
    opened.send("go")
    with pytest.raises(ConnectionClosedError) as told:
        opened.recv(5)
    assert told.value.rcvd is not None
    assert (told.value.rcvd.code, told.value.rcvd.reason) == (4001, "as you wish")


def test_the_browsers_code_reaches_the_site(opened: ClientConnection, site: Site) -> None:
    opened.close(3000, "enough")
    assert site.ended.wait(5)
    assert site.code == 3000
    with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
        opened.recv(5)


def test_a_browser_that_vanishes_is_gone_for_the_site_too(opened: ClientConnection, site: Site) -> None:
    opened.socket.shutdown(socket.SHUT_RDWR)
    assert site.ended.wait(5)
    assert site.code == 1006


def test_extensions_and_subprotocol_are_agreed_end_to_end(opened: ClientConnection, site: Site) -> None:
    assert [one.name for one in opened.protocol.extensions] == ["permessage-deflate"]
    assert opened.subprotocol == "chat.v1"
    assert "permessage-deflate" in site.handshakes[0].headers["Sec-WebSocket-Extensions"]


def test_a_handshake_arrives_with_permitted_cookies_and_the_decision(opened: ClientConnection, site: Site) -> None:
    [asked] = site.handshakes
    names = [name.lower() for name, _ in asked.headers.raw_items()]
    assert asked.path == "/ws?a=%20b"
    assert asked.headers.get_all("Cookie") == ["session=s"]
    assert asked.headers.get_all("Consent-Allows") == ["essential"]
    assert asked.headers.get_all("Connection") == ["Upgrade"]
    assert asked.headers.get_all("Upgrade") == ["websocket"]
    assert sorted(name for name in names if name.startswith("sec-websocket")) == [
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    ]


def test_a_handshakes_answer_sets_permitted_cookies_only(opened: ClientConnection) -> None:
    assert opened.response is not None
    assert opened.response.headers.get_all("Set-Cookie") == ["session=s1; Path=/"]


def test_a_refused_handshake_keeps_its_status_and_body(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused, open_websocket(f"{address}/refused", proxy=None):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not for you\n"


# over raw sockets


ASKED = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n"


def test_what_is_sent_ahead_reaches_the_site_after_its_yes(port: int, origin: Origin) -> None:
    ahead: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        peer.settimeout(0.2)
        try:
            ahead.append(peer.recv(100))
        except TimeoutError:
            peer.settimeout(5)
        peer.sendall(SWITCHED)
        peer.sendall(peer.recv(5)[::-1])
        raise ConnectionAbortedError

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(ASKED + b"hello")
        assert plain(read_all(peer)) == SWITCHED + b"olleh"
    assert ahead == []


NOT_ASKED = {
    # what no answer may switch: the request goes on without its wish
    "http/2": b"GET / HTTP/1.1\r\n" + CLOSE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: x\r\n\r\n",
    "http/2 among others": b"GET / HTTP/1.1\r\n" + CLOSE + b"Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n",
    "without a connection option": b"GET / HTTP/1.1\r\n" + CLOSE + b"Upgrade: websocket\r\n\r\n",
    "without a protocol": b"GET / HTTP/1.1\r\n" + CLOSE + b"Connection: Upgrade\r\n\r\n",
    "in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("raw", NOT_ASKED.values(), ids=NOT_ASKED)
def test_an_upgrade_that_cannot_be_is_asked_as_a_plain_request(port: int, origin: Origin, raw: bytes) -> None:
    assert plain(ask(port, raw)) == LAST_OK
    assert origin.requests == [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]


def test_an_upgrade_with_a_body_is_asked_as_a_plain_request(port: int, origin: Origin) -> None:
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: Upgrade, close\r\nUpgrade: x\r\n\r\nhello"
    assert plain(ask(port, raw)) == LAST_OK
    assert origin.requests == [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"]


@pytest.mark.parametrize("status", [200, 204, 304, 400, 403, 426, 500, 503])
def test_after_a_no_nothing_that_was_sent_ahead_is_a_request(port: int, origin: Origin, status: int) -> None:
    bodiless = status in (204, 304)
    fields = b"" if bodiless else b"Content-Length: 2\r\n"
    body = b"" if bodiless else b"no"
    origin.say(b"HTTP/1.1 %d No\r\n" % status + fields + b"\r\n" + body)
    got = plain(ask(port, ASKED + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert got == b"HTTP/1.1 %d No\r\n" % status + fields + LAST + b"\r\n" + body
    assert [head.split(b" ")[1] for head in origin.heads] == [b"/ws"]


def test_the_last_that_the_site_says_arrives(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(SWITCHED + b"last words")
        peer.shutdown(socket.SHUT_WR)
        raise ConnectionAbortedError

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(ASKED)
        assert plain(read_all(peer)) == SWITCHED + b"last words"


@pytest.mark.parametrize("size", [10, 4 << 20])
def test_the_last_that_the_browser_says_arrives(port: int, origin: Origin, size: int) -> None:
    heard = bytearray()

    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(SWITCHED)
        while data := peer.recv(65_536):
            heard.extend(data)
        raise ConnectionAbortedError

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(ASKED)
        read_until(peer, b"\r\n\r\n")
        peer.sendall(b"w" * size)
        peer.shutdown(socket.SHUT_WR)
        read_all(peer)
    assert origin.gone.wait(5)
    assert len(heard) == size
