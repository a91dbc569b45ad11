"""The upstream: the site behind the sidecar, and the connections to it.

Rule: the names that others use are these; what is in the files behind them is theirs alone.
"""

from consent_mw.world.upstream.connection import Connection, Listener
from consent_mw.world.upstream.place import Upstream, read_upstream
from consent_mw.world.upstream.pool import CONNECT_WITHIN, Pool

__all__ = ["CONNECT_WITHIN", "Connection", "Listener", "Pool", "Upstream", "read_upstream"]
