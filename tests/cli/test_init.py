"""`init`, as a shell sees it: what it writes is sound, and what it learns is names."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from consent_mw.cli import run
from consent_mw.core.terms import Mode
from consent_mw.world.policy_file import load_policy


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "k")


@pytest.fixture
def site() -> Iterator[str]:
    """A site that sets two cookies and names a third party."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Set-Cookie", "_ga_X1=secret-value; Max-Age=63072000")
            self.send_header("Set-Cookie", "sessionid=secret-value; HttpOnly")
            self.send_header("Set-Cookie", "gone=; Max-Age=0")
            self.end_headers()
            self.wfile.write(b'<script src="https://cdn.stats.example/x.js"></script><img src="/own.png">')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("arguments", [[], ["p.toml"], ["--name", 'A "quoted" one', "--origin", "https://a.example"]])
def test_what_it_writes_is_sound_to_the_last_warning_and_its_cases_hold(arguments: list[str]) -> None:
    file = arguments[0] if arguments[:1] == ["p.toml"] else "policy.toml"
    assert run(["init", *arguments]) == 0
    assert run(["check", file, "--strict"]) == 0
    assert run(["test", file, "--strict"]) == 0
    assert json.loads(Path("policy.schema.json").read_text())["title"] == "A policy of consent_mw"


def test_every_setting_that_is_commented_out_is_one() -> None:
    """Taken in one by one, the commented settings are what `check` knows."""
    assert run(["init"]) == 0
    text, settings = Path("policy.toml").read_text(), r"^# (?=\[|[a-z_.]+ *= )"
    tables = re.findall(settings + r"\[+([a-z_.]+)", text, re.MULTILINE)
    assert tables == (
        [
            "scope",
            "client_address",
            "geo",
            "clause",
            "cookie",
            "vendor.stats",
            "feature.recommendations",
            "urls",
            "csp",
            "consent_mode",
            "retention",
            "outbox",
        ]
    )
    # A cookie that subdomains share cannot have the prefix of one that is bound to its host.
    whole = re.sub(settings, "", text, flags=re.MULTILINE).replace("__Host-vid", "__Secure-vid")
    Path("all.toml").write_text(whole)
    assert run(["check", "all.toml"]) == 0
    assert load_policy("all.toml").vendor("stats") is not None


def test_a_profile_is_written_with_its_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--from", "mixmax-2018"]) == 0
    assert run(["test", "policy.toml", "--strict"]) == 0
    assert load_policy("policy.toml").site.name == "Mixmax"
    assert run(["init", "x.toml", "--from", "gone"]) == 2
    assert "there is no profile `gone`" in capsys.readouterr().err


def test_a_file_that_is_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("policy.cases.toml").write_text("mine")
    assert run(["init"]) == 2
    assert (Path("policy.cases.toml").read_text(), Path("policy.toml").exists()) == ("mine", False)
    assert run(["init", "--force"]) == 0
    assert Path("policy.cases.toml").read_text() != "mine"


def sound(file: str = "policy.toml") -> bool:
    return (run(["check", file, "--strict"]), run(["test", file])) == (0, 0)


def test_a_draft_is_learned_from_a_page(site: str) -> None:
    assert run(["init", "--learn", site]) == 0
    policy, text = load_policy("policy.toml"), Path("policy.toml").read_text()
    assert sound()
    assert (policy.mode, [(one.pattern, one.purpose, one.lasts) for one in policy.cookies]) == (
        Mode.REPORT,
        [("_ga_*", "analytics", 395 * 86_400)],
    )
    assert '# [[cookie]]\n# name    = "sessionid"\n# purpose = "decide"' in text
    assert ("cdn.stats.example" in text, "secret-value" in text, "gone" in text) == (True, False, False)


def test_a_draft_is_learned_from_a_log_and_an_archive(capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "ip": "192.0.2.1",
        "method": "GET",
        "path": "/",
        "cookie": "_gid=secret; PHPSESSID=secret; ann@example.com=1",
    }
    Path("x.log").write_text(json.dumps(line) + "\n")
    entries = [
        {"request": {"url": "https://shop.example/", "headers": [{"name": "Cookie", "value": "_fbp=secret"}]}},
        {
            "request": {
                "url": "https://connect.facebook.net/x.js",
                "headers": [{"name": "Cookie", "value": "fr=secret"}],
            }
        },
    ]
    Path("x.har").write_text(json.dumps({"log": {"entries": entries}}))
    assert run(["init", "--learn", "x.log", "--learn", "x.har", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["purpose"]) for one in told["cookies"]] == [
        ("PHPSESSID", None),
        ("_fbp", "marketing"),
        ("_gid", "analytics"),
    ]
    assert sound()
    text = Path("policy.toml").read_text()
    assert ("connect.facebook.net" in text, "secret" in text, "ann@" in text, '"fr"' in text) == (
        True,
        False,
        False,
        False,
    )


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 500, b"hello\n", b'{"log":', b'{"method":"GET","path":"/"}\n'])
def test_what_nothing_can_be_learned_from_is_told(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_bytes(data)
    assert run(["init", "--learn", "x"]) == 2
    told = capsys.readouterr().err
    assert (len(told.splitlines()), "Traceback" in told, Path("policy.toml").exists()) == (1, False, False)


@pytest.mark.parametrize("source", ["gone.log", ".", "http://127.0.0.1:1/", "http://[", "a\0b"])
def test_what_cannot_be_read_is_told(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--learn", source]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("learned", [False, True])
def test_the_comments_of_the_first_settings_stand_in_one_column(learned: bool) -> None:
    Path("x.log").write_text(json.dumps({"ip": "192.0.2.1", "method": "GET", "path": "/", "cookie": "a=1"}) + "\n")
    assert run(["init", *(["--learn", "x.log"] if learned else [])]) == 0
    lines = [
        one for one in Path("policy.toml").read_text().splitlines() if one.startswith(("revision", "mode", "regions"))
    ]
    assert len({one.index("#") for one in lines if "#" in one}) == 1, lines


def test_a_store_that_is_named_as_a_file_is_told_how_to_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(sqlite3.connect("c.db")) as db:
        db.execute("CREATE TABLE t (x)")
    assert run(["init", "--learn", "c.db"]) == 2
    told = "consent-mw: c.db is a database: write `--learn sqlite:///c.db` if it is our store\n"
    assert capsys.readouterr().err == told
