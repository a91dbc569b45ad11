"""What the store of the crash run holds at its end, read from its file."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.crash.site import MARK

ENDED: Final = ("unknown", "dead", "rejected", "recalled", "dropped")
"""Outcomes of an event that did not come, as far as anybody knows."""


@dataclass(slots=True)
class Kept:
    """What the store holds at the end."""

    queued: dict[str, set[str]] = field(default_factory=dict)
    receipts: set[str] = field(default_factory=set)
    choices: set[str] = field(default_factory=set)
    keys: list[bytes] = field(default_factory=list)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    strangers: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)


def read_store(store: Path) -> Kept:
    """What the file holds."""
    kept = Kept()
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    for vendor, body in db.execute("SELECT vendor, body FROM outbox"):
        kept.queued.setdefault(vendor, set()).update(one.decode() for one in MARK.findall(body))
    kept.receipts = {one for (one,) in db.execute("SELECT id FROM receipts")}
    kept.keys = [str(one).encode("ascii") for (one,) in db.execute("SELECT key FROM person_keys")]
    for kind, vendor, body in db.execute("SELECT kind, vendor, body FROM ledger"):
        told = json.loads(body)
        if kind in ("choice", "withdrawal"):
            kept.choices.add(told["receipt"])
        elif kind in ("delivery", "recall", "overflow"):
            _read_outcomes(kept, vendor, told)
    db.close()
    return kept


def _read_outcomes(kept: Kept, vendor: str, told: Mapping[str, Mapping[str, object]]) -> None:
    counted = kept.outcomes.setdefault(vendor, Counter())
    for outcome, number in (*told["outcomes"].items(), *told.get("late", {}).items()):
        counted[outcome] += int(str(number))
    for outcome, digests in told["events"].items():
        assert isinstance(digests, list)
        kept.digests.setdefault(vendor, {}).update(dict.fromkeys(digests, outcome))
    for outcome in ENDED:
        digests = told["events"].get(outcome, [])
        assert isinstance(digests, list)
        kept.strangers[vendor] += int(str(told["outcomes"].get(outcome, 0))) - len(digests)
