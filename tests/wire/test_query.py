"""A URL leaves without query, fragment and userinfo, and without what the policy keeps back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.query import (
    PageAddress,
    ReferrerAddress,
    clean_page,
    clean_path,
    clean_referrer,
    named_parameters,
)

ORIGIN = "https://mixmax.com"
REDACT = ("/reset/*", "/r\xe9set/*", "/secret")
NAMED = frozenset({"utm_source"})

PAGES = {
    "a page": (b"/pricing", "/pricing", "/pricing"),
    "a query": (b"/p?email=a@b.c", "/p", "/p"),
    "a named parameter": (b"/p?utm_source=x%20y&token=1&utm_source=z", "/p", "/p?utm_source=x+y"),
    "raw UTF-8 in it": (b"/p?utm_source=\xc3\xa9", "/p", "/p?utm_source=%C3%A9"),
    "a fragment": (b"/p?utm_source=a#token", "/p", "/p?utm_source=a"),
    "a fragment with a question": (b"/p#a?utm_source=token", "/p", "/p"),
    "a reset link": (b"/reset/t0ken", "/reset/*", "/reset/*"),
    "a percent-encoded one": (b"/%72eset/t0ken", "/reset/*", "/reset/*"),
    "an encoded slash": (b"/reset%2Ft0ken", "/reset/*", "/reset/*"),
    "slashes doubled": (b"//reset//t0ken", "/reset/*", "/reset/*"),
    "dot segments": (b"/a/../reset/./t0ken", "/reset/*", "/reset/*"),
    "encoded twice": (b"/%2572eset/t0ken", "/reset/*", "/reset/*"),
    "another case": (b"/Reset/t0ken", "/reset/*", "/reset/*"),
    "a parameter of a segment": (b"/reset;v=1/t0ken", "/reset/*", "/reset/*"),
    "an encoded backslash": (b"/reset%5Ct0ken", "/reset/*", "/reset/*"),
    "a longer segment": (b"/resets/t0ken", "/resets/t0ken", "/resets/t0ken"),
    "raw UTF-8 in the path": (b"/r\xc3\xa9set/t0ken", "/r%C3%A9set/*", "/r%C3%A9set/*"),
    "an exact path": (b"/secret", "*", "*"),
    "the page of the form": (b"/reset/", "/reset/", "/reset/"),
    "an absolute target": (b"http://user:pw@mixmax.com/p?x=1", "/p", "/p"),
}


@pytest.mark.parametrize(("target", "path", "url"), PAGES.values(), ids=PAGES)
def test_a_page_leaves_without_what_is_kept_back(target: bytes, path: str, url: str) -> None:
    page = clean_page(ORIGIN, target, REDACT, NAMED)
    assert page.path == path
    assert page in (PageAddress(path, ORIGIN + url), PageAddress(path, url))


REFERRERS = {
    "a page": (b"https://a.org/x", ReferrerAddress("a.org", "https://a.org/x")),
    "everything": (b"https://u:p@A.org:8443/x?utm_source=s&q=1#f", ReferrerAddress("a.org", "https://a.org:8443/x?utm_source=s")),
    "IPv6": (b"http://[::1]:80/", ReferrerAddress("::1", "http://[::1]:80/")),
    "a reset link": (b"https://a.org/reset/t", ReferrerAddress("a.org", "https://a.org/reset/*")),
    "no path": (b"https://a.org", ReferrerAddress("a.org", "https://a.org/")),
    "an app": (b"android-app://com.x", ReferrerAddress()),
    "a bad port": (b"https://a.org:x/", ReferrerAddress()),
    "an open bracket": (b"https://[::1/", ReferrerAddress()),
    "a script": (b"javascript:alert(1)", ReferrerAddress()),
    "nothing": (b"", ReferrerAddress()),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), REFERRERS.values(), ids=REFERRERS)
def test_a_referrer_leaves_without_what_is_kept_back(raw: bytes, expected: ReferrerAddress) -> None:
    assert clean_referrer(raw, REDACT, NAMED) == expected


def test_a_star_names_all_parameters_but_none_in_a_url() -> None:
    assert named_parameters(b"a=1&b=&a=2", frozenset({"*"})) == {"a": "1", "b": ""}
    assert clean_page(ORIGIN, b"/p?a=1", (), frozenset({"*"})).url.endswith("/p")
    assert named_parameters(b"a=1&" * 201, frozenset({"*"})) == {}


@given(st.binary(max_size=80))
def test_any_bytes_are_an_address_or_none(raw: bytes) -> None:
    assert "#" not in clean_page(ORIGIN, raw, REDACT, NAMED).url
    assert "#" not in clean_referrer(b"https://" + raw, REDACT, NAMED).url
    named_parameters(raw, NAMED)


@given(st.text(max_size=20))
def test_what_a_star_covers_never_leaves(tail: str) -> None:
    assert clean_path("/reset/x" + tail, REDACT) == "/reset/*"
