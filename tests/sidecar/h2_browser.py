"""A browser that speaks HTTP/2 over a real socket, and may be as rude as it likes."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

Fields = list[tuple[bytes, bytes]]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class Answer:
    """What came on one stream so far. `reset` is the code that broke it off."""

    status: int = 0
    headers: Fields = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    interim: list[Fields] = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    ended: bool = False
    reset: int | None = None


def trusting(*protocols: str) -> ssl.SSLContext:
    """What connects to any certificate, offering these protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


def asking(path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> Fields:
    """The fields of a request."""
    return [(b":method", method), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path), *more]


class Browser:
    """One connection. `goaway` is the code with which the other side ended it; `closed` once nothing more comes."""

    def __init__(self, port: int, *, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[int, Answer] = {}
        self.held: set[int] = set()
        self.goaway: int | None = None
        self.closed = False
        raw = socket.create_connection(("127.0.0.1", port), timeout=8)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname="localhost") if context else raw
        self.h2 = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None)
        )
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what waits."""
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, fields: Fields, body: bytes | None = None, *, ended: bool = True) -> int:
        """Begin a request; with `ended` it is whole with this small body. Gives the stream's number."""
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.h2.send_headers(number, fields, end_stream=ended and body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=ended)
        self.flush()
        return number

    def upload(self, number: int, body: bytes, *, ended: bool = True) -> int:
        """Send a body as windows allow, until it is out or the stream is over. Gives how much was sent."""
        sent = 0
        while sent < len(body) and not self.over(number):
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body) - sent)
            if room:
                self.h2.send_data(number, body[sent : sent + room], end_stream=ended and sent + room == len(body))
                sent += room
                self.flush()
            else:
                self.read()
        return sent

    def over(self, number: int) -> bool:
        """Whether nothing more comes on this stream."""
        answer = self.answers[number]
        return answer.ended or answer.reset is not None or self.closed

    def answer(self, number: int) -> Answer:
        """The whole answer, or what came of it."""
        while not self.over(number):
            self.read()
        return self.answers[number]

    def get(self, path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> Answer:
        """Ask and wait."""
        return self.answer(self.ask(asking(path, *more, method=method)))

    def wait_for_end(self) -> int | None:
        """The code of GOAWAY, once the connection is closed."""
        while not self.closed:
            self.read()
        return self.goaway

    def read(self) -> None:
        """Take what comes next."""
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        try:
            events = self.h2.receive_data(data)
        except ProtocolError:
            # This client ends with the connection's GOAWAY, and reads nothing that follows.
            return
        for event in events:
            self._take(event)
        if self.goaway is None:
            self.flush()

    def _take(self, event: Event) -> None:
        match event:
            case InformationalResponseReceived():
                self.answers[event.stream_id].interim.append([(n, v) for n, v in event.headers])
            case ResponseReceived():
                answer = self.answers[event.stream_id]
                answer.headers = [(n, v) for n, v in event.headers if n != b":status"]
                answer.status = int(dict(event.headers)[b":status"])
            case DataReceived():
                self.answers[event.stream_id].body += event.data
                if event.stream_id not in self.held:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case TrailersReceived():
                self.answers[event.stream_id].trailers = [(n, v) for n, v in event.headers]
            case StreamEnded():
                self.answers[event.stream_id].ended = True
            case StreamReset():
                self.answers[event.stream_id].reset = int(event.error_code)
            case ConnectionTerminated():
                self.goaway = int(event.error_code)


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    """A frame by hand."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", number) + payload
