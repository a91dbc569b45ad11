"""The admin port tells what was decided about a request that was just served, by the id of its line in the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consent_mw.cli import run
from consent_mw.core.account import PASSED
from consent_mw.core.consent import Consent
from consent_mw.wire.token import Keyring
from tests.journeys.site import BERLIN, FIREFOX, KEY, NEW_YORK, POLICY
from tests.sidecar.h2_browser import Browser
from tests.sidecar.raw import OK, Origin, a_sidecar, ask, connect, operate, read_until, until

SCOPED = POLICY + '[scope]\nexclude = ["/api/*"]\n'
COOKIES = "session=s3cret; _ga_9=GA1.2.s3cret; user-17=s3cret"
UNKNOWN = "no request of this id is remembered: it is that of a line of the access log, of one of the last requests"
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture(scope="module")
def served(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, int]]:
    folder = tmp_path_factory.mktemp("explain")
    with a_sidecar(folder, origin.port, policy=SCOPED) as (_, port, admin):
        yield folder, port, admin


def line_of(folder: Path, path: str) -> dict[str, Any]:
    """The line of the last request for this path, once it is there."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        lines = (folder / "err").read_text().splitlines()
        found[:] = [
            one for one in map(json.loads, filter(lambda it: it.startswith("{"), lines)) if one["path"] == path
        ]
        return bool(found)

    until(there)
    return found[-1]


def visit(port: int, path: str, *more: str, address: str = BERLIN) -> None:
    lines = [f"GET {path} HTTP/1.1", "Host: a", "Accept: text/html", f"X-Forwarded-For: {address}", *more]
    assert ask(port, "\r\n".join([*lines, "Connection: close", "\r\n"]).encode()).startswith(b"HTTP/1.1 200 ")


def told(admin: int, request: str, *more: str) -> tuple[int, str, Any]:
    """The status, the type, and the text or JSON that the admin port answers about a request."""
    lines = [f"GET /explain/{request} HTTP/1.1", "Host: localhost", *more, "\r\n"]
    head, _, body = ask(admin, "\r\n".join(lines).encode()).decode().partition("\r\n\r\n")
    kind = re.search(r"(?m)^Content-Type: (.+?)\r$", head)
    assert kind is not None
    return int(head.split(" ")[1]), kind[1], json.loads(body) if "json" in kind[1] else body


