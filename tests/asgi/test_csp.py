"""What a decision writes into a page's head, field by field."""

from __future__ import annotations

from collections import Counter

import pytest

from consent_mw.asgi.csp import INLINE, Accused, PageGuard, nonces_in
from consent_mw.core.decision import Decision
from consent_mw.core.policy import Csp, Policy, Site
from consent_mw.core.terms import CspMode
from consent_mw.wire.csp import Nonces, carrying
from consent_mw.wire.fields import response_field
from consent_mw.wire.permissions import ADVERTISING
from consent_mw.wire.response_head import head_of
from tests.builders import ELSEWHERE, a_consent, a_decision, a_policy, a_vendor

VENDORS = (
    a_vendor("counter", hosts=("cdn.counter.test", "both.test")),
    a_vendor("window", purpose="cross_site", hosts=("*.window.test", "both.test")),
    a_vendor("support", purpose="essential", hosts=("chat.support.test",)),
)
INLINE_TOO = " ".join(INLINE)
HEARD = "; report-uri /_consent/csp"
NO_ADVERTISING = ("permissions-policy", ", ".join(f"{one}=()" for one in ADVERTISING))


def a_site(mode: CspMode = CspMode.ENFORCE, *, sources: tuple[str, ...] = ("'self'",), origin: str = "") -> Policy:
    site = Site("Shop", "https://shop.test/privacy", origin=origin)
    return a_policy(site=site, csp=Csp(mode, sources), vendors=VENDORS)


def analytics_only(policy: Policy) -> Decision:
    """In the EEA, after a yes to analytics and no to the rest."""
    return a_decision(policy, consent=a_consent(analytics=True, cross_site=False))


def sent(decision: Decision, *said: tuple[str, str], status: int = 200, **how: object) -> list[tuple[str, str]]:
    """The fields of a page that says this, as they go out, and what was counted."""
    counted: Counter[str] = Counter()
    answer = head_of(status, [(name.encode(), value.encode()) for name, value in said])
    guard = PageGuard(decision.policy, decision)
    for _ in range(2):
        counted.clear()
        fields = guard.dress(answer.fields, answer, lambda name: counted.update([name]), **how)  # type: ignore[arg-type]  # a table gives them
    return [*((field[0].decode(), field[1].decode()) for field in fields), *((one, "counted") for one in counted)]


def test_a_site_without_a_policy_gets_one_of_its_sources_and_of_allowed_hosts() -> None:
    policy = a_site(sources=("'self'", "img.shop.test", "cdn.counter.test", "a.window.test"))
    assert sent(analytics_only(policy), ("x-a", "1")) == [
        ("x-a", "1"),
        (
            "content-security-policy",
            f"default-src 'self' img.shop.test cdn.counter.test both.test chat.support.test {INLINE_TOO}{HEARD}",
        ),
        NO_ADVERTISING,
    ]


def test_where_all_is_allowed_every_host_is_and_advertising_too() -> None:
    allowed = f"'self' cdn.counter.test both.test *.window.test chat.support.test {INLINE_TOO}"
    assert sent(a_decision(a_site(), ELSEWHERE)) == [("content-security-policy", f"default-src {allowed}{HEARD}")]


@pytest.mark.parametrize("sources", [(), ("'none'",)])
def test_a_site_may_list_nothing(sources: tuple[str, ...]) -> None:
    assert sent(a_decision(a_site(sources=sources)))[0] == (
        "content-security-policy",
        f"default-src chat.support.test {INLINE_TOO}{HEARD}",
    )


def test_a_policy_of_the_sites_is_narrowed_and_nothing_is_added_to_it() -> None:
    said = (
        ("content-security-policy", "default-src 'self'; script-src cdn.counter.test *.window.test a.test"),
        ("x-a", "1"),
        ("content-security-policy", "frame-ancestors 'none', img-src both.test www.window.test"),
        ("content-security-policy-report-only", "img-src www.window.test"),
        ("permissions-policy", "camera=(), browsing-topics=*"),
    )
    assert sent(analytics_only(a_site()), *said) == [
        ("content-security-policy", f"default-src 'self'; script-src cdn.counter.test a.test{HEARD}"),
        ("x-a", "1"),
        ("content-security-policy", f"frame-ancestors 'none', img-src both.test{HEARD}"),
        ("content-security-policy-report-only", "img-src www.window.test"),
        ("permissions-policy", "camera=(), browsing-topics=*"),
        NO_ADVERTISING,
    ]


