"""What is known of a head is found by all of its bytes, natively as in Python."""

from __future__ import annotations

import gc
import random
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.known import LONGEST_BLOCK, PlainKnown, _block, block, known
from consent_mw.wire.native import native

APART = (b"/_consent", b"/.well-known/")
BLOCK = b"Host: a\r\nCookie: " + b"c" * 70 + b"\r\n\r\n"
SENT = b"\r\nHost: a\r\n\r\n"
MADE = [PlainKnown] if native is None else [PlainKnown, native.Known]


@pytest.fixture(params=MADE, ids=lambda made: made.__module__.rpartition(".")[2])
def table(request: pytest.FixtureRequest) -> PlainKnown[object]:
    made: PlainKnown[object] = request.param(4, 7)
    return made


def test_a_block_that_is_known_answers_for_any_target(table: PlainKnown[object]) -> None:
    table.keep(BLOCK, "it", 100.0, SENT)
    assert table.request(b"GET /b?c HTTP/1.1\r\n" + BLOCK, 100.0, APART) == ("it", b"GET /b?c HTTP/1.1" + SENT)
    assert table.get(BLOCK) == "it"


NOT_KNOWN = {
    "another byte": b"GET / HTTP/1.1\r\n" + BLOCK.replace(b"a", b"b"),
    "a byte less": b"GET / HTTP/1.1\r\n" + BLOCK[:-1],
    "something after it": b"GET / HTTP/1.1\r\n" + BLOCK + b"GET /",
    "another method": b"HEAD / HTTP/1.1\r\n" + BLOCK,
    "a method that begins so": b"GETS / HTTP/1.1\r\n" + BLOCK,
    "HTTP/1.0": b"GET / HTTP/1.0\r\n" + BLOCK,
    "absolute form": b"GET http://a/ HTTP/1.1\r\n" + BLOCK,
    "no target": b"GET HTTP/1.1\r\n" + BLOCK,
    "two targets": b"GET / /b HTTP/1.1\r\n" + BLOCK,
    "a fragment": b"GET /#a HTTP/1.1\r\n" + BLOCK,
    "a target that is too long": b"GET /" + b"a" * 16_384 + b" HTTP/1.1\r\n" + BLOCK,
    "an octet that no target has": b"GET /\xff HTTP/1.1\r\n" + BLOCK,
    "our own routes": b"GET /_consent/state HTTP/1.1\r\n" + BLOCK,
    "what is well known": b"GET /.well-known/dnt/ HTTP/1.1\r\n" + BLOCK,
    "a line that ends with a line feed": b"GET / HTTP/1.1\n" + BLOCK,
    "a carriage return in the line": b"GET /\ra HTTP/1.1\r\n" + BLOCK,
    "a line alone": b"GET / HTTP/1.1",
    "a line that is cut": b"GET / HTTP/1.1\r",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", NOT_KNOWN.values(), ids=NOT_KNOWN)
def test_what_differs_is_not_known(table: PlainKnown[object], raw: bytes) -> None:
    table.keep(BLOCK, "it", 100.0, SENT)
    assert table.request(raw, 1.0, APART) is None


def test_a_target_of_the_longest_is_known(table: PlainKnown[object]) -> None:
    table.keep(BLOCK, "it", 100.0, SENT)
    line = b"GET /" + b"a" * 16_383 + b" HTTP/1.1"
    assert table.request(line + b"\r\n" + BLOCK, 1.0, APART) == ("it", line + SENT)


def test_nothing_is_known_after_its_time(table: PlainKnown[object]) -> None:
    table.keep(BLOCK, "it", 100.0, SENT)
    assert table.request(b"GET / HTTP/1.1\r\n" + BLOCK, 100.1, APART) is None


def test_an_answer_is_known_where_its_body_is_whole(table: PlainKnown[object]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: \r"
    table.keep(head, "it", 3, b"")
    found = {
        raw: table.answer(head + raw) for raw in (b"\r\n\r\nabc", b"\r\n\r\nab", b"\r\n\r\nabcd", b"\r\n\r", b"")
    }
    assert found == dict.fromkeys(found, None) | {b"\r\n\r\nabc": ("it", b"abc")}
    table.keep(b"A", "empty", 0, b"")
    assert (table.answer(b"A\r\n\r\n"), table.answer(b"A\r\n\r\n\r\n\r\n")) == (("empty", b""), None)


PAIRS = [(b"host", b"a"), (b"cookie", b"c" * 70)]


def test_headers_are_known_by_their_block(table: PlainKnown[object]) -> None:
    key = block(PAIRS, "10.0.0.1")
    assert key is not None
    table.keep(key, "it", 100.0, b"")
    found = [table.headers(list(PAIRS), "10.0.0.1", now) for now in (100.0, 100.1)]
    others = [table.headers(PAIRS[:1], "10.0.0.1", 1), table.headers(PAIRS[::-1], "10.0.0.1", 1)]
    others += [table.headers(PAIRS, more, 1) for more in ("10.0.0.2", "", b"10.0.0.1", None, "\ud800")]
    assert (found, others) == (["it", None], [None] * 7)


PIECES = st.sampled_from([b"", b"a", b"b", b"\n", b"a\nb", b"c" * 2040, b"c" * 2041, "a", 1, bytearray(b"a")])


@given(
    st.lists(st.tuples(PIECES, PIECES) | st.tuples(PIECES), max_size=3),
    st.sampled_from(["", "a", "\n", "\xe9", b"a"]),
)
def test_blocks_are_made_alike(pairs: list[tuple[object, ...]], more: object) -> None:
    assert block(pairs, more) == _block(pairs, more)
    assert block(tuple(pairs), more) is None
    assert block([list(pair) for pair in pairs], more) is None or not pairs


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=3), st.text(max_size=2))
def test_a_block_is_of_one_list_of_headers_alone(pairs: list[tuple[bytes, bytes]], more: str) -> None:
    made = block(pairs, more)
    if made is None:
        assert "\n" in more or any(b"\n" in part for pair in pairs for part in pair)
        return
    first, *parts, last = made.split(b"\n")
    assert (first.decode(), list(zip(parts[::2], parts[1::2], strict=True)), last) == (more, pairs, b"")


