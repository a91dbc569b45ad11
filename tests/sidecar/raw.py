"""Raw sockets on both ends of a real sidecar: an origin that sends what it is told, and a browser that does."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.journeys.site import KEY, POLICY

Answer = Callable[[socket.socket, bytes], None]
LAST = b"Connection: close\r\n"
CLOSE = b"Host: a\r\n" + LAST
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
STRANGERS = POLICY.replace('trusted = ["127.0.0.0/8"]', "trusted = []")
"""The policy of a site that believes no header about where a visitor is."""

_ADDED = (b"consent-", b"x-forwarded-", b"via:")
_VIA = re.compile(rb"^via: 1\.1 consent_mw\r\n", re.IGNORECASE | re.MULTILINE)


class Origin:
    """A site that answers with raw bytes: `answer` gets the socket and each request head; heads are kept, and so
    are the requests that came whole, without what a proxy adds and with their bodies out of their chunks. `gone` is
    set once a connection has ended that asked since the last `forget`, or was made since."""

    def __init__(self, listener: socket.socket | None = None, context: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self.requests: list[bytes] = []
        self.accepted = 0
        self.answer: Answer = lambda peer, head: peer.sendall(OK)
        self.gone = threading.Event()
        self._context = context
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        where = self._listener.getsockname()
        self.port = where[1] if isinstance(where, tuple) else 0
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Forget what came, and take every request whole before answering it."""
        self.forget()
        self.answer = self.take

    def forget(self) -> None:
        """Forget what came; connections of before that end late say nothing any more."""
        self.heads.clear()
        self.requests.clear()
        self.gone = threading.Event()

    def take(self, peer: socket.socket, head: bytes) -> None:
        """Keep the whole request, then answer it; one that breaks off is neither kept nor answered."""
        self.requests.append(bare(head) + read_body(peer, head))
        peer.sendall(OK)

    def say(self, raw: bytes, *, close: bool = False) -> None:
        """From now on take every request and answer it with these bytes. `close`: then close."""

        def answer(peer: socket.socket, head: bytes) -> None:
            self.requests.append(bare(head) + read_body(peer, head))
            peer.sendall(raw)
            if close:
                drop(peer)

        self.answer = answer

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            peer.settimeout(10)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        gone = self.gone
        with raw:
            try:
                peer = raw if self._context is None else self._context.wrap_socket(raw, server_side=True)
                while head := read_until(peer, b"\r\n\r\n"):
                    gone = self.gone
                    self.heads.append(head)
                    self.answer(peer, head)
            except (OSError, ValueError):  # wrapped sockets that are closed raise the latter
                pass
            gone.set()

    def close(self) -> None:
        """Take no more."""
        self._listener.close()


def read_until(peer: socket.socket, end: bytes) -> bytes:
    """Bytes up to and with this end, one at a time, so that nothing after it is taken."""
    got = b""
    while not got.endswith(end):
        byte = peer.recv(1)
        if not byte:
            return b""
        got += byte
    return got


def drop(peer: socket.socket) -> None:
    """End a connection to the site, unread bytes and all. Raises ConnectionAbortedError, which ends its thread."""
    peer.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def bare(head: bytes) -> bytes:
    """A request head without what the sidecar adds to every request."""
    return b"".join(line for line in head.splitlines(keepends=True) if not line.lower().startswith(_ADDED))


def plain(raw: bytes) -> bytes:
    """What a browser got, without the line by which a proxy names itself."""
    return _VIA.sub(b"", raw)


def read_body(peer: socket.socket, head: bytes) -> bytes:
    """The body that this request head announces, out of its chunks. Raises OSError where it breaks off."""
    length = re.search(rb"\r\ncontent-length: *([0-9]+)\r\n", head, re.IGNORECASE)
    if length is not None:
        return _exactly(peer, int(length[1]))
    body = b""
    while b"\r\ntransfer-encoding: chunked\r\n" in head.lower():
        size = int(_line(peer), 16)
        if not size:
            while _line(peer):
                pass
            break
        body += _exactly(peer, size)
        if _exactly(peer, 2) != b"\r\n":
            raise OSError("a chunk does not end")
    return body


