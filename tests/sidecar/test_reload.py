"""A running sidecar takes what changed, or keeps all that it had: by signal, by the admin port, by watching."""

from __future__ import annotations

import http.cookies
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.journeys.site import KEY, NEW_YORK, POLICY
from tests.sidecar.certificates import write_pair
from tests.sidecar.h2_browser import trusting
from tests.sidecar.raw import CLOSE, OK, Origin, a_sidecar, ask, connect, metric, operate, read_all, read_until, until

LATER = POLICY.replace('revision = "2026-01"', 'revision = "2026-02"')
OTHER_KEY = "another-key-of-the-tests-98765"
UNSOUND = POLICY.replace('purpose = "analytics"', 'purpose = "analitics"')
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def revision(admin: int) -> str:
    """The revision in force."""
    said: str = operate(admin, "GET", "/policy")[1]["revision"]
    return said


def state(port: int, cookie: str = "") -> dict[str, object]:
    """What a visitor is told."""
    head = f"GET /_consent/state HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {NEW_YORK}\r\n"
    answer = ask(port, f"{head}Cookie: {cookie}\r\n\r\n".encode())
    said: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return said


def chosen(port: int) -> str:
    """The consent cookie of a visitor who refused everything."""
    head = "POST /_consent/choice HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
    head += f"X-Forwarded-For: {NEW_YORK}\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
    answer = ask(port, head.encode() + b'{"all": false}')
    line = next(one for one in answer.decode().split("\r\n") if one.lower().startswith("set-cookie: __host-consent="))
    return next(f"{name}={one.value}" for name, one in http.cookies.SimpleCookie(line[12:]).items())


@WORKERS
def test_a_signal_reloads_the_policy(tmp_path: Path, origin: Origin, workers: str) -> None:
    with a_sidecar(tmp_path, origin.port, "--workers", workers) as (process, port, admin):
        (tmp_path / "policy.toml").write_text(LATER)
        process.send_signal(signal.SIGHUP)
        until(lambda: revision(admin) == "2026-02")
        assert state(port)["revision"] == "2026-02"
        until(lambda: "revision 2026-02 is in force" in (tmp_path / "err").read_text())
        assert metric(admin, 'consent_mw_reloads_total{result="done"}') == 1


CITED = (
    POLICY.replace("[signal.gpc]\n", '[signal.gpc]\nclause = ["gpc"]\n') + '[[clause]]\nid = "gpc"\ntext = "GPC"\n'
)
CASE = """[[case]]
name = "%s"
given = { country = "US", region = "CA", gpc = true }
expect = { reasons = { cross_site = "signal-refuses" } }
"""


def policy_page(port: int) -> str:
    """The page of the policy, in German."""
    return ask(port, b"GET /_consent/policy?lang=de HTTP/1.1\r\nAccept: text/html\r\n" + CLOSE + b"\r\n").decode()


@WORKERS
def test_the_cases_beside_the_policy_are_loaded_with_it(tmp_path: Path, origin: Origin, workers: str) -> None:
    beside = tmp_path / "policy.cases.toml"
    beside.write_text(CASE % "one case")
    with a_sidecar(tmp_path, origin.port, "--workers", workers, policy=CITED) as (_, port, admin):
        assert "Geprüft durch diese Fälle:</p><ul><li>one case</li></ul>" in policy_page(port)
        beside.write_text(CASE % "another case")
        assert "<li>one case</li>" in policy_page(port)
        assert operate(admin, "POST", "/reload")[0] == 200
        assert "<li>another case</li>" in policy_page(port)
        beside.write_text("what is this?")
        assert operate(admin, "POST", "/reload")[0] == 200
        assert "Zu dieser Richtlinie gibt es keine Testfälle." in policy_page(port)


def test_watched_cases_are_reloaded(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port, "--watch", policy=CITED) as (_, port, _admin):
        assert "<li>one case</li>" not in policy_page(port)
        (tmp_path / "policy.cases.toml").write_text(CASE % "one case")
        until(lambda: "<li>one case</li>" in policy_page(port))


