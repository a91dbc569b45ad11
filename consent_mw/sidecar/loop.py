"""The event loop that every process of the sidecar runs on."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

YIELDS_WITHIN: Final = 0.0005
"""Seconds after which a thread gives way to another one that waits. By Python's own 5 ms every request under way
would wait as long whenever the store's thread, or the access log's, has something to do."""


def new_runner() -> asyncio.Runner:
    """A runner on uvloop, where that is installed."""
    sys.setswitchinterval(YIELDS_WITHIN)
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
