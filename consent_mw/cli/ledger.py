"""`ledger`: list, verify and export the book of choices and deliveries, and try its dead letters again.

Rule: what reads opens the store for reading only, and may run beside the sidecar.
Rule: exit 0 is a whole ledger, 1 one that is not, with a sentence for what is wrong, 2 where that cannot be told.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import click

from consent_mw.core.compiler.report import listed, nearest, quoted
from consent_mw.core.ledger import EntryKind
from consent_mw.core.terms import Outcome
from consent_mw.errors import KeysError, ServeError
from consent_mw.sidecar.configuration import read_keys
from consent_mw.wire.ledger import Book, LedgerRow, Mark, read_head
from consent_mw.wire.ledger_verifier import Verifier
from consent_mw.world.store import LedgerPart, LedgerReader, open_ledger, open_store

READ_AT_ONCE: Final = 500
"""Entries that are held in memory."""

LAST: Final = 2**63 - 1

FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON."
)
STORE = click.option(
    "--store", default="sqlite:///consent.db", show_default=True, help="Where receipts and events are kept."
)
KEYS = click.option("--keys-file", default="", help="A file with the signing keys (default: CONSENT_MW_KEYS).")
VENDOR = click.option("--vendor", default="", help="Of this vendor only.")


@click.group("ledger")
def command() -> None:
    """Read, verify and export the book of choices and deliveries."""


@command.command("list")
@STORE
@click.option("--outcome", type=click.Choice([one.value for one in Outcome]), help="With this outcome only.")
@VENDOR
@click.option("--kind", type=click.Choice([one.value for one in EntryKind]), help="Of this kind only.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The last so many.")
@FORMAT
def list_entries(store: str, outcome: str | None, vendor: str, kind: str | None, limit: int, form: str) -> int:
    """Print the last entries, oldest first."""
    with _reading(store) as ledger:
        rows = ledger.last(limit, before=LAST, kind=kind or "", vendor=vendor, outcome=outcome or "")[::-1]
        letters = ledger.dead_letters()
        if vendor and not rows:
            _must_be_heard_of(vendor, ledger)
    if vendor:
        letters = {name: number for name, number in letters.items() if name == vendor}
    if form == "json":
        click.echo(json.dumps({"entries": [_entry(row) for row in rows], "dead_letters": letters}, indent=2))
        return 0
    for row in rows:
        click.echo(_printable(_line(row)))
    for name, number in sorted(letters.items()):
        click.echo(_printable(f"{_letters(number, name)} kept: `consent-mw ledger retry` tries again"))
    return 0


@command.command("verify")
@STORE
@KEYS
@click.option("--head", default="", help="A head that was kept elsewhere, as in the log or the metrics.")
@FORMAT
def verify(store: str, keys_file: str, head: str, form: str) -> int:
    """Tell whether every entry is there and as it was written."""
    given = read_head(head) if head else None
    if head and given is None:
        raise ServeError("--head is not of the form NUMBER:CODE, as `consent-mw ledger head` prints it")
    book = _book(keys_file)
    began = time.monotonic()
    with _reading(store) as ledger:
        verifier, end = _verified(ledger, book, given)
    number = verifier.last.seq - (end.cut.seq if end.cut is not None else 0)
    speed = round(number / max(time.monotonic() - began, 1e-6))
    if form == "json":
        told = {
            "whole": not verifier.findings,
            "entries": number,
            "head": str(end.head) if end.head is not None else None,
            "findings": [{"entry": one.entry or None, "message": one.message} for one in verifier.findings],
            "entries_per_second": speed,
        }
        click.echo(json.dumps(told, indent=2))
        return int(bool(verifier.findings))
    for one in verifier.findings:
        click.echo(_printable(one.message))
    if not verifier.findings:
        entries = f"{number} entr{'y' if number == 1 else 'ies'}"
        click.echo(f"the ledger is whole: {entries}, head {end.head} ({speed} entries a second)")
    return int(bool(verifier.findings))


@command.command("head")
@STORE
def head_of(store: str) -> int:
    """Print the head, NUMBER:CODE, and nothing else."""
    with _reading(store) as ledger:
        head = ledger.part(LAST, 1).head
    if head is None:
        raise ServeError("the ledger has no head")
    click.echo(_printable(str(head)))
    return 0


@command.command("export")
@STORE
def export(store: str) -> int:
    """Print every entry as a line of JSON, between a line for the beginning and one for the head."""
    with _reading(store) as ledger:
        for number, part in enumerate(_parts(ledger)):
            if not number:
                click.echo(json.dumps({"ledger": 1, "begins": _mark(part.cut)}))
            for row in part.rows:
                click.echo(json.dumps(_exported(row)))
        click.echo(json.dumps({"head": _mark(part.head)}))
    return 0


@command.command("retry")
@STORE
@KEYS
@VENDOR
@FORMAT
def retry(store: str, keys_file: str, vendor: str, form: str) -> int:
    """Try dead letters again: they wait as if they had never been tried."""
    book = _book(keys_file)
    with _reading(store) as ledger:
        if vendor and vendor not in ledger.dead_letters():
            _must_be_heard_of(vendor, ledger)
    opened = open_store(store, book=book)
    revived: Counter[str] = Counter()
    try:
        while found := opened.revive(vendor).result():
            revived.update(found)
    finally:
        opened.close()
    if form == "json":
        click.echo(json.dumps({"retried": dict(revived)}, indent=2))
        return 0
    for name, number in sorted(revived.items()):
        click.echo(_printable(f"{_letters(number, name)} tried again"))
    if not revived:
        click.echo("there are no dead letters")
    return 0


@contextlib.contextmanager
def _reading(store: str) -> Iterator[LedgerReader]:
    ledger = open_ledger(store)
    try:
        yield ledger
    finally:
        ledger.close()


def _must_be_heard_of(vendor: str, ledger: LedgerReader) -> None:
    known = ledger.vendors()
    if vendor in known:
        return
    close = nearest(vendor, known)
    if close is not None:
        helped = f"did you mean {quoted(close)}?"
    else:
        helped = f"it knows {listed(sorted(known))}" if known else "it knows none yet"
    raise ServeError(f"the ledger knows no vendor {quoted(vendor)}; {helped}")


def _book(keys_file: str) -> Book:
    """The ledger's keys, as far as the environment and this file name them. Raises KeysError."""
    own = os.environ.get("CONSENT_MW_LEDGER_KEY", "").strip()
    if not keys_file and not os.environ.get("CONSENT_MW_KEYS", ""):
        if not own:
            raise KeysError("no keys: set CONSENT_MW_LEDGER_KEY, or CONSENT_MW_KEYS or --keys-file")
        return Book.of(None, own)
    return Book.of(read_keys(keys_file), own)


