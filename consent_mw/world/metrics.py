"""Metrics: what the sidecar counts, and how Prometheus reads it.

Rule: counting is adding to a plain number; names and labels are made when somebody asks.
Rule: no address, header value or query is counted.
Rule: a total never falls, also where it is the sum over several processes and one of them was replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from consent_mw.core.redaction import KINDS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds."""

Totals = Mapping[str, float]
"""What only grows, by a fixed name; `name:vendor` where it is counted by vendor."""


class Meters:
    """The sidecar's counters. `answered` is by the first digit of the status; 0 is a request given up. `buckets` and
    `seconds` are of how long requests took."""

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0
        self.upstream_failed = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.answered = [0] * 10
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def note(self, status: int, seconds: float, sent: int) -> None:
        """Note one request that is over: how it was answered, how long it took, the bytes of its body."""
        self.answered[status // 100] += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.bytes_out += sent

    def totals(self) -> dict[str, float]:
        """Everything counted, flat."""
        return {
            "request": self.requests,
            "request_refused": self.refused,
            "upstream_failure": self.upstream_failed,
            "byte_in": self.bytes_in,
            "byte_out": self.bytes_out,
            "second": self.seconds,
            **{f"answered.{digit}": number for digit, number in enumerate(self.answered)},
            **{f"took.{index}": number for index, number in enumerate(self.buckets)},
        }


FAMILIES: Mapping[str, tuple[str, str]] = {
    "request": ("requests", "Requests that were well-formed."),
    "request_refused": (
        "requests_refused",
        "Requests that were refused as malformed or ambiguous, and not forwarded.",
    ),
    "upstream_failure": ("upstream_failures", "Requests that the upstream did not answer in full."),
    "byte_in": ("request_body_bytes", "Bytes of request bodies."),
    "byte_out": ("response_body_bytes", "Bytes of response bodies."),
    "log_line_lost": ("access_log_lines_lost", "Lines of the access log that nobody took."),
    "cookie_dropped": ("requests_filtered", "Requests that lost at least one cookie on the way to the site."),
    "set_cookie_dropped": ("set_cookies_dropped", "Set-Cookie lines of the site that were dropped."),
    "would_drop_cookie": ("cookies_would_drop", "Cookies that enforcing would have dropped (report mode)."),
    "would_drop_set_cookie": ("set_cookies_would_drop", "Set-Cookie lines that enforcing would have dropped."),
    "page_not_editable": ("pages_not_editable", "Pages that could not be edited: no banner, nothing gated."),
    "csp_unbound": (
        "csp_unbound_pages",
        "Pages whose own Content-Security-Policy lets a denied vendor's hosts pass (a wildcard, scheme, nonce, gap).",
    ),
    "store_failed": ("store_failures", "Things that the store could not take or give."),
    "event_lost": ("events_lost", "Reports that could not be stored, so that they will not be delivered."),
    "inventory_lost": (
        "inventory_lost",
        "Counts of report mode that are missing in the inventory: no store took them.",
    ),
    "view_lost": ("views_lost", "Page views that are missing in the statistics: no store took them in time."),
    "outbox_dropped": ("outbox_dropped", "Events that were given up to make room for newer ones."),
    "worker_restart": ("worker_restarts", "Workers that ended and were replaced."),
}
"""Counters without a label: what they are counted by, their family (without `consent_mw_`, `_total`), the help."""

LABELLED: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "event": ("events", "Events by vendor and what became of them.", ("vendor", "outcome")),
    "masked": ("masked", "What looked like personal data in what a vendor gets, and was masked.", ("kind",)),
    "csp_violation": (
        "csp_violations",
        "What pages tried to call although their Content-Security-Policy denies it, by vendor and its purpose.",
        ("vendor", "purpose"),
    ),
    "choice": ("choices", "Answers that visitors gave, by the status they came to.", ("status",)),
    "response": ("responses", "Responses by class of status; `given-up` had none.", ("class",)),
    "reload": ("reloads", "Reloads of policy, databases, keys and certificates.", ("result",)),
}

WORDS: Mapping[str, tuple[str, ...]] = {
    "reload": ("done", "failed"),
    "choice": ("given", "refused", "partial"),
    "masked": KINDS,
}
"""Values of a label that are known beforehand, so that a total is there before it first counts."""

