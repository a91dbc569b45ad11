"""What an exchange makes of requests and responses, header by header."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent_mw import load_policy
from consent_mw.asgi.banner import PageEdit
from consent_mw.asgi.exchange import REPLIES_KEPT, Reply
from consent_mw.asgi.gate import Gate
from consent_mw.core.consent import Consent
from consent_mw.wire.response_head import head_of
from consent_mw.wire.token import Keyring
from tests.journeys.site import KEY, NEW_YORK, POLICY

NOW = 1_800_000_000
Pairs = list[tuple[bytes, bytes]]
QUIET = """
schema = 1
revision = "1"
[site]
name = "Quiet"
policy_url = "https://quiet.test/privacy"
[purpose.essential]
text = "Keep you signed in."
essential = true
[[cookie]]
name = "session"
purpose = "essential"
[jurisdiction.everywhere]
regions = ["*"]
regime = "opt-out"
banner = "none"
"""
"""A policy that asks nobody and sets nothing, so that most answers are alike for all."""
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


def remembered(folder: Path, response: Pairs, asked: int = 200) -> tuple[int, int]:
    """How many replies to an answer that comes again are remembered, and their bytes, where everybody asks by another
    method."""
    (folder / "policy.toml").write_text(QUIET)
    gate = Gate(load_policy(folder / "policy.toml"), Keyring([KEY]))
    answer = head_of(200, response)
    answer.replies = {}
    for number in range(asked):
        gate.admit(b"M%d" % number, b"/", [FROM], "127.0.0.1").respond(answer)
    replies = [reply for reply in answer.replies.values() if isinstance(reply, Reply)]
    return len(replies), sum(len(line) for reply in replies for _, _, line, _ in reply.fields)


@pytest.mark.parametrize(("size", "most"), [(1, 60), (4000, 8)])
def test_what_is_remembered_of_an_answer_has_a_bound_in_bytes(tmp_path: Path, size: int, most: int) -> None:
    number, held = remembered(tmp_path, [(b"location", b"x" * size)])
    assert 1 < number <= most
    assert held <= REPLIES_KEPT


@pytest.mark.parametrize(("names", "kept"), [(1, True), (600, False)], ids=["one", "many"])
def test_cookies_that_end_are_remembered_only_where_they_are_few(tmp_path: Path, names: int, kept: bool) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    keys = Keyring([KEY])
    gate = Gate(load_policy(tmp_path / "policy.toml"), keys, clock=lambda: NOW)
    refused = Consent({"analytics": False, "cross_site": False}, NOW, "2026-01", seen="2026-01", issued=NOW)
    said = b"__Host-consent=" + keys.sign_consent(refused).encode()
    held = b"; ".join([said, *(b"_ga%d=1" % number for number in range(names))])
    exchange = gate.admit(b"GET", b"/", [FROM, DOCUMENT, (b"cookie", held)], "127.0.0.1")
    assert len(exchange.expired_after_a_no()) >= names
    assert (exchange.bearing() is not None) is kept


@pytest.mark.parametrize("word", [b"Expires", b"EXPIRES", b"expires"])
def test_an_answer_whose_cookie_ends_with_the_clock_is_judged_every_time(tmp_path: Path, word: bytes) -> None:
    line = b"session=1; " + word + b"=Thu, 01 Jan 2099 00:00:00 GMT"
    lasting = remembered(tmp_path, [(b"set-cookie", b"session=1")], asked=2)
    assert (lasting[0], remembered(tmp_path, [(b"set-cookie", line)], asked=2)) == (2, (0, 0))


def test_a_page_that_could_not_be_looked_at_is_held_to_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(QUIET)
    gate = Gate(load_policy(tmp_path / "policy.toml"), Keyring([KEY]))
    answer = head_of(200, [(b"content-type", b"text/html"), (b"content-security-policy", b"script-src https:")])
    exchange = gate.admit(b"GET", b"/", [FROM, DOCUMENT, (b"host", b"a.test")], "127.0.0.1")
    made = [exchange._guarded(list(answer.fields), answer, one) for one in (None, PageEdit(), PageEdit(ungated=True))]
    ours = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
    assert [[field[1] for field in fields[1:]] for fields in made] == [
        [b"script-src https:"],
        [b"script-src https:"],
        [b"script-src https:", ours],
    ]
