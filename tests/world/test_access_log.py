"""The access log: whole lines, nothing personal, and never in the way of a request."""

from __future__ import annotations

import json
import os
import re
import select

import pytest

from consent_mw.world.access_log import NOTES_KEPT, AccessLog


def logged(*targets: bytes, redact: tuple[str, ...] = (), method: bytes = b"GET") -> list[bytes]:
    """The lines for requests of these targets."""
    reading, writing = os.pipe()
    log = AccessLog(writing, lambda: redact)
    for one in targets:
        log.write(method=method, target=one, status=200, seconds=0.00123, sent=5, jurisdiction="eea_uk")
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
            log.write(method=b"GET", target=b"/" + b"a" * 999, status=200, seconds=0, sent=0, jurisdiction="")
        assert 0 < log.lost <= NOTES_KEPT
    finally:
        os.close(reading)
        log.close()
        os.close(writing)


def test_a_reader_that_is_gone_ends_the_log_and_no_request() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(writing)
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, jurisdiction="")
    log.close()
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, jurisdiction="")
    os.close(writing)
    assert log.lost == 0


def test_no_log_is_no_work() -> None:
    log = AccessLog(None)
    log.write(method=b"GET", target=b"/", status=200, seconds=0, sent=0, jurisdiction="")
    log.close()


def test_what_looks_like_personal_data_in_a_path_is_masked() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    log.write(
        method=b"GET", target=b"/u/ann@example.org/4111111111111111", status=200, seconds=0, sent=0, jurisdiction=""
    )
    log.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        path = json.loads(lines.read())["path"]
    assert path.startswith("/u/")
    assert ("ann" in path, "4111" in path) == (False, False)
