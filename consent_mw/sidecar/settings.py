"""Settings: how to serve, as the command line says it.

Rule: plain values only, so that a worker can be handed them; secrets are read elsewhere (see configuration).
"""

from __future__ import annotations

from dataclasses import dataclass

from consent_mw.world.upstream import Upstream

WARNS = 0.1
LONGEST_WARNING = 5.0
"""The part of a drain (and the seconds at most) in which requests are still taken although readiness has failed; as
much is kept back at its end for the outbox."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `listen` and `admin` are host and port; `uds` a path that takes `listen`'s place; `drain` is
    in seconds; keys come from `keys_file`, or from CONSENT_MW_KEYS where it is empty; `tls_cert` and `tls_key` are
    files, both or none; `balancers` are the networks whose connections begin with a header of the PROXY protocol;
    where sockets were `handed` over, they stay open after us."""

    policy: str
    upstream: Upstream
    store: str
    keys_file: str = ""
    listen: tuple[str, int] = ("127.0.0.1", 8080)
    uds: str = ""
    admin: tuple[str, int] | None = None
    admin_token: str = ""
    workers: int = 1
    drain: float = 30.0
    access_log: bool = True
    watch: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    balancers: tuple[str, ...] = ()
    handed: bool = False

    @property
    def warning(self) -> float:
        """Seconds between failing readiness and taking no more connections; as many are kept for the outbox."""
        return min(self.drain * WARNS, LONGEST_WARNING)
