"""A sketch estimates within its error, and is the same however what it saw was ordered, split and repeated."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.hyperloglog import MOST, REGISTERS, STANDARD_ERROR, Sketch

hashes = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**52, 2**64 - 1]), max_size=40)


def seen(*hashed: int) -> Sketch:
    sketch = Sketch()
    for one in hashed:
        sketch.add(one)
    return sketch


def some(number: int, seed: int) -> Sketch:
    """A sketch that saw this many things."""
    draw = random.Random(seed).getrandbits
    return seen(*(draw(64) for _ in range(number)))


def both(one: Sketch, other: Sketch) -> Sketch:
    union = Sketch.from_bytes(one.to_bytes())
    union.merge(other)
    return union


def test_nothing_seen_is_nothing_estimated() -> None:
    assert (Sketch().estimate(), Sketch().to_bytes(), bool(Sketch())) == (0.0, b"\x01", False)


@pytest.mark.parametrize(
    ("number", "seeds"),
    [(1, 20), (2, 20), (10, 20), (100, 20), (1000, 20), (3000, 20), (5000, 20), (10_000, 20), (20_000, 10),
     (50_000, 8), (100_000, 6), (1_000_000, 2)],
)  # fmt: skip
def test_an_estimate_is_within_three_standard_errors(number: int, seeds: int) -> None:
    errors = [some(number, seed).estimate() / number - 1 for seed in range(seeds)]
    assert max(map(abs, errors)) < 3 * STANDARD_ERROR
    assert math.sqrt(sum(error**2 for error in errors) / seeds) < 1.5 * STANDARD_ERROR


@pytest.mark.parametrize("number", range(1, 21))
def test_few_are_told_exactly_in_nearly_every_case(number: int) -> None:
    wrong = sum(round(some(number, seed).estimate()) != number for seed in range(50))
    # Two of twenty share a register once in 21 times (4,096 registers, 190 pairs).
    assert wrong <= 50 * 3 * number * (number - 1) / 2 / REGISTERS + 1


def test_registers_that_are_all_full_have_a_bound() -> None:
    full = Sketch((index, 53) for index in range(REGISTERS))
    assert full.estimate() == MOST
    assert Sketch.from_bytes(full.to_bytes()) == full


@given(hashes)
def test_a_thing_that_comes_again_in_any_order_changes_nothing(hashed: list[int]) -> None:
    assert seen(*hashed, *reversed(hashed)) == seen(*hashed)


@given(hashes, hashes, hashes)
def test_merging_is_commutative_associative_idempotent_and_sees_all(a: list[int], b: list[int], c: list[int]) -> None:
    one, two, three = seen(*a), seen(*b), seen(*c)
    assert both(one, two) == both(two, one) == seen(*a, *b)
    assert both(both(one, two), three) == both(one, both(two, three)) == seen(*a, *b, *c)
    assert both(one, one) == one
    assert both(one, Sketch()) == one


@given(hashes)
def test_what_is_stored_comes_back(hashed: list[int]) -> None:
    stored = seen(*hashed).to_bytes()
    assert Sketch.from_bytes(stored) == seen(*hashed)
    assert stored == seen(*reversed(hashed)).to_bytes()
    assert stored[0] == 1
    assert len(stored) == 1 + 3 * len(dict.fromkeys(one >> 52 for one in hashed))


@pytest.mark.parametrize("number", [1300, 1365, 1366, 1400, 2500, 50_000])
def test_what_is_stored_is_never_longer_than_its_registers(number: int) -> None:
    sketch = Sketch((index, index % 50 + 1) for index in range(min(number, REGISTERS)))
    stored = sketch.to_bytes()
    assert len(stored) == min(1 + 3 * number, 1 + REGISTERS)
    assert Sketch.from_bytes(stored) == sketch


DAMAGED = {
    "nothing": b"",
    "another version": b"\x02" + seen(1).to_bytes()[1:],
    "half an entry": seen(1, 2**60).to_bytes()[:-1],
    "a rank of nought": b"\x01\x00\x01\x00",
    "a rank too high": b"\x01\x00\x01\x36",
    "a register too far": b"\x01\x10\x00\x01",
    "out of order": b"\x01\x00\x02\x01\x00\x01\x01",
    "twice": b"\x01\x00\x02\x01\x00\x02\x01",
    "all registers, few of them": b"\x01" + b"\x01" + bytes(REGISTERS - 1),
    "all registers, one too high": b"\x01" + b"\x36" * REGISTERS,
    "longer than all": b"\x01" + b"\x01" * (REGISTERS + 2),
    "listed though many": b"\x01" + b"".join(bytes((n >> 8, n & 255, 1)) for n in range(1400)),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a sketch of another version$|^a damaged sketch$"):
        Sketch.from_bytes(data)


@given(st.binary(max_size=30), st.booleans())
def test_whatever_is_read_is_written_the_same(data: bytes, versioned: bool) -> None:
    stored = b"\x01" + data if versioned else data
    try:
        sketch = Sketch.from_bytes(stored)
    except ValueError:
        return
    assert sketch.to_bytes() == stored
