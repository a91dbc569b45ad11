"""Whatever a Set-Cookie line holds, bounding it settles at once and never makes it live longer."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.core.terms import SameSite
from consent_mw.wire.cookies import SetCookie, bound_set_cookie, cookie_date

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
NOW = 1_527_000_000
ATTRIBUTES = st.sampled_from(
    [
        b"Max-Age=99999999", b"Max-Age=5", b"max-age=", b"Max-Age=+5", b"Max-Age=000000000000000009", b"Max-Age=-1",
        b"Expires=Tue, 22 May 2028 14:40:00 GMT", b"expires=x", b"Secure", b"Secure=" + b"x" * 1025, b"SameSite=None",
        b"SameSite=Strict", b"samesite", b"Domain=a.b", b"Domain=", b"Path=/", b"HttpOnly", b"Partitioned", b"", b"=",
    ]
)  # fmt: skip
LINES = st.one_of(
    st.binary(max_size=80),
    st.builds(lambda pair, rest: b"; ".join([pair, *rest]), st.binary(max_size=8), st.lists(ATTRIBUTES, max_size=6)),
    st.lists(ATTRIBUTES, max_size=6).map(lambda rest: b";".join([b"__Host-a=b", *rest])),
)


@FUZZ
@given(LINES, st.sampled_from([None, 1, 86_400]), st.booleans(), st.sampled_from([None, *SameSite]))
def test_a_bound_line_is_settled_safer_and_no_longer(
    raw: bytes, lasts: int | None, secure: bool, same_site: SameSite | None
) -> None:
    once = bound_set_cookie(raw, lasts=lasts, secure=secure, same_site=same_site, now=NOW)
    assert bound_set_cookie(once, lasts=lasts, secure=secure, same_site=same_site, now=NOW) == once
    before, after = SetCookie.parse(raw), SetCookie.parse(once)
    if before is None or after is None or before.is_deletion(NOW):
        assert once == raw
        return
    assert (after.name, after.value) == (before.name, before.value)
    assert after.attribute(b"domain") == before.attribute(b"domain")
    was, will = before.lifetime(NOW), after.lifetime(NOW)
    assert (was is None) == (will is None)
    if was is not None and will is not None:
        assert will == (was if lasts is None else min(was, lasts))
    if secure:
        assert after.attribute(b"secure") is not None


@FUZZ
@given(st.one_of(st.binary(max_size=60), st.text("0123456789: -JanFeb", max_size=40).map(str.encode)))
def test_any_bytes_are_a_date_or_none(text: bytes) -> None:
    seconds = cookie_date(text)
    assert seconds is None or -11_644_473_600 <= seconds < 253_402_300_800