def test_a_policy_that_governs_no_load_leaves_ours_to_govern() -> None:
    said = ("content-security-policy", "frame-ancestors 'none'; upgrade-insecure-requests")
    ours = f"default-src 'self' chat.support.test {INLINE_TOO}{HEARD}"
    assert sent(a_decision(a_site()), said) == [said, ("content-security-policy", ours), NO_ADVERTISING]


def test_a_policy_that_cannot_bind_is_counted() -> None:
    wide = ("content-security-policy", f"default-src 'self' https:{HEARD}")
    assert sent(a_decision(a_site()), wide) == [wide, NO_ADVERTISING, ("csp_unbound", "counted")]


def test_a_dictionary_that_is_none_makes_way() -> None:
    assert sent(a_decision(a_site()), ("permissions-policy", "camera 'none'"))[1:] == [NO_ADVERTISING]


def test_report_mode_changes_nothing_and_watches_what_would_be_sent() -> None:
    decision = a_decision(a_site(CspMode.REPORT))
    own = ("content-security-policy", "script-src cdn.counter.test x; report-uri /their; report-to them")
    assert sent(decision) == [
        ("content-security-policy-report-only", f"default-src 'self' chat.support.test {INLINE_TOO}{HEARD}")
    ]
    assert sent(decision, own) == [own, ("content-security-policy-report-only", f"script-src x{HEARD}")]


def test_over_https_reports_come_by_the_newer_way_too() -> None:
    fields = sent(a_decision(a_site(origin="https://shop.test")), ("reporting-endpoints", 'them="/r"'))
    heard = f"{HEARD}; report-to consent-mw"
    assert fields == [
        ("reporting-endpoints", 'them="/r"'),
        ("content-security-policy", f"default-src 'self' chat.support.test {INLINE_TOO}{heard}"),
        ("reporting-endpoints", 'consent-mw="/_consent/csp"'),
        NO_ADVERTISING,
    ]


def test_a_policy_that_reports_elsewhere_is_watched_beside() -> None:
    own = ("content-security-policy", "default-src 'self'; report-to them")
    watched = ("content-security-policy-report-only", f"default-src 'self'{HEARD}")
    assert sent(a_decision(a_site()), own) == [own, watched, NO_ADVERTISING]


def test_off_writes_nothing_and_lets_our_own_files_in_where_they_are() -> None:
    decision = a_decision(a_site(CspMode.OFF))
    own = ("content-security-policy", "script-src cdn.counter.test")
    assert (sent(decision), sent(decision, own), sent(decision, host=b"shop.test")) == ([], [own], [])
    assert sent(decision, own, host=b"shop.test:8443") == [
        ("content-security-policy", "script-src cdn.counter.test shop.test:8443/_consent/static/")
    ]


@pytest.mark.parametrize("host", [b"[::1]:80", b"a b", b"x;script-src *", b"x, default-src", b"\xff", b"x" * 300])
def test_a_host_that_no_source_can_name_lets_nothing_in(host: bytes) -> None:
    own = ("content-security-policy", "script-src 'none'")
    assert sent(a_decision(a_site(CspMode.OFF)), own, host=host) == [own]


def test_a_page_that_could_not_be_looked_at_calls_only_what_is_known() -> None:
    own = ("content-security-policy", "default-src https:")
    ours = ("content-security-policy", f"default-src 'self' chat.support.test {INLINE_TOO}")
    assert sent(a_decision(a_site(CspMode.OFF)), own, blocking=True) == [own, ours]


def test_not_modified_says_no_more_than_the_site_says_anew() -> None:
    decision = a_decision(a_site())
    own = ("content-security-policy", "img-src x cdn.counter.test")
    assert sent(decision, status=304) == []
    assert sent(decision, own, status=304)[0] == ("content-security-policy", f"img-src x{HEARD}")


def test_the_nonces_of_a_page_are_found_in_all_its_policies() -> None:
    said = [(b"content-security-policy", b"img-src *, style-src 'nonce-s'"), (b"Content-Security-Policy", b"x")]
    nonces = nonces_in(head_of(200, [*said, (b"content-security-policy", b"script-src 'nonce-n'")]))
    assert (nonces, nonces_in(head_of(200, []))) == (Nonces("n", "s"), Nonces())


