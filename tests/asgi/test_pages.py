"""The banner and the pages say what the decision says, work without scripts, and escape what is not theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import pytest

from consent_mw.asgi.pages import (
    View,
    Words,
    banner_of,
    data_page,
    fragment_page,
    message_page,
    policy_page,
    preferences_page,
    receipts_page,
)
from consent_mw.asgi.pages.markup import el, link, name_in_words
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.coverage import CARRIED_OUT
from consent_mw.core.decision import Decision, decide
from consent_mw.core.facts import Facts
from consent_mw.core.policy import (
    DAY,
    Clause,
    CookieRule,
    Feature,
    IdentifierRule,
    Jurisdiction,
    Policy,
    Purpose,
    SignalEffect,
    SignalRule,
    Site,
    Vendor,
)
from consent_mw.core.terms import Banner, Effect, Mode, Regime, Signal, VendorKind
from consent_mw.core.wording import ENGLISH
from consent_mw.errors import Place
from consent_mw.world.wording import texts_in

NOW = 1_790_000_000
HERE = Place("policy.toml", 1)
EVIL = '<script>alert("1")</script>\'&'

EEA = Jurisdiction("eea_uk", HERE, frozenset({"DE"}), ("EEA", "GB"), Regime.OPT_IN, Banner.ASK, clauses=("eu",))
ELSEWHERE = Jurisdiction("elsewhere", HERE, frozenset({"*"}), ("*",), Regime.OPT_OUT, Banner.NOTICE)

POLICY = Policy(
    file="policy.toml",
    digest="d",
    revision="2018-05-22",
    site=Site("Mixmax", "https://mixmax.com/privacy", contact="privacy@mixmax.com"),
    purposes=(
        Purpose("essential", HERE, "Keep you signed in.", essential=True),
        Purpose("analytics", HERE, "Learn which pages are read."),
        Purpose("cross_site", HERE, "Recognise you on other sites."),
    ),
    jurisdictions=(EEA, ELSEWHERE),
    clauses=(
        Clause("dnt", "Our Services do not support Do Not Track requests at this time", HERE),
        Clause("sharing", "We neither rent nor sell", HERE, "no rule can show an absence"),
        Clause("eu", "If you are a resident of the European Union", HERE),
    ),
    signals={
        Signal.DNT: SignalRule(Signal.DNT, SignalEffect(Effect.IGNORE, HERE, clauses=("dnt",))),
        Signal.GPC: SignalRule(Signal.GPC, SignalEffect(Effect.REFUSE, HERE, frozenset({"cross_site"}))),
    },
    identifier=IdentifierRule("__Host-vid", "analytics", 395 * DAY, HERE),
    cookies=(CookieRule("session", "essential", HERE), CookieRule("_ga*", "analytics", HERE, 395 * DAY)),
    vendors=(
        Vendor(
            "segment", VendorKind.SEGMENT, "analytics", "https://api.segment.io/v1/batch", ("event", "ip"), HERE,
            {"eea_uk": ("event",)}, hosts=("cdn.segment.com",), country="US", transfer_basis="DPF",
        ),
    ),
    features=(Feature("send_times", "analytics", HERE, frozenset({"eea_uk"})),),
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    style: str = "/_consent/static/banner.1.css"
    script: str = "/_consent/static/banner.2.js"
    pages: str = "/_consent/static/pages.3.css"


FILES = Files()
WORDS = Words()


def seen(policy: Policy = POLICY) -> View:
    return View(policy, FILES, WORDS)


def banner_markup(policy: Policy, decision: Decision, *, return_to: str) -> bytes:
    made = banner_of(seen(policy), decision)
    return b"" if made is None else made.for_page(return_to)


def decided(place: Jurisdiction = EEA, policy: Policy = POLICY, **known: object) -> Decision:
    return decide(Facts(place, NOW, **known), policy)  # type: ignore[arg-type]


def answered(**answers: bool) -> Consent:
    return Consent(answers, NOW - DAY, POLICY.revision, "receipt-1", POLICY.revision, issued=NOW - DAY)


class Page(HTMLParser):
    """A parsed page: its elements, its text, and whether it is well formed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def preferences(place: Jurisdiction = EEA, policy: Policy = POLICY, saved: bool = False, **known: object) -> Page:
    consent = known.get("consent", NO_CONSENT)
    assert isinstance(consent, Consent)
    decision = decided(place, policy, **known)
    return Page(preferences_page(seen(policy), decision, consent=consent, return_to="/x", saved=saved))


