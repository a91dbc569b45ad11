"""What the tools cost: loading a policy and putting another in force, telling two apart, replaying a log, verifying a
ledger; each by size.

Run: `make bench-tools`; `--lines` and `--entries` make it longer. The verbs run as programs of their own, start-up
included; what a program takes to start and do nothing is a row of its own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from askers import KEY
from growth import Size, policy_of
from report import Part, Target, arguments

from consent_mw import load_policy
from consent_mw.asgi.gate import Gate
from consent_mw.core.ledger import choice
from consent_mw.wire.ledger import Book
from consent_mw.wire.token import Keyring
from consent_mw.world.store import ReceiptRow, open_store

RULES = (10, 100, 1_000)
LINE = '{0} - - [01/Jul/2026:12:{1:02d}:{2:02d} +0000] "GET {3} HTTP/1.1" 200 2326 "https://www.example.com/" "{4}"\n'
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0")
BATCH = 500
LAUNCHER = """
import atexit, sys
from pathlib import Path
def tell():
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
atexit.register(tell)
from consent_mw.cli import main
main()
"""
"""Tells the most memory that was resident in kB: what wait4(2) says has that of the program that started it in it."""


def main() -> int:
    """Measure, print and write."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--lines", type=int, default=200_000, help="of the log that is replayed")
    parser.add_argument("--entries", type=int, default=50_000, help="of the ledger that is verified")
    options = parser.parse_args()
    part = Part("tools", "Policy, replay and ledger")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policies(part, folder, options.rounds)
        verbs(part, folder, options.rounds, options.lines, options.entries)
    part.finish(options.out)
    return 0


def policies(part: Part, folder: Path, rounds: int) -> None:
    """Milliseconds of CPU to load a policy and to put it in force in the place of another."""
    table = part.table(
        "policy", {"load ms": 1, "ms until it is in force": 1, "ms in which nothing is decided": 3}, "load ms"
    )
    gate = Gate(load_policy(policy_of(Size(), folder)), Keyring([KEY]))
    for rules in RULES:
        row = f"{rules:,} rules of cookies"
        for _ in range(rounds):
            file = policy_of(Size(rules=rules), folder)
            began = time.process_time()
            policy = load_policy(file)
            loaded = time.process_time()
            put_in_force = gate.prepare(policy)
            prepared = time.process_time()
            put_in_force()
            table.add(row, "load ms", (loaded - began) * 1e3)
            table.add(row, "ms until it is in force", (prepared - loaded) * 1e3)
            table.add(row, "ms in which nothing is decided", (time.process_time() - prepared) * 1e3)


def verbs(part: Part, folder: Path, rounds: int, lines: int, entries: int) -> None:
    """What the verbs take."""
    table = part.table("verb", {"CPU s": 2, "MiB": 0, "a second": 0}, "CPU s")
    small, large = ((folder / f"{name}.toml") for name in ("small", "large"))
    small.write_text(policy_of(Size(rules=10), folder).read_text())
    large.write_text(policy_of(Size(rules=1_000), folder).read_text())
    half = logged(folder / "half.log", lines // 10)
    log = logged(folder / "access.log", lines)
    store = kept(folder / "ledger.db", entries)
    asked: dict[str, tuple[int, list[str]]] = {
        "`profile list` (starts, and hardly more)": (0, ["profile", "list"]),
        f"`replay` of {lines // 10:,} lines": (lines // 10, ["replay", "--policy", str(small), str(half)]),
        f"`replay` of {lines:,} lines": (lines, ["replay", "--policy", str(small), str(log)]),
        f"`ledger verify` of {entries:,} entries": (entries, ["ledger", "verify", "--store", store]),
        "`diff`, 10 rules and 1,000": (0, ["diff", str(small), str(large)]),
        "`check`, 1,000 rules": (0, ["check", str(large)]),
    }
    start = 0.0
    for row, (number, command) in asked.items():
        for _ in range(rounds):
            spent, resident = ran(command)
            start = start or spent
            table.add(row, "CPU s", spent)
            table.add(row, "MiB", resident)
            if number:
                table.add(row, "a second", number / max(spent - start, 0.001))
        print(f"{row}: {table.figure(row, 'CPU s'):.2f} s", flush=True)
    large_log = table.figure(f"`replay` of {lines:,} lines", "MiB")
    text = f"memory of `replay`, {lines:,} lines"
    part.targets.append(Target(text, large_log, 100, at_least=False, unit=" MiB", shown=".0f"))
    part.notes.append("A second: lines or entries in a second of CPU, start-up aside.")


def logged(file: Path, lines: int) -> Path:
    """An access log in the Combined format, of visitors of many countries, some of whom come back."""
    chance = random.Random(7)
    addresses = [".".join(str(chance.randint(1, 223)) for _ in range(4)) for _ in range(max(1, lines // 4))]
    with file.open("w") as out:
        for number in range(lines):
            path = f"/articles/{chance.randint(1, 400)}?page={chance.randint(1, 9)}"
            agent = AGENTS[chance.random() < 0.05]
            out.write(LINE.format(chance.choice(addresses), number // 60 % 60, number % 60, path, agent))
    return file


def kept(file: Path, entries: int) -> str:
    """The URL of a store whose ledger has this many choices."""
    store = open_store(f"sqlite:///{file}", book=Book.of(Keyring([KEY]), ""))
    pending = []
    for number in range(entries):
        entry = choice(f"{number:022d}", {"analytics": True}, revision="1", jurisdiction="eea", how="form")
        row = ReceiptRow(f"{number:022d}", f"{number:022d}", "", 1_700_000_000 + number, "signed")
        pending.append(store.add_receipt(row, entry))
        if len(pending) >= BATCH:
            pending.pop().result(60)
            pending.clear()
    for one in pending:
        one.result(60)
    store.close()
    return f"sqlite:///{file}"


def ran(arguments_: list[str]) -> tuple[float, float]:
    """CPU seconds and MiB at most of the program that is run so."""
    command = [sys.executable, "-c", LAUNCHER, *arguments_]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "CONSENT_MW_KEYS": KEY}
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode > 1:
        raise RuntimeError(f"{' '.join(arguments_)}: {said.decode()}")
    return used.ru_utime + used.ru_stime, int(said.split()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
