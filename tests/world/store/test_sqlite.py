"""The store in a SQLite file: the file itself, its log, its versions, and processes that share it or are killed."""

from __future__ import annotations

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consent_mw.core.ledger import opened
from consent_mw.errors import StoreError, StoreFullError
from consent_mw.wire.ledger import Book
from consent_mw.wire.token import Keyring
from consent_mw.world.store import Settlement, Store, open_store
from tests.world.store.rows import NOW, a_receipt, a_row, claimed, done


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consent.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://db/consent", "not known here"),
        ("consent.db", "not known here"),
        ("sqlite://consent.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///{}/none/consent.db", "cannot be opened: No such file or directory"),
        ("sqlite:///{}", "cannot be opened: Is a directory"),
        ("sqlite:///{}/a\0b.db", "cannot be opened: embedded null byte"),
        ("sqlite:///{}/noise.db", "cannot be opened: file is not a database"),
        ("sqlite:///{}/foreign.db", "cannot be opened: it is another program's database"),
        ("sqlite:///{}/newer.db", "cannot be opened: it was written by a newer version"),
        ("sqlite:////proc/version", "cannot be opened: "),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "noise.db").write_bytes(b"This is no database. " * 1000)
    for name, statement in (("foreign", "CREATE TABLE t (x)"), ("newer", "PRAGMA user_version = 9")):
        made = sqlite3.connect(tmp_path / f"{name}.db")
        made.execute(statement)
        made.commit()
        made.close()
    with pytest.raises(StoreError, match=said):
        open_store(url.format(tmp_path))


def test_a_new_file_is_for_its_owner_alone(store: Store, file: Path) -> None:
    done(store.enqueue([a_row("1")]))
    assert {name.stat().st_mode & 0o777 for name in file.parent.iterdir()} == {0o600}


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    code = textwrap.dedent(script)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_full_disk_fails_with_a_store_error_and_heals(file: Path) -> None:
    script = """
        import resource, sys, time
        from consent_mw.errors import StoreError
        from consent_mw.world.store import OutboxRow, ReceiptRow, open_store
        store = open_store(f"sqlite:///{sys.argv[1]}")
        def row(n):
            return OutboxRow(n, "v", n, "track", b"x" * 5000, "", "", "j", "p", "d", 0.0)
        store.enqueue([row("first")]).result()
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, most))
        kept = 0
        for n in range(200):
            try:
                store.enqueue([row(f"n{n}")]).result(10)
                kept += 1
            except StoreError:
                break
        print("failed" if n < 199 else "never failed", store.healthy)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        deadline = time.monotonic() + 5
        while not store.healthy and time.monotonic() < deadline:
            time.sleep(0.02)
        print(store.healthy)
        store.enqueue([row("last")]).result(10)
        print(store.pending().result(10) - kept)
        store.close()
    """
    process = run(script, file)
    assert process.communicate(timeout=30)[0].split("\n") == ["failed False", "True", "2", ""]


def test_nothing_is_given_out_before_a_recall_that_a_full_disk_kept_back(file: Path) -> None:
    script = """
        import resource, sys
        from consent_mw.errors import StoreError
        from consent_mw.world.store import OutboxRow, open_store
        store = open_store(f"sqlite:///{sys.argv[1]}")
        def row(n, visitor):
            return OutboxRow(n, "v", n, "track", b"x", visitor, "", "j", "p", "d", 0.0)
        store.enqueue([row("1", "ann"), row("2", "ann"), row("3", "bob")]).result()
        print([one.id for one in store.claim("v", 1, 1.0, 60.0).result(10)])
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        for call, *asked in (("recall", ["ann"]), ("held", ["1"]), ("claim", "v", 9, 99.0, 60.0)):
            try:
                print(getattr(store, call)(*asked).result(10))
            except StoreError:
                print("failed")
        print(store.taken_back(["1"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        print([one.id for one in store.claim("v", 9, 99.0, 60.0).result(10)])
        print(store.held(["1", "2", "3"]).result(10), store.taken_back(["1"]), store.taken_back(["3"]))
        store.close()
    """
    said = run(script, file).communicate(timeout=30)[0].splitlines()
    assert said == ["['1']", "failed", "failed", "failed", "True", "['3']", "frozenset({'3'}) True False"]


