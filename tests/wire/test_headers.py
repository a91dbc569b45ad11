"""Header fields are read as lists, merged once, and kept out of shared caches when they must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.headers import (
    members,
    private_line,
    tag_etag,
    tokens,
    untag_etag,
    values,
    varies_by,
    vary_line,
)

DIGEST = "0123456789abcdef"
SAID = st.lists(
    st.lists(
        st.sampled_from([b"no-store", b"public", b"max-age=60", b'a="', b'b="x, y"', b",", b"*", b" ", b"Cookie"])
    ).map(b", ".join),
    max_size=6,
).map(tuple)


def test_fields_are_found_whatever_their_case() -> None:
    pairs = [(b"Cookie", b"a"), (b"x", b"b"), (b"cookie", b"c")]
    assert values(pairs, b"COOKIE") == [b"a", b"c"]
    assert values(pairs, b"y") == []


MEMBERS = {
    "a usual list": ([b"gzip, br"], [b"gzip", b"br"]),
    "two fields": ([b"gzip", b"br"], [b"gzip", b"br"]),
    "no spaces": ([b"a,b\t,\tc"], [b"a", b"b", b"c"]),
    "a comma in quotes": ([b'private="a, b", max-age=0'], [b'private="a, b"', b"max-age=0"]),
    "an escaped quote": ([b'a="x\\", y", b'], [b'a="x\\", y"', b"b"]),
    "empty members": ([b", ,a,,"], [b"a"]),
    "nothing": ([b""], []),
    "an open quote": ([b'a="b, c', b"d"], [b'a="b, c', b"d"]),
    "a last backslash": ([b'"a\\'], [b'"a\\']),
}


@pytest.mark.parametrize(("fields", "expected"), MEMBERS.values(), ids=MEMBERS)
def test_lists_are_split_at_their_commas_alone(fields: list[bytes], expected: list[bytes]) -> None:
    assert members(fields) == expected


def test_tokens_are_what_stands_before_a_value_or_a_parameter() -> None:
    assert tokens([b"Max-Age=5, text/HTML;q=0.5, No-Store"]) == [b"max-age", b"text/html", b"no-store"]


VARY = {
    "none yet": ([], b"Cookie, DNT"),
    "one of the site's": ([b"Accept-Encoding"], b"Accept-Encoding, Cookie, DNT"),
    "named already": ([b"cookie, dnt"], b"cookie, dnt"),
    "two fields": ([b"Origin", b"COOKIE"], b"Origin, COOKIE, DNT"),
    "a star": ([b"*"], b"*"),
    "a star among names": ([b"Origin, *"], b"*"),
    "an empty field": ([b""], b"Cookie, DNT"),
    "a stray quote": ([b'"a, Origin'], b'"a, Origin, Cookie, DNT'),
}


@pytest.mark.parametrize(("said", "expected"), VARY.values(), ids=VARY)
def test_vary_is_one_field_that_names_all(said: list[bytes], expected: bytes) -> None:
    assert vary_line(tuple(said), (b"Cookie", b"DNT")) == expected


PRIVATE = {
    "nothing said": ([], [b"private, no-cache"]),
    "a public page": ([b"public, max-age=600, s-maxage=900, immutable"], [b"private, no-cache"]),
    "stale allowances": ([b"stale-while-revalidate=60, stale-if-error=60"], [b"private, no-cache"]),
    "a stricter page": (
        [b"no-store, must-revalidate, no-transform"],
        [b"private, no-cache, no-store, must-revalidate, no-transform"],
    ),
    "private to some fields": ([b'private="set-cookie", no-cache="x"'], [b"private, no-cache"]),
    "two fields": ([b"public", b"No-Store"], [b"private, no-cache, No-Store"]),
    "the same twice": ([b"no-store, no-store"], [b"private, no-cache, no-store"]),
    "an extension": ([b'community="UCI"'], [b'private, no-cache, community="UCI"']),
    "an open quote before no-store": ([b'a="', b"no-store"], [b"private, no-cache, no-store"]),
    "an open quote around no-store": ([b'a="b, no-store'], [b"private, no-cache, no-store"]),
    "no-store in a value": ([b'a=", no-store, a="'], [b'private, no-cache, a=", no-store, a="']),
    "an open quote around public": ([b'a="b, public, max-age=9'], [b"private, no-cache"]),
    "words that are no directive": ([b"max age=5, =x, ;"], [b"private, no-cache"]),
}


@pytest.mark.parametrize(("said", "expected"), PRIVATE.values(), ids=PRIVATE)
def test_a_private_answer_keeps_only_what_is_stricter(said: list[bytes], expected: list[bytes]) -> None:
    assert [private_line(tuple(said))] == expected


@given(SAID)
def test_making_private_twice_is_making_private_once(said: tuple[bytes, ...]) -> None:
    once = private_line(said)
    assert private_line((once,)) == once


@given(SAID)
def test_making_private_never_loses_no_store(said: tuple[bytes, ...]) -> None:
    line = private_line(said)
    # As text: between two quotes it is part of an extension's value, which stays as it came.
    assert (b"no-store" in line) == (b"no-store" in b",".join(said))
    assert not {b"public", b"max-age"} & set(tokens([line]))


@given(SAID)
def test_merging_vary_twice_is_merging_it_once(said: tuple[bytes, ...]) -> None:
    once = vary_line(said, (b"Cookie", b"DNT"))
    assert vary_line((once,), (b"Cookie", b"DNT")) == once


ETAGS = {
    "a strong one": (b'"abc"', b'W/"abc-cmws0123456789abcdef"', b'"abc"'),
    "a weak one": (b'W/"abc"', b'W/"abc-cmww0123456789abcdef"', b'W/"abc"'),
    "an empty one": (b'""', b'W/"-cmws0123456789abcdef"', b'""'),
    "a comma in it": (b'"a,b"', b'W/"a,b-cmws0123456789abcdef"', b'"a,b"'),
    "a backslash at its end": (b'"a\\"', b'W/"a\\-cmws0123456789abcdef"', b'"a\\"'),
    "ours in it": (b'"a-cmws1"', b'W/"a-cmws1-cmws0123456789abcdef"', b'"a-cmws1"'),
    "one without quotes": (b"abc", b'W/"abc-cmws0123456789abcdef"', b'"abc"'),
    "quotes inside": (b'"a"b"', b'W/"ab-cmws0123456789abcdef"', b'"ab"'),
    "one lone quote": (b'"', b'W/"-cmws0123456789abcdef"', b'""'),
}


@pytest.mark.parametrize(("etag", "tagged", "back"), ETAGS.values(), ids=ETAGS)
def test_an_entity_tag_carries_the_decision_and_comes_back(etag: bytes, tagged: bytes, back: bytes) -> None:
    assert tag_etag(etag, DIGEST) == tagged
    assert untag_etag(tagged, DIGEST) == back
    assert untag_etag(tagged, "fedcba9876543210") == b""


CONDITIONS = {
    "ours": (b'W/"a-cmws0123456789abcdef"', b'"a"'),
    "two of ours": (b'W/"a-cmws0123456789abcdef", W/"b-cmww0123456789abcdef"', b'"a", W/"b"'),
    "one of ours, one of another decision": (b'W/"a-cmws0123456789abcdef", W/"b-cmwsfedcba9876543210"', b'"a"'),
    "a comma and a backslash in them": (b'"x\\" , W/"a,b-cmws0123456789abcdef"', b'"a,b"'),
    "the site's own": (b'"a", W/"b"', b""),
    "a star": (b"*", b""),
    "nothing": (b"", b""),
    "an open quote": (b'W/"a-cmws0123456789abcdef', b""),
    "only the end of ours": (b'"0123456789abcdef"', b""),
    "another strength": (b'"a-cmwx0123456789abcdef"', b""),
}


@pytest.mark.parametrize(("field", "expected"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_goes_upstream_only_with_tags_of_this_decision(field: bytes, expected: bytes) -> None:
    assert untag_etag(field, DIGEST) == expected


@given(st.binary(max_size=60))
def test_whatever_a_validator_holds_it_becomes_one_tag_of_ours(etag: bytes) -> None:
    tagged = tag_etag(etag, DIGEST)
    assert untag_etag(tagged, DIGEST) != b""
    assert untag_etag(tagged, DIGEST[::-1]) == b""
    assert untag_etag(etag, DIGEST) == b"" or DIGEST.encode() in etag


@pytest.mark.parametrize(
    ("vary", "named"),
    [
        ([b"Cookie"], True),
        ([b"Origin", b"accept ,\tCOOKIE"], True),
        ([b'", cookie'], True),
        ([b"Set-Cookie, Cookies"], False),
        ([b"*"], False),
        ([], False),
    ],
)
def test_vary_names_what_an_answer_varies_by(vary: list[bytes], named: bool) -> None:
    assert varies_by(vary, frozenset({b"cookie", b"dnt"})) is named
