"""Verdicts compared: for each purpose the visitors whom another policy would answer otherwise.

Rule: every verdict there is is compared; a purpose that a policy does not define is denied by it.
Rule: what differs is told by the fewest conditions that describe it, wide ones first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from consent_mw.core.decision import Question, Verdict, judge
from consent_mw.core.difference.change import Change, Direction, Group
from consent_mw.core.policy import Jurisdiction, Policy
from consent_mw.core.terms import Answer
from consent_mw.errors import Place

Cell = tuple[Answer, bool, bool, bool]
"""One kind of visitor: what they answered, and whether DNT, GPC and minor."""

CONDITIONS = ("answer", "dnt", "gpc", "minor")
_SIGNS = (False, True)
_CELLS: tuple[Cell, ...] = tuple(product(Answer, _SIGNS, _SIGNS, _SIGNS))
_ANSWERS = {Answer.NONE: "none", Answer.YES: "yes", Answer.NO: "no"}

Conditions = tuple[Answer | None, bool | None, bool | None, bool | None]
"""A Cell with None for what does not matter."""

_ALL: tuple[Conditions, ...] = tuple(
    sorted(
        product((None, *Answer), (None, *_SIGNS), (None, *_SIGNS), (None, *_SIGNS)),
        key=lambda one: sum(each is not None for each in one),
    )
)


def verdicts(before: Policy, after: Policy, among: Sequence[Group]) -> Iterator[Change]:
    """What each purpose's verdicts become, for each group of regions; groups that change alike are told together."""
    names = dict.fromkeys(one.name for policy in (before, after) for one in policy.purposes)
    alike: dict[tuple[str, Conditions, str, str], tuple[Change, set[str]]] = {}
    for name, group in product(names, among):
        for change, conditions in _changes(name, before, after, group):
            key = (name, conditions, change.before, change.after)
            alike.setdefault(key, (change, set()))[1].update(group.regions)
    for change, regions in alike.values():
        yield Change(
            change.sort, change.name, change.before, change.after, change.direction,
            frozenset(regions), change.when, change.was, change.now,
        )  # fmt: skip


def _changes(name: str, before: Policy, after: Policy, group: Group) -> Iterator[tuple[Change, Conditions]]:
    was = {cell: _verdict(name, before, group.before, cell) for cell in _CELLS}
    now = {cell: _verdict(name, after, group.after, cell) for cell in _CELLS}
    for direction, allowed in ((Direction.LAXER, True), (Direction.STRICTER, False)):
        cells = {one for one in _CELLS if _allows(now[one]) is allowed and _allows(was[one]) is not allowed}
        for conditions, first in _described(cells):
            yield (
                Change(
                    "purpose", name, _told(was[first]), _told(now[first]), direction,
                    when=_words(conditions), was=_place(was[first]), now=_place(now[first]),
                ),
                conditions,
            )  # fmt: skip


def _verdict(name: str, policy: Policy, place: Jurisdiction, cell: Cell) -> Verdict | None:
    purpose = policy.purpose(name)
    return None if purpose is None else judge(Question(policy, purpose, place, *cell))


def _described(cells: set[Cell]) -> Iterator[tuple[Conditions, Cell]]:
    """The fewest conditions that together hold for these cells and for no other, each with a cell of its own."""
    left = set(cells)
    while left:
        covering = ((one, [cell for cell in _CELLS if _holds(one, cell)]) for one in _ALL)
        sound = [(one, covered) for one, covered in covering if cells.issuperset(covered)]
        best, covered = max(sound, key=lambda pair: len(left.intersection(pair[1])))
        yield best, next(one for one in covered if one in left)
        left.difference_update(covered)


def _holds(conditions: Conditions, cell: Cell) -> bool:
    return all(wanted is None or wanted == one for wanted, one in zip(conditions, cell, strict=True))


def _words(conditions: Conditions) -> Mapping[str, str]:
    answer, *signs = conditions
    told = {"answer": _ANSWERS[answer]} if answer is not None else {}
    names = zip(CONDITIONS[1:], signs, strict=True)
    return {**told, **{name: "true" if sign else "false" for name, sign in names if sign is not None}}


def _allows(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.allowed


def _told(verdict: Verdict | None) -> str:
    if verdict is None:
        return "denied (no such purpose)"
    return f"{'allowed' if verdict.allowed else 'denied'} ({verdict.reason.value})"


def _place(verdict: Verdict | None) -> Place | None:
    return verdict.place if verdict is not None else None