@pytest.mark.parametrize(
    ("blocked", "who"),
    [
        ("cdn.counter.test", ("counter", "analytics")),
        ("CDN.counter.test:8443", ("counter", "analytics")),
        ("a.b.window.test", ("window", "cross_site")),
        ("both.test", ("window", "cross_site")),
        ("window.test", ("other", "")),
        ("", ("other", "")),
    ],
)
def test_who_is_accused(blocked: str, who: tuple[str, str]) -> None:
    policy = a_site()
    assert Accused(policy).of(blocked, analytics_only(policy)) == who


def test_what_is_sent_is_a_field_as_any_other() -> None:
    assert response_field(b"Content-Security-Policy", b"x")[3] == response_field(b"Vary", b"x")[3]


def test_each_page_keeps_its_own_nonces() -> None:
    decision = a_decision(a_site(sources=("'self'", "'nonce-7'", "'nonce-consent-mw'")))
    guard = PageGuard(decision.policy, decision)
    for first, second in (("aB+/_-=", "0"), ("0", "1"), ("1", "0"), ("same", "same")):
        text = f"script-src 'Nonce-{first}' cdn.counter.test; style-src 'nonce-{second}', img-src 'nonce-{first}'"
        answer = head_of(200, [(b"content-security-policy", text.encode())])
        fields = guard.dress(answer.fields, answer, lambda _: None, host=b"shop.test")
        made = f"script-src 'Nonce-{first}'; style-src 'nonce-{second}'{HEARD}, img-src 'nonce-{first}'{HEARD}"
        assert fields[0][1].decode() == made
    answer = head_of(200, [])
    assert b"'self' 'nonce-7' 'nonce-consent-mw' chat" in guard.dress([], answer, lambda _: None)[0][1]


def test_no_denied_vendor_is_reported_to() -> None:
    said = (
        ("content-security-policy-report-only", "img-src cdn.counter.test; report-uri /r https://cdn.counter.test/r"),
        ("content-security-policy-report-only", "img-src x; report-uri https://cdn.counter.test/r, font-src x"),
        ("reporting-endpoints", 'a="https://cdn.counter.test/r", b="https://b.test/r"'),
        ("report-to", '{"group":"a","endpoints":[{"url":"https://b.test/r"},{"url":"https://cdn.counter.test/r"}]}'),
        ("report-to", '{"group":"b","endpoints":[{"url":"https://b.test/r"}]}, {"odd": [1]}'),
        ("report-to", "{"),
        ("nel", '{"report_to":"a"}'),
    )
    assert sent(a_decision(a_site(origin="https://shop.test")), *said) == [
        ("content-security-policy-report-only", "img-src cdn.counter.test; report-uri /r"),
        ("content-security-policy-report-only", "img-src x, font-src x"),
        said[2],
        said[4],
        said[5],
        said[6],
        (
            "content-security-policy",
            f"default-src 'self' chat.support.test {INLINE_TOO}{HEARD}; report-to consent-mw",
        ),
        ("reporting-endpoints", 'consent-mw="/_consent/csp", a="/_consent/csp"'),
        NO_ADVERTISING,
    ]


def test_our_tags_carry_the_nonces_and_nothing_else_does() -> None:
    markup = b'<link rel="stylesheet" href="/a"><p>&lt;script x</p><script src="/b" defer></script>'
    assert carrying(markup, Nonces("n", "s")) == (
        b'<link nonce="s" rel="stylesheet" href="/a"><p>&lt;script x</p><script nonce="n" src="/b" defer></script>'
    )
    assert carrying(markup, Nonces()) == markup


@pytest.mark.parametrize(
    ("stylesheet", "logo", "opened"),
    [
        ("", "", "style-src 'none'; img-src 'self'"),
        ("/brand.css?v=2", "/logo.svg", "style-src {files} shop.test/brand.css; img-src 'self'"),
        (
            "https://cdn.test/a.css#x",
            "https://cdn.test/l.svg",
            "style-src {files} https://cdn.test/a.css; img-src 'self' https://cdn.test/l.svg",
        ),
        ("/a;b.css", "/a,b.svg", "style-src {files}; img-src 'self'"),
    ],
)
def test_the_brand_in_the_banner_is_let_in_too(stylesheet: str, logo: str, opened: str) -> None:
    site = Site("Shop", "https://shop.test/privacy", stylesheet=stylesheet, logo=logo)
    own = ("content-security-policy", "style-src 'none'; img-src 'self'")
    fields = sent(a_decision(a_policy(site=site)), own, host=b"shop.test" if stylesheet else b"")
    assert fields == [("content-security-policy", opened.format(files="shop.test/_consent/static/"))]
