"""The event loop that every process of the sidecar runs on."""

from __future__ import annotations

import asyncio


def new_runner() -> asyncio.Runner:
    """A runner on uvloop, where that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
