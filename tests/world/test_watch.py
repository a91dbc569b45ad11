"""A change of a file is told however it was made, once it is over, and never twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consent_mw.world.watch import Look, Watch, look

EVERY = 0.02


def changes(change: Callable[[Path], object], folder: Path, *, at_least: int = 1) -> int:
    """How often a watch of `folder/file` tells of what `change` does, once it told so often and a while after."""

    async def watched() -> int:
        files = [str(folder / "file")]
        seen: list[Look] = [look(files)]
        told = 0

        async def changed() -> None:
            nonlocal told
            told += 1
            seen.append(look(files))

        task = asyncio.create_task(Watch(lambda: files, lambda: seen[-1], changed).run(EVERY))
        await asyncio.sleep(EVERY * 3)
        assert told == 0
        await asyncio.to_thread(change, folder)
        async with asyncio.timeout(10):
            while told < at_least:  # noqa: ASYNC110  it is the watch that is tested
                await asyncio.sleep(EVERY)
        await asyncio.sleep(EVERY * 6)
        task.cancel()
        return told

    return asyncio.run(watched())


def _swapped(folder: Path) -> None:
    (folder / "link2").symlink_to("v2")
    (folder / "link2").rename(folder / "link")


CHANGES: dict[str, Callable[[Path], object]] = {
    "written in place": lambda folder: (folder / "file").write_text("two"),
    "replaced": lambda folder: (folder / "v2" / "file").rename(folder / "file"),
    "removed": lambda folder: (folder / "file").unlink(),
    "the same size": lambda folder: (folder / "file").write_text("eno"),
    "touched": lambda folder: os.utime(folder / "file", (1, 1)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "file").write_text("one")
    return tmp_path


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_once(folder: Path, change: Callable[[Path], object]) -> None:
    assert changes(change, folder) == 1


def test_a_link_that_is_swapped_further_up_is_a_change(folder: Path) -> None:
    (folder / "link").symlink_to("v1")
    (folder / "file").unlink()
    (folder / "file").symlink_to("link/file")
    assert changes(_swapped, folder) == 1


def test_what_does_not_change_is_not_told(folder: Path) -> None:
    assert changes(lambda _: None, folder, at_least=0) == 0


def test_a_file_is_told_once_it_has_come_to_rest(folder: Path) -> None:
    def slowly(where: Path) -> None:
        with (where / "file").open("w") as file:
            for _ in range(20):
                file.write("x")
                file.flush()
                time.sleep(EVERY / 4)

    assert changes(slowly, folder) in (1, 2)  # two where this machine paused in the midst of it


def test_a_change_before_the_first_look_is_told(folder: Path) -> None:
    async def watched() -> None:
        files = [str(folder / "file")]
        seen = look(files)
        (folder / "file").write_text("before anybody looked")
        told = asyncio.Event()

        async def changed() -> None:
            told.set()

        task = asyncio.create_task(Watch(lambda: files, lambda: seen, changed).run(EVERY))
        await asyncio.wait_for(told.wait(), 5)
        task.cancel()

    asyncio.run(watched())


def test_a_file_that_is_not_there_looks_like_nothing(tmp_path: Path) -> None:
    missing = str(tmp_path / "gone")
    assert look([missing, missing, "\0"]) == (("\0", 0, 0, 0, 0), (missing, 0, 0, 0, 0))