def banner(place: Jurisdiction = EEA, policy: Policy = POLICY, **known: object) -> Page:
    return Page(banner_markup(policy, decided(place, policy, **known), return_to="/x?a"))


def every_page(policy: Policy) -> dict[str, bytes]:
    decision = decided(policy=policy, gpc=True, dnt=True)
    claims = {"at": "2026-01-01T00:00:00Z", "purposes": {EVIL: True}, "jws": EVIL, "signals": {"gpc": True}}
    return {
        "banner": banner_markup(policy, decision, return_to=EVIL),
        "notice": banner_markup(policy, decided(ELSEWHERE, policy), return_to="/"),
        "preferences": preferences_page(
            seen(policy), decision, consent=Consent(receipt=EVIL), return_to=EVIL, saved=True
        ),
        "policy": policy_page(seen(policy), decision),
        "receipts": receipts_page(seen(policy), [claims, {}, {"purposes": 5, "signals": []}]),
        "data": data_page(seen(policy), {"x": EVIL}),
        "fragment": fragment_page(seen(policy), decision, EVIL),
        "message": message_page(seen(policy), "preferences.report"),
    }


def test_yes_and_no_look_alike_and_purposes_are_one_step_further() -> None:
    page = banner()
    assert page.all("button") == [
        {"type": "submit", "name": "all", "value": "accept"},
        {"type": "submit", "name": "all", "value": "reject"},
        {"type": "submit"},
    ]
    form = {"method": "post", "action": "/_consent/choice"}
    assert page.all("form") == [form, {**form, "autocomplete": "off"}]
    back = {"type": "hidden", "name": "return", "value": "/x?a"}
    box = {"type": "checkbox", "name": "purpose"}
    assert page.all("input") == [
        back,
        back,
        {**box, "value": "analytics", "aria-describedby": "cmw-analytics-text"},
        {**box, "value": "cross_site", "aria-describedby": "cmw-cross_site-text"},
    ]
    assert [one["id"] for one in page.all("bdi") if one] == ["cmw-analytics-text", "cmw-cross_site-text"]
    assert page.all("details") == [{}]
    assert "/_consent/preferences?return=/x%3Fa" in [one["href"] for one in page.all("a")]
    assert page.all("section")[0]["aria-label"] == "Privacy choices"


def test_a_notice_can_be_read_or_refused() -> None:
    assert banner(ELSEWHERE).all("button") == [
        {"type": "submit", "name": "seen", "value": "1"},
        {"type": "submit", "name": "all", "value": "reject"},
        {"type": "submit"},
    ]


def test_the_banner_ticks_only_what_the_person_allowed() -> None:
    consent = answered(analytics=True, cross_site=True)
    notice = decided(ELSEWHERE, consent=replace(consent, seen=""), gpc=True)
    assert notice.notice
    page = Page(banner_markup(POLICY, notice, return_to="/"))
    assert [one["value"] for one in page.all("input") if "checked" in one] == ["analytics"]
    outdated = replace(consent, revision="older")
    for place in (EEA, ELSEWHERE):
        assert [one for one in banner(place, consent=outdated).all("input") if "checked" in one] == []


def test_where_there_is_nothing_to_choose_nothing_is_folded_away() -> None:
    page = banner(ELSEWHERE, replace(POLICY, purposes=POLICY.purposes[:1]))
    assert page.all("details") == page.all("fieldset") == []


def test_a_banner_says_who_and_what_for() -> None:
    text = banner().text
    for said in ("Mixmax", "Analytics: Learn which pages are read.", "Cross site", "Segment (United States)"):
        assert said in text


@pytest.mark.parametrize(("count", "told"), [(5, "V0, V1, V2, V3, and V4."), (6, "V0, V1, V2, V3, and 2 more.")])
def test_what_is_counted_is_never_one(count: int, told: str) -> None:
    vendors = tuple(replace(POLICY.vendors[0], name=f"v{one}", country="") for one in range(count))
    assert told in banner(policy=replace(POLICY, vendors=vendors)).text


