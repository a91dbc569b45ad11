"""Whatever a file turns out to be, every verb that takes it says so in a sentence and ends with 2."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from consent_mw.cli import VERBS, run
from consent_mw.world import policy_file

POLICIES = Path(__file__).parents[1] / "policies"
MIXMAX = Path(__file__).parents[2] / "consent_mw" / "profiles" / "mixmax-2018.toml"

SERVE = "serve --check --listen 127.0.0.1:0 --upstream http://127.0.0.1:1 --store sqlite:///kept.db"
VISITED = "http://127.0.0.1:1/"

TAKES = {
    "check FILE": "check {file}",
    "test FILE": "test {file}",
    "test --cases": "test good.toml --cases {file}",
    "explain --policy": "explain --policy {file}",
    "explain, a database": "explain --policy {beside} --ip 1.1.1.1",
    "diff A": "diff {file} good.toml",
    "diff B": "diff good.toml {file}",
    "replay --policy": "replay --policy {file} good.log",
    "replay --against": "replay --policy good.toml --against {file} good.log",
    "replay LOG": "replay --policy good.toml {file}",
    "replay, a database": "replay --policy {beside} good.log",
    "scan --policy": f"scan {VISITED} --policy {{file}}",
    "scan, a database": f"scan {VISITED} --policy {{beside}}",
    "serve --policy": f"{SERVE} --keys-file good.keys --policy {{file}}",
    "serve, a database": f"{SERVE} --keys-file good.keys --policy {{beside}}",
    "serve --keys-file": f"{SERVE} --policy good.toml --keys-file {{file}}",
    "serve --tls-cert": f"{SERVE} --policy good.toml --keys-file good.keys --tls-cert {{file}} --tls-key good.keys",
    "geo show --policy": "geo show 1.1.1.1 --policy {file}",
    "geo show --database": "geo show 1.1.1.1 --database {file}",
    "init --learn": "init --learn {file}",
    "init --learn STORE": "init --learn sqlite:///{file}",
    "inventory": "inventory --store sqlite:///{file}",
    "stats": "stats --store sqlite:///{file}",
    "subject export": "subject export x --keys-file good.keys --store sqlite:///{file}",
    "subject erase": "subject erase x --keys-file good.keys --store sqlite:///{file}",
    "subject --keys-file": "subject export x --keys-file {file} --store sqlite:///kept.db",
    "ledger list": "ledger list --store sqlite:///{file}",
    "ledger head": "ledger head --store sqlite:///{file}",
    "ledger export": "ledger export --store sqlite:///{file}",
    "ledger verify": "ledger verify --keys-file good.keys --store sqlite:///{file}",
    "ledger verify --keys-file": "ledger verify --keys-file {file} --store sqlite:///kept.db",
    "ledger retry": "ledger retry --keys-file good.keys --store sqlite:///{file}",
    "keys verify FILE": "keys verify {file} --keys good.json",
    "keys verify --keys": "keys verify good.jws --keys {file}",
}
"""Every file that a verb takes; `{beside}` is a policy that names the file as its database."""

FINDINGS = {
    ("check FILE", "empty"): 1,  # a policy in which everything is missing, each with its line
    ("test FILE", "empty"): 1,
    ("test --cases", "empty"): 1,
}
"""Where the file could be read, and what it says is wrong."""

HUGE = 400_000_000
GROWS_AT_MOST = 160 * 1024 * 1024
"""Bytes of memory that any verb may need more for a huge file than for a small one: what `init --learn` reads of an
archive, and as much again."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONSENT_MW_KEYS", raising=False)
    monkeypatch.delenv("CONSENT_MW_LEDGER_KEY", raising=False)
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "k")
    monkeypatch.setattr(policy_file, "WRITTEN_WITHIN", 0.01)
    Path("good.toml").write_bytes(MIXMAX.read_bytes())
    Path("good.log").write_text('2.160.0.1 - - [24/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"\n')
    Path("good.keys").write_text("a key of at least sixteen characters")
    Path("good.json").write_text('{"keys": []}')
    Path("good.jws").write_text("a.b.c")
    return tmp_path


def missing(file: Path) -> None:
    file.unlink(missing_ok=True)


