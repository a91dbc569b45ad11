"""A policy is read as a browser reads it, and only ever narrowed, but for our own files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_mw.core.hosts import Hosts
from consent_mw.wire.csp import (
    NO_NONCES,
    Nonces,
    Own,
    binds,
    denies,
    let_in,
    narrow,
    nonces_of,
    pattern_in,
    read_policies,
    reporting,
    without_reporting,
)
from tests.wire.csp_browser import Load, allows

HOSTS = Hosts(
    allowed=("maps.example.net", "ok.test"),
    denied=("cdn.bad.test", "*.example.net", "api.bad.test:8443", "127.0.0.1"),
)
OWN = Own("shop.test/_consent/static/", "shop.test/_consent/")


def narrowed(text: str) -> str:
    """The field with this value, narrowed."""
    return ", ".join(narrow(one, HOSTS).text for one in read_policies(text.encode("latin-1")))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("script-src 'self' cdn.bad.test", "script-src 'self'"),
        ("script-src cdn.bad.test", "script-src 'none'"),
        (
            "script-src 'nonce-aBc=' 'sha256-x' 'strict-dynamic' cdn.bad.test",
            "script-src 'nonce-aBc=' 'sha256-x' 'strict-dynamic'",
        ),
        (
            "default-src 'none'; img-src cdn.bad.test ok.test;  font-src  x ;",
            "default-src 'none'; img-src ok.test; font-src  x",
        ),
        ("default-src *; object-src https:", "default-src *; object-src https:"),
        ("img-src https://*.Example.net/p", "img-src https://maps.example.net/p"),
        (
            "img-src *.example.net a.b.example.net maps.example.net example.net",
            "img-src maps.example.net maps.example.net example.net",
        ),
        ("frame-src *.bad.test *.net", "frame-src *.bad.test *.net"),
        (
            "connect-src wss://cdn.bad.test https://CDN.bad.test:443/p/?q cdn.bad.test. cdn.bad.test:* x",
            "connect-src x",
        ),
        ("connect-src api.bad.test api.bad.test:8443", "connect-src api.bad.test"),
        ("img-src 127.0.0.1:99 127.0.0.2", "img-src 127.0.0.2"),
        ("script-src-elem cdn.bad.test; style-src-attr cdn.bad.test x", "script-src-elem 'none'; style-src-attr x"),
        (
            "frame-ancestors cdn.bad.test; form-action cdn.bad.test",
            "frame-ancestors cdn.bad.test; form-action cdn.bad.test",
        ),
        ("img-src x; report-uri /r https://cdn.bad.test/r r //k@a.example.net:1/", "img-src x; report-uri /r r"),
        ("default-src 'self'; report-uri https://cdn.bad.test/r; report-to g", "default-src 'self'; report-to g"),
        ("ScRiPt-SrC\tcdn.bad.test\fx; SCRIPT-SRC y", "script-src x"),
        ("img-src x; IMG-src cdn.bad.test", "img-src x; IMG-src cdn.bad.test"),
        ("script-src 'self' cdn.bad.test , img-src  *, ,", "script-src 'self', img-src  *"),
        ("img-src ü cdn.bad.test; font-src x", "img-src ü cdn.bad.test; font-src x"),
        ("img-src ü; font-src cdn.bad.test", "font-src 'none'"),
        (
            "img-src cdn.bad.test@ok.test cdn.bad.test%2e 'cdn.bad.test' //cdn.bad.test",
            "img-src cdn.bad.test@ok.test cdn.bad.test%2e 'cdn.bad.test' //cdn.bad.test",
        ),
        ("", ""),
        (" ; ;", ""),
        ("upgrade-insecure-requests; sandbox allow-scripts", "upgrade-insecure-requests; sandbox allow-scripts"),
    ],
    ids=[
        "one-goes", "all-go", "nonces-and-hashes-stay", "other-directives-stay-as-written", "wide-ones-stay",
        "what-is-allowed-beneath",
        "a-wildcard-of-a-vendor", "a-wildcard-of-more", "however-it-is-written", "by-port", "an-address",
        "elements-and-attributes", "no-loads", "reports-to-it-too", "and-to-it-alone", "odd-case-and-space",
        "what-a-browser-skips", "several-policies", "not-ascii-is-skipped", "not-ascii-is-not-written",
        "what-is-no-host", "nothing", "nothing-twice", "nothing-to-load",
    ],
)  # fmt: skip
def test_what_is_left_of_a_policy(said: str, left: str) -> None:
    assert narrowed(said) == left


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        ("default-src 'self' ok.test", True),
        ("default-src 'none'; script-src 'self' 'unsafe-inline' data:", True),
        ("default-src *", False),
        ("default-src 'self'; img-src https:", False),
        ("default-src 'self'; img-src *.test", False),
        ("default-src 'self'; img-src cdn.*", True),
        ("default-src 'self' 'nonce-x'", False),
        ("script-src 'self'", False),
        ("script-src 'strict-dynamic'; default-src 'none'", False),
        ("default-src 'self'; connect-src 'nonce-x'", True),
        ("default-src *, default-src 'none'", True),
        ("frame-ancestors 'none'", False),
    ],
)
def test_a_policy_binds_where_no_denied_host_passes(said: str, bound: bool) -> None:
    policies = [narrow(one, HOSTS) for one in read_policies(said.encode())]
    assert (binds(policies, HOSTS), binds(policies, Hosts(("ok.test",)))) == (
        bound,
        said != "script-src 'self'" and "frame" not in said,
    )


@pytest.mark.parametrize(
    ("said", "opened"),
    [
        ("default-src 'self'; form-action 'self'", "default-src 'self'; form-action 'self'"),
        ("script-src x", "script-src x shop.test/_consent/static/"),
        (
            "default-src 'none'; script-src 'NONCE-n1'",
            "default-src 'none'; script-src 'NONCE-n1'; style-src shop.test/_consent/static/; connect-src "
            + OWN.routes,
        ),
        (
            "default-src 'none' 'nonce-n1'",
            "default-src 'none' 'nonce-n1'; connect-src 'nonce-n1' shop.test/_consent/",
        ),
        (
            "script-src 'NONE'; form-action 'none'",
            "script-src shop.test/_consent/static/; form-action shop.test/_consent/",
        ),
        ("script-src 'strict-dynamic' 'sha256-x'", "script-src 'strict-dynamic' 'sha256-x'"),
        ("script-src-elem x; script-src y", "script-src-elem x shop.test/_consent/static/; script-src y"),
        ("connect-src *; style-src-elem https:", "connect-src *; style-src-elem https: shop.test/_consent/static/"),
        ("img-src 'none'; frame-ancestors 'none'", "img-src 'none'; frame-ancestors 'none'"),
    ],
)  # fmt: skip
def test_our_own_files_are_let_in(said: str, opened: str) -> None:
    (policy,) = read_policies(said.encode())
    once = let_in(policy, OWN, nonces_of([policy]))
    assert (once.text, let_in(once, OWN, nonces_of([policy])).text) == (opened, opened)


@pytest.mark.parametrize(
    ("said", "nonces"),
    [
        ("script-src 'nonce-abc='; style-src 'Nonce-d_-'", Nonces("abc=", "d_-")),
        ("default-src 'nonce-x'", Nonces("x", "x")),
        ("default-src 'nonce-x'; script-src 'self'", Nonces("", "x")),
        ("script-src 'self', script-src 'nonce-b' 'nonce-c'", Nonces("b", "")),
        ("script-src 'nonce-\"><script>' 'nonce-' nonce-x", NO_NONCES),
        ("img-src 'nonce-x'", NO_NONCES),
    ],
)
def test_ours_is_the_nonce_of_the_page(said: str, nonces: Nonces) -> None:
    assert nonces_of(read_policies(said.encode())) == nonces


@pytest.mark.parametrize(
    ("said", "group", "heard"),
    [
        ("img-src x", "", "img-src x; report-uri /r"),
        ("img-src x", "g", "img-src x; report-uri /r; report-to g"),
        ("img-src x; report-uri /their", "g", "img-src x; report-uri /their /r"),
        ("img-src x; report-uri /r", "g", "img-src x; report-uri /r"),
        ("img-src x; report-to theirs", "g", None),
    ],
)
def test_reports_come_to_us_beside_the_site(said: str, group: str, heard: str | None) -> None:
    (policy,) = read_policies(said.encode())
    made = reporting(policy, "/r", group)
    assert (made and made.text, without_reporting(policy).text) == (heard, "img-src x")


@pytest.mark.parametrize(
    ("source", "denied"),
    [
        ("a.test", True), ("b.a.test", False), ("c.b.a.test", True), ("d.c.b.a.test", True), ("*.b.a.test", False),
        ("x.test", False), ("x.test:99", True), ("y.test", False), ("'self'", False), ("https:", False),
    ],
)  # fmt: skip
def test_the_most_exact_host_decides(source: str, denied: bool) -> None:
    hosts = Hosts(
        ("*.b.a.test", "b.a.test", "x.test", "y.test"),
        ("*.a.test", "a.test", "*.c.b.a.test", "c.b.a.test", "x.test:99", "y.test"),
    )
    assert denies(hosts, source) is denied


@pytest.mark.parametrize("source", ["'self'", "https:", "", "a b", "[::1]:80", "a..b", "*.", "-:x", "x:y", "ä.test"])
def test_what_names_no_host_has_no_pattern(source: str) -> None:
    assert pattern_in(source) is None


SOURCES = [
    "'self'", "'none'", "'NONE'", "*", "https:", "HTTP:", "wss:", "data:", "'nonce-n1'", "'strict-dynamic'",
    "'sha256-x'", "'unsafe-inline'", "cdn.bad.test", "https://CDN.bad.test/a/", "http://cdn.bad.test:80",
    "cdn.bad.test.", "*.bad.test", "wss://cdn.bad.test:*", "*.example.net", "maps.example.net",
    "https://a.example.net:8443/x", "example.net", "ok.test", "ok.test/_consent/", "*:8443", "https://*",
    "api.bad.test:8443", "shop.test", "shop.test/_consent/static/", "bogus'", "://",
]  # fmt: skip
NAMES = [
    "default-src", "script-src", "Script-Src", "script-src-elem", "style-src", "style-src-elem", "img-src",
    "connect-src", "frame-src", "child-src", "worker-src", "font-src", "media-src", "object-src", "form-action",
    "report-uri", "sandbox",
]  # fmt: skip
DIRECTIVES = st.builds(
    lambda name, sources: " ".join([name, *sources]),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(SOURCES), max_size=4),
)
POLICIES = st.lists(st.lists(DIRECTIVES, max_size=5).map("; ".join), min_size=1, max_size=3).map(", ".join)
LOADS = [
    Load(kind, f"{scheme}://{host}{port}{path}", nonce)
    for kind in ("script", "style", "connect", "image", "frame", "worker", "font", "media", "object", "form")
    for nonce in (("", "n1") if kind in ("script", "style") else ("",))
    for scheme in ("https", "http", "wss")
    for host, port in (
        ("cdn.bad.test", ""), ("api.bad.test", ":8443"), ("a.example.net", ""), ("a.example.net", ":8443"),
        ("maps.example.net", ""), ("example.net", ""), ("ok.test", ""), ("shop.test", ""),
    )
    for path in ("/a/b.js", "/_consent/static/banner.js", "/_consent/state")
]  # fmt: skip
DENIED = ("://cdn.bad.test", "://api.bad.test:8443", "://a.example.net")


@given(POLICIES)
def test_narrowing_takes_denied_hosts_and_nothing_else(said: str) -> None:
    policies = [narrow(one, HOSTS) for one in read_policies(said.encode())]
    now, before = [one.text for one in policies], [said]
    bound = binds(policies, HOSTS)
    for load in LOADS:
        allowed, was_allowed = allows(now, load), allows(before, load)
        assert was_allowed or not allowed, load
        if not any(one in load.url for one in DENIED):
            assert allowed == was_allowed, load
        elif bound and load.kind not in ("worker", "form"):
            assert not allowed, load


@given(POLICIES)
def test_letting_our_files_in_lets_nothing_else_in(said: str) -> None:
    policies = read_policies(said.encode())
    opened = [let_in(one, OWN, nonces_of(policies)).text for one in policies]
    for load in LOADS:
        allowed, was_allowed = allows(opened, load), allows([said], load)
        assert allowed or not was_allowed, load
        ours = "/static/" if load.kind in ("script", "style", "worker") else "/_consent/"
        if not ("://shop.test/_consent/" in load.url and ours in load.url):
            assert allowed == was_allowed, load


@given(POLICIES)
def test_our_script_passes_wherever_an_address_or_a_nonce_can_let_it_in(said: str) -> None:
    policies = read_policies(said.encode())
    nonces = nonces_of(policies)
    opened = [let_in(one, OWN, nonces).text for one in policies]
    url = "https://shop.test/_consent/static/banner.js"
    strict = any(
        one.has("'strict-dynamic'") and f"'nonce-{nonces.script}'" not in one.value
        for policy in policies
        if (one := policy.governing(("script-src-elem", "script-src", "default-src")))
    )
    assert allows(opened, Load("script", url, nonces.script)) or strict
    assert allows(opened, Load("style", url, nonces.style))
    assert allows(opened, Load("connect", "https://shop.test/_consent/state"))
    assert allows(opened, Load("form", "https://shop.test/_consent/choice"))


@given(st.text(max_size=60), st.text(max_size=30))
def test_no_text_breaks_the_reading(said: str, host: str) -> None:
    field = said.encode("utf-8", "replace")
    for one in read_policies(field):
        let_in(narrow(one, HOSTS), OWN, NO_NONCES)
    assert denies(Hosts(denied=(host,)), said) in (True, False)
