"""TLS before a real sidecar: both protocols, both versions, another pair without a restart."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.sidecar.certificates import write_pair
from tests.sidecar.h2_browser import PREFACE, Browser, asking, frame, trusting
from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, connect, read_all


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = write_pair(folder, "a.example")
    flags = ("--tls-cert", certificate, "--tls-key", key, "--access-log", "off")
    with a_sidecar(folder, origin.port, *flags) as (_, port, admin):
        yield port, admin


def secured(port: int, *protocols: str) -> ssl.SSLSocket:
    return trusting(*protocols).wrap_socket(connect(port), server_hostname="localhost")


def ask(port: int, raw: bytes, *protocols: str) -> bytes:
    with secured(port, *protocols) as peer:
        peer.sendall(raw)
        return read_all(peer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_browser_speaks_http_2_over_tls(port: int, origin: Origin, version: ssl.TLSVersion) -> None:
    context = trusting("h2", "http/1.1")
    context.minimum_version = context.maximum_version = version
    with Browser(port, context=context) as browser:
        assert browser.socket.selected_alpn_protocol() == "h2"
        assert browser.get().body == b"ok"
    assert b"\r\nX-Forwarded-Proto: https\r\n" in origin.heads[0]


def test_a_large_answer_crosses_tls_whole(port: int, origin: Origin) -> None:
    body = bytes(range(256)) * 20_000
    origin.answer = lambda peer, _: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with Browser(port, context=trusting("h2")) as browser:
        assert browser.get().body == body
    assert ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("protocols", [("http/1.1",), ()], ids=["offered", "nothing offered"])
def test_http_1_is_served_over_tls(port: int, origin: Origin, protocols: tuple[str, ...]) -> None:
    got = ask(port, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n" + CLOSE + b"\r\n", *protocols)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert all(b"\r\nX-Forwarded-Proto: https\r\n" in head for head in origin.heads)


def test_a_browser_that_leaves_ends_the_request_at_the_site(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, _: peer.recv(1) and None
    with secured(port, "http/1.1") as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert origin.gone.wait(5)


def test_a_truncated_answer_is_never_finished_as_if_whole(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, _: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    try:
        got = ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    except ssl.SSLError:
        got = b""
    assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("protocols", [("http/1.1",), ()], ids=["http/1.1", "nothing"])
def test_http_2_is_spoken_over_tls_only_where_it_was_agreed_on(port: int, protocols: tuple[str, ...]) -> None:
    assert ask(port, PREFACE + frame(4, 0, 0), *protocols).startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")


def test_a_browser_that_agreed_on_http_2_speaks_it(port: int) -> None:
    got = ask(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "h2")
    assert b"HTTP/1.1" not in got
    assert got.endswith(frame(7, 0, 0, b"\0\0\0\0\0\0\0\1"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_not_spoken(port: int, version: ssl.TLSVersion) -> None:
    context = trusting("http/1.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(connect(port), server_hostname="localhost")


def test_plain_http_on_a_secure_port_harms_nobody(port: int) -> None:
    with connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not read_all(peer).startswith(b"HTTP/")
    with Browser(port, context=trusting("h2")) as browser:
        assert browser.get().status == 200


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed (Debian: curl)")
@pytest.mark.parametrize(("flag", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_is_served(port: int, origin: Origin, flag: str, version: str) -> None:
    body = b"x" * 3_000_000
    origin.answer = lambda peer, _: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    command = [
        "curl",
        "-sS",
        "--insecure",
        flag,
        "-w",
        "\n%{http_code} %{http_version}",
        f"https://127.0.0.1:{port}/",
    ]
    got = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    assert got == body + b"\n200 " + version.encode()


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed (Debian: nghttp2-client)")
def test_a_crowd_is_served_over_tls(port: int) -> None:
    command = ["h2load", "-n", "2000", "-c", "10", "-m", "10", f"https://127.0.0.1:{port}/"]
    got = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Application protocol: h2\n" in got
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in got


def shown(port: int) -> str:
    """The name in the certificate that a handshake shows."""
    with secured(port, "h2") as peer:
        seen = peer.getpeercert(binary_form=True)
    assert seen is not None
    return str(x509.load_der_x509_certificate(seen).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_another_pair_is_shown_after_a_hangup_and_a_bad_one_is_not(tmp_path: Path, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK)
    old, new = write_pair(tmp_path, "old.example"), write_pair(tmp_path, "new.example")
    flags = ("--tls-cert", old[0], "--tls-key", old[1])
    with (
        a_sidecar(tmp_path, origin.port, *flags) as (process, port, _),
        Browser(port, context=trusting("h2")) as before,
    ):
        assert before.get().status == 200
        for last in (0, 1):
            shutil.copy(new[last], old[last])
            process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 8
            while (tmp_path / "err").read_text().count("reloaded") <= last and time.monotonic() < end:
                time.sleep(0.02)
            assert shown(port) == ("old.example", "new.example")[last]
        # What stood before goes on.
        assert before.answer(before.ask(asking())).status == 200
    assert "--tls-key `" in (tmp_path / "err").read_text()
