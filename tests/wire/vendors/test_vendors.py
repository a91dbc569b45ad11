"""Whatever the vendor: nothing outside the permit is in its request, and its answers mean what they say."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.compiler.kinds import NEEDS
from consent_mw.core.event import Event
from consent_mw.core.permit import Permit, permit
from consent_mw.core.terms import SIMPLE_FIELDS, EventKind, Outcome, VendorKind
from consent_mw.wire.vendors import ENCODERS, OutgoingRequest, encoder, ga4
from consent_mw.wire.vendors.terms import LATEST, event_time, iso, retry_after
from tests.builders import ELSEWHERE, a_decision, a_policy, a_vendor

NOW = 1_795_434_123.0
THEN = 1_234_567_890.125
"""When the event happened; it shares no digits with when it is sent."""

KINDS = sorted(ENCODERS)
ENDS = ("accepted", "rejected", "dropped", "unknown")
FIELDS = sorted(SIMPLE_FIELDS)

TURNED_INTO = {VendorKind.GA4: ("name", "email")}
"""Fields of which only a digest of another form leaves."""

NAMES = {EventKind.PAGE_VIEW: "page_view", EventKind.IDENTIFY: "identify", EventKind.TRACK: "zq-signup"}


def full_event(kind: EventKind) -> Event:
    """An event that has a telling value for every field."""
    values = {name: f"zq-{name.replace('_', '-')}-qz" for name in FIELDS if name not in ("event", "time")}
    values |= {"ip": "198.51.100.77", "ip_truncated": "198.51.100.0", "page_url": "https://zq-page-url-qz.example/x"}
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
    """All that goes over the wire, secrets in the open and what is in percent-encoding decoded as well."""
    headers = [part for pair in request.headers for part in pair]
    basic = [one.removeprefix("Basic ") for one in headers if one.startswith("Basic ")]
    opened = [base64.b64decode(one).decode() for one in basic]
    body = request.body.decode()
    return "\n".join([request.method, request.url, *headers, *opened, body, unquote_plus(body)])


def values_of(event: Event, field: str) -> list[str]:
    """How the value of this field could look on the wire: as it is, or as the digest of it."""
    if field == "event":
        told = {EventKind.PAGE_VIEW: ("pageview", "pv"), EventKind.IDENTIFY: ("$identify",), EventKind.TRACK: ()}
        names = (event.name, event.name.replace("-", "_"), *told[event.kind])
        return [form for name in names for form in (f'"{name}"', f".{name}", f"=page_view&e_a={name}", f'"${name}"')]
    if field == "time":
        return [str(THEN), str(int(THEN)), iso(THEN)[:19], str(int(THEN // 1800 * 1800))]
    family, dot, name = field.partition(".")
    value = str((event.props if family == "props" else event.query)[name]) if dot else event.values[field]
    return [value, sha256(value.encode()).hexdigest()[:16], ga4._numbers(f"{field}:{value}")]


ALL_OPTIONS = {
    "measurement_id": "G-1",
    "site_id": "7",
    "domain": "site.example",
    "context_schema": "iglu:com.example/visit/jsonschema/1-0-0",
}
NEWER = "https://eu.i.posthog.com/i/v1/analytics/events"
SETUPS = {kind.value: (kind, {"options": ALL_OPTIONS}, "k-1") for kind in KINDS} | {
    "posthog-newer": (VendorKind.POSTHOG, {"endpoint": NEWER}, "k-1"),
    "matomo-without-key": (VendorKind.MATOMO, {"options": ALL_OPTIONS}, ""),
    "snowplow-without-context": (VendorKind.SNOWPLOW, {}, ""),
}
"""Every way in which a kind is written."""


@pytest.mark.parametrize(("vendor_kind", "more", "key"), SETUPS.values(), ids=SETUPS)
@given(
    kind=st.sampled_from(EventKind),
    listed=st.lists(st.sampled_from([*FIELDS, "props.plan", "query.plan", "props.seats"]), unique=True, min_size=1),
)
def test_no_byte_of_a_field_outside_the_permit_leaves(
    vendor_kind: VendorKind, more: dict[str, Any], key: str, kind: EventKind, listed: list[str]
) -> None:
    vendor = a_vendor(kind=vendor_kind, fields=tuple(listed), **more)
    event = full_event(kind)
    allowed = permit(event, a_decision(a_policy(vendors=(vendor,)), ELSEWHERE), vendor)
    assert isinstance(allowed, Permit)
    sent = everything(encoder(vendor, key, "https://site.example").encode([allowed], NOW))
    unlisted = {*FIELDS, "props.plan", "query.plan", "props.seats", "query.seats"} - set(listed)
    assert [field for field in sorted(unlisted) for value in values_of(event, field) if value in sent] == []


names = st.text(max_size=12)
texts = st.one_of(st.text(max_size=30), st.from_regex(r"[ -~]{1,30}", fullmatch=True))
props = st.dictionaries(names, st.one_of(texts, st.integers(), st.floats(), st.booleans()), max_size=4)


@pytest.mark.parametrize(("vendor_kind", "more", "key"), SETUPS.values(), ids=SETUPS)
@given(
    kind=st.sampled_from(EventKind),
    listed=st.lists(
        st.sampled_from([*FIELDS, "props.plan", "props.$ip", "query.utm_source"]), unique=True, min_size=1
    ),
    values=st.dictionaries(st.sampled_from(FIELDS), texts),
    others=st.dictionaries(st.sampled_from(FIELDS), texts),
    members=props,
    strangers=props,
)
def test_what_is_not_permitted_makes_no_difference_to_a_request(
    vendor_kind: VendorKind,
    more: dict[str, Any],
    key: str,
    kind: EventKind,
    listed: list[str],
    values: dict[str, str],
    others: dict[str, str],
    members: dict[str, Any],
    strangers: dict[str, Any],
) -> None:
    vendor = a_vendor(kind=vendor_kind, fields=tuple(listed), **more)
    decision = a_decision(a_policy(vendors=(vendor,)), ELSEWHERE)

    def sent(event: Event) -> OutgoingRequest | None:
        allowed = permit(event, decision, vendor)
        assert isinstance(allowed, Permit)
        return encoder(vendor, key, "https://site.example").encode([allowed], NOW)

    event = Event("zq", members, kind, {"ip": "198.51.100.77", **values}, {"utm_source": "a"}, "e-1", THEN)
    hidden = {name: text for name, text in others.items() if name not in listed}
    strange = {name: value for name, value in strangers.items() if f"props.{name}" not in listed}
    kept = {name: value for name, value in members.items() if f"props.{name}" in listed}
    other = replace(event, values={**event.values, **hidden}, props={**strange, **kept})
    other = other if "time" in listed else replace(other, time=THEN + 7_200)
    other = other if "event" in listed else replace(other, name="another")
    assert sent(other) == sent(event)


@pytest.mark.parametrize("with_settings", [True, False], ids=["all-settings", "no-settings"])
@pytest.mark.parametrize("field", [*(one for one in FIELDS if one != "event"), "props.plan", "query.plan"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_permitted_field_is_carried_or_check_says_that_it_is_not(
    kind: VendorKind, field: str, *, with_settings: bool
) -> None:
    event = full_event(EventKind.TRACK)
    value = THEN if field == "time" else values_of(event, field)[0]
    settings = frozenset({"key", *ALL_OPTIONS}) if with_settings else frozenset()
    vendor = a_vendor(kind=kind, options=ALL_OPTIONS if with_settings else {})
    write = encoder(vendor, "k-1" if with_settings else "", "https://site.example")
    base = {"event": "zq", "page_path": "/zq"} if field != "page_path" else {"event": "zq"}
    batch = [Permit("segment", "e-1", EventKind.TRACK, {**base, field: value})]
    # A time so long ago is one that Matomo takes with a key only.
    now = THEN + 60 if field == "time" else NOW
    without = write.encode([Permit("segment", "e-1", EventKind.TRACK, base)], now)
    request = write.encode(batch, now)
    assert (request == without) == (NEEDS[kind].loses(field, settings) is not None)
    if request != without and field not in TURNED_INTO.get(kind, ()):
        shown = everything(request)
        assert [one for one in values_of(event, field) if one in shown or one.replace("-", "_") in shown]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_which_nothing_is_permitted_says_no_more_than_that_there_was_one(kind: VendorKind) -> None:
    vendor = a_vendor(kind=kind)
    made = [encoder(vendor, "", "").encode([Permit("segment", "e-1", which, {})], NOW) for which in EventKind]
    assert made[1:] == made[:-1]


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
    fields = {"event": "größe", "page_url": "https://größe.example/日本", "title": 'a"\r\nb'}
    request = encoder(a_vendor(kind=kind), "", "").encode([Permit("segment", "e-1", EventKind.TRACK, fields)], NOW)
    assert "https://größe.example/日本" in everything(request)
    assert json.loads(request.body)
    assert [value for pair in request.headers for value in pair if not value.isprintable()] == []


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


def test_every_kind_can_be_delivered_to() -> None:
    assert set(ENCODERS) == set(VendorKind) == set(NEEDS)


told = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "results", "e-0", "result", "quota_limited", "failed_records", "index", "num_records_imported",
                    "invalid", "tracked", "invalid_indices", "status", "throttled_events", "silenced_events",
                    "events_with_invalid_fields", "partialSuccess", "rejectedLogRecords",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "more", "key"), SETUPS.values(), ids=SETUPS)
@given(
    status=st.one_of(st.sampled_from([200, 400, 429, 500]), st.integers(100, 599)),
    body=st.one_of(st.binary(max_size=40), told.map(lambda content: json.dumps(content).encode())),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-plausible-dropped"]), st.text(max_size=8)),
    number=st.integers(1, 4),
    resend=st.booleans(),
)
def test_any_answer_is_one_for_each_event_and_only_a_2xx_or_400_takes_any(
    kind: VendorKind,
    more: dict[str, Any],
    key: str,
    status: int,
    body: bytes,
    headers: dict[str, str],
    number: int,
    resend: bool,
) -> None:
    batch = [Permit("segment", f"e-{at}", EventKind.TRACK, {}) for at in range(number)]
    write = encoder(a_vendor(kind=kind, resend=resend, **more), key, "")
    found = write.answers(status, headers, body, batch, NOW)
    assert len(found) == number
    assert {one.outcome for one in found} <= {None, *(Outcome(name) for name in ENDS)}
    assert all(0.0 <= one.after <= 300.0 for one in found)
    if Outcome.ACCEPTED in {one.outcome for one in found}:
        assert 200 <= status < 300 or status == 400


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
