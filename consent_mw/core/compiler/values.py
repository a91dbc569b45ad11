"""The grammars of single values: each takes a string and gives what it stands for, or raises BadValue.

Rule: a value that ends up in a header, a cookie or a URL is checked here, so that nothing later needs to.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from consent_mw.core.compiler.section import BadValue
from consent_mw.core.policy import ANYWHERE, DAY
from consent_mw.core.regions import COUNTRIES, region_help

LONGEST = 36_500 * DAY
"""Seconds; about a hundred years, so that no sum of times overflows."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 5.6.2."""

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY}
_SIZES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,10})([smhd])")
_SIZE = re.compile(r"([0-9]{1,15}) ?([kKMGT]?i?B)")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SEGMENTS = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_PATH = re.compile(r"/[!-~]*")
_PATTERN = re.compile(r"/[^\s?#*\x00-\x1f\x7f]*\*?")
_URL = re.compile(r"[!-~]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SOURCE = re.compile(r"[!-~]+")


def duration(text: str) -> int:
    """Seconds of `182d`, `12h`, `30m` or `45s`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise BadValue("bad-duration", "is not a duration", 'write a whole number and s, m, h or d, as in "182d"')
    seconds = int(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= LONGEST:
        raise BadValue("bad-duration", "is out of bounds", 'write more than zero and at most "36500d"')
    return seconds


def size(text: str) -> int:
    """Bytes of `2GB` (decimal) or `512MiB` (binary)."""
    found = _SIZE.fullmatch(text)
    unit = _SIZES.get(found[2]) if found else None
    if not found or unit is None or int(found[1]) == 0:
        raise BadValue(
            "bad-size", "is not a size", 'write a whole number above zero and B, KB, MB, GB or TB, as in "2GB"'
        )
    return int(found[1]) * unit


def path_pattern(text: str) -> str:
    """A path, exact or with one trailing `*`."""
    if not _PATTERN.fullmatch(text):
        raise BadValue(
            "bad-path", "is not a path", 'write a path that begins with `/`; one `*` may end it, as in "/api/*"'
        )
    return text


def redacted_path(text: str) -> str:
    """A path whose trailing `*` stands for what never leaves."""
    if not path_pattern(text).endswith("*"):
        raise BadValue("bad-path", "has no `*`, so it hides nothing", 'end it with `*`, as in "/reset/*"')
    return text


def prefix(text: str) -> str:
    """The path under which the visitor's routes live: one or more plain segments."""
    advice = 'write plain segments without a slash at the end, as in "/_consent"'
    if not _SEGMENTS.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise BadValue("bad-prefix", "cannot hold the visitor's routes", advice)
    if text.split("/")[1].lower() == ".well-known":
        raise BadValue(
            "bad-prefix", "is where well-known resources live (RFC 8615)", 'use another, such as "/_consent"'
        )
    return text


def network(text: str) -> str:
    """An address or a network in CIDR notation."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        advice = f'did you mean "{ipaddress.ip_network(text, strict=False)}"?'
    except ValueError:
        advice = 'write an address or a network, as in "10.0.0.0/8" or "::1"'
    raise BadValue("bad-network", "is not a network", advice)


def header_name(text: str) -> str:
    """A header's name, in lower case."""
    if not TOKEN.fullmatch(text):
        raise BadValue("bad-header-name", "is not a header's name", 'write it as in "x-forwarded-for"')
    return text.lower()


def cookie_pattern(text: str) -> str:
    """A cookie's name, or the beginning of names with one trailing `*`."""
    stem = text.removesuffix("*")
    if text == "*":
        raise BadValue(
            "bad-cookie-name",
            "names every cookie",
            "list what the site sets; to keep the rest, set `dangerously_keep_unlisted = true`",
        )
    if not _is_cookie_name(stem) or "*" in stem:
        raise BadValue("bad-cookie-name", "cannot name a cookie", 'write a name; one `*` may end it, as in "_ga*"')
    return text


def identifier_name(text: str) -> str:
    """The name of our own cookie: a token, without `*`."""
    if not TOKEN.fullmatch(text) or "*" in text:
        raise BadValue("bad-cookie-name", "cannot name the identifier's cookie", 'write a token, as in "__Host-vid"')
    return text


def cookie_name(text: str) -> str:
    """A cookie's name, exact."""
    if not _is_cookie_name(text):
        raise BadValue("bad-cookie-name", "cannot name a cookie", "write the name alone, without a star")
    return text


def domain(text: str) -> str:
    """A host name, in lower case."""
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise BadValue("bad-domain", "is not a domain", _domain_advice(text))
    return text.lower()


def party(text: str) -> str:
    """A domain, or `*.` and a domain for all beneath it."""
    return "*." + domain(text[2:]) if text.startswith("*.") else domain(text)


def source_host(text: str) -> str:
    """A host that a browser may load from (CSP3 2.3.1): `cdn.example.com`, `*.example.com:8443`."""
    host, colon, port = text.partition(":")
    if colon and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65_536):
        raise BadValue("bad-domain", "is not a host", _domain_advice(text))
    return party(host) + colon + port


