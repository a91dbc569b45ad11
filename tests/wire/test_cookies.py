"""Cookies are read as browsers read them, filtered byte for byte, and only ever made safer."""

from __future__ import annotations

import pytest

from consent_mw.core.terms import SameSite
from consent_mw.wire.cookies import (
    Cookie,
    SetCookie,
    bound_set_cookie,
    called,
    cookie_date,
    expire_cookies,
    make_set_cookie,
    remaining,
    split_cookies,
)

NOW = 1_527_000_000
DAY = 86_400
GONE = b"=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"

FILTERED = {
    "one dropped from the middle": ([b"a=1; _ga=x; b=2"], b"a=1; b=2"),
    "the first dropped": ([b"_ga=x; a=1; b=2"], b"a=1; b=2"),
    "the last dropped": ([b"a=1; _ga=x"], b"a=1"),
    "none dropped": ([b'a="x y"; b=%20;c'], b'a="x y"; b=%20;c'),
    "all dropped": ([b"_ga=x; _ga=y"], None),
    "crumbs": ([b"a=1", b"_ga=x", b"b=2"], b"a=1; b=2"),
    "every duplicate": ([b"_ga=x; a=1; _ga=y; a=2"], b"a=1; a=2"),
    "space around the name": ([b"a=1; \t_ga =x"], b"a=1"),
    "no space between": ([b"a=1;_ga=x;b=2"], b"a=1;b=2"),
    "a name in quotes of another": ([b'a="x; _ga=1"'], b'a="x'),
    "a nameless one stays": ([b"_ga=x; token"], b"token"),
    "bytes that are no text": ([b"a=\xff\xfe; _ga=\xff"], b"a=\xff\xfe"),
    "a control": ([b"a=\x01; _ga=x"], b"a=\x01"),
    "equals signs": ([b"a==b=c; =_ga=x; _ga=x"], b"a==b=c; =_ga=x"),
    "nothing": ([], None),
    "an empty field": ([b""], None),
    "only separators": ([b" ; ;"], None),
}


@pytest.mark.parametrize(("fields", "expected"), FILTERED.values(), ids=FILTERED)
def test_what_stays_is_byte_for_byte_what_came(fields: list[bytes], expected: bytes | None) -> None:
    assert remaining(b"; ".join(fields), {}, lambda name: name != b"_ga") == expected


def test_cookies_are_split_without_losing_a_byte() -> None:
    assert split_cookies([b'a=1; b="x=y"', b"c;=d; ;e="]) == [
        Cookie(b"a", b"1", b"a=1"),
        Cookie(b"b", b'"x=y"', b' b="x=y"'),
        Cookie(b"", b"c", b" c"),
        Cookie(b"", b"d", b"=d"),
        Cookie(b"e", b"", b"e="),
    ]


def test_what_cookies_are_called_is_asked_where_it_is_not_known() -> None:
    asked: list[bytes] = []

    def call(name: bytes) -> str:
        asked.append(name)
        return "x"

    joined = b"a=1; _ga =2;a=3; token; =b; c"
    assert called(joined, {b"a": "A", b"_ga": "_ga*"}, call) == {"A", "_ga*", "x"}
    assert asked == [b"", b"", b""]
    assert called(b" ; ", {}, call) == called(b"", {}, call) == frozenset()


