"""The report of one compilation: every Problem found so far.

Rule: a Problem is made here and nowhere else in the compiler, so its code is known to stand in CODES.
Rule: one place and one code make one Problem, however many rules stumble over it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from consent_mw.core.compiler.codes import CODES
from consent_mw.core.document import Entry, Node
from consent_mw.errors import Label, Place, Problem, Severity


class Report:
    """Collects Problems; `problems` gives them sorted by place."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[tuple[Place, str, str], Problem] = {}

    def error(
        self, at: Node | Entry | Place, code: str, message: str, advice: str = "", also: Label | None = None
    ) -> None:
        """Note a mistake that keeps the policy from loading."""
        self._note(at, code, message, advice, Severity.ERROR, also)

    def warning(
        self, at: Node | Entry | Place, code: str, message: str, advice: str = "", also: Label | None = None
    ) -> None:
        """Note something that is allowed and probably not meant."""
        self._note(at, code, message, advice, Severity.WARNING, also)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, by line, column and code."""
        return tuple(sorted(self._found.values(), key=lambda one: (one.place, one.code, one.message)))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(one.severity is Severity.ERROR for one in self._found.values())

    def _note(
        self,
        at: Node | Entry | Place,
        code: str,
        message: str,
        advice: str,
        severity: Severity,
        also: Label | None,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"code {code!r} is not documented")
        place, length = (at, 1) if isinstance(at, Place) else (at.place, at.length)
        self._found.setdefault((place, code, message), Problem(place, code, message, advice, severity, length, also))


def quoted(text: str) -> str:
    """Operator input as a message shows it: in backticks, on one line, and not endlessly long."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return f"`{shown}`" if len(shown) <= 80 else f"`{shown[:77]}...`"


def listed(names: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(quoted(name) for name in names)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be."""
    among = {one.lower(): one for one in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name[:100].lower(), list(among), n=1, cutoff=0.6)
    return among[found[0]] if found else None
