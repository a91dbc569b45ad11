"""Lines of access logs: what servers write is read, and what nobody writes is absence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.wire.log_line import LogLine, read_log_line

AGENT = ((b"user-agent", b"Mozilla/5.0"),)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            '203.0.113.9 - - [24/Nov/2026:13:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 2326',
            LogLine("203.0.113.9", b"GET", b"/a?b=1"),
            id="common",
        ),
        pytest.param(
            '203.0.113.9 - ann [24/Nov/2026:13:00:00 +0000] "POST / HTTP/2" 302 - "https://x.io" "Mozilla/5.0"',
            LogLine("203.0.113.9", b"POST", b"/", AGENT),
            id="combined",
        ),
        pytest.param(
            '2001:db8::1 - - [24/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "a \\"quoted\\" one"',
            LogLine("2001:db8::1", b"GET", b"/", ((b"user-agent", b'a \\"quoted\\" one'),)),
            id="quotes",
        ),
        pytest.param(
            '203.0.113.9 - - [24/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-" "more" 0.003',
            LogLine("203.0.113.9", b"GET", b"/"),
            id="more fields behind",
        ),
        pytest.param(
            '{"remote_addr":"203.0.113.9","request":"GET /x HTTP/1.1","http_dnt":"1","http_sec_gpc":"1"}',
            LogLine("203.0.113.9", b"GET", b"/x", ((b"dnt", b"1"), (b"sec-gpc", b"1"))),
            id="nginx json",
        ),
        pytest.param(
            '{"request":{"remote_ip":"203.0.113.9","method":"GET","uri":"/x","headers":{"Dnt":["1"],"User-Agent":["Mozilla/5.0"]}}}',
            LogLine("203.0.113.9", b"GET", b"/x", ((b"dnt", b"1"), *AGENT)),
            id="caddy",
        ),
        pytest.param(
            '{"time":"t","id":"i","method":"GET","path":"/x","status":200,"jurisdiction":"eea_uk"}',
            LogLine("", b"GET", b"/x", jurisdiction="eea_uk"),
            id="our own",
        ),
        pytest.param(
            '{"ip":"-","method":"GET","path":"/","country":"us","region":"ca","gpc":true}',
            LogLine("", b"GET", b"/", ((b"sec-gpc", b"1"),), "US", "CA"),
            id="a country",
        ),
    ],
)  # fmt: skip
def test_what_servers_write_is_read(line: str, expected: LogLine) -> None:
    assert read_log_line(line.encode() + b"\n") == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}",
        b"[]",
        b"{",
        b'{"method":"GET"}',
        b'{"request":"\\u0016\\u0003"}',
        b'{"request":5}',
        b"hello world",
        b"\x16\x03\x01\x02",
        b'203.0.113.9 - - [24/Nov/2026:13:00:00 +0000] "\\x16\\x03" 400 0 "-" "-"',
        b'203.0.113.9 - - [24/Nov/2026:13:00:00 +0000] "-" 408 0',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_request_is_none(line: bytes) -> None:
    assert read_log_line(line) is None


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_line_makes_it_raise(line: bytes) -> None:
    read_log_line(line)


VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text()), st.lists, max_leaves=3)
NAMES = st.sampled_from(["ip", "method", "path", "request", "headers", "dnt", "country", "cookie", "jurisdiction"])


@given(st.dictionaries(NAMES, st.one_of(VALUES, st.dictionaries(st.text(), VALUES))))
def test_no_json_makes_it_raise(members: dict[str, object]) -> None:
    read_log_line(json.dumps(members).encode())
