"""A PostgreSQL server of the tests' own, from Debian's package: a private cluster that nobody else knows of."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

USER: Final = "consent"
PASSWORD: Final = "p@ss/w:rd?"
ESCAPED: Final = "p%40ss%2Fw%3Ard%3F"

# Nothing of a test's data has to outlive the machine; a server that is killed loses nothing by this.
_FAST: Final = ("fsync=off", "full_page_writes=off", "max_connections=40", "shared_buffers=32MB", "autovacuum=off")


def programs() -> Path | None:
    """The folder of the server's programs, or None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    if found:
        return found[-1].parent
    somewhere = shutil.which("initdb")
    return Path(somewhere).resolve().parent if somewhere else None


class Cluster:
    """A server on loopback and on a socket. It runs as `postgres` where the tests run as root, as it refuses root."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._folder = Path(tempfile.mkdtemp(prefix="consent_mw-pg-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._number = 0
        self.port = 0
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        (self._folder / "pw").write_text(PASSWORD)
        (self._folder / "pw").chmod(0o644)
        made = ["initdb", "-D", str(self._data), "-U", USER, "-A", "scram-sha-256", "--pwfile"]
        made += [str(self._folder / "pw"), "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(self._command(*made), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Start the server; on the port where it was, if it was there already."""
        for _ in range(5):
            port = self.port or _free_port()
            if self._starts(port):
                self.port = port
                return
        raise RuntimeError("PostgreSQL did not start:\n" + (self._folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill every process of the server at once, as when the machine fails."""
        assert self._server is not None
        mine = f"/proc/{self._server.pid}/task/{self._server.pid}/children"
        children = [int(one) for one in Path(mine).read_text().split()]
        for pid in (self._server.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._server.wait(10)
        self._server = None
        until = time.monotonic() + 10
        while any(_runs(pid) for pid in children) and time.monotonic() < until:
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send this signal to every process of the server."""
        assert self._server is not None
        mine = f"/proc/{self._server.pid}/task/{self._server.pid}/children"
        for pid in (self._server.pid, *map(int, Path(mine).read_text().split())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End the server; sessions are broken off."""
        if self._server is not None:
            self._server.send_signal(2)
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._server = None

    def remove(self) -> None:
        """End the server and delete everything."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str, password: str = ESCAPED) -> str:
        """Where this database is."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def place(self) -> str:
        """The URL of a new, empty schema."""
        self._number += 1
        name = f"site{self._number}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}?options=-csearch_path%3D{name}"

    def bytes_of_tables(self) -> bytes:
        """What stands in the files of all tables, written out."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute("CHECKPOINT")
        return b"".join(one.read_bytes() for one in (self._data / "base").rglob("*") if one.is_file())

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _starts(self, port: int) -> bool:
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", *_FAST]
        command = ["postgres", "-D", str(self._data)]
        for one in settings:
            command += ["-c", one]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(self._command(*command), stdout=log, stderr=log, cwd="/")
        until = time.monotonic() + 30
        while time.monotonic() < until and self._server.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                there = f"postgresql://{USER}:{ESCAPED}@127.0.0.1:{port}/postgres"
                psycopg.connect(there, connect_timeout=2).close()
                return True
            time.sleep(0.02)
        self._server = None
        return False

    def _command(self, program: str, *arguments: str) -> list[str]:
        # A server whose tests were killed goes as well.
        command = ["setpriv", "--pdeathsig=INT"]
        if os.getuid() == 0:
            command += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return [*command, "--", str(self._bin / program), *arguments]


@contextlib.contextmanager
def a_cluster() -> Iterator[Cluster]:
    """A running server; skips where there is none to run."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL's server is not installed")
    cluster = Cluster(found)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
