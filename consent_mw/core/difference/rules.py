"""Rules about cookies, vendors and features compared.

Rule: a cookie is compared by which rule names it, so that a wildcard which now covers it counts.
Rule: a vendor is compared by the fields it may get in each group of regions; where data goes is told as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from consent_mw.core.difference.change import Change, Direction, Group, by_amount, lasting
from consent_mw.core.permit import listed_field
from consent_mw.core.policy import CookieRule, Feature, IdentifierRule, Policy, SignalRule, Vendor
from consent_mw.core.terms import STRINGS, Effect, SameSite
from consent_mw.errors import Place

_FLOORS = (None, *SameSite)
_DROPPED = "dropped"
_KEPT = "kept (no rule names it)"


def cookies_and_identifier(before: Policy, after: Policy) -> Iterator[Change]:
    """What becomes of each cookie that either policy names, and of our own identifier."""
    patterns = dict.fromkeys(one.pattern for policy in (before, after) for one in policy.cookies)
    for pattern in patterns:
        # A name that only the wildcard covers: no exact rule can name it.
        name = f"{pattern[:-1]}\uffff" if pattern.endswith("*") else pattern
        was, now = before.cookie_rule(name), after.cookie_rule(name)
        fate, other = _fate(was, before), _fate(now, after)
        if fate != other:
            direction = _by_purpose(was, now, before, after)
            yield Change("cookie", pattern, fate, other, direction, was=_place(was), now=_place(now))
        if was is not None and now is not None:
            yield from _bounds(pattern, was, now)
    yield from _identifier(before.identifier, after.identifier)


def vendors(before: Policy, after: Policy, among: Sequence[Group]) -> Iterator[Change]:
    """Which vendors come and go, what each may get where, and what is told about them."""
    names = dict.fromkeys(one.name for policy in (before, after) for one in policy.vendors)
    for name in names:
        was, now = before.vendor(name), after.vendor(name)
        yield from _presence("vendor", name, was, now)
        yield from _fields(name, was, now, among)
        if was is not None and now is not None:
            yield from _described(name, was, now)


def features(before: Policy, after: Policy, among: Sequence[Group]) -> Iterator[Change]:
    """Where a feature may be offered, and on which purpose it rests."""
    known = [{one.name: one for one in policy.features} for policy in (before, after)]
    for name in dict.fromkeys([*known[0], *known[1]]):
        was, now = known[0].get(name), known[1].get(name)
        yield from _presence("feature", name, was, now)
        if was is None or now is None:
            continue
        if was.purpose != now.purpose:
            yield Change("feature", name, was.purpose, now.purpose, Direction.NEITHER, was=was.place, now=now.place)
        yield from _offered(name, was, now, among)


def strings(before: Policy, after: Policy) -> Iterator[Change]:
    """What the strings of consent platforms refuse, and in which cookie they come."""
    for signal in STRINGS:
        was, now = before.signals.get(signal), after.signals.get(signal)
        if was is not None and now is not None and was.cookie != now.cookie:
            told = (f"{signal.value} cookie", was.cookie, now.cookie)
            yield Change("signal", *told, Direction.NEITHER, was=was.everywhere.place, now=now.everywhere.place)
        for purpose in sorted({*(was.refuses if was else ()), *(now.refuses if now else ())}):
            had, has = _refused_by(was, purpose), _refused_by(now, purpose)
            if had != has:
                direction = Direction.LAXER if set(had) - set(has) else Direction.STRICTER
                name = f"{signal.value} refuses {purpose} by"
                yield Change(
                    "signal", name, ", ".join(had) or "nothing", ", ".join(has) or "nothing", direction,
                    was=was.everywhere.place if was else None, now=now.everywhere.place if now else None,
                )  # fmt: skip


def _refused_by(rule: SignalRule | None, purpose: str) -> tuple[str, ...]:
    if rule is None or rule.everywhere.effect is Effect.IGNORE:
        return ()
    return tuple(sorted(rule.refuses.get(purpose, ())))


def _fate(rule: CookieRule | None, policy: Policy) -> str:
    if rule is not None:
        return f"purpose {rule.purpose}"
    return _KEPT if policy.keep_unlisted else _DROPPED


def _by_purpose(was: CookieRule | None, now: CookieRule | None, before: Policy, after: Policy) -> Direction:
    """Dropped, then kept where its purpose is allowed, then kept always."""

    def rank(rule: CookieRule | None, policy: Policy) -> int:
        if rule is None:
            return 2 if policy.keep_unlisted else 0
        purpose = policy.purpose(rule.purpose)
        return 2 if purpose is not None and purpose.essential else 1

    return by_amount(rank(was, before), rank(now, after))


def _bounds(pattern: str, was: CookieRule, now: CookieRule) -> Iterator[Change]:
    longest = float("inf")
    bounds: list[tuple[str, str, str, Direction]] = [
        (
            f"{pattern} lasts",
            lasting(was.lasts),
            lasting(now.lasts),
            by_amount(longest if was.lasts is None else was.lasts, longest if now.lasts is None else now.lasts),
        ),
        (f"{pattern} secure", str(was.secure).lower(), str(now.secure).lower(), by_amount(now.secure, was.secure)),
        (
            f"{pattern} same_site",
            was.same_site or "as set",
            now.same_site or "as set",
            by_amount(_FLOORS.index(now.same_site), _FLOORS.index(was.same_site)),
        ),
    ]
    for name, before, after, direction in bounds:
        if before != after:
            yield Change("cookie", name, before, after, direction, was=was.place, now=now.place)


def _identifier(was: IdentifierRule | None, now: IdentifierRule | None) -> Iterator[Change]:
    if was is None or now is None:
        one = was or now
        yield from _presence("identifier", one.cookie if one is not None else "", was, now)
        return
    if was.lasts != now.lasts:
        direction = by_amount(was.lasts, now.lasts)
        yield Change(
            "identifier", "lasts", lasting(was.lasts), lasting(now.lasts), direction, was=was.place, now=now.place
        )
    for name, before, after in (("cookie", was.cookie, now.cookie), ("purpose", was.purpose, now.purpose)):
        if before != after:
            yield Change("identifier", name, before, after, Direction.NEITHER, was=was.place, now=now.place)


def _fields(name: str, was: Vendor | None, now: Vendor | None, among: Sequence[Group]) -> Iterator[Change]:
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], set[str]] = {}
    for group in among:
        had = was.fields_for(group.before.name) if was is not None else ()
        has = now.fields_for(group.after.name) if now is not None else ()
        if set(had) != set(has):
            gone = tuple(one for one in had if not listed_field(one, has))
            come = tuple(one for one in has if not listed_field(one, had))
            alike.setdefault((gone, come), set()).update(group.regions)
    for (gone, come), regions in alike.items():
        for fields, direction in ((come, Direction.LAXER), (gone, Direction.STRICTER)):
            if fields:
                listed = ", ".join(fields)
                told = ("withheld", listed) if direction is Direction.LAXER else (listed, "withheld")
                yield Change("fields", name, *told, direction, frozenset(regions), was=_place(was), now=_place(now))


def _described(name: str, was: Vendor, now: Vendor) -> Iterator[Change]:
    read: list[tuple[str, Callable[[Vendor], str]]] = [
        ("kind", lambda one: one.kind.value),
        ("purpose", lambda one: one.purpose),
        ("endpoint", lambda one: one.endpoint),
        ("country", lambda one: one.country or "not said"),
        ("transfer_basis", lambda one: one.transfer_basis or "not said"),
        ("hosts", lambda one: ", ".join(one.hosts) or "none"),
        ("resend", lambda one: str(one.resend).lower()),
        ("options", lambda one: ", ".join(f"{key}={value}" for key, value in sorted(one.options.items())) or "none"),
    ]
    for what, value in read:
        if value(was) != value(now):
            told = (f"{name} {what}", value(was), value(now))
            yield Change("vendor", *told, Direction.NEITHER, was=was.place, now=now.place)


def _offered(name: str, was: Feature, now: Feature, among: Sequence[Group]) -> Iterator[Change]:
    for direction in (Direction.LAXER, Direction.STRICTER):
        laxer = direction is Direction.LAXER
        regions = {
            region
            for group in among
            if (group.before.name in was.denied_in) is laxer and (group.after.name in now.denied_in) is not laxer
            for region in group.regions
        }
        if regions:
            told = ("not offered", "offered") if laxer else ("offered", "not offered")
            yield Change("feature", name, *told, direction, frozenset(regions), was=was.place, now=now.place)


_Placed = CookieRule | IdentifierRule | Vendor | Feature


def _presence(sort: str, name: str, was: _Placed | None, now: _Placed | None) -> Iterator[Change]:
    if was is None and now is not None:
        yield Change(sort, name, "none", "there is one", Direction.LAXER, now=now.place)
    if was is not None and now is None:
        yield Change(sort, name, "there is one", "none", Direction.STRICTER, was=was.place)


def _place(rule: _Placed | None) -> Place | None:
    return rule.place if rule is not None else None