def origin(text: str) -> str:
    """A scheme and a host, in lower case, without a path."""
    parts = _split(text, "bad-origin", 'write a scheme and a host, as in "https://example.com"')
    bare = f"{parts[0]}://{parts[1]}"
    if text.lower() != bare:
        raise BadValue("bad-origin", "is more than an origin", f'write "{bare}"')
    return bare


def endpoint(text: str) -> str:
    """A URL that events are posted to: https, or http on loopback."""
    advice = 'write a URL, as in "https://api.example.com/v1/batch"'
    scheme, host = _split(text, "bad-endpoint", advice)
    if "#" in text:
        raise BadValue("bad-endpoint", "has a fragment, which is never sent", advice)
    if scheme == "http" and not is_loopback(host):
        raise BadValue("plain-http", "would send data unencrypted", "use https://; http:// is for loopback only")
    return text


def page_address(text: str) -> str:
    """Where a page is: a path on this site, or a whole http(s) URL."""
    if text.startswith("/") and not text.startswith("//") and _PATH.fullmatch(text):
        return text
    _split(text, "bad-url", 'write a URL, as in "https://example.com/privacy", or a path')
    return text


def relative_file(text: str) -> str:
    """A file's path; what it is relative to is the reader's matter."""
    if not text.strip() or "\0" in text:
        raise BadValue("bad-file", "is not a file's path", "write a path relative to the policy file")
    return text


def key(text: str) -> str:
    """A vendor's key: the key itself, or `env:NAME`."""
    if text.startswith("env:") and not _VARIABLE.fullmatch(text[4:]):
        raise BadValue("bad-key", "names no environment variable", 'write it as in "env:SEGMENT_WRITE_KEY"')
    if not _URL.fullmatch(text):
        raise BadValue("bad-key", "is not a key", "write printable ASCII without spaces, or `env:NAME`")
    return text


def country(text: str) -> str:
    """An ISO 3166-1 alpha-2 code."""
    if text not in COUNTRIES:
        advice = region_help(text)
        raise BadValue(
            "unknown-region", "is not a country", advice if "?" in advice else 'use an ISO 3166 code, as in "US"'
        )
    return text


def csp_source(text: str) -> str:
    """A source expression (CSP3 2.3.1); it must not end its directive or the policy."""
    if not _SOURCE.fullmatch(text) or set(text) & {";", ","}:
        raise BadValue(
            "bad-csp-source", "is not a source expression", 'write one as in "\'self\'" or "cdn.example.com"'
        )
    return text


def revision(text: str) -> str:
    """The operator's name for this state of the policy."""
    if not text.strip() or len(text) > 64 or not text.isprintable():
        raise BadValue("bad-revision", "cannot name a revision", "write at most 64 printable characters")
    return text


def clause_id(text: str) -> str:
    """The id that rules cite a clause by."""
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f]{1,100}", text):
        raise BadValue("bad-name", "cannot name a clause", "write at most 100 characters without spaces")
    return text


def one_line(text: str) -> str:
    """A text that people read on one line."""
    if not text.strip():
        raise BadValue("empty-text", "says nothing", "write a few words, or remove the setting")
    if not text.isprintable():
        raise BadValue("control-character", "holds a control character or a line end", "remove it")
    return text


def is_loopback(authority: str) -> bool:
    """Whether this host (a port may follow) never leaves the machine."""
    host = authority.rsplit("@", 1)[-1].lower()
    host = host[1:].split("]")[0] if host.startswith("[") else host.split(":")[0]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_plain_http(url: str) -> bool:
    """Whether a URL is http off loopback."""
    return url.lower().startswith("http://") and not is_loopback(urlsplit(url).netloc)


def _split(text: str, code: str, advice: str) -> tuple[str, str]:
    """The scheme and authority of an absolute http(s) URL, in lower case; user names in it are refused."""
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise BadValue(code, "is not a URL", advice) from None
    if not _URL.fullmatch(text) or parts.scheme not in ("http", "https") or "\\" in text:
        raise BadValue(code, "is not an http or https URL", advice)
    if "@" in parts.netloc:
        raise BadValue(code, "holds a user name or password", "remove it; a vendor's secret is its `key`")
    if not (_DOMAIN.fullmatch(host) or _is_ipv6(host)) or parts.netloc.endswith(":"):
        raise BadValue(code, "has no sound host", advice)
    return parts.scheme, parts.netloc.lower()


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _is_cookie_name(text: str) -> bool:
    # Browsers take more than a token (RFC 6265bis 5.6); whatever may stand in a Cookie field's pair is nameable.
    return bool(re.fullmatch(r"[^\x00-\x20\x7f=;,\"\u0100-\U0010ffff]{1,256}", text))


def _domain_advice(text: str) -> str:
    bare = re.sub(r"^[a-z]+://", "", text.lower()).split("/")[0].strip(".")
    if bare != text and _DOMAIN.fullmatch(bare) and bare != ANYWHERE:
        return f'did you mean "{bare}"?'
    return 'write a name, as in "example.com"; `*.example.com` names all beneath it'
