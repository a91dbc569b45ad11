"""Watch: tells that files changed, however they were changed.

Rule: files are looked at, not subscribed to: a handful of `stat` calls cost nothing, and see a rename, a write in
place, a swapped symlink (as Kubernetes does) and a change on a network file system, which no subscription does.
Rule: a change is told once the files have come to rest, so that a file half written is not read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable

LOOKS_EVERY = 0.5
"""Seconds between two looks; a change is told at the second one that sees the same."""

Look = tuple[tuple[str, int, int, int, int], ...]


class Watch:
    """Looks at the files that `files` names at the time, and calls `changed` when they are others than `seen` says:
    what could be seen of them before they were last read, whether or not that went well."""

    def __init__(
        self, files: Callable[[], Iterable[str]], seen: Callable[[], Look], changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._files = files
        self._seen = seen
        self._changed = changed

    async def run(self, every: float = LOOKS_EVERY) -> None:
        """Look until cancelled."""
        before: Look = ()
        while True:
            # In a thread: a file system that hangs must not hold the requests.
            now = await asyncio.to_thread(look, self._files())
            if now == before and now != self._seen():
                await self._changed()
            before = now
            await asyncio.sleep(every)


def look(files: Iterable[str]) -> Look:
    """What can be seen of these files from outside; one that is not there is zeros."""
    return tuple((file, *_seen(file)) for file in sorted(set(files)))


def _seen(file: str) -> tuple[int, int, int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116  through symlinks, as whoever opens it
    except (OSError, ValueError):
        return 0, 0, 0, 0
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
