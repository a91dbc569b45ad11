"""`geo`, as a shell sees it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from consent_mw.cli import run
from consent_mw.world.geo import BUILTIN_PATH

MIXMAX = str(Path(__file__).parents[2] / "consent_mw" / "profiles" / "mixmax-2018.toml")
BERLIN, PRIVATE = "2.160.0.1", "10.0.0.1"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_address_is_told_with_its_jurisdiction(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["geo", "show", BERLIN, PRIVATE, "nonsense", "--policy", MIXMAX]) == 0
    assert capsys.readouterr().out == (
        "2.160.0.1: DE (builtin)\n"
        "    jurisdiction eea_uk (opt-in), by where the address is\n"
        "10.0.0.1: unknown (builtin)\n"
        "    jurisdiction eea_uk (opt-in), because it is not known where the address is\n"
        "nonsense: not an address (builtin)\n"
        "    jurisdiction eea_uk (opt-in), because the address cannot be read, so the strictest one wins\n"
    )


def test_an_address_is_told_as_json_by_each_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["geo", "show", BERLIN, "--database", str(BUILTIN_PATH), "--database", "builtin", "--format", "json"])
        == 0
    )
    place = {"country": "DE", "region": None, "city": None}
    assert json.loads(capsys.readouterr().out) == {
        "addresses": [
            {
                "address": BERLIN,
                "readable": True,
                "databases": [{"database": str(BUILTIN_PATH), **place}, {"database": "builtin", **place}],
            }
        ]
    }


@pytest.mark.parametrize("arguments", [[], ["--database", "gone.mmdb", BERLIN], ["--policy", "gone.toml", BERLIN]])
def test_what_cannot_be_asked_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["geo", "show", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def publisher() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server that gives what it is told to, by path; the rest is 404."""
    given: dict[str, bytes] = {}

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = given.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", given
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_database_is_put_in_place_once_it_is_whole(
    publisher: tuple[str, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, given = publisher
    data = BUILTIN_PATH.read_bytes()
    given.update({"/db.gz": gzip.compress(data, 1), "/plain": data})
    for path in ("/db.gz", "/plain"):
        Path("geo.mmdb").write_bytes(b"the old one")
        assert run(["geo", "update", "--to", "geo.mmdb", "--url", url + path]) == 0
        assert Path("geo.mmdb").read_bytes() == data
    assert "CC BY 4.0" in capsys.readouterr().out
    assert run(["geo", "show", BERLIN, "--database", "geo.mmdb"]) == 0


def test_why_a_database_cannot_be_had_or_used_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        url = f"http://127.0.0.1:{once.getsockname()[1]}/db"
    assert run(["geo", "update", "--to", "geo.mmdb", "--url", url]) == 2
    assert capsys.readouterr().err == f"consent-mw: {url} cannot be had: Connection refused\n"
    assert run(["geo", "show", BERLIN, "--database", f"{tmp_path}/gone.mmdb"]) == 2
    told = f"consent-mw: database `{tmp_path}/gone.mmdb` cannot be used: no such file or directory\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("path", ["/gone", "/text", "/cut", "/bent"])
def test_what_is_no_database_leaves_the_old_one(
    path: str, publisher: tuple[str, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, given = publisher
    packed = gzip.compress(b"x" * 5000)
    given.update({"/text": b"<html>", "/cut": packed[:-9], "/bent": packed[:20] + b"\xff\xff" + packed[22:]})
    Path("geo.mmdb").write_bytes(b"the old one")
    assert run(["geo", "update", "--to", "geo.mmdb", "--url", url + path]) == 2
    told = capsys.readouterr().err
    assert (Path("geo.mmdb").read_bytes(), len(told.splitlines()), [str(one) for one in Path().iterdir()]) == (
        b"the old one",
        1,
        ["geo.mmdb"],
    )


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "link"])
def test_what_is_no_file_is_not_replaced(
    kind: str, publisher: tuple[str, dict[str, bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, given = publisher
    given["/db"] = BUILTIN_PATH.read_bytes()
    with socket.socket(socket.AF_UNIX) as bound:
        match kind:
            case "pipe":
                os.mkfifo("there")
            case "socket":
                bound.bind("there")
            case "folder":
                Path("there").mkdir()
            case _:
                os.mkfifo("pipe")
                Path("there").symlink_to("pipe")
        before = Path("there").lstat()
        assert run(["geo", "update", "--to", "there", "--url", f"{url}/db"]) == 2
    told = "consent-mw: --to `there` is there, and is no file: name one, which may be a new one\n"
    assert (Path("there").lstat(), capsys.readouterr().err) == (before, told)


def test_without_a_policy_what_is_no_address_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["geo", "show", BERLIN, "nonsense"]) == 2
    assert capsys.readouterr() == ("", "consent-mw: `nonsense` is not an IP address\n")
