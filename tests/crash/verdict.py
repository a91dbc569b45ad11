"""The verdict of the crash run: what was promised beside what came, what waits, and what the ledger tells.

Rule: nothing is explained by a guess where the ledger can be asked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consent_mw.wire.ledger import event_digest
from tests.crash.kept import ENDED, Kept, read_store
from tests.crash.service import ROOT
from tests.crash.site import DEDUPES, PERSONAL, PURPOSES, may_get
from tests.crash.vendors import Arrival, Vendors
from tests.crash.visitors import COMMITTED_WITHIN, Book, Told, Visitor
from tests.journeys.site import KEY

TOLD_OF: Final = 20
"""Breaches of a kind that are told one by one."""

_ID: Final = 22
_TOKENS: Final = re.compile(rb"[A-Za-z0-9_-]{22,}")
"""What an identifier may stand in."""


@dataclass(slots=True)
class Verdict:
    """What was counted, and a sentence for each breach."""

    counts: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    lost: int = 0
    leaked: int = 0

    def breach(self, kind: str, sentence: str) -> None:
        """Note a breach."""
        self.counts[kind] += 1
        if self.counts[kind] <= TOLD_OF:
            self.breaches.append(f"{kind}: {sentence}")


def judge(book: Book, vendors: Vendors, kills: list[float], store: Path, log: Path) -> Verdict:
    """Compare all that happened with all that was promised."""
    verdict = Verdict()
    for breach in book.breaches:
        verdict.breach("answered wrongly", breach)
    kept = read_store(store)
    came = {name: first_arrivals(one.arrivals) for name, one in vendors.by_name.items()}
    _count(verdict, book, vendors, came, kept)
    _leaks(verdict, book, vendors)
    _losses(verdict, book, came, kept, kills)
    _receipts(verdict, book, kept)
    for name in PURPOSES:
        if name not in DEDUPES:
            _twice(verdict, name, vendors.by_name[name].arrivals)
        else:
            _order(verdict, name, came[name], book)
    _ledger(verdict, store, log)
    return verdict


def first_arrivals(arrivals: list[Arrival]) -> dict[str, tuple[int, Arrival]]:
    """Each event with its place and the request that brought it first."""
    first: dict[str, tuple[int, Arrival]] = {}
    for arrival in arrivals:
        for mark in arrival.marks:
            first.setdefault(mark, (len(first), arrival))
    return first


def _count(
    verdict: Verdict, book: Book, vendors: Vendors, came: Mapping[str, Mapping[str, object]], kept: Kept
) -> None:
    counts = verdict.counts
    counts["requests answered"], counts["requests without an answer"] = book.answered, book.unanswered
    counts["visitors"] = len({id(one.visitor) for one in book.told.values()})
    counts["events made"], counts["choices acknowledged"] = len(book.told), len(book.receipts)
    counts["withdrawals and refusals answered"] = sum(
        len(one.nos) for one in {id(told.visitor): told.visitor for told in book.told.values()}.values()
    )
    for name, vendor in vendors.by_name.items():
        counts[f"{name}: requests"], counts[f"{name}: events"] = len(vendor.arrivals), len(came[name])
        sent = Counter(mark for one in vendor.arrivals for mark in one.marks)
        counts[f"{name}: sent again"] = sum(sent.values()) - len(sent)
        for outcome, number in sorted(kept.outcomes.get(name, {}).items()):
            counts[f"{name}: {outcome} in the ledger"] = number
    for what, number in sorted(book.refused.items()):
        counts[f"refused: {what}"] = number


# 2: nothing leaked


def _leaks(verdict: Verdict, book: Book, vendors: Vendors) -> None:
    for name, vendor in vendors.by_name.items():
        for arrival in vendor.arrivals:
            for mark in arrival.marks:
                told = book.told.get(mark)
                why = "nobody made it" if told is None else _leak(name, told, arrival)
                if why:
                    verdict.leaked += 1
                    verdict.breach("leaked", f"{name} got {mark}: {why}")


def _leak(name: str, told: Told, arrival: Arrival) -> str:
    """Why this event should not have come, or not like this."""
    visitor = told.visitor
    if name not in told.vendors():
        return f"it was not allowed to ({visitor.jurisdiction}, allowed {sorted(told.allowed)})"
    for no in visitor.nos:
        # A stranger's events are nobody's, and cannot be recalled.
        late = arrival.began > no.answered and told.order < no.order and PURPOSES[name] in no.purposes
        if late and told.identity:
            return f"{arrival.began - no.answered:.3f} s after the no to {sorted(no.purposes)} was answered"
    permitted = may_get(name, visitor.jurisdiction)
    for kind, values in visitor.secrets().items():
        if kind not in permitted and any(value.encode() in arrival.raw for value in values):
            return f"its request holds the {kind} of its person"
    return ""


# 1: nothing lost


def _losses(
    verdict: Verdict,
    book: Book,
    came: Mapping[str, Mapping[str, tuple[int, Arrival]]],
    kept: Kept,
    kills: list[float],
) -> None:
    ids = _event_ids(came)
    unexplained: Counter[str] = Counter()
    for told in book.told.values():
        if not is_promised(told, kills):
            continue
        verdict.counts["events promised"] += 1
        for name in told.vendors():
            verdict.counts["deliveries promised"] += 1
            if told.mark in came[name] or told.mark in kept.queued.get(name, set()):
                continue
            if _may_be_recalled(told, PURPOSES[name]):
                verdict.counts["promised, then taken back"] += 1
            elif name not in DEDUPES and told.identity and _ended(ids.get(told.mark, ""), kept, name):
                verdict.counts["promised, and told as unknown"] += 1
            elif name not in DEDUPES and not (told.identity and told.mark in ids):
                unexplained[name] += 1
            else:
                verdict.lost += 1
                verdict.breach("lost", f"{told.mark} of visitor {told.visitor.number} never came to {name}")
    for name, number in unexplained.items():
        if number > kept.strangers[name]:
            verdict.lost += number
            verdict.breach("lost", f"{number} events never came to {name}, and the ledger does not know them")


def is_promised(told: Told, kills: list[float]) -> bool:
    """Whether this event must be somewhere: its commit was awaited, or had time enough."""
    if not told.answered or told.doubtful:
        return False
    return told.awaited or not any(told.asked <= at < told.answered + COMMITTED_WITHIN for at in kills)


def _may_be_recalled(told: Told, purpose: str) -> bool:
    """Whether a later no of this visitor, answered or not, took it back."""
    visitor = told.visitor
    return any(no.order > told.order and purpose in no.purposes for no in visitor.nos + visitor.tried)


def _event_ids(came: Mapping[str, Mapping[str, tuple[int, Arrival]]]) -> dict[str, str]:
    """The id of each event that came as a CloudEvent, by its mark."""
    return {
        mark: str(json.loads(arrival.raw.partition(b"\r\n\r\n")[2])["id"])
        for name in ("rough", "hook")
        for mark, (_, arrival) in came[name].items()
    }


def _ended(event_id: str, kept: Kept, vendor: str) -> bool:
    """Whether the ledger tells of an end of this event that is no delivery."""
    known = kept.digests.get(vendor, {})
    return any(known.get(event_digest(key, event_id)) in ENDED for key in kept.keys)


def _receipts(verdict: Verdict, book: Book, kept: Kept) -> None:
    for receipt, visitor, order in book.receipts:
        if receipt not in kept.choices:
            verdict.lost += 1
            verdict.breach("lost", f"the choice of receipt {receipt} has no entry in the ledger")
        if receipt not in kept.receipts and visitor.erased_at < order:
            verdict.lost += 1
            verdict.breach("lost", f"receipt {receipt}, which was answered with 200, is not there")


# 3 and 4: nothing twice, nothing out of order


def _twice(verdict: Verdict, name: str, arrivals: list[Arrival]) -> None:
    for mark, number in Counter(mark for one in arrivals if one.taken for mark in one.marks).items():
        if number > 1:
            verdict.breach("twice", f"{name}, which cannot de-duplicate, got {mark} {number} times")


def _order(verdict: Verdict, name: str, came: Mapping[str, tuple[int, Arrival]], book: Book) -> None:
    for visitor, identity, events in _by_identity(came, book):
        places = [came[one.mark][0] for one in events]
        for one, next_one, at, after in zip(events, events[1:], places, places[1:], strict=False):
            if after < at:
                verdict.breach(
                    "out of order",
                    f"{name} got {next_one.mark} before {one.mark} of visitor {visitor.number} ({identity[:4]}…)",
                )


def _by_identity(came: Mapping[str, object], book: Book) -> Iterator[tuple[Visitor, str, list[Told]]]:
    """The events of each visitor that were answered and came, under each identity, in the order of their making."""
    groups: dict[tuple[int, str], list[Told]] = {}
    for told in book.told.values():
        if told.answered and told.identity and told.mark in came:
            groups.setdefault((id(told.visitor), told.identity), []).append(told)
    for (_, identity), events in groups.items():
        yield events[0].visitor, identity, events


# 5 and 6: the ledger is whole, and nothing personal is left


def _ledger(verdict: Verdict, store: Path, log: Path) -> None:
    heads = re.findall(r"ledger head ([0-9]+:[0-9a-f]{64})", log.read_text())
    verdict.counts["heads in the log"] = len(heads)
    if not heads:
        verdict.breach("ledger", "no head was ever told")
    for head in dict.fromkeys([*heads[:: max(len(heads) // 3, 1)], *heads[-1:]]):
        command = [sys.executable, "-m", "consent_mw.cli", "ledger", "verify", "--head", head]
        done = subprocess.run(
            [*command, "--store", f"sqlite:///{store}"],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "CONSENT_MW_KEYS": KEY},
        )
        if done.returncode:
            verdict.breach("ledger", f"verify --head {head[:12]}… says {(done.stdout or done.stderr)[:300]}")
        verdict.counts["heads verified"] += 1
    if "broken" in log.read_text():
        verdict.breach("ledger", "the log tells of a broken ledger")


def leftovers(verdict: Verdict, book: Book, store: Path) -> None:
    """Look for what is personal in every byte of the store's files, once all is delivered and the process ended."""
    ids = {one.encode() for told in book.told.values() for one in told.visitor.ids}
    for path in store.parent.glob(f"{store.name}*"):
        content = path.read_bytes()
        verdict.counts[f"bytes of {path.name}"] = len(content)
        for kind, looks in PERSONAL.items():
            for found in set(looks.findall(content)):
                verdict.breach("at rest", f"{path.name} holds the {kind} {found.decode()}")
        for run in set(_TOKENS.findall(content)):
            if any(run[at : at + _ID] in ids for at in range(len(run) - _ID + 1)):
                verdict.breach("at rest", f"{path.name} holds the identifier of a visitor")
