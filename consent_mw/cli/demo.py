"""`demo`: the main job on embedded defaults: a site, the sidecar before it, a vendor, and a page to visit from.

Rule: nothing is left running, and nothing is left on disk, whichever way it ends.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from consent_mw.cli.demo_site.control import Control
from consent_mw.cli.demo_site.drive import drive
from consent_mw.cli.demo_site.process import PROFILE, demo_policy, sidecar
from consent_mw.cli.demo_site.receiver import Receiver
from consent_mw.cli.demo_site.shop import Shop
from consent_mw.core.policy import Policy
from consent_mw.world.policy_file import load_policy, read_profile_cases, where_cases_stand

WANTED_PORT = 8700
"""Where the page to visit from is, if the port is free."""


@click.command("demo")
@click.option(
    "--drive", "visits", type=click.IntRange(1, 100_000), default=None, help="Make N visits, print a table, and end."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=WANTED_PORT,
    show_default=True,
    help="The page's port; a free one where it is taken.",
)
def command(visits: int | None, port: int) -> int:
    """Show a site behind a published policy, on embedded defaults."""
    try:
        with _interrupted_by_signals(), contextlib.ExitStack() as stack:
            return _run(stack, visits, port)
    except KeyboardInterrupt:
        click.echo("\nconsent-mw: the demonstration has ended, and nothing of it is left")
        return 0 if visits is None else 130


def _run(stack: contextlib.ExitStack, visits: int | None, port: int) -> int:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="consent-mw-demo-")))
    shop, receiver = Shop(), Receiver()
    for server in (shop, receiver):
        server.begin()
        stack.callback(server.end)
    file = folder / "policy.toml"
    file.write_text(demo_policy(receiver.url), encoding="utf-8")
    where_cases_stand(str(file)).write_text(read_profile_cases(PROFILE), encoding="utf-8")
    policy = load_policy(file)
    site = stack.enter_context(sidecar(folder, file, shop.url))
    if visits is not None:
        return drive(visits, policy, site, receiver, shop)
    control = _control(port, policy, site, receiver, shop)
    control.begin()
    stack.callback(control.end)
    click.echo(_told(control.url, site, receiver.url))
    while True:
        threading.Event().wait(3600)


def _control(port: int, policy: Policy, site: str, receiver: Receiver, shop: Shop) -> Control:
    try:
        return Control(port, policy, site, receiver, shop)
    except OSError:
        return Control(0, policy, site, receiver, shop)


def _told(control: str, site: str, receiver: str) -> str:
    return f"""consent-mw: the demonstration runs

  {control}   visit as somebody in Berlin, London, Reykjavik or California: what was set, dropped and sent, and why
  {site}   the little shop itself, behind the sidecar
  {receiver}   what its analytics vendor got, live

What to try
  Visit as Berlin and as California: one is asked first, the other is told and measured.
  Let both say no, then yes. Let them sign in: their name reaches the vendor only where analytics is allowed.
  Visit with Do Not Track on: the published policy ignores it, and the answer says so (Tk: D).
  Open the shop yourself. This machine's own address is nowhere, so the strictest rules hold, and you are asked.

End it with Ctrl-C."""


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """End the block, as Ctrl-C does, on what a terminal or a service manager sends; once, so that cleaning up is not
    interrupted in turn."""
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in wanted}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for one in wanted:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in wanted:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
