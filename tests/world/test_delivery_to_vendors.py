"""Every kind of vendor is delivered to by the real delivery, over HTTP, as strict as its documentation says it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consent_mw.core.terms import VendorKind
from consent_mw.world.delivery import turn
from consent_mw.world.store import OutboxRow, Store, open_store
from tests.builders import a_vendor
from tests.wire.vendors.simulators import HANG, RESET, SLOW_DOWN, Fault, Reply, Rules, Simulator, serving
from tests.wire.vendors.simulators.amplitude import Amplitude
from tests.wire.vendors.simulators.ga4 import Ga4
from tests.wire.vendors.simulators.matomo import Matomo
from tests.wire.vendors.simulators.mixpanel import Mixpanel
from tests.wire.vendors.simulators.otlp import Otlp
from tests.wire.vendors.simulators.plausible import Plausible
from tests.wire.vendors.simulators.posthog import Posthog
from tests.wire.vendors.simulators.snowplow import Snowplow
from tests.world.test_delivery import Sending, a_row, run

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
THEN = 1_790_000_000


@dataclass(frozen=True)
class Setup:
    """How a vendor of one kind is reached, and whether it can tell the same event again."""

    rules: Callable[[], Rules]
    path: str
    kind: VendorKind
    key: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    dedupes: bool = True


SETUPS = {
    "ga4": Setup(Ga4, "/mp/collect", VendorKind.GA4, "s3cret", {"measurement_id": "G-1"}, dedupes=False),
    "posthog": Setup(Posthog, "/batch/", VendorKind.POSTHOG, "phc_1"),
    "posthog_newer": Setup(Posthog, "/i/v1/analytics/events", VendorKind.POSTHOG, "phc_1"),
    "matomo": Setup(Matomo, "/matomo.php", VendorKind.MATOMO, "", {"site_id": "7"}, dedupes=False),
    "matomo_trusted": Setup(
        lambda: Matomo("t0ken"), "/matomo.php", VendorKind.MATOMO, "t0ken", {"site_id": "7"}, dedupes=False
    ),
    "plausible": Setup(Plausible, "/api/event", VendorKind.PLAUSIBLE, "", {"domain": "site.example"}, dedupes=False),
    "mixpanel": Setup(Mixpanel, "/import", VendorKind.MIXPANEL, "token"),
    "amplitude": Setup(Amplitude, "/2/httpapi", VendorKind.AMPLITUDE, "key"),
    "snowplow": Setup(Snowplow, "/com.snowplowanalytics.snowplow/tp2", VendorKind.SNOWPLOW),
    "otlp": Setup(lambda: Otlp("key"), "/v1/logs", VendorKind.OTLP, "key", dedupes=False),
}
HEADERS = {"host", "accept", "content-length", "content-type", "user-agent", "authorization"} | {
    "x-forwarded-for", "sp-anonymous",
    "posthog-sdk-info", "posthog-attempt", "posthog-request-id", "posthog-request-timestamp",
}  # fmt: skip
"""All that a request to any vendor may say besides its body."""

FIELDS = {
    "time": THEN, "visitor_id": "ann", "page_path": "/a", "ip": "203.0.113.7", "user_agent": AGENT, "country": "DE",
    "region": "BE", "browser": "Firefox 126", "props.plan": "pro", "props.$ip": "10.0.0.1", "query.utm_source": "ad",
    "referrer_url": "https://r.example/",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'consent.db'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "LONGEST_TRY", 1.0)
    monkeypatch.setattr(turn, "FIRST_WAIT", 0.05)


@contextlib.contextmanager
def all_kinds(*faults: Fault, only: Mapping[str, Rules] | None = None) -> Iterator[dict[str, Simulator]]:
    with contextlib.ExitStack() as stack:
        chosen = only or {name: setup.rules() for name, setup in SETUPS.items()}
        yield {name: stack.enter_context(serving(rules, *faults)) for name, rules in chosen.items()}


def sending(store: Store, vendors: Mapping[str, Simulator], **more: Any) -> Sending:
    told = []
    for name, simulator in vendors.items():
        setup = SETUPS[name]
        made = {"kind": setup.kind, "key": setup.key, "options": setup.options, "fields": ("event", *FIELDS)}
        told.append(a_vendor(name, **{**made, "endpoint": simulator.url + setup.path, **more}))
    return Sending(store, *told)


def row(vendor: str, number: int, event: str, **fields: Any) -> OutboxRow:
    told = {"event": event, **FIELDS, "time": THEN + number, **fields}
    return a_row(f"{vendor}-{number}", told, vendor=vendor, event_id=f"{number:032x}", kind="track")


def each(vendors: Mapping[str, Simulator], what: object) -> dict[str, object]:
    return dict.fromkeys(vendors, what)


def names(simulator: Simulator) -> list[str]:
    return [one.partition("/")[0] for one in simulator.rules.taken]


def journey(store: Store, vendors: Mapping[str, Simulator], rows: list[OutboxRow], told: int, **more: Any) -> Any:
    """Deliver these rows, until each vendor's events came to this many ends; what became of them, by vendor."""
    found: dict[str, list[str]] = {}

    async def whole() -> None:
        async with sending(store, vendors, **more) as going:
            await going.queue(*rows)
            await going.until(lambda: all(len(going.told(name)) >= told for name in vendors), 12.0)
            found.update({name: sorted(going.told(name)) for name in vendors})

    run(whole)
    return found


