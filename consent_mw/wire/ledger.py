"""The ledger's chain: each entry carries a code over itself and over the code before it, under a key.

Rule: the code is HMAC-SHA256 over netstrings (`LENGTH:BYTES,`) of the code before, number, time, kind, vendor,
      outcome, content and the key's id, so that no two entries have the same bytes.
Rule: the last key writes, every key is known for checking; an entry names its key by an id that tells nothing of it.
Rule: where the chain begins and ends is sealed under another key, so that a cut at either end is found.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from consent_mw.core.ledger import Entry
from consent_mw.errors import KeysError
from consent_mw.wire.token import SHORTEST_KEY, Keyring, parse_keys

HEAD: Final = "head"
CUT: Final = "cut"


class LedgerRow(NamedTuple):
    """An entry as it is kept: its number from 1, milliseconds since 1970, what it tells (see Entry), the id of the
    key, and its code as 64 hex characters."""

    seq: int
    at: int
    kind: str
    vendor: str
    outcome: str
    body: str
    key: str
    mac: str


_TYPES: Final = (int, int, str, str, str, str, str, str)


class Mark(NamedTuple):
    """An end of the chain: the number and code of the last entry there (or before there), the id of the key, and the
    seal. As text it is `NUMBER:CODE`."""

    seq: int
    mac: str
    key: str = ""
    seal: str = ""

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac}"


class Book:
    """The keys of a ledger, oldest first: the last of `keys` writes; `others` are only good for checking. Raises
    KeysError."""

    def __init__(self, keys: Sequence[bytes], others: Iterable[bytes] = ()) -> None:
        if not keys:
            raise KeysError("a ledger needs a key")
        self._keys = {_id(key): _Pair.of(key) for key in (*others, *keys)}
        self.key = _id(keys[-1])
        self._writes = self._keys[self.key]

    @classmethod
    def of(cls, keyring: Keyring | None, text: str = "") -> Book:
        """The keys in CONSENT_MW_LEDGER_KEY, whose value `text` is (several with commas, oldest first); without, one
        derived from the oldest signing key. Raises KeysError."""
        derived = [keyring.derive("ledger", key) for key in keyring.keys] if keyring is not None else []
        if not text.strip():
            return cls(derived[:1], derived)
        try:
            return cls(parse_keys(text).keys, derived)
        except KeysError as error:
            raise KeysError(f"CONSENT_MW_LEDGER_KEY: {error}") from None

    def knows(self, key: str) -> bool:
        """Whether a key of this id is here."""
        return key in self._keys

    def written(self, before: Mark, entries: Sequence[Entry], at: int) -> list[LedgerRow]:
        """These entries as they follow on this mark, at this time in milliseconds since 1970."""
        rows: list[LedgerRow] = []
        seq, mac = before.seq, before.mac
        for entry in entries:
            seq += 1
            mac = _code(self._writes.chain, mac, seq, at, *entry, self.key)
            rows.append(LedgerRow(seq, at, *entry, self.key, mac))
        return rows

    def follows(self, row: LedgerRow, before: str) -> bool:
        """Whether this entry is as it was written, after the one with this code."""
        if tuple(map(type, row)) != _TYPES:
            # As text, nothing and the word for it are the same.
            return False
        pair = self._keys.get(row.key)
        return pair is not None and _same(row.mac, _code(pair.chain, before, *row[:7]))

    def sealed(self, which: str, seq: int, mac: str) -> Mark:
        """This end of the chain (`HEAD` or `CUT`), sealed."""
        return Mark(seq, mac, self.key, _code(self._writes.seal, which, seq, mac, self.key))

    def holds(self, which: str, mark: Mark) -> bool:
        """Whether this end is as it was sealed."""
        if tuple(map(type, mark)) != (int, str, str, str):
            return False
        pair = self._keys.get(mark.key)
        return pair is not None and _same(mark.seal, _code(pair.seal, which, mark.seq, mark.mac, mark.key))


class _Pair(NamedTuple):
    """What is derived from one key."""

    chain: bytes
    seal: bytes

    @classmethod
    def of(cls, key: bytes) -> _Pair:
        return cls(_derived(key, "chain"), _derived(key, "seal"))


def read_head(text: str) -> Mark | None:
    """The head that this text names, or None."""
    seq, _, mac = text.strip().partition(":")
    if (
        not (seq.isascii() and seq.isdigit() and len(seq) < 20)
        or len(mac) != 64
        or set(mac) - set("0123456789abcdef")
    ):
        return None
    return Mark(int(seq), mac)


def event_digest(key: bytes, event_id: str) -> str:
    """What stands for an event of the person with this key: 64 bits of BLAKE2b (RFC 7693) as 16 hex characters."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8, key=key).hexdigest()


def _id(key: bytes) -> str:
    if len(key) < SHORTEST_KEY:
        raise KeysError(f"a key is shorter than {SHORTEST_KEY} bytes: `consent-mw keys new` makes a good one")
    return _derived(key, "id")[:4].hex()


def _derived(key: bytes, use: str) -> bytes:
    return hmac.digest(key, f"consent_mw.ledger.{use}".encode(), "sha256")


def _code(key: bytes, *values: str | int) -> str:
    told = b""
    for one in values:
        raw = str(one).encode("utf-8", "surrogateescape")
        told += b"%d:%b," % (len(raw), raw)
    return hmac.digest(key, told, "sha256").hex()


def _same(said: str, made: str) -> bool:
    return isinstance(said, str) and said.isascii() and hmac.compare_digest(said, made)
