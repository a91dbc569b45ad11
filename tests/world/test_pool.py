"""The pool of connections to the upstream, against a real listener."""

from __future__ import annotations

import asyncio

import pytest

from consent_mw.world.upstream import Connection, Pool, Upstream, pool


def test_at_the_bound_requests_wait_in_order_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_OPEN", 2)
    accepted = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        await reader.read()
        writer.close()

    async def visit() -> tuple[Connection, Connection, Connection, bool]:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        pool = Pool(Upstream("127.0.0.1", server.sockets[0].getsockname()[1]))
        first, second = await pool.connect(), await pool.connect()
        third, fourth = asyncio.create_task(pool.connect()), asyncio.create_task(pool.connect())
        await asyncio.sleep(0.05)
        waited = not third.done() and not fourth.done()
        pool.give_back(first)
        again = await third
        second.close()
        fresh = await fourth
        for one in (again, fresh):
            one.close()
        await asyncio.sleep(0.05)
        server.close()
        return first, again, fresh, waited

    first, again, fresh, waited = asyncio.run(visit())
    assert waited
    assert again is first
    assert fresh is not first
    assert accepted == 3


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_OPEN", 0)
    monkeypatch.setattr(pool, "CONNECT_WITHIN", 0.05)
    with pytest.raises(TimeoutError):
        asyncio.run(Pool(Upstream("127.0.0.1", 9)).connect())


def test_a_refused_connection_makes_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_OPEN", 1)

    async def visit() -> None:
        pool = Pool(Upstream("127.0.0.1", 1))
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await pool.connect()

    asyncio.run(visit())


def test_a_request_given_up_at_any_moment_is_counted_out_once() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def visit() -> list[int]:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        pool = Pool(Upstream("127.0.0.1", server.sockets[0].getsockname()[1]))
        left = []
        for turns in range(12):
            asking = asyncio.create_task(pool.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            [got] = await asyncio.gather(asking, return_exceptions=True)
            if isinstance(got, Connection):
                got.close()
            await asyncio.sleep(0.02)
            left.append(pool._open)
        server.close()
        return left

    assert asyncio.run(visit()) == [0] * 12
