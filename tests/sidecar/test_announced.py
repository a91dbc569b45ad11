"""Connections that a load balancer announces, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consent_mw.sidecar import announced
from consent_mw.sidecar.announced import announced_client
from consent_mw.wire.address import Trust
from tests.journeys.site import KEY, POLICY
from tests.sidecar.certificates import write_pair
from tests.sidecar.raw import CLOSE, Origin, a_sidecar, ask, connect, read_all

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


def asked_for(origin: Origin) -> list[bytes]:
    """The X-Forwarded-For of every request that reached the site."""
    return [line for head in origin.heads for line in head.split(b"\r\n") if line.startswith(b"X-Forwarded-For")]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_site_hears_of_the_client_and_not_of_the_balancer(tmp_path: Path, workers: str) -> None:
    origin = Origin()
    flags = ("--proxy-protocol", "127.0.0.0/8", "--workers", workers)
    request = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    with a_sidecar(tmp_path, origin.port, *flags) as (_, port, _admin):
        assert ask(port, HEADER + request).endswith(b"ok")
        assert ask(port, b"PROXY UNKNOWN\r\n" + request).endswith(b"ok")
        assert ask(port, request) == b""
    origin.close()
    assert asked_for(origin) == [b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 127.0.0.1"]


def test_a_header_comes_before_tls(tmp_path: Path) -> None:
    origin = Origin()
    certificate, key = write_pair(tmp_path, "a")
    flags = ("--proxy-protocol", "127.0.0.1", "--tls-cert", certificate, "--tls-key", key)
    with a_sidecar(tmp_path, origin.port, *flags) as (_, port, _admin), connect(port) as raw:
        raw.sendall(HEADER)
        context = ssl.create_default_context(cafile=certificate)
        with context.wrap_socket(raw, server_hostname="localhost") as browser:
            browser.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert read_all(browser).endswith(b"ok")
    origin.close()
    assert asked_for(origin) == [b"X-Forwarded-For: 192.0.2.1"]


def test_a_network_that_is_none_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    flags = ["--policy", "policy.toml", "--upstream", "http://127.0.0.1:9", "--proxy-protocol", "10.0.0.0/33"]
    done = subprocess.run(
        [sys.executable, "-m", "consent_mw.cli", "serve", "--check", "--listen", "127.0.0.1:0", *flags],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "CONSENT_MW_KEYS": KEY},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "--proxy-protocol" in done.stderr
    assert "10.0.0.0/33" in done.stderr
