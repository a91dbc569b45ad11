"""The sidecar over raw sockets: what it forwards, what it refuses, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.site import KEY, POLICY
from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, ask, connect, read_all, read_until, refuses, until


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with a_sidecar(tmp_path_factory.mktemp("sidecar"), origin.port) as (_, port, admin):
        yield port, admin


def test_a_request_keeps_its_target_order_case_and_duplicates(port: int, origin: Origin) -> None:
    fields = b"X-Dup: 1\r\nx-dup: 2\r\nCookie: session=s; _ga=g\r\nX-Gone: 1\r\nConnection: x-gone, cookie\r\n"
    ask(
        port, b"GET /a/../b%2f//c?x=%20&&e HTTP/1.1\r\nHost: Site.Example\r\n" + fields + b"Connection: close\r\n\r\n"
    )
    lines = origin.heads[0].split(b"\r\n")
    ours = [line for line in lines if line.startswith(b"consent-")]
    assert len(ours) == 3
    assert [line for line in lines if line not in ours] == [
        b"GET /a/../b%2f//c?x=%20&&e HTTP/1.1", b"Host: Site.Example", b"X-Dup: 1", b"x-dup: 2",
        b"Cookie: session=s", b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: Site.Example", b"Via: 1.1 consent_mw", b"", b"",
    ]  # fmt: skip


def test_a_chunked_body_arrives_whole_with_its_trailers(port: int, origin: Origin) -> None:
    got: list[bytes] = []

    def answer(peer: socket.socket, head: bytes) -> None:
        got.append(read_until(peer, b"0\r\n") + read_until(peer, b"\r\n\r\n"))
        peer.sendall(OK)

    origin.answer = answer
    forbidden = b"Cookie: _ga=1\r\nconsent-visitor: x\r\nContent-Length: 5\r\nAuthorization: x\r\n"
    body = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n" + forbidden + b"\r\n"
    assert ask(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + body).endswith(b"ok")
    body, trailers = got[0].split(b"0\r\n", 1)
    assert re.sub(rb"[0-9a-f]+\r\n(.*?)\r\n", rb"\1", body) == b"abcde"
    assert trailers == b"X-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize(("te", "trailers"), [(b"", b""), (b"TE: trailers\r\n", b"X-Sum: 1\r\n")], ids=["no", "yes"])
def test_trailers_of_an_answer_reach_who_asked_for_them(
    port: int, origin: Origin, te: bytes, trailers: bytes
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    origin.answer = lambda peer, head: peer.sendall(chunked + b"X-Sum: 1\r\nSet-Cookie: _ga=1\r\n\r\n")
    got = ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + te + b"\r\n")
    assert got.partition(b"\r\n\r\n")[2] == b"2\r\nok\r\n0\r\n" + trailers + b"\r\n"


def test_an_answer_that_ends_with_its_connection_is_chunked(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nwhole")
        peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    got = ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert b"Transfer-Encoding: chunked" in got
    assert got.endswith(b"5\r\nwhole\r\n0\r\n\r\n")


def test_what_follows_an_answer_reaches_no_other_visitor(port: int, origin: Origin) -> None:
    poison = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=evil\r\nContent-Length: 6\r\n\r\npoison"
    origin.answer = lambda peer, head: peer.sendall(OK + poison)
    raw = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n" + CLOSE + b"\r\n"
    assert b"evil" not in ask(port, raw) + ask(port, b"GET /3 HTTP/1.1\r\n" + CLOSE + b"\r\n")


def test_connections_are_used_again_and_carry_no_cookie_over(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK[:17] + b"Set-Cookie: session=first\r\n" + OK[17:])
    ask(port, b"GET /1 HTTP/1.1\r\n" + CLOSE + b"\r\n")
    before = origin.accepted
    ask(port, b"GET /2 HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert origin.accepted == before
    assert b"cookie" not in origin.heads[1].lower()


def test_an_early_answer_arrives_and_ends_the_connection(port: int, origin: Origin) -> None:
    origin.answer = lambda peer, head: peer.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig")
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        got = read_all(peer)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b"big")


def test_interim_answers_are_handed_on(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert peer.recv(5) == b"hello"
        peer.sendall(OK)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert read_until(peer, b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert read_until(peer, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"hello")
        assert read_all(peer).endswith(b"ok")


def test_server_sent_events_are_flushed_and_given_up_with_the_browser(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        assert peer.recv(1) == b""

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"GET /sse HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(peer, b"data: 1\n\n")
    assert origin.gone.wait(5)


def test_a_websocket_is_a_tunnel_both_ways(port: int, origin: Origin) -> None:
    def answer(peer: socket.socket, head: bytes) -> None:
        peer.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
        peer.sendall(peer.recv(4)[::-1])
        peer.shutdown(socket.SHUT_RDWR)

    origin.answer = answer
    with connect(port) as peer:
        peer.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\0abc")
        got = read_all(peer)
    assert got.startswith(b"HTTP/1.1 101 ")
    assert got.endswith(b"\r\n\r\nhicba\0")


def rss(process: subprocess.Popen[str]) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_large_bodies_take_no_memory_when_the_other_side_is_slow(tmp_path: Path) -> None:
    size, stalled, origin = 64 << 20, threading.Event(), Origin()

    def answer(peer: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET"):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            peer.sendall(bytes(size))
            return
        stalled.wait(5)
        left = size
        while left:
            left -= len(peer.recv(min(left, 1 << 20)))
        peer.sendall(OK)

    origin.answer = answer
    with a_sidecar(tmp_path, origin.port) as (process, port, _):
        ask(port, b"GET /_consent/state HTTP/1.1\r\n" + CLOSE + b"\r\n")
        before = rss(process)
        with connect(port) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            time.sleep(0.5)
            assert rss(process) - before < 16 << 20
            assert len(read_all(peer).partition(b"\r\n\r\n")[2]) == size
        with connect(port) as peer:
            peer.sendall(b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % size)
            sender = threading.Thread(target=peer.sendall, args=(bytes(size),), daemon=True)
            sender.start()
            time.sleep(0.5)
            assert rss(process) - before < 16 << 20
            stalled.set()
            assert read_all(peer).endswith(b"ok")
            sender.join(5)
    origin.close()


def test_a_dead_upstream_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()[1]
    with a_sidecar(tmp_path, dead) as (_, port, admin):
        assert ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").startswith(b"HTTP/1.1 502 ")
        assert b"pong" in ask(admin, b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ask(admin, b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        assert b"consent_mw_requests_total 1" in ask(admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_policy_that_fails_to_load_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    origin = Origin()
    with a_sidecar(tmp_path, origin.port) as (process, _, admin):
        (tmp_path / "policy.toml").write_text(POLICY.replace("2026-01", "2026-02"))
        process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 5
        while b"2026-02" not in ask(admin, b"GET /policy HTTP/1.1\r\nHost: a\r\n\r\n") and time.monotonic() < end:
            time.sleep(0.05)
        (tmp_path / "policy.toml").write_text("schema = 9")
        reload = ask(admin, b"POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert reload.startswith(b"HTTP/1.1 409 ")
        assert b"2026-02" in ask(admin, b"GET /policy HTTP/1.1\r\nHost: a\r\n\r\n")
    origin.close()


def test_draining_lets_a_request_end_and_exits_with_zero(tmp_path: Path) -> None:
    origin, begun = Origin(), threading.Event()

    def answer(peer: socket.socket, head: bytes) -> None:
        begun.set()
        time.sleep(1)
        peer.sendall(OK)

    origin.answer = answer
    with a_sidecar(tmp_path, origin.port) as (process, port, admin):
        with connect(port) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert begun.wait(5)
            process.send_signal(signal.SIGTERM)
            until(lambda: ask(admin, b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 503 "))
            until(lambda: refuses(port))
            assert read_all(peer).endswith(b"ok")
        assert process.wait(8) == 0
    origin.close()


BAD = {
    "no keys": ([], {"CONSENT_MW_KEYS": ""}, "no keys"),
    "no such policy": (["--policy", "absent.toml"], {}, "absent.toml"),
    "bad upstream": (["--upstream", "ftp://x"], {}, "--upstream"),
    "bad listen": (["--listen", "x"], {}, "--listen"),
    "two places": (["--uds", "s"], {}, "give --listen or --uds, not both"),
    "open admin": (["--admin", "0.0.0.0:0"], {}, "CONSENT_MW_ADMIN_TOKEN"),
    "half a pair": (["--tls-cert", "a.crt"], {}, "--tls-cert and --tls-key are needed together"),
    "no such certificate": (["--tls-cert", "a.crt", "--tls-key", "a.key"], {}, "--tls-cert `a.crt` cannot be read"),
    "store without a folder": (["--store", "sqlite:////nonexistent/x/c.db"], {}, "store"),
}


@pytest.mark.parametrize(("flags", "env", "said"), BAD.values(), ids=BAD)
def test_what_cannot_run_is_told_and_exits_with_two(
    tmp_path: Path, flags: list[str], env: dict[str, str], said: str
) -> None:
    (tmp_path / "p.toml").write_text(POLICY)
    command = [
        sys.executable,
        "-m",
        "consent_mw.cli",
        "serve",
        "--policy",
        "p.toml",
        "--upstream",
        "http://127.0.0.1:1",
    ]
    command += ["--listen", "127.0.0.1:0", "--store", f"sqlite:///{tmp_path / 'c.db'}", *flags]
    environment = {**os.environ, "CONSENT_MW_KEYS": KEY, **env}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=15)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_and_exits_with_two(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(POLICY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", "p.toml"]
        command += ["--upstream", "http://127.0.0.1:1", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"]
        command += ["--store", f"sqlite:///{tmp_path / 'c.db'}"]
        environment = {**os.environ, "CONSENT_MW_KEYS": KEY}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=15)
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