def test_what_was_committed_outlives_a_kill(file: Path) -> None:
    script = """
        import sys
        from consent_mw.world.store import OutboxRow, ReceiptRow, open_store
        store = open_store(f"sqlite:///{sys.argv[1]}")
        def tell(name):
            return lambda done: (sys.stdout.write(name + "\\n"), sys.stdout.flush())
        for n in range(1_000_000):
            row = OutboxRow(f"o{n}", "v", f"e{n}", "track", b"{}", "", "", "j", "p", "d", 0.0)
            future = store.enqueue([row])
            future.add_done_callback(tell(f"o{n}"))
            if n % 50 == 0:
                store.add_receipt(ReceiptRow(f"r{n}", "root", "", n, "jws")).add_done_callback(tell(f"r{n}"))
                future.result()
    """
    process = run(script, file)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    told += process.communicate(timeout=10)[0].splitlines(keepends=True)
    names = {line.strip() for line in told if line.endswith("\n")}
    store = open_store(f"sqlite:///{file}")
    kept = {row.id for row in done(store.claim("v", 1_000_000, NOW, 1.0))}
    kept |= {row.id for row in done(store.receipts("root"))}
    store.close()
    assert len(names) >= 300
    assert names <= kept


def test_two_processes_share_one_file_and_lose_nothing(file: Path) -> None:
    script = """
        import sys
        from consent_mw.world.store import OutboxRow, open_store
        store = open_store(f"sqlite:///{sys.argv[1]}")
        def rows(n):
            return [OutboxRow(f"{sys.argv[2]}-{n}", "v", "e", "track", b"{}", "", "", "j", "p", "d", 0.0)]
        pending = [store.enqueue(rows(n)) for n in range(300)]
        mine = 0
        for future in pending:
            future.result(30)
        for _ in range(20):
            mine += len(store.claim("v", 20, 100.0, 60.0).result(30))
        print(mine)
        store.close()
    """
    processes = [run(script, file, name) for name in "ab"]
    counts = [int(one.communicate(timeout=60)[0]) for one in processes]
    store = open_store(f"sqlite:///{file}")
    rest = len(claimed(store, 101.0, vendor="v", limit=1000))
    assert (sum(counts) + rest, done(store.pending())) == (600, 600)
    store.close()


def test_a_file_that_another_process_is_making_is_waited_for(file: Path) -> None:
    """SQLite tells the second of two at once that the file is locked, when it turns the log on."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ended = threading.Timer(0.3, other.execute, ("COMMIT",))
    ended.start()
    store = open_store(f"sqlite:///{file}")
    ended.join()
    assert (store.healthy, done(store.pending())) == (True, 0)
    store.close()
    other.close()


OTHER = """
    import sys
    from consent_mw.world.store import ReceiptRow, open_store
    store = open_store(f"sqlite:///{sys.argv[1]}")
    for n in range(400):
        store.add_receipt(ReceiptRow(f"o{n}", f"o{n}", "", n, "j" * 900)).result(30)
    store.close()
