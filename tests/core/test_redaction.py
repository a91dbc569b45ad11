"""What looks like personal data in free-form text is masked; ordinary text stays as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.redaction import LONGEST_TEXT, mask

MASKED = {
    "an-email-in-a-sentence": ("write to ann@example.com today", "write to [email] today", 1),
    "an-email-in-a-path": ("/users/ann.b+c@mail.example.co.uk/edit", "/users/[email]/edit", 1),
    "an-email-percent-encoded": ("/u/ann%40example.com", "/u/[email]", 1),
    "an-email-encoded-twice": ("ann%2540example%252Ecom", "[email]", 1),
    "an-email-with-other-letters": ("jürgen@bücher.example", "[email]", 1),
    "an-email-with-a-long-name": ("a" * 300 + "@example.com", "[email]", 1),
    "an-email-with-a-wide-at": ("ann\uff20example.com", "[email]", 1),
    "two-emails": ("a@example.com,b@example.org", "[email],[email]", 2),
    "an-international-phone": ("call +49 30 1234567 now", "call [phone] now", 1),
    "a-phone-with-brackets": ("+1 (555) 123-4567", "[phone]", 1),
    "a-phone-without-spaces": ("tel:+15551234567", "tel:[phone]", 1),
    "a-phone-with-zeroes": ("0049 30 1234567", "[phone]", 1),
    "a-phone-percent-encoded": ("/call/%2B49%2030%201234567", "/call/[phone]", 1),
    "an-american-phone": ("(555) 123-4567", "[phone]", 1),
    "an-american-phone-with-dashes": ("555-123-4567", "[phone]", 1),
    "an-american-phone-in-a-slug": ("/call-555-123-4567-now", "/call-[phone]-now", 1),
    "a-british-phone": ("020 7946 0958", "[phone]", 1),
    "a-british-mobile": ("07700 900123", "[phone]", 1),
    "a-french-phone": ("06 12 34 56 78", "[phone]", 1),
    "a-card": ("paid with 4111 1111 1111 1111.", "paid with [card].", 1),
    "a-card-without-spaces": ("4111111111111111", "[card]", 1),
    "a-card-with-dashes": ("5500-0000-0000-0004", "[card]", 1),
    "a-card-with-dots": ("4111.1111.1111.1111", "[card]", 1),
    "a-card-percent-encoded": ("4111%201111%201111%201111", "[card]", 1),
    "a-card-after-another-number": ("order 7 4111 1111 1111 1111", "order [card]", 1),
    "a-card-in-a-word": ("n4111111111111111", "n[card]", 1),
    "a-short-card": ("378282246310005", "[card]", 1),
    "a-social-security-number": ("ssn 123-45-6789", "ssn [ssn]", 1),
    "a-social-security-number-in-a-slug": ("/ssn-123-45-6789", "/ssn-[ssn]", 1),
    "a-social-security-number-with-spaces": ("123 45 6789", "[ssn]", 1),
    "a-social-security-number-with-long-dashes": ("123–45–6789", "[ssn]", 1),
    "a-hexadecimal-token": ("/reset/a1b2c3d4e5f6a7b8c9d0", "/reset/[token]", 1),
    "a-base64-token": ("?t=dGhpcyBpcyBhIHNlY3JldA5x==", "?t=[token]==", 1),
    "a-token-with-hyphens": ("x7Kp-9QmZ_2LrT-vB4n-8WcY", "[token]", 1),
    "a-token-after-a-word": ("reset-a1b2c3d4e5f6a7b8", "[token]", 1),
    "an-access-key": ("AKIAIOSFODNN7EXAMPLE", "[token]", 1),
    "a-uuid": ("/s/550e8400-e29b-41d4-a716-446655440000", "/s/[token]", 1),
    "a-long-number": ("12345678901234567890", "[token]", 1),
    "a-jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.abc_DEF-123", "[token]", 1),
    "several-kinds": ("ann@example.com 4111111111111111", "[email] [card]", 2),
}

KEPT = [
    "",
    "/pricing",
    "/blog/2024/01/15/how-to-build-a-web-app-in-2024-part-2",
    "/docs/v1.24.3-beta.2/release-notes",
    "How-To-Understand-Internationalization-2024",
    "internationalization-and-localization",
    "2024-01-15T10:30:00Z",
    "20240115T103000Z-weekly-report",
    "01/02/2024 12:30",
    "1795434123000",
    "/orders/12345678",
    "4111 1111 1111 1112",
    "Top 100 of 2000",
    "000-12-3456",
    "10.0.19041.1",
    "@mixmax",
    "ann@localhost",
    "C++11 and C++17",
    "price: 1,299.00 EUR",
    "Über uns – Straße",
    "日本語のページ",
    "utm_campaign=spring_sale_2024",
]


@pytest.mark.parametrize(("text", "shown", "count"), MASKED.values(), ids=MASKED)
def test_personal_data_is_masked_and_counted(text: str, shown: str, count: int) -> None:
    assert mask(text) == (shown, count)


@pytest.mark.parametrize("text", KEPT)
def test_ordinary_text_stays(text: str) -> None:
    assert mask(text) == (text, 0)


@pytest.mark.parametrize("before", range(LONGEST_TEXT - 24, LONGEST_TEXT + 8))
def test_a_cut_leaves_no_half_of_an_email(before: int) -> None:
    shown, count = mask("x" * (before - 1) + " ann@example.com and more")
    assert (len(shown) <= LONGEST_TEXT, "ann" in shown, count) == (True, False, 1)


def test_a_cut_leaves_no_half_of_an_email_in_a_text_too_long_to_read() -> None:
    shown, _ = mask("ann@example.com," * 5000)
    assert set(shown.split(",")) <= {"[email]", "[email", "[emai", "[ema", "[em", "[e", "[", ""}


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_email_never_survives_its_surroundings(before: str, after: str) -> None:
    assert "ann.secret@example.com" not in mask(f"{before} ann.secret@example.com {after}")[0]


@pytest.mark.parametrize(
    "unit", ["a", "1 ", "a@", "-", "1", "eyJ", "%40", "a@a.", "3 ", "a1", "+1", "0 ", "a.%", "ab-"]
)
def test_hostile_text_is_read_in_bounded_time(unit: str) -> None:
    began = time.process_time()
    mask(unit * 100_000)
    assert time.process_time() - began < 0.5
