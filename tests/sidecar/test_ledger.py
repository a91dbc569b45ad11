"""The sidecar's ledger: its head is in the log and in the metrics, and however many processes serve, it is one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from consent_mw.cli import run
from tests.journeys.site import POLICY, VENDOR, receiving
from tests.sidecar.raw import KEY, Origin, a_sidecar, ask, operate, until
from tests.sidecar.shop import ANSWER
from tests.world.ledgers import kinds, told

LEDGER_KEY = "the-key-of-the-ledger-0123456789"
ENVIRONMENT = {"CONSENT_MW_LEDGER_KEY": LEDGER_KEY}


def verb(*words: str, folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code of `consent-mw ledger …`, and what it printed."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, {**ENVIRONMENT, **environment}), contextlib.redirect_stdout(said):
        code = run(["ledger", *words, "--store", f"sqlite:///{folder / 'c.db'}"])
    return code, said.getvalue()


def heads_in_log(folder: Path) -> list[str]:
    return re.findall(r"^consent-mw: ledger head (\d+:[0-9a-f]{64})$", (folder / "err").read_text(), re.MULTILINE)


def head_in_metrics(admin: int) -> tuple[str, str]:
    """The number of entries and the head, as the metrics tell them."""
    said = operate(admin, "GET", "/metrics")[1]
    [entries] = re.findall(r"^consent_mw_ledger_entries (\S+)$", said, re.MULTILINE)
    [head] = re.findall(r'^consent_mw_ledger_head_info\{head="([^"]+)"\} 1\.0$', said, re.MULTILINE)
    return entries, head


def choose(port: int, number: int) -> bytes:
    """A choice from an address of its own."""
    body = json.dumps({"all": number % 2 == 0}).encode()
    head = "POST /_consent/choice HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
    head += (
        f"Content-Type: application/json\r\nX-Forwarded-For: 9.9.0.{number}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return ask(port, head.encode() + body)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_head_is_in_the_log_and_in_the_metrics_and_the_ledger_whole(tmp_path: Path, workers: str) -> None:
    site = Origin()
    site.say(ANSWER)
    flags = ("--workers", workers)
    with (
        receiving() as vendor,
        a_sidecar(
            tmp_path, site.port, *flags, policy=POLICY + VENDOR.format(port=vendor.server_address[1]), env=ENVIRONMENT
        ) as (process, port, admin),
    ):
        for number in range(20):
            assert choose(port, number).startswith(b"HTTP/1.1 200")
        until(lambda: kinds(tmp_path / "c.db").count("choice") == 20)
        entries, head = head_in_metrics(admin)
        assert head.startswith(f"{float(entries):.0f}:")
        assert verb("head", folder=tmp_path) == (0, head + "\n")
        # Beside the running sidecar.
        assert verb("verify", "--head", head, folder=tmp_path)[0] == 0
        process.terminate()
        assert process.wait(15) == 0
    site.close()
    logged = heads_in_log(tmp_path)
    assert verb("head", folder=tmp_path) == (0, logged[-1] + "\n")
    assert [verb("verify", "--head", one, folder=tmp_path)[0] for one in (logged[0], head, logged[-1])] == [0, 0, 0]
    # With its own key it needs no other, and no warning.
    assert "derived" not in (tmp_path / "err").read_text()
    assert kinds(tmp_path / "c.db").count("policy") == 1


def test_without_a_key_of_its_own_the_ledger_warns_and_is_good_by_the_signing_keys(tmp_path: Path) -> None:
    site = Origin()
    with a_sidecar(tmp_path, site.port) as (process, _, _):
        process.terminate()
        assert process.wait(15) == 0
    site.close()
    assert (tmp_path / "err").read_text().count("consent-mw: the ledger's key is derived from the oldest") == 1
    assert verb("verify", folder=tmp_path, CONSENT_MW_LEDGER_KEY="", CONSENT_MW_KEYS=KEY)[0] == 0


def test_a_ledger_key_that_is_none_is_told_and_nothing_served(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    command = [sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(tmp_path / "policy.toml")]
    command += [
        "--upstream",
        "http://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
        "--store",
        f"sqlite:///{tmp_path}/c.db",
    ]
    environment = {"CONSENT_MW_KEYS": KEY, "CONSENT_MW_LEDGER_KEY": "short"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    said = (
        "consent-mw: CONSENT_MW_LEDGER_KEY: a key is shorter than 16 bytes: `consent-mw keys new` makes a good one\n"
    )
    assert (ran.returncode, ran.stderr) == (2, said)


def test_a_reload_is_an_entry_and_a_vendor_that_goes_is_recalled(tmp_path: Path) -> None:
    site = Origin()
    site.say(ANSWER)
    policy = POLICY + VENDOR.format(port=9)
    with a_sidecar(tmp_path, site.port, policy=policy, env=ENVIRONMENT) as (_, port, admin):
        page = b"GET / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: document\r\nX-Forwarded-For: 74.125.224.72\r\n"
        ask(port, page + b"User-Agent: Mozilla/5.0 Firefox/128.0\r\nConnection: close\r\n\r\n")
        (tmp_path / "policy.toml").write_text(POLICY.replace('"2026-01"', '"2026-02"'))
        assert operate(admin, "POST", "/reload")[0] == 200
        until(lambda: "recall" in kinds(tmp_path / "c.db"))
    site.close()
    told_of = [
        (kind, vendor, content.get("revision") or content["reason"])
        for kind, vendor, _, content in told(tmp_path / "c.db")
        if kind in ("policy", "recall")
    ]
    assert told_of == [("policy", "", "2026-01"), ("policy", "", "2026-02"), ("recall", "insights", "policy")]


def test_a_crash_leaves_a_whole_ledger(tmp_path: Path) -> None:
    site = Origin()
    with a_sidecar(tmp_path, site.port, "--workers", "2", policy=POLICY, env=ENVIRONMENT) as (process, port, _):
        for number in range(10):
            assert choose(port, number).startswith(b"HTTP/1.1 200")
        process.kill()
        process.wait(10)
    site.close()
    assert verb("verify", folder=tmp_path)[0] == 0
    with sqlite3.connect(tmp_path / "c.db") as db:
        receipts = db.execute("SELECT count(*) FROM receipts").fetchone()[0]
    db.close()
    assert (receipts, kinds(tmp_path / "c.db").count("choice")) == (10, 10)
