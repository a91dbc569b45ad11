"""Whatever a Cookie field holds, dropping one cookie keeps the bytes of the others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.wire.cookies import remaining, split_cookies

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = st.sampled_from([b"a", b"b", b"_ga", b"__Host-vid", b""])
PAIRS = st.builds(
    lambda name, value: name + b"=" + value if name else value or b"x",
    NAMES,
    st.text("abc019%\"=. ,\xe9", max_size=6).map(lambda text: text.encode("latin-1").strip()),
)  # fmt: skip


@FUZZ
@given(st.lists(st.binary(max_size=60), max_size=4), NAMES)
def test_any_bytes_are_cookies_and_lose_only_what_is_dropped(fields: list[bytes], dropped: bytes) -> None:
    left = remaining(b"; ".join(fields), {}, lambda name: name != dropped)
    kept = [cookie for cookie in split_cookies(fields) if cookie.name != dropped]
    found = split_cookies([left] if left is not None else [])
    assert [(one.name, one.value) for one in found] == [(one.name, one.value) for one in kept]


@FUZZ
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_what_nothing_is_dropped_from_is_what_came(fields: list[bytes]) -> None:
    joined = b"; ".join(fields)
    assert remaining(joined, {}, lambda name: True) == (joined if split_cookies(fields) else None)


@FUZZ
@given(st.lists(PAIRS, min_size=1, max_size=8), NAMES)
def test_dropping_one_cookie_keeps_the_others_bytes(pairs: list[bytes], dropped: bytes) -> None:
    named = [(pair.partition(b"=")[0].strip() if b"=" in pair else b"", pair) for pair in pairs]
    expected = b"; ".join(pair for name, pair in named if name != dropped)
    assert remaining(b"; ".join(pairs), {}, lambda name: name != dropped) == (expected or None)
