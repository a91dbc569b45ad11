"""A token is what its keyring signed, byte for byte, or it is absence."""

from __future__ import annotations

import hashlib

import itsdangerous
import pytest

from consent_mw.core.consent import Consent
from consent_mw.errors import KeysError
from consent_mw.wire.token import Identifier, Keyring, parse_keys

OLD, NEW, FOREIGN = "old-key-0123456789", "new-key-0123456789", "foreign-0123456789"
CONSENT = Consent(
    {"analytics": True, "cross_site": False}, 1_527_000_000, "2018-05-22 é", "r1", "s", True, 1_527_000_001
)
BYTES16 = bytes(range(16))
ID = "AAECAwQFBgcICQoLDA0ODw"


def test_the_last_key_signs_and_all_verify() -> None:
    old, both, new = Keyring([OLD]), Keyring([OLD, NEW]), Keyring([NEW])
    assert both.read_identifier(old.new_identifier(BYTES16, 17_673)[1]) == Identifier(ID, 17_673)
    assert new.read_identifier(both.new_identifier(BYTES16, 17_673)[1]) == Identifier(ID, 17_673)
    assert old.read_identifier(both.new_identifier(BYTES16, 17_673)[1]) is None
    assert both.read_consent(old.sign_consent(CONSENT)) == CONSENT
    assert new.read_consent(both.sign_consent(CONSENT)) == CONSENT
    assert old.read_consent(both.sign_consent(CONSENT)) is None


def test_tokens_are_signed_as_itsdangerous_signs_them() -> None:
    ring = Keyring([OLD, NEW])
    for salt, token in (
        (b"consent_mw.identifier", ring.new_identifier(BYTES16, 17_673)[1]),
        (b"consent_mw.consent", ring.sign_consent(CONSENT)),
    ):
        peer = itsdangerous.Signer(NEW, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        peer.algorithm = itsdangerous.signer.HMACAlgorithm(hashlib.sha256)
        assert peer.sign(peer.unsign(token)).decode() == token


def test_a_foreign_key_never_verifies() -> None:
    foreign, ours = Keyring([FOREIGN]), Keyring([OLD, NEW])
    assert ours.read_identifier(foreign.new_identifier(BYTES16, 1)[1]) is None
    assert ours.read_consent(foreign.sign_consent(CONSENT)) is None


def test_one_token_never_passes_for_another() -> None:
    ring = Keyring([OLD])
    assert ring.read_consent(ring.new_identifier(BYTES16, 1)[1]) is None
    assert ring.read_identifier(ring.sign_consent(CONSENT)) is None


@pytest.mark.parametrize(
    "raw", ["", ".", "..", "a", f"{ID}.1", f"{ID}.1.", "é.é", "\x00", "." * 4001, "A" * 100_000, f"{ID}.1.="],
    ids=lambda raw: repr(raw[:12]),
)  # fmt: skip
def test_what_is_no_token_is_absence(raw: str) -> None:
    ring = Keyring([OLD])
    assert ring.read_identifier(raw) is None
    assert ring.read_consent(raw) is None


def test_keys_are_separated_by_commas_or_lines() -> None:
    assert parse_keys(f" {OLD} ,\r\n{NEW}\n,\n").keys == (OLD.encode(), NEW.encode())


@pytest.mark.parametrize("text", ["", " , \n", "short", f"{OLD},short", "\0" * 4097], ids=lambda text: repr(text[:9]))
def test_unsound_keys_are_refused(text: str) -> None:
    with pytest.raises(KeysError):
        parse_keys(text)


@pytest.mark.parametrize("keys", [OLD, OLD.encode(), [32], [None]], ids=repr)
def test_keys_of_another_type_are_refused(keys: object) -> None:
    with pytest.raises(KeysError):
        Keyring(keys)  # type: ignore[arg-type]  # the mistake itself


def test_a_digest_stays_while_the_oldest_key_does() -> None:
    assert Keyring([OLD]).digest("visitor", "v") == Keyring([OLD, NEW]).digest("visitor", "v")
    assert Keyring([OLD]).digest("visitor", "v") != Keyring([OLD]).digest("user", "v")
    assert Keyring([OLD]).digest("visitor", "v") != Keyring([NEW]).digest("visitor", "v")
    assert len(Keyring([OLD]).digest("visitor", "\ud800é")) == 32


def test_an_identifier_is_made_of_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="random16"):
        Keyring([OLD]).new_identifier(b"short", 1)
