"""A permit holds the listed fields that the event has, masked, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.event import Event
from consent_mw.core.permit import LONGEST_NAME, Permit, Refusal, listed_field, narrow, permit
from consent_mw.core.terms import SIMPLE_FIELDS, EventKind, Reason, Signal
from tests.builders import (
    EEA_UK,
    ELSEWHERE,
    NOW,
    a_consent,
    a_decision,
    a_policy,
    a_signal,
    a_vendor,
    an_event,
)

VALUES = {
    "page_path": "/pricing",
    "ip": "203.0.113.7",
    "ip_truncated": "203.0.113.0",
    "country": "US",
    "visitor_id": "v1",
    "email": "ann@example.com",
}


def fields_of(event: Event, *listed: str) -> Any:
    """What a vendor with these fields gets of this event, and what was masked in it."""
    vendor = a_vendor(fields=listed)
    allowed = permit(event, a_decision(a_policy(vendors=(vendor,)), ELSEWHERE), vendor)
    assert isinstance(allowed, Permit)
    return dict(allowed.fields), allowed.masked


def test_a_permit_names_its_vendor_and_event() -> None:
    vendor = a_vendor(fields=("event", "time", "page_path"))
    event = an_event("page_view", kind=EventKind.PAGE_VIEW, values=VALUES)
    assert permit(event, a_decision(a_policy(vendors=(vendor,)), ELSEWHERE), vendor) == Permit(
        "segment", "e1", EventKind.PAGE_VIEW, {"event": "page_view", "time": float(NOW), "page_path": "/pricing"}
    )


def test_only_listed_fields_that_have_a_value_leave() -> None:
    assert fields_of(an_event(values=VALUES), "country", "city", "ip_truncated") == (
        {"country": "US", "ip_truncated": "203.0.113.0"},
        (),
    )


def test_an_address_that_is_listed_leaves_as_it_is() -> None:
    assert fields_of(an_event(values=VALUES), "ip", "email") == (
        {"ip": "203.0.113.7", "email": "ann@example.com"},
        (),
    )


def test_a_jurisdiction_with_its_own_list_gets_that_one() -> None:
    vendor = a_vendor(fields=("event", "ip"), fields_in={"eea_uk": ("event",)})
    decision = a_decision(a_policy(vendors=(vendor,)), EEA_UK, consent=a_consent(analytics=True))
    allowed = permit(an_event(values=VALUES), decision, vendor)
    assert isinstance(allowed, Permit)
    assert allowed.fields == {"event": "signup"}


REFUSALS = {
    "nobody-asked-yet": (EEA_UK, {}, Reason.OPT_IN_DEFAULT),
    "a-no": (ELSEWHERE, {"consent": a_consent(analytics=False)}, Reason.CONSENT_REFUSED),
    "a-signal": (ELSEWHERE, {"gpc": True}, Reason.SIGNAL_REFUSES),
    "a-minor": (ELSEWHERE, {"minor": True}, Reason.MINOR),
}


@pytest.mark.parametrize(("place", "facts", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_denied_purpose_gets_a_refusal_with_its_reason(place: Any, facts: dict[str, Any], reason: Reason) -> None:
    vendor = a_vendor()
    policy = a_policy(a_signal(Signal.GPC, "analytics"), vendors=(vendor,))
    assert permit(an_event(), a_decision(policy, place, **facts), vendor) == Refusal("segment", "analytics", reason)


def test_a_vendor_without_fields_here_gets_a_refusal() -> None:
    vendor = a_vendor(fields_in={"elsewhere": ()})
    decision = a_decision(a_policy(vendors=(vendor,)), ELSEWHERE)
    assert permit(an_event(), decision, vendor) == Refusal("segment", "analytics", Reason.OPT_OUT_DEFAULT)


def test_a_vendor_that_the_decision_does_not_know_gets_a_refusal() -> None:
    decision = a_decision(a_policy(vendors=(a_vendor(),)), ELSEWHERE)
    assert isinstance(permit(an_event(), decision, a_vendor("stranger")), Refusal)


def test_a_vendor_whose_purpose_became_a_denied_one_gets_a_refusal() -> None:
    policy = a_policy(a_signal(Signal.GPC, "cross_site"), vendors=(a_vendor(),))
    decision = a_decision(policy, ELSEWHERE, gpc=True)
    assert isinstance(permit(an_event(), decision, a_vendor(purpose="cross_site")), Refusal)


def test_a_family_gives_all_its_members_and_a_name_gives_one() -> None:
    event = an_event(props={"plan": "pro", "seats": 3}, query={"utm_source": "ad", "token": "x"})
    assert fields_of(event, "props.*", "query.utm_source") == (
        {"query.utm_source": "ad", "props.plan": "pro", "props.seats": 3},
        (),
    )


def test_free_form_fields_are_masked_and_counted_the_event_name_included() -> None:
    event = an_event(
        "mail ann@example.com",
        values={"title": "ann@example.com", "page_path": "/u/ann@example.com", "name": "Ann"},
        props={"card": "4111 1111 1111 1111", "ok": "yes"},
        query={"q": "+49 30 1234567"},
    )
    assert fields_of(event, "event", "title", "page_path", "name", "props.*", "query.q") == (
        {
            "event": "mail [email]",
            "title": "[email]",
            "page_path": "/u/[email]",
            "name": "Ann",
            "query.q": "[phone]",
            "props.card": "[card]",
            "props.ok": "yes",
        },
        ("email", "email", "email", "phone", "card"),
    )


def test_a_card_that_is_a_number_is_masked_as_well() -> None:
    props = {"card": 4111111111111111, "also": 4111111111111111.0, "count": 12, "rate": 0.5, "on": True}
    assert fields_of(an_event(props=props), "props.*") == (
        {"props.card": "[card]", "props.also": "[card]", "props.count": 12, "props.rate": 0.5, "props.on": True},
        ("card", "card"),
    )


def test_a_name_that_is_personal_data_or_too_long_does_not_leave() -> None:
    props = {"ann@example.com": 1, "x" * (LONGEST_NAME + 1): 2, "": 3, "half \ud800": 4, "plan": 5}
    assert fields_of(an_event(props=props), "props.*") == ({"props.plan": 5}, ())


def test_what_json_cannot_say_does_not_leave() -> None:
    hostile: dict[str, Any] = {
        "nan": float("nan"),
        "infinite": float("inf"),
        "nothing": None,
        "list": ["a"],
        "huge": 10**5000,
        "half": "\ud800x",
    }
    assert fields_of(an_event(time=float("nan"), props=hostile), "props.*", "time") == ({"props.half": "?x"}, ())


def test_a_list_narrows_a_permit_and_never_widens_it() -> None:
    kept = {"event": "signup", "ip": "203.0.113.7", "props.plan": "pro", "query.q": "x"}
    assert narrow(kept, ("event", "props.*", "city")) == {"event": "signup", "props.plan": "pro"}
    assert narrow(kept, ()) == {}


def test_a_family_does_not_name_another_field_of_its_letters() -> None:
    assert not listed_field("props", ("props.*",))
    assert not listed_field("propsy.plan", ("props.*",))


names = st.sampled_from(sorted(SIMPLE_FIELDS - {"event", "time"}))
texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.dictionaries(names, texts),
    st.dictionaries(texts, texts, max_size=4),
    st.lists(st.sampled_from([*sorted(SIMPLE_FIELDS), "props.*", "query.*", "props.a"]), min_size=1, unique=True),
)
def test_nothing_but_listed_fields_is_ever_permitted(
    values: dict[str, str], props: dict[str, Any], listed: list[str]
) -> None:
    fields, _ = fields_of(an_event(values=values, props=props, query=props), *listed)
    assert all(listed_field(name, listed) for name in fields)