def unreadable(file: Path) -> None:
    if os.geteuid():
        file.write_text("x")
        file.chmod(0)
        return
    file.symlink_to("/proc/self/mem")  # which not even root can read at its beginning


def huge(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(HUGE)


KINDS = {
    "missing": missing,
    "directory": Path.mkdir,
    "binary": lambda file: file.write_bytes(bytes(range(256)) * 50),
    "NUL": lambda file: file.write_bytes(b"schema = 1\n\0\0\n"),
    "not UTF-8": lambda file: file.write_bytes("# caf\xe9\nrevision = 'x'\n".encode("latin-1")),
    "empty": Path.touch,
    "unreadable": unreadable,
    "a pipe that nobody writes": os.mkfifo,
}


def arguments_of(takes: str, name: str) -> list[str]:
    """The verb's arguments for the file of this name, and a policy beside it that names it as its database."""
    text = (POLICIES / "good_minimal.toml").read_text()
    Path(f"beside-{name}.toml").write_text(f'{text}\n[geo]\ndatabases = ["{name}"]\n')
    return TAKES[takes].format(file=name, beside=f"beside-{name}.toml").split()


def test_every_verb_that_takes_a_file_is_looked_at() -> None:
    assert set(VERBS) - {one.split()[0] for one in TAKES.values()} == {"demo", "profile"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("takes", TAKES)
def test_what_cannot_be_read_is_told_with_its_name(
    takes: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    KINDS[kind](folder / "given")
    assert run(arguments_of(takes, "given")) == FINDINGS.get((takes, kind), 2)
    told = capsys.readouterr()
    said = told.err or told.out
    assert ("given" in said, "Traceback" in said, "\0" in said) == (True, False, False)
    assert not told.err or told.err.splitlines()[-1].startswith(("consent-mw: ", "    = help: "))
    assert (folder / "given").exists() is (kind != "missing")
    assert not (folder / "policy.toml").exists()


MEASURED = """
import json, resource, sys
from consent_mw.cli import run
codes = [run(one) for one in json.load(sys.stdin)]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print("\\n" + json.dumps({"codes": codes, "peak": peak}))
"""


def measured(verbs: Sequence[Sequence[str]]) -> tuple[list[int], int]:
    """The exit codes of these in a process of their own, and the most memory that it had."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED],
        input=json.dumps(verbs),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Traceback" not in ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    return found["codes"], found["peak"]


def test_a_file_of_hundreds_of_megabytes_costs_no_verb_its_memory(folder: Path) -> None:
    huge(folder / "huge")
    (folder / "small").write_bytes(b"\0")
    codes, peak = measured([arguments_of(takes, "huge") for takes in TAKES])
    _, usual = measured([arguments_of(takes, "small") for takes in TAKES])
    assert dict(zip(TAKES, codes, strict=True)) == dict.fromkeys(TAKES, 2)
    assert peak - usual < GROWS_AT_MOST


@contextlib.contextmanager
def written(pipe: Path, text: bytes) -> Iterator[None]:
    """A process that writes this into the pipe, as a shell's `<(...)` does."""
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    with subprocess.Popen([sys.executable, "-c", code, pipe], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(text)
        writer.stdin.close()
        yield


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ("check given", "good.toml"),
        ("replay --policy good.toml given", "good.log"),
        ("diff good.toml given", "good.toml"),
        ("serve --check --listen 127.0.0.1:0 --upstream http://a --policy good.toml --keys-file given", "good.keys"),
    ],
)
def test_a_pipe_that_somebody_writes_is_read(
    arguments: str, content: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy_file, "WRITTEN_WITHIN", 10.0)
    os.mkfifo("given")
    with written(folder / "given", Path(content).read_bytes()):
        assert run(arguments.split()) == 0


def test_a_log_is_learned_from_a_pipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_file, "WRITTEN_WITHIN", 10.0)
    os.mkfifo("given")
    line = json.dumps({"method": "GET", "path": "/", "cookie": "_ga=1; _gid=2"})
    with written(folder / "given", f"{line}\n".encode() * 3):
        assert run(["init", "--learn", "given"]) == 0
    assert 'name    = "_ga"' in (folder / "policy.toml").read_text()
