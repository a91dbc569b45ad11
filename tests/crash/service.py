"""What is killed: the sidecar with one process or several, or the mounted middleware, all on one store.

Rule: whatever is started is ended with its whole group, and every wait has a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.crash.site import answer
from tests.journeys.site import KEY

ROOT: Final = Path(__file__).resolve().parents[2]
STARTS_WITHIN: Final = 20.0
ENDS_WITHIN: Final = 12.0

CONSTANTS: Final[Mapping[str, Mapping[str, float]]] = {
    # What a crash leaves claimed is to be delivered while the run goes on, and nothing is to wait for minutes.
    "consent_mw.world.delivery.turn": {"LEASE": 3.0, "LONGEST_TRY": 1.5},
    "consent_mw.world.delivery.rows": {"FIRST_WAIT": 0.1, "LONGEST_BACKOFF": 0.5},
}


class Form(enum.StrEnum):
    """What is run."""

    ALONE = "one process"
    WORKERS = "two workers"
    MOUNTED = "mounted"


class Victim(enum.StrEnum):
    """What is killed."""

    PROCESS = "the process"
    WORKER = "a worker"
    SUPERVISOR = "the supervisor"
    GROUP = "the group"
    NEWBORN = "at its start"


@dataclass(frozen=True, slots=True)
class Group:
    """A process that was started, with those it started."""

    id: int
    dies_by: float


class Service:
    """Starts, kills and ends. `port` is where visitors are served, 0 while nobody serves."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.port = 0
        self.form = Form.ALONE
        self.up = asyncio.Event()
        self.kills: list[tuple[float, Victim, Form]] = []
        self.left_over: list[int] = []
        self.log = folder / "log"
        self.store = folder / "consent.db"
        self.policy = folder / "policy.toml"
        self._chance = chance
        self._origin: asyncio.Server | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._admin = 0
        self._groups: list[Group] = []

    async def open(self, policy: str) -> None:
        """Start the site behind the sidecar."""
        self.policy.write_text(policy)
        self._origin = await asyncio.start_server(_serve_site, "127.0.0.1", 0)

    async def start(self, form: Form) -> None:
        """Start what is run and wait until it serves. Raises RuntimeError where it does not."""
        self.form = form
        process = await self._spawn(form)
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), STARTS_WITHIN)
        except TimeoutError:
            line = b""
        ports = re.findall(rb"(?:listening on|admin) \S+:([0-9]+)", line)
        if not ports:
            await self._end(process)
            raise RuntimeError(f"{form} did not start: {self.log.read_text()[-400:]}")
        self.port, self._admin = int(ports[0]), int(ports[1]) if len(ports) > 1 else 0
        self.up.set()

    async def kill_newborn(self, form: Form) -> None:
        """Start it and kill it before it is likely to serve."""
        process = await self._spawn(form)
        await asyncio.sleep(self._chance.uniform(0.0, 0.8))
        self.kills.append((asyncio.get_running_loop().time(), Victim.NEWBORN, form))
        await self._end(process)

    async def kill(self, victim: Victim) -> None:
        """Kill this of what runs."""
        process = self._process
        assert process is not None
        if victim is Victim.WORKER:
            pids = await self._workers()
            if pids:
                self.kills.append((asyncio.get_running_loop().time(), victim, self.form))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._chance.choice(pids), signal.SIGKILL)
            return
        self.kills.append((asyncio.get_running_loop().time(), victim, self.form))
        self.port = 0
        self.up.clear()
        if victim is Victim.GROUP:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        await asyncio.wait_for(process.wait(), ENDS_WITHIN)
        self._groups.append(Group(process.pid, time.monotonic() + ENDS_WITHIN))
        self._process = None

    async def stop(self) -> int:
        """End it as an operator does; its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        self.port = 0
        self.up.clear()
        try:
            code = await asyncio.wait_for(process.wait(), 3 * ENDS_WITHIN)
        except TimeoutError:
            code = -1
        await self._end(process)
        return code

    async def close(self) -> None:
        """End all that is left, and note what had to be ended."""
        if self._process is not None:
            await self._end(self._process)
        while self._groups:
            self.look()
            await asyncio.sleep(0.05)
        if self._origin is not None:
            self._origin.close()

    def look(self) -> None:
        """Note processes that outlived their first one for too long, and end them."""
        for group in list(self._groups):
            try:
                os.killpg(group.id, 0)
            except ProcessLookupError:
                self._groups.remove(group)
                continue
            if time.monotonic() > group.dies_by:
                self.left_over.append(group.id)
                self._groups.remove(group)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group.id, signal.SIGKILL)

    async def _workers(self) -> list[int]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._admin)
            writer.write(b"GET /policy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
        except (OSError, TimeoutError):
            return []
        found = json.loads(said.partition(b"\r\n\r\n")[2])
        return [one["pid"] for one in found["workers"] if one["ready"]]

    async def _spawn(self, form: Form) -> asyncio.subprocess.Process:
        assert self._origin is not None
        constants, store = json.dumps(CONSTANTS), f"sqlite:///{self.store}"
        if form is Form.MOUNTED:
            command = ["-m", "tests.crash.mounted", constants, str(self.policy), store]
        else:
            port = self._origin.sockets[0].getsockname()[1]
            command = ["-m", "tests.sidecar.launch", constants, "serve", "--policy", str(self.policy)]
            command += ["--upstream", f"http://127.0.0.1:{port}", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
            command += ["--store", store, "--drain", "3s", "--workers", "2" if form is Form.WORKERS else "1"]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "CONSENT_MW_KEYS": KEY},
                start_new_session=True,
            )
        return self._process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait_for(process.wait(), ENDS_WITHIN)
        if self._process is process:
            self._process = None


async def _serve_site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests without a body, one after the other."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status, fields, body = answer(head.split(b" ", 2)[1].decode())
            lines = [f"HTTP/1.1 {status} OK", *(f"{name}: {value}" for name, value in fields)]
            writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
    writer.close()