def test_every_kind_takes_what_it_is_sent_and_nothing_else_is_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with all_kinds() as vendors:
        rows = [row(name, number, event) for name in vendors for number, event in enumerate(("one", "two", "three"))]
        found = journey(store, vendors, rows, 3)
        assert {name: one.complaints for name, one in vendors.items()} == each(vendors, [])
        assert found == each(vendors, ["accepted"] * 3)
        assert {name: names(one) for name, one in vendors.items()} == each(vendors, ["one", "two", "three"])
        for name, one in vendors.items():
            assert {header for request in one.received for header, _ in request.headers} <= HEADERS
            secret = SETUPS[name].key
            in_url = [request for request in one.received if secret and secret in str(request.query)]
            assert bool(in_url) == (name == "ga4")
            agents = {request.header("user-agent") for request in one.received}
            assert agents == ({AGENT} if name == "plausible" else {"consent_mw"})
        keys = {setup.key for setup in SETUPS.values() if len(setup.key) > 3}
        assert [text for text in (*keys, "203.0.113.7", AGENT, "api_secret") if text in caplog.text] == []


def test_every_kind_that_asks_for_time_gets_it_and_the_events_in_order(store: Store) -> None:
    with all_kinds(SLOW_DOWN) as vendors:
        rows = [row(name, number, event) for name in vendors for number, event in enumerate(("one", "two"))]
        found = journey(store, vendors, rows, 2)
        assert found == each(vendors, ["accepted"] * 2)
        assert {name: names(one) for name, one in vendors.items()} == each(vendors, ["one", "two"])


@pytest.mark.parametrize("fault", [HANG, RESET, Fault(reply=Reply(500), after=True)], ids=["hang", "reset", "500"])
def test_what_may_have_arrived_is_counted_once(store: Store, fault: Fault) -> None:
    with all_kinds(fault) as vendors:
        found = journey(store, vendors, [row(name, 1, "one") for name in vendors], 1)
        # OTLP says that a 500 is never tried again (its receivers answer 503 for what may be).
        otlp = {"otlp": "rejected"} if fault.reply.status == 500 else {}
        once = {name: "accepted" if SETUPS[name].dedupes else otlp.get(name, "unknown") for name in vendors}
        assert found == {name: [outcome] for name, outcome in once.items()}
        assert {name: names(one) for name, one in vendors.items()} == each(vendors, ["one"])
        sent = {name: len(one.received) for name, one in vendors.items()}
        assert sent == {name: 2 if SETUPS[name].dedupes else 1 for name in vendors}


def test_a_policy_may_prefer_a_duplicate(store: Store) -> None:
    only = {name: SETUPS[name].rules() for name in ("ga4", "matomo", "plausible")}
    with all_kinds(Fault(reply=Reply(500), after=True), only=only) as vendors:
        found = journey(store, vendors, [row(name, 1, "one") for name in vendors], 1, resend=True)
        assert found == each(vendors, ["accepted"])
        assert {name: names(one) for name, one in vendors.items()} == each(vendors, ["one", "one"])


