"""Announced connections: those whose balancer says, before their first byte, for whom it opened them.

Rule: only peers that are named are believed, and they must announce; from everybody else nothing is read.
Rule: exactly the header is taken from the socket, so that TLS or a request begins where it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from consent_mw.wire.address import Trust, read_address
from consent_mw.wire.proxy_protocol import LONGEST_V2, read_proxy_header

ANNOUNCED_WITHIN = 5.0
"""Seconds that a balancer has for its header."""

LOOKS_AGAIN_AFTER = 0.005
"""Seconds between two looks at a header that came in part; twice as many after each."""


async def announced_client(peer: socket.socket, balancers: Trust) -> str | None:
    """The address of the client behind this accepted, non-blocking socket; empty where it is the peer itself.

    None where the connection must be closed: a balancer announced nothing, or nothing sound.
    """
    if not _is_named(peer, balancers):
        return ""
    try:
        async with asyncio.timeout(ANNOUNCED_WITHIN):
            return await _read(peer)
    except (OSError, ValueError, TimeoutError):
        return None


def _is_named(peer: socket.socket, balancers: Trust) -> bool:
    if not balancers:
        return False
    if peer.family == socket.AF_UNIX:
        return True
    try:
        name = peer.getpeername()
    except OSError:
        return False
    return read_address(str(name[0])) in balancers


async def _read(peer: socket.socket) -> str:
    before, pause = b"", LOOKS_AGAIN_AFTER
    while True:
        data = await _peek(peer)
        if not data:
            raise OSError("it closed the connection")
        found = read_proxy_header(data)
        if found is not None:
            left = found.size
            while left:
                left -= len(peer.recv(left))
            return found.address
        if data == before:
            # What was looked at stays readable, so that the loop would tell of it again at once.
            await asyncio.sleep(pause)
            pause *= 2
        before = data


async def _peek(peer: socket.socket) -> bytes:
    """What stands in the socket, once something does; it stays there."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(peer.fileno(), wake)
    try:
        await readable
    finally:
        loop.remove_reader(peer.fileno())
    with contextlib.suppress(BlockingIOError):
        return peer.recv(LONGEST_V2, socket.MSG_PEEK)
    return await _peek(peer)
