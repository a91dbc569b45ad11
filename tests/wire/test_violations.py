"""Of a violation report nothing is kept but the host that was called."""

from __future__ import annotations

import json

import pytest

from consent_mw.wire.violations import VIOLATIONS_HEARD, blocked_hosts


def single(blocked: object) -> bytes:
    return json.dumps({"csp-report": {"document-uri": "https://shop.test/me?id=7", "blocked-uri": blocked}}).encode()


def several(*blocked: object) -> bytes:
    reports = [{"type": "csp-violation", "url": "https://shop.test/", "body": {"blockedURL": one}} for one in blocked]
    return json.dumps([{"type": "deprecation", "body": {}}, *reports, 7, {"type": "csp-violation"}]).encode()


@pytest.mark.parametrize(
    ("body", "hosts"),
    [
        (single("https://cdn.bad.test/a.js?visitor=7"), ["cdn.bad.test"]),
        (single("https://ann:secret@CDN.bad.test:8443/"), ["cdn.bad.test:8443"]),
        (single("inline"), [""]),
        (single("https://" + "a." * 200 + "test/"), [""]),
        (single("data"), [""]),
        (single("https://[::1"), [""]),
        (single("https://x:99999999/"), [""]),
        (single(7), [""]),
        (several("wss://a.test/x", "eval", "blob:https://shop.test/1"), ["a.test", "", ""]),
        (several(*["https://a.test"] * 300), ["a.test"] * VIOLATIONS_HEARD),
        (b"{}", []),
        (b'{"csp-report": 1}', []),
        (b"[]", []),
        (b'"x"', []),
        (b"null", []),
    ],
)
def test_only_hosts_are_taken(body: bytes, hosts: list[str]) -> None:
    assert blocked_hosts(body) == hosts


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "cut", "not-utf-8", "deep"])
def test_what_is_not_json_is_said_to_be(body: bytes) -> None:
    with pytest.raises(ValueError):
        blocked_hosts(body)
