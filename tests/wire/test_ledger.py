"""The chain: one code for one entry at one place under one key, and no two entries alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.ledger import Entry
from consent_mw.errors import KeysError
from consent_mw.wire.ledger import CUT, HEAD, Book, LedgerRow, Mark, event_digest, read_head
from consent_mw.wire.ledger_verifier import Finding, Verifier
from consent_mw.wire.token import Keyring

KEY, OTHER = "the-key-of-the-ledger-01", "another-key-of-ledgers-01"
OLD, NEW = "a-signing-key-of-old-0123", "a-newer-signing-key-01234"
BOOK = Book.of(None, KEY)
START = BOOK.sealed(CUT, 0, "0" * 64)
ENTRIES = [Entry("choice", "", "", '{"n":1}'), Entry("delivery", "crm", "accepted", '{"n":2}')]
ROWS = BOOK.written(START, ENTRIES, 1_527_000_000_000)


def found(rows: list[LedgerRow], head: Mark | None = None, *, book: Book = BOOK, given: Mark | None = None) -> Any:
    verifier = Verifier(book, START, given)
    verifier.take(rows)
    verifier.finish(head or BOOK.sealed(HEAD, rows[-1].seq, rows[-1].mac), START)
    return verifier.findings


def test_what_was_written_is_as_it_was_written() -> None:
    assert [row[:7] for row in ROWS] == [
        (1, 1_527_000_000_000, "choice", "", "", '{"n":1}', BOOK.key),
        (2, 1_527_000_000_000, "delivery", "crm", "accepted", '{"n":2}', BOOK.key),
    ]
    assert found(ROWS) == []


texts = st.text(max_size=6)
columns = st.tuples(st.integers(0, 3), st.integers(0, 3), texts, texts, texts, texts)


@given(columns, columns)
def test_two_entries_have_two_codes(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Whatever moves from one column to the next: lengths stand before what they are of."""
    made = []
    for seq, at, *told in (one, other):
        try:
            [row] = BOOK.written(Mark(seq, "0" * 64), [Entry(*told)], at)
        except UnicodeEncodeError:
            return
        made.append(row.mac)
    assert (made[0] == made[1]) is (one == other)


@pytest.mark.parametrize("key", [None, "", "short", "short,alsoshort"])
def test_a_key_that_can_be_guessed_is_none(key: str | None) -> None:
    with pytest.raises(KeysError):
        Book.of(None, key or "")


def test_another_key_makes_another_chain_and_tells_so() -> None:
    other = Book.of(None, OTHER)
    assert other.written(START, ENTRIES, 1)[0].mac != BOOK.written(START, ENTRIES, 1)[0].mac
    said = "the mark where the ledger begins is not as it was left: it is under a key that is not given"
    assert found(ROWS, book=other) == [Finding(0, said)]


def test_the_last_key_writes_and_every_key_verifies() -> None:
    both = Book.of(None, f"{KEY},{OTHER}")
    assert both.key == Book.of(None, OTHER).key
    more = both.written(Mark(ROWS[-1].seq, ROWS[-1].mac), ENTRIES, 2)
    assert found([*ROWS, *more], both.sealed(HEAD, more[-1].seq, more[-1].mac), book=both) == []


def test_without_a_key_of_its_own_it_is_the_oldest_signing_keys() -> None:
    assert Book.of(Keyring([OLD, NEW])).key == Book.of(Keyring([OLD])).key != Book.of(Keyring([NEW])).key
    # A key of its own takes its place, and what was written before is still verified.
    assert Book.of(Keyring([OLD, NEW]), KEY).key == BOOK.key
    assert Book.of(Keyring([OLD, NEW]), KEY).knows(Book.of(Keyring([OLD])).key)


@pytest.mark.parametrize("which", [HEAD, CUT])
def test_a_seal_is_of_one_end_only(which: str) -> None:
    sealed = BOOK.sealed(which, 3, "a" * 64)
    assert BOOK.holds(which, sealed)
    assert not BOOK.holds(CUT if which == HEAD else HEAD, sealed)
    assert not [one for one in (sealed._replace(seq=4), sealed._replace(mac="b" * 64)) if BOOK.holds(which, one)]


def test_a_head_is_read_as_it_is_written() -> None:
    mark = Mark(12, "0a" * 32)
    assert read_head(f" {mark}\n") == mark
    assert [
        read_head(text) for text in ("", ":", "1:", f"١:{'a' * 64}", f"1:{'a' * 65}", f"{'9' * 30}:{'a' * 64}")
    ] == [None] * 6


def test_findings_name_the_entry() -> None:
    assert [
        found(rows)[0].message for rows in ([ROWS[1]], [ROWS[0]._replace(vendor="x"), ROWS[1]], [ROWS[0]] * 2)
    ] == [
        "entry 1 is missing",
        "entry 1 is not as it was written, or not at its place",
        "an entry stands before entry 2 that is none of the ledger",
    ]
    assert found(ROWS[:1], BOOK.sealed(HEAD, 2, ROWS[1].mac)) == [
        Finding(2, "the end is missing: the head names entry 2, the last one is 1")
    ]
    assert found(ROWS, given=Mark(3, "a" * 64)) == [
        Finding(3, "the end is missing: the head given names entry 3, the last one is 2")
    ]
    assert found(ROWS, given=Mark(1, "a" * 64)) == [Finding(1, "entry 1 was another one, says the head given")]


def test_a_digest_is_of_one_person_and_one_event() -> None:
    made = {event_digest(key, event) for key in (b"a" * 64, b"b" * 64) for event in ("1", "2", "\ud800")}
    assert (len(made), {len(one) for one in made}) == (6, {16})
