"""The Visit: what a mounted app sees of the person before it, and may say of them.

Rule: saying is remembered here and done when the response starts; nothing leaves from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_mw.core.decision import Decision
from consent_mw.core.event import Event


@dataclass(slots=True)
class Identity:
    """Who the app says this is. Empty means not said."""

    user_id: str = ""
    name: str = ""
    email: str = ""


class Visit:
    """One request's decision, and what the app says about its visitor (`scope["consent_mw"]`).

    What is said before the response starts goes with that response; what is said later is not heard.
    """

    # Most apps say nothing, and a visit of which nothing is said holds nothing of these.
    spoke = False
    """Whether the app said anything that must be acted on."""
    events: tuple[Event, ...] = ()
    identity: Identity | None = None
    minor_declared = False
    erased = False

    def __init__(self, decision: Decision, visitor: str = "") -> None:
        self.decision = decision
        self.visitor = visitor

    def allows(self, purpose: str) -> bool:
        """Whether the purpose of this name is allowed for this visitor now."""
        return self.decision.allows(purpose)

    def feature(self, name: str) -> bool:
        """Whether the feature of this name is offered to this visitor; one the policy does not define never is."""
        return self.decision.features.get(name, False)

    def identify(self, *, user_id: str = "", name: str = "", email: str = "") -> None:
        """Say who this visitor is. Makes an `identify` event; name and email only ride in the queue."""
        for label, value in (("user_id", user_id), ("name", name), ("email", email)):
            if not isinstance(value, str):
                raise TypeError(f"{label} must be a str, not {type(value).__name__}")
        self.identity = Identity(user_id, name, email)
        self.spoke = True

    def emit(self, event: Event) -> None:
        """Report something that happened; each vendor gets only what its permit lets leave."""
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {type(event).__name__}")
        if not event.name:
            raise ValueError("event must have a name")
        self.events += (event,)
        self.spoke = True

    def declare_minor(self) -> None:
        """Say that this visitor is a minor: everything optional is denied, what is queued is recalled."""
        self.minor_declared = self.spoke = True

    def erase(self) -> None:
        """Erase what is stored about this visitor, and recall what is queued."""
        self.erased = self.spoke = True