@WORKERS
def test_a_built_in_policy_is_loaded_with_its_cases_until_a_file_has_its_name(
    tmp_path: Path, origin: Origin, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--workers", workers, "--policy", "mixmax-2018")
    with a_sidecar(tmp_path, origin.port, *flags, env={"SEGMENT_WRITE_KEY": "key"}) as (_, port, admin):
        assert revision(admin) == state(port)["revision"] == "2018-05-22"
        assert "Geprüft durch diese Fälle:" in policy_page(port)
        assert operate(admin, "POST", "/reload")[0] == 200
        (tmp_path / "mixmax-2018").write_text(LATER)
        assert operate(admin, "POST", "/reload")[0] == 200
        assert revision(admin) == state(port)["revision"] == "2026-02"


def test_a_watched_built_in_policy_gives_way_to_a_file_of_its_name(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--watch", "--policy", "mixmax-2018")
    with a_sidecar(tmp_path, origin.port, *flags, env={"SEGMENT_WRITE_KEY": "key"}) as (_, port, _admin):
        (tmp_path / "mixmax-2018").write_text(LATER)
        until(lambda: state(port)["revision"] == "2026-02")


@WORKERS
def test_an_unsound_policy_changes_nothing_and_is_told_in_full(tmp_path: Path, origin: Origin, workers: str) -> None:
    with a_sidecar(tmp_path, origin.port, "--workers", workers) as (process, port, admin):
        (tmp_path / "policy.toml").write_text(UNSOUND)
        status, said = operate(admin, "POST", "/reload")
        assert (status, said["error"]) == (409, "not reloaded, what was in force stays so")
        assert said["problems"].count("error[unknown-purpose]") == UNSOUND.count("analitics")
        process.send_signal(signal.SIGHUP)
        until(lambda: "error[unknown-purpose]" in (tmp_path / "err").read_text())
        assert revision(admin) == state(port)["revision"] == "2026-01"
        assert metric(admin, 'consent_mw_reloads_total{result="failed"}') == 2


def test_a_database_that_cannot_be_read_changes_nothing(tmp_path: Path, origin: Origin) -> None:
    with a_sidecar(tmp_path, origin.port) as (_, _port, admin):
        (tmp_path / "policy.toml").write_text(LATER + '\n[geo]\ndatabases = ["builtin", "gone.mmdb"]\n')
        status, said = operate(admin, "POST", "/reload")
        assert (status, "gone.mmdb" in said["problems"]) == (409, True)
        assert revision(admin) == "2026-01"


@WORKERS
def test_keys_are_exchanged_at_run_time(tmp_path: Path, origin: Origin, workers: str) -> None:
    """With a key beside the old one both verify; once the old one is gone, what it signed is a stranger's."""
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    with a_sidecar(tmp_path, origin.port, "--workers", workers, "--keys-file", str(keys)) as (_, port, admin):
        old = chosen(port)
        keys.write_text(f"{KEY}\n{OTHER_KEY}\n")
        assert operate(admin, "POST", "/reload")[0] == 200
        new = chosen(port)
        assert [_status(port, one) for one in (old, new)] == ["refused", "refused"]
        keys.write_text(OTHER_KEY)
        assert operate(admin, "POST", "/reload")[0] == 200
        assert [_status(port, one) for one in (old, new)] == ["unknown", "refused"]
        # A key file that is gone, or unsound, leaves the keys in force.
        for change in (keys.unlink, lambda: keys.write_text("short"), lambda: keys.write_bytes(b"\xff\xfe\xff" * 9)):
            change()
            status, said = operate(admin, "POST", "/reload")
            assert (status, "--keys-file" in said["problems"]) == (409, True)
            assert [_status(port, one) for one in (old, new)] == ["unknown", "refused"]
        assert operate(admin, "GET", "/ready")[0] == 200


def _status(port: int, cookie: str) -> object:
    said = state(port, cookie)["consent"]
    assert isinstance(said, dict)
    return said["status"]


@WORKERS
def test_a_certificate_is_exchanged_with_the_policy_or_neither_is(
    tmp_path: Path, origin: Origin, workers: str
) -> None:
    certificate, key = write_pair(tmp_path, "old.example")
    flags = ("--workers", workers, "--tls-cert", certificate, "--tls-key", key)
    with a_sidecar(tmp_path, origin.port, *flags) as (_, port, admin):
        assert {_shown(port) for _ in range(4)} == {"old.example"}
        (tmp_path / "policy.toml").write_text(LATER)
        Path(key).write_text("no key at all")
        status, said = operate(admin, "POST", "/reload")
        assert (status, "--tls-key" in said["problems"], revision(admin)) == (409, True, "2026-01")
        assert {_shown(port) for _ in range(4)} == {"old.example"}
        for new, old in zip(write_pair(tmp_path, "new.example"), (certificate, key), strict=True):
            Path(new).rename(old)
        assert operate(admin, "POST", "/reload")[0] == 200
        assert {_shown(port) for _ in range(4)} == {"new.example"}
        assert revision(admin) == "2026-02"


def _shown(port: int) -> str:
    """The name in the certificate that a handshake shows."""
    with trusting("http/1.1").wrap_socket(connect(port), server_hostname="localhost") as peer:
        shown = x509.load_der_x509_certificate(peer.getpeercert(True) or b"")
    return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_an_admin_port_shows_no_key(tmp_path: Path, origin: Origin) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    with a_sidecar(tmp_path, origin.port, "--keys-file", str(keys)) as (_, _port, admin):
        keys.write_text("short,but-a-secret")
        told = [
            str(operate(admin, *asked)) for asked in (("POST", "/reload"), ("GET", "/policy"), ("GET", "/metrics"))
        ]
        assert [word for word in (KEY, "secret") if any(word in one for one in told)] == []


def _renamed(folder: Path) -> None:
    (folder / "new").write_text(LATER)
    (folder / "new").rename(folder / "policy.toml")


def _in_place(folder: Path) -> None:
    with (folder / "policy.toml").open("r+") as file:
        file.write(LATER)
        file.truncate()


def _mounted(folder: Path) -> None:
    """As Kubernetes mounts a ConfigMap: the file is a link through a folder's link, which is replaced."""
    for name, text in (("v1", POLICY), ("v2", LATER)):
        (folder / name).mkdir()
        (folder / name / "policy.toml").write_text(text)
    (folder / "data").symlink_to("v1")
    (folder / "policy.toml").unlink()
    (folder / "policy.toml").symlink_to("data/policy.toml")
    (folder / "data_new").symlink_to("v2")
    (folder / "data_new").rename(folder / "data")


CHANGES: dict[str, Callable[[Path], None]] = {"renamed": _renamed, "in place": _in_place, "link swapped": _mounted}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_watched_policy_is_reloaded_however_it_changes(
    tmp_path: Path, origin: Origin, change: Callable[[Path], None]
) -> None:
    with a_sidecar(tmp_path, origin.port, "--watch") as (_, port, admin):
        change(tmp_path)
        until(lambda: revision(admin) == "2026-02")
        assert state(port)["revision"] == "2026-02"


def test_a_watched_key_file_that_vanishes_is_told_once_and_taken_when_it_is_back(
    tmp_path: Path, origin: Origin
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    with a_sidecar(tmp_path, origin.port, "--watch", "--keys-file", str(keys)) as (_, port, admin):
        old = chosen(port)
        keys.unlink()
        until(lambda: metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1)
        assert _status(port, old) == "refused"
        keys.write_text(OTHER_KEY)
        until(lambda: _status(port, old) == "unknown")
        assert metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1
        assert "cannot be read" in (tmp_path / "err").read_text()


@WORKERS
def test_no_request_fails_while_policies_are_exchanged(tmp_path: Path, origin: Origin, workers: str) -> None:
    origin.answer = lambda peer, head: peer.sendall(OK)
    with a_sidecar(tmp_path, origin.port, "--workers", workers) as (_, port, admin):
        stop, failed, done = threading.Event(), [0], [0]

        def load() -> None:
            while not stop.is_set():
                with connect(port) as peer:
                    for _ in range(20):
                        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        failed[0] += read_until(peer, OK) != OK
                        done[0] += 1

        loads = [threading.Thread(target=load) for _ in range(4)]
        for one in loads:
            one.start()
        texts = [LATER, POLICY, UNSOUND, LATER]
        for text in texts:
            (tmp_path / "policy.toml").write_text(text)
            assert operate(admin, "POST", "/reload")[0] == (409 if text is UNSOUND else 200)
        stop.set()
        for one in loads:
            one.join(20)
        assert (failed[0], revision(admin)) == (0, "2026-02")
        assert done[0] > 40
        members = operate(admin, "GET", "/policy")[1].get("workers", [])
        assert len({one["digest"] for one in members}) == (1 if workers == "2" else 0)


def test_a_request_under_way_ends_under_the_policy_that_it_began_with(tmp_path: Path, origin: Origin) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(peer: object, head: bytes) -> None:
        asked.set()
        assert answer.wait(10)
        peer.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nSet-Cookie: new=1\r\nContent-Length: 2\r\n\r\nok")  # type: ignore[attr-defined]  # a socket

    origin.answer = slow
    with a_sidecar(tmp_path, origin.port) as (_, port, admin), connect(port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert asked.wait(5)
        new_rule = '\n[[cookie]]\nname = "new"\npurpose = "essential"\n'
        (tmp_path / "policy.toml").write_text(LATER.replace('name = "session"', 'name = "other"') + new_rule)
        assert operate(admin, "POST", "/reload")[0] == 200
        answer.set()
        got = read_all(peer)
        assert (b"session=1" in got, b"new=1" in got) == (True, False)
        again = ask(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert (b"session=1" in again, b"new=1" in again) == (False, True)
    origin.answer = lambda peer, head: peer.sendall(OK)