def test_no_banner_is_shown_where_none_is_due() -> None:
    consent = answered(analytics=True, cross_site=False)
    assert banner_markup(POLICY, decided(consent=consent), return_to="/") == b""


def test_a_banner_is_ascii_for_pages_of_any_charset() -> None:
    policy = replace(POLICY, site=replace(POLICY.site, name="Müller – 株式会社"))
    made = banner_markup(policy, decided(policy=policy), return_to="/")
    assert made.isascii()
    assert "Müller – 株式会社" in Page(made).text


def test_an_honoured_gpc_is_told_on_banner_and_page() -> None:
    said = "Opt-out request honored: your browser sends Global Privacy Control, so this is off: Cross site."
    assert said in banner(gpc=True).text
    assert said in banner(ELSEWHERE, gpc=True).text
    assert said in preferences(gpc=True, consent=answered(analytics=True, cross_site=True)).text
    assert said not in preferences().text


def test_a_yes_that_stands_before_its_signal_is_told() -> None:
    yielding = replace(POLICY.signals[Signal.GPC], yields_to_consent=True)
    policy = replace(POLICY, signals={**POLICY.signals, Signal.GPC: yielding})
    page = preferences(policy=policy, gpc=True, consent=answered(analytics=True, cross_site=True))
    assert "You said yes to Cross site yourself, and that yes stands." in page.text
    assert "honored" not in page.text


def test_an_ignored_do_not_track_is_told_with_the_published_sentence() -> None:
    assert "Our Services do not support Do Not Track requests at this time" in banner(dnt=True).text
    assert "Do Not Track" not in banner().text
    assert "Do Not Track" not in banner(dnt=False).text


def test_nothing_is_ticked_beforehand() -> None:
    for place in (EEA, ELSEWHERE):
        boxes = [one for one in preferences(place).all("input") if one["type"] == "checkbox"]
        assert [one["value"] for one in boxes] == ["analytics", "cross_site"]
        assert all("checked" not in one for one in boxes)


def test_only_a_yes_that_still_counts_is_ticked() -> None:
    consent = answered(analytics=True, cross_site=False)
    ticked = [one["value"] for one in preferences(consent=consent).all("input") if "checked" in one]
    assert ticked == ["analytics"]
    outdated = replace(consent, revision="older")
    assert not [one for one in preferences(consent=outdated).all("input") if "checked" in one]


def test_every_box_has_a_label_and_every_id_is_its_own() -> None:
    page = preferences()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    boxes = [one["id"] for one in page.all("input") if one["type"] == "checkbox"]
    assert [one["for"] for one in page.all("label")] == boxes


def test_the_choices_say_what_stands_since_when_and_by_which_receipt() -> None:
    page = preferences(consent=answered(analytics=True, cross_site=False), saved=True)
    for said in (
        "Given for some purposes",
        WORDS.moment(NOW - DAY).split(">")[1][:16],
        "receipt-1",
        "choice is saved",
    ):
        assert said in page.text
    assert [one["action"] for one in page.all("form")] == [
        "/_consent/choice", "/_consent/choice", "/_consent/withdraw",
    ]  # fmt: skip


def test_in_report_mode_nothing_is_asked() -> None:
    page = preferences(policy=replace(POLICY, mode=Mode.REPORT))
    assert page.all("form") == []
    assert "trying out this policy" in page.text


def test_the_policy_page_tells_everything_that_the_rules_do() -> None:
    page = Page(policy_page(seen(), decided(dnt=True)))
    for said in (
        "_ga and whatever comes after it", "395 days", "__Host-vid", "__Host-consent", "Segment", "cdn.segment.com",
        "DPF", "what happened and your IP address", "United States",
        "nothing optional before a yes", "counts as a no to: Cross site", "is not acted on",
        "We neither rent nor sell", "no rule can show an absence", "Carried out by: Do Not Track",
        "Carried out by: Rules: EEA UK", "Send times", "not offered under: EEA UK",
        "European Economic Area and United Kingdom", "privacy@mixmax.com",
    ):  # fmt: skip
        assert said in page.text, said
    assert {"href": "https://db-ip.com", "lang": "en"} in page.all("a")
    assert {"href": "mailto:privacy@mixmax.com"} in page.all("a")


