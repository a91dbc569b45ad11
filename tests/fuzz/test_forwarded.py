"""Whatever a forwarding header holds, the walk never picks something left of what it cannot read."""

from __future__ import annotations

import os
from ipaddress import ip_address

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_mw.wire.address import ClientAddress, Trust, client_address

EXAMPLES = int(os.environ.get("CONSENT_MW_FUZZ", "60"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
HEADERS = st.sampled_from(["x-forwarded-for", "forwarded"])
PIECES = st.sampled_from([b'for="', b"for=", b'"', b"\\", b",", b";", b"8.8.8.8", b"[::1]", b":80", b" ", b"\x00"])
JUNK = st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=12).map(b"".join))


def seen(header: str, *fields: bytes) -> ClientAddress:
    return client_address([(header.encode(), one) for one in fields], "10.0.0.1", Trust(("10.0.0.0/8",), header))


@FUZZ
@given(st.sampled_from(["x-forwarded-for", "forwarded", "cf-connecting-ip"]), st.lists(JUNK, max_size=3))
def test_any_bytes_are_an_address_or_unreadable(header: str, fields: list[bytes]) -> None:
    found = seen(header, *fields)
    assert found.readable == (found.address is not None)


@FUZZ
@given(HEADERS, JUNK, st.booleans())
def test_what_a_proxy_appends_is_never_swallowed(header: str, junk: bytes, joined: bool) -> None:
    appended = b"203.0.113.7" if header == "x-forwarded-for" else b"for=203.0.113.7;proto=https"
    fields = [junk + b", " + appended] if joined else [junk, appended]
    assert seen(header, *fields) == ClientAddress(ip_address("203.0.113.7"))


@FUZZ
@given(HEADERS, JUNK)
def test_nothing_left_of_an_unreadable_hop_is_picked(header: str, junk: bytes) -> None:
    unreadable = b"unknown" if header == "x-forwarded-for" else b"for=unknown"
    assert seen(header, junk + b", " + unreadable) == ClientAddress(None, readable=False)
