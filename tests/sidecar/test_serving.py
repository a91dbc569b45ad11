"""`consent-mw serve` from the outside: what it needs before it serves, where it listens, whom it serves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from consent_mw.asgi.ruleset import Ruleset
from consent_mw.world.policy_file import parse_policy
from tests.journeys.site import KEY, POLICY, VENDOR
from tests.sidecar.raw import CLOSE, Origin, a_sidecar, ask, operate, read_all

CRUMBS = b"HTTP/1.1 200 OK\r\nSet-Cookie: odd=1\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    made = Origin()
    made.answer = lambda peer, head: peer.sendall(CRUMBS)
    yield made
    made.close()


def checked(folder: Path, *flags: str, **environment: str) -> tuple[int, str]:
    """The exit code and everything said of `serve --check` there."""
    command_line = [sys.executable, "-m", "consent_mw.cli", "serve", "--check", *flags]
    ran = subprocess.run(
        command_line,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.returncode, ran.stdout + ran.stderr


def port(listening: socket.socket) -> int:
    """Where it listens."""
    number: int = listening.getsockname()[1]
    return number


@pytest.mark.parametrize("pure", ["0", "1"])
def test_a_check_finds_everything_there(tmp_path: Path, pure: str) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    flags = ("--policy", "policy.toml", "--upstream", "http://a", "--listen", "127.0.0.1:0")
    told = checked(tmp_path, *flags, CONSENT_MW_KEYS=KEY, CONSENT_MW_PURE=pure)
    native = pure == "0" and find_spec("consent_mw.wire._native") is not None
    assert told == (
        0,
        "consent-mw: everything that `serve` needs is there\nconsent-mw: the native core is "
        + ("in use\n" if native else "not in use\n"),
    )


def test_a_check_tells_everything_that_is_wrong(tmp_path: Path) -> None:
    vendor = VENDOR.format(port=1) + 'key = "env:NO_SUCH_KEY"\n'
    (tmp_path / "policy.toml").write_text(POLICY + vendor + '[geo]\ndatabases = ["gone.mmdb"]\n')
    (tmp_path / "keys").write_text("short")
    (tmp_path / "store").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = [
            "--policy",
            "policy.toml",
            "--upstream",
            "ftp://a",
            "--listen",
            f"127.0.0.1:{taken.getsockname()[1]}",
        ]
        flags += ["--admin", "0.0.0.0:0", "--keys-file", "keys", "--store", "sqlite:///store", "--drain", "soon"]
        code, said = checked(tmp_path, *flags)
    told = [line.partition(": ")[2].partition(" (")[0] for line in said.splitlines()]
    assert (code, [line[:48] for line in told]) == (
        2,
        [
            "--upstream `ftp://a` is not of the form http://h",
            "--drain `soon` is not a time such as 30s or 2m",
            "--keys-file `keys`: a key is shorter than 16 byt",
            "vendor `insights` needs its key in the environme",
            f"database `{tmp_path}/gone.mmdb` cannot be used"[:48],
            "--admin off loopback needs a token in CONSENT_MW",
            "--store `sqlite:///store` cannot be used: the st",
            f"--listen 127.0.0.1:{flags[5].rpartition(':')[2]} cannot be opened: address already in use"[:48],
        ],
    )


PROFILE = ("--policy", "mixmax-2018", "--upstream", "http://a", "--listen", "127.0.0.1:0")


def test_a_built_in_policy_is_served_by_its_name(tmp_path: Path) -> None:
    code, said = checked(tmp_path, *PROFILE, CONSENT_MW_KEYS=KEY)
    assert (code, said) == (
        2,
        "consent-mw: vendor `segment` needs its key in the environment variable SEGMENT_WRITE_KEY, which is unset\n",
    )
    assert checked(tmp_path, *PROFILE, CONSENT_MW_KEYS=KEY, SEGMENT_WRITE_KEY="key")[0] == 0


def test_a_file_of_a_built_in_policys_name_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "mixmax-2018").write_text(POLICY)
    assert checked(tmp_path, *PROFILE, CONSENT_MW_KEYS=KEY)[0] == 0
    (tmp_path / "mixmax-2018").write_text("nonsense")
    assert "mixmax-2018:1:9: error[toml-syntax]" in checked(tmp_path, *PROFILE, CONSENT_MW_KEYS=KEY)[1]


def test_an_unsound_policy_is_told_with_all_its_problems(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY.replace('purpose = "analytics"', 'purpose = "analitics"'))
    code, said = checked(tmp_path, "--policy", "policy.toml", "--upstream", "http://a", "--listen", "127.0.0.1:0")
    assert (code, said.count("error[unknown-purpose]")) == (2, 3)
    assert "no keys: set CONSENT_MW_KEYS" in said


def test_a_check_leaves_nothing_behind_but_the_store(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    flags = ["--policy", "policy.toml", "--upstream", "http://a", "--uds", "socket"]
    assert checked(tmp_path, *flags, CONSENT_MW_KEYS=KEY)[0] == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["consent.db", "policy.toml"]


# where it listens


def uds_answer(path: Path) -> bytes:
    """What is answered on this unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(8)
        peer.connect(str(path))
        peer.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
        return read_all(peer)


