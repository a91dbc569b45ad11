"""From a visit to a vendor's socket: what leaves, what does not, and what is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consent_mw import Event
from tests.journeys.site import BERLIN, NEW_YORK, POLICY, VENDOR, Browser, Receiver, Site, mounted, receiving


def policy_for(receiver: Receiver) -> str:
    return POLICY + VENDOR.format(port=receiver.server_address[1])


def data(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event["data"].items() if name not in ("time", "visitor_id")}


def test_a_page_view_leaves_with_the_permitted_fields_only(tmp_path: Path) -> None:
    with receiving() as receiver:
        visitor = Browser(mounted(Site(), tmp_path, policy_for(receiver)), NEW_YORK)
        visitor.get("/pricing?email=a@b.example#x")
        events = receiver.wait_for(1)
        visitor.close()
    assert [data(one) for one in events] == [
        {"event": "page_view", "page_path": "/pricing", "ip": NEW_YORK, "country": "US"}
    ]
    assert set(events[0]["data"]) == {"event", "time", "visitor_id", "page_path", "ip", "country"}


def test_nothing_leaves_for_a_berliner_before_a_yes(tmp_path: Path) -> None:
    with receiving() as receiver:
        berliner = Browser(mounted(Site(), tmp_path, policy_for(receiver)), BERLIN)
        berliner.get("/")
        berliner.choose(all=True)
        berliner.get("/after")
        events = receiver.wait_for(1)
        berliner.close()
    assert [data(one) for one in events] == [{"event": "page_view", "page_path": "/after", "country": "DE"}]


def test_what_the_app_says_rides_with_its_answer(tmp_path: Path) -> None:
    site = Site()
    site.status = 303
    site.headers = [
        (b"consent-identify", b'user_id="u1", name="Ann", email="ann@example.com"'),
        (b"consent-event", b'signup;plan="pro";secret="x"'),
    ]
    with receiving() as receiver:
        visitor = Browser(mounted(site, tmp_path, policy_for(receiver)), NEW_YORK)
        answer = visitor.get("/login")
        events = receiver.wait_for(2)
        visitor.close()
    assert not [name for name in answer.headers if name.startswith("consent-")]
    who = {"page_path": "/login", "ip": NEW_YORK, "country": "US"}
    who |= {"user_id": "u1", "name": "Ann", "email": "ann@example.com"}
    assert [data(one) for one in events] == [
        {"event": "identify", **who},
        {"event": "signup", "props.plan": "pro", **who},
    ]


def test_a_mounted_app_says_the_same_through_its_visit(tmp_path: Path) -> None:
    site = Site()

    def speak(visit: Any) -> None:
        visit.identify(user_id="u2")
        visit.emit(Event("upgrade", {"plan": "team"}))

    site.on_visit = speak
    with receiving() as receiver:
        visitor = Browser(mounted(site, tmp_path, policy_for(receiver)), NEW_YORK)
        visitor.get("/")
        events = receiver.wait_for(3)
        visitor.close()
    assert [(one["data"]["event"], one["data"]["user_id"]) for one in events] == [
        ("identify", "u2"),
        ("page_view", "u2"),
        ("upgrade", "u2"),
    ]


def test_a_no_takes_back_what_waits_before_it_is_on_record(tmp_path: Path) -> None:
    middleware = mounted(Site(), tmp_path)
    visitor = Browser(middleware, NEW_YORK)
    visitor.get("/")
    store = middleware.gate.store
    assert store is not None
    asked: list[str] = []

    def watched(name: str) -> Any:
        call = getattr(store, name)

        def asking(*values: Any, **named: Any) -> Any:
            asked.append(name)
            return call(*values, **named)

        return asking

    for name in ("recall", "add_receipt"):
        setattr(store, name, watched(name))
    visitor.choose(purposes={"analytics": True})
    visitor.choose(purposes={"analytics": False})
    visitor.close()
    # A crash between the two leaves no record of a no beside what it should have taken back.
    assert asked == ["add_receipt", "recall", "add_receipt", "recall"]


def test_a_withdrawal_recalls_what_a_dead_vendor_never_took(tmp_path: Path) -> None:
    with receiving() as receiver:
        policy = policy_for(receiver)
    site = Site()
    middleware = mounted(site, tmp_path, policy)
    visitor = Browser(middleware, NEW_YORK)
    visitor.get("/")
    visitor.get("/again")
    visitor.post("/_consent/withdraw", json={})
    store = middleware.gate.store
    assert store is not None
    assert store.pending("insights").result(5) == 0
    visitor.close()
