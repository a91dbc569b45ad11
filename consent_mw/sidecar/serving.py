"""Serving: the sidecar's life, from the command line to the last answer.

Rule: whatever is wrong is said before the first request is taken; later a reload that fails changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consent_mw.asgi.gate import Gate, vendor_key
from consent_mw.core.policy import Policy
from consent_mw.errors import KeysError, PolicyError, ServeError
from consent_mw.sidecar.admin import Admin
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.token import Keyring, parse_keys
from consent_mw.world.policy_file import load_policy
from consent_mw.world.upstream import read_upstream


@dataclass(frozen=True, slots=True)
class Options:
    """What `serve` was told. `drain` is in seconds; an empty `admin` opens no admin port."""

    policy: str
    upstream: str
    listen: str = "127.0.0.1:8080"
    uds: str = ""
    admin: str = ""
    store: str = "sqlite:///consent.db"
    keys_file: str = ""
    drain: float = 30.0
    access_log: bool = True


class Serving:
    """One sidecar. Raises PolicyError, KeysError, ServeError and StoreError before it takes a request."""

    def __init__(self, options: Options) -> None:
        self._options = options
        policy = load_policy(options.policy)
        _require_vendor_keys(policy)
        self.gate = Gate(policy, read_keys(options.keys_file), options.store)
        self.plane = Plane(self.gate, read_upstream(options.upstream), access_log=options.access_log)
        self._admin: Admin | None = None
        self._reloading = asyncio.Lock()

    async def run(self, announce: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT; `announce` gets the line that says where."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(self._reload_aloud()))
        await self.gate.start(strict=True)
        try:
            announce(await self._listen())
            await stopping.wait()
        finally:
            await self.plane.drain(self._options.drain)
            await self.gate.stop(min(self._options.drain, 10.0))
            if self._admin is not None:
                self._admin.close()

    async def reload(self) -> str:
        """Put the policy file in force anew. Returns why not, or nothing."""
        async with self._reloading:
            try:
                policy = await asyncio.to_thread(load_policy, self._options.policy)
                _require_vendor_keys(policy)
                self.gate.adopt(policy)
            except (PolicyError, ServeError, OSError) as error:
                return str(error)
            return ""

    def readiness(self) -> dict[str, object]:
        """What must be there before traffic is; True, or what is missing."""
        problems = self.gate.locator.problems
        return {
            "policy": True,
            "databases": True if not problems else list(problems),
            "keys": True,
            "store": True if self.gate.healthy else "failing",
            "serving": True if not self.plane.draining else "draining",
        }

    def policy_in_force(self) -> dict[str, object]:
        """Which policy is in force."""
        policy = self.gate.policy
        return {
            "file": policy.file,
            "revision": policy.revision,
            "digest": policy.digest,
            "mode": policy.mode.value,
            "bypass": self.gate.bypassed,
        }

    def counters(self) -> dict[str, int]:
        """Everything counted so far."""
        return {**self.gate.counts, **self.plane.counts}

    def gauges(self) -> dict[str, float]:
        """What is under way."""
        return {
            "connections": float(len(self.plane.clients)),
            "draining": float(self.plane.draining),
            "bypass": float(self.gate.bypassed),
            "store_healthy": float(self.gate.healthy),
        }

    async def _listen(self) -> str:
        options = self._options
        host, port = _address(options.listen, "--listen")
        where = await self.plane.listen(host, port, options.uds)
        line = f"consent-mw: listening on {where}, upstream {self.plane.pool.upstream}"
        if not options.admin:
            return line
        self._admin = Admin(self, os.environ.get("CONSENT_MW_ADMIN_TOKEN", ""))
        return f"{line}, admin {await self._admin.listen(*_address(options.admin, '--admin'))}"

    async def _reload_aloud(self) -> None:
        problem = await self.reload()
        said = f"not reloaded, the old policy stays in force:\n{problem}" if problem else "reloaded"
        sys.stderr.write(f"consent-mw: {said}\n")


def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Serve until told to stop, on uvloop where it is there."""
    with contextlib.suppress(ImportError):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options, announce))
        return
    asyncio.run(_serve(options, announce))


def read_keys(file: str) -> Keyring:
    """The keys of this file, or of CONSENT_MW_KEYS where none is named. Raises KeysError."""
    if file:
        try:
            return parse_keys(Path(file).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise KeysError(f"the keys file `{file}` cannot be read: {error}") from error
    text = os.environ.get("CONSENT_MW_KEYS", "")
    if not text:
        raise KeysError("no keys: set CONSENT_MW_KEYS or pass --keys-file (`consent-mw keys new` makes one)")
    return parse_keys(text)


def check(options: Options) -> None:
    """Raise what would keep this sidecar from starting, without listening or opening the store."""
    policy = load_policy(options.policy)
    _require_vendor_keys(policy)
    read_keys(options.keys_file)
    read_upstream(options.upstream)
    _address(options.listen, "--listen")
    if options.admin:
        _address(options.admin, "--admin")


async def _serve(options: Options, announce: Callable[[str], None]) -> None:
    await Serving(options).run(announce)


def _require_vendor_keys(policy: Policy) -> None:
    for vendor in policy.vendors:
        if vendor.key and not vendor_key(vendor.key):
            name = vendor.key.removeprefix("env:")
            raise ServeError(f"vendor `{vendor.name}` takes its key from `{name}`, which is not set")


def _address(text: str, flag: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ServeError(f"{flag} `{text}` is not of the form HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)
