"""The supervisor from the inside, with workers that are real processes: what becomes of one that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from consent_mw.errors import ServeError
from consent_mw.sidecar import supervisor
from consent_mw.sidecar.configuration import Configuration, configure
from consent_mw.sidecar.settings import Settings
from consent_mw.sidecar.sockets import open_sockets
from consent_mw.sidecar.supervisor import Supervised
from consent_mw.world.upstream import read_upstream
from tests.journeys.site import KEY, POLICY

T = TypeVar("T")


def supervised(folder: Path, work: Callable[[Supervised, Configuration], Awaitable[T]]) -> T:
    """What comes of this work with two workers under a supervisor of this process."""

    async def run() -> T:
        (folder / "policy.toml").write_text(POLICY)
        (folder / "keys").write_text(KEY)
        settings = Settings(
            policy=str(folder / "policy.toml"),
            upstream=read_upstream("http://127.0.0.1:1"),
            store=f"sqlite:///{folder / 'c.db'}",
            keys_file=str(folder / "keys"),
            listen=("127.0.0.1", 0),
            workers=2,
            drain=1.0,
            access_log=False,
        )
        configuration, sockets = configure(settings), open_sockets(settings, ())
        crew = Supervised(settings, configuration, sockets)
        try:
            async with asyncio.timeout(40):
                await crew.start()
                return await work(crew, configuration)
        finally:
            await crew.stop(0.0, asyncio.Event())
            sockets.close()

    return asyncio.run(run())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  what is waited for is another process
            await asyncio.sleep(0.02)


def pids(crew: Supervised) -> list[int]:
    return [one["pid"] for one in crew.members() if isinstance(one["pid"], int)]


def test_a_worker_that_does_not_obey_is_replaced_by_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "OBEYS_WITHIN", 0.5)

    async def work(crew: Supervised, configuration: Configuration) -> list[object]:
        stopped, other = pids(crew)
        os.kill(stopped, signal.SIGSTOP)
        await crew.bypass(True)
        await until(lambda: crew.ready and stopped not in pids(crew))
        counted, now = await crew.counted()
        return [pids(crew)[1] == other, counted["worker_restart"], now["workers"], crew.bypassed]

    assert supervised(tmp_path, work) == [True, 1, 2, True]


def test_a_worker_that_does_not_verify_in_time_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PREPARES_WITHIN", 0.5)
    monkeypatch.setattr(supervisor, "OBEYS_WITHIN", 0.5)

    async def work(crew: Supervised, configuration: Configuration) -> list[object]:
        os.kill(pids(crew)[0], signal.SIGSTOP)
        data = configuration.data.replace(b"2026-01", b"2026-02")
        with pytest.raises(ServeError) as refused:
            await crew.adopt(Configuration.of(data, configuration.file, [KEY.encode()]))
        await until(lambda: crew.ready)
        return [str(refused.value), {one["digest"] for one in crew.members()} == {configuration.policy.digest}]

    assert supervised(tmp_path, work) == ["worker 1: it did not answer within 0 seconds", True]


def test_a_worker_that_falls_silent_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SILENT_FOR", 1.5)

    async def work(crew: Supervised, configuration: Configuration) -> bool:
        stopped = pids(crew)[0]
        os.kill(stopped, signal.SIGSTOP)
        await until(lambda: crew.ready and stopped not in pids(crew))
        return True

    assert supervised(tmp_path, work)


def test_a_worker_that_ends_during_a_reload_comes_back_with_what_is_in_force(tmp_path: Path) -> None:
    async def work(crew: Supervised, configuration: Configuration) -> set[object]:
        data = configuration.data.replace(b"2026-01", b"2026-02")
        later = Configuration.of(data, configuration.file, [KEY.encode()])
        adopting = asyncio.create_task(crew.adopt(later))
        os.kill(pids(crew)[0], signal.SIGKILL)
        await adopting
        await until(lambda: crew.ready)
        return {one["digest"] == later.policy.digest for one in crew.members()}

    assert supervised(tmp_path, work) == {True}
