"""What looks like personal data in free-form text is masked; ordinary text stays as it is."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.redaction import LONGEST_TEXT, mask

MARK = re.compile(r"\[(email|phone|card|ssn|token)\]")

MASKED = {
    "an-email-in-a-sentence": ("write to ann@example.com today", "write to [email] today"),
    "an-email-in-a-path": ("/users/ann.b+c@mail.example.co.uk/edit", "/users/[email]/edit"),
    "an-email-percent-encoded": ("/u/ann%40example.com", "/u/[email]"),
    "an-email-encoded-twice": ("ann%2540example%252Ecom", "[email]"),
    "an-email-with-other-letters": ("jürgen@bücher.example", "[email]"),
    "an-email-with-a-long-name": ("a" * 300 + "@example.com", "[email]"),
    "an-email-with-a-wide-at": ("ann\uff20example.com", "[email]"),
    "two-emails": ("a@example.com,b@example.org", "[email],[email]"),
    "an-international-phone": ("call +49 30 1234567 now", "call [phone] now"),
    "a-phone-with-brackets": ("+1 (555) 123-4567", "[phone]"),
    "a-phone-without-spaces": ("tel:+15551234567", "tel:[phone]"),
    "a-phone-with-zeroes": ("0049 30 1234567", "[phone]"),
    "a-phone-percent-encoded": ("/call/%2B49%2030%201234567", "/call/[phone]"),
    "an-american-phone": ("(555) 123-4567", "[phone]"),
    "an-american-phone-with-dashes": ("555-123-4567", "[phone]"),
    "an-american-phone-in-a-slug": ("/call-555-123-4567-now", "/call-[phone]-now"),
    "a-british-phone": ("020 7946 0958", "[phone]"),
    "a-british-mobile": ("07700 900123", "[phone]"),
    "a-french-phone": ("06 12 34 56 78", "[phone]"),
    "a-card": ("paid with 4111 1111 1111 1111.", "paid with [card]."),
    "a-card-without-spaces": ("4111111111111111", "[card]"),
    "a-card-with-dashes": ("5500-0000-0000-0004", "[card]"),
    "a-card-with-dots": ("4111.1111.1111.1111", "[card]"),
    "a-card-percent-encoded": ("4111%201111%201111%201111", "[card]"),
    "a-card-after-another-number": ("order 7 4111 1111 1111 1111", "order [card]"),
    "a-card-in-a-word": ("n4111111111111111", "n[card]"),
    "a-short-card": ("378282246310005", "[card]"),
    "a-social-security-number": ("ssn 123-45-6789", "ssn [ssn]"),
    "a-social-security-number-in-a-slug": ("/ssn-123-45-6789", "/ssn-[ssn]"),
    "a-social-security-number-with-spaces": ("123 45 6789", "[ssn]"),
    "a-social-security-number-with-long-dashes": ("123–45–6789", "[ssn]"),
    "a-hexadecimal-token": ("/reset/a1b2c3d4e5f6a7b8c9d0", "/reset/[token]"),
    "a-base64-token": ("?t=dGhpcyBpcyBhIHNlY3JldA5x==", "?t=[token]=="),
    "a-token-with-hyphens": ("x7Kp-9QmZ_2LrT-vB4n-8WcY", "[token]"),
    "a-token-after-a-word": ("reset-a1b2c3d4e5f6a7b8", "[token]"),
    "an-access-key": ("AKIAIOSFODNN7EXAMPLE", "[token]"),
    "a-uuid": ("/s/550e8400-e29b-41d4-a716-446655440000", "/s/[token]"),
    "a-long-number": ("12345678901234567890", "[token]"),
    "a-jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.abc_DEF-123", "[token]"),
    "a-short-hexadecimal-token": ("/t/a1b2c3d4e5f6a7b8", "/t/[token]"),
    "a-jwt-with-encoded-dots": (
        "eyJhbGciOiJIUzI1NiJ9%2EeyJzdWIiOiJhbm4ifQ%2Eabc_DEF-123",
        "[token]%[token]%2Eabc_DEF-123",
    ),
    "a-social-security-number-percent-encoded": ("/caf%C3%A9/123%2D45%2D6789", "/caf%C3%A9/[ssn]"),
    "a-social-security-number-after-an-encoded-space": ("ssn%20123-45-6789", "ssn%20[ssn]"),
    "a-card-after-an-encoded-space": ("n%204111111111111111", "n%20[card]"),
    "a-card-encoded-twice": ("4111%25201111%25201111%25201111", "[card]"),
    "an-american-phone-percent-encoded": ("%28555%29%20123-4567/x", "[phone]/x"),
    "a-british-phone-percent-encoded": ("020%207946%200958", "[phone]"),
    "a-phone-encoded-twice": ("/call/%252B49%252030%25201234567", "/call/[phone]"),
    "an-encoded-phone-in-a-sentence": ("call 555%2D123%2D4567 now", "call [phone] now"),
    "several-kinds": ("ann@example.com 4111111111111111", "[email] [card]"),
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
    "/caf%C3%A9/%E6%97%A5%E6%9C%AC/a%20b",
    "100%25 of 50% off",
    "1234567890123456",
    "abcdef0123456789",
]


@pytest.mark.parametrize(("text", "shown"), MASKED.values(), ids=MASKED)
def test_personal_data_is_masked_and_told_by_its_kind(text: str, shown: str) -> None:
    masked, kinds = mask(text)
    assert (masked, sorted(kinds)) == (shown, sorted(MARK.findall(shown)))


@pytest.mark.parametrize("text", KEPT)
def test_ordinary_text_stays(text: str) -> None:
    assert mask(text) == (text, ())


@pytest.mark.parametrize("before", range(LONGEST_TEXT - 24, LONGEST_TEXT + 8))
def test_a_cut_leaves_no_half_of_an_email(before: int) -> None:
    shown, kinds = mask("x" * (before - 1) + " ann@example.com and more")
    assert (len(shown) <= LONGEST_TEXT, "ann" in shown, kinds) == (True, False, ("email",))


def test_a_cut_leaves_no_half_of_an_email_in_a_text_too_long_to_read() -> None:
    shown, _ = mask("ann@example.com," * 5000)
    assert set(shown.split(",")) <= {"[email]", "[email", "[emai", "[ema", "[em", "[e", "[", ""}


THINGS = {
    "email": "ann.secret@example.com",
    "card": "4111 1111 1111 1111",
    "ssn": "123-45-6789",
    "phone": "+49 30 1234567",
    "token": "a1b2c3d4e5f6a7b8c9d0",
}


@given(st.sampled_from(list(THINGS)), st.integers(0, 3), st.sampled_from(["/", "/u/", "caf\xe9 ", "x=", ""]))
def test_a_thing_is_masked_however_often_it_was_encoded(kind: str, times: int, before: str) -> None:
    text = f"{before}{THINGS[kind]}/more"
    for _ in range(times):
        text = quote(text, safe="")
    shown, kinds = mask(text)
    assert (kinds, f"[{kind}]" in shown, "more" in shown) == ((kind,), True, True)


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
