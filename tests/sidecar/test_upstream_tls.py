"""A site behind TLS: it is asked only if it is who it should be, and its ends are ends only if it says so."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sidecar.certificates import Authority
from tests.sidecar.raw import (
    CLOSE,
    LAST,
    LAST_OK,
    STRANGERS,
    Origin,
    a_sidecar,
    ask,
    connect,
    counted,
    plain,
    read_all,
)

GET = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
DONE = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    """A site with a certificate for `localhost`."""
    made = Origin(context=authority.context("localhost", "127.0.0.1"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports(
    origin: Origin, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """A sidecar that trusts the authority."""
    where, folder = f"https://localhost:{origin.port}", tmp_path_factory.mktemp("trusting")
    env = {"SSL_CERT_FILE": str(authority.file)}
    with a_sidecar(folder, 0, policy=STRANGERS, upstream=where, env=env) as (_, port, admin):
        yield port, admin


def test_a_trusted_site_is_asked_and_its_connection_used_again(port: int, origin: Origin) -> None:
    before = origin.accepted
    raw = b"PUT /x?y HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello"
    assert [plain(ask(port, raw)) for _ in range(5)] == [LAST_OK] * 5
    assert origin.requests == [b"PUT /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"] * 5
    assert origin.accepted == before + 1


def test_much_passes_both_ways(port: int, origin: Origin) -> None:
    body = bytes(range(256)) * (1 << 16)
    origin.say(DONE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert read_all(peer).partition(b"\r\n\r\n")[2] == body
    assert origin.requests[0].partition(b"\r\n\r\n")[2] == body


def test_an_end_that_tls_does_not_tell_of_is_no_end(port: int, origin: Origin) -> None:
    origin.say(DONE + b"\r\npart", close=True)  # the socket ends, and TLS has said nothing of it
    assert plain(ask(port, GET)) == DONE + b"Transfer-Encoding: chunked\r\n" + LAST + b"\r\n4\r\npart\r\n"


def test_an_end_that_tls_tells_of_is_one(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(DONE + b"\r\nwhole")
        assert isinstance(peer, ssl.SSLSocket)
        peer.unwrap()
        raise ConnectionAbortedError

    origin.answer = answer
    expected = DONE + b"Transfer-Encoding: chunked\r\n" + LAST + b"\r\n5\r\nwhole\r\n0\r\n\r\n"
    assert plain(ask(port, GET)) == expected


NOT_TRUSTED = {
    "an unknown authority": (("localhost",), 2, "localhost", False),
    "another name": (("other.example",), 2, "localhost", True),
    "another address": (("localhost",), 2, "127.0.0.1", True),
    "a certificate that has expired": (("localhost",), -1, "localhost", True),
}


def refused(folder: Path, authority: Authority, context: ssl.SSLContext, host: str, *, trusted: bool) -> bytes:
    """What a browser gets where the site shows this; the site must get nothing."""
    origin = Origin(context=context)
    env = {"SSL_CERT_FILE": str(authority.file) if trusted else "/dev/null", "SSL_CERT_DIR": "/nonexistent"}
    where = f"https://{host}:{origin.port}"
    with a_sidecar(folder, 0, policy=STRANGERS, upstream=where, env=env) as (_, port, admin):
        got = ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello")
        assert counted(admin, "consent_mw_upstream_failures_total") == 1
    assert (origin.heads, origin.accepted) == ([], 1)
    origin.close()
    return got


@pytest.mark.parametrize(("names", "days", "host", "trusted"), NOT_TRUSTED.values(), ids=NOT_TRUSTED)
def test_a_site_that_is_not_who_it_should_be_is_not_asked(
    tmp_path: Path, authority: Authority, names: tuple[str, ...], days: int, host: str, trusted: bool
) -> None:
    got = refused(tmp_path, authority, authority.context(*names, days=days), host, trusted=trusted)
    assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"the site behind this proxy" in got


def test_a_certificate_that_is_not_trusted_is_told_of(tmp_path: Path, authority: Authority) -> None:
    got = refused(tmp_path, authority, authority.context("other.example"), "localhost", trusted=True)
    assert b"certificate" in got


def test_a_site_that_speaks_no_tls_is_a_502(tmp_path: Path) -> None:
    got: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            got.append(peer.recv(65_536))
            peer.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        where = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with a_sidecar(tmp_path, 0, policy=STRANGERS, upstream=where) as (_, port, _admin):
            assert ask(port, GET).startswith(b"HTTP/1.1 502 ")
        thread.join(5)
    assert b"GET" not in got[0]