def test_a_request_is_explained_as_the_verb_explains_it(
    served: tuple[Path, int, int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port, admin = served
    no = Keyring([KEY]).sign_consent(Consent({"analytics": False}, 1_770_000_000, "2026-01", "r1", "2026-01"))
    cookies = f"session=1; _ga=1; __Host-consent={no}"
    visit(port, "/whole", "Sec-GPC: 1", f"Cookie: {cookies}", address=NEW_YORK)
    status, kind, text = told(admin, line_of(folder, "/whole")["id"])
    monkeypatch.setenv("CONSENT_MW_KEYS", KEY)
    asked = ["--ip", NEW_YORK, "--header", "Sec-GPC: 1"]
    for one in (f"__Host-consent={no}", "_ga*=1", "session=1"):
        asked += ["--cookie", one]
    assert run(["explain", "--policy", str(folder / "policy.toml"), *asked]) == 0
    assert (status, kind, text) == (200, "text/plain; charset=utf-8", capsys.readouterr().out)


def test_programs_get_json(served: tuple[Path, int, int]) -> None:
    folder, port, admin = served
    visit(port, "/json", f"Cookie: {COOKIES}")
    status, kind, values = told(admin, line_of(folder, "/json")["id"], "Accept: application/json")
    assert (status, kind, values["decided"], values["country"]) == (200, "application/json", True, "DE")
    assert [(one["name"], one["kept"]) for one in values["cookies"]] == [("_ga*", False), ("session", True)]
    assert values["purposes"]["analytics"]["rule"]["file"] == str(folder / "policy.toml")
    assert (values["other_cookies"], values["policy"]) == (True, operate(admin, "GET", "/policy")[1]["digest"])


def test_nothing_is_told_by_which_a_visitor_could_be_known(served: tuple[Path, int, int]) -> None:
    folder, port, admin = served
    visit(port, "/whose?email=x@example.org", f"User-Agent: {FIREFOX}", f"Cookie: {COOKIES}")
    request = line_of(folder, "/whose")["id"]
    for accept in ("text/plain", "application/json"):
        answer = json.dumps(told(admin, request, f"Accept: {accept}"))
        kept = [
            one for one in (BERLIN, "s3cret", "user-17", "GA1", "_ga_9", "Firefox", "whose", "x@") if one in answer
        ]
        assert kept == []


def test_a_request_that_goes_the_way_of_an_earlier_one_is_explained_too(served: tuple[Path, int, int]) -> None:
    folder, port, admin = served
    with connect(port) as peer:
        for number in range(5):
            head = f"GET /again/{number} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {BERLIN}\r\nCookie: _ga=1\r\n\r\n"
            peer.sendall(head.encode())
            assert read_until(peer, b"ok") == OK
    texts = {told(admin, line_of(folder, f"/again/{number}")["id"])[2] for number in range(5)}
    assert [text.count("Cookie _ga* does not pass") for text in texts] == [1]


def test_a_request_of_http_2_is_explained(served: tuple[Path, int, int]) -> None:
    folder, port, admin = served
    with Browser(port) as browser:
        assert browser.get(b"/two", (b"x-forwarded-for", NEW_YORK.encode())).status == 200
    assert "is in jurisdiction elsewhere" in told(admin, line_of(folder, "/two")["id"])[2]


def test_a_request_of_the_visitors_own_routes_is_explained(served: tuple[Path, int, int]) -> None:
    folder, port, admin = served
    visit(port, "/_consent/policy")
    assert "is in jurisdiction eea_uk" in told(admin, line_of(folder, "/_consent/policy")["id"])[2]


def test_of_a_request_that_passes_untouched_it_is_told_that_nothing_was_decided(
    served: tuple[Path, int, int],
) -> None:
    folder, port, admin = served
    visit(port, "/api/x")
    request = line_of(folder, "/api/x")["id"]
    assert told(admin, request) == (200, "text/plain; charset=utf-8", PASSED + "\n")
    assert told(admin, request, "Accept: application/json") == (200, "application/json", {"decided": False})


@pytest.mark.parametrize("request_id", ["", "0" * 20, "x", "%00", "f" * 200])
def test_an_unknown_id_is_told_to_be_one(served: tuple[Path, int, int], request_id: str) -> None:
    assert told(served[2], request_id) == (404, "application/json", {"error": UNKNOWN})


def test_it_is_asked_for_by_get(served: tuple[Path, int, int]) -> None:
    assert operate(served[2], "POST", "/explain/1") == (405, {"error": "this is not asked for that way"})


def test_it_is_told_to_the_operator_alone(served: tuple[Path, int, int], origin: Origin, tmp_path: Path) -> None:
    assert told(served[2], "1", "Origin: https://x.example")[0] == 401
    with a_sidecar(tmp_path, origin.port, env={"CONSENT_MW_ADMIN_TOKEN": "t0ken"}) as (_, port, admin):
        visit(port, "/")
        request = line_of(tmp_path, "/")["id"]
        assert told(admin, request)[0] == 401
        assert told(admin, request, "Authorization: Bearer t0ken")[0] == 200


@WORKERS
def test_what_a_reload_put_out_of_force_is_told_as_it_was(tmp_path: Path, origin: Origin, workers: str) -> None:
    with a_sidecar(tmp_path, origin.port, "--workers", workers) as (_, port, admin):
        visit(port, "/early")
        early = line_of(tmp_path, "/early")["id"]
        before = told(admin, early)
        digest = operate(admin, "GET", "/policy")[1]["digest"]
        for later in (2, 3):
            (tmp_path / "policy.toml").write_text(POLICY.replace('"2026-01"', f'"2026-0{later}"'))
            assert operate(admin, "POST", "/reload")[0] == 200
            if later == 2:
                note = f"\nThis was decided by policy {digest}, which is not in force any more.\n"
                assert told(admin, early) == (*before[:2], before[2] + note)
        assert told(admin, early)[0] == 404
        visit(port, "/late")
        assert "revision 2026-03\n" in told(admin, line_of(tmp_path, "/late")["id"])[2]


def test_any_worker_is_asked(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, "--workers", "2") as (_, port, admin), ExitStack() as others:
        for number in range(12):
            visit(port, f"/{number}", address=BERLIN if number % 2 else NEW_YORK)
            # Who has more connections lets the other worker go first.
            others.enter_context(connect(port))
        lines = [line_of(tmp_path, f"/{number}") for number in range(12)]
        assert len({one["id"][:12] for one in lines}) == 2
        for number, line in enumerate(lines):
            place = "eea_uk" if number % 2 else "elsewhere"
            assert f"is in jurisdiction {place}," in told(admin, line["id"])[2]
        assert told(admin, "0" * 20) == (404, "application/json", {"error": UNKNOWN})


def test_without_a_log_no_request_has_an_id(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, "--access-log", "off") as (_, port, admin):
        visit(port, "/")
        error = {"error": "no request has an id here, since the access log is off"}
        assert told(admin, "0" * 20) == (404, "application/json", error)
