"""The stores that the tests are about: one of each kind, and places where several can be opened together."""

from __future__ import annotations

import asyncio
import marshal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consent_mw.world.store import Store, open_store
from consent_mw.world.store.remote import CALLS, RemoteStore, StoreDesk
from tests.postgres import Cluster, a_cluster

KINDS = ("sqlite", "remote", "postgresql")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of this process."""
    with a_cluster() as running:
        yield running


@dataclass
class Place:
    """Where stores are kept: every one that is opened here has the same data."""

    url: str
    remote: bool = False
    opened: list[Store] = field(default_factory=list)

    def open(self, **how: Any) -> Store:
        """One more store on the same data."""
        store = open_store(self.url, **how)
        if self.remote:
            store = FromAfar(store)
        self.opened.append(store)
        return store

    def close(self) -> None:
        """Close them all."""
        for store in self.opened:
            store.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place of each kind."""
    if request.param == "postgresql":
        running: Cluster = request.getfixturevalue("cluster")
        made = Place(running.place())
    else:
        made = Place(f"sqlite:///{tmp_path / 'consent.db'}", remote=request.param == "remote")
    yield made
    made.close()


@pytest.fixture
def store(place: Place) -> Store:
    """An empty store of each kind."""
    return place.open()


class FromAfar:
    """A store as a worker asks for it: over messages that really go through bytes, from a loop of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._remote, self._desk = self._here(self._wire).result(10)

    def _wire(self) -> tuple[RemoteStore, StoreDesk]:
        remote = RemoteStore(lambda message: self._desk.hear(marshal.loads(marshal.dumps(message))[1]))
        return remote, StoreDesk(
            self._store, lambda message: remote.hear(*marshal.loads(marshal.dumps(message))[1:]), lambda: None
        )

    def _here(self, work: Callable[[], Any]) -> Future[Any]:
        answer: Future[Any] = Future()

        def do() -> None:
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001  told to the one who asked
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(do)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name in CALLS and self._loop.is_running():
            return lambda *values, **named: self._ask(name, values, named)
        return getattr(self._remote, name)

    def _ask(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()

        def told(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                answer.set_result(done.result())
            else:
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(lambda: getattr(self._remote, name)(*values, **named).add_done_callback(told))
        return answer

    def close(self) -> None:
        """Close both ends."""
        if not self._loop.is_running():
            return
        self._here(lambda: None).result(10)
        self._remote.close()
        self._store.close()
        self._here(self._remote.lost).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