def clauses_of(policy: Policy, words: Words = WORDS) -> Page:
    return Page(policy_page(View(policy, FILES, words), decided(policy=policy)))


def test_each_clause_is_shown_with_its_rules_where_they_are_carried_out_and_their_cases() -> None:
    proof = {("signal", "dnt"): ("a visitor with DNT is told", "DNT is ignored"), ("cookie", "session"): ("another",)}
    told = clauses_of(replace(POLICY, proof=proof)).text.partition("What the published policy says")[2]
    shown = [
        "support Do Not Track requests", "Carried out by: Do Not Track", "Where this is carried out", "Do Not Track",
        "in every decision, and in what your browser is told", "Tested by these cases:", "a visitor with DNT is told",
        "DNT is ignored", "neither rent nor sell", "no rule can show", "resident of the European Union", "EEA UK",
        "by where your address is", "No case tests this.",
    ]  # fmt: skip
    at = 0
    for one in shown:
        assert one in told[at:], one
        at = told.index(one, at) + len(one)
    assert ("another" in told, "No test cases come" in told) == (False, False)


def test_a_policy_without_cases_says_that_it_comes_without() -> None:
    told = clauses_of(POLICY).text
    assert told.count("No test cases come with this policy.") == 1
    assert ("No case tests this." in told, "Tested by" in told) == (False, False)
    assert "Carried out by where your address is" in told


def test_the_proof_of_a_clause_is_told_in_the_visitors_language() -> None:
    german = Words("de", texts_in("de"))
    told = clauses_of(replace(POLICY, proof={("signal", "dnt"): ("DNT is ignored",)}), german).text
    assert "Geprüft durch diese Fälle:" in told
    assert "Kein Fall prüft das." in told
    assert [text for key, text in ENGLISH.items() if key.startswith("where.") and text in told] == []


def test_a_rule_of_every_sort_is_told_with_where_it_is_carried_out() -> None:
    cited = ("dnt",)
    effect = SignalEffect(Effect.REFUSE, HERE, frozenset({"cross_site"}), cited)
    policy = replace(
        POLICY,
        purposes=tuple(replace(one, clauses=cited) for one in POLICY.purposes),
        jurisdictions=tuple(replace(one, clauses=cited) for one in POLICY.jurisdictions),
        signals={
            Signal.TCF: SignalRule(Signal.TCF, effect),
            Signal.GPC: SignalRule(Signal.GPC, effect, {"eea_uk": effect}),
        },
        identifier=IdentifierRule("__Host-vid", "analytics", 395 * DAY, HERE, cited),
        cookies=tuple(replace(one, clauses=cited) for one in POLICY.cookies),
        vendors=tuple(replace(one, clauses=cited) for one in POLICY.vendors),
        features=tuple(replace(one, clauses=cited) for one in POLICY.features),
    )
    told = clauses_of(policy).text
    assert [key for key, text in ENGLISH.items() if key.startswith("where.") and text not in told] == []
    assert {f"where.{sort}" for sort in CARRIED_OUT} == {key for key in ENGLISH if key.startswith("where.")}
    for called in ("TCF", "Global Privacy Control (EEA UK)", "Cookie: __Host-vid", "Cookie: _ga*", "Segment"):
        assert called in told.partition("Where this is carried out")[2], called


def test_receipts_are_shown_with_their_signed_form() -> None:
    claims = {
        "receipt": "r1",
        "at": "2026-01-01T00:00:00Z",
        "purposes": {"analytics": True, "x": False},
        "jws": "a.b.c",
    }
    page = Page(receipts_page(seen(), [claims]))
    for said in ("Receipt 1", "r1", "January 1, 2026", "Analytics", "a.b.c"):
        assert said in page.text
    assert "no receipt for this browser" in Page(receipts_page(seen(), [])).text


