"""`scan` drives a real browser through the real sidecar, and finds what the site does beside its policy."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_mw.world.browser import Visitor, browsing
from tests.journeys.sidecar import serving
from tests.journeys.site import POLICY, listening

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed (Debian: chromium)"
)


class _Site(http.server.ThreadingHTTPServer):
    """A site whose script sets a cookie that no rule names, stores something, and asks a third party at once."""

    daemon_threads = True
    third_party = ""
    page = ""


class _Pages(http.server.BaseHTTPRequestHandler):
    server: _Site

    def do_GET(self) -> None:
        script = (
            f'document.cookie="odd=1";localStorage.kept=1;fetch("{self.server.third_party}/hit",{{mode:"no-cors"}})'
        )
        body = f"<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,><script>{script}</script>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "session=1")
        self.send_header("Set-Cookie", "_ga=1")
        self.end_headers()
        self.wfile.write((self.server.page or body).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def third() -> Iterator[str]:
    with listening(_Site(("127.0.0.1", 0), _Pages)) as server:
        yield f"localhost:{server.server_address[1]}"


@pytest.fixture(scope="module")
def policy(third: str) -> str:
    text = POLICY.replace("https://example.com/privacy", "/privacy").replace('origin = "https://example.com"\n', "")
    vendor = f"""
[vendor.stats]
kind = "webhook"
purpose = "analytics"
endpoint = "http://{third}/in"
fields = ["event"]
hosts = ["{third}"]
"""
    return text + vendor


@pytest.fixture(scope="module")
def address(third: str, policy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = _Site(("127.0.0.1", 0), _Pages)
    site.third_party = f"http://{third}"
    folder = tmp_path_factory.mktemp("scan")
    with listening(site), serving(folder, policy, f"http://127.0.0.1:{site.server_address[1]}") as where:
        yield where


def scan(folder: Path, policy: str, url: str, *arguments: str) -> tuple[int, str, str]:
    (folder / "policy.toml").write_text(policy)
    command = [sys.executable, "-m", "consent_mw.cli", "scan", url, "--policy", "policy.toml", *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


def faults(told: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (one["fault"], one["kind"], one["name"]) for one in told["findings"] if one["fault"] != "declared-yet-unseen"
    }


def test_what_a_site_does_beside_its_policy_is_found(address: str, policy: str, third: str, tmp_path: Path) -> None:
    code, out, errors = scan(tmp_path, policy, address, "--format", "json", "--report", "report")
    assert (code, errors) == (1, "")
    told = json.loads(out)
    assert faults(told) == {
        ("undeclared", "cookie", "odd"),
        ("undeclared", "storage", "kept"),
        ("denied-yet-present", "host", third),
    }
    (denied,) = (one for one in told["findings"] if one["fault"] == "denied-yet-present")
    assert "eea_uk, nothing said" in denied["visits"]
    assert not any("yes said" in one for one in denied["visits"])
    visits = {(one["jurisdiction"], one["answered"]): one["cookies"] for one in told["visits"]}
    assert ("_ga" in visits["eea_uk", "nothing"], "_ga" in visits["eea_uk", "yes"]) == (False, True)
    page = (tmp_path / "report" / "index.html").read_text()
    assert ("denied-yet-present" in page, (tmp_path / "report" / "visit-0.png").read_bytes()[:4]) == (
        True,
        b"\x89PNG",
    )
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == told


def test_a_site_that_keeps_to_its_policy_has_no_findings(
    address: str, policy: str, third: str, tmp_path: Path
) -> None:
    wider = policy.replace("[vendor.stats]", '[[cookie]]\nname = "odd"\npurpose = "essential"\n\n[vendor.stats]', 1)
    wider = wider.replace("[vendor.stats]", '[[cookie]]\nname = "kept"\npurpose = "essential"\n\n[vendor.stats]', 1)
    wider = wider.replace('purpose = "analytics"\nendpoint', 'purpose = "essential"\nendpoint')
    code, out, errors = scan(tmp_path, wider, address, "--jurisdiction", "eea_uk")
    assert (code, errors) == (0, "")
    assert "0 findings in 3 visits" in out


def test_what_is_found_in_every_visit_is_told_in_these_words(address: str, policy: str, tmp_path: Path) -> None:
    code, out, _ = scan(tmp_path, policy, address, "--jurisdiction", "eea_uk", "--report", "report")
    assert code == 1
    assert "    cookie odd: no rule names it\n        in every visit\n" in out
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<td>odd<td>no rule names it<td>in every visit<tr>" in page
    assert "<td>no visit saw it<td><" in page


@pytest.mark.parametrize("stopped", [False, True])
def test_a_third_party_whose_answer_the_browser_blocks_was_asked(third: str, stopped: bool) -> None:
    """HTML is no picture, and Chromium blocks it once it is there (ORB); what a policy stops is asked for nowhere."""
    sources = "<meta http-equiv=Content-Security-Policy content=\"img-src 'self'\">" if stopped else ""
    page = f"<!doctype html><title>Shop</title>{sources}<img src=http://{third}/pixel>"
    with listening(_Site(("127.0.0.1", 0), _Pages)) as site, browsing() as browser:
        site.page = page
        visitor = Visitor(browser, f"http://127.0.0.1:{site.server_address[1]}/", {})
        visitor.read(["/"])
        visitor.close()
    assert visitor.looked.hosts == (set() if stopped else {third})


LAXER = '\n[jurisdiction.california]\nregions = ["US-CA"]\nregime = "opt-out"\n'


def test_a_part_of_a_country_that_no_database_knows_is_skipped_and_told(
    address: str, policy: str, tmp_path: Path
) -> None:
    only = ("--jurisdiction", "elsewhere", "--jurisdiction", "california")
    code, out, _ = scan(tmp_path, policy + LAXER, address, *only, "--format", "json", "--report", "report")
    told = json.loads(out)
    assert (code, {one["jurisdiction"] for one in told["visits"]}) == (1, {"elsewhere"})
    assert told["skipped"] == [
        {
            "jurisdiction": "california",
            "why": "no address is known that the databases put there; a database that knows US-CA would have to be "
            "among `[geo] databases`",
        }
    ]
    assert "Skipped: california, no address" in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("url", "arguments", "told"),
    [
        ("http://127.0.0.1:1/", (), "does not answer /_consent/state"),
        ("ftp://x/", (), "is not the URL of a site"),
        ("http://x:1,/", (), "is not the URL of a site"),
        ("http://[", (), "is not the URL of a site"),
        ("{address}", ("--jurisdiction", "gone"), "has no jurisdiction `gone`"),
        ("{address}", ("--chromium", "/nowhere"), "a browser is needed"),
    ],
)
def test_what_cannot_be_scanned_is_told(
    url: str, arguments: tuple[str, ...], told: str, address: str, policy: str, tmp_path: Path
) -> None:
    code, out, errors = scan(tmp_path, policy, url.format(address=address), *arguments)
    assert (code, out, told in errors, "Traceback" in errors) == (2, "", True, False)
