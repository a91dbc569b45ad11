"""The store in PostgreSQL: several machines, a server that is killed, hangs or cannot be used, and what it leaves."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from consent_mw.core.ledger import policy_load
from consent_mw.errors import StoreError
from consent_mw.wire.ledger import Book
from consent_mw.world.store import (
    OutboxRow,
    Settlement,
    Store,
    open_ledger,
    open_store,
    read_inventory,
    without_password,
)
from tests.postgres import ESCAPED, Cluster, a_cluster
from tests.world.store.conftest import Place
from tests.world.store.passage import Passage
from tests.world.store.rows import NOW, a_receipt, a_row, claimed, done


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    """An empty place in PostgreSQL."""
    made = Place(cluster.place())
    yield made
    made.close()


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


def asked(place: Place, sql: str, *values: object) -> list[Any]:
    """What the server says to somebody else."""
    with psycopg.connect(place.url, autocommit=True) as db:
        cursor = db.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def until(sign: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not sign():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# several machines


def test_two_machines_deliver_each_row_once_and_in_order_per_person(place: Place) -> None:
    machines = [place.open(), place.open()]
    taken: list[tuple[int, OutboxRow]] = []
    guard = threading.Lock()

    def keep(number: int) -> None:
        store = machines[number]
        kept = [
            store.enqueue([a_row(f"{number}-{n:04}-{k}", visitor=f"v{n % 7}-{number}") for k in range(5)])
            for n in range(80)
        ]
        for one in kept:
            done(one)

    def deliver(number: int) -> None:
        store = machines[number]
        quiet = 0
        while quiet < 40:
            rows = done(store.claim("insights", 7, NOW, 60.0))
            quiet = 0 if rows else quiet + 1
            with guard:
                taken.extend((number, row) for row in rows)
            settled = [Settlement(row.id, "accepted") for row in rows]
            done(store.settle(settled)) if rows else time.sleep(0.01)

    with ThreadPoolExecutor(4) as threads:
        for work in [threads.submit(do, number) for do in (keep, deliver) for number in (0, 1)]:
            work.result(60)
    ids = [row.id for _, row in taken]
    assert sorted(ids) == sorted(f"{m}-{n:04}-{k}" for m in (0, 1) for n in range(80) for k in range(5))
    assert {number for number, _ in taken} == {0, 1}
    by_person: dict[str, list[str]] = {}
    for _, row in taken:
        by_person.setdefault(row.visitor, []).append(row.id)
    assert [one for one in by_person.values() if one != sorted(one)] == []
    assert not any(row.interrupted for _, row in taken)


def test_a_machine_claims_nothing_of_a_person_of_whom_another_one_sends(place: Place) -> None:
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("1"), a_row("2"), a_row("3", visitor="bob")]))
    assert claimed(one, limit=1) == ["1"]
    assert claimed(two) == ["3"]
    done(one.settle([Settlement("1", "accepted")]))
    assert claimed(two) == ["2"]


def test_while_one_machine_claims_another_one_is_given_nothing_and_waits_for_nothing(place: Place) -> None:
    store = place.open()
    done(store.enqueue([a_row("1"), a_row("2", vendor="crm")]))
    with psycopg.connect(place.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' claims insights', 0))")
        assert (claimed(store), claimed(store, vendor="crm")) == ([], ["2"])
    assert claimed(store) == ["1"]


def test_what_another_machine_claimed_meanwhile_is_not_put_off(place: Place) -> None:
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("1")]))
    assert claimed(one) == ["1"]
    assert claimed(two, NOW + 61) == ["1"]
    done(one.settle([Settlement("1", retry_at=NOW)]))
    assert claimed(one, NOW + 62) == []
    done(two.settle([Settlement("1", retry_at=NOW)]))
    assert claimed(one, NOW + 63) == ["1"]


def test_a_recall_on_one_machine_takes_what_another_one_has_not_kept_yet(place: Place) -> None:
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("0", visitor="bob")]))
    assert done(two.recall(["ann"], purposes=["analytics"], at=NOW + 1)) == []
    made = [a_row("1"), a_row("2", visitor="bob"), a_row("3", purpose="cross_site"), a_row("4", created=NOW + 60)]
    done(one.enqueue(made))
    assert claimed(one) == ["0", "2", "3", "4"]


def test_a_recall_waits_for_what_another_machine_is_keeping(place: Place) -> None:
    """The other machine has its row in a transaction that is not committed yet: the recall must see it."""
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("0", visitor="bob")]))
    with psycopg.connect(place.url) as other:
        key = "hashtextextended(current_schema() || ' recalled', 0)"
        other.execute(f"SELECT pg_advisory_xact_lock_shared({key})")
        columns = "vendor, event_id, kind, body, visitor, receipt, jurisdiction, purpose, policy, created"
        other.execute(f"INSERT INTO outbox (id, {columns}) SELECT '1', {columns} FROM outbox WHERE id = '0'")
        other.execute("UPDATE outbox SET visitor = 'ann', event_id = 'event-1' WHERE id = '1'")
        recalled = two.recall(["ann"])
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert until(lambda: asked(place, waits) == [(1,)])
        assert not recalled.done()
        other.commit()
        assert done(recalled) == ["event-1"]
    assert claimed(two) == ["0"]


def test_a_clock_that_is_wrong_ends_no_lease_early(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one = place.open()
    monkeypatch.setattr("consent_mw.world.store.postgres_writer._skew", lambda link: -100.0)
    fast = place.open()
    done(one.enqueue([a_row("1")]))
    assert claimed(one) == ["1"]
    assert claimed(fast, NOW + 100 + 59) == []
    done(one.settle([Settlement("1", retry_at=NOW + 70)]))
    assert done(fast.next_due("insights")) == NOW + 170
    assert claimed(fast, NOW + 171) == ["1"]


def test_machines_that_start_together_make_the_tables_once(cluster: Cluster) -> None:
    url = cluster.place()
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: open_store(url), range(4)))
    done(stores[0].enqueue([a_row("1")]))
    assert [done(store.pending()) for store in stores] == [1] * 4
    for store in stores:
        store.close()
    place = Place(url)
    assert asked(place, "SELECT name, bytes FROM machines") == [("", 2)]


def test_machines_extend_one_chain(place: Place) -> None:
    book = Book([b"a key of the ledger, long enough"])
    machines = [place.open(book=book) for _ in range(3)]
    for number in range(30):
        for store in machines:
            store.note([policy_load(str(number), "digest", "enforce")])
    done(machines[0].enqueue([a_row("1")]))
    done(machines[1].add_receipt(a_receipt("r1"), policy_load("r", "d", "enforce")))
    for store in machines:
        done(store.note([]))
    assert claimed(machines[2]) == ["1"]
    done(machines[2].settle([Settlement("1", "accepted")], vendor="insights", fields=["event"]))
    reader = open_ledger(place.url)
    part = reader.part(0, 1000)
    told = reader.last(1, before=2**40, kind="delivery", vendor="insights", outcome="accepted")
    reader.close()
    assert part.cut is not None
    assert part.head is not None
    assert machines[2].head == str(part.head)
    assert [row.seq for row in part.rows] == list(range(1, 94))
    codes = [part.cut.mac, *(row.mac for row in part.rows)]
    assert all(book.follows(row, before) for row, before in zip(part.rows, codes, strict=False))
    assert Counter(row.kind for row in part.rows) == {"opened": 1, "policy": 91, "delivery": 1}
    assert told == part.rows[-1:]


# a server that fails


@pytest.fixture
def failing() -> Iterator[Cluster]:
    """A server of this test's own, to be killed."""
    with a_cluster() as running:
        yield running


