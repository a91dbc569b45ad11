"""Metrics in Prometheus' text format, read from plain counters when somebody asks.

Rule: a label is a fixed word or a vendor's name from the policy file; nothing that a visitor sends ever is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Counts = Mapping[str, int]


class Metrics:
    """What `/metrics` prints: counters by name (`name` or `name:vendor`), and gauges."""

    def __init__(self, counters: Callable[[], Counts], gauges: Callable[[], Mapping[str, float]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Reader(counters, gauges))

    def text(self) -> bytes:
        """The exposition as of now."""
        return generate_latest(self._registry)


class _Reader(Collector):
    def __init__(self, counters: Callable[[], Counts], gauges: Callable[[], Mapping[str, float]]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for key, value in sorted(self._counters().items()):
            name, _, vendor = key.partition(":")
            labels = ["vendor"] if vendor else []
            family = families.get(name)
            if family is None:
                family = CounterMetricFamily(f"consent_mw_{name}", name.replace("_", " "), labels=labels)
                families[name] = family
            family.add_metric([vendor] if vendor else [], value)
        yield from families.values()
        for name, level in self._gauges().items():
            yield GaugeMetricFamily(f"consent_mw_{name}", name.replace("_", " "), value=level)
