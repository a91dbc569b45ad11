"""Verification: before a server is measured, its answers are held against what it promises to do.

Rule: what does not do the job is not measured.
"""

from __future__ import annotations

import http.client
import re

from cases import Case
from machine import HERE, BenchmarkError

SENT = ("session=s1", "theme=dark", "_ga=GA1.2.3.4", "ad_id=7")
GERMAN, AMERICAN = "85.214.132.117", "74.125.224.72"
ALLOWED = {GERMAN: ("session=s1",), AMERICAN: ("session=s1", "_ga=GA1.2.3.4", "ad_id=7")}
SET = {GERMAN: {"session"}, AMERICAN: {"session", "_ga"}}


def verify(case: Case, port: int) -> None:
    """Ask for the echo and the page from two countries. Raises BenchmarkError where an answer is not as promised."""
    page = (HERE / "peers" / "page.html").read_bytes()
    for address in (GERMAN, AMERICAN):
        status, set_cookies, body = _get(port, "/echo", address)
        arrived = tuple(one for one in re.split(r"; ?", body.decode("latin-1")) if one)
        _hold(case, "status", status, 200)
        _hold(
            case, f"cookies that reach the site from {address}", arrived, ALLOWED[address] if case.filters else SENT
        )
        status, set_cookies, body = _get(port, "/", address)
        named = {one.partition("=")[0] for one in set_cookies} - {"__Host-vid"}
        _hold(case, "status", status, 200)
        _hold(case, f"cookies set at {address}", named, SET[address] if case.filters else SET[AMERICAN])
        edited = case.edits and address == GERMAN
        _hold(case, f"whether the page is edited for {address}", body != page, edited)
        _hold(case, "whether the page is whole", body.endswith(page[-40:]), True)


def _hold(case: Case, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BenchmarkError(f"{case.name}: {what}: {found!r}, expected {expected!r}")


def _get(port: int, path: str, address: str) -> tuple[int, list[str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {
        "Host": "www.example.com",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept": "text/html",
        "Sec-Fetch-Dest": "document",
        "Cookie": "; ".join(SENT),
        "X-Forwarded-For": address,
    }
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_all("set-cookie") or [], answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"no answer for {path}: {error!r}") from None
    finally:
        connection.close()
