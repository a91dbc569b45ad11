"""The access log: whole lines, nothing personal, and never in the way of a request."""

from __future__ import annotations

import json
import os
import re
import select
from collections.abc import Iterator

import pytest

from consent_mw.core.account import Account
from consent_mw.world.access_log import ACCOUNTS_KEPT, NOTES_KEPT, AccessLog, Lately
from tests.builders import a_decision

ACCOUNT = Account(a_decision(), "DE", frozenset(), (), ())


def logged(*targets: bytes, redact: tuple[str, ...] = (), method: bytes = b"GET") -> list[bytes]:
    """The lines for requests of these targets."""
    reading, writing = os.pipe()
    log = AccessLog(writing, lambda: redact)
    for one in targets:
        log.write(method=method, target=one, status=200, seconds=0.00123, sent=5, account=ACCOUNT)
    log.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.readlines()


def test_a_line_says_what_happened_and_when() -> None:
    [line] = logged(b"/shop?email=x@example.org")
    said = json.loads(line)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert re.fullmatch("[0-9a-f]{20}", said.pop("id"))
    told = {"method": "GET", "path": "/shop", "status": 200, "ms": 1.2, "bytes": 5, "jurisdiction": "eea_uk"}
    assert said == told


PATHS = {
    "a plain one": (b"/a/b", "/a/b"),
    "its query": (b"/a?session=1", "/a"),
    "what is kept back": (b"/reset/abc123", "/reset/*"),
    "what is kept back, spelled otherwise": (b"/%72eset/abc123", "/reset/*"),
    "quotes": (b'/"\\x', '/"\\x'),
    "bytes": ("/é".encode(), "/Ã©"),
    "a long one": (b"/" + b"a" * 5000, "/" + "a" * 2047),
    "a long one of bytes": (b"/" + b"\xe9" * 5000, "/" + "é" * 399),
}


@pytest.mark.parametrize(("target", "path"), PATHS.values(), ids=PATHS)
def test_a_path_is_logged_without_what_could_be_personal(target: bytes, path: str) -> None:
    assert [json.loads(line)["path"] for line in logged(target, redact=("/reset/*",))] == [path]


def test_every_request_has_an_id_of_its_own() -> None:
    ids = {json.loads(line)["id"] for line in (*logged(*[b"/"] * 300), *logged(*[b"/"] * 300))}
    assert len(ids) == 600


def test_no_line_is_longer_than_a_pipe_takes_at_once() -> None:
    [line] = logged(b"/" + b"\xe9" * 8000, method=b"M" * 4000)
    assert len(line) <= select.PIPE_BUF


def test_what_nobody_takes_is_counted_and_holds_nobody_up() -> None:
    reading, writing = os.pipe()
    try:
        log = AccessLog(writing)
        for _ in range(NOTES_KEPT * 2):
            log.write(method=b"GET", target=b"/" + b"a" * 999, status=200, seconds=0, sent=0, account=None)
        assert 0 < log.lost <= NOTES_KEPT
    finally:
        os.close(reading)
        log.close()
        os.close(writing)


def test_a_reader_that_is_gone_ends_the_log_and_no_request() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(writing)
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, account=None)
    log.close()
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, account=None)
    os.close(writing)
    assert log.lost == 0


def test_no_log_is_no_work() -> None:
    log = AccessLog(None)
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, account=None)
    log.close()


def test_what_looks_like_personal_data_in_a_path_is_masked() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    log.write(
        method=b"GET", target=b"/u/ann@example.org/4111111111111111", status=200, seconds=0, sent=0, account=None
    )
    log.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        path = json.loads(lines.read())["path"]
    assert path.startswith("/u/")
    assert ("ann" in path, "4111" in path) == (False, False)


def test_a_request_is_found_by_the_id_of_its_line() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    for account in (ACCOUNT, None):
        log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, account=account)
    log.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        first, second = (json.loads(line)["id"] for line in lines)
    assert (log.account(first), log.account(second)) == (ACCOUNT, None)
    for wrong in (
        "",
        first[:-1],
        first + "0" * 10,
        first[:12] + "00000003",
        first[:12] + "00000000",
        "0" + first[1:],
    ):
        with pytest.raises(LookupError):
            log.account(wrong)


def test_only_the_last_requests_are_remembered() -> None:
    lately = Lately(limit=100)
    accounts = [Account(a_decision(), str(number), frozenset(), (), ()) for number in range(1, 951)]
    assert [lately.note(one) for one in accounts] == list(range(1, 951))
    kept = list(remembered(lately, range(1000)))
    assert kept == list(range(801, 951))
    assert [lately.get(number) for number in kept] == accounts[800:]


def test_what_a_turn_before_the_last_one_knew_is_forgotten() -> None:
    lately = Lately(limit=100)
    for _ in range(3):
        for _ in range(10):
            lately.note(ACCOUNT)
        lately.turned += 1
    assert list(remembered(lately, range(50))) == list(range(21, 31))
    assert lately.note(ACCOUNT) == 31
    assert list(remembered(lately, range(50))) == list(range(21, 32))


def test_who_turns_twice_is_asked_of_nothing_that_came_before() -> None:
    lately = Lately(limit=100)
    for _ in range(10):
        lately.note(ACCOUNT)
    lately.turned += 2
    assert list(remembered(lately, range(50))) == []
    assert lately.note(ACCOUNT) == 11
    assert list(remembered(lately, range(50))) == [11]


def test_the_bound_of_what_is_remembered_is_the_one_that_is_told() -> None:
    lately = Lately()
    for _ in range(ACCOUNTS_KEPT * 3 + 1):
        lately.note(ACCOUNT)
    assert len(list(remembered(lately, range(ACCOUNTS_KEPT * 4)))) == ACCOUNTS_KEPT + 1


def remembered(lately: Lately, numbers: range) -> Iterator[int]:
    """Those of the numbers that something is remembered of."""
    for number in numbers:
        try:
            lately.get(number)
        except LookupError:
            continue
        yield number
