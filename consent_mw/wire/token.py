"""Tokens: the identifier and the consent cookie, signed, and the keys that sign them.

Rule: keys are oldest first; the last signs, all verify.
Rule: a broken, forged, foreign or oversized token is absence; nothing here raises for what a browser sends.
Rule: each use has a salt of its own, so that one token never passes for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

from consent_mw.core.consent import Consent
from consent_mw.errors import KeysError

SHORTEST_KEY = 16
"""Bytes below which a key can be guessed."""

LONGEST_KEY = 4096
"""Bytes above which what was named is no key, but some other file."""

LONGEST_TOKEN = 4000
"""Bytes beyond which a token is not read; browsers drop cookies over 4096."""

_VERSION = 1
_IDENTIFIER = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9]{1,6})")
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Identifier:
    """A recognised browser: 128 random bits as 22 characters of base64url, and the day of issue since 1970."""

    id: str
    day: int


class Keyring:
    """Signing keys, oldest first. Raises KeysError for none, or for one that is too short or too long."""

    def __init__(self, keys: Sequence[bytes | str]) -> None:
        if isinstance(keys, (str, bytes)):
            raise KeysError("keys must be a list of keys, oldest first, not one string")
        self.keys = tuple(_key(key) for key in keys)
        if not self.keys:
            raise KeysError("no keys: `consent-mw keys new` makes one")
        if any(len(key) < SHORTEST_KEY for key in self.keys):
            raise KeysError(f"a key is shorter than {SHORTEST_KEY} bytes: `consent-mw keys new` makes a good one")
        if any(len(key) > LONGEST_KEY for key in self.keys):
            raise KeysError(f"a key is longer than {LONGEST_KEY} bytes: `consent-mw keys new` makes a good one")
        self._identifier = _Signer(self.keys, b"consent_mw.identifier")
        self._consent = _Signer(self.keys, b"consent_mw.consent")

    def new_identifier(self, random16: bytes, day: int) -> tuple[Identifier, str]:
        """The identifier of these 128 random bits, issued on this day (since 1970), and its token."""
        if len(random16) != 16:
            raise ValueError("random16 must be 16 bytes")
        identifier = Identifier(_b64(random16), day)
        return identifier, self._identifier.sign(f"{identifier.id}.{day}").decode("ascii")

    def read_identifier(self, raw: str) -> Identifier | None:
        """The identifier that this token carries, or None."""
        plain = _unsign(self._identifier, raw)
        if plain is None:
            return None
        found = _IDENTIFIER.fullmatch(plain)
        return None if found is None else Identifier(found[1], int(found[2]))

    def sign_consent(self, consent: Consent, issued: int | None = None) -> str:
        """A token that holds this consent, `issued` anew where that is said."""
        answers = {name: int(yes) for name, yes in consent.answers.items()}
        fields = [_VERSION, answers, consent.at, consent.revision, consent.receipt, consent.seen]
        fields += [int(consent.minor), consent.issued if issued is None else issued]
        return self._consent.sign(_b64(_json(fields).encode())).decode("ascii")

    def read_consent(self, raw: str) -> Consent | None:
        """The consent that this token holds, or None."""
        plain = _unsign(self._consent, raw)
        if plain is None:
            return None
        try:
            fields = json.loads(_unb64(plain))
        except (ValueError, RecursionError):
            return None
        return _consent(fields)

    def digest(self, purpose: str, value: str) -> str:
        """A keyed digest (32 hex characters) of a value for one use; stable while the oldest key stays."""
        return keyed_digest(self.derive("digest"), purpose, value)

    def derive(self, use: str, key: bytes | None = None) -> bytes:
        """32 bytes derived from the oldest key (or from `key`) for one use (HMAC-SHA256 as in RFC 5869 2.2)."""
        return hmac.digest(self.keys[0] if key is None else key, f"consent_mw.{use}".encode(), "sha256")


def keyed_digest(key: bytes, purpose: str, value: str) -> str:
    """A digest (32 hex characters) of a value for one use, under this key."""
    material = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, material, "sha256").hex()[:32]


def parse_keys(text: str) -> Keyring:
    """The keys of CONSENT_MW_KEYS or of a keys file: separated by commas or lines, oldest first. Raises KeysError."""
    return Keyring([one for one in (part.strip() for part in re.split(r"[,\n]", text)) if one])


def _key(key: bytes | str) -> bytes:
    if not isinstance(key, (bytes, str)):
        raise KeysError("a key is neither text nor bytes")
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


class _Algorithm(SigningAlgorithm):
    """HMAC-SHA256 in one call (RFC 2104)."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class _Signer(Signer):
    """A signer that derives each key once, not at every signature."""

    def __init__(self, keys: Sequence[bytes], salt: bytes) -> None:
        super().__init__(
            list(keys),
            salt=salt,
            key_derivation="hmac",
            digest_method=hashlib.sha256,
            algorithm=_Algorithm(),
        )
        self._derived = {key: super(_Signer, self).derive_key(key) for key in self.secret_keys}
        self._newest_first = tuple(reversed(self._derived.values()))

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        """The signing key of this secret (of the newest, where none is named)."""
        known = self.secret_keys[-1] if secret_key is None else secret_key
        return self._derived[known] if isinstance(known, bytes) else super().derive_key(known)

    def sign(self, value: str | bytes) -> bytes:
        """The value with its signature, as itsdangerous writes it."""
        raw = value.encode() if isinstance(value, str) else value
        made = binascii.b2a_base64(hmac.digest(self._newest_first[0], raw, "sha256"), newline=False)
        return raw + b"." + made.translate(_URLSAFE, b"=")

    def signed(self, value: bytes, signature: bytes) -> bool:
        """Whether some key made this very spelling of a signature: lenient base64 would let others pass for it."""
        for key in self._newest_first:
            made = binascii.b2a_base64(hmac.digest(key, value, "sha256"), newline=False)
            if hmac.compare_digest(made.translate(_URLSAFE, b"="), signature):
                return True
        return False


def _unsign(signer: _Signer, raw: str) -> str | None:
    if len(raw) > LONGEST_TOKEN or not raw.isascii():
        return None
    value, separator, signature = raw.rpartition(".")
    return value if separator and signer.signed(value.encode("ascii"), signature.encode("ascii")) else None


def _consent(fields: object) -> Consent | None:
    if not isinstance(fields, list) or len(fields) != 8 or fields[0] != _VERSION:
        return None
    _, answers, at, revision, receipt, seen, minor, issued = fields
    texts = (revision, receipt, seen)
    numbers = (at, minor, issued)
    if not isinstance(answers, dict) or not all(isinstance(one, str) for one in texts):
        return None
    if not all(isinstance(one, int) for one in (*numbers, *answers.values())):
        return None
    given = {str(name): bool(yes) for name, yes in answers.items()}
    return Consent(given, at, revision, receipt, seen, minor=bool(minor), issued=issued)


def _b64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URLSAFE, b"=").decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
