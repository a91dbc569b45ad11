"""`subject`: a person's rights, for an operator who is asked: everything that is stored about them, and its end.

Rule: works beside a running sidecar, which hears of an erasure by the store alone.
Rule: exit 1 where nothing was found, so that a script never takes a mistyped ID for a person without data.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeVar

import click

from consent_mw.asgi.lasting import Lasting
from consent_mw.asgi.record import moment, pairs_shown, queued_shown, receipts_shown
from consent_mw.errors import StoreError
from consent_mw.sidecar.configuration import read_keys
from consent_mw.wire.ledger import Book
from consent_mw.wire.receipts import Signer
from consent_mw.wire.token import Keyring
from consent_mw.world.store import ReceiptRow, Store, open_ledger, open_store

T = TypeVar("T")

ANSWERS_WITHIN: Final = 120.0
"""Seconds for the store to find what it is asked for; a look at every queued event may take a while."""

ENTRIES_AT_ONCE: Final = 5000
CHOICES: Final = ("choice", "withdrawal")

Options = Callable[..., int]

ANY_ID: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""An ID may begin with a hyphen, and is no option then."""


def _options(function: Options) -> Options:
    for option in (
        click.option(
            "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON."
        ),
        click.option("--keys-file", default="", help="A file with the signing keys (default: CONSENT_MW_KEYS)."),
        click.option("--store", "url", default="sqlite:///consent.db", show_default=True, help="The store."),
        click.argument("identity", metavar="ID"),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group("subject")
def command() -> None:
    """Show or erase what is stored about a person.

    ID is a visitor's id (or the value of its cookie), a receipt's id, or the site's own user id.
    """


@command.command("export", context_settings=ANY_ID)
@_options
def export(identity: str, url: str, keys_file: str, form: str) -> int:
    """Print everything that is stored about the person ID."""
    keyring = read_keys(keys_file)
    with _opened(url, keyring) as store:
        lasting = _lasting(store, keyring)
        known = _known(store, keyring, lasting, identity)
        record = _record(store, lasting, url, known, identity.strip())
    found = any(record.values())
    if form == "json":
        click.echo(json.dumps({"subject": identity, **record}, ensure_ascii=False, indent=2))
    else:
        click.echo(_told(record) if found else "nothing is stored about this ID")
    return 0 if found else 1


@command.command("erase", context_settings=ANY_ID)
@_options
def erase(identity: str, url: str, keys_file: str, form: str) -> int:
    """Erase everything that is stored about the person ID: queued events, receipts, who the site said they are."""
    keyring = read_keys(keys_file)
    with _opened(url, keyring) as store:
        number = _answer(
            store.erase(
                _known(store, keyring, _lasting(store, keyring), identity), user_id=identity.strip(), at=time.time()
            )
        )
    if form == "json":
        click.echo(json.dumps({"subject": identity, "erased": number}, ensure_ascii=False))
    else:
        erased = f"erased {number} {'thing' if number == 1 else 'things'}"
        click.echo(erased if number else "nothing is stored about this ID")
    return 0 if number else 1


@contextmanager
def _opened(url: str, keyring: Keyring) -> Iterator[Store]:
    """The store, which must be there already. Raises StoreError."""
    open_ledger(url).close()  # which makes nothing where there is nothing
    store = open_store(url, book=Book.of(keyring, os.environ.get("CONSENT_MW_LEDGER_KEY", "")))
    try:
        yield store
    finally:
        store.close()


def _lasting(store: Store, keyring: Keyring) -> Lasting:
    """The key of digests and the public keys, as the store keeps them."""
    lasting = Lasting(keyring)
    lasting.take(Signer(keyring), None)
    asyncio.run(lasting.learn(store))
    return lasting


def _known(store: Store, keyring: Keyring, lasting: Lasting, identity: str) -> list[str]:
    """The visitors and receipts that this ID leads to, whichever kind of ID it is."""
    named = identity.strip()
    identifier, consent = keyring.read_identifier(named), keyring.read_consent(named)
    subjects = [lasting.digest("visitor", identifier.id if identifier is not None else named), named]
    if consent is not None:
        subjects.append(consent.receipt)
    return _answer(store.find(subjects, named))


def _record(
    store: Store, lasting: Lasting, url: str, known: Sequence[str], user_id: str
) -> dict[str, list[dict[str, object]]]:
    pairs, queued = _answer(store.pairs(known)), _answer(store.queued(known, user_id))
    return {
        "user_ids": pairs_shown(pairs),
        "receipts": receipts_shown(_receipts(store, known), lasting.public_keys),
        "queued": queued_shown(queued),
        "ledger": list(_entries(url, frozenset(known))),
    }


def _receipts(store: Store, known: Iterable[str]) -> list[ReceiptRow]:
    """The receipts among these, oldest first; a browser's others are among them."""
    found = (_answer(store.receipt(one)) for one in known)
    return sorted((row for row in found if row is not None), key=lambda row: (row.root, row.at))


def _entries(url: str, receipts: frozenset[str]) -> Iterator[dict[str, object]]:
    """What the ledger tells of these receipts; of deliveries it tells nobody's name."""
    ledger = open_ledger(url)
    try:
        after = 0
        while rows := ledger.part(after, ENTRIES_AT_ONCE).rows:
            after = rows[-1].seq
            for row in rows:
                told = json.loads(row.body) if row.kind in CHOICES else {}
                if told.get("receipt") in receipts:
                    yield {"number": row.seq, "at": moment(row.at / 1000), "kind": row.kind, **told}
    finally:
        ledger.close()


def _told(record: dict[str, list[dict[str, object]]]) -> str:
    """The record for people: a line for each thing."""
    lines = [f"user id       {one['user_id']}, since {one['since']}" for one in record["user_ids"]]
    lines += [
        f"receipt       {one['receipt']}, {one['at']}: {_written(one.get('purposes', {}))}"
        for one in record["receipts"]
    ]
    lines += [
        f"queued event  for {one['vendor']}, since {one['since']}: {_written(one['fields'])}"
        for one in record["queued"]
    ]
    lines += [
        f"ledger        {one['number']}, {one['at']}: {one['kind']} of receipt {one['receipt']}"
        for one in record["ledger"]
    ]
    return "\n".join(lines)


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _answer(pending: Future[T]) -> T:
    try:
        return pending.result(ANSWERS_WITHIN)
    except TimeoutError:
        raise StoreError("the store did not answer in time") from None
