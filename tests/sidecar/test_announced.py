"""Connections that a load balancer announces, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from consent_mw.sidecar import announced
from consent_mw.sidecar.announced import announced_client
from consent_mw.wire.address import Trust

BALANCERS = Trust(("127.0.0.0/8",))
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"


@contextmanager
def a_connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of one TCP connection on loopback; the accepted one does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        browser = socket.create_connection(listening.getsockname())
        peer, _ = listening.accept()
    peer.setblocking(False)
    with browser, peer:
        yield browser, peer


def test_a_balancer_says_for_whom_it_came_and_nothing_else_is_taken() -> None:
    with a_connection() as (browser, peer):
        browser.sendall(HEADER + b"GET / HTTP/1.1\r\n")
        assert asyncio.run(announced_client(peer, BALANCERS)) == "192.0.2.1"
        assert peer.recv(100) == b"GET / HTTP/1.1\r\n"


def test_a_header_may_come_byte_by_byte() -> None:
    async def visit() -> str | None:
        reading = asyncio.create_task(announced_client(peer, BALANCERS))
        for at in range(len(HEADER)):
            browser.sendall(HEADER[at : at + 1])
            await asyncio.sleep(0)
        return await reading

    with a_connection() as (browser, peer):
        assert asyncio.run(visit()) == "192.0.2.1"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PROXY TCP4 x\r\n"], ids=["http", "tls", "bad"]
)
def test_a_balancer_that_announces_nothing_sound_is_not_served(sent: bytes) -> None:
    with a_connection() as (browser, peer):
        browser.sendall(sent)
        assert asyncio.run(announced_client(peer, BALANCERS)) is None


def test_a_balancer_that_leaves_or_says_nothing_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announced, "ANNOUNCED_WITHIN", 0.05)
    with a_connection() as (_, peer):
        assert asyncio.run(announced_client(peer, BALANCERS)) is None
    with a_connection() as (browser, peer):
        browser.close()
        assert asyncio.run(announced_client(peer, BALANCERS)) is None


@pytest.mark.parametrize("balancers", [Trust(), Trust(("10.0.0.0/8",))], ids=["nobody", "others"])
def test_from_everybody_else_nothing_is_read(balancers: Trust) -> None:
    with a_connection() as (browser, peer):
        browser.sendall(HEADER)
        assert asyncio.run(announced_client(peer, balancers)) == ""
        assert peer.recv(100) == HEADER