HOSTILE = replace(
    POLICY,
    site=Site(EVIL, "javascript:alert(1)", contact=EVIL, stylesheet="javascript:x", logo="data:x"),
    revision=EVIL,
    purposes=(POLICY.purposes[0], Purpose("analytics", HERE, EVIL), POLICY.purposes[2]),
    clauses=(Clause("dnt", EVIL + "{site}", HERE),),
    cookies=(CookieRule(EVIL, "analytics", HERE), CookieRule("{name}*", "analytics", HERE)),
    vendors=(replace(POLICY.vendors[0], country=EVIL, transfer_basis="{x}"),),
    proof={("signal", "dnt"): (EVIL, "{name}")},
)


@pytest.mark.parametrize("name", every_page(HOSTILE))
def test_what_is_not_ours_is_escaped(name: str) -> None:
    made = every_page(HOSTILE)[name]
    page = Page(made)
    assert [one.get("src") for one in page.all("script")] == [FILES.script] * (name != "fragment")
    assert b"<script>" not in made
    assert not [one for one in page.all("a") if (one.get("href") or "").startswith(("javascript:", "data:"))]
    own = [FILES.pages] * (name not in ("banner", "notice", "fragment"))
    assert [one["href"] for one in page.all("link")] == [FILES.style, *own]
    assert page.all("img") == []


@pytest.mark.parametrize("name", every_page(POLICY))
def test_no_page_has_inline_style_or_script(name: str) -> None:
    made = every_page(POLICY)[name]
    page = Page(made)
    assert page.all("style") == []
    assert not [
        key for _, attributes in page.elements for key in attributes if key == "style" or key.startswith("on")
    ]
    assert not re.search(rb"\{[a-z.]+\}", made)


@pytest.mark.parametrize(
    "name", [name for name in every_page(POLICY) if name not in ("banner", "notice", "fragment")]
)
def test_every_page_has_its_landmarks_and_the_sites_own_look(name: str) -> None:
    site = replace(POLICY.site, stylesheet="/brand.css", logo="/logo.svg")
    page = Page(every_page(replace(POLICY, site=site))[name])
    names = [tag for tag, _ in page.elements]
    assert [names.count(one) for one in ("html", "header", "nav", "main", "footer", "h1", "title")] == [1] * 7
    assert page.all("html") == [{"lang": "en", "dir": "ltr"}]
    assert [one["href"] for one in page.all("link")] == [FILES.style, FILES.pages, "/brand.css"]
    assert page.all("img") == [{"src": "/logo.svg", "alt": ""}]
    assert "Mixmax" in page.text


def test_what_is_stored_reads_as_people_write_it() -> None:
    claims = {
        "at": "2026-11-24T17:14:17Z", "jurisdiction": "eea_uk", "purposes": {"analytics": True},
        "signals": {"gpc": True}, "jws": "a.b.c", "notes": "2026-99-99T00:00:00Z",
    }  # fmt: skip
    view = replace(seen(), words=Words("de", texts_in("de")))
    told = Page(data_page(view, {"receipts": [claims]}))
    for said in ("24. November 2026", "EEA UK", "Statistik", "Global Privacy Control", "2026-99-99T00:00:00Z"):
        assert said in told.text
    assert "2026-11-24T" not in told.text
    assert [one["aria-label"] for one in told.all("textarea")] == ["Signierte Form"]
    assert "24. November 2026" in Page(receipts_page(view, [claims])).text


def test_lengths_names_and_moments_read_well() -> None:
    assert [WORDS.duration(one) for one in (395 * DAY, DAY, 3600, 90, 0)] == [
        "395 days", "1 day", "1 hour", "90 seconds", "0 seconds",
    ]  # fmt: skip
    assert [name_in_words(one) for one in ("cross_site", "eea_uk", "ads", "")] == ["Cross site", "EEA UK", "Ads", ""]
    assert [WORDS.listing(one) for one in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "", "a", "a and b", "a, b, and c",
    ]  # fmt: skip
    assert [WORDS.moment(one) for one in (0, -1, 10**18)] == ["", "", ""]


def test_a_link_that_leads_elsewhere_than_the_web_is_text() -> None:
    assert link("javascript:alert(1)", "x") == "x"
    assert link("http://[", "x") == "x"
    assert link("/a", "<x>") == '<a href="/a">&lt;x&gt;</a>'
    assert el("input", checked=True, disabled=False, for_='"') == '<input checked for="&quot;">'
