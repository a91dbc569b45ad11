"""A receipt is verified by anyone with the public keys, and by nothing else."""

from __future__ import annotations

import base64
import json

import pytest

from consent_mw.wire.receipts import Signer, verify
from consent_mw.wire.token import Keyring

OLD, NEW, FOREIGN = "old-key-0123456789", "new-key-0123456789", "foreign-0123456789"
CLAIMS: dict[str, object] = {"id": "r1", "purposes": {"analytics": True}, "site": "é"}


def test_a_receipt_is_verified_after_a_rotation_and_never_by_foreign_keys() -> None:
    receipt = Signer(Keyring([OLD])).sign(CLAIMS)
    assert verify(receipt, Signer(Keyring([OLD, NEW])).jwks()) == CLAIMS
    assert verify(Signer(Keyring([OLD, NEW])).sign(CLAIMS), Signer(Keyring([NEW])).jwks()) == CLAIMS
    assert verify(receipt, Signer(Keyring([NEW])).jwks()) is None
    assert verify(receipt, Signer(Keyring([FOREIGN])).jwks()) is None


def test_the_keys_are_public_and_one_for_each() -> None:
    keys = Signer(Keyring([OLD, NEW])).jwks()["keys"]
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x"]] * 2
    assert keys[0]["kid"] != keys[1]["kid"]


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA", "crit": ["x"]}, [], 1], ids=repr
)
def test_a_header_chooses_nothing(header: object) -> None:
    signer = Signer(Keyring([OLD]))
    _, payload, signature = signer.sign(CLAIMS).split(".")
    if isinstance(header, dict):
        header = {**header, "kid": signer.jwks()["keys"][0]["kid"]}
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    assert verify(f"{head}.{payload}.{signature}", signer.jwks()) is None
    assert verify(f"{head}.{payload}.", signer.jwks()) is None


@pytest.mark.parametrize("raw", ["", "..", "a.b", "a.b.c.d", "é.é.é", "." * 70_000, "[.[.["], ids=lambda raw: raw[:8])
def test_what_is_no_receipt_is_none(raw: str) -> None:
    assert verify(raw, Signer(Keyring([OLD])).jwks()) is None


@pytest.mark.parametrize("jwks", [{}, {"keys": 1}, {"keys": [1]}, {"keys": [{"x": 1}]}, [], None, "keys"], ids=repr)
def test_broken_keys_verify_nothing(jwks: object) -> None:
    assert verify(Signer(Keyring([OLD])).sign(CLAIMS), jwks) is None  # type: ignore[arg-type]  # read from JSON
