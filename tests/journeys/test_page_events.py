"""What a page reports itself, by POST events and by the pixel, in both forms of consent_mw."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.sidecar import an_origin, serving
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, VENDOR, Browser, Site, mounted, receiving

FIELDS = [
    "event",
    "page_path",
    "page_url",
    "referrer_host",
    "referrer_url",
    "title",
    "visitor_id",
    "country",
    "query.utm_source",
    "props.*",
]
REDACTED = '\n[urls]\nredact = ["/reset/*"]\n'
WAITING = VENDOR.replace('kind = "webhook"', 'kind = "webhook"\nkey = "env:NO_SUCH_KEY_IS_SET"').format(port=9)
PIXEL = 43
"""Bytes of the smallest transparent GIF that every browser shows."""


def policy_of(*fields: str) -> str:
    """The policy with a vendor that gets these fields everywhere, and no key yet, so that its events wait."""
    lines = [
        f"fields = {json.dumps(list(fields))}" if one.startswith("fields = ") else one for one in WAITING.split("\n")
    ]
    return POLICY + "\n".join(one for one in lines if not one.startswith("fields_in")) + REDACTED


class Page:
    """A browser on a page of the site, whose events wait in the store."""

    def __init__(self, folder: Path, address: str = NEW_YORK, policy: str = "", **headers: str) -> None:
        self.site = Site()
        self.middleware = mounted(self.site, folder, policy or policy_of(*FIELDS))
        self.browser = Browser(self.middleware, address, **headers)
        self.file = folder / "consent.db"

    def report(
        self, *events: Any, referer: str = "https://example.com/pricing?q=1&utm_source=ad#top", **said: str
    ) -> Any:
        value = events[0] if len(events) == 1 else list(events)
        headers = {"referer": referer, **{name.replace("_", "-"): text for name, text in said.items()}}
        return self.browser.post("/_consent/events", json=value, headers={k: v for k, v in headers.items() if v})

    def pixel(self, query: str, **said: str) -> httpx.Response:
        headers = {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image", **said}
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.browser._run(self.browser._client.get(f"/_consent/p.gif{query}", headers=headers))

    def queued(self) -> list[dict[str, Any]]:
        """What waits, without page views of pages that were really asked for; the identifier left out."""
        self.middleware.gate.reporter.hand_over()
        store = self.middleware.gate.store
        assert store is not None
        assert store.pending().result(5) >= 0
        with sqlite3.connect(self.file) as db:
            found = db.execute("SELECT kind, body FROM outbox ORDER BY seq").fetchall()
        db.close()
        bodies = [{**json.loads(body), "kind": kind} for kind, body in found]
        return [{name: value for name, value in one.items() if name != "visitor_id"} for one in bodies]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    visited = Page(tmp_path)
    yield visited
    visited.browser.close()


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


HERE = {"page_path": "/pricing", "page_url": "https://example.com/pricing?utm_source=ad", "query.utm_source": "ad"}


def test_an_event_is_on_disk_when_it_is_answered(page: Page) -> None:
    answer = page.report(
        {"event": "signup", "page_path": "/x", "title": "Join", "props": {"plan": "pro", "seats": 3}}
    )
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert answer.headers["cache-control"] == "no-store"
    with sqlite3.connect(page.file) as db:
        assert db.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    db.close()
    assert page.queued() == [
        {
            "kind": "track", "event": "signup", "country": "US", "page_path": "/x", "page_url": "https://example.com/x",
            "title": "Join", "props.plan": "pro", "props.seats": 3,
        }
    ]  # fmt: skip


def test_a_page_that_is_not_named_is_the_one_that_refers(page: Page) -> None:
    page.report({"event": "seen"})
    assert page.queued() == [{"kind": "track", "event": "seen", "country": "US", **HERE}]


@pytest.mark.parametrize(
    "referer",
    ["", "https://other.example/x", "https://example.com/_consent/preferences", "https://[bad", "about:blank"],
)
def test_neither_another_site_nor_a_route_of_ours_is_taken_for_the_page(page: Page, referer: str) -> None:
    page.report({"event": "seen"}, referer=referer)
    assert page.queued() == [{"kind": "track", "event": "seen", "country": "US"}]


def test_a_list_is_taken_whole_each_on_its_page_and_in_order(page: Page) -> None:
    told = [{"event": "page_view", "page_path": f"/step/{number}?utm_source=x&t=1#f"} for number in range(20)]
    answer = page.report(*told)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 20})
    assert page.queued() == [
        {
            "kind": "page_view", "event": "page_view", "country": "US", "page_path": f"/step/{number}",
            "page_url": f"https://example.com/step/{number}?utm_source=x", "query.utm_source": "x",
        }
        for number in range(20)
    ]  # fmt: skip


def test_where_the_visitor_came_from_is_what_the_page_says(page: Page) -> None:
    page.report({"event": "a", "page_path": "/", "referrer_url": "https://u:p@search.example/find?q=secret#f"})
    page.report({"event": "b", "page_path": "/", "referrer_url": "https://example.com/_consent/preferences"})
    told = [(one["event"], one.get("referrer_host"), one.get("referrer_url")) for one in page.queued()]
    assert told == [("a", "search.example", "https://search.example/find"), ("b", None, None)]


SECRETS = {
    "in the path": {"page_path": "/reset/s3cret"},
    "in another spelling": {"page_path": "/%72eset/s3cret"},
    "in the query": {"page_path": "/x?token=s3cret"},
    "in the fragment": {"page_path": "/x#s3cret"},
    "in the URL": {"page_url": "https://u:s3cret@example.com/reset/s3cret?x=s3cret#s3cret"},
    "in the referrer": {"page_path": "/x", "referrer_url": "https://example.com/reset/s3cret?x=s3cret"},
    "in the title": {"page_path": "/x", "title": "Reset https://example.com/reset/s3cret"},
    "in a property": {"page_path": "/x", "props": {"href": "/reset/s3cret?x=s3cret"}},
}


@pytest.mark.parametrize("told", SECRETS.values(), ids=SECRETS)
def test_what_the_policy_keeps_back_of_urls_leaves_by_no_member(page: Page, told: dict[str, Any]) -> None:
    assert page.report({"event": "seen", **told}).json() == {"accepted": 1}
    assert "s3cret" not in json.dumps(page.queued())
    assert "s3cret" not in page.file.read_bytes().decode("latin-1")


def test_what_looks_like_personal_data_is_masked_and_counted_by_kind(page: Page) -> None:
    page.report(
        {
            "event": "mail",
            "page_path": "/u/ann%40example.com",
            "title": "call +49 30 1234567",
            "props": {"a": "123-45-6789"},
        }
    )
    (row,) = page.queued()
    assert (row["page_path"], row["title"], row["props.a"]) == ("/u/[email]", "call [phone]", "[ssn]")
    masked = {name: number for name, number in page.middleware.gate.counts.items() if name.startswith("masked")}
    assert masked == {"masked_email": 2, "masked_phone": 1, "masked_ssn": 1}


# who reports nothing


def test_nothing_is_stored_of_who_did_not_agree(tmp_path: Path) -> None:
    berliner = Page(tmp_path, BERLIN)
    answer = berliner.report({"event": "signup"})
    assert (answer.status_code, answer.json(), berliner.queued()) == (202, {"accepted": 0}, [])
    berliner.browser.choose(all=True)
    assert berliner.report({"event": "signup"}).json() == {"accepted": 1}
    berliner.browser.close()


def test_a_bot_and_a_page_fetched_ahead_report_nothing(page: Page) -> None:
    bot = page.report({"event": "a"}, user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    ahead = page.report({"event": "a"}, sec_purpose="prefetch;prerender")
    assert [one.json() for one in (bot, ahead)] == [{"accepted": 0}] * 2
    assert page.queued() == []


def test_a_minor_reports_nothing_even_where_the_purpose_is_essential(tmp_path: Path) -> None:
    policy = policy_of("event").replace('purpose = "analytics"\nendpoint', 'purpose = "essential"\nendpoint')
    minor = Page(tmp_path, NEW_YORK, policy)
    minor.site.on_visit = lambda visit: visit.declare_minor()
    minor.browser.get("/", document=False)
    assert (minor.report({"event": "a"}).json(), minor.queued()) == ({"accepted": 0}, [])
    minor.browser.close()


def test_in_report_mode_and_outside_the_share_nothing_is_kept(tmp_path: Path) -> None:
    for number, setting in enumerate(('mode = "report"\n', "")):
        folder = tmp_path / str(number)
        folder.mkdir()
        policy = setting + policy_of("event") + ("" if setting else "[scope]\npercent = 0\n")
        visitor = Page(folder, NEW_YORK, policy)
        assert (visitor.report({"event": "a"}).json(), visitor.queued()) == ({"accepted": 0}, [])
        visitor.browser.close()


# what is not heard


def test_the_order_is_size_type_origin(page: Page) -> None:
    post = page.browser.post
    large, text, cross = b"[" * 65_537, {"content-type": "text/plain"}, {"sec-fetch-site": "cross-site"}
    told = {"content-type": "application/json"}
    answers = [
        post("/_consent/events", content=large, headers={**text, **cross}),
        post("/_consent/events", content=b"{}", headers={**text, **cross}),
        post("/_consent/events", content=b"{}", headers={**told, **cross}),
        post("/_consent/events", content=b"{}", headers={**told, "sec-fetch-site": "same-site"}),
        post("/_consent/events", content=b'{"event":"a"}', headers={**told, "sec-fetch-site": "none"}),
    ]
    assert [one.status_code for one in answers] == [413, 415, 403, 403, 403]
    assert page.queued() == []


def test_a_beacon_with_a_blob_of_json_is_heard_by_its_origin_alone(page: Page) -> None:
    said = {"content-type": "application/json", "sec-fetch-site": "", "origin": "https://example.com"}
    answers = [
        page.browser.post("/_consent/events", content=b'{"event":"left"}', headers={**said, "origin": origin})
        for origin in ("https://example.com", "https://evil.example")
    ]
    assert [one.status_code for one in answers] == [202, 403]


MALFORMED = {
    "no JSON": (b"{", "the body is not JSON"),
    "NaN": (b'{"event":"a","props":{"n":NaN}}', "the body is not JSON"),
    "a text": (b'"a"', "the body must be a JSON object"),
    "no event": (b"{}", "the body: `event` must be a name of 1 to 200 characters"),
    "a number for a name": (b'{"event":1}', "the body: `event` must be text"),
    "a member that is none": (
        b'{"event":"a","prop":{}}',
        "the body: `prop` is not one of event, page_path, page_url, referrer_url, title, props",
    ),
    "half of a surrogate pair": (
        b'{"event":"a","\\ud800":1}',
        "the body: `?` is not one of event, page_path, page_url, referrer_url, title, props",
    ),
    "who the visitor is": (
        b'{"event":"identify","props":{"user_id":"u1"}}',
        "the body: who a visitor is can only be said by the site's server",
    ),
    "a list of properties": (b'{"event":"a","props":[]}', "the body: `props` must be an object"),
    "a property in a property": (
        b'{"event":"a","props":{"a":{}}}',
        "the body: each of `props` must be text, a number, true, false or null",
    ),
    "no path": (b'{"event":"a","page_path":"x"}', "the body: `page_path` must begin with a slash"),
    "another site": (
        b'{"event":"a","page_url":"https://evil.example/"}',
        "the body: `page_url` must be a page of this site",
    ),
    "the second of a list": (b'[{"event":"a"},{}]', "event 2: `event` must be a name of 1 to 200 characters"),
    "too many": (json.dumps([{"event": "a"}] * 21).encode(), "send at most 20 events at once"),
}


@pytest.mark.parametrize(("body", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_understood_is_told_and_nothing_of_it_is_kept(page: Page, body: bytes, sentence: str) -> None:
    answer = page.browser.post("/_consent/events", content=body, headers={"content-type": "application/json"})
    assert refused(answer) == (400, sentence)
    assert page.queued() == []


def test_one_address_cannot_fill_the_store(page: Page) -> None:
    answers = [page.report(*[{"event": "a"}] * 20) for _ in range(32)]
    assert {one.status_code for one in answers} == {202, 429}
    assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (429, "60")
    assert len(page.queued()) < 640
    assert page.browser.choose(all=False).status_code == 200


def test_without_a_store_a_page_is_told_unless_there_was_nothing_to_keep(tmp_path: Path) -> None:
    (tmp_path / "consent.db").mkdir()
    visitor = Page(tmp_path)
    answers = [
        visitor.report({"event": "a"}),
        visitor.report({"event": "a"}, sec_gpc="1", dnt="1"),
        visitor.pixel("?event=a"),
    ]
    berliner = Browser(visitor.middleware, BERLIN)
    denied = berliner.post("/_consent/events", json={"event": "a"})
    assert refused(answers[0]) == (503, "the events cannot be kept right now")
    assert (denied.status_code, denied.json()) == (202, {"accepted": 0})
    assert (answers[2].status_code, len(answers[2].content)) == (200, PIXEL)
    berliner.leave()
    visitor.browser.close()


# the pixel


def test_the_pixel_counts_and_is_an_image(page: Page) -> None:
    answer = page.pixel("?event=newsletter&page_path=/x&p.plan=pro&title=Hi&event=second")
    assert (answer.status_code, answer.headers["content-type"], len(answer.content)) == (200, "image/gif", PIXEL)
    assert (answer.headers["cache-control"], answer.content[:6]) == ("no-store", b"GIF89a")
    assert page.queued() == [
        {
            "kind": "track", "event": "newsletter", "country": "US", "page_path": "/x", "title": "Hi",
            "page_url": "https://example.com/x", "props.plan": "pro",
        }
    ]  # fmt: skip


UNCOUNTED: dict[str, tuple[str, dict[str, str]]] = {
    "no event": ("?page_path=/x", {}),
    "no query": ("", {}),
    "a path that is none": ("?event=a&page_path=x", {}),
    "too many parameters": ("?event=a" + "&x=1" * 300, {}),
    "another site": ("?event=a", {"sec_fetch_site": "cross-site", "referer": "https://example.com/"}),
    "a subdomain": ("?event=a", {"sec_fetch_site": "same-site"}),
    "the address bar": ("?event=a", {"sec_fetch_site": "none"}),
    "fetched ahead": ("?event=a", {"sec_purpose": "prefetch"}),
    "a bot": ("?event=a", {"user_agent": "Googlebot/2.1"}),
    "no yes where one is needed": ("?event=a", {"x_forwarded_for": BERLIN}),
}


@pytest.mark.parametrize(("query", "said"), UNCOUNTED.values(), ids=UNCOUNTED)
def test_the_pixel_is_an_image_where_nothing_is_counted(page: Page, query: str, said: dict[str, str]) -> None:
    answer = page.pixel(query, **said)
    assert (answer.status_code, answer.headers["content-type"], len(answer.content)) == (200, "image/gif", PIXEL)
    assert page.queued() == []


@pytest.mark.parametrize(
    ("referer", "counted"),
    [("https://example.com/a", 1), ("https://evil.example/a", 0), ("https://example.com.evil.example/", 0), ("", 0)],
)
def test_a_browser_without_fetch_metadata_is_believed_by_its_referer(page: Page, referer: str, counted: int) -> None:
    request = httpx.Request("GET", "https://example.com/_consent/p.gif?event=a")
    request.headers.update(page.browser._client.headers)
    if referer:
        request.headers["referer"] = referer
    answer = page.browser._run(page.browser._client.send(request))
    assert (answer.status_code, len(page.queued())) == (200, counted)


def test_a_head_of_the_pixel_counts_nothing(page: Page) -> None:
    page.browser._run(page.browser._client.head("/_consent/p.gif?event=a", headers={"sec-fetch-site": "same-origin"}))
    assert page.queued() == []


# behind the sidecar


def test_the_sidecar_delivers_what_a_page_reports(tmp_path: Path) -> None:
    with receiving() as vendor, an_origin() as origin:
        policy = POLICY + VENDOR.format(port=vendor.server_address[1])
        with serving(tmp_path, policy, origin.url) as url, httpx.Client(base_url=url, timeout=10) as client:
            client.headers["x-forwarded-for"] = NEW_YORK
            client.headers["sec-fetch-site"] = "same-origin"
            client.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
            client.get("/", headers={"sec-fetch-dest": "document"})
            answer = client.post("/_consent/events", json={"event": "signup", "props": {"plan": "pro"}})
            pixel = client.get("/_consent/p.gif?event=read&page_path=/x")
            told = [
                (one["data"]["event"], one["data"].get("page_path"), one["data"].get("props.plan"))
                for one in vendor.wait_for(3)
            ]
    assert (answer.status_code, answer.json(), len(pixel.content)) == (202, {"accepted": 1}, PIXEL)
    assert sorted(told, key=str) == [
        ("page_view", "/", None),
        ("read", "/x", None),
        ("signup", None, "pro"),
    ]
