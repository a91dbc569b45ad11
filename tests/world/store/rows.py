"""Rows, receipts and answers of the stores' tests."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Final

from consent_mw.world.store import OutboxRow, ReceiptRow, Store

NOW: Final = 1_527_000_000.0


def a_row(identity: str, **more: Any) -> OutboxRow:
    """A row of Ann's for `insights`."""
    made: dict[str, Any] = {"vendor": "insights", "event_id": f"event-{identity}", "kind": "page_view", "body": b"{}"}
    made |= {"visitor": "ann", "receipt": "", "jurisdiction": "elsewhere", "purpose": "analytics", "policy": "p1"}
    return OutboxRow(**{**made, "id": identity, "created": NOW, **more})


def a_receipt(identity: str, *, root: str = "", previous: str = "", at: int = int(NOW)) -> ReceiptRow:
    """A receipt, the first of its browser."""
    return ReceiptRow(identity, root or identity, previous, at, f"jws-{identity}")


def done(future: Future[Any]) -> Any:
    """What the store answers."""
    return future.result(20)


def claimed(store: Store, now: float = NOW, *, vendor: str = "insights", limit: int = 100) -> list[str]:
    """The ids of the rows that are claimed for a minute."""
    return [row.id for row in done(store.claim(vendor, limit, now, 60.0))]
