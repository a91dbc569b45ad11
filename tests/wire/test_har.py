"""Archives of browsers: names and hosts are read, and what is none is absence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.har import Asked, read_har


def har(*entries: object) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode()


def test_names_and_hosts_are_read_and_no_value() -> None:
    entry = {
        "request": {"url": "https://Shop.example/a?b", "headers": [{"name": "Cookie", "value": "a=1; b=2; c"}]},
        "response": {"headers": [{"name": "set-cookie", "value": "x=1; Max-Age=5\ny=2"}]},
    }
    assert read_har(har(entry)) == (Asked("shop.example", ("a", "b"), ("x=1; Max-Age=5", "y=2")),)


def test_cookies_that_are_told_in_no_header_are_found_and_none_twice() -> None:
    sent = [{"name": name, "value": "1"} for name in ("a", "b", "", 7)]
    came = [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}, {"value": "3"}, "z"]
    request = {"url": "https://shop.example/", "headers": [{"name": "Cookie", "value": "a=1"}], "cookies": sent}
    response = {"headers": [{"name": "Set-Cookie", "value": "x=1; Max-Age=5"}], "cookies": came}
    told = (Asked("shop.example", ("a", "b"), ("x=1; Max-Age=5", "y=")),)
    assert read_har(har({"request": request, "response": response})) == told


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"log":1}', b'{"log":{"entries":5}}', b"\xff", b'{"a":' * 9999]
)
def test_what_is_no_archive_is_none(data: bytes) -> None:
    assert read_har(data) is None


@pytest.mark.parametrize(
    "entry", [None, 5, {}, {"request": 5}, {"request": {"url": 5}}, {"request": {"url": "http://[x"}}]
)
def test_an_entry_that_cannot_be_read_is_left_out(entry: object) -> None:
    assert read_har(har(entry)) == ()


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(
    st.dictionaries(
        st.sampled_from(["request", "response"]), st.dictionaries(st.sampled_from(["url", "headers"]), VALUES)
    )
)
def test_no_entry_makes_it_raise(entry: dict[str, object]) -> None:
    assert read_har(har(entry)) is not None