class Traffic:
    """Machines that keep events and deliver them until they are told to end, whatever becomes of the server."""

    def __init__(self, url: str) -> None:
        self.machines = [open_store(url), open_store(url)]
        self.accepted: list[str] = []
        self.sent: list[str] = []
        self.ended = threading.Event()

    def keep(self, number: int) -> None:
        """Keep events, twenty at a time; note those that were accepted."""
        n = 0
        while not self.ended.is_set():
            names = [f"{number}-{n + k}" for k in range(20)]
            n += 20
            kept = [(name, self.machines[number].enqueue([a_row(name, visitor="")])) for name in names]
            self.accepted += [name for name, one in kept if one.exception(30) is None]

    def deliver(self, number: int) -> None:
        """Deliver what there is; once it was sent, note that it was until the store has taken it."""
        store = self.machines[number]
        while not self.ended.is_set() or done(store.pending()):
            claim = store.claim("insights", 50, NOW, 60.0)
            if claim.exception(30) is not None or not claim.result():
                time.sleep(0.02)
                continue
            settled = [Settlement(row.id, "accepted") for row in claim.result()]
            self.sent += [one.id for one in settled]
            while store.settle(settled).exception(30) is not None:
                time.sleep(0.05)


def test_a_server_that_is_killed_loses_nothing_and_nothing_goes_twice(failing: Cluster) -> None:
    traffic = Traffic(failing.place())
    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(do, number) for do in (traffic.keep, traffic.deliver) for number in (0, 1)]
        for kill in (True, True, True, False):
            before = len(traffic.accepted)
            assert until(lambda before=before: len(traffic.accepted) > before + 200, 30)
            if kill:
                failing.kill()
                failing.start()
        traffic.ended.set()
        for one in work:
            one.result(60)
    assert all(store.healthy for store in traffic.machines)
    for store in traffic.machines:
        store.close()
    assert set(traffic.accepted) - set(traffic.sent) == set()
    assert [name for name, times in Counter(traffic.sent).items() if times > 1] == []