LIFETIMES = {
    "a session": (b"a=1; Path=/", None),
    "max-age": (b"a=1; Max-Age=60", 60),
    "expires, with its comma": (b"a=1; Expires=Tue, 22 May 2018 14:41:00 GMT", 60),
    "max-age beats expires": (b"a=1; max-age=5; expires=Tue, 22 May 2018 14:41:00 GMT", 5),
    "the last one wins": (b"a=1; Max-Age=5; Max-Age=9", 9),
    "an empty max-age": (b"a=1; Max-Age=; Expires=Tue, 22 May 2018 14:41:00 GMT", 60),
    "a plus sign": (b"a=1; Max-Age=+5", None),
    "a letter behind": (b"a=1; Max-Age=5x", None),
    "a fraction": (b"a=1; Max-Age=5.5", None),
    "quotes": (b'a=1; Max-Age="5"', None),
    "a minus alone": (b"a=1; Max-Age=-", None),
    "an invalid one after a valid one": (b"a=1; Max-Age=7; Max-Age=x", 7),
    "negative": (b"a=1; Max-Age=-5", -5),
    "zero": (b"a=1; Max-Age=000", 0),
    "zeros before a long life": (b"a=1; Max-Age=0000000000000000077", 77),
    "far too long": (b"a=1; Max-Age=" + b"9" * 500, 999_999_999_999),
    "over 1024 octets": (b"a=1; Max-Age=" + b"0" * 1020 + b"60000", None),
    "space around": (b"a=1 ;\tMax-Age\t=\t60\t", 60),
    "a date that is none": (b"a=1; Expires=tomorrow", None),
}


@pytest.mark.parametrize(("raw", "expected"), LIFETIMES.values(), ids=LIFETIMES)
def test_a_lifetime_is_what_a_browser_makes_of_it(raw: bytes, expected: int | None) -> None:
    parsed = SetCookie.parse(raw)
    assert parsed is not None
    assert parsed.lifetime(NOW) == expected
    assert parsed.is_deletion(NOW) == (expected is not None and expected <= 0)


PARSED = {
    "usual": (b"a=b; Path=/; Secure", SetCookie(b"a", b"b", ((b"path", b"/"), (b"secure", b"")))),
    "nameless": (b"token", SetCookie(b"", b"token", ())),
    "an empty name": (b"=a=b", SetCookie(b"", b"a=b", ())),
    "an empty value": (b"a=", SetCookie(b"a", b"", ())),
    "a tab in the value": (b"a=b\tc", SetCookie(b"a", b"b\tc", ())),
    "4096 octets": (b"a=" + b"b" * 4095, SetCookie(b"a", b"b" * 4095, ())),
    "4097 octets": (b"a=" + b"b" * 4096, None),
    "nothing": (b"", None),
    "only an equals sign": (b" = ; Path=/", None),
    "a control in an attribute": (b"a=b; Path=/\x01", None),
    "a delete character": (b"a=\x7f", None),
    "nameless, sent back as a prefixed cookie": (b"=__Host-consent=x", None),
    "nameless, with a prefix in another case": (b"__SECURE-x", None),
}


@pytest.mark.parametrize(("raw", "expected"), PARSED.values(), ids=PARSED)
def test_a_line_is_read_as_a_browser_reads_it(raw: bytes, expected: SetCookie | None) -> None:
    assert SetCookie.parse(raw) == expected


BOUND = {
    "a long life": (b"_ga=x; Path=/; Max-Age=99999999", b"_ga=x; Path=/; Max-Age=86400; SameSite=Lax; Secure"),
    "a long expiry": (
        b"_ga=x; Expires=Tue, 22 May 2028 14:40:00 GMT; Secure; SameSite=Strict",
        b"_ga=x; Secure; SameSite=Strict; Max-Age=86400",
    ),
    "within its bounds": (b"_ga=x;Max-Age=5;secure;samesite=LAX", b"_ga=x;Max-Age=5;secure;samesite=LAX"),
    "a session": (b"_ga=x; Secure; SameSite=Lax", b"_ga=x; Secure; SameSite=Lax"),
    "same-site none": (b"_ga=x; SameSite=None; Secure", b"_ga=x; Secure; SameSite=Lax"),
    "partitioned": (
        b"__Host-a=x; Partitioned; Secure; Path=/; SameSite=None",
        b"__Host-a=x; Partitioned; Secure; Path=/; SameSite=Lax",
    ),
    "a domain of its own": (b"a=x; Domain=.b.c", b"a=x; Domain=.b.c; SameSite=Lax; Secure"),
    "a deletion": (b"_ga=; Max-Age=0", b"_ga=; Max-Age=0"),
    "two lives": (b"a=x; Max-Age=5; Max-Age=9999999", b"a=x; Max-Age=86400; SameSite=Lax; Secure"),
    "a same-site that is none": (b"a=x; Secure; SameSite=maybe", b"a=x; Secure; SameSite=Lax"),
    "same-site weakened later": (b"a=x; Secure; SameSite=Lax; SameSite=None", b"a=x; Secure; SameSite=Lax"),
    "secure over 1024 octets": (
        b"a=x; SameSite=Lax; Secure=" + b"y" * 1025,
        b"a=x; SameSite=Lax; Secure=" + b"y" * 1025 + b"; Secure",
    ),
    "a line that no browser takes": (b"a=\x00; Max-Age=99999999", b"a=\x00; Max-Age=99999999"),
}


