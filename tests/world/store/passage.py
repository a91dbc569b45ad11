"""A way to a server that is cut at a word: right before the server is told it, or right after it has answered."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType


class Passage:
    """Listens on loopback and passes every connection on to this port."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0
        self._word = b""
        self._when = ""
        self._then: Callable[[], None] = lambda: None
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, word: bytes, when: str, then: Callable[[], None] = lambda: None) -> None:
        """Cut the next connection on which this word is said, `before` it is passed on, or `after` it was answered;
        before the end is seen, `then` is done."""
        self._word, self._when, self._then = word, when, then

    def __enter__(self) -> Passage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to), timeout=10)
                ours.settimeout(30)
                self._sockets += [ours, server]
                threading.Thread(target=self._pass, args=(ours, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, ours, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asking: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if asking and self._word and self._word in data:
                    self._word = b""
                    self.cuts += 1
                    if self._when == "after":
                        self._swallowing = source
                        target.sendall(data)
                        return
                    break
                if not asking and self._swallows(target):
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    _swallowing: socket.socket | None = None

    def _swallows(self, client: socket.socket) -> bool:
        """Whether this answer is the one that is lost."""
        if self._swallowing is not client:
            return False
        self._swallowing = None
        self._then()
        return True
