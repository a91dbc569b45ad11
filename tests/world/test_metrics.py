"""What is counted has a name that Prometheus and the README know."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from consent_mw.world.metrics import BOUNDS, FAMILIES, GAUGES, LABELLED, Meters, exposition

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def samples(totals: dict[str, float], now: dict[str, float] | None = None) -> dict[str, float]:
    """Every sample that is not zero, by its name and labels."""
    text = exposition(totals, now or {}, {"revision": "1", "digest": "d"}).decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            if one.value:
                found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def test_events_are_counted_by_vendor_and_outcome() -> None:
    told = {"event_accepted:a": 3, "event_refused:b": 1, "event_lost": 2}
    assert samples(told) == {
        "consent_mw_events_total{outcome=accepted,vendor=a}": 3,
        "consent_mw_events_total{outcome=refused,vendor=b}": 1,
        "consent_mw_events_lost_total": 2,
        "consent_mw_policy_info{digest=d,revision=1}": 1,
    }


def test_a_count_without_a_family_is_told_under_its_own_name() -> None:
    assert samples({"odd_thing:a": 4})["consent_mw_odd_thing_total{vendor=a}"] == 4


def test_violations_are_counted_by_vendor_and_purpose() -> None:
    told = {"csp_violation:a:analytics": 4, "csp_violation:other:": 1}
    assert samples(told) == {
        "consent_mw_csp_violations_total{purpose=analytics,vendor=a}": 4,
        "consent_mw_csp_violations_total{purpose=,vendor=other}": 1,
        "consent_mw_policy_info{digest=d,revision=1}": 1,
    }


def test_durations_fall_into_buckets_that_add_up() -> None:
    meters = Meters()
    for seconds in (0.0005, 0.001, 0.003, 99.0):
        meters.note(200, seconds, 5)
    told = samples(meters.totals())
    buckets = [
        told[f"consent_mw_request_duration_seconds_bucket{{le={one}}}"] for one in (0.001, 0.0025, 0.005, "+Inf")
    ]
    assert buckets == [2, 2, 3, 4]
    assert told["consent_mw_request_duration_seconds_sum"] == 99.0045


def test_responses_are_counted_by_class() -> None:
    meters = Meters()
    meters.answered[2] += 5
    meters.answered[0] += 1
    told = {name: value for name, value in samples(meters.totals()).items() if "responses" in name}
    assert told == {"consent_mw_responses_total{class=2xx}": 5, "consent_mw_responses_total{class=given-up}": 1}


def test_every_family_is_in_the_readme() -> None:
    counters = [f"consent_mw_{name}_total" for name, *_ in (*FAMILIES.values(), *LABELLED.values())]
    others = [f"consent_mw_{name}" for name, _ in GAUGES.values()]
    more = ["consent_mw_request_duration_seconds", "consent_mw_policy_info", "consent_mw_ledger_entries"]
    more += ["consent_mw_ledger_head_info"]
    assert [name for name in (*counters, *others, *more) if f"`{name}" not in README] == []


def test_the_bounds_grow() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
