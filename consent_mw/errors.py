"""Every exception that consent_mw raises, and the Problem that a policy mistake is told with.

    ConsentError
    ├── PolicyError     operator: the policy file is unsound; carries every Problem at once
    ├── KeysError       operator: signing keys are missing or malformed
    ├── ServeError      operator: the sidecar cannot start (port taken, bad upstream, missing file)
    ├── SpoiltBodyError the site: a body that is being edited is damaged or not whole; its answer is broken off
    └── StoreError      disk: the store cannot take or give data now
        └── StoreFullError   disk: no room, or the outbox's bound is reached

Rule: a visitor's or a vendor's mistake is never an exception here; it is absence plus a Reason.
Rule: the class names whose fault it is, the message says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a Problem weighs: an error stops the policy from loading, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a policy file; lines and columns count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Label:
    """Another line that a Problem is about: where, and what stands there."""

    place: Place
    text: str
    length: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a policy file: where, a stable kebab-case code, a sentence, and how to mend it; `also` is the
    line that matters beside it, where there is one."""

    place: Place
    code: str
    message: str
    help: str = ""
    severity: Severity = Severity.ERROR
    length: int = 1
    also: Label | None = None

    def __str__(self) -> str:
        head = f"{self.place}: {self.severity}[{self.code}]: {self.message}"
        return f"{head}\n    = help: {self.help}" if self.help else head


class ConsentError(Exception):
    """The root of every exception that consent_mw raises."""


class PolicyError(ConsentError):
    """A policy file is unsound. `problems` holds every mistake, sorted by place; warnings included."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class KeysError(ConsentError):
    """Signing keys are missing, too short or unreadable."""


class ServeError(ConsentError):
    """The sidecar cannot start; the message is one sentence for the operator."""


class SpoiltBodyError(ConsentError):
    """A body that is being edited is damaged or not as long as it said; its answer must not end as if whole."""


class StoreError(ConsentError):
    """The store could not read or write; nothing half-done remains."""


class StoreFullError(StoreError):
    """The store has no room for more: a full disk, or the outbox's bound with overflow `reject-new`."""
