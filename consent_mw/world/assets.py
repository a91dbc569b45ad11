"""The files that a visitor's browser gets: read once, named by their content, compressed ahead.

Rule: a file's name changes with its bytes, so that it may be cached for ever.
Rule: only what was loaded at start can be asked for; a name never becomes a path.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by suffix; a file of another kind in the folder is left alone."""

TOLD = b"const told = null;"
"""The line of `banner.js` in which the state of one visitor is put where the script is sent with it."""

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same in gzip (RFC 1952), and its media type."""

    body: bytes
    gzip_body: bytes
    content_type: str


class Assets:
    """Every static file of one folder; the one of this installation where none is named.

    Raises FileNotFoundError where the folder is missing: an installation without it is broken.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._names: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for path in sorted((folder or static_folder()).iterdir()):
            content_type = CONTENT_TYPES.get(path.suffix)
            if content_type is None or not path.is_file():
                continue
            body = path.read_bytes()
            served = f"{path.stem}.{hashlib.sha256(body).hexdigest()[:8]}{path.suffix}"
            self._names[path.name] = served
            self._assets[served] = Asset(body, gzip.compress(body, mtime=0), content_type)

    def url(self, prefix: str, name: str) -> str:
        """Where the file of this plain name (`banner.css`) is served under this prefix. Raises KeyError for none."""
        return f"{prefix.rstrip('/')}/static/{self._names[name]}"

    def source(self, name: str) -> bytes:
        """The bytes of the file of this plain name. Raises KeyError for none."""
        return self._assets[self._names[name]].body

    def get(self, fingerprinted: str) -> Asset | None:
        """The file of this fingerprinted name."""
        return self._assets.get(fingerprinted)


def static_folder() -> Path:
    """The folder of static files: inside the package in a wheel, beside it in the source tree."""
    for candidate in (_PACKAGE / "static", _PACKAGE.parent / "static"):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError("the static files of consent_mw are missing; install it again")