def visit_until_refused(path: Path, answers: list[bytes]) -> None:
    """Keep what is answered on this unix socket until nobody listens; nothing where a connection was reset."""
    while True:
        try:
            answers.append(uds_answer(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:
            answers.append(b"")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_is_replaced_where_nobody_listens_and_gone_at_the_end(
    tmp_path: Path, origin: Origin, workers: str
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(path))
    (tmp_path / "policy.toml").write_text(POLICY)
    line = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(tmp_path / "policy.toml")]
    line += ["--upstream", f"http://127.0.0.1:{origin.port}", "--uds", str(path), "--workers", workers]
    line += ["--store", f"sqlite:///{tmp_path / 'c.db'}", "--access-log", "off", "--drain", "1s"]
    environment = {**os.environ, "CONSENT_MW_KEYS": KEY}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            first = uds_answer(path)
            second = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=30)
            after = uds_answer(path)
            answers: list[bytes] = []
            loads = [threading.Thread(target=visit_until_refused, args=(path, answers)) for _ in range(3)]
            for one in loads:
                one.start()
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            for one in loads:
                one.join(10)
        finally:
            process.kill()
    assert greeting.startswith(f"consent-mw: listening on unix:{path}, upstream ")
    assert (first[-2:], after[-2:], path.exists()) == (b"ok", b"ok", False)
    assert {one[-2:] for one in answers} == {b"ok"}
    refused = f"consent-mw: --uds {path} cannot be opened: address already in use\n"
    assert (second.returncode, second.stderr) == (2, refused)


# whom it serves


def answers(port: int, target: str, address: str, cookie: str = "") -> bool:
    """Whether the site's unlisted cookie reaches a visitor from this address: the policy is not applied."""
    head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {address}\r\n"
    return b"odd=1" in ask(port, (head + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n").encode())


ADDRESSES = [f"85.214.{number // 200}.{number % 200 + 1}" for number in range(60)]


@pytest.mark.parametrize(("percent", "few", "many"), [(0, 60, 60), (50, 12, 48), (100, 0, 0)])
def test_a_share_of_visitors_is_under_the_policy(
    tmp_path: Path, origin: Origin, percent: int, few: int, many: int
) -> None:
    scope = f'\n[scope]\npercent = {percent}\nexclude = ["/api/*", "/health"]\n'
    with a_sidecar(tmp_path, origin.port, "--workers", "2", policy=POLICY + scope) as (_, port, _admin):
        first = [answers(port, "/", one) for one in ADDRESSES]
        assert few <= sum(first) <= many
        # The same visitor is always on the same side, whichever worker answers and whatever is asked for.
        assert [answers(port, "/other?x=1", one) for one in ADDRESSES] == first
        assert [answers(port, one, ADDRESSES[0]) for one in ("/api/x", "/health")] == [True, True]


def test_who_answered_stays_under_the_policy_whatever_the_share(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, policy=POLICY + "\n[scope]\npercent = 0\n") as (_, port, _admin):
        head = b"POST /_consent/choice HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
        head += b"Content-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        answer = ask(port, head + b'{"all": false}').decode()
        cookie = next(one for one in answer.split("\r\n") if one.lower().startswith("set-cookie: __host-consent="))
        held = cookie.partition(": ")[2].partition(";")[0]
        assert [answers(port, "/", one) for one in ADDRESSES[:5]] == [True] * 5
        assert [answers(port, "/", one, held) for one in ADDRESSES[:5]] == [False] * 5


@pytest.mark.parametrize("target", ["/api/../page", "/api/%2e%2e/page", "//api/x", "/api%2fx", "/apix", "/health/x"])
def test_a_path_that_could_be_another_is_not_excluded(target: str) -> None:
    text = POLICY + '\n[scope]\nexclude = ["/api/*", "/health"]\n'
    policy = parse_policy(text, "policy.toml", base=None).policy
    assert policy is not None
    assert not Ruleset(policy).excludes(target.encode())


# what an operator sees


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ready_tells_what_is_loaded_and_the_store_takes_nobody_out(
    tmp_path: Path, origin: Origin, workers: str
) -> None:
    with a_sidecar(tmp_path, origin.port, "--workers", workers) as (_, port, admin):
        status, said = operate(admin, "GET", "/ready")
        assert (status, said["policy"], said["store"], said["draining"]) == (200, "2026-01", True, False)
        assert ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b"ok")


def test_a_process_that_cannot_begin_ends_its_workers(tmp_path: Path, origin: Origin) -> None:
    """What cannot work is told before any worker is started."""
    (tmp_path / "policy.toml").write_text(POLICY)
    line = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(tmp_path / "policy.toml")]
    line += ["--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--workers", "2"]
    line += ["--store", f"sqlite:///{tmp_path}/none/c.db"]
    ran = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "CONSENT_MW_KEYS": KEY}, timeout=30)
    assert (ran.returncode, ran.stdout, "cannot be used" in ran.stderr) == (2, "", True)
