"""What outlives the signing keys: the key of digests, and the public keys of every receipt that was signed.

Rule: the store keeps them, so that a signing key that is taken away takes neither along.
Rule: a public key counts only where one of our keys vouches for it; the newest does so for all.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from consent_mw.wire.receipts import Signer, key_set
from consent_mw.wire.token import Keyring, keyed_digest

if TYPE_CHECKING:
    from consent_mw.world.store import Store

DIGEST: str = "digest"
"""What the key of digests is kept as."""


class Lasting:
    """What these keys begin with, until the store tells what was before. `key` is the key of digests; `public_keys`
    is a JWK Set."""

    def __init__(self, keyring: Keyring) -> None:
        self.key = keyring.derive("digest")
        self.public_keys: dict[str, list[dict[str, str]]] = {"keys": []}
        self._signer: Signer | None = None

    def digest(self, purpose: str, value: str) -> str:
        """A digest of a value for one use, under the key of digests."""
        return keyed_digest(self.key, purpose, value)

    def take(self, signer: Signer, store: Store | None) -> None:
        """Receipts are signed by this from now on."""
        self._signer = signer
        self.public_keys = signer.jwks()
        if store is not None:
            self._publish(signer, store)

    async def learn(self, store: Store) -> None:
        """Take from the store what is kept there, and keep there what is new. Raises StoreError."""
        self.key = await asyncio.wrap_future(store.secret(DIGEST, self.key))
        if self._signer is not None:
            await asyncio.wrap_future(self._publish(self._signer, store))

    def _publish(self, signer: Signer, store: Store) -> Future[list[list[str]]]:
        pending = store.publish([[one, signer.vouch(one)] for one in signer.public()])
        pending.add_done_callback(partial(self._published, signer, store))
        return pending

    def _published(self, signer: Signer, store: Store, pending: Future[list[list[str]]]) -> None:
        """The store has told which public keys there were; in its thread."""
        if signer is not self._signer or pending.exception() is not None:
            return
        known = [(one, code) for one, code in pending.result() if signer.vouched(one, code)]
        self.public_keys = key_set([one for one, _ in known])
        anew = [[one, signer.vouch(one)] for one, code in known if signer.vouch(one) != code]
        if anew:
            # An older key vouches: the newest does from now on, for the day on which that one is taken away.
            store.publish(anew)
