"""A worker: one process that serves browsers for another one, which keeps the store, delivers and is told what to do.

Rule: everything it needs to know comes over its channel, so that nothing secret stands in its arguments.
Rule: only its channel tells it to end; where that is gone it drains and ends, so that none is left behind.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from consent_mw.asgi.gate import Gate
from consent_mw.errors import ConsentError
from consent_mw.sidecar.channel import Channel, Message
from consent_mw.sidecar.configuration import Configuration
from consent_mw.sidecar.front import Front
from consent_mw.sidecar.loop import new_runner
from consent_mw.sidecar.scales import Scales, Share
from consent_mw.sidecar.settings import Settings
from consent_mw.world.store.remote import RemoteStore

TELLS_EVERY = 1.0
"""Seconds between two reports of what was counted, which also show that the worker lives."""


class Worker:
    """One worker, from its first message to its last connection."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._hurry = asyncio.Event()
        self._ended = asyncio.Event()
        self._alone = False
        self._prepared: Callable[[], None] | None = None
        self._digest = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, descriptor: int) -> None:
        """Serve until told to end, or until nobody is there to tell."""
        self._channel = await Channel.over(socket.socket(fileno=descriptor), self._heard, self._lost)
        self._store = RemoteStore(self._channel.send)
        kind, *rest = await self._inbox.get()
        if kind != "begin":
            return
        try:
            await self._begin(*rest)
        except (ConsentError, OSError) as error:
            self._channel.send(("failed", str(error)))
            self._channel.close()
            return
        hearing = asyncio.create_task(self._hear_all())
        await self._ended.wait()
        hearing.cancel()
        await self._front.close()
        await self._gate.stop(0.0)
        self._tell_counts()
        self._channel.close()

    def _heard(self, message: Message) -> None:
        if message[0] == "answers":
            self._store.hear(*message[1:])
        elif message[0] == "hurry":
            self._hurry.set()
        else:
            self._inbox.put_nowait(message)

    def _lost(self) -> None:
        self._store.lost()
        self._alone = True
        self._inbox.put_nowait(("drain",))

    async def _begin(
        self,
        settings: bytes,
        data: bytes,
        file: str,
        keys: list[bytes],
        bypassed: bool,
        descriptors: list[int],
        place: tuple[int, int],
    ) -> None:
        self._settings: Settings = pickle.loads(settings)  # noqa: S301  from the process that started this one
        configuration = Configuration.of(data, file, keys)
        self._digest = configuration.policy.digest
        self._gate = Gate(configuration.policy, configuration.keyring, store=self._store)
        self._gate.bypassed = bypassed
        await self._gate.start()
        sockets = [socket.socket(fileno=one) for one in descriptors]
        self._front = Front(self._settings, self._gate, sockets, Share(Scales(place[0]), place[1]))
        await self._front.open()
        self._channel.send(("up", self._digest))
        self._tasks.append(asyncio.create_task(self._tell()))

    async def _hear_all(self) -> None:
        while True:
            kind, *rest = await self._inbox.get()
            if kind == "drain":
                self._tasks.append(asyncio.create_task(self._drain()))
                continue
            number = rest[0]
            if kind == "explain":
                self._channel.send(("told", number, self._front.explain(rest[1])))
                continue
            try:
                error = await self._obey(kind, *rest[1:])
            except (ConsentError, OSError) as problem:
                error = str(problem)
            self._channel.send(("done", number, error, self._digest))

    async def _obey(self, kind: str, *rest: Any) -> str:
        """Do what is asked; nothing, or why it could not be done."""
        match kind:
            case "prepare":
                configuration = await asyncio.to_thread(Configuration.of, *rest)
                self._prepared = await asyncio.to_thread(self._front.prepare, configuration)
            case "commit" if self._prepared is not None:
                self._prepared()
                self._prepared = None
                self._digest = self._gate.policy.digest
            case "abandon":
                self._prepared = None
            case "bypass":
                self._gate.bypassed = rest[0]
            case "count":
                self._tell_counts()
            case _:
                return f"`{kind}` is not understood now"
        return ""

    async def _drain(self) -> None:
        settings = self._settings
        warning = 0.0 if self._alone else settings.warning
        await self._front.drain(settings.drain - settings.warning, warning, self._hurry)
        self._ended.set()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELLS_EVERY)
            self._tell_counts()

    def _tell_counts(self) -> None:
        sound = not self._gate.locator.problems
        now = {"connections": len(self._front.plane.connections), "sound": int(sound)}
        self._channel.send(("counts", self._front.totals(), now))


def main() -> None:
    """Serve over the channel whose descriptor is the argument."""
    # A terminal and systemd signal the whole group; the first process alone decides what that means.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with new_runner() as runner:
        runner.run(Worker().run(int(sys.argv[1])))


if __name__ == "__main__":
    main()