def test_a_block_of_the_longest_is_one() -> None:
    assert [block([(b"a", b"b" * size)], "") is None for size in (4092, 4093)] == [False, True]
    assert len(block([(b"a", b"b" * 4092)], "") or b"") == LONGEST_BLOCK


def test_what_is_kept_again_is_replaced(table: PlainKnown[object]) -> None:
    for number in range(9):
        table.keep(b"a", number, 0, b"")
    assert (table.get(b"a"), len(table)) == (8, 1)


def test_what_was_not_asked_for_lately_goes_first(table: PlainKnown[object]) -> None:
    for number in range(40):
        table.keep(b"%d" % number, number, 0, b"")
        assert table.get(b"0") == 0
        assert len(table) <= 8
    assert [table.get(b"%d" % number) for number in (1, 20, 39)] == [None, None, 39]


def test_what_was_not_asked_for_between_two_ageings_is_forgotten(table: PlainKnown[object]) -> None:
    table.age()
    table.keep(b"a", 1, 0, b"")
    table.keep(b"b", 2, 0, b"")
    for _ in range(3):
        table.age()
        assert table.get(b"a") == 1
    assert (table.get(b"b"), len(table)) == (None, 1) or (table.get(b"b"), len(table)) == (None, 2)
    table.age()
    table.age()
    assert (table.get(b"a"), len(table)) == (None, 0)


def test_nothing_is_known_once_it_is_cleared(table: PlainKnown[object]) -> None:
    table.keep(b"a", 1, 0, b"")
    table.clear()
    assert (table.get(b"a"), len(table)) == (None, 0)
    table.keep(b"a", 2, 0, b"")
    assert table.get(b"a") == 2


def test_native_and_python_know_the_same_of_whatever_is_kept() -> None:
    chance = random.Random(5)
    plain: PlainKnown[int] = PlainKnown(64, 1)
    other: PlainKnown[int] = known(64)
    keys = [chance.randbytes(chance.choice((0, 1, 7, 8, 31, 32, 33, 100, 1200))) for _ in range(300)]
    for number in range(20_000):
        key = chance.choice(keys)
        if chance.random() < 0.4:
            plain.keep(key, number, float(number), key)
            other.keep(key, number, float(number), key)
        assert plain.get(key) == other.get(key)
        assert len(other) <= 128


def test_what_came_once_is_known_to_have(table: PlainKnown[object]) -> None:
    table = type(table)(64, 7)
    keys = [b"", b"a" * 900, *(b"%d" % number for number in range(30, 90))]
    assert [table.once(key) for key in keys * 2] == [False] * len(keys) + [True] * len(keys)
    assert len(table) == 0
    for number in range(1000):
        table.once(b"%d" % number)
    assert not table.once(b"a")
    table.clear()
    assert not table.once(b"999")


@pytest.mark.parametrize("limit", [0, -1, 1 << 25])
@pytest.mark.parametrize("made", MADE)
def test_a_limit_that_is_none_is_refused(made: type[PlainKnown[object]], limit: int) -> None:
    with pytest.raises(ValueError):
        made(limit, 1)


class Held:
    """Something that a table is part of."""

    table: object


def test_a_table_in_a_cycle_is_given_back(table: PlainKnown[object]) -> None:
    held = Held()
    held.table = table
    gone = weakref.ref(held)
    table.keep(b"a", held, 0, b"")
    del held
    table.get(b"a")
    other: PlainKnown[object] = type(table)(4, 7)
    inner = Held()
    inner.table = other
    told = weakref.ref(inner)
    other.keep(b"a", inner, 0, b"")
    del other, inner
    gc.collect()
    assert (gone() is not None, told()) == (True, None)


class Clears:
    """Clears the table that it was kept in when it is let go."""

    def __init__(self, table: PlainKnown[object]) -> None:
        self.table = table

    def __del__(self) -> None:
        self.table.clear()
        self.table.keep(b"late", 1, 0, b"")


def test_a_table_may_be_changed_by_what_it_lets_go(table: PlainKnown[object]) -> None:
    for number in range(30):
        table.keep(b"%d" % number, Clears(table), 0, b"")
    table.keep(b"0", 1, 0, b"")
    table.clear()
    table.keep(b"x", 5, 0, b"")
    assert table.get(b"x") == 5
    table.clear()
