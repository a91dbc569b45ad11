"""A running sidecar says what the site's file of texts says now, or all that it said before."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.site import BERLIN, POLICY
from tests.sidecar.raw import Origin, a_sidecar, ask, metric, operate, until

BEFORE = '[de]\nchoice.reject = "Nein danke"\n'
AFTER = '[de]\nchoice.reject = "Lieber nicht"\n'
NAMED = POLICY.replace("[site]\n", '[site]\ntexts = "texts.toml"\n', 1)
PAGE = b"<!doctype html><html lang=de><title>Laden</title><body><h1>Laden</h1>"
HEAD = f"Host: a\r\nConnection: close\r\nSec-Fetch-Dest: document\r\nX-Forwarded-For: {BERLIN}\r\n"
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    made.say(
        b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % len(PAGE) + PAGE
    )
    yield made
    made.close()


def page(port: int, more: str = "", path: str = "/") -> str:
    return ask(port, f"GET {path} HTTP/1.1\r\n{HEAD}{more}\r\n".encode()).decode()


def refusal(port: int) -> str:
    """What the button says that refuses everything."""
    return page(port).partition('value="reject">')[2].partition("</button>")[0]


def reload_by_signal(process: object, admin: int) -> None:
    process.send_signal(signal.SIGHUP)  # type: ignore[attr-defined]  # a process


def reload_by_port(process: object, admin: int) -> None:
    operate(admin, "POST", "/reload")


def watched(process: object, admin: int) -> None:
    pass


ASKED = {"signal": (reload_by_signal, ()), "admin port": (reload_by_port, ()), "watch": (watched, ("--watch",))}


@WORKERS
@pytest.mark.parametrize(("asked", "flags"), ASKED.values(), ids=ASKED)
def test_changed_texts_are_in_force_and_unsound_ones_leave_those_of_before(
    tmp_path: Path, origin: Origin, asked: Callable[[object, int], None], flags: tuple[str, ...], workers: str
) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text(BEFORE)
    with a_sidecar(tmp_path, origin.port, "--workers", workers, *flags, policy=NAMED) as (process, port, admin):
        assert refusal(port) == "Nein danke"
        texts.write_text(AFTER)
        asked(process, admin)
        until(lambda: metric(admin, 'consent_mw_reloads_total{result="done"}') == 1)
        assert {refusal(port) for _ in range(4)} == {"Lieber nicht"}
        assert "Lieber nicht" in page(port, path="/_consent/preferences?lang=de")
        texts.write_text('[de]\n\nchoice.rejekt = "Nein"\n')
        asked(process, admin)
        until(lambda: metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1)
        assert {refusal(port) for _ in range(4)} == {"Lieber nicht"}


def test_an_unsound_file_of_texts_is_told_with_its_line(tmp_path: Path, origin: Origin) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text(BEFORE)
    with a_sidecar(tmp_path, origin.port, policy=NAMED) as (process, port, admin):
        for bad, told in (
            ('[de]\n\nchoice.rejekt = "Nein"\n', ":3:8: error[unknown-text]: there is no text `choice.rejekt`"),
            ("[de]\nchoice.reject = Nein\n", ":2:17: error["),
        ):
            texts.write_text(bad)
            status, said = operate(admin, "POST", "/reload")
            assert (status, f"{texts}{told}" in said["problems"]) == (409, True), said
        process.send_signal(signal.SIGHUP)
        until(lambda: f"{texts}:2:17: error[" in (tmp_path / "err").read_text())
        assert refusal(port) == "Nein danke"


def test_a_file_of_texts_that_vanishes_takes_no_words_away(tmp_path: Path, origin: Origin) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text(BEFORE)
    with a_sidecar(tmp_path, origin.port, policy=NAMED) as (_, port, admin):
        texts.unlink()
        status, said = operate(admin, "POST", "/reload")
        assert (status, "error[missing-file]: there is no file `texts.toml`" in said["problems"]) == (409, True), said
        assert f"{tmp_path / 'policy.toml'}:" in said["problems"]
        assert refusal(port) == "Nein danke"


def test_a_watched_file_of_texts_that_a_refused_policy_names_is_read_once_it_is_mended(
    tmp_path: Path, origin: Origin
) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text("[de]\nchoice.reject = 5\n")
    with a_sidecar(tmp_path, origin.port, "--watch") as (_, port, admin):
        (tmp_path / "policy.toml").write_text(NAMED)
        until(lambda: metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1)
        texts.write_text(AFTER)
        until(lambda: refusal(port) == "Lieber nicht")
        assert metric(admin, 'consent_mw_reloads_total{result="failed"}') == 1


def test_a_page_kept_from_before_is_not_taken_for_one_with_the_new_words(tmp_path: Path, origin: Origin) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text(BEFORE)
    with a_sidecar(tmp_path, origin.port, policy=NAMED) as (_, port, admin):
        found = re.search(r"\r\netag: ([^\r]+)", page(port), re.IGNORECASE)
        assert found is not None
        origin.forget()
        for text, kept in ((BEFORE, True), (AFTER, False)):
            texts.write_text(text)
            assert operate(admin, "POST", "/reload")[0] == 200
            origin.forget()
            page(port, f"If-None-Match: {found[1]}\r\n")
            assert (b"if-none-match" in origin.heads[0].lower()) is kept


def test_another_stylesheet_and_logo_are_on_banner_and_pages(tmp_path: Path, origin: Origin) -> None:
    dressed = POLICY.replace("[site]\n", '[site]\nstylesheet = "/{0}.css"\nlogo = "/{0}.svg"\n', 1)
    with a_sidecar(tmp_path, origin.port, policy=dressed.replace("{0}", "old")) as (_, port, admin):
        for name, other in (("old", "new"), ("new", "old")):
            (tmp_path / "policy.toml").write_text(dressed.replace("{0}", name))
            assert operate(admin, "POST", "/reload")[0] == 200
            for path in ("/", "/_consent/preferences"):
                shown = page(port, path=path)
                assert f'href="/{name}.css"' in shown
                assert f'src="/{name}.svg"' in shown
                assert f"/{other}." not in shown