def test_no_redirect_is_followed(store: Store) -> None:
    with all_kinds() as elsewhere, contextlib.ExitStack() as stack:
        target = elsewhere["ga4"].url
        moved = Fault(reply=Reply(307, headers=(("location", target + "/caught"),)))
        # A collector's redirect is tried again where it was, as Snowplow's own trackers do, until it is dead.
        vendors = {
            name: stack.enter_context(serving(setup.rules(), moved))
            for name, setup in SETUPS.items()
            if name != "snowplow"
        }
        found = journey(store, vendors, [row(name, 1, "one") for name in vendors], 1)
        assert found == each(vendors, ["rejected"])
        assert elsewhere["ga4"].received == []


PARTLY: dict[str, tuple[Callable[[], Rules], list[str], list[str]]] = {
    "mixpanel": (lambda: Mixpanel(bad="two"), ["accepted", "accepted", "rejected"], ["one", "three"]),
    "amplitude": (lambda: Amplitude(bad="two"), ["accepted", "accepted", "rejected"], ["one", "three"]),
    "posthog_newer": (
        lambda: Posthog(drop="two", retry="one"),
        ["accepted", "accepted", "dropped"],
        ["three", "one"],
    ),
    "matomo": (lambda: Matomo(bad="two"), ["unknown", "unknown", "unknown"], ["one", "three"]),
    "matomo_trusted": (lambda: Matomo("t0ken", bad="two"), ["accepted", "accepted", "rejected"], ["one", "three"]),
    "otlp": (lambda: Otlp("key", reject="two"), ["unknown", "unknown", "unknown"], ["one", "three"]),
    "plausible": (lambda: Plausible(drop="two"), ["accepted", "accepted", "dropped"], ["one", "three"]),
}


def test_what_is_taken_in_part_is_told_event_by_event_and_not_sent_again(store: Store) -> None:
    with all_kinds(only={name: rules() for name, (rules, _, _) in PARTLY.items()}) as vendors:
        rows = [row(name, number, event) for name in vendors for number, event in enumerate(("one", "two", "three"))]
        found = journey(store, vendors, rows, 3)
        assert found == {name: outcomes for name, (_, outcomes, _) in PARTLY.items()}
        assert {name: names(one) for name, one in vendors.items()} == {name: one[2] for name, one in PARTLY.items()}
        assert {name: one.complaints for name, one in vendors.items()} == each(vendors, [])


def test_a_batch_of_which_every_event_is_named_is_not_asked_about_again_in_halves(store: Store) -> None:
    with all_kinds(only={"mixpanel": Mixpanel(bad="two")}) as vendors:
        found = journey(store, vendors, [row("mixpanel", number, "two") for number in range(4)], 4)
        assert (found, len(vendors["mixpanel"].received)) == ({"mixpanel": ["rejected"] * 4}, 1)


def test_one_visitor_whose_events_are_too_many_delays_nobody_else(store: Store) -> None:
    busy = Fault(reply=Reply(429, b'{"code":429,"throttled_events":[0]}'))
    with all_kinds(busy, only={"amplitude": Amplitude()}) as vendors:
        rows = [row("amplitude", number, event) for number, event in enumerate(("one", "two"))]
        rows[0] = a_row("first", {"event": "one", **FIELDS}, vendor="amplitude", event_id="0" * 32, visitor="bob")
        assert journey(store, vendors, rows, 1) == {"amplitude": ["accepted"]}
        assert names(vendors["amplitude"]) == ["two"]


def test_a_batch_that_is_too_large_is_halved(store: Store) -> None:
    with all_kinds(only={"amplitude": Amplitude(limit=2)}) as vendors:
        rows = [row("amplitude", number, f"e{number}") for number in range(5)]
        assert journey(store, vendors, rows, 5) == {"amplitude": ["accepted"] * 5}
        assert names(vendors["amplitude"]) == [f"e{number}" for number in range(5)]


def test_a_batch_over_the_vendor_s_bytes_is_never_sent_whole(store: Store) -> None:
    with all_kinds(only={"snowplow": Snowplow()}) as vendors:
        long = {"page_path": "/" + "a" * 4000, "referrer_url": "https://r.example/" + "b" * 4000}
        rows = [row("snowplow", number, f"e{number}", **long) for number in range(40)]
        assert journey(store, vendors, rows, 40) == {"snowplow": ["accepted"] * 40}
        assert vendors["snowplow"].complaints == []
        assert len(vendors["snowplow"].received) > 1
