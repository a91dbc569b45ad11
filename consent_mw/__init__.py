"""consent_mw: a consent firewall for websites, as ASGI middleware or as a reverse-proxy sidecar."""

from consent_mw.asgi.middleware import ConsentMiddleware
from consent_mw.asgi.visit import Visit
from consent_mw.core.decision import Decision, Verdict, decide
from consent_mw.core.event import Event
from consent_mw.core.facts import Facts
from consent_mw.core.policy import Policy
from consent_mw.errors import ConsentError, KeysError, Place, PolicyError, Problem, ServeError, StoreError
from consent_mw.world.policy_file import load_policy

__all__ = [
    "ConsentError",
    "ConsentMiddleware",
    "Decision",
    "Event",
    "Facts",
    "KeysError",
    "Place",
    "Policy",
    "PolicyError",
    "Problem",
    "ServeError",
    "StoreError",
    "Verdict",
    "Visit",
    "decide",
    "load_policy",
]
