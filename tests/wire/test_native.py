"""The native core answers what Python answers, octet for octet, or leaves it to Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_mw.sidecar import forwarding
from consent_mw.wire import cookies, fields, native, request_head, response_head
from consent_mw.wire.fields import CHANGED, PLAIN, SEEN, Field, request_reader, response_reader
from consent_mw.wire.request_head import Refusal, RequestHead
from tests.wire.heads import (
    ANSWERS,
    COOKIES,
    MORE_ANSWERS,
    MORE_REQUESTS,
    ODD_ANSWERS,
    ODD_REQUESTS,
    ORDINARY_ANSWERS,
    ORDINARY_REQUESTS,
    REQUESTS,
    UNUSUAL_ANSWERS,
)

core = native.native
pytestmark = pytest.mark.skipif(core is None, reason="the native core is not built here, or was not asked for")
MANY = settings(max_examples=300, deadline=None)


def reads_alike(raw: bytes) -> bool:
    """Hold the native reading of a request against Python's; whether it was read at all."""
    assert request_reader is not None
    known, read = request_head._read(raw), request_reader.request(raw)
    assert read == (None if isinstance(known, Refusal) else known)
    if read is not None and not isinstance(known, Refusal):
        assert list(read[1][1]) == list(known[1][1])
        assert (read[1][2] is fields.NOTHING_REPEATED) == (known[1][2] is fields.NOTHING_REPEATED)
    return read is not None


def hears_alike(raw: bytes) -> bool:
    """Hold the native reading of an answer against Python's; whether it was read natively."""
    assert response_reader is not None
    known, read = response_head._read(raw), response_reader.response(raw)
    if read is not None:
        assert read == known
        assert list(read[1][1]) == list(known[1][1])
    return read is not None


# headers


NAMES = st.sampled_from(
    [b"Host", b"host", b"Cookie", b"cookie", b"Accept", b"X-A", b"range", b"Sec-GPC", b"x_y", b""]
)


@MANY
@given(st.lists(st.tuples(NAMES, st.binary(max_size=9)), max_size=12))
def test_headers_are_observed_alike(headers: list[tuple[bytes, bytes]]) -> None:
    assert core is not None
    native_read = core.observe(headers, fields._request_names, fields.request_level, fields.NOTHING_REPEATED)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fields, "native", None)
        read = fields.observed(headers)
    assert native_read == read
    assert native_read is not None
    assert (native_read[1] is fields.NOTHING_REPEATED) == (read[1] is fields.NOTHING_REPEATED)


@pytest.mark.parametrize("headers", [((b"a", b"b"),), [[b"a", b"b"]], [(b"a",)], [("a", "b")], [(b"a", bytearray())]])
def test_headers_that_are_no_list_of_pairs_of_bytes_are_left_to_python(headers: object) -> None:
    assert core is not None
    assert core.observe(headers, fields._request_names, fields.request_level, fields.NOTHING_REPEATED) is None


@MANY
@given(
    st.lists(
        st.sampled_from([b"data", b"-consent", b"DATA-Consent", b"-", b"d", b"data-", b"\xc4", b"x"]), max_size=9
    )
)
def test_a_word_is_found_alike(parts: list[bytes]) -> None:
    assert core is not None
    text = b"".join(parts)
    assert core.mentions(text, b"data-consent") == (b"data-consent" in text.lower())


def test_a_word_without_a_hyphen_is_refused() -> None:
    assert core is not None
    with pytest.raises(ValueError):
        core.mentions(b"a", b"a")


# heads


@pytest.mark.parametrize("raw", ORDINARY_REQUESTS.values(), ids=ORDINARY_REQUESTS)
def test_an_ordinary_request_is_read_natively(raw: bytes) -> None:
    assert reads_alike(raw)
    assert reads_alike(raw)  # and from what is remembered


@pytest.mark.parametrize("raw", ODD_REQUESTS.values(), ids=ODD_REQUESTS)
def test_an_odd_request_is_left_to_python(raw: bytes) -> None:
    # Those of the table that are refused for what their fields say together are read, and refused after.
    assert reads_alike(raw) == (not isinstance(request_head._read(raw), Refusal))
    assert isinstance(request_head.read_head(raw), Refusal)


