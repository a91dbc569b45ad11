"""`replay`: what a policy would have decided for recorded traffic, and what another one would change.

Rule: logs are read as a stream; visits are counted by what a decision takes, and nothing of a single one is kept.
Rule: exit 0 fine; 1 where `--against` changes a visit; 2 where a log cannot be read or holds no line of a log.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import BinaryIO

import click

from consent_mw.asgi.jar import fill
from consent_mw.asgi.ruleset import Route, Ruleset
from consent_mw.asgi.tokens import Tokens
from consent_mw.cli.explain import locator_of, policy_of
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.policy import DAY, Policy
from consent_mw.core.replay import Changed, Sort, Tally, compare, tally
from consent_mw.core.whereabouts import Location
from consent_mw.wire.address import client_address
from consent_mw.wire.cookies import pieces_named
from consent_mw.wire.log_line import LONGEST_LINE, LogLine, read_log_line
from consent_mw.wire.signals import read_dnt, read_gpc
from consent_mw.wire.token import parse_keys
from consent_mw.world.policy_file import open_stream

TOLD_EVERY = 50_000
"""Lines after which progress is told on a terminal."""

PLACES_KEPT = 65_536
COUNTRIES_TOLD = 10


@dataclass(slots=True)
class Count:
    """What was read: visits by sort, and how many lines were not visits under the policy. `unread` are the first
    lines that could not be read, as FILE:LINE."""

    visits: Counter[Sort] = field(default_factory=Counter)
    lines: int = 0
    excluded: int = 0
    unreadable: int = 0
    unread: list[str] = field(default_factory=list)


@click.command("replay")
@click.option("--policy", "file", required=True, help="The policy file, or a built-in profile's name.")
@click.option("--against", help="Another policy: tell which visits it would decide otherwise.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
def command(file: str, against: str | None, form: str, logs: tuple[str, ...]) -> int:
    """Decide the visits of access LOGs (Common, Combined or JSON lines; .gz; - is the input) by a policy."""
    policy = policy_of(file)
    other = policy_of(against) if against is not None else None
    count = Count()
    reader = Reader(policy, count)
    for log in logs:
        reader.read(log)
    if not count.visits and count.unreadable == count.lines:
        fault = "holds no line of an access log that is known here" if count.lines else "is empty"
        raise click.ClickException(f"{', '.join(logs)} {fault}")
    now = int(time.time())
    told = tally(count.visits, policy, now)
    changed = compare(count.visits, policy, other, now) if other is not None else (0, ())
    if form == "json":
        click.echo(json.dumps(_values(count, policy, told, other, changed), indent=2))
    else:
        click.echo("\n".join(_lines(count, policy, told, other, changed)))
    return int(bool(changed[0]))


class Reader:
    """Counts the visits of logs under a policy."""

    def __init__(self, policy: Policy, count: Count) -> None:
        rules = Ruleset(policy)
        self._count = count
        self._rules = rules
        self._tokens = _tokens()
        self._locator = locator_of(policy)
        self._place = lru_cache(PLACES_KEPT)(self._look_up)
        self._plain = lru_cache(PLACES_KEPT)(partial(self._sort, headers=()))

    def read(self, log: str) -> None:
        """Count the visits of this log. Raises OSError where it cannot be read."""
        with opened(log) as stream:
            for number, line in enumerate(lines_of(stream), 1):
                self._count.lines += 1
                self._take(line, log, number)
                if not number % TOLD_EVERY:
                    _progress(f"{log}: {number:,} lines")
        _progress("")

    def _take(self, line: bytes, log: str, number: int) -> None:
        count = self._count
        read = read_log_line(line)
        if read is None:
            count.unreadable += 1
            if len(count.unread) < 3:
                count.unread.append(f"{log}:{number}")
            return
        if self._rules.route(read.target.partition(b"?")[0]) is not Route.FORWARD:
            count.excluded += 1
            return
        telling = tuple(one for one in read.headers if one[0] != b"user-agent")
        if read.country or read.jurisdiction or telling:
            count.visits[self._told(read)] += 1
        else:
            count.visits[self._plain(read.address)] += 1

    def _told(self, read: LogLine) -> Sort:
        """The sort of a visit of which the log tells more than the address."""
        sort = self._sort(read.address, headers=read.headers)
        locations, readable = sort.locations, sort.readable
        if read.country:
            locations, readable = (Location(read.country, read.region),), True
        named = "" if read.address or read.country else read.jurisdiction
        consent = self._consent(read.headers)
        return Sort(
            locations,
            readable,
            named,
            read_dnt([value for name, value in read.headers if name == b"dnt"]),
            read_gpc([value for name, value in read.headers if name == b"sec-gpc"]),
            tuple(sorted(consent.answers.items())),
            consent.at // DAY,
            consent.revision,
            consent.minor,
        )

    def _sort(self, address: str, *, headers: Sequence[tuple[bytes, bytes]]) -> Sort:
        client = client_address(headers, address, self._rules.trust)
        return Sort(self._place(str(client.address or "")), client.readable and client.address is not None)

    def _look_up(self, address: str) -> tuple[Location, ...]:
        found = client_address((), address, self._rules.trust).address if address else None
        # A city would tell more visits apart than any decision does.
        return tuple(Location(one.country, one.region) for one in self._locator.locate(found))

    def _consent(self, headers: Sequence[tuple[bytes, bytes]]) -> Consent:
        joined = b"; ".join(value for name, value in headers if name == b"cookie")
        if self._tokens is None or not pieces_named(joined, self._rules.own_names):
            return NO_CONSENT
        return fill(joined, self._rules, self._tokens, 0.0).consent


def _tokens() -> Tokens | None:
    keys = os.environ.get("CONSENT_MW_KEYS", "")
    return Tokens(parse_keys(keys)) if keys else None


@contextmanager
def opened(log: str) -> Iterator[BinaryIO | gzip.GzipFile]:
    """The bytes of this file, of a compressed one what it holds, and of `-` the input's."""
    if log == "-":
        yield sys.stdin.buffer
        return
    try:
        raw = open_stream(log)
    except (OSError, ValueError) as error:
        raise _unreadable(log, error) from None
    with raw:
        try:
            yield gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(log, error) from None