def test_a_restart_goes_unnoticed_by_who_asks(failing: Cluster) -> None:
    store = open_store(failing.place())
    done(store.enqueue([a_row("1")]))
    failing.stop()
    kept = store.enqueue([a_row("2", visitor="bob")])
    failing.start()
    done(kept)
    assert (claimed(store), store.healthy) == (["1", "2"], True)
    store.close()


def test_while_the_server_is_gone_everything_fails_at_once_and_then_heals(
    failing: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.world.store.postgres_writer.DONE_AGAIN_FOR", 0.2)
    store = open_store(failing.place())
    failing.stop()
    with pytest.raises(StoreError, match=r"^the store failed: nobody listens at that host and port$"):
        done(store.enqueue([a_row("1")]))
    assert not store.healthy
    for _ in range(100):
        with pytest.raises(StoreError):
            done(store.pending())
    failing.start()
    assert until(lambda: store.healthy)
    done(store.enqueue([a_row("2")]))
    assert claimed(store) == ["2"]
    store.close()


def test_an_idle_store_notices_that_its_server_is_gone(failing: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.world.store.postgres_writer.ASKED_EVERY", 0.1)
    store = open_store(failing.place())
    failing.stop()
    assert until(lambda: not store.healthy)
    failing.start()
    assert until(lambda: store.healthy)
    store.close()


def test_a_server_that_hangs_holds_up_neither_who_asks_nor_the_end(
    failing: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.world.store.postgres_link.Link.patience", 0.3)
    monkeypatch.setattr("consent_mw.world.store.postgres_writer.DONE_AGAIN_FOR", 0.1)
    store = open_store(failing.place() + "&connect_timeout=2")
    failing.signal(19)
    try:
        with pytest.raises(StoreError, match=r"does not answer in time|not known whether"):
            store.enqueue([a_row("1")]).result(15)
        waiting = [store.recall(["ann"]), store.pending()]
        closing = threading.Thread(target=store.close)
        closing.start()
        closing.join(15)
        assert not closing.is_alive()
        assert [type(one.exception(0)) for one in waiting] == [StoreError, StoreError]
    finally:
        failing.signal(18)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_done_once(place: Place, cluster: Cluster, when: str) -> None:
    """Cut off before the server got it, it is done again; cut off after, it is known to be done."""
    one = place.open()
    with Passage(cluster.port) as passage:
        two = open_store(place.url.replace(f":{cluster.port}/", f":{passage.port}/"))
        done(two.enqueue([a_row("0", visitor="bob")]))
        passage.cut(b"COMMIT", when)
        kept = two.enqueue([a_row("1"), a_row("2", visitor="cem")])
        done(kept)
        assert passage.cuts == 1
        assert claimed(one) == ["0", "1", "2"]
        two.close()


def test_what_was_kept_and_delivered_meanwhile_is_not_kept_again(place: Place, cluster: Cluster) -> None:
    one = place.open()
    with Passage(cluster.port) as passage:
        two = open_store(place.url.replace(f":{cluster.port}/", f":{passage.port}/"))
        delivered: list[str] = []

        def deliver() -> None:
            assert until(lambda: done(one.pending()))
            delivered.extend(claimed(one))
            done(one.settle([Settlement(name, "accepted") for name in delivered]))

        passage.cut(b"COMMIT", "after", then=deliver)
        done(two.enqueue([a_row("1")]))
        assert (delivered, done(one.pending())) == (["1"], 0)
        assert asked(place, "SELECT coalesce(sum(bytes), 0)::int FROM machines") == [(0,)]
        two.close()


# what cannot be used


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((ESCAPED, "wrong-secret"), "does not let this user in: name or password is wrong"),
        ((f":{ESCAPED}@", "@"), "it asks for a password and the URL has none"),
        (("/postgres?", "/nowhere?"), "it has no such database: create it, owned by this user"),
        ((ESCAPED, "p@ss/w"), "the URL cannot be read; it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (("search_path%3Dsite", "search_path%3Dnone"), "its search_path names no schema that exists"),
        (("?options", "?sslmode=require&options"), "it speaks no TLS"),
        (("port", "1"), "nobody listens at that host and port"),
    ],
    ids=["password", "no-password", "database", "unreadable", "schema", "tls", "port"],
)
def test_what_cannot_be_opened_is_told_in_a_sentence(cluster: Cluster, change: tuple[str, str], said: str) -> None:
    url = cluster.place()
    url = url.replace(*change) if change[0] != "port" else url.replace(f":{cluster.port}/", ":1/")
    with pytest.raises(StoreError) as error:
        open_store(url)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert [word for word in ("p@ss", "w:rd", "secret", ESCAPED) if word in str(error.value)] == []


def test_a_database_of_a_newer_version_or_of_another_program_is_left_alone(place: Place) -> None:
    asked(place, "CREATE TABLE outbox (theirs text)")
    for read in (open_ledger, read_inventory):
        with pytest.raises(StoreError, match=r"^the database has no consent_mw tables yet; `serve` or "):
            read(place.url)
    with pytest.raises(StoreError, match=r"^it has a table `outbox` that is another program's$"):
        place.open()
    asked(place, "DROP TABLE outbox")
    place.open().close()
    asked(place, "UPDATE consent_mw SET version = 99")
    with pytest.raises(StoreError, match=r"^it was written by a newer version$"):
        place.open()
    for read in (open_ledger, read_inventory):
        with pytest.raises(StoreError, match=r"cannot be read here: it was written by a newer version$"):
            read(place.url)
    asked(place, "UPDATE consent_mw SET version = 1")
    with pytest.raises(StoreError, match=r"^the database cannot be read here: it is of an earlier version; "):
        open_ledger(place.url)


def test_tables_of_an_earlier_version_are_brought_up_to_date(place: Place) -> None:
    columns = """SELECT table_name, column_name, data_type FROM information_schema.columns
      WHERE table_schema = current_schema() ORDER BY 1, 2"""
    store = place.open()
    done(store.add_receipt(a_receipt("r1")))
    done(store.enqueue([a_row("1")]))
    store.close()
    today = asked(place, columns)
    for name in {name for name, *_ in today if name.startswith(("statistics", "inventory", "pairs"))}:
        asked(place, f"DROP TABLE {name}")
    asked(place, "UPDATE consent_mw SET version = 1")
    again = place.open()
    assert asked(place, columns) == today
    assert asked(place, "SELECT version FROM consent_mw") == [(2,)]
    assert (done(again.receipt("r1")), claimed(again)) == (a_receipt("r1"), ["1"])


def test_a_user_without_the_right_to_make_tables_is_told_so(place: Place, cluster: Cluster) -> None:
    asked(place, "DROP ROLE IF EXISTS reader")
    asked(place, f"CREATE ROLE reader LOGIN PASSWORD '{'p@ss/w:rd?'}'")
    schema = place.url.rpartition("%3D")[2]
    asked(place, f"GRANT USAGE ON SCHEMA {schema} TO reader")
    with pytest.raises(StoreError, match="this user may not make tables"):
        open_store(place.url.replace("consent:", "reader:"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@db.example/consent?sslmode=require", "postgresql://ann@db.example/consent"),
        ("postgresql://ann:se@cret@db/consent", "postgresql://ann@db/consent"),
        ("postgresql://ann:se/cr?et@db/consent", "postgresql://ann@db/consent"),
        ("postgresql://db/consent?user=ann&password=secret", "postgresql://db/consent"),
        ("postgresql:///consent", "postgresql:///consent"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        ("consent.db", "consent.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


# what is left


def test_what_was_delivered_leaves_the_tables_files(
    place: Place, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_mw.world.store.postgres_tidy.AT_REST_EVERY", 0.1)
    store = place.open()
    secrets = [f"ann-{number}@example.com".encode() for number in range(40)]
    rows = [a_row(str(n), body=one + b" " * 500, visitor="") for n, one in enumerate(secrets)]
    done(store.enqueue(rows))
    done(store.enqueue([a_row("stays", body=b"bob@example.com", visitor="")]))
    claimed(store)
    assert b"ann-7@example.com" in cluster.bytes_of_tables()
    done(store.settle([Settlement(str(number), "accepted") for number in range(40)]))
    assert until(lambda: b"ann-" not in cluster.bytes_of_tables(), 20)
    assert b"bob@example.com" in cluster.bytes_of_tables()


def test_the_size_of_a_machine_that_is_gone_stays_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent_mw.world.store.postgres_tidy.AT_REST_EVERY", 0.1)
    one, two = place.open(), place.open()
    done(one.enqueue([a_row("1", body=b"x" * 60)]))
    asked(place, "UPDATE machines SET seen = seen - 7200")
    done(two.enqueue([a_row("2", body=b"y" * 7)]))
    done(two.settle([Settlement("2", "accepted")]))
    assert until(lambda: ("", 60) in asked(place, "SELECT name, bytes FROM machines"))
    done(one.settle([Settlement("1", "accepted")]))
    assert asked(place, "SELECT sum(bytes)::int FROM machines") == [(0,)]
