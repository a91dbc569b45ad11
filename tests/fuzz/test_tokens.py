"""Whatever a token holds it is read or absent; changing any byte of one makes it absent."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.core.consent import Consent
from consent_mw.wire.receipts import Signer, verify
from consent_mw.wire.token import Keyring

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
RING = Keyring(["a-key-of-0123456789", "b-key-of-0123456789"])
SIGNER = Signer(RING)
IDENTIFIER = RING.new_identifier(bytes(16), 17_673)[1]
CONSENT = RING.sign_consent(Consent({"analytics": True}, 1_527_000_000, "r"))
RECEIPT = SIGNER.sign({"id": "r1", "name": "é"})


@FUZZ
@given(st.one_of(st.text(max_size=60), st.text("abAB01-_.=", max_size=60)))
def test_any_text_is_a_token_or_absence(raw: str) -> None:
    assert RING.read_identifier(raw) is None
    assert RING.read_consent(raw) is None
    assert verify(raw, SIGNER.jwks()) is None


@FUZZ
@given(st.integers(0, 10_000), st.integers(0, 1), st.text(max_size=2))
def test_a_token_with_a_piece_replaced_is_absence(at: int, length: int, piece: str) -> None:
    assert RING.read_identifier(IDENTIFIER) is not None
    assert RING.read_consent(CONSENT) is not None
    for token in (IDENTIFIER, CONSENT, RECEIPT):
        start = at % (len(token) + 1)
        changed = token[:start] + piece + token[start + length :]
        if changed == token:
            continue
        assert RING.read_identifier(changed) is None
        assert RING.read_consent(changed) is None
        assert verify(changed, SIGNER.jwks()) is None


def test_no_other_byte_in_any_place_of_a_token_passes() -> None:
    for token in (IDENTIFIER, CONSENT):
        for at in range(len(token)):
            for char in "ABab019-_.=\n ":
                changed = token[:at] + char + token[at + 1 :]
                assert changed == token or RING.read_identifier(changed) is RING.read_consent(changed) is None
