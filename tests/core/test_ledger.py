"""Entries say what they tell of in one spelling, and nothing of anybody."""

from __future__ import annotations

import pytest

from consent_mw.core.ledger import (
    Cut,
    Entry,
    Events,
    broken,
    choice,
    delivery,
    erasure,
    opened,
    overflow,
    policy_load,
    recall,
    refusal,
    retention,
    retry,
)

TOLD = {"revision": "1", "jurisdiction": "eea", "how": "form"}
GONE = Events(frozenset({"b", "a"}), {"recalled": 2}, {"recalled": ["d1"]})
BOTH = Events(frozenset({"a"}), {"rejected": 1, "accepted": 2}, {"accepted": ["d1", "d2"], "rejected": ["d3"]})
ENTRIES = {
    "choice": (
        choice("r1", {"ads": False, "analytics": True}, **TOLD),
        Entry("choice", "", "", '{"how":"form","jurisdiction":"eea","purposes":{"ads":false,"analytics":true},'
              '"receipt":"r1","revision":"1"}'),
    ),
    "withdrawal": (
        choice("r2", {"ads": False}, withdrawn=True, **TOLD),
        Entry("withdrawal", "", "", '{"how":"form","jurisdiction":"eea","purposes":{"ads":false},"receipt":"r2",'
              '"revision":"1"}'),
    ),
    "delivery": (
        delivery("crm", ["time", "event"], BOTH, {}),
        Entry("delivery", "crm", "accepted,rejected", '{"events":{"accepted":["d1","d2"],"rejected":["d3"]},'
              '"fields":["event","time"],"outcomes":{"accepted":2,"rejected":1},"purposes":["a"]}'),
    ),
    "late": (
        delivery("crm", [], Events(frozenset(), {}, {}), {"unknown": 1}),
        Entry("delivery", "crm", "unknown", '{"events":{},"fields":[],"late":{"unknown":1},"outcomes":{},'
              '"purposes":[]}'),
    ),
    "recall": (
        recall("crm", "minor", GONE, 1),
        Entry("recall", "crm", "recalled", '{"events":{"recalled":["d1"]},"outcomes":{"recalled":2},'
              '"purposes":["a","b"],"reason":"minor","tried":1}'),
    ),
    "overflow": (
        overflow("crm", Events(frozenset({"a"}), {"dropped": 1}, {})),
        Entry("overflow", "crm", "dropped", '{"events":{},"outcomes":{"dropped":1},"purposes":["a"]}'),
    ),
    "retry": (
        retry("crm", Events(frozenset({"a"}), {"retried": 1}, {"retried": ["d1"]})),
        Entry("retry", "crm", "", '{"events":{"retried":["d1"]},"outcomes":{"retried":1},"purposes":["a"]}'),
    ),
    "erasure": (erasure(1, 2, 3), Entry("erasure", "", "", '{"events":2,"keys":3,"receipts":1}')),
    "refusal": (
        refusal("crm", "a", {"minor": 2, "gpc": 1}, 10, 70),
        Entry("refusal", "crm", "", '{"number":3,"purpose":"a","reasons":{"gpc":1,"minor":2},"since":10,"until":70}'),
    ),
    "policy": (
        policy_load("2018-05-22", "d", "enforce"),
        Entry("policy", "", "", '{"digest":"d","mode":"enforce","revision":"2018-05-22"}'),
    ),
    "opened": (opened(), Entry("opened", "", "", '{"format":1}')),
    "broken": (broken("so"), Entry("broken", "", "", '{"found":"so"}')),
    "retention": (retention(None, 1, 2, 3), Entry("retention", "", "", '{"dead_letters":2,"keys":3,"receipts":1}')),
    "a cut": (
        retention(Cut(9, "ab", 4), 0, 0, 0),
        Entry("retention", "", "", '{"dead_letters":0,"entries":{"mac":"ab","number":4,"through":9},"keys":0,'
              '"receipts":0}'),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_has_one_spelling(made: Entry, expected: Entry) -> None:
    assert made == expected
