"""`consent-mw ledger`: a whole ledger is told to be whole, and whatever is done to one without its key is found."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from tests.world.ledgers import KEY, a_book, a_kept_ledger, a_row, deliver, done, give_consent, live

ENTRIES = 13
COLUMNS = ("seq", "at", "kind", "vendor", "outcome", "key", "mac", "body")
END_COLUMNS = ("which", "seq", "mac", "key", "seal")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a small site that was closed."""
    file = tmp_path_factory.mktemp("kept") / "consent.db"
    store = a_kept_ledger(file)
    live(store)
    store.close()
    return file


@pytest.fixture
def file(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change."""
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", KEY)
    monkeypatch.delenv("CONSENT_MW_KEYS", raising=False)
    return Path(shutil.copy(kept, tmp_path / "consent.db"))


def verb(*words: str, file: Path) -> int:
    return run(["ledger", *words, "--store", f"sqlite:///{file}"])


def change(file: Path, *statements: str, **values: Any) -> None:
    """Change the file as somebody would who has it and not the key."""
    db = sqlite3.connect(file)
    for statement in statements:
        assert db.execute(statement, values).rowcount != 0
    db.commit()
    db.close()


def stands(file: Path, sql: str, *values: object) -> Any:
    db = sqlite3.connect(file)
    (found,) = db.execute(sql, values).fetchone()
    db.close()
    return found


def head_of(file: Path) -> str:
    return f"{stands(file, 'SELECT seq FROM ledger_ends')}:{stands(file, 'SELECT mac FROM ledger_ends')}"


# what is whole


def test_a_whole_ledger_is_told_to_be_whole(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("head", file=file) == 0
    head = capsys.readouterr().out
    assert head == f"{ENTRIES}:{stands(file, 'SELECT mac FROM ledger ORDER BY seq DESC')}\n"
    for more in ([], ["--head", head.strip()]):
        assert verb("verify", *more, file=file) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"the ledger is whole: {ENTRIES} entries, head {head.strip()} (")


def test_a_head_from_before_is_one_of_the_same_ledger(file: Path) -> None:
    for number in range(1, ENTRIES + 1):
        mac = stands(file, "SELECT mac FROM ledger WHERE seq = ?", number)
        assert verb("verify", "--head", f"{number}:{mac}", file=file) == 0


# what somebody did without the key

ANOTHER: dict[str, Any] = {"seq": 99, "at": 1, "kind": "nothing", "vendor": "other", "outcome": "dropped"}
ANOTHER |= {"key": "00000000", "mac": "0" * 64, "body": '{"format":2}', "which": "tail", "seal": "0" * 64}
STRANGE = [None, 1, 1.5, b"\xff", "", "é\x00", "\udcff"]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_another_value_in_any_place_is_found(file: Path, column: str, number: int) -> None:
    change(file, f"UPDATE ledger SET {column} = :new WHERE seq = {number}", new=ANOTHER[column])
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("new", STRANGE, ids=repr)
@pytest.mark.parametrize("column", COLUMNS[1:])
def test_a_value_of_another_kind_is_found(file: Path, column: str, new: object) -> None:
    if isinstance(new, str) and "\udcff" in new:
        db = sqlite3.connect(file)
        db.execute(f"UPDATE ledger SET {column} = CAST(x'ff' AS TEXT) WHERE seq = 4")
        db.commit()
        db.close()
    else:
        loosened(file)
        change(file, f"UPDATE ledger SET {column} = :new WHERE seq = 4", new=new)
    assert verb("verify", file=file) == 1


def loosened(file: Path) -> None:
    """Without the constraints of the table, which whoever has the file can take away."""
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name LIKE 'ledger%'")
    db.close()


@pytest.mark.parametrize("which", ["head", "cut"])
@pytest.mark.parametrize("column", END_COLUMNS)
def test_another_end_is_found(file: Path, which: str, column: str) -> None:
    change(file, f"UPDATE ledger_ends SET {column} = :new WHERE which = '{which}'", new=ANOTHER[column])
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("which", ["head", "cut"])
def test_a_missing_end_is_found(file: Path, which: str) -> None:
    change(file, f"DELETE FROM ledger_ends WHERE which = '{which}'")
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_a_removed_entry_is_found(file: Path, number: int) -> None:
    change(file, f"DELETE FROM ledger WHERE seq = {number}")
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("number", range(1, ENTRIES))
def test_a_removed_entry_is_found_where_the_others_move_up(file: Path, number: int) -> None:
    change(file, f"DELETE FROM ledger WHERE seq = {number}", f"UPDATE ledger SET seq = -seq WHERE seq > {number}")
    change(file, "UPDATE ledger SET seq = -seq - 1 WHERE seq < 0")
    change(file, "UPDATE ledger_ends SET seq = seq - 1 WHERE which = 'head'")
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("number", range(1, ENTRIES))
def test_two_entries_that_change_places_are_found(file: Path, number: int) -> None:
    for old, new in ((number, -1), (number + 1, number), (-1, number + 1)):
        change(file, f"UPDATE ledger SET seq = {new} WHERE seq = {old}")
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("place", [-(2**63), -1, 0, ENTRIES + 1, 2**63 - 1])
def test_an_entry_more_is_found(file: Path, place: int) -> None:
    rest = ", ".join(COLUMNS[1:])
    change(file, f"INSERT INTO ledger (seq, {rest}) SELECT {place}, {rest} FROM ledger WHERE seq = 5")
    assert verb("verify", file=file) == 1


def test_an_entry_more_in_between_is_found(file: Path) -> None:
    rest = ", ".join(COLUMNS[1:])
    change(file, "UPDATE ledger SET seq = -seq WHERE seq > 5", "UPDATE ledger SET seq = 1 - seq WHERE seq < 0")
    change(file, f"INSERT INTO ledger (seq, {rest}) SELECT 6, {rest} FROM ledger WHERE seq = 5")
    assert verb("verify", file=file) == 1


@pytest.mark.parametrize("left", range(ENTRIES))
def test_a_cut_end_is_found(file: Path, left: int, capsys: pytest.CaptureFixture[str]) -> None:
    change(file, f"DELETE FROM ledger WHERE seq > {left}")
    assert verb("verify", file=file) == 1
    assert capsys.readouterr().out == f"the end is missing: the head names entry {ENTRIES}, the last one is {left}\n"


@pytest.mark.parametrize("left", range(1, ENTRIES))
def test_a_cut_end_is_found_where_the_head_was_moved_too(file: Path, left: int) -> None:
    change(file, f"DELETE FROM ledger WHERE seq > {left}")
    mac = stands(file, "SELECT mac FROM ledger ORDER BY seq DESC")
    change(file, f"UPDATE ledger_ends SET seq = {left}, mac = :mac WHERE which = 'head'", mac=mac)
    assert verb("verify", file=file) == 1


def test_an_earlier_state_of_the_whole_file_is_found_by_a_head_that_was_kept(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = Path(shutil.copy(file, tmp_path / "earlier.db"))
    store = a_kept_ledger(file)
    give_consent(store, "r2")
    head = store.head
    store.close()
    assert verb("verify", "--head", head, file=file) == 0
    assert verb("verify", file=earlier) == 0
    capsys.readouterr()
    assert verb("verify", "--head", head, file=earlier) == 1
    said = capsys.readouterr().out
    assert said == f"the end is missing: the head given names entry {ENTRIES + 1}, the last one is {ENTRIES}\n"


def test_another_ledger_under_the_same_key_is_found_by_a_head_that_was_kept(file: Path, tmp_path: Path) -> None:
    store = a_kept_ledger(tmp_path / "other.db")
    live(store)
    store.close()
    head = f"3:{stands(file, 'SELECT mac FROM ledger WHERE seq = 3')}"
    assert verb("verify", "--head", head, file=tmp_path / "other.db") == 1


def test_a_ledger_that_was_written_anew_without_the_key_is_found(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = a_kept_ledger(tmp_path / "forged.db", book=a_book("a-key-that-somebody-made-up-000"))
    live(store)
    store.close()
    assert verb("verify", file=tmp_path / "forged.db") == 2
    assert "is not among the keys given" in capsys.readouterr().err
    key = stands(file, "SELECT key FROM ledger LIMIT 1")
    change(tmp_path / "forged.db", "UPDATE ledger SET key = :key", "UPDATE ledger_ends SET key = :key", key=key)
    assert verb("verify", file=tmp_path / "forged.db") == 1


def test_an_emptied_ledger_is_found(file: Path) -> None:
    change(file, "DELETE FROM ledger", "DELETE FROM ledger_ends")
    assert verb("verify", file=file) == 1


# what was done while the ledger was in use is not healed by going on

HARM: dict[str, Callable[[Path], None]] = {
    "head moved back": lambda file: change(
        file,
        "DELETE FROM ledger WHERE seq > 9",
        "UPDATE ledger_ends SET seq = 9, mac = (SELECT mac FROM ledger WHERE seq = 9) WHERE which = 'head'",
    ),
    "end cut": lambda file: change(file, "DELETE FROM ledger WHERE seq > 9"),
    "an entry edited": lambda file: change(file, "UPDATE ledger SET vendor = 'x' WHERE seq = 9"),
    "last entry edited": lambda file: change(file, "UPDATE ledger SET vendor = 'x' WHERE seq = 13"),
    "no head": lambda file: change(file, "DELETE FROM ledger_ends WHERE which = 'head'"),
    "no ends": lambda file: change(file, "DELETE FROM ledger_ends"),
    "no entries": lambda file: change(file, "DELETE FROM ledger"),
    "an entry more": lambda file: change(
        file, "INSERT INTO ledger SELECT 14, at, kind, vendor, outcome, key, mac, body FROM ledger WHERE seq = 3"
    ),
    "a head under a key of nobody": lambda file: change(
        file,
        "DELETE FROM ledger WHERE seq > 9",
        "UPDATE ledger_ends SET seq = 9, mac = (SELECT mac FROM ledger WHERE seq = 9), key = '00000000', seal = ''"
        " WHERE which = 'head'",
    ),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
@pytest.mark.parametrize("opened", [True, False], ids=["while open", "while closed"])
def test_what_was_changed_stays_found_however_long_the_ledger_goes_on(
    file: Path, harm: Callable[[Path], None], opened: bool
) -> None:
    if opened:
        store = a_kept_ledger(file)
        harm(file)
    else:
        harm(file)
        store = a_kept_ledger(file)
    for number in range(3):
        give_consent(store, f"n{number}")
    done(store.expire(receipts_before=0, dead_before=0, ledger_before=0))
    store.close()
    assert verb("verify", file=file) == 1


# keys


def test_without_a_key_nothing_can_be_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONSENT_MW_LEDGER_KEY")
    assert verb("verify", file=file) == 2
    assert capsys.readouterr().err.startswith("consent-mw: no keys: set CONSENT_MW_LEDGER_KEY")


@pytest.mark.parametrize(
    "head", ["", "x", "1", "1:zz", f"1:{'a' * 63}", f"-1:{'a' * 64}", f"1:{'A' * 64}", "1:" * 40]
)
def test_a_head_that_is_none_is_told(file: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("verify", "--head", head, file=file) == (2 if head else 0)
    assert ("--head is not of the form NUMBER:CODE" in capsys.readouterr().err) is bool(head)


def test_a_key_that_took_the_place_of_another_leaves_the_earlier_entries_good(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = f"{KEY},a-newer-key-of-the-ledger-0123456"
    store = a_kept_ledger(file, book=a_book(both))
    give_consent(store, "r9")
    store.close()
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", both)
    assert verb("verify", file=file) == 0
    change(file, "UPDATE ledger SET body = '{}' WHERE seq = 2")
    assert verb("verify", file=file) == 1


# stores that cannot be read


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda file: None, "there is no such file", id="no file"),
        pytest.param(lambda file: file.write_bytes(b"not a database at all" * 100), "not a database", id="other"),
        pytest.param(lambda file: file.touch(), "has no consent_mw tables yet", id="empty"),
    ],
)
def test_a_store_that_cannot_be_read_is_told(
    tmp_path: Path, prepare: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "c.db")
    for words in (["head"], ["list"], ["export"]):
        assert verb(*words, file=tmp_path / "c.db") == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "c.db-wal").exists()


# list


def listed(capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> list[tuple[int, str, str | None]]:
    assert verb("list", "--format", "json", *words, file=file) == 0
    return [(one["number"], one["kind"], one["vendor"]) for one in json.loads(capsys.readouterr().out)["entries"]]


def test_entries_are_listed_by_outcome_vendor_and_kind(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, file, "--outcome", "dead") == [(5, "delivery", "insights")]
    assert listed(capsys, file, "--kind", "choice") == [(3, "choice", None)]
    assert listed(capsys, file, "--vendor", "crm", "--outcome", "accepted") == [(12, "delivery", "crm")]
    assert [number for number, _, _ in listed(capsys, file)] == list(range(1, ENTRIES + 1))
    assert [number for number, _, _ in listed(capsys, file, "--limit", "2")] == [ENTRIES - 1, ENTRIES]


@pytest.mark.parametrize("words", [["list"], ["retry"]], ids=" ".join)
@pytest.mark.parametrize(
    ("vendor", "helped"),
    [
        ("insigths", "did you mean `insights`?"),
        ("segment", "it knows `crm`, `insights`"),
        ("\x1b[2J", "it knows `crm`"),
    ],
    ids=["misspelt", "another", "unprintable"],
)
def test_a_vendor_that_the_ledger_never_heard_of_is_told(
    words: list[str], vendor: str, helped: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb(*words, "--vendor", vendor, file=file) == 2
    shown = vendor.replace("\x1b", "\ufffd")
    told = capsys.readouterr()
    assert told.err.startswith(f"consent-mw: the ledger knows no vendor `{shown}`; {helped}")
    assert (told.out, told.err.count("\n")) == ("", 1)


def test_a_vendor_without_such_an_entry_is_no_mistake(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, file, "--vendor", "crm", "--outcome", "dead") == []
    assert verb("retry", "--vendor", "crm", file=file) == 0
    assert capsys.readouterr().out == "there are no dead letters\n"


def test_an_empty_ledger_knows_no_vendor_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", KEY)
    a_kept_ledger(tmp_path / "c.db").close()
    assert verb("list", "--vendor", "crm", file=tmp_path / "c.db") == 2
    assert capsys.readouterr().err == "consent-mw: the ledger knows no vendor `crm`; it knows none yet\n"


def test_a_vendor_whose_events_only_wait_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", KEY)
    store = a_kept_ledger(tmp_path / "c.db")
    done(store.enqueue([a_row("1", vendor="crm")]))
    store.close()
    assert listed(capsys, tmp_path / "c.db", "--vendor", "crm") == []


def test_a_terminal_is_not_driven_by_what_somebody_wrote(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(file, "UPDATE ledger SET vendor = :new, body = :new", new="\x1b[2J")
    assert verb("list", file=file) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert verb("list", "--format", "json", file=file) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert verb("export", file=file) == 0
    assert "\x1b" not in capsys.readouterr().out


# beside the process that writes


def test_what_reads_runs_beside_what_writes_and_holds_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = a_kept_ledger(file)
    for number in range(20):
        give_consent(store, f"n{number}")
        for words in (["verify"], ["head"], ["list"], ["export"]):
            assert verb(*words, file=file) == 0
    store.close()


# dead letters


def test_dead_letters_are_listed_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSENT_MW_LEDGER_KEY", KEY)
    file = tmp_path / "c.db"
    store = a_kept_ledger(file)
    done(store.enqueue([a_row(str(number), vendor=name) for number, name in enumerate(["a", "a", "b"])]))
    deliver(store, 10, "dead", vendor="a")
    deliver(store, 10, "dead", vendor="b")
    assert verb("list", "--outcome", "dead", file=file) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ", 2)[2] for line in said[:2]] == [
        "delivery  a  fields: event, page_path  dead 2  purposes: analytics",
        "delivery  b  fields: event, page_path  dead 1  purposes: analytics",
    ]
    assert said[2:] == [
        "2 dead letters of a are kept: `consent-mw ledger retry` tries again",
        "1 dead letter of b is kept: `consent-mw ledger retry` tries again",
    ]
    assert verb("retry", "--vendor", "a", "--format", "json", file=file) == 0
    assert json.loads(capsys.readouterr().out) == {"retried": {"a": 2}}
    assert [row.attempts for row in done(store.claim("a", 10, 2e9, 60.0))] == [1, 1]
    assert verb("retry", file=file) == 0
    assert capsys.readouterr().out == "1 dead letter of b is tried again\n"
    assert verb("retry", file=file) == 0
    assert capsys.readouterr().out == "there are no dead letters\n"
    store.close()
    assert verb("verify", file=file) == 0


def test_retry_makes_no_store_where_there_is_none(file: Path, tmp_path: Path) -> None:
    assert verb("retry", file=tmp_path / "none.db") == 2
    assert not (tmp_path / "none.db").exists()