@pytest.mark.parametrize(("raw", "expected"), BOUND.values(), ids=BOUND)
def test_a_set_cookie_is_brought_within_its_bounds(raw: bytes, expected: bytes) -> None:
    assert bound_set_cookie(raw, lasts=DAY, secure=True, same_site=SameSite.LAX, now=NOW) == expected


def test_a_floor_of_none_brings_secure_and_weakens_nothing() -> None:
    def bound(raw: bytes) -> bytes:
        return bound_set_cookie(raw, lasts=None, secure=False, same_site=SameSite.NONE, now=NOW)

    assert bound(b"a=x") == b"a=x; SameSite=None; Secure"
    assert bound(b"a=x; SameSite=Strict; Secure") == b"a=x; SameSite=Strict; Secure"
    assert bound(b"a=x; SameSite=maybe; Secure") == b"a=x; SameSite=maybe; Secure"


def test_a_line_of_ours_says_all_it_should() -> None:
    assert make_set_cookie(b"__Host-vid", b"v.1", max_age=60) == (
        b"__Host-vid=v.1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert make_set_cookie(
        b"a", b"", max_age=0, domain="b.c", http_only=False, secure=False, same_site="Strict", path="/x"
    ) == (b"a=; Max-Age=0; Path=/x; Domain=b.c; SameSite=Strict")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": b""}, {"name": b"a b"}, {"name": b"a="}, {"value": b"a;b"}, {"value": b'"'}, {"value": b"a\r\nb"},
        {"value": b"\xff"}, {"domain": "a;b"}, {"path": "/\r\n"}, {"same_site": "Lax; x"}, {"domain": "é"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_line_of_ours_cannot_be_broken_out_of(wrong: dict[str, object]) -> None:
    said: dict[str, object] = {"name": b"a", "value": b"b", **wrong}
    name, value = said.pop("name"), said.pop("value")
    with pytest.raises(ValueError, match="is not"):
        make_set_cookie(name, value, max_age=1, **said)  # type: ignore[arg-type]  # a table of wrong arguments


EXPIRED = {
    "the domain itself": ("mixmax.com", ["mixmax.com"]),
    "a subdomain": ("app.mixmax.com", ["mixmax.com", "app.mixmax.com"]),
    "a deep subdomain": ("a.b.mixmax.com", ["mixmax.com", "b.mixmax.com", "a.b.mixmax.com"]),
    "a domain named alone": ("shop.other.org", ["other.org"]),
    "with a port, in capitals": ("Mixmax.com:8443", ["mixmax.com"]),
    "another site": ("example.com", []),
    "a name that only ends alike": ("evilmixmax.com", []),
    "the parent": ("com", []),
    "an IPv4 address": ("127.0.0.1:80", []),
    "an IPv6 address": ("[::1]:80", []),
    "no host": ("", []),
    "a trailing dot": ("mixmax.com.", []),
    "a host to break out": ("a;b.mixmax.com", []),
}


@pytest.mark.parametrize(("host", "domains"), EXPIRED.values(), ids=EXPIRED)
def test_a_cookie_is_expired_for_our_domains_and_never_for_others(host: str, domains: list[str]) -> None:
    ours = ["mixmax.com", "*.mixmax.com", "other.org", "0.0.1"]
    assert expire_cookies(b"_ga", ours, host) == [
        b"_ga" + GONE + b"; Secure",
        *(b"_ga" + GONE + b"; Domain=" + one.encode() + b"; Secure" for one in domains),
    ]


@pytest.mark.parametrize("name", [b"amp[1]", b"a/b", b"{a}", b"\xe9t\xe9"])
def test_whatever_name_a_browser_takes_is_expired(name: bytes) -> None:
    assert expire_cookies(name, [], "mixmax.com") == [name + GONE + b"; Secure"]


@pytest.mark.parametrize("name", [b"", b"a b", b"a;b", b"a=b", b"a\r\nb", b"\x7f"])
def test_a_name_that_cannot_be_written_is_not_expired(name: bytes) -> None:
    assert expire_cookies(name, ["mixmax.com"], "mixmax.com") == []


def test_nobody_is_asked_about_an_empty_segment() -> None:
    asked: list[bytes] = []
    assert remaining(b"; a=1;; \t;b", {}, lambda name: asked.append(name) is not None) is None
    assert asked == [b"a", b""]


def test_a_prefix_is_obeyed_by_its_deletion() -> None:
    ours = ["mixmax.com"]
    assert expire_cookies(b"__Host-a", ours, "mixmax.com") == [b"__Host-a" + GONE + b"; Secure"]
    assert expire_cookies(b"__host-http-a", ours, "mixmax.com") == [b"__host-http-a" + GONE + b"; Secure; HttpOnly"]
    assert expire_cookies(b"__Http-a", [], "mixmax.com") == [b"__Http-a" + GONE + b"; Secure; HttpOnly"]
    assert expire_cookies(b"a b", ours, "mixmax.com") == []


DATES = {
    "a usual date": (b"Tue, 22 May 2018 14:40:00 GMT", NOW),
    "the old dashes": (b"Tuesday, 22-May-18 14:40:00 GMT", NOW),
    "asctime": (b"Tue May 22 14:40:00 2018", NOW),
    "the epoch": (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
    "year 70": (b"Thu, 01-Jan-70 00:00:00 GMT", 0),
    "year 69": (b"01-Jan-69 00:00:00", 3_124_224_000),
    "a leap day": (b"29 Feb 2016 00:00:00", 1_456_704_000),
    "one digit each": (b"1 Jan 1970 0:0:1", 1),
    "a zone that is not heeded": (b"Tue, 22 May 2018 14:40:00 +0200", NOW),
    "junk behind each": (b"22nd Mayor 2018th 14:40:00pm", NOW),
    "year 1601": (b"1 Jan 1601 00:00:00", -11_644_473_600),
    "year 9999": (b"31 Dec 9999 23:59:59", 253_402_300_799),
    "year 1600": (b"1 Jan 1600 00:00:00", None),
    "no leap day": (b"29 Feb 2018 00:00:00", None),
    "no such day": (b"31 Apr 2018 00:00:00", None),
    "day zero": (b"0 Apr 2018 00:00:00", None),
    "24 hours": (b"1 Apr 2018 24:00:00", None),
    "60 minutes": (b"1 Apr 2018 00:60:00", None),
    "a leap second": (b"1 Apr 2018 23:59:60", None),
    "three digits of a second": (b"1 Apr 2018 00:00:000", None),
    "a year of five digits": (b"1 Apr 20181 00:00:00", None),
    "no seconds": (b"1 Apr 2018 00:00", None),
    "no month": (b"1 2018 00:00:00", None),
    "nothing": (b"", None),
    "zero": (b"0", None),
}


@pytest.mark.parametrize(("text", "expected"), DATES.values(), ids=DATES)
def test_a_date_is_read_as_forgivingly_as_browsers_do(text: bytes, expected: int | None) -> None:
    assert cookie_date(text) == expected
