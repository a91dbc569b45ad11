"""Whatever the vendor: nothing outside the permit is in its request, and its answers mean what they say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.event import Event
from consent_mw.core.permit import Permit, permit
from consent_mw.core.terms import SIMPLE_FIELDS, EventKind, VendorKind
from consent_mw.wire.vendors import ENCODERS, OutgoingRequest, encoder
from consent_mw.wire.vendors.terms import LATEST, event_time, iso, retry_after
from tests.builders import ELSEWHERE, a_decision, a_policy, a_vendor

NOW = 1_795_434_123.0
THEN = 1_234_567_890.125
"""When the event happened; it shares no digits with when it is sent."""

KINDS = sorted(ENCODERS)
FIELDS = sorted(SIMPLE_FIELDS)

NAMES = {EventKind.PAGE_VIEW: "page_view", EventKind.IDENTIFY: "identify", EventKind.TRACK: "zq-signup"}


def full_event(kind: EventKind) -> Event:
    """An event that has a telling value for every field."""
    values = {name: f"zq-{name.replace('_', '-')}-qz" for name in FIELDS if name not in ("event", "time")}
    members = {"plan": "zq-{}-plan-qz", "seats": "zq-{}-seats-qz"}
    return Event(
        NAMES[kind],
        {name: text.format("props") for name, text in members.items()},
        kind,
        values,
        {name: text.format("query") for name, text in members.items()},
        "e-1",
        THEN,
    )


def everything(request: OutgoingRequest) -> str:
    """All that goes over the wire, secrets in the open as well."""
    headers = [part for pair in request.headers for part in pair]
    basic = [one.removeprefix("Basic ") for one in headers if one.startswith("Basic ")]
    opened = [base64.b64decode(one).decode() for one in basic]
    return "\n".join([request.method, request.url, *headers, *opened, request.body.decode()])


def values_of(event: Event, field: str) -> list[str]:
    """How the value of this field could look on the wire."""
    if field == "event":
        return [f'"{event.name}"', f".{event.name}"]
    if field == "time":
        return [str(THEN), str(int(THEN)), iso(THEN)[:19]]
    family, dot, name = field.partition(".")
    if not dot:
        return [event.values[field]]
    return [str((event.props if family == "props" else event.query)[name])]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(EventKind),
    st.lists(st.sampled_from([*FIELDS, "props.plan", "query.plan", "props.seats"]), unique=True, min_size=1),
)
def test_no_byte_of_a_field_outside_the_permit_leaves(
    vendor_kind: VendorKind, kind: EventKind, listed: list[str]
) -> None:
    vendor = a_vendor(kind=vendor_kind, fields=tuple(listed))
    event = full_event(kind)
    allowed = permit(event, a_decision(a_policy(vendors=(vendor,)), ELSEWHERE), vendor)
    assert isinstance(allowed, Permit)
    sent = everything(encoder(vendor, "k-1", "https://site.example").encode([allowed], NOW))
    unlisted = {*FIELDS, "props.plan", "query.plan", "props.seats", "query.seats"} - set(listed)
    assert [field for field in sorted(unlisted) for value in values_of(event, field) if value in sent] == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_which_nothing_is_permitted_says_no_more_than_that_there_was_one(kind: VendorKind) -> None:
    vendor = a_vendor(kind=kind)
    made = [encoder(vendor, "", "").encode([Permit("segment", "e-1", which, {})], NOW).body for which in EventKind]
    assert len(set(made)) == 1


@pytest.mark.parametrize("when", [float("nan"), float("inf"), -1.0, LATEST + 1, 1e300, True, "then", None])
def test_a_time_that_cannot_be_said_is_none(when: Any) -> None:
    assert event_time({"time": when}) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", [-1.0, LATEST + 1, 1e300])
def test_a_time_out_of_range_does_not_stop_its_event(kind: VendorKind, when: float) -> None:
    allowed = Permit("segment", "e-1", EventKind.TRACK, {"event": "x", "time": when})
    assert json.loads(encoder(a_vendor(kind=kind), "", "").encode([allowed], NOW).body)


@pytest.mark.parametrize("kind", KINDS)
def test_other_letters_are_written_in_utf_8(kind: VendorKind) -> None:
    allowed = Permit("segment", "e-1", EventKind.TRACK, {"event": "größe 日本", "props.x": 'a"\r\nb'})
    body = encoder(a_vendor(kind=kind), "", "").encode([allowed], NOW).body
    assert "größe 日本" in body.decode()
    assert json.loads(body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["a\r\nx-evil: 1", "sch\u00f6n", "a\x00b", "\x7f"])
def test_a_key_that_no_header_can_carry_is_refused(kind: VendorKind, key: str) -> None:
    with pytest.raises(ValueError, match="no header can carry"):
        encoder(a_vendor(kind=kind), key, "")


@pytest.mark.parametrize("kind", KINDS)
def test_blanks_around_a_key_do_not_count(kind: VendorKind) -> None:
    allowed = [Permit("segment", "e-1", EventKind.TRACK, {})]
    vendor = a_vendor(kind=kind)
    assert encoder(vendor, " k\n", "").encode(allowed, NOW) == encoder(vendor, "k", "").encode(allowed, NOW)


@pytest.mark.parametrize("kind", sorted(set(VendorKind) - set(KINDS)))
def test_a_kind_that_is_not_written_yet_is_refused(kind: VendorKind) -> None:
    with pytest.raises(ValueError, match="cannot be delivered to"):
        encoder(a_vendor(kind=kind), "", "")


AFTER = {
    "seconds": ("7", 7.0),
    "blanks": (" 7 ", 7.0),
    "too-long": ("86400", 300.0),
    "far-too-long": ("9" * 400, 300.0),
    "a-date": ("Mon, 23 Nov 2026 11:42:33 GMT", 30.0),
    "a-date-in-the-past": ("Mon, 23 Nov 2020 11:42:33 GMT", 0.0),
    "a-date-far-ahead": ("Mon, 23 Nov 2099 11:42:33 GMT", 300.0),
    "nothing": ("", 0.0),
    "a-fraction": ("1.5", 0.0),
    "negative": ("-5", 0.0),
    "other-digits": ("\u0667", 0.0),
    "garbage": ("soon", 0.0),
    "a-year-that-is-none": ("Mon, 23 Nov 99999 11:42:33 GMT", 0.0),
}


@pytest.mark.parametrize(("said", "seconds"), AFTER.values(), ids=AFTER)
def test_retry_after_is_read_and_capped(said: str, seconds: float) -> None:
    assert retry_after({"retry-after": said}, NOW) == seconds
