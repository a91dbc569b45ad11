"""Settings and clauses compared: what holds for everyone, and the text that the rules rest on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from consent_mw.core.difference.change import Change, Direction, by_amount, lasting
from consent_mw.core.policy import Policy
from consent_mw.core.terms import CspMode, Mode

_CSP = (CspMode.ENFORCE, CspMode.REPORT, CspMode.OFF)


def settings(before: Policy, after: Policy) -> Iterator[Change]:
    """Every setting outside the rules that differs."""
    for name, was, now, direction in [*_weighed(before, after), *_plain(before, after)]:
        if was != now:
            yield Change("setting", name, was, now, direction)


def clauses(before: Policy, after: Policy) -> Iterator[Change]:
    """Clauses that come, go or say something else."""
    known = [{one.id: one for one in policy.clauses} for policy in (before, after)]
    for name in dict.fromkeys([*known[0], *known[1]]):
        was, now = known[0].get(name), known[1].get(name)
        texts = [one.text if one is not None else "none" for one in (was, now)]
        if texts[0] != texts[1]:
            yield Change(
                "clause",
                name,
                texts[0],
                texts[1],
                Direction.NEITHER,
                was=was.place if was is not None else None,
                now=now.place if now is not None else None,
            )


def _weighed(before: Policy, after: Policy) -> Iterator[tuple[str, str, str, Direction]]:
    """Settings of which one value protects more than another."""
    was, now = before, after
    enforced = (was.mode is Mode.ENFORCE, now.mode is Mode.ENFORCE)
    yield "mode", was.mode.value, now.mode.value, by_amount(enforced[1], enforced[0])
    kept = (was.keep_unlisted, now.keep_unlisted)
    yield "dangerously_keep_unlisted", _flag(kept[0]), _flag(kept[1]), by_amount(*kept)
    yield (
        "scope.percent",
        str(was.scope.percent),
        str(now.scope.percent),
        by_amount(-was.scope.percent, -now.scope.percent),
    )
    yield (
        "scope.exclude",
        _list(was.scope.exclude),
        _list(now.scope.exclude),
        _more(was.scope.exclude, now.scope.exclude),
    )
    trusted = (was.client_address.trusted, now.client_address.trusted)
    yield "client_address.trusted", _list(trusted[0]), _list(trusted[1]), _more(*trusted)
    yield "urls.redact", _list(was.redact), _list(now.redact), _more(now.redact, was.redact)
    modes = (was.csp.mode, now.csp.mode)
    yield "csp.mode", modes[0].value, modes[1].value, by_amount(_CSP.index(modes[0]), _CSP.index(modes[1]))
    yield "csp.sources", _list(was.csp.sources), _list(now.csp.sources), _more(was.csp.sources, now.csp.sources)
    for name in ("receipts", "ledger", "dead_letters", "statistics"):
        kept_for = (getattr(was.retention, name), getattr(now.retention, name))
        yield f"retention.{name}", lasting(kept_for[0]), lasting(kept_for[1]), by_amount(*kept_for)


def _plain(before: Policy, after: Policy) -> Iterator[tuple[str, str, str, Direction]]:
    """Settings of which no value protects more than another."""
    read: list[tuple[str, Callable[[Policy], str]]] = [
        ("revision", lambda one: one.revision),
        ("site.name", lambda one: one.site.name),
        ("site.origin", lambda one: one.site.origin or "none"),
        ("site.policy_url", lambda one: one.site.policy_url),
        ("site.contact", lambda one: one.site.contact or "none"),
        ("site.prefix", lambda one: one.site.prefix),
        ("site.same_party", lambda one: _list(one.site.same_party)),
        ("site.cookie_domain", lambda one: one.site.cookie_domain or "none"),
        ("site.shared_pages", lambda one: _flag(one.site.shared_pages)),
        ("client_address.header", lambda one: one.client_address.header),
        ("geo.databases", lambda one: _list(one.geo.databases)),
        ("consent_mode", lambda one: _list([f"{name}={by}" for name, by in one.consent_mode.purposes.items()])),
        ("outbox.max_size", lambda one: str(one.outbox.max_size)),
        ("outbox.overflow", lambda one: one.outbox.overflow.value),
    ]
    for name, value in read:
        yield name, value(before), value(after), Direction.NEITHER


def _more(was: Collection[str], now: Collection[str]) -> Direction:
    """Of two lists of which the longer one is laxer; where each has something of its own, in doubt laxer."""
    if set(now) - set(was):
        return Direction.LAXER
    return Direction.STRICTER if set(was) - set(now) else Direction.NEITHER


def _list(items: Collection[str]) -> str:
    return ", ".join(items) or "none"


def _flag(value: bool) -> str:
    return "true" if value else "false"