@pytest.mark.parametrize("raw", ORDINARY_REQUESTS.values(), ids=ORDINARY_REQUESTS)
def test_a_request_that_is_cut_anywhere_reads_alike(raw: bytes) -> None:
    for end in range(min(len(raw), 600)):
        reads_alike(raw[:end])
        reads_alike(raw[:end] + b"\r\n\r\n")


@pytest.mark.parametrize("raw", MORE_REQUESTS.values(), ids=MORE_REQUESTS)
def test_what_the_sidecar_refuses_reads_alike(raw: bytes) -> None:
    reads_alike(raw)


@MANY
@given(REQUESTS)
def test_any_request_reads_alike(raw: bytes) -> None:
    reads_alike(raw)


@pytest.mark.parametrize("raw", ORDINARY_ANSWERS.values(), ids=ORDINARY_ANSWERS)
def test_an_ordinary_answer_is_read_natively(raw: bytes) -> None:
    assert hears_alike(raw)
    assert hears_alike(raw)


@pytest.mark.parametrize(
    "raw", [*UNUSUAL_ANSWERS.values(), *ODD_ANSWERS.values()], ids=[*UNUSUAL_ANSWERS, *ODD_ANSWERS]
)
def test_an_odd_answer_is_left_to_python(raw: bytes) -> None:
    assert not hears_alike(raw)
    assert isinstance(response_head._read(raw), str) == (raw not in UNUSUAL_ANSWERS.values())


@pytest.mark.parametrize("raw", ORDINARY_ANSWERS.values(), ids=ORDINARY_ANSWERS)
def test_an_answer_that_is_cut_anywhere_reads_alike(raw: bytes) -> None:
    for end in range(min(len(raw), 600)):
        hears_alike(raw[:end])


@pytest.mark.parametrize("raw", MORE_ANSWERS.values(), ids=MORE_ANSWERS)
def test_an_answer_that_the_sidecar_fails_reads_alike(raw: bytes) -> None:
    hears_alike(raw)


@MANY
@given(ANSWERS)
def test_any_answer_reads_alike(raw: bytes) -> None:
    hears_alike(raw)


def test_a_name_that_somebody_begins_to_look_at_is_seen_in_lines_that_came_before() -> None:
    assert request_reader is not None
    raw = b"GET / HTTP/1.1\r\nX-Looked-At: 192.0.2.1\r\n\r\n"
    before = request_reader.request(raw)
    fields.look_at(b"x-looked-at")
    after = request_reader.request(raw)
    assert before is not None
    assert after is not None
    assert (before[1][0][0][3], before[1][1]) == (PLAIN, {})
    assert (after[1][0][0][3], after[1][1]) == (SEEN, {b"x-looked-at": b"192.0.2.1"})


def test_what_one_visitor_alone_would_send_is_not_remembered() -> None:
    assert request_reader is not None
    raw = b"GET /a?b HTTP/1.1\r\nAccept: x/y\r\nCookie: a=b\r\nX-Long: " + b"a" * 300 + b"\r\n\r\n"
    first, again = request_reader.request(raw), request_reader.request(raw)
    assert first is not None
    assert again is not None
    assert [one is two for one, two in zip(first[1][0], again[1][0], strict=True)] == [True, False, False]
    assert first[0] is not again[0]


# heads as bytes


@given(
    st.binary(max_size=20),
    st.lists(st.tuples(st.binary(max_size=5), st.binary(), st.binary(max_size=300), st.just(1))),
)
def test_a_head_is_rendered_alike(line: bytes, held: list[Field]) -> None:
    assert fields.render(line, held) == fields._render(line, held)
    assert fields.render(line, held * 40) == fields._render(line, held * 40)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"set-cookie", b""]), st.binary(), st.binary(), st.just(1))))
def test_fields_are_found_alike_by_their_name(held: list[Field]) -> None:
    for name in (b"a", b"set-cookie", b"", b"b"):
        assert fields.named(held, name) == fields._named(held, name)


