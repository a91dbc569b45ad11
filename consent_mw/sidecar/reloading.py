"""Reloading: policy, databases, keys and certificates anew, because of a signal, the admin port or a changed file.

Rule: everything is verified before anything is in force; on any error all that was in force stays.
Rule: one reload at a time; each is counted, and told to whoever asked for it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from consent_mw.errors import PolicyError, ServeError
from consent_mw.sidecar.configuration import Configuration, configure
from consent_mw.sidecar.crew import Crew
from consent_mw.sidecar.settings import Settings
from consent_mw.world.systemd import Notifier
from consent_mw.world.watch import look


class Reloading:
    """Reloads for this crew. `configuration` is what is in force; `seen` is what could be seen of its files before
    they were last read; `done` and `failed` count."""

    def __init__(self, settings: Settings, configuration: Configuration, crew: Crew, notifier: Notifier) -> None:
        self.configuration = configuration
        self.seen = configuration.seen
        self.done = 0
        self.failed = 0
        self._settings = settings
        self._crew = crew
        self._notifier = notifier
        self._one = asyncio.Lock()
        self._faulty: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """What is served, for systemd."""
        return f"serving under revision {self.configuration.policy.revision}"

    def files(self) -> list[str]:
        """Every file whose change asks for a reload."""
        return [*self.configuration.files(self._settings), *self._faulty]

    async def reload(self) -> None:
        """Reload. Raises ConsentError or OSError, and changes nothing, where something is not sound."""
        async with self._one:
            self._notifier.reloading()
            self.seen = await asyncio.to_thread(look, self.files())
            try:
                configuration = await asyncio.to_thread(_read_again, self._settings)
                await self._crew.adopt(configuration)
            except BaseException as error:
                self.failed += 1
                self._look_also_at(error)
                raise
            else:
                self.configuration = configuration
                self._faulty = ()
                self.seen = configuration.seen
                self.done += 1
            finally:
                self._notifier.ready(self.status)

    def _look_also_at(self, error: BaseException) -> None:
        """A file that was read in vain may be one that only the refused policy names; mending it is a change."""
        told = {one.place.file for one in error.problems} if isinstance(error, PolicyError) else set()
        self._faulty = tuple(sorted(told - set(self.configuration.files(self._settings))))
        self.seen = tuple(sorted({*self.seen, *look(self._faulty)}))

    async def reload_aloud(self) -> None:
        """Reload where there is nobody to answer but the log."""
        try:
            await self.reload()
            said = f"reloaded, revision {self.configuration.policy.revision} is in force"
        except Exception as error:  # noqa: BLE001  whatever it was, nothing has changed, and the next one may do
            said = f"not reloaded, what was in force stays so:\n{error}"
        sys.stderr.write(f"consent-mw: {said}\n")
        sys.stderr.flush()


def _read_again(settings: Settings) -> Configuration:
    if Path(settings.policy).is_fifo():
        # Opening it would wait for a writer that may never come.
        raise ServeError(f"the policy `{settings.policy}` came through a pipe, so that it cannot be read again")
    return configure(settings)
