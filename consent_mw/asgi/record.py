"""The record: what is stored about a person, as it is shown to that person.

Rule: a queued event is shown as it would leave, field by field, for each vendor.
Rule: no more is shown than what the asker proved, or the operator named, leads to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from consent_mw.wire.receipts import verify
from consent_mw.world.store import OutboxRow, PairRow, ReceiptRow


def receipts_shown(rows: Iterable[ReceiptRow], keys: Mapping[str, object]) -> list[dict[str, object]]:
    """What these receipts say, each with its signed form."""
    return [{**(verify(row.jws, keys) or {"receipt": row.id, "at": moment(row.at)}), "jws": row.jws} for row in rows]


def queued_shown(rows: Iterable[OutboxRow]) -> list[dict[str, object]]:
    """The events that wait for a vendor: which, since when, how often tried, and the fields that would leave."""
    return [
        {
            "vendor": row.vendor,
            "purpose": row.purpose,
            "event_id": row.event_id,
            "since": moment(row.created),
            "attempts": row.attempts,
            "fields": _fields(row.body),
        }
        for row in rows
    ]


def pairs_shown(rows: Iterable[PairRow]) -> list[dict[str, object]]:
    """Who the site said that this visitor is, and when."""
    return [{"user_id": row.user_id, "since": moment(row.at)} for row in rows]


def moment(seconds: float) -> str | None:
    """A time in seconds since 1970 as RFC 3339 writes it; None where it is none."""
    try:
        when = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return when.isoformat().replace("+00:00", "Z") if seconds > 0 else None


def _fields(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