def _unreadable(log: str, error: Exception) -> click.ClickException:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return click.ClickException(f"{log.replace(chr(0), chr(0xFFFD))} cannot be read: {reason}")


def lines_of(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """Lines, each cut at the longest that is read; what is beyond is skipped, so that no file needs memory."""
    while line := stream.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


Changes = tuple[int, tuple[Changed, ...]]


def _lines(count: Count, policy: Policy, told: Tally, other: Policy | None, changed: Changes) -> Iterator[str]:
    visits = f"{_number(told.visits, 'visit')} in {_number(count.lines, 'line')}"
    yield f"{policy.file}, revision {policy.revision}: {visits}"
    if count.excluded:
        yield f"    {_number(count.excluded, 'request')} {_are(count.excluded)} not under the policy"
    if count.unreadable:
        where = f"{'the first ' * (count.unreadable > 1)}at {', '.join(count.unread)}"
        yield f"    {_number(count.unreadable, 'line')} could not be read, {where}"
    if told.lost:
        lost = f"{_number(told.lost, 'visit')} {_are(told.lost)}"
        yield f"    {lost} from a jurisdiction that the policy does not define"
    yield ""
    yield from _counted("jurisdiction", told.jurisdictions)
    yield from _counted("country", told.countries)
    for purpose in policy.purposes:
        for (name, allowed, reason), number in told.purposes.most_common():
            if name == purpose.name:
                verdict = f"{'allowed' if allowed else 'denied'} ({reason})"
                yield f"purpose {name}: {verdict}: {_share(number, told.visits)}"
    for vendor, number in told.vendors.items():
        yield f"vendor {vendor} gets something of {_share(number, told.visits)}"
    yield from _counted("banner", told.banners)
    if other is None:
        return
    yield ""
    yield f"against {other.file}, revision {other.revision}: {changed[0]:,} of {told.visits:,} visits change"
    for one in changed[1]:
        yield f"    {one.what}: {one.before} -> {one.after}: {one.visits:,} ({_few(one)})"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _counted(what: str, counter: Counter[str]) -> Iterator[str]:
    found = counter.most_common(COUNTRIES_TOLD)
    rest = counter.total() - sum(number for _, number in found)
    told = [f"{name} {number:,}" for name, number in found] + ([f"others {rest:,}"] if rest else [])
    yield f"{what}: {', '.join(told) or 'none'}"


def _few(one: Changed) -> str:
    listed = list(one.countries.items())
    told = [f"{country} {number:,}" for country, number in listed[:COUNTRIES_TOLD]]
    return ", ".join([*told, "others"] if len(listed) > COUNTRIES_TOLD else told)


def _share(number: int, of: int) -> str:
    return f"{number:,} ({100 * number / of:.1f} %)" if of else "0"


def _values(count: Count, policy: Policy, told: Tally, other: Policy | None, changed: Changes) -> dict[str, object]:
    values: dict[str, object] = {
        "policy": {"file": policy.file, "revision": policy.revision},
        "lines": count.lines,
        "visits": told.visits,
        "excluded": count.excluded,
        "unreadable": count.unreadable,
        "undefined": told.lost,
        "jurisdictions": dict(told.jurisdictions.most_common()),
        "countries": dict(told.countries.most_common()),
        "purposes": {
            purpose.name: [
                {"allowed": allowed, "reason": reason, "visits": number}
                for (name, allowed, reason), number in told.purposes.most_common()
                if name == purpose.name
            ]
            for purpose in policy.purposes
        },
        "vendors": dict(told.vendors),
        "banners": dict(told.banners),
    }
    if other is not None:
        values["against"] = {
            "file": other.file,
            "revision": other.revision,
            "changed": changed[0],
            "changes": [
                {
                    "what": one.what,
                    "before": one.before,
                    "after": one.after,
                    "visits": one.visits,
                    "countries": dict(one.countries),
                }
                for one in changed[1]
            ],
        }
    return values