def _verified(ledger: LedgerReader, book: Book, given: Mark | None) -> tuple[Verifier, LedgerPart]:
    """The ledger, verified as far as it is right, and its last part."""
    verifier: Verifier | None = None
    for part in _parts(ledger):
        if verifier is None:
            _must_be_known(book, part, given)
            verifier = Verifier(book, part.cut, given)
        verifier.take(part.rows)
        if verifier.ended:
            return verifier, part
    if verifier is None:
        raise ServeError("the ledger cannot be read")
    verifier.finish(part.head, part.cut)
    return verifier, part


def _parts(ledger: LedgerReader) -> Iterator[LedgerPart]:
    """The ledger in parts, to the end that stands when that is read."""
    after: int | None = None
    while True:
        part = ledger.part(after, READ_AT_ONCE)
        yield part
        if len(part.rows) < READ_AT_ONCE:
            return
        after = part.rows[-1].seq


def _must_be_known(book: Book, part: LedgerPart, given: Mark | None) -> None:
    """Raise KeysError or ServeError where it cannot be told whether this ledger is whole."""
    cut, head = part.cut, part.head
    if cut is not None and head is not None and not book.knows(str(cut.key)) and not book.knows(str(head.key)):
        raise KeysError(
            f"the ledger is under key {_printable(str(head.key))}, which is not among the keys given: set the "
            "CONSENT_MW_LEDGER_KEY or CONSENT_MW_KEYS that it was written with"
        )
    if cut is not None and given is not None and given.seq < cut.seq:
        raise ServeError(
            f"--head names entry {given.seq}, and entries up to {cut.seq} were deleted when their time was up: "
            "give a later one"
        )


def _entry(row: LedgerRow) -> dict[str, Any]:
    """The entry as JSON, for `list`."""
    return {
        "number": row.seq,
        "time": _time(row.at),
        "kind": row.kind,
        "vendor": row.vendor or None,
        "outcomes": row.outcome.split(",") if row.outcome else [],
        "told": _told(row),
        "code": row.mac,
    }


def _exported(row: LedgerRow) -> dict[str, Any]:
    """The entry as its code is made of it, in that order."""
    names = ("number", "time", "kind", "vendor", "outcome", "content", "key", "code")
    return dict(zip(names, row, strict=True))


def _mark(mark: Mark | None) -> dict[str, Any] | None:
    return dict(zip(("number", "code", "key", "seal"), mark, strict=True)) if mark is not None else None


def _line(row: LedgerRow) -> str:
    """The entry as a line for people."""
    told = _told(row)
    said = [str(row.seq), _time(row.at), row.kind, row.vendor, *_words(told)]
    return "  ".join(one for one in said if one)


def _words(told: dict[str, Any]) -> Iterator[str]:
    """What an entry tells, without the digests."""
    for name, value in told.items():
        if name == "events" or value in ({}, [], 0, None):
            continue
        if isinstance(value, dict):
            yield " ".join(f"{one} {_word(number)}" for one, number in value.items())
        elif isinstance(value, list):
            yield f"{name}: {', '.join(map(str, value))}"
        else:
            yield f"{name} {value}"


def _letters(number: int, vendor: str) -> str:
    return f"{number} dead letter of {vendor} is" if number == 1 else f"{number} dead letters of {vendor} are"


def _word(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _told(row: LedgerRow) -> dict[str, Any]:
    """The content of an entry; of one that somebody broke, as it stands there."""
    try:
        told = json.loads(row.body)
    except (ValueError, TypeError, RecursionError):
        told = None
    return told if isinstance(told, dict) else {"unreadable": str(row.body)}


def _time(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    except (ValueError, TypeError, OverflowError, OSError):
        return str(milliseconds)


def _printable(text: str) -> str:
    """The text without what would drive a terminal: a store may have been changed by anybody."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
