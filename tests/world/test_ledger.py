"""The ledger of a store: what it tells, when it is written, and what is left of it."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.ledger import policy_load
from consent_mw.errors import StoreError, StoreFullError
from consent_mw.wire.ledger import LedgerRow, event_digest, read_head
from consent_mw.world.store import Settlement, open_store
from consent_mw.world.store.ledger import CUT_AT_ONCE
from tests.world.ledgers import (
    KEY,
    NOW,
    a_book,
    a_kept_ledger,
    a_row,
    deliver,
    done,
    findings,
    give_consent,
    kinds,
    live,
    told,
)

OPENED = ("opened", "", "", {"format": 1})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consent.db"


def ask(file: Path, sql: str, *values: object) -> list[Any]:
    db = sqlite3.connect(file)
    found = db.execute(sql, values).fetchall()
    db.close()
    return found


def digest(file: Path, person: str, *events: str) -> list[str]:
    """What stands for these events of this person, as whoever has the store can tell."""
    [(key,)] = ask(file, "SELECT key FROM person_keys WHERE person = ?", person)
    return [event_digest(key.encode(), one) for one in events]


# what it tells


def test_a_ledger_begins_with_its_first_entry_and_is_opened_once(file: Path) -> None:
    for _ in range(2):
        store = a_kept_ledger(file)
        assert read_head(store.head) is not None
        store.close()
    assert told(file) == [OPENED]
    assert findings(file) == []


def test_without_a_book_there_is_none(file: Path) -> None:
    store = open_store(f"sqlite:///{file}")
    live(store)
    assert store.head == ""
    store.close()
    assert told(file) == []


def test_a_choice_is_told_with_its_receipt_and_once(file: Path) -> None:
    store = a_kept_ledger(file)
    give_consent(store, "r1")
    give_consent(store, "r1")
    store.close()
    content = {
        "receipt": "r1",
        "purposes": {"analytics": True},
        "revision": "1",
        "jurisdiction": "eea",
        "how": "form",
    }
    assert told(file) == [OPENED, ("choice", "", "", content)]


def test_a_delivery_is_one_entry_with_the_names_of_fields_and_digests(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob"), a_row("3", visitor="")]))
    rows = done(store.claim("insights", 10, NOW, 60.0))
    ends = [
        Settlement(rows[0].id, "accepted"),
        Settlement(rows[1].id, "rejected"),
        Settlement(rows[2].id, "accepted"),
    ]
    done(store.settle(ends, vendor="insights", fields=["time", "event"]))
    store.close()
    content = {
        "fields": ["event", "time"],
        "purposes": ["analytics"],
        "outcomes": {"accepted": 2, "rejected": 1},
        "events": {"accepted": digest(file, "ann", "event-1"), "rejected": digest(file, "bob", "event-2")},
    }
    assert told(file) == [OPENED, ("delivery", "insights", "accepted,rejected", content)]


def test_what_is_tried_again_is_told_at_its_end_only(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row("1")]))
    done(store.claim("insights", 10, NOW, 60.0))
    done(store.settle([Settlement("1", retry_at=NOW + 1)], vendor="insights", fields=["event"]))
    store.close()
    assert told(file) == [OPENED]


@pytest.mark.parametrize("reason", ["withdrawal", "minor", "choice"])
def test_a_recall_is_told_by_vendor_with_its_reason(file: Path, reason: str) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row("1"), a_row("2", vendor="crm", purpose="sales"), a_row("3", visitor="bob")]))
    done(store.claim("insights", 1, NOW, 60.0))
    assert sorted(done(store.recall(["ann"], reason=reason))) == ["event-1", "event-2"]
    store.close()
    assert told(file)[1:] == [
        ("recall", vendor, "recalled", {
            "reason": reason,
            "purposes": [purpose],
            "tried": tried,
            "outcomes": {"recalled": 1},
            "events": {"recalled": digest(file, "ann", event)},
        })
        for vendor, purpose, tried, event in (("insights", "analytics", 1, "event-1"), ("crm", "sales", 0, "event-2"))
    ]  # fmt: skip


def test_a_recall_of_nothing_is_no_entry(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.recall(["ann"]))
    done(store.erase(["ann"]))
    done(store.settle([]))
    done(store.recall_others(["insights"]))
    done(store.revive())
    done(store.expire(receipts_before=NOW, dead_before=NOW, ledger_before=NOW))
    store.close()
    assert told(file) == [OPENED]


def test_what_a_vendor_says_of_an_event_that_was_recalled_meanwhile_is_told_as_late(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob")]))
    rows = done(store.claim("insights", 10, NOW, 60.0))
    done(store.erase(["ann"]))
    ends = [Settlement(row.id, "accepted") for row in rows]
    done(store.settle(ends[:1], vendor="insights", fields=["event"]))
    done(store.settle(ends, vendor="insights", fields=["event"]))
    store.close()
    late = [(outcome, content["outcomes"], content["late"]) for kind, _, outcome, content in told(file)[3:]]
    assert late == [("accepted", {}, {"accepted": 1}), ("accepted", {"accepted": 1}, {"accepted": 1})]
    # The key of a person who was erased does not come back.
    assert ask(file, "SELECT person FROM person_keys") == [("bob",)]


def test_what_gives_way_to_newer_events_is_told_as_dropped(file: Path) -> None:
    store = a_kept_ledger(file, max_size=100, drop_oldest=True)
    done(store.enqueue([a_row("1", body=b"x" * 60, vendor="crm")]))
    done(store.enqueue([a_row("2", body=b"x" * 60)]))
    store.close()
    content = {"purposes": ["analytics"], "outcomes": {"dropped": 1}}
    content |= {"events": {"dropped": digest(file, "ann", "event-1")}}
    assert told(file)[1:] == [("overflow", "crm", "dropped", content)]


def test_many_recalled_events_are_told_in_parts(file: Path) -> None:
    store = a_kept_ledger(file)
    for start in range(0, 6000, 1000):
        done(store.enqueue([a_row(str(number), visitor=f"v{number}") for number in range(start, start + 1000)]))
    gone = [done(store.recall_others(["crm"])) for _ in range(3)]
    store.close()
    assert gone == [{"insights": 5000}, {"insights": 1000}, {}]
    assert [content["outcomes"] for _, _, _, content in told(file)[1:]] == [{"recalled": 1000}] * 6


# in one transaction


def test_what_is_not_done_is_not_told(file: Path) -> None:
    """Of one group of requests, one fails for reasons of its own: its entries are gone with its changes."""
    store = a_kept_ledger(file, max_size=100)
    done(store.enqueue([a_row("1", body=b"x" * 60)]))
    asked = [
        store.note([policy_load("1", "d", "enforce")]),
        store.enqueue([a_row("2", body=b"x" * 60)]),
        store.note([policy_load("2", "d", "enforce")]),
    ]
    done(asked[0])
    done(asked[2])
    with pytest.raises(StoreFullError):
        done(asked[1])
    store.close()
    assert kinds(file) == ["opened", "policy", "policy"]
    assert findings(file) == []


def full(store: Any, pages: int | None = None) -> None:
    """Let the file grow no more, as on a full disk; with `pages`, let it."""

    def bound(db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA max_page_count = {pages or db.execute('PRAGMA page_count').fetchone()[0]}")

    done(store._writer.ask(bound))


def test_on_a_full_disk_nothing_is_half_done_and_the_chain_goes_on_after(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row(str(number), visitor=f"v{number}") for number in range(400)]))
    rows = done(store.claim("insights", 400, NOW, 60.0))
    full(store)
    settled = [Settlement(row.id, "accepted") for row in rows]
    with pytest.raises(StoreError, match="full"):
        # Deleting needs no room, its entry does.
        done(store.settle(settled, vendor="insights", fields=["event"] * 100))
    assert (done(store.pending()), store.healthy) == (400, False)
    with pytest.raises(StoreError):
        give_consent(store, "r1" * 5000)
    assert done(store.receipt("r1" * 5000)) is None
    full(store, 1_000_000)
    done(store.settle(settled, vendor="insights", fields=["event"]))
    assert (done(store.pending()), store.healthy) == (0, True)
    head = store.head
    store.close()
    assert kinds(file) == ["opened", "delivery"]
    assert findings(file, read_head(head)) == []


def test_two_stores_on_one_file_extend_one_chain(file: Path) -> None:
    stores = [a_kept_ledger(file), a_kept_ledger(file)]
    asked = [stores[number % 2].note([policy_load(str(number), "d", "enforce")]) for number in range(200)]
    for one in asked:
        done(one)
    for store in stores:
        store.close()
    assert sorted(content.get("revision", "") for _, _, _, content in told(file)) == sorted(
        ["", *map(str, range(200))]
    )
    assert findings(file) == []


WRITER = """
import sys
from pathlib import Path
from tests.world.ledgers import a_kept_ledger, give_consent
store = a_kept_ledger(Path(sys.argv[1]))
for number in range(100):
    give_consent(store, f"{sys.argv[2]}-{number}")
