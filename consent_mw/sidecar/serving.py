"""Serving: the sidecar from its settings to its last answer.

Rule: what cannot work is told before the port is open.
Rule: on SIGTERM readiness fails first, then nothing new is taken, then what is under way ends or is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from consent_mw.asgi.gate import Gate, vendor_key
from consent_mw.core.policy import Policy
from consent_mw.errors import PolicyError, ServeError, StoreError
from consent_mw.sidecar.admin import Admin
from consent_mw.sidecar.downstream import Client
from consent_mw.sidecar.plane import Plane
from consent_mw.wire.token import Keyring
from consent_mw.world.certificates import Certificates
from consent_mw.world.metrics import AccessLog, Meters
from consent_mw.world.policy_file import load_policy
from consent_mw.world.store import open_store
from consent_mw.world.upstream import Pool, Upstream

BACKLOG = 1024
SHAKEN_WITHIN = 10.0
"""Seconds for a handshake of TLS."""
SWEPT_EVERY = 1.0
"""Seconds between looks at the deadlines."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve. `listen` and `admin` are host and port; `uds` a path that takes `listen`'s place; `drain` is
    in seconds."""

    policy: str
    upstream: Upstream
    keyring: Keyring
    store: str
    listen: tuple[str, int] = ("127.0.0.1", 8080)
    uds: str = ""
    admin: tuple[str, int] | None = None
    admin_token: str = ""
    drain: float = 30.0
    access_log: bool = True
    tls_cert: str = ""
    tls_key: str = ""


def prepare(settings: Settings) -> Gate:
    """The gate for these settings. Raises PolicyError, ServeError or StoreError for whatever cannot work."""
    policy = load_policy(settings.policy)
    _require_vendor_keys(policy)
    if settings.admin is not None and not settings.admin_token and not _loopback(settings.admin[0]):
        raise ServeError("--admin off loopback needs a token in CONSENT_MW_ADMIN_TOKEN")
    _certificates(settings)
    gate = Gate(policy, settings.keyring, settings.store)
    if gate.locator.problems:
        raise ServeError(gate.locator.problems[0])
    try:
        open_store(settings.store).close()
    except (StoreError, OSError) as error:
        raise ServeError(f"--store `{settings.store}` cannot be used: {error}") from None
    return gate


def _require_vendor_keys(policy: Policy) -> None:
    for vendor in policy.vendors:
        if vendor.key.startswith("env:") and not vendor_key(vendor.key):
            name = vendor.key.removeprefix("env:")
            raise ServeError(
                f"vendor `{vendor.name}` needs its key in the environment variable {name}, which is unset"
            )


def _certificates(settings: Settings) -> Certificates | None:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ServeError("--tls-cert and --tls-key are needed together")
    return Certificates(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


async def serve(settings: Settings, gate: Gate, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises ServeError when a port cannot be taken."""
    loop = asyncio.get_running_loop()
    meters = Meters()
    log = AccessLog(sys.stderr.fileno() if settings.access_log else None, meters)
    plane = Plane(gate, Pool(settings.upstream), meters, log)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    certificates = _certificates(settings)
    reloading = asyncio.Lock()
    reloads: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        async with reloading:
            policy = await asyncio.to_thread(load_policy, settings.policy)
            _require_vendor_keys(policy)
            if certificates is not None:
                await asyncio.to_thread(certificates.reload)
            gate.adopt(policy)

    def hang_up() -> None:
        task = loop.create_task(_reload_aloud(reload))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    admin = Admin(plane, reload, settings.admin_token)
    servers: list[asyncio.Server] = []
    sweeping: asyncio.Task[None] | None = None
    await gate.start(strict=True)
    try:
        front = await _listen(plane, settings, certificates)
        servers.append(front)
        where = _where(front, settings.uds, secure=certificates is not None)
        told = f"consent-mw: listening on {where}, upstream {settings.upstream}"
        if settings.admin is not None:
            host, port = settings.admin
            behind = await _opened(asyncio.start_server(admin.serve, host, port), "--admin", f"{host}:{port}")
            servers.append(behind)
            told += f", admin {_where(behind, '')}"
        sweeping = loop.create_task(_sweep(plane))
        announce(told)
        await stop.wait()
        plane.drain()
        front.close()
        await _drained(plane, settings.drain)
    finally:
        if sweeping is not None:
            sweeping.cancel()
        for server in servers:
            server.close()
        for connection in list(plane.connections):
            connection.abort()
        plane.pool.close()
        await gate.stop(min(settings.drain, 5.0))
        await asyncio.to_thread(log.close)
        if settings.uds and servers:
            with contextlib.suppress(OSError):
                os.unlink(settings.uds)  # noqa: PTH108  one call, already off the request path


async def _listen(plane: Plane, settings: Settings, certificates: Certificates | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    tls: dict[str, Any] = {}
    if certificates is not None:
        tls = {"ssl": certificates.context, "ssl_handshake_timeout": SHAKEN_WITHIN, "ssl_shutdown_timeout": 5.0}

    def make() -> Client:
        return Client(plane)

    if settings.uds:
        return await _opened(
            loop.create_unix_server(make, settings.uds, backlog=BACKLOG, **tls), "--uds", settings.uds
        )
    host, port = settings.listen
    return await _opened(loop.create_server(make, host, port, backlog=BACKLOG, **tls), "--listen", f"{host}:{port}")


async def _opened(opening: object, option: str, where: str) -> asyncio.Server:
    try:
        server: asyncio.Server = await opening  # type: ignore[misc]  # either of asyncio's three ways to open one
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ServeError(f"{option} {where} cannot be opened: {reason}") from None
    return server


def _where(server: asyncio.Server, uds: str, *, secure: bool = False) -> str:
    if uds:
        return f"unix:{uds}"
    host, port = server.sockets[0].getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def _sweep(plane: Plane) -> None:
    while True:
        await asyncio.sleep(SWEPT_EVERY)
        plane.sweep()


async def _reload_aloud(reload: Callable[[], Awaitable[None]]) -> None:
    """Reload because of a signal: there is nobody to answer but the log."""
    try:
        await reload()
        said = "reloaded"
    except (PolicyError, ServeError, OSError) as error:
        said = f"not reloaded, the old policy stays in force:\n{error}"
    sys.stderr.write(f"consent-mw: {said}\n")


async def _drained(plane: Plane, seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while plane.connections and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  once in a life
        await asyncio.sleep(0.05)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
