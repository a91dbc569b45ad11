"""A sidecar under systemd, with a socket of ours in systemd's place: what it is told, and the ports it is handed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.site import KEY, POLICY
from tests.sidecar.raw import CLOSE, Origin, a_sidecar, ask, operate

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@WORKERS
def test_systemd_is_told_of_every_state(tmp_path: Path, origin: Origin, workers: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)

        def told() -> list[str]:
            """The next thing, other than that it lives."""
            while (lines := listener.recv(4096).decode().split("\n")) == ["WATCHDOG=1"]:
                pass
            return [re.sub(r"^(MONOTONIC_USEC)=\d+$", r"\1", line) for line in lines]

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with a_sidecar(tmp_path, origin.port, "--workers", workers, drain="500ms", env=environment) as (
            process,
            _,
            admin,
        ):
            assert told() == ["READY=1", "STATUS=serving under revision 2026-01"]
            assert [listener.recv(4096) for _ in range(2)] == [b"WATCHDOG=1"] * 2
            (tmp_path / "policy.toml").write_text(POLICY.replace("2026-01", "2026-02"))
            process.send_signal(signal.SIGHUP)
            assert told() == ["RELOADING=1", "MONOTONIC_USEC"]
            assert told() == ["READY=1", "STATUS=serving under revision 2026-02"]
            for one in operate(admin, "GET", "/policy")[1].get("workers", []):
                assert b"NOTIFY_SOCKET" not in Path(f"/proc/{one['pid']}/environ").read_bytes()
            process.terminate()
            assert told() == ["STOPPING=1", "STATUS=draining"]
            assert process.wait(10) == 0


@WORKERS
def test_ports_that_systemd_opened_are_served(tmp_path: Path, origin: Origin, workers: str) -> None:
    """`http` and `admin` by name, in whatever order; --listen and --admin give way to them."""
    (tmp_path / "policy.toml").write_text(POLICY)
    with socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(("127.0.0.1", 0)) as front:
        ports = [one.getsockname()[1] for one in (front, admin)]
        handed = (
            f"exec 13<&{admin.fileno()} 14<&{front.fileno()} && exec 3<&13 4<&14 13<&- 14<&- && "
            'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=admin:http exec "$@"'
        )
        line = ["bash", "-c", handed, "bash", sys.executable, "-m", "consent_mw.cli", "serve"]
        line += ["--policy", str(tmp_path / "policy.toml"), "--upstream", f"http://127.0.0.1:{origin.port}"]
        line += ["--store", f"sqlite:///{tmp_path / 'c.db'}", "--workers", workers, "--drain", "500ms"]
        descriptors = (admin.fileno(), front.fileno())
        environment = {**os.environ, "CONSENT_MW_KEYS": KEY}
        with subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, pass_fds=descriptors, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                greeting = process.stdout.readline()
                assert [int(one) for one in re.findall(r"127\.0\.0\.1:(\d+)", greeting)] == [
                    ports[0], origin.port, ports[1],
                ]  # fmt: skip
                assert ask(ports[0], b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b"\r\n\r\nok")
                assert operate(ports[1], "GET", "/ready")[0] == 200
                process.terminate()
                assert process.wait(10) == 0
            finally:
                process.kill()
        # The port is systemd's: who connects between two runs waits for the next one.
        socket.create_connection(("127.0.0.1", ports[0]), timeout=2).close()
