"""What is written by a shape is what the kind's own build says, whatever the names and values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.permit import Permit
from consent_mw.core.terms import EventKind, VendorKind
from consent_mw.wire.vendors import encoder
from consent_mw.wire.vendors.shapes import SHAPES_KEPT, Shapes
from consent_mw.wire.vendors.terms import LATEST, as_json, event_time, iso
from tests.builders import a_vendor

texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["~", "~0!", '"~1!"', "%s", "%(x)s", "\\"]
)
names = st.sampled_from(["event", "visitor_id", "ip", "page_path", "country", "event id", "when"]) | texts.map(
    lambda text: f"props.{text}"
)
values = texts | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
times = st.none() | st.floats(-1.0, 2e11) | st.integers(0, 2_000_000_000) | st.sampled_from([LATEST, 1e10, 0.0])


def built(permit: Permit, when: str | None) -> dict[str, object]:
    """A shape of every sort: names from fields, values nested, the id twice."""
    fields = permit.fields
    made: dict[str, object] = {
        "id": permit.event_id,
        "all": dict(fields),
        "fixed": "~ %s",
        "again": [permit.event_id],
    }
    if when is not None:
        made["at"] = when
    if "event" in fields:
        made["named"] = {"kind": permit.kind.value, "name": fields["event"]}
    return made


@given(st.dictionaries(names, values, max_size=5), times, st.sampled_from(EventKind), texts)
def test_a_shape_writes_what_its_build_says(
    fields: dict[str, Any], time: Any, kind: EventKind, identity: str
) -> None:
    told = fields if time is None else {**fields, "time": time}
    permit = Permit("v", identity, kind, told)
    when = event_time(told)
    wanted = as_json(built(permit, None if when is None else iso(when))).decode()
    shapes = Shapes(built)
    assert [shapes.written(permit), shapes.written(permit)] == [wanted, wanted]


@pytest.mark.parametrize("kind", [VendorKind.SEGMENT, VendorKind.WEBHOOK])
def test_one_shape_serves_events_of_other_values(kind: VendorKind) -> None:
    writer = encoder(a_vendor(kind=kind), "k", "")
    permits = [Permit("v", f"e{n}", EventKind.TRACK, {"event": f"n{n}", "props.a": n}) for n in range(3)]
    sent = [json.loads(writer.encode([one], 0.0).body) for one in permits]
    fresh = [json.loads(encoder(a_vendor(kind=kind), "k", "").encode([one], 0.0).body) for one in permits]
    assert sent == fresh
    assert len({json.dumps(one) for one in sent}) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_told(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Shapes(built).written(Permit("v", "e", EventKind.TRACK, {"event": "x", "props.a": value}))


def test_the_shapes_of_many_names_are_not_all_remembered() -> None:
    shapes = Shapes(built)
    for number in range(SHAPES_KEPT + 2):
        shapes.written(Permit("v", "e", EventKind.TRACK, {f"props.p{number}": 1}))
    assert len(shapes._known) == 2
