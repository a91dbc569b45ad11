"""Receipts as signed tokens that anyone can verify: JWS with Ed25519 (RFC 7515, RFC 8037).

Rule: the private keys are derived from the keyring, so that there is one secret to keep and to rotate.
Rule: verifying needs only the receipt and the public keys; it never raises, it answers None.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_mw.wire.token import Keyring

LONGEST_RECEIPT = 65_536
"""Characters beyond which a receipt is not read."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_URLSAFE = bytes.maketrans(b"+/", b"-_")


class Signer:
    """Signs receipts with the key pair of the last key; publishes the public half of all."""

    def __init__(self, keyring: Keyring) -> None:
        seeds = [keyring.derive("receipt", key) for key in keyring.keys]
        self._pairs = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
        self._public = [_jwk(pair.public_key()) for pair in self._pairs]
        header = {"alg": "EdDSA", "kid": self._public[-1]["kid"], "typ": "consent-receipt+jwt"}
        self._header = _b64(_json(header)) + "."
        self._vouching = [keyring.derive("public-key", key) for key in keyring.keys]

    def sign(self, claims: Mapping[str, object]) -> str:
        """The claims as a compact JWS."""
        signed = self._header + _b64(_json(dict(claims)))
        return f"{signed}.{_b64(self._pairs[-1].sign(signed.encode('ascii')))}"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK Set (RFC 7517), oldest first."""
        return {"keys": list(self._public)}

    def public(self) -> list[str]:
        """The public keys one by one, as JSON, oldest first."""
        return [_json(one).decode() for one in self._public]

    def vouch(self, public: str) -> str:
        """A code by which the last key vouches for a public key that is kept somewhere."""
        return _voucher(self._vouching[-1], public)

    def vouched(self, public: str, code: str) -> bool:
        """Whether some key vouches so for this public key."""
        return code.isascii() and any(hmac.compare_digest(_voucher(key, public), code) for key in self._vouching)


def key_set(public: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """The JWK Set of these public keys, each as JSON."""
    return {"keys": [json.loads(one) for one in public]}


def verify(jws: str, jwks: Mapping[str, object]) -> dict[str, object] | None:
    """The claims of this receipt if one of these public keys signed it; else None."""
    if len(jws) > LONGEST_RECEIPT or jws.count(".") != 2:
        return None
    head, payload, signature = jws.split(".")
    try:
        header = json.loads(_unb64(head))
        claims = json.loads(_unb64(payload))
        key = _key_of(header, jwks)
        if key is None or not isinstance(claims, dict):
            return None
        Ed25519PublicKey.from_public_bytes(_unb64(key)).verify(_unb64(signature), f"{head}.{payload}".encode("ascii"))
    except (ValueError, TypeError, RecursionError, InvalidSignature):
        return None
    return claims


def _voucher(key: bytes, public: str) -> str:
    return hmac.digest(key, public.encode(), "sha256").hex()


def _key_of(header: object, jwks: Mapping[str, object]) -> str | None:
    """The public key that the header names. Only EdDSA is taken: a token's `alg` chooses nothing (RFC 8725)."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(header, dict) or header.get("alg") != "EdDSA" or "crit" in header or not isinstance(keys, list):
        return None
    for key in keys:
        if isinstance(key, dict) and key.get("kid") == header.get("kid") and key.get("crv") == "Ed25519":
            return str(key.get("x", ""))
    return None


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    x = _b64(key.public_bytes_raw())
    # RFC 7638: the thumbprint is over the required members in lexical order.
    thumbprint = _b64(hashlib.sha256(_json({"crv": "Ed25519", "kty": "OKP", "x": x})).digest())
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint, "use": "sig", "alg": "EdDSA"}


def _json(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _b64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URLSAFE, b"=").decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # Lenient base64 would let other spellings of a receipt pass for it.
    if _b64(data) != text:
        raise ValueError("not canonical base64url")
    return data