print(store.head)
store.close()
"""


def test_two_processes_on_one_file_extend_one_chain(file: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(file)]
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    heads = [process.communicate(timeout=30)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert kinds(file) == ["opened", *["choice"] * 200]
    assert [findings(file, read_head(head)) for head in heads] == [[], []]


# persons


def test_erasing_destroys_the_key_and_leaves_the_chain_whole(file: Path) -> None:
    store = a_kept_ledger(file)
    give_consent(store, "r1")
    give_consent(store, "r2", root="r1")
    done(store.enqueue([a_row("1"), a_row("2", visitor="", receipt="r2"), a_row("3", visitor="bob")]))
    deliver(store, 2)
    assert done(store.recall(["bob"])) == ["event-3"]
    assert [one for (one,) in ask(file, "SELECT person FROM person_keys ORDER BY person")] == ["ann", "bob", "r1"]
    done(store.enqueue([a_row("4")]))
    assert done(store.erase(["ann", "r2"], receipt="r2")) == 3
    store.close()
    assert ask(file, "SELECT person FROM person_keys") == [("bob",)]
    assert told(file)[-1] == ("erasure", "", "", {"receipts": 2, "events": 1, "keys": 2})
    assert findings(file) == []


@pytest.mark.parametrize("known", ["ann", "r2"], ids=["by visitor", "by receipt"])
def test_a_person_who_is_known_by_one_name_loses_the_keys_of_both(file: Path, known: str) -> None:
    """Before the identifier there is the receipt alone; after a withdrawal there is again."""
    store = a_kept_ledger(file)
    give_consent(store, "r1")
    give_consent(store, "r2", root="r1")
    done(store.enqueue([a_row("1", visitor="", receipt="r1"), a_row("2", receipt="r2"), a_row("3", visitor="bob")]))
    deliver(store, 3)
    assert [one for (one,) in ask(file, "SELECT person FROM person_keys ORDER BY person")] == ["ann", "bob", "r1"]
    done(store.erase([known]))
    store.close()
    assert ask(file, "SELECT person FROM person_keys") == [("bob",)]


def test_nothing_of_a_person_stands_in_the_ledger(file: Path) -> None:
    store = a_kept_ledger(file)
    secret = {"visitor": "the-visitor", "event_id": "the-event", "body": b'{"event":"the-value"}'}
    done(store.enqueue([a_row(str(number), **secret) for number in range(4)]))
    deliver(store, 1)
    deliver(store, 1, "dead")
    done(store.recall(["the-visitor"]))
    done(store.erase(["the-visitor"]))
    store.close()
    rows = "".join(str(row) for row in ask(file, "SELECT * FROM ledger"))
    assert len(rows) > 1000
    assert not [word for word in ("the-visitor", "the-event", "the-value") if word in rows]


def test_a_key_in_use_stays_and_one_out_of_use_goes(file: Path) -> None:
    store = a_kept_ledger(file)
    done(store.enqueue([a_row("1"), a_row("2", visitor="bob"), a_row("3")]))
    deliver(store, 2)
    db = sqlite3.connect(file)
    db.execute("UPDATE person_keys SET used = used - 500")
    db.commit()
    db.close()
    deliver(store, 1)
    year_ago = time.time() - 365 * 86_400
    assert done(store.expire(receipts_before=0, dead_before=0, ledger_before=year_ago)) == 1
    store.close()
    assert ask(file, "SELECT person FROM person_keys") == [("ann",)]


# the front


def grown(file: Path, number: int) -> Any:
    """A store whose ledger has so many entries."""
    store = a_kept_ledger(file)
    done(store.note([policy_load(str(one), "d", "enforce") for one in range(number - 1)]))
    return store


def test_old_entries_are_cut_and_the_chain_goes_on_from_there(file: Path) -> None:
    store = grown(file, 9)
    kept = store.head
    time.sleep(0.002)
    before = time.time()
    time.sleep(0.002)
    give_consent(store, "r1")
    assert done(store.expire(receipts_before=0, dead_before=0, ledger_before=before)) == 9
    assert done(store.expire(receipts_before=0, dead_before=0, ledger_before=before)) == 0
    store.close()
    cut = {"through": 9, "mac": kept.partition(":")[2], "number": 9}
    content = {"receipts": 0, "dead_letters": 0, "keys": 0, "entries": cut}
    assert kinds(file) == ["choice", "retention"]
    assert told(file)[-1] == ("retention", "", "", content)
    assert findings(file, read_head(kept)) == []
    assert findings(file, read_head(f"9:{'0' * 64}")) != []


def test_a_cut_takes_a_bounded_number_at_once(file: Path) -> None:
    store = grown(file, CUT_AT_ONCE + 10)
    time.sleep(0.002)
    before = time.time()
    gone = [done(store.expire(receipts_before=0, dead_before=0, ledger_before=before)) for _ in range(3)]
    store.close()
    assert gone == [CUT_AT_ONCE, 10, 0]
    assert kinds(file) == ["retention", "retention"]
    assert findings(file) == []


def test_a_ledger_is_cut_but_for_its_last_entry_and_opened_again(file: Path) -> None:
    store = grown(file, 5)
    time.sleep(0.002)
    done(store.expire(receipts_before=0, dead_before=0, ledger_before=time.time()))
    store.close()
    store = a_kept_ledger(file)
    give_consent(store, "r1")
    store.close()
    assert kinds(file) == ["policy", "retention", "choice"]
    assert findings(file) == []


def test_what_was_changed_is_not_cut(file: Path) -> None:
    store = grown(file, 9)
    db = sqlite3.connect(file)
    db.execute("UPDATE ledger SET vendor = 'x' WHERE seq = 5")
    db.commit()
    db.close()
    assert done(store.expire(receipts_before=0, dead_before=0, ledger_before=time.time() + 1)) == 4
    assert done(store.expire(receipts_before=0, dead_before=0, ledger_before=time.time() + 1)) == 0
    store.close()
    assert [one.entry for one in findings(file)] == [5]


def test_entries_that_were_cut_and_put_back_are_found(file: Path) -> None:
    store = grown(file, 9)
    old = ask(file, "SELECT * FROM ledger"), ask(file, "SELECT * FROM ledger_ends WHERE which = 'cut'")
    done(store.expire(receipts_before=0, dead_before=0, ledger_before=time.time() + 1))
    store.close()
    db = sqlite3.connect(file)
    db.executemany("REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", old[0])
    db.executemany("REPLACE INTO ledger_ends VALUES (?, ?, ?, ?, ?)", old[1])
    db.commit()
    db.close()
    assert [one.message for one in findings(file)] == ["entry 8 had been deleted, and is there again"]


def test_receipts_and_dead_letters_that_expire_are_told_as_numbers(file: Path) -> None:
    store = a_kept_ledger(file)
    give_consent(store, "r1", at=NOW - 10)
    give_consent(store, "r2", at=NOW + 10)
    done(store.enqueue([a_row("1")]))
    deliver(store, 1, "dead")
    assert done(store.expire(receipts_before=NOW, dead_before=NOW + 1)) == 2
    store.close()
    assert told(file)[-1] == ("retention", "", "", {"receipts": 1, "dead_letters": 1, "keys": 0})


# keys that stay


def test_a_secret_is_what_it_was_first(file: Path) -> None:
    store = a_kept_ledger(file)
    assert done(store.secret("digest", b"one")) == b"one"
    assert done(store.secret("digest", b"two")) == b"one"
    store.close()
    store = a_kept_ledger(file)
    assert done(store.secret("digest", b"three")) == b"one"
    store.close()


def test_public_keys_are_kept_in_order_and_vouched_for_anew(file: Path) -> None:
    store = a_kept_ledger(file)
    assert done(store.publish([["a", "1"], ["b", "2"]])) == [["a", "1"], ["b", "2"]]
    assert done(store.publish([["c", "3"], ["a", "9"]])) == [["a", "9"], ["b", "2"], ["c", "3"]]
    store.close()


# a key that took the place of another


def test_the_chain_goes_on_under_another_key(file: Path) -> None:
    both = a_book(f"{KEY},another-key-of-the-ledger-01234")
    store = a_kept_ledger(file)
    give_consent(store, "r1")
    store.close()
    store = a_kept_ledger(file, book=both)
    give_consent(store, "r2")
    store.close()
    assert findings(file, book=both) == []
    # Without the earlier key nothing can be told of the earlier entries, but what was written is no fault.
    store = a_kept_ledger(file, book=a_book("another-key-of-the-ledger-01234"))
    give_consent(store, "r3")
    store.close()
    assert findings(file, book=both) == []
    assert kinds(file) == ["opened", "choice", "choice", "choice"]


def test_a_key_that_takes_the_place_of_another_at_once_breaks_nothing_that_is_written(file: Path) -> None:
    other = "another-key-of-the-ledger-01234"
    for key in (KEY, other):
        store = a_kept_ledger(file, book=a_book(key))
        give_consent(store, key)
        store.close()
    assert kinds(file) == ["opened", "choice", "choice"]
    assert findings(file, book=a_book(f"{KEY},{other}")) == []


# as a whole


def test_the_rows_of_the_file_are_what_the_book_wrote(file: Path) -> None:
    """The chain by the words of the README: HMAC-SHA256 over netstrings."""
    import hashlib
    import hmac

    store = a_kept_ledger(file)
    live(store)
    store.close()
    key = hmac.digest(KEY.encode(), b"consent_mw.ledger.chain", "sha256")
    [(code,)] = ask(file, "SELECT mac FROM ledger_ends WHERE which = 'cut'")
    rows = [LedgerRow(*row) for row in ask(file, "SELECT seq, at, kind, vendor, outcome, body, key, mac FROM ledger")]
    for row in rows:
        values = [str(one).encode() for one in (code, *row[:7])]
        netstrings = b"".join(b"%d:%s," % (len(one), one) for one in values)
        code = hmac.new(key, netstrings, hashlib.sha256).hexdigest()
        assert code == row.mac


def test_a_store_of_another_process_tells_the_same(file: Path) -> None:
    from tests.world.test_remote_store import Wire

    async def work() -> None:
        store = a_kept_ledger(file)
        remote = Wire(store).remote
        await asyncio.wrap_future(remote.note([policy_load("1", "d", "enforce")]))
        await asyncio.wrap_future(remote.enqueue([a_row("1")]))
        await asyncio.wrap_future(remote.recall(["ann"], reason="minor"))
        assert await asyncio.wrap_future(remote.secret("digest", b"\x00\xff")) == b"\x00\xff"
        assert await asyncio.wrap_future(remote.publish([["a", "1"]])) == [["a", "1"]]
        await asyncio.to_thread(store.close)

    asyncio.run(work())
    assert kinds(file) == ["opened", "policy", "recall"]
    assert findings(file) == []
