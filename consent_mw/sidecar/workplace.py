"""A workplace: where one worker after the other works, as the supervisor sees it.

Rule: what a worker was told and has not done when it ends is answered: it ended.
Rule: what the workers of a place have counted is never less than it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from consent_mw.core.account import Told
from consent_mw.sidecar.channel import Channel, Message
from consent_mw.sidecar.configuration import Configuration
from consent_mw.sidecar.scales import Scales
from consent_mw.sidecar.settings import Settings
from consent_mw.world.store import Store
from consent_mw.world.store.remote import StoreDesk


class Workplace:
    """One place. `up`: its worker takes requests; `there`: it can be told something; `ended` is set when no worker
    is there, and `code` is what the last one ended with."""

    def __init__(
        self, number: int, settings: Settings, store: Store, queued: Callable[[], None], scales: Scales
    ) -> None:
        self.number = number
        self.pid = 0
        self.code: int | None = None
        self.digest = ""
        self.up = False
        self.now: Mapping[str, float] = {}
        self.ended = asyncio.Event()
        self.ended.set()
        self._settings = settings
        self._store = store
        self._queued = queued
        self._scales = scales
        self._channel: Channel | None = None
        self._desk: StoreDesk | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._starting: asyncio.Future[str] | None = None
        self._asked = 0
        self._totals: Mapping[str, float] = {}
        self._before: Counter[str] = Counter()
        self._heard_at = 0.0

    @property
    def there(self) -> bool:
        """Whether a worker is there, perhaps still starting."""
        return self._channel is not None

    @property
    def silent(self) -> float:
        """Seconds since the worker was last heard of."""
        return asyncio.get_running_loop().time() - self._heard_at

    def counted(self) -> Counter[str]:
        """What the workers of this place have counted, the present one included."""
        return self._before + Counter(self._totals)

    async def occupy(
        self,
        configuration: Configuration,
        bypassed: bool,
        sockets: Sequence[socket.socket],
        environment: Mapping[str, str],
    ) -> None:
        """Start a worker here; see `started`."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        descriptors = [one.fileno() for one in sockets]
        with theirs:
            ours.setblocking(False)
            # Not the loop's own way, which with uvloop leaves descriptors open that are no worker's business.
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  our own command; takes a millisecond
                _command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._scales.descriptor, *descriptors),
                env=dict(environment),
            )
        self.pid = self._process.pid
        self.code = None
        self.ended.clear()
        threading.Thread(target=self._wait, args=(self._process, loop), daemon=True).start()
        self._starting = loop.create_future()
        self._heard_at = loop.time()
        self._channel = await Channel.over(ours, self._heard, self._lost)
        self._desk = StoreDesk(self._store, self._channel.send, self._queued)
        settings = pickle.dumps(replace(self._settings, admin_token=""))
        keys = list(configuration.keyring.keys)
        place = (self._scales.descriptor, self.number - 1)
        self.send("begin", settings, configuration.data, configuration.file, keys, bypassed, descriptors, place)

    async def started(self) -> str:
        """Wait until the worker takes requests; nothing, or why it does not."""
        return await self._starting if self._starting is not None else "nobody was sent for"

    def send(self, kind: str, *rest: Any) -> None:
        """Tell the worker something; where none is there, nobody."""
        if self._channel is not None:
            self._channel.send((kind, *rest))

    async def ask(self, seconds: float, kind: str, *rest: Any) -> str:
        """Have the worker do something; nothing, or why it was not done. One that ended has nothing left to do."""
        try:
            return str(await self._answer(seconds, kind, *rest) or "")
        except TimeoutError:
            return f"it did not answer within {seconds:.0f} seconds"

    async def explain(self, seconds: float, request: str) -> Told | None:
        """What the worker remembers of this request, if it does; one that ended remembers none. Raises
        TimeoutError."""
        told: Told | None = await self._answer(seconds, "explain", request)
        return told

    async def _answer(self, seconds: float, kind: str, *rest: Any) -> Any:
        """What the worker answers; None where it ends instead."""
        if self._channel is None:
            return None
        self._asked += 1
        number = self._asked
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send(kind, number, *rest)
        try:
            return await asyncio.wait_for(answer, seconds)
        finally:
            self._waiting.pop(number, None)

    def tell_health(self) -> None:
        """Tell the worker of a store that failed or recovered."""
        if self._desk is not None and self._channel is not None:
            self._desk.tell()

    def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None:
            self._process.kill()

    def _heard(self, message: Message) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        kind, *rest = message
        if kind == "ask" and self._desk is not None:
            self._desk.hear(rest[0])
        elif kind == "counts":
            self._totals, self.now = rest
        elif kind == "done":
            number, why, self.digest = rest
            self._settle(number, why)
        elif kind == "told":
            self._settle(*rest)
        elif kind == "up":
            self.digest = rest[0]
            self.up = True
            self._settle_start("")
        elif kind == "failed":
            self._settle_start(rest[0])

    def _settle(self, number: int, answered: Any) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(answered)

    def _settle_start(self, why: str) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.set_result(why)

    def _lost(self) -> None:
        """The worker has closed its channel, or is gone."""
        self._channel = None
        self.up = False
        self._scales.leave(self.number - 1)
        if self.code is not None:
            self.ended.set()
        self._before.update(self._totals)
        self._totals, self.now = {}, {}
        self._settle_start("it ended")
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)

    def _wait(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the end of the process, in a thread of its own."""
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended as well
            loop.call_soon_threadsafe(self._gone, code)

    def _gone(self, code: int) -> None:
        """The process has ended; what it sent before that is still heard, as the channel tells its own end."""
        self.code = code
        if self._channel is None:
            self.ended.set()


def _command(descriptor: int) -> list[str]:
    """How a worker is started: with this interpreter, and with the same idea of where modules are."""
    here = {"", str(Path.cwd())}
    flags = [] if sys.path and sys.path[0] in here else ["-P"]
    return [sys.executable, *flags, "-m", "consent_mw.sidecar.worker", str(descriptor)]