"""
"""Writes so much that it also empties the log into the file, as the last one to leave does."""


def test_a_file_that_another_process_of_ours_writes_into_stays_in_use(file: Path) -> None:
    store = open_store(f"sqlite:///{file}", book=Book.of(Keyring(["a key of the tests"])))
    looks = set()
    for _ in range(3):
        done(store.add_receipt(a_receipt("r1")))
        with run(OTHER, file) as other:
            other.communicate(timeout=30)
        done(store.enqueue([a_row(secrets.token_hex(4))]))
        looks.add(file.stat().st_size)
        assert store.healthy
    assert len(looks) > 1
    assert len(done(store.receipts("o7"))) == 1
    store.close()


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def filled_with_noise(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


def put_back(file: Path) -> None:
    file.write_bytes(file.with_name("earlier.db").read_bytes())


@pytest.mark.parametrize("harm", [emptied, cut_short, filled_with_noise, put_back])
def test_nothing_is_accepted_into_a_file_that_another_program_wrote_over(
    file: Path, harm: Callable[[Path], None]
) -> None:
    store = open_store(f"sqlite:///{file}", book=Book.of(Keyring(["a key of the tests"])))
    done(store.add_receipt(a_receipt("r1"), opened()))
    log = file.with_name(file.name + "-wal")
    settled(log)
    file.with_name("earlier.db").write_bytes(file.read_bytes())
    for number in range(60):
        done(store.add_receipt(a_receipt(f"s{number}"), opened()))
    settled(log)
    harm(file)
    for number in range(3):
        with pytest.raises(StoreError, match="changed by another program"):
            done(store.enqueue([a_row(str(number))]))
        assert not store.healthy
    store.close()


def settled(log: Path) -> None:
    """Wait until what was committed is in the file itself."""
    deadline = time.monotonic() + 5
    while log.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)


def test_delivered_bodies_are_neither_in_the_file_nor_in_its_log(store: Store, file: Path) -> None:
    bodies = [f"ann-{number}@example.com".encode() for number in range(40)]
    rows = [a_row(str(n), body=b'{"email":"' + one + b'"}' + b" " * 3000, visitor="") for n, one in enumerate(bodies)]
    done(store.enqueue(rows))
    done(store.enqueue([a_row("stays", body=b"bob@example.com", visitor="")]))
    claimed(store)
    done(store.settle([Settlement(str(number), "accepted") for number in range(40)]))
    log = file.with_name(file.name + "-wal")
    deadline = time.monotonic() + 5
    while log.stat().st_size and time.monotonic() < deadline:
        time.sleep(0.05)
    found = b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert [one for one in bodies if one in found] == []
    assert b"bob@example.com" in found
    assert b"ann-" not in found


def test_what_was_delivered_leaves_the_log_of_a_store_that_never_rests(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.world.store.writer.EMPTIED_EVERY", 0.2)
    done(store.enqueue([a_row("1", body=b"ann@example.com")]))
    claimed(store)
    done(store.settle([Settlement("1", "accepted")]))
    deadline = time.monotonic() + 5
    while b"ann@example.com" in b"".join(one.read_bytes() for one in file.parent.iterdir()):
        assert time.monotonic() < deadline
        done(store.pending())
        time.sleep(0.01)


FIRST = """DROP INDEX outbox_by_visitor; DROP INDEX outbox_by_receipt;
CREATE INDEX outbox_by_person ON outbox (person, vendor, seq) WHERE person <> '';
CREATE INDEX outbox_by_receipt ON outbox (receipt) WHERE receipt <> '';
CREATE TRIGGER outbox_grows AFTER INSERT ON outbox
  BEGIN UPDATE size SET bytes = bytes + length(NEW.body); END;
CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox
  BEGIN UPDATE size SET bytes = bytes - length(OLD.body); END;"""
"""What the first version had instead of what the second has."""


def taken_back(file: Path, version: int) -> None:
    """Make a file of this earlier version of one of today's."""
    earlier = sqlite3.connect(file)
    first = ("receipts", "outbox", "size")
    tables = [name for (name,) in earlier.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in tables:
        if name not in first and not name.startswith("sqlite_"):
            earlier.execute(f"DROP TABLE {name}")
    earlier.executescript((FIRST if version == 1 else "") + f"PRAGMA user_version = {version};")
    earlier.close()


def schema_of(file: Path) -> set[tuple[str, str]]:
    db = sqlite3.connect(file)
    found = db.execute("SELECT type, name FROM sqlite_master").fetchall()
    db.close()
    return set(found)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_version_is_brought_up_to_date(file: Path, version: int) -> None:
    store = open_store(f"sqlite:///{file}", max_size=100)
    done(store.add_receipt(a_receipt("r1")))
    done(store.enqueue([a_row("1", body=b"x" * 60)]))
    store.close()
    today = schema_of(file)
    taken_back(file, version)
    assert schema_of(file) != today
    store = open_store(f"sqlite:///{file}", max_size=100)
    with pytest.raises(StoreFullError):
        done(store.enqueue([a_row("2", body=b"x" * 60)]))
    assert done(store.erase(["ann"], receipt="r1")) == 2
    done(store.enqueue([a_row("2", body=b"x" * 60)]))
    assert claimed(store) == ["2"]
    store.close()
    assert schema_of(file) == today
