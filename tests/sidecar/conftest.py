"""One origin and one sidecar for each module of the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sidecar.raw import STRANGERS, Origin, a_sidecar


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """The site."""
    made = Origin()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The sidecar's port and its admin port."""
    with a_sidecar(tmp_path_factory.mktemp("sidecar"), origin.port, policy=STRANGERS) as (_, port, admin):
        yield port, admin


@pytest.fixture
def port(ports: tuple[int, int], origin: Origin) -> int:
    """The sidecar's port; the site has forgotten what came before."""
    origin.reset()
    return ports[0]


@pytest.fixture
def admin(ports: tuple[int, int]) -> int:
    """The sidecar's admin port."""
    return ports[1]