def _exactly(peer: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        chunk = peer.recv(min(size - len(got), 1 << 20))
        if not chunk:
            raise OSError("the body broke off")
        got += chunk
    return bytes(got)


def _line(peer: socket.socket) -> bytes:
    line = read_until(peer, b"\r\n")
    if not line:
        raise OSError("the body broke off")
    return line[:-2]


def read_all(peer: socket.socket) -> bytes:
    """Everything until the end of the connection; a reset ends it too."""
    got = bytearray()
    try:
        while chunk := peer.recv(65_536):
            got += chunk
    except ConnectionResetError:
        pass
    return bytes(got)


@contextmanager
def a_sidecar(
    folder: Path,
    port: int,
    *flags: str,
    stderr: int | None = None,
    policy: str = POLICY,
    upstream: str = "",
    store: str = "",
    env: Mapping[str, str] | None = None,
    constants: Mapping[str, Mapping[str, float]] | None = None,
    drain: str = "3s",
    descriptors: Sequence[int] = (),
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """`consent-mw serve` as a process, with its port and its admin port; what it logs is in `err`. `constants` are
    changed in its modules, `upstream` and `store` take the place of the origin's port and of a file in the folder;
    `descriptors` are handed on."""
    (folder / "policy.toml").write_text(policy)
    command = [sys.executable, "-m", "consent_mw.cli"]
    if constants:
        command = [sys.executable, str(Path(__file__).with_name("launch.py")), json.dumps(constants)]
    command += [
        "serve",
        "--policy",
        str(folder / "policy.toml"),
        "--upstream",
        upstream or f"http://127.0.0.1:{port}",
    ]
    command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--store", store or f"sqlite:///{folder / 'c.db'}", "--drain", drain, *flags]
    with (folder / "err").open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr or errors,
            text=True,
            env={**os.environ, "CONSENT_MW_KEYS": KEY, **(env or {})},
            pass_fds=descriptors,
        )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], 15)[0], "the sidecar did not start"
        ports = re.findall(r"(?:listening on|admin) \S+:(\d+)", process.stdout.readline())
        yield process, int(ports[0]), int(ports[1])
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def operate(admin: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """The status and the JSON that the admin port answers."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    head, _, said = ask(admin, head.encode() + body).decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), json.loads(said) if "json" in head else said


def metric(admin: int, name: str) -> float:
    """One sample of the metrics, by its name and labels as they are written."""
    [line] = [one for one in operate(admin, "GET", "/metrics")[1].splitlines() if one.startswith(name + " ")]
    return float(line.rpartition(" ")[2])


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until this holds; fail where it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def refuses(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def connect(port: int) -> socket.socket:
    """A connection as a browser makes it."""
    return socket.create_connection(("127.0.0.1", port), timeout=8)


def ask(port: int, raw: bytes) -> bytes:
    """Everything that comes back for these bytes until the connection ends."""
    with connect(port) as peer:
        peer.sendall(raw)
        return read_all(peer)


def trickle(port: int, raw: bytes) -> bytes:
    """What comes back where each byte travels alone."""
    with connect(port) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for place in range(len(raw)):
                peer.sendall(raw[place : place + 1])
                time.sleep(0.0003)
        except OSError:
            pass  # refused before its end
        return read_all(peer)


def counted(admin: int, line: str) -> int:
    """What /metrics counts under this name and these labels; 0 where it is not there."""
    text = ask(admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").decode()
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def assert_refused(got: bytes, status: int) -> None:
    """Hold that this is one refusal, whole, and that the connection ended after it."""
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status), got
    lines = [line for line in lines if not line.startswith(b"Allow: ")]
    assert lines == [
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"Connection: close",
    ]
    assert body.count(b"\n") == 1
    assert body.endswith(b"\n")
