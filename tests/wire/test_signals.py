"""A signal is read exactly, and the resources say what the policy does about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.decision import STATUS_IDS
from consent_mw.core.policy import SignalRule
from consent_mw.core.terms import Effect, Mode, Signal, TrackingStatus
from consent_mw.wire.signals import gpc_resource, read_dnt, read_gpc, tracking_status_resource
from tests.builders import ESSENTIAL, a_policy, a_signal

DNT = {
    "do not track": ([b"1"], True),
    "track": ([b"0"], False),
    "not sent": ([], None),
    "an extension": ([b"1xyz"], True),
    "an odd extension": ([b"0!#~"], False),
    "space around": ([b" 1\t"], True),
    "empty": ([b""], None),
    "two": ([b"2"], None),
    "a word": ([b"true"], None),
    "null": ([b"null"], None),
    "twice": ([b"1", b"1"], None),
    "joined": ([b"1, 1"], None),
    "a comma in the extension": ([b"1,0"], None),
    "a quote in the extension": ([b'1"'], None),
    "a backslash in the extension": ([b"1\\"], None),
    "a space in the extension": ([b"1 a"], None),
    "a control in the extension": ([b"1\x7f"], None),
    "not ASCII": ([b"1\xe9"], None),
}


@pytest.mark.parametrize(("fields", "expected"), DNT.values(), ids=DNT)
def test_dnt_is_a_preference_only_where_it_is_exactly_one(fields: list[bytes], expected: bool | None) -> None:
    assert read_dnt(fields) is expected


GPC = {
    "on": ([b"1"], True),
    "not sent": ([], False),
    "space around": ([b" 1 "], True),
    "twice": ([b"1", b"1"], True),
    "on in one of two": ([b"0", b"1"], True),
    "off": ([b"0"], False),
    "joined": ([b"1, 1"], False),
    "a word": ([b"true"], False),
    "a structured boolean": ([b"?1"], False),
    "an extension": ([b"1x"], False),
    "empty": ([b""], False),
}


@pytest.mark.parametrize(("fields", "expected"), GPC.values(), ids=GPC)
def test_gpc_is_on_only_where_a_field_is_exactly_one(fields: list[bytes], expected: bool) -> None:
    assert read_gpc(fields) is expected


@given(st.lists(st.binary(max_size=6), max_size=3))
def test_any_bytes_are_a_signal_or_none(fields: list[bytes]) -> None:
    assert read_dnt(fields) in (True, False, None)
    assert read_gpc(fields) == any(one.strip(b" \t") == b"1" for one in fields)


def test_the_site_wide_status_depends_on_the_visitor() -> None:
    policy = a_policy()
    site = replace(policy.site, origin="https://mixmax.com", same_party=("mixmax.com", "*.mixmax.com"))
    assert tracking_status_resource(replace(policy, site=site)) == {
        "tracking": "?",
        "policy": "https://mixmax.com/privacy",
        "config": "https://mixmax.com/_consent/preferences",
        "same-party": ["mixmax.com"],
    }
    assert tracking_status_resource(replace(policy, mode=Mode.REPORT)) == {
        "tracking": "!",
        "policy": "https://mixmax.com/privacy",
        "config": "/_consent/preferences",
    }


def test_same_party_is_left_out_where_it_names_no_domain() -> None:
    policy = a_policy()
    resource = tracking_status_resource(replace(policy, site=replace(policy.site, same_party=("*.mixmax.com",))))
    assert resource is not None
    assert "same-party" not in resource


@pytest.mark.parametrize(("status", "status_id"), STATUS_IDS.items(), ids=STATUS_IDS.values())
def test_every_status_id_that_we_send_has_a_resource(status: TrackingStatus, status_id: str) -> None:
    resource = tracking_status_resource(a_policy(), status_id)
    if status is TrackingStatus.DYNAMIC:  # site-wide only (TPE 6.2.3), so it is never sent
        assert resource is None
        return
    assert resource is not None
    # `U` stands in a header only (TPE 6.2.9); what its resource says must hold for whatever was chosen.
    assert resource["tracking"] == ("T" if status is TrackingStatus.UPDATED else status.value)


def test_a_site_that_only_does_what_is_essential_tracks_nobody() -> None:
    resource = tracking_status_resource(a_policy(purposes=(ESSENTIAL,)))
    assert resource is not None
    assert resource["tracking"] == "N"


@pytest.mark.parametrize("status_id", ["none/", "NONE", "?", "x" * 9999, "../none"])
def test_a_status_id_that_we_never_send_has_none(status_id: str) -> None:
    assert tracking_status_resource(a_policy(), status_id) is None


def test_the_gpc_resource_says_whether_the_signal_refuses_anything() -> None:
    gpc = _signal("cross_site")
    assert gpc_resource(a_policy(gpc)) == {"gpc": True, "lastUpdate": "2018-05-22"}
    assert gpc_resource(a_policy()) == {"gpc": False, "lastUpdate": "2018-05-22"}
    assert gpc_resource(a_policy(_signal())) == {"gpc": False, "lastUpdate": "2018-05-22"}
    assert gpc_resource(a_policy(gpc, mode=Mode.REPORT)) == {"gpc": False, "lastUpdate": "2018-05-22"}


@pytest.mark.parametrize("revision", ["7", "2018-02-30", "2018-13-01", "20180522", "2018-W21-2", "٢٠١٨-٠٥-٢٢"])
def test_a_revision_that_is_no_date_dates_nothing(revision: str) -> None:
    assert gpc_resource(a_policy(revision=revision)) == {"gpc": False}


def _signal(*purposes: str) -> SignalRule:
    rule = a_signal(Signal.GPC, *purposes)
    assert rule.everywhere.effect is (Effect.REFUSE if purposes else Effect.IGNORE)
    return rule
