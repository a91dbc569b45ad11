"""The machine under a benchmark: who runs on which core, and what a server with all its processes has used.

Rule: the server under test has one core to itself; load generator, origin and sink share another.
Rule: a server that is not being measured is stopped (SIGSTOP), so that none takes another's time.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
STARTS_WITHIN = 20.0
STOPS_WITHIN = 10.0
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class BenchmarkError(Exception):
    """Something that a benchmark needs is not there or does not work; the text says what."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the server under test, and the core of all the rest."""

    server: int
    load: int


def two_cores() -> Cores:
    """The cores to use. Raises BenchmarkError where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkError("two cores are needed: one for the server under test, one for the load")
    return Cores(server=usable[1], load=usable[0])


def description() -> dict[str, str | int]:
    """What a reader of the figures wants to know of the machine."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def busy_seconds(cores: Cores) -> float:
    """Seconds that these cores have not been idle, for whomever, since the machine started (proc(5) `stat`)."""
    total = 0
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, *fields = line.split()
        if name in (f"cpu{cores.server}", f"cpu{cores.load}"):
            user, nice, system, _idle, _waiting, hard, soft, stolen = map(int, fields[:8])
            total += user + nice + system + hard + soft + stolen
    return total / _TICK


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def fill(template: Path, values: Mapping[str, object]) -> str:
    """The template's text with `@NAME@` replaced."""
    text = template.read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@dataclass(slots=True)
class Running:
    """A started server: a session of its own, so that its processes are known by it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, name: str, argv: Sequence[str], core: int, folder: Path, env: Mapping[str, str] | None = None
    ) -> Running:
        """Start this command on this core; what it says goes to a file in the folder."""
        log = folder / f"{name}.log"
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        try:
            with log.open("wb") as out:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=folder,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, before)
        return cls(name, process, log)

    def wait_for(self, port: int) -> None:
        """Return once the port is open. Raises BenchmarkError with the server's last words."""
        self.wait_until(lambda: _opens(port))

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Return once this holds. Raises BenchmarkError with the server's last words."""
        end = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < end and self.process.poll() is None:
            if holds():
                return
            time.sleep(0.05)
        self.stop()
        raise BenchmarkError(f"{self.name} did not start: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text("utf-8", "replace")[-600:].strip() or "it said nothing"

    def cpu(self) -> float:
        """Seconds of user and system time of all its processes, ended children included."""
        return sum(sum(int(field) for field in stat[11:15]) for stat in self._stats()) / _TICK

    def fine_cpu(self) -> float:
        """As `cpu`, to the nanosecond, of the threads that live (where /proc has `schedstat`)."""
        spent = 0
        for pid in self._pids():
            for task in (Path("/proc") / pid / "task").glob("*/schedstat"):
                try:
                    spent += int(task.read_text("ascii").split()[0])
                except OSError:
                    continue
        return spent / 1e9 if spent else self.cpu()

    def rss(self) -> float:
        """MiB resident, summed over its processes."""
        return sum(int(stat[21]) for stat in self._stats()) * _PAGE / 2**20

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"{self.name} did not end by itself\n")
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def _pids(self) -> Iterator[str]:
        """The processes of the session."""
        for pid, _ in self._found():
            yield pid

    def _stats(self) -> Iterator[list[str]]:
        """The fields of proc(5) `stat` after the name, of every process of the session."""
        for _, fields in self._found():
            yield fields

    def _found(self) -> Iterator[tuple[str, list[str]]]:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:
                yield folder.name, fields


def _opens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
