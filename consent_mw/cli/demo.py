"""`demo`: the main job on embedded defaults: a site, the sidecar before it, a vendor, and a page to visit from.

Rule: nothing is left running, and nothing is left on disk.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from consent_mw.cli.demo_site.control import Control
from consent_mw.cli.demo_site.drive import drive
from consent_mw.cli.demo_site.servers import Receiver, Shop
from consent_mw.errors import ServeError
from consent_mw.world.policy_file import load_policy, read_profile

WANTED_PORT = 8700
"""Where the page to visit from is, if the port is free."""


@click.command("demo")
@click.option(
    "--drive", "visits", type=click.IntRange(1, 100_000), default=None, help="Drive N visits and print a table."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=WANTED_PORT, show_default=True, help="The page's port."
)
def command(visits: int | None, port: int) -> int:
    """Show a site behind a published policy, on embedded defaults."""
    stopping = threading.Event()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="consent-mw-demo-")))
        shop, receiver = Shop(), Receiver()
        for server in (shop, receiver):
            server.begin()
            stack.callback(server.end)
        site = stack.enter_context(sidecar(folder, shop.url, receiver.url))
        if visits is not None:
            return drive(visits, site, receiver, shop, load_policy(folder / "policy.toml"))
        control = _control(port, site, receiver, shop)
        control.begin()
        stack.callback(control.end)
        click.echo(_told(control.url, site, receiver.url))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        while not stopping.wait(0.5):
            pass
    click.echo("consent-mw: the demonstration has ended")
    return 0


def demo_policy(receiver: str) -> str:
    """The profile `mixmax-2018`, with the demonstration's own vendor and the loopback as trusted proxy."""
    text = read_profile("mixmax-2018")
    text = re.sub(r'(?m)^kind( *)= "segment"$', r'kind\1= "webhook"', text)
    text = re.sub(r"(?m)^endpoint( *)=.*$", rf'endpoint\1= "{receiver}/in"', text)
    text = re.sub(r"(?m)^key( *)=.*\n", "", text)
    text = re.sub(r"(?m)^origin( *)=.*\n", "", text)
    return text + '\n[client_address]\ntrusted = ["127.0.0.0/8"]\n'


@contextlib.contextmanager
def sidecar(folder: Path, upstream: str, receiver: str) -> Iterator[str]:
    """The sidecar as a process of its own; gives its address. Raises ServeError where it does not start."""
    policy = folder / "policy.toml"
    policy.write_text(demo_policy(receiver), encoding="utf-8")
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    command_line = [
        sys.executable, "-m", "consent_mw.cli", "serve", "--policy", str(policy), "--upstream", upstream,
        "--listen", "127.0.0.1:0", "--store", f"sqlite:///{folder / 'consent.db'}", "--drain", "5s",
        "--access-log", "off",
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603  our own command
        command_line,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSENT_MW_KEYS": key},
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        found = re.search(r"listening on (http://\S+?),", line)
        if found is None:
            raise ServeError("the sidecar of the demonstration did not start; its own message stands above")
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _control(port: int, site: str, receiver: Receiver, shop: Shop) -> Control:
    try:
        return Control(port, site, receiver, shop)
    except OSError:
        return Control(0, site, receiver, shop)


def _told(control: str, site: str, receiver: str) -> str:
    return f"""consent-mw: the demonstration runs

  {control}   visit as somebody in Berlin, London, Reykjavik, California, and see what was set, dropped and sent
  {site}   the little shop, behind the sidecar: visit it yourself, accept, refuse, sign in
  {receiver}   what reached the analytics vendor, live

Try: visit as Berlin, then as Berlin with a yes. Visit with Do Not Track on: it is ignored, and the answer says so.
End it with Ctrl-C."""
