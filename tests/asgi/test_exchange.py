"""What an exchange makes of requests and responses, header by header."""

from __future__ import annotations

from pathlib import Path

from consent_mw import load_policy
from consent_mw.asgi.gate import Gate
from consent_mw.wire.response_head import head_of
from consent_mw.wire.token import Keyring
from tests.journeys.site import KEY, NEW_YORK, POLICY

Pairs = list[tuple[bytes, bytes]]
DOCUMENT = (b"sec-fetch-dest", b"document")
FROM = (b"x-forwarded-for", NEW_YORK.encode())


def answered(folder: Path, response: Pairs, *, document: bool = True) -> Pairs:
    """What the browser gets of this response."""
    (folder / "policy.toml").write_text(POLICY)
    gate = Gate(load_policy(folder / "policy.toml"), Keyring([KEY]))
    exchange = gate.admit(b"GET", b"/", [FROM, *([DOCUMENT] if document else [])], "127.0.0.1")
    reply = exchange.respond(head_of(200, response))
    return [(lower, value) for lower, value, _, _ in reply.fields]


def test_no_other_field_lets_a_shared_cache_keep_a_private_answer(tmp_path: Path) -> None:
    loose = (
        b"CDN-Cache-Control", b"Cloudflare-CDN-Cache-Control", b"Vercel-CDN-Cache-Control", b"Surrogate-Control",
        b"Expires", b"Age", b"X-Accel-Expires", b"Edge-Control", b"X-LiteSpeed-Cache-Control",
    )  # fmt: skip
    pairs = [(b"x-a", b"1"), *((name, b"max-age=60") for name in loose), (b"set-cookie", b"session=1")]
    assert answered(tmp_path, pairs, document=False) == [
        (b"x-a", b"1"),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Cookie, DNT, Sec-GPC"),
        (b"set-cookie", b"session=1"),
    ]


def test_what_nobody_could_get_differently_is_not_touched(tmp_path: Path) -> None:
    pairs = [(b"cache-control", b"public"), (b"expires", b"x"), (b"vary", b"Origin"), (b"content-type", b"text/css")]
    assert answered(tmp_path, pairs, document=False) == pairs
