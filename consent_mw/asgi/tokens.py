"""Tokens that were verified once and are remembered, so that a browser's next request is cheaper.

Rule: only what a good signature vouches for is remembered, by all of its bytes, and never too much.
"""

from __future__ import annotations

from typing import Final

from consent_mw.core.consent import Consent
from consent_mw.wire.remembered import Remembered
from consent_mw.wire.token import Identifier, Keyring

TOKENS_KEPT: Final = 8192
"""Bound of the verified tokens that are remembered, of each kind, twice."""


class Tokens:
    """Reads tokens under one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._consents: Remembered[bytes, Consent] = Remembered(TOKENS_KEPT)
        self._identifiers: Remembered[bytes, Identifier] = Remembered(TOKENS_KEPT)

    def consent(self, raw: bytes) -> Consent | None:
        """The consent that this token holds, or None."""
        known = self._consents.get(raw)
        if known is not None:
            return known
        found = self._keyring.read_consent(raw.decode("latin-1"))
        return None if found is None else self._consents.keep(raw, found)

    def identifier(self, raw: bytes) -> Identifier | None:
        """The identifier that this token carries, or None."""
        known = self._identifiers.get(raw)
        if known is not None:
            return known
        found = self._keyring.read_identifier(raw.decode("latin-1"))
        return None if found is None else self._identifiers.keep(raw, found)
