"""Raw sockets on both ends of a real sidecar: an origin that sends what it is told, and a browser that does."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.journeys.site import KEY, POLICY

Answer = Callable[[socket.socket, bytes], None]
CLOSE = b"Host: a\r\nConnection: close\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    """A site that answers with raw bytes: `answer` gets the socket and each request head; heads are kept."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.accepted = 0
        self.answer: Answer = lambda peer, head: peer.sendall(OK)
        self.gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            peer.settimeout(10)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                while head := read_until(peer, b"\r\n\r\n"):
                    self.heads.append(head)
                    self.answer(peer, head)
            except OSError:
                pass
            self.gone.set()

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
    folder: Path, port: int, *flags: str, stderr: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """`consent-mw serve` as a process, with its port and its admin port; what it logs is in `err`."""
    (folder / "policy.toml").write_text(POLICY)
    command = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(folder / "policy.toml")]
    command += ["--upstream", f"http://127.0.0.1:{port}", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--store", f"sqlite:///{folder / 'c.db'}", "--drain", "3s", *flags]
    with (folder / "err").open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr or errors,
            text=True,
            env={**os.environ, "CONSENT_MW_KEYS": KEY},
        )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], 15)[0], "the sidecar did not start"
        ports = re.findall(r"://127\.0\.0\.1:(\d+)", process.stdout.readline())
        yield process, int(ports[0]), int(ports[2])
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def connect(port: int) -> socket.socket:
    """A connection as a browser makes it."""
    return socket.create_connection(("127.0.0.1", port), timeout=8)


def ask(port: int, raw: bytes) -> bytes:
    """Everything that comes back for these bytes until the connection ends."""
    with connect(port) as peer:
        peer.sendall(raw)
        return read_all(peer)