class Edits:
    """A policy that drops, keeps and changes, and takes note of what it was asked."""

    def __init__(self, kept: bytes | None) -> None:
        self.kept = kept
        self.asked: list[tuple[bytes, bytes]] = []

    def remaining_cookies(self) -> bytes | None:
        self.asked.append((b"cookie", b""))
        return self.kept

    def changed_field(self, lower: bytes, value: bytes) -> bytes | None:
        self.asked.append((lower, value))
        return {b"accept-encoding": b"identity", b"range": None, b"if-range": b""}.get(lower, value)

    def announced(self) -> tuple[Field, ...]:
        return (fields.request_field(b"consent-allows", b"essential"),)


def goes_on_alike(raw: bytes, kept: bytes | None, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    head = request_head.read_head(raw)
    if isinstance(head, Refusal):
        return
    ours, theirs = Edits(kept), Edits(kept)
    sent = forwarding.forwarded(head, ours, "192.0.2.1", b"up", trusted=trusted, secure=True)
    with monkeypatch.context() as patched:
        patched.setattr(forwarding, "native", None)
        assert sent == forwarding.forwarded(head, theirs, "192.0.2.1", b"up", trusted=trusted, secure=True)
    assert ours.asked == theirs.asked


TOWARDS_UPSTREAM = {
    **ORDINARY_REQUESTS,
    "what is changed": b"GET / HTTP/1.1\r\nHost: a\r\naccept-ENCODING: gzip\r\nRange: x\r\nIf-Range: x\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "reserved names": b"GET / HTTP/1.1\r\nHost: a\r\nConsent-Visitor: x\r\nConsent_Visitor: y\r\n\r\n",
}


@pytest.mark.parametrize("raw", TOWARDS_UPSTREAM.values(), ids=TOWARDS_UPSTREAM)
@pytest.mark.parametrize("kept", [None, b"session=s1"], ids=["no cookie", "a cookie"])
@pytest.mark.parametrize("trusted", [False, True], ids=["a stranger", "trusted"])
def test_a_request_goes_on_alike(
    raw: bytes, kept: bytes | None, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on_alike(raw, kept, trusted, monkeypatch)


@MANY
@given(REQUESTS, st.booleans())
def test_any_request_goes_on_alike(raw: bytes, trusted: bool) -> None:
    with pytest.MonkeyPatch.context() as patched:
        goes_on_alike(raw, b"a=b", trusted, patched)


def test_a_page_is_forwarded_natively() -> None:
    assert core is not None
    head = request_head.read_head(ORDINARY_REQUESTS["a page"])
    assert isinstance(head, RequestHead)
    edits = Edits(b"a=b")
    gone = frozenset({b"connection", b"x-forwarded-for"})
    sent = core.forward(b"GET / HTTP/1.1", head.fields, gone, edits.remaining_cookies, edits.changed_field, [])
    assert sent is not None
    assert sent.startswith(b"GET / HTTP/1.1\r\nHost: example.com\r\n")
    assert sent.endswith(b"\r\nAccept-Encoding: identity\r\nSec-Fetch-Dest: document\r\nCookie: a=b\r\n\r\n")


def test_what_the_policy_raises_is_raised() -> None:
    assert core is not None

    def fail(*_: bytes) -> bytes | None:
        raise ZeroDivisionError

    for name in (b"cookie", b"accept-encoding"):
        held = [fields.request_field(name, b"x")]
        with pytest.raises(ZeroDivisionError):
            core.forward(b"GET / HTTP/1.1", held, frozenset(), fail, fail, [])
    with pytest.raises(ZeroDivisionError):
        core.remaining(b"a=b", {}, fail)


def test_a_list_that_is_emptied_meanwhile_is_read_no_further() -> None:
    assert core is not None
    held = [fields.request_field(b"Via", bytes([65 + number])) for number in range(20)]

    def empty(lower: bytes, value: bytes) -> bytes | None:
        held.clear()
        return value

    assert core.forward(b"x", held, frozenset(), lambda: None, empty, []) == b"x\r\nVia: A\r\n\r\n"


# cookies


@MANY
@given(COOKIES)
def test_cookies_are_told_apart_alike(joined: bytes) -> None:
    for names in ((), (b"_ga",), (b"__Host-vid", b"a", b"a", b"")):
        assert cookies.pieces_named(joined, names) == cookies._pieces_named(joined, names)


@MANY
@given(COOKIES, st.dictionaries(st.sampled_from([b"a", b"_ga", b"", b"x"]), st.booleans()))
def test_what_remains_of_cookies_is_alike(joined: bytes, known: dict[bytes, bool]) -> None:
    ours: list[bytes] = []
    theirs: list[bytes] = []
    for keep in (True, False):
        mine = cookies.remaining(joined, known, lambda name, keep=keep: not ours.append(name) and keep)
        his = cookies._remaining(joined, known, lambda name, keep=keep: not theirs.append(name) and keep)
        assert mine == his
        assert (mine is joined) == (his is joined)
    assert ours == theirs


@MANY
@given(COOKIES, st.dictionaries(st.sampled_from([b"a", b"_ga", b"", b"x"]), st.sampled_from(["a", "b", ""])))
def test_what_cookies_are_called_is_alike(joined: bytes, known: dict[bytes, str]) -> None:
    ours: list[bytes] = []
    theirs: list[bytes] = []
    mine = cookies.called(joined, known, lambda name: ours.append(name) or name.hex())
    assert mine == cookies._called(joined, known, lambda name: theirs.append(name) or name.hex())
    assert (type(mine), ours) == (frozenset, theirs)


# arguments of the wrong kind

WRONG = {
    "text for bytes": lambda core, reader: reader.request("GET / HTTP/1.1\r\n\r\n"),
    "text for an answer": lambda core, reader: reader.response("HTTP/1.1 200 OK"),
    "a line that is text": lambda core, reader: core.render("GET", []),
    "a field that is none": lambda core, reader: core.render(b"GET", [(b"a",)]),
    "a list that is none": lambda core, reader: core.render(b"GET", ((b"a", b"b", b"a: b", 1),)),
    "a name that is text": lambda core, reader: core.named([], "a"),
    "too few": lambda core, reader: core.named([]),
    "fields that are numbers": lambda core, reader: core.named([1], b"a"),
    "a level that is text": lambda core, reader: core.forward(b"", [(b"a", b"b", b"", "1")], frozenset(), 1, 2, []),
    "no set": lambda core, reader: core.forward(b"", [(b"a", b"b", b"a: b", CHANGED)], 0, 1, 2, []),
    "no function": lambda core, reader: core.forward(b"", [(b"a", b"b", b"", CHANGED)], frozenset(), 1, 2, []),
    "no fields to add": lambda core, reader: core.forward(b"", [], frozenset(), 1, 2, None),
    "names that are none": lambda core, reader: core.pieces_named(b"a=b", [b"a"]),
    "a name that is none": lambda core, reader: core.pieces_named(b"a=b", (1,)),
    "nothing to ask": lambda core, reader: core.remaining(b"a=b", {}, None),
    "nothing to call": lambda core, reader: core.called(b"a=b", {}, None),
    "a call that cannot be held": lambda core, reader: core.called(b"a=b", {}, lambda name: []),
    "no dictionary of calls": lambda core, reader: core.called(b"a=b", None, bool),
    "no dictionary": lambda core, reader: core.remaining(b"a=b", None, bool),
    "no names": lambda core, reader: core.Reader([], bool, frozenset(), {}),
    "a level that is none": lambda core, reader: core.Reader({}, lambda name: (name, "x"), frozenset(), {}).request(
        b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    ),
    "no pair": lambda core, reader: core.Reader({}, lambda name: name, frozenset(), {}).request(
        b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    ),
    "a name that cannot be looked up": lambda core, reader: core.Reader(
        {}, lambda name: ([], 1), frozenset(), {}
    ).request(b"GET / HTTP/1.1\r\nA: b\r\n\r\n"),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_an_argument_of_the_wrong_kind_is_an_error(call: object) -> None:
    assert callable(call)
    with pytest.raises((TypeError, SystemError, IndexError)):
        call(core, request_reader)
