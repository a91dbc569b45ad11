"""Where the site is: the URL of `--upstream`, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from consent_mw.errors import ServeError

_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?")


@dataclass(frozen=True)
class Upstream:
    """Where the site is. Made by `read_upstream`."""

    host: str
    port: int
    uds: str = ""
    secure: bool = False

    @cached_property
    def authority(self) -> bytes:
        """The Host for a request that named none (HTTP/1.0)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.uds else f"{host}:{self.port}").encode("ascii")

    def __str__(self) -> str:
        return f"unix:{self.uds}" if self.uds else f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


def read_upstream(url: str) -> Upstream:
    """The upstream at `http://host[:port]`, `https://host[:port]` or `unix:/path`. Raises ServeError."""
    if url.startswith("unix:") and url.removeprefix("unix:").removeprefix("//"):
        return Upstream("localhost", 0, uds=url.removeprefix("unix:").removeprefix("//"))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not host or port == 0 or more or not _HOST.fullmatch(host):
        raise ServeError(
            f"--upstream `{url}` is not of the form http://host[:port], https://host[:port] or unix:/path"
        )
    secure = parts.scheme == "https"
    return Upstream(host, port if port is not None else (443 if secure else 80), secure=secure)
