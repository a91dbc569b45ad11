"""Heads of requests, as they arrive."""

from __future__ import annotations

import pytest

from consent_mw.wire.arriving import Arriving
from consent_mw.wire.request_head import LONGEST_HEAD, LONGEST_TARGET, Refusal

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def taken(sent: bytes, size: int) -> tuple[list[bytes | Refusal], bytes]:
    """What is found in these bytes when so many come at a time, and what is left of them."""
    arriving, buffer = Arriving(), bytearray()
    found: list[bytes | Refusal] = []
    for start in range(0, len(sent), size):
        buffer += sent[start : start + size]
        while (one := arriving.take(buffer)) is not None and not isinstance(one, Refusal):
            found.append(one)
        if one is not None:
            return [*found, one], bytes(buffer)
    return found, bytes(buffer)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("sent", "found", "left"),
    [
        pytest.param(HEAD, [HEAD], b"", id="a head"),
        pytest.param(HEAD + HEAD + b"GET", [HEAD, HEAD], b"GET", id="two heads and a tail"),
        pytest.param(b"\r\n" + HEAD + b"\r\n" + HEAD, [HEAD, HEAD], b"", id="an empty line before each"),
        pytest.param(b"GET / HTTP/1.0\n\nx", [b"GET / HTTP/1.0\n\n"], b"x", id="bare line feeds"),
        pytest.param(b"\r\n\r\n", [], b"\r\n", id="empty lines alone"),
    ],
)
def test_a_head_is_cut_off_where_it_ends(sent: bytes, found: list[bytes], left: bytes, size: int) -> None:
    assert taken(sent, size) == (found, left)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GET /" + b"a" * (LONGEST_TARGET + 32), 414, id="a target without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * LONGEST_HEAD, 431, id="a field without an end"),
    ],
)
def test_what_can_never_be_a_head_is_refused_before_it_ends(sent: bytes, status: int) -> None:
    [refusal], _ = taken(sent, 4096)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