_WORDED = tuple(f"{one}_" for one in WORDS)

GAUGES: Mapping[str, tuple[str, str]] = {
    "connections": ("connections", "Open connections of browsers."),
    "workers": ("workers", "Workers that take requests."),
    "ready": ("ready", "Whether requests should be sent here (1) or not (0)."),
    "bypassed": ("bypassed", "Whether the kill switch is on."),
    "store_healthy": ("store_healthy", "Whether the store takes what it is given."),
}

DURATION = ("request_duration_seconds", "Seconds from the head of a request to the end of its answer.")
POLICY = ("policy", "The policy in force.")
ENTRIES = ("ledger_entries", "The number of the ledger's last entry; they are numbered from 1.")
HEAD = ("ledger_head", "The ledger's head, as `consent-mw ledger verify --head` takes it.")


def exposition(totals: Totals, now: Totals, policy: Mapping[str, str], head: str = "") -> bytes:
    """The totals, what holds now, the policy in force and the ledger's head (`NUMBER:CODE`), in Prometheus' text
    format."""
    # Imported here: only the process that answers the admin port needs it.
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Reading(Collector):
        def collect(self) -> Iterable[Metric]:
            return [*_metrics(totals, now, policy), *_ledger(head)]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Reading())
    return generate_latest(registry)


def _metrics(totals: Totals, now: Totals, policy: Mapping[str, str]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    for key, (name, text) in FAMILIES.items():
        yield CounterMetricFamily(f"consent_mw_{name}", text, value=totals.get(key, 0))
    for key, (name, text, labels) in LABELLED.items():
        family = CounterMetricFamily(f"consent_mw_{name}", text, labels=labels)
        for values, number in sorted(_labelled(key, totals)):
            family.add_metric(values, number)
        yield family
    for name, found in sorted(_others(totals).items()):
        family = CounterMetricFamily(f"consent_mw_{name}", f"What is counted as {name}.", labels=["vendor"])
        for vendor, number in sorted(found.items()):
            family.add_metric([vendor], number)
        yield family
    yield _durations(totals)
    for key, (name, text) in GAUGES.items():
        yield GaugeMetricFamily(f"consent_mw_{name}", text, value=now.get(key, 0))
    yield InfoMetricFamily(f"consent_mw_{POLICY[0]}", POLICY[1], value=dict(policy))


def _ledger(head: str) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    if head:
        number = head.partition(":")[0]
        yield GaugeMetricFamily(f"consent_mw_{ENTRIES[0]}", ENTRIES[1], value=int(number))
        yield InfoMetricFamily(f"consent_mw_{HEAD[0]}", HEAD[1], value={"head": head})


def _labelled(key: str, totals: Totals) -> Iterable[tuple[tuple[str, ...], float]]:
    """The labels and numbers of this family, out of the names that they are counted by."""
    if key == "response":
        for digit in range(10):
            number = totals.get(f"answered.{digit}", 0)
            if digit < 6 or number:
                yield (f"{digit}xx" if digit else "given-up",), number
        return
    if key in WORDS:
        words = WORDS[key]
        yield from (((word,), totals.get(f"{key}_{word}", 0)) for word in words)
        return
    for name, number in totals.items():
        what, _, vendor = name.partition(":")
        if key == "csp_violation":
            if what == key:
                yield tuple(vendor.split(":")), number
        elif what.startswith("event_") and vendor:
            yield (vendor, what.removeprefix("event_")), number


def _others(totals: Totals) -> dict[str, dict[str, float]]:
    """What is counted under a name that has no family of its own yet: by name, then by vendor."""
    others: dict[str, dict[str, float]] = {}
    for name, number in totals.items():
        what, _, vendor = name.partition(":")
        known = what in FAMILIES or what in LABELLED or what == "second" or what.startswith(_WORDED)
        if not known and what.isidentifier() and not (what.startswith("event_") and vendor):
            others.setdefault(what, {})[vendor] = number
    return others


def _durations(totals: Totals) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"consent_mw_{DURATION[0]}", DURATION[1])
    buckets: list[tuple[str, float]] = []
    number = 0.0
    for index, bound in enumerate((*map(str, BOUNDS), "+Inf")):
        number += totals.get(f"took.{index}", 0)
        buckets.append((bound, number))
    family.add_metric([], buckets=buckets, sum_value=totals.get("second", 0.0))
    return family
