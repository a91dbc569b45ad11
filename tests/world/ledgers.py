"""Ledgers made by the calls that make them, and what is asked of them."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from consent_mw.core.ledger import choice, policy_load, refusal
from consent_mw.wire.ledger import Book, Mark
from consent_mw.wire.ledger_verifier import Finding, Verifier
from consent_mw.world.store import OutboxRow, ReceiptRow, Settlement, Store, open_ledger, open_store

T = TypeVar("T")

KEY = "the-ledger's-own-key-0123456789"
NOW = 1_527_000_000.0


def a_book(key: str = KEY) -> Book:
    return Book.of(None, key)


def a_kept_ledger(file: Path, **more: Any) -> Store:
    """A store with a ledger."""
    return open_store(f"sqlite:///{file}", book=more.pop("book", None) or a_book(), **more)


def done(future: Future[T]) -> T:
    return future.result(10)


def a_row(identity: str, **more: Any) -> OutboxRow:
    made: dict[str, Any] = {"vendor": "insights", "event_id": f"event-{identity}", "kind": "page_view", "body": b"{}"}
    made |= {"visitor": "ann", "receipt": "", "jurisdiction": "eea", "purpose": "analytics", "policy": "p1"}
    return OutboxRow(**{**made, "id": identity, "created": NOW, **more})


def give_consent(store: Store, receipt: str, root: str = "", at: float = NOW) -> None:
    entry = choice(receipt, {"analytics": True}, revision="1", jurisdiction="eea", how="form")
    done(store.add_receipt(ReceiptRow(receipt, root or receipt, "", int(at), "jws"), entry))


def deliver(store: Store, limit: int, outcome: str = "accepted", vendor: str = "insights", now: float = NOW) -> None:
    rows = done(store.claim(vendor, limit, now, 60.0))
    ends = [Settlement(row.id, outcome) for row in rows]
    done(store.settle(ends, vendor=vendor, fields=["event", "page_path"]))


def live(store: Store) -> None:
    """What happens in the life of a small site: an entry of nearly every kind."""
    done(store.note([policy_load("1", "d" * 64, "enforce")]))
    give_consent(store, "r1")
    done(store.enqueue([a_row(str(number), visitor=f"v{number % 4}") for number in range(12)]))
    done(store.enqueue([a_row("x", vendor="crm", receipt="r1", visitor=""), a_row("y", vendor="crm", visitor="")]))
    deliver(store, 4)
    deliver(store, 1, "dead")
    done(store.recall(["v1"], reason="withdrawal"))
    done(store.erase(["v2"]))
    done(store.note([refusal("insights", "analytics", {"opt-in-default": 3}, int(NOW), int(NOW) + 60)]))
    done(store.revive())
    deliver(store, 4, "rejected")
    deliver(store, 1, vendor="crm")
    done(store.recall_others(["insights"]))


def told(file: Path) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Kind, vendor, outcomes and content of every entry."""
    db = sqlite3.connect(file)
    found = db.execute("SELECT kind, vendor, outcome, body FROM ledger ORDER BY seq").fetchall()
    db.close()
    return [(kind, vendor, outcome, json.loads(body)) for kind, vendor, outcome, body in found]


def kinds(file: Path) -> list[str]:
    return [kind for kind, *_ in told(file)]


def findings(file: Path, head: Mark | None = None, book: Book | None = None) -> list[Finding]:
    """What is found wrong with this ledger."""
    ledger = open_ledger(f"sqlite:///{file}")
    part = ledger.part(None, 1_000_000)
    ledger.close()
    verifier = Verifier(book or a_book(), part.cut, head)
    verifier.take(part.rows)
    verifier.finish(part.head, part.cut)
    return verifier.findings
