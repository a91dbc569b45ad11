"""Several workers behind one supervisor: real processes, killed in every way that matters."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consent_mw.world.geo import BUILTIN_PATH
from tests.journeys.site import FIREFOX, KEY, NEW_YORK, POLICY, VENDOR, receiving
from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, ask, connect, metric, operate, read_all, read_until, until

TWO = ("--workers", "2")
CRUMBS = b"HTTP/1.1 200 OK\r\nSet-Cookie: odd=1\r\nContent-Length: 2\r\n\r\nok"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"
VISIT = (
    f"GET / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: document\r\nUser-Agent: {FIREFOX}\r\n"
    f"X-Forwarded-For: {NEW_YORK}\r\nConnection: close\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def shared(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with a_sidecar(tmp_path_factory.mktemp("workers"), origin.port, *TWO) as (_, port, admin):
        yield port, admin


def workers(admin: int) -> list[int]:
    """The processes that are ready."""
    return [one["pid"] for one in operate(admin, "GET", "/policy")[1]["workers"] if one["ready"]]


def at_once(port: int, number: int, request: bytes = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n") -> list[bytes]:
    """The answers on connections that were all open before the first request, and so spread over the workers."""
    with ExitStack() as stack:
        peers = [stack.enter_context(connect(port)) for _ in range(number)]
        for peer in peers:
            peer.sendall(request)
        return [read_all(peer) for peer in peers]


def test_it_is_ready_once_every_worker_is(shared: tuple[int, int]) -> None:
    status, said = operate(shared[1], "GET", "/ready")
    assert (status, said) == (
        200,
        {
            "policy": "2026-01", "databases": True, "keys": True, "store": True, "draining": False, "bypassed": False,
            "workers": {"ready": 2, "of": 2},
        },
    )  # fmt: skip


def test_a_burst_of_connections_is_spread_over_the_workers(shared: tuple[int, int]) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(connect(shared[0])) for _ in range(40)]
        for peer in peers:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_until(peer, OK) == OK
        ends = {one: _connections_of(one, shared[0]) for one in workers(shared[1])}
    assert sum(ends.values()) == 40
    assert min(ends.values()) >= 10


def _connections_of(process: int, port: int) -> int:
    """How many established connections to this port the process holds, by their inodes (proc(5))."""
    held = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        try:
            held.add(str(one.readlink()))
        except OSError:
            continue
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        line[1].endswith(f":{port:04X}") and line[3] == "01" and f"socket:[{line[9]}]" in held for line in lines
    )


def test_no_secret_stands_in_the_arguments_or_environment_of_a_worker(shared: tuple[int, int]) -> None:
    for process in workers(shared[1]):
        for place in ("cmdline", "environ"):
            told = Path(f"/proc/{process}/{place}").read_bytes()
            assert KEY.encode() not in told
            assert b"policy.toml" not in told


def test_the_kill_switch_reaches_every_worker(shared: tuple[int, int], origin: Origin) -> None:
    port, admin = shared
    origin.answer = lambda peer, head: peer.sendall(CRUMBS)
    try:
        assert operate(admin, "POST", "/bypass", b'{"on": true}') == (200, {"bypassed": True})
        assert [b"odd" in one for one in at_once(port, 24)] == [True] * 24
        assert metric(admin, "consent_mw_bypassed") == 1
        assert operate(admin, "POST", "/bypass", b'{"on": false}') == (200, {"bypassed": False})
        assert [b"odd" in one for one in at_once(port, 24)] == [False] * 24
    finally:
        origin.answer = lambda peer, head: peer.sendall(OK)


def test_metrics_are_of_all_workers_together(shared: tuple[int, int]) -> None:
    port, admin = shared
    before = [metric(admin, f"consent_mw_{one}") for one in ("requests_total", "request_duration_seconds_count")]
    at_once(port, 24)
    after = [metric(admin, f"consent_mw_{one}") for one in ("requests_total", "request_duration_seconds_count")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [24, 24]
    assert metric(admin, "consent_mw_workers") == 2


def test_lines_of_the_access_log_are_whole(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, *TWO) as (process, port, _):
        for _ in range(4):
            at_once(port, 40, b"GET /" + b"a" * 1500 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
        process.terminate()
        assert process.wait(10) == 0
    told = (tmp_path / "err").read_text().splitlines()
    lines = [json.loads(line) for line in told if not line.startswith("consent-mw: ")]
    assert [len(one["path"]) for one in lines] == [1501] * 160
    assert len({one["id"] for one in lines}) == 160


def test_a_worker_that_is_killed_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """Under load: every choice that was answered has its receipt, every page view before is delivered, the other
    worker serves on, and another one takes the place; what was counted stays counted."""
    site = Origin()
    site.answer = lambda peer, head: peer.sendall(PAGE)
    with receiving() as vendor:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        with a_sidecar(tmp_path, site.port, *TWO, policy=policy) as (_, port, admin):
            first = workers(admin)
            for _ in range(20):
                assert ask(port, VISIT).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)  # a page view is committed within 50 ms
            before = metric(admin, "consent_mw_requests_total")
            taken, stop = [0], threading.Event()
            loads = [threading.Thread(target=_choose, args=(port, index, taken, stop)) for index in range(6)]
            for one in loads:
                one.start()
            until(lambda: taken[0] > 30)
            os.kill(first[0], signal.SIGKILL)
            at_kill = taken[0]
            until(lambda: taken[0] > at_kill + 30)
            stop.set()
            for one in loads:
                one.join(10)
            until(lambda: len(workers(admin)) == 2)
            assert set(workers(admin)) & set(first) == {first[1]}
            assert metric(admin, "consent_mw_worker_restarts_total") == 1
            assert metric(admin, "consent_mw_requests_total") >= before + taken[0] - 40
            viewed = [one for one in vendor.wait_for(20) if one["type"].endswith("page_view")]
            assert len(viewed) >= 20
    with sqlite3.connect(tmp_path / "c.db") as db:
        assert db.execute("SELECT count(*) FROM receipts").fetchone()[0] >= taken[0]
    site.close()


def _choose(port: int, index: int, taken: list[int], stop: threading.Event) -> None:
    """Give and refuse consent in turn, from address after address; count what was answered."""
    number = 0
    while not stop.is_set():
        number += 1
        body = json.dumps({"all": number % 2 == 0}).encode()
        head = (
            f"POST /_consent/choice HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nX-Forwarded-For: 9.{index}.{number // 250}.{number % 250}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            answer = ask(port, head.encode() + body)
        except OSError:
            continue
        if answer.startswith(b"HTTP/1.1 200"):
            taken[0] += 1


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, *TWO) as (process, port, admin):
        left = workers(admin)
        process.kill()
        until(lambda: not any(Path(f"/proc/{one}").exists() for one in left))
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_worker_that_cannot_have_the_new_policy_keeps_the_old_one_everywhere(
    tmp_path: Path, origin: Origin
) -> None:
    with BUILTIN_PATH.open("rb") as database:
        # What only the first process has open is there for it, and for no worker.
        only_there = f'\n[geo]\ndatabases = ["/proc/self/fd/{database.fileno()}"]\n'
        with a_sidecar(tmp_path, origin.port, *TWO, descriptors=[database.fileno()]) as (_, _port, admin):
            before = operate(admin, "GET", "/policy")
            (tmp_path / "policy.toml").write_text(POLICY.replace("2026-01", "2026-02") + only_there)
            status, said = operate(admin, "POST", "/reload")
            assert (status, said["error"]) == (409, "not reloaded, what was in force stays so")
            assert said["problems"].startswith("worker 1: ")
            assert operate(admin, "GET", "/policy") == before
            assert metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1


def test_one_worker_alone_is_the_process_itself(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port) as (process, _, admin):
        assert "workers" not in operate(admin, "GET", "/policy")[1]
        children = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True)
        assert children.stdout == ""


def test_a_worker_at_rest_takes_less_than_60_mb(shared: tuple[int, int]) -> None:
    for process in workers(shared[1]):
        [line] = [one for one in Path(f"/proc/{process}/status").read_text().splitlines() if one.startswith("VmRSS")]
        assert int(line.split()[1]) < 60 * 1024
