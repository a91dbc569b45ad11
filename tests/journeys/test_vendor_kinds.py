"""One visit, told to a vendor of every kind: each takes it, and gets nothing but what the policy gives it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from consent_mw import Event
from tests.journeys.site import BERLIN, FIREFOX, NEW_YORK, POLICY, Browser, Site, mounted
from tests.wire.vendors.simulators import Simulator, serving
from tests.wire.vendors.simulators.amplitude import Amplitude
from tests.wire.vendors.simulators.ga4 import Ga4
from tests.wire.vendors.simulators.matomo import Matomo
from tests.wire.vendors.simulators.mixpanel import Mixpanel
from tests.wire.vendors.simulators.otlp import Otlp
from tests.wire.vendors.simulators.plausible import Plausible
from tests.wire.vendors.simulators.posthog import Posthog
from tests.wire.vendors.simulators.snowplow import Snowplow

KINDS: dict[str, tuple[Any, str, str]] = {
    "ga4": (Ga4, "/mp/collect", 'key = "s3cret"\nmeasurement_id = "G-1"'),
    "posthog": (Posthog, "/batch/", 'key = "phc_1"'),
    "matomo": (Matomo, "/matomo.php", "site_id = 7"),
    "plausible": (Plausible, "/api/event", 'domain = "example.com"'),
    "mixpanel": (Mixpanel, "/import", 'key = "token"'),
    "amplitude": (Amplitude, "/2/httpapi", 'key = "key"'),
    "snowplow": (Snowplow, "/com.snowplowanalytics.snowplow/tp2", 'app_id = "shop"'),
    "otlp": (Otlp, "/v1/logs", 'service_name = "shop"'),
}
VENDOR = """
[vendor.{kind}]
kind = "{kind}"
purpose = "analytics"
endpoint = "{url}{path}"
fields = {fields}
fields_in.eea_uk = []
{more}
"""
FIELDS = ["event", "time", "visitor_id", "user_id", "page_url", "title", "props.plan"]
NEEDED = {"plausible": ["event", "page_url", "props.plan", "ip", "user_agent"]}

VIEWS = {
    "ga4": "page_view",
    "posthog": "$pageview",
    "matomo": "https://example.com/a",
    "plausible": "pageview",
    "snowplow": "pv",
}
IDENTIFIED = {"posthog": "$identify", "amplitude": "$identify"}


@contextlib.contextmanager
def vendors() -> Iterator[dict[str, Simulator]]:
    with contextlib.ExitStack() as stack:
        yield {kind: stack.enter_context(serving(rules())) for kind, (rules, _, _) in KINDS.items()}


def policy(simulators: dict[str, Simulator]) -> str:
    told = [
        VENDOR.format(
            kind=kind,
            url=simulators[kind].url,
            path=path,
            more=more,
            fields=str(NEEDED.get(kind, FIELDS)).replace("'", '"'),
        )
        for kind, (_, path, more) in KINDS.items()
    ]
    return POLICY + "".join(told)


def wait_for(simulators: dict[str, Simulator], number: int) -> None:
    deadline = time.monotonic() + 8
    while any(len(one.rules.taken) + len(one.complaints) < number for one in simulators.values()):
        assert time.monotonic() < deadline, {name: one.rules.taken for name, one in simulators.items()}
        time.sleep(0.02)


def everything(simulator: Simulator) -> str:
    parts = [f"{one.path}{one.query}{one.headers}{unquote_plus(one.body.decode())}" for one in simulator.received]
    return "\n".join(parts)


def test_a_visit_is_told_to_every_kind_and_no_more_of_it_than_is_given(tmp_path: Path) -> None:
    site = Site()

    def speak(visit: Any) -> None:
        visit.identify(user_id="u-42", name="Ann Lee", email="ann@example.com")
        visit.emit(Event("signup", {"plan": "zq-gold", "secret": "zq-secret-qz"}))

    site.on_visit = speak
    with vendors() as simulators:
        visitor = Browser(mounted(site, tmp_path, policy(simulators)), NEW_YORK)
        visitor.get("/a?token=zq-token-qz")
        wait_for(simulators, 3)
        visitor.close()
        assert {kind: one.complaints for kind, one in simulators.items()} == {kind: [] for kind in KINDS}
        for kind, one in simulators.items():
            taken = [told if kind == "matomo" else told.partition("/")[0] for told in one.rules.taken]
            assert taken == [IDENTIFIED.get(kind, "identify"), VIEWS.get(kind, "page_view"), "signup"]
            sent = everything(one)
            withheld = ["Ann", "ann@example.com", "zq-secret-qz", "zq-token-qz"]
            withheld += ["u-42"] if kind == "plausible" else [NEW_YORK, FIREFOX]
            assert [text for text in withheld if text in sent] == []
            # Neither has a place for a property of this name.
            assert ("zq-gold" in sent) == (kind not in ("matomo", "snowplow"))


def test_a_berliner_is_told_to_nobody(tmp_path: Path) -> None:
    with vendors() as simulators:
        middleware = mounted(Site(), tmp_path, policy(simulators))
        berliner = Browser(middleware, BERLIN)
        berliner.choose(all=True)
        berliner.get("/")
        berliner.close()
        assert {kind: one.received for kind, one in simulators.items()} == {kind: [] for kind in KINDS}
