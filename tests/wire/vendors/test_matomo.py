"""Matomo gets bulk requests with the token in their body, and takes nobody's address for a visitor's."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import pytest

from consent_mw.core.terms import EventKind, VendorKind
from consent_mw.wire.vendors import Encoder
from tests.wire.vendors.sending import (
    ACCEPTED,
    AGAIN,
    EVENT_ID,
    FULL,
    NOW,
    REJECTED,
    REJECTED_ITSELF,
    UNKNOWN,
    answers,
    body,
    by_status,
    one,
    sent,
    writer,
)

OPTIONS = {"site_id": "7"}
TRUSTED = writer(VendorKind.MATOMO, "t0ken", endpoint="https://m.example/matomo.php", options=OPTIONS)
PLAIN = writer(VendorKind.MATOMO, "", endpoint="https://m.example/matomo.php", options=OPTIONS)
ALWAYS = {"idsite": "7", "rec": "1", "apiv": "1", "send_image": "0"}
EVENT = {"ca": "1", "e_c": "event", "e_a": "event"}


def hexed(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def request(
    to: Encoder, fields: dict[str, Any], kind: EventKind = EventKind.TRACK, now: float = NOW
) -> dict[str, str]:
    (query,) = body(to, one(fields, kind), now=now)["requests"]
    assert query.startswith("?")
    return dict(parse_qsl(query[1:], keep_blank_values=True, strict_parsing=True))


def visitor(text: str) -> dict[str, str]:
    return {"_id": hexed(text), "cid": hexed(text)}


def test_a_request_carries_all_that_is_permitted() -> None:
    dimension = {"props.dimension3": "gold", "props.category": "Forms", "props.label": "top", "props.value": 2.5}
    assert request(TRUSTED, {**FULL, **dimension}) == {
        **ALWAYS,
        **visitor("visitor-1"),
        "uid": "user-1",
        "url": "https://site.example/a?utm_source=ad&q=shoes",
        "urlref": "https://other.example/x",
        "action_name": "A page",
        "ua": "UA/1",
        "lang": "de",
        "ca": "1",
        "e_c": "Forms",
        "e_a": "signup",
        "e_n": "top",
        "e_v": "2.5",
        "dimension3": "gold",
        "cdt": "1527000000",
        "cip": "203.0.113.7",
        "country": "us",
        "region": "CA",
        "city": "Fresno",
    }


def test_the_token_is_in_the_body_and_nowhere_else() -> None:
    made = sent(TRUSTED, one(FULL))
    assert (made.url, made.headers) == ("https://m.example/matomo.php", (("content-type", "application/json"),))
    assert body(TRUSTED, one(FULL))["token_auth"] == "t0ken"
    assert "t0ken" not in "".join(body(TRUSTED, one(FULL))["requests"])
    assert set(body(PLAIN, one(FULL))) == {"requests"}


def test_without_a_token_neither_address_nor_place_nor_an_old_time_is_told() -> None:
    told = request(PLAIN, dict(FULL))
    assert {"cip", "country", "region", "city", "cdt"} & set(told) == set()
    assert request(PLAIN, {"event": "x", "time": NOW - 3600})["cdt"] == str(int(NOW) - 3600)


@pytest.mark.parametrize("kind", EventKind)
def test_of_nothing_permitted_there_is_a_neutral_event_of_nobody(kind: EventKind) -> None:
    assert request(PLAIN, {}, kind) == {**ALWAYS, **visitor(EVENT_ID), **EVENT}
    assert request(TRUSTED, {}, kind) == {**ALWAYS, **visitor(EVENT_ID), **EVENT, "cip": "0.0.0.0"}


def test_a_page_view_is_no_event() -> None:
    fields = {"event": "page_view", "visitor_id": "0123456789ABCDEF", "page_path": "/a b", "query.q": "x&y"}
    assert request(PLAIN, fields, EventKind.PAGE_VIEW) == {
        **ALWAYS,
        "_id": "0123456789abcdef",
        "cid": "0123456789abcdef",
        "url": "https://site.example/a b?q=x%26y",
    }


def test_who_is_known_by_address_alone_is_left_to_matomo_to_recognise() -> None:
    told = request(TRUSTED, {"event": "x", "ip_truncated": "203.0.113.0"})
    assert told == {**ALWAYS, **EVENT, "e_a": "x", "cip": "203.0.113.0"}
    assert request(PLAIN, {"event": "x", "ip": "203.0.113.7"})["cid"] == hexed(EVENT_ID)


def test_a_value_that_is_no_number_is_none() -> None:
    assert "e_v" not in request(PLAIN, {"event": "x", "props.value": "many"})
    assert "e_v" not in request(PLAIN, {"event": "x", "props.value": True})


BULKS: dict[str, tuple[int, object, list[Any]]] = {
    "all": (200, {"status": "success", "tracked": 3, "invalid": 0}, [ACCEPTED] * 3),
    "named": (
        400,
        {"status": "success", "tracked": 2, "invalid": 1, "invalid_indices": [1]},
        [ACCEPTED, REJECTED_ITSELF, ACCEPTED],
    ),
    "named-with-200": (
        200,
        {"status": "success", "tracked": 2, "invalid": 1, "invalid_indices": [0]},
        [REJECTED_ITSELF, ACCEPTED, ACCEPTED],
    ),
    "not-named": (200, {"status": "success", "tracked": 2, "invalid": 1}, [UNKNOWN] * 3),
    "none": (200, {"status": "success", "tracked": 0, "invalid": 3}, [REJECTED_ITSELF] * 3),
    "error-in-200": (200, {"status": "error", "tracked": 1, "invalid": 0}, [UNKNOWN] * 3),
    "a-gif": (200, b"GIF89a", [ACCEPTED] * 3),
    "204": (204, None, [ACCEPTED] * 3),
    "400-without-a-word": (400, b"", [REJECTED] * 3),
    "nonsense": (400, {"invalid": "x", "invalid_indices": ["1", 99, True]}, [REJECTED] * 3),
}


@pytest.mark.parametrize(("status", "told", "expected"), BULKS.values(), ids=BULKS)
def test_a_bulk_answer_tells_what_is_invalid(status: int, told: object, expected: list[Any]) -> None:
    assert answers(TRUSTED, status, told, 3) == expected


def test_what_matomo_may_have_recorded_is_not_sent_again() -> None:
    assert by_status(PLAIN, 302, 401, 403, 404, 413, 429, 500, 502, 503, 504) == {
        **dict.fromkeys((302, 401, 403, 404, 413), REJECTED),
        **dict.fromkeys((429, 503), AGAIN),
        **dict.fromkeys((500, 502, 504), UNKNOWN),
    }
    assert answers(writer(VendorKind.MATOMO, "", resend=True), 500, retry_after="9") == [AGAIN]
