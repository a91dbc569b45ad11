"""Static files are named by their bytes, compressed ahead, small, and nothing else can be asked for."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from consent_mw.world.assets import Asset, Assets

BANNER = ("banner.css", "banner.js")
NAMES = (*BANNER, "pages.css")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_served_under_a_name_that_tells_its_bytes(name: str) -> None:
    assets = Assets()
    url = assets.url("/_consent/", name)
    asset = assets.get(url.rsplit("/", 1)[1])
    assert asset is not None
    stem, suffix = name.split(".")
    assert url == f"/_consent/static/{stem}.{hashlib.sha256(asset.body).hexdigest()[:8]}.{suffix}"
    assert gzip.decompress(asset.gzip_body) == asset.body


def test_files_are_found_with_their_types_and_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_bytes(b"a{}")
    (tmp_path / "secret.key").write_bytes(b"k")
    (tmp_path / "folder.js").mkdir()
    assets = Assets(tmp_path)
    name = assets.url("", "a.css").removeprefix("/static/")
    assert assets.get(name) == Asset(b"a{}", gzip.compress(b"a{}", mtime=0), "text/css; charset=utf-8")
    with pytest.raises(KeyError):
        assets.url("", "secret.key")


@pytest.mark.parametrize("name", ["", "banner.css", "../banner.css", "banner.00000000.css", "/etc/passwd", "\0", "é"])
def test_a_name_never_becomes_a_path(name: str) -> None:
    assert Assets().get(name) is None


def test_a_missing_folder_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Assets(tmp_path / "nowhere")


def test_the_banners_style_and_script_are_under_six_kilobytes_together() -> None:
    assets = Assets()
    loaded = [assets.get(assets.url("", name).removeprefix("/static/")) for name in BANNER]
    assert sum(len(one.gzip_body) for one in loaded if one) < 6 * 1024


def test_the_files_call_nothing_but_their_own_site() -> None:
    assets = Assets()
    for name in NAMES:
        asset = assets.get(assets.url("", name).removeprefix("/static/"))
        assert asset is not None
        assert not re.search(rb"https?:|@import|url\(|\beval\b|innerHTML", asset.body)
