"""What a site tells us is heard where it is well-formed; garbage is absence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.structured import EVENTS_HEARD, Instructions, read_instructions

HEARD = {
    "an identity": (b"Consent-Identify", b'user_id="u1", name="Ann", email="a@b.c"',
                    Instructions({"user_id": "u1", "name": "Ann", "email": "a@b.c"})),
    "a display string": (b"consent-identify", b'name=%"J%c3%b6rg"', Instructions({"name": "J\xf6rg"})),
    "a number": (b"consent-identify", b"user_id=1", Instructions({"user_id": "1"})),
    "zero": (b"consent-identify", b"user_id=0", Instructions({"user_id": "0"})),
    "a token": (b"consent-identify", b"user_id=u1", Instructions({"user_id": "u1"})),
    "an event": (b"consent-event", b'signup;plan="pro";seats=3;paid;ratio=0.5',
                 Instructions(events=(("signup", {"plan": "pro", "seats": 3, "paid": True, "ratio": 0.5}),))),
    "two events": (b"consent-event", b'a, "b c"', Instructions(events=(("a", {}), ("b c", {})))),
    "a minor": (b"consent-minor", b"?1", Instructions(minor=True)),
    "no minor": (b"consent-minor", b"?0", Instructions()),
    "an erasure": (b"consent-erase", b"?1", Instructions(erase=True)),
    "a boolean for an id": (b"consent-identify", b"user_id, name=?0", Instructions()),
    "an unknown member": (b"consent-identify", b'phone="1"', Instructions()),
    "an empty id": (b"consent-identify", b'user_id=""', Instructions()),
    "bytes for an id": (b"consent-identify", b"user_id=:AAAA:", Instructions()),
    "an inner list": (b"consent-event", b"(a b);x=1", Instructions()),
    "a date for an event": (b"consent-event", b"@1659578233", Instructions()),
    "a date out of range": (b"consent-event", b"a;t=@999999999999999", None),
    "an open quote": (b"consent-identify", b'user_id="u1', Instructions()),
    "a word for a flag": (b"consent-erase", b"true", Instructions()),
    "a list for a flag": (b"consent-erase", b"?1, ?1", Instructions()),
    "not ASCII": (b"consent-event", b"\xff", Instructions()),
    "nothing": (b"consent-event", b"", Instructions()),
    "another field": (b"x-consent-erase", b"?1", Instructions()),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), HEARD.values(), ids=HEARD)
def test_a_field_says_what_it_says_or_nothing(name: bytes, value: bytes, expected: Instructions | None) -> None:
    heard = read_instructions([(name, value)])
    assert expected is None or heard == expected


def test_a_broken_field_does_not_silence_the_others() -> None:
    pairs = [(b"consent-event", b"a"), (b"consent-event", b"("), (b"consent-event", b"b"), (b"consent-erase", b"?1")]
    assert read_instructions(pairs) == Instructions(events=(("a", {}), ("b", {})), erase=True)


def test_an_answer_reports_only_so_many_events() -> None:
    assert len(read_instructions([(b"consent-event", b", ".join([b"a"] * 99))]).events) == EVENTS_HEARD


@given(st.sampled_from([b"consent-identify", b"consent-event", b"consent-minor", b"consent-erase"]), st.binary())
def test_any_bytes_are_heard_or_absence(name: bytes, value: bytes) -> None:
    assert isinstance(read_instructions([(name, value)]), Instructions)
