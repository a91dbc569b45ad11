"""Vendors on loopback that are as strict as their documentation: a real HTTP server, and one file of rules a kind.

Rule: what breaks a documented limit is a complaint and is not taken, whatever the vendor answers to it.
Rule: a scripted fault comes after the vendor did its work, as a hanging or reset answer does.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        found = [value for one, value in self.headers if one == name]
        holds(len(found) <= 1, f"{name} stands there twice")
        return found[0] if found else ""

    @property
    def json(self) -> Any:
        holds(self.header("content-type").split(";")[0] in ("application/json", "text/plain"), "it is not JSON")
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Fault:
    """What is answered instead, before the vendor looks at the request (`after` false) or after it took it."""

    how: str = ""
    reply: Reply = Reply()
    after: bool = False


HANG = Fault("hang", after=True)
RESET = Fault("reset", after=True)
SLOW_DOWN = Fault(reply=Reply(429, headers=(("retry-after", "1"),)))


class BrokenError(Exception):
    """A documented limit is broken; `reply` is what the vendor then answers."""

    def __init__(self, why: str, reply: Reply | None = None) -> None:
        super().__init__(why)
        self.reply = reply


def holds(condition: object, why: str) -> None:
    """Complain unless the condition holds."""
    if not condition:
        raise BrokenError(why)


class Rules(Protocol):
    """What one kind of vendor takes. `taken` are the events it counted, one text each."""

    taken: list[str]
    refusal: Reply

    def take(self, request: Received) -> Reply: ...


@dataclass
class Simulator:
    """A vendor: its rules, the faults to come, and what happened."""

    rules: Rules
    faults: list[Fault] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    url: str = ""
    guard: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Received) -> Fault:
        with self.guard:
            self.received.append(request)
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None and not fault.after:
                return fault
            reply = self._judged(request)
            return fault or Fault(reply=reply)

    def _judged(self, request: Received) -> Reply:
        try:
            return self.rules.take(request)
        except BrokenError as broken:
            self.complaints.append(str(broken))
            return broken.reply or self.rules.refusal
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self.complaints.append(f"{type(error).__name__}: {error}")
            return self.rules.refusal


@contextlib.contextmanager
def serving(rules: Rules, *faults: Fault) -> Iterator[Simulator]:
    """A simulator of these rules, on a port that the kernel chose."""
    simulator = Simulator(rules, list(faults))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            target = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            query = parse_qsl(target.query, keep_blank_values=True)
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            fault = simulator.answer(Received("POST", target.path, query, headers, body))
            if fault.how == "hang":
                simulator.over.wait(20)
            if fault.how:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(fault.reply.status)
            for name, value in fault.reply.headers:
                self.send_header(name, value)
            if fault.reply.status != 204:
                self.send_header("content-length", str(len(fault.reply.body)))
            self.end_headers()
            self.wfile.write(fault.reply.body)

        def do_GET(self) -> None:
            simulator.complaints.append("a GET came")
            self.send_error(405)

        def log_message(self, *_: object) -> None:
            pass

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        simulator.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield simulator
        finally:
            simulator.over.set()
            server.shutdown()
            thread.join()


def once(taken: list[str], key: str) -> None:
    """Take what de-duplicates by this key."""
    if key not in taken:
        taken.append(key)
