"""Metrics: what the sidecar counts, as Prometheus reads it, and its access log.

Rule: counting is adding to a plain int; names and labels are made when somebody asks.
Rule: no address, header value or query is counted or logged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from threading import Thread

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LINES_KEPT = 10_000
CLOSES_WITHIN = 1.0
"""Lines of the access log that wait at most; seconds for them at the end."""


class Meters:
    """The sidecar's counters. `answered` is by the first digit of the status; 0 is a request given up."""

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0
        self.upstream_failed = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.lines_lost = 0
        self.answered = [0] * 10


class _Reading(Collector):
    def __init__(self, meters: Meters, counts: Callable[[], Mapping[str, int]], open_now: Callable[[], int]) -> None:
        self._meters = meters
        self._counts = counts
        self._open_now = open_now

    def collect(self) -> Iterable[Metric]:
        meters = self._meters
        totals = [
            ("requests", "Requests that were well-formed.", meters.requests),
            ("requests_refused", "Requests that were refused and not forwarded.", meters.refused),
            ("upstream_failures", "Requests that the upstream did not answer in full.", meters.upstream_failed),
            ("request_body_bytes", "Bytes of request bodies.", meters.bytes_in),
            ("response_body_bytes", "Bytes of response bodies.", meters.bytes_out),
            ("log_lines_lost", "Lines of the access log that nobody took.", meters.lines_lost),
        ]
        for name, text, value in totals:
            yield CounterMetricFamily(f"consent_mw_{name}", text, value=value)
        answers = CounterMetricFamily("consent_mw_responses", "Responses by class.", labels=["class"])
        for digit, number in enumerate(meters.answered):
            if number:
                answers.add_metric([f"{digit}xx" if digit else "given-up"], number)
        yield answers
        things = CounterMetricFamily("consent_mw_things", "What the gate counts.", labels=["what", "vendor"])
        for key, number in sorted(self._counts().items()):
            what, _, vendor = key.partition(":")
            things.add_metric([what, vendor], number)
        yield things
        yield GaugeMetricFamily("consent_mw_connections", "Open connections of browsers.", value=self._open_now())


def exposition(meters: Meters, counts: Callable[[], Mapping[str, int]], open_now: Callable[[], int]) -> bytes:
    """The counters in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(meters, counts, open_now))
    return generate_latest(registry)


class AccessLog:
    """One JSON line per request to a file descriptor, or nothing where there is none."""

    def __init__(self, descriptor: int | None, meters: Meters) -> None:
        self._meters = meters
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._writer: Thread | None = None
        if descriptor is not None:
            # A pipe that nobody reads blocks whoever writes: a thread of its own, never the requests.
            self._writer = Thread(target=self._write_lines, args=(descriptor,), name="access-log", daemon=True)
            self._writer.start()

    def write(
        self, *, method: bytes, target: bytes, status: int, seconds: float, sent: int, jurisdiction: str
    ) -> None:
        """Log one request. `target`'s query is not written. A log that cannot be written stops no request."""
        if self._writer is None:
            return
        if self._lines.qsize() >= LINES_KEPT:
            self._meters.lines_lost += 1
            return
        line = {
            "method": method.decode("latin-1"),
            "path": target.partition(b"?")[0].decode("latin-1"),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes": sent,
            "jurisdiction": jurisdiction,
        }
        self._lines.put(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Write what waits; a pipe that nobody reads is given a second."""
        if self._writer is not None:
            self._lines.put(None)
            self._writer.join(CLOSES_WITHIN)

    def _write_lines(self, descriptor: int) -> None:
        while (line := self._lines.get()) is not None:
            try:
                while line:
                    line = line[os.write(descriptor, line) :]
            except OSError:
                return
