"""The command line: one verb, one file, imported only when it is called.

Rule: exit 0 is fine, 1 is findings, 2 is "cannot run"; a verb never ends in a traceback on bad input.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from consent_mw.errors import ConsentError, PolicyError, Severity

VERBS = {
    "check": "Tell every mistake in a policy file.",
    "diff": "Tell what another policy would change.",
    "demo": "Run a small site behind the firewall on this machine.",
    "explain": "Show what a policy decides for one visitor, and why.",
    "geo": "Ask the location databases, or get a newer one.",
    "init": "Write a policy to begin with, or draft one from what was seen.",
    "inventory": "Show what report mode saw on live traffic.",
    "keys": "Make signing keys; verify a receipt.",
    "ledger": "Read, verify and export the book of choices and deliveries.",
    "profile": "List or show the built-in policies.",
    "replay": "Tell what a policy would have decided for recorded traffic.",
    "scan": "Visit a site with a real browser and compare it with its policy.",
    "serve": "Run the reverse proxy in front of a site.",
    "stats": "Show how and when pages were visited, and by how many people.",
    "subject": "Show or erase what is stored about a person.",
    "test": "Run the cases that stand beside a policy.",
}
"""Every verb and its one line; the command of verb `x` is `consent_mw.cli.x.command`."""


@contextmanager
def _while_read() -> Iterator[None]:
    """Exit 2 where the reader goes away (`| head`): not all was told, and click would make a finding of it (1)."""
    try:
        yield
    except BrokenPipeError:
        # Python would complain again when it flushes stdout at exit.
        sys.stdout = None
        raise click.exceptions.Exit(2) from None


class Verbs(click.Group):
    """The group of all verbs; a verb's file is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, by name."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"consent_mw.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def make_context(self, *arguments: Any, **how: Any) -> click.Context:
        """Read the arguments, and tell the help."""
        with _while_read():
            return super().make_context(*arguments, **how)

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb."""
        with _while_read():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their one lines, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="consent_mw", prog_name="consent-mw")
def verbs() -> None:
    """Make a site's published cookie policy true."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character of the file gets its escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one verb; the exit code. What cannot run is told in a sentence on stderr."""
    try:
        code = verbs.main(list(arguments), prog_name="consent-mw", standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        return cannot_run(_in_house_style(error.format_message()))
    except click.Abort:
        return 130
    except ConsentError as error:
        return refused(error)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return cannot_run(f"{named}{(error.strerror or str(error)).lower()}")
    return code if isinstance(code, int) else 0


def refused(error: ConsentError) -> int:
    """Say why a verb cannot run, of a policy with every mistake in it; the exit code for that."""
    if not isinstance(error, PolicyError):
        return cannot_run(str(error))
    number = sum(one.severity is Severity.ERROR for one in error.problems)
    if number == 1 == len(error.problems):
        return cannot_run(str(error))
    click.echo(str(error), err=True)
    file = error.problems[0].place.file
    return cannot_run(f"`{file}` has {number} error{'s' * (number != 1)}; `consent-mw check` shows the lines")


def _in_house_style(sentence: str) -> str:
    """What click says, as everything else is said: it begins sentences with a capital, and closes them."""
    words = sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence
    return words.removesuffix(".")


def cannot_run(sentence: str) -> int:
    """Say why a verb cannot run; the exit code for that."""
    click.echo(f"consent-mw: {sentence}", err=True)
    return 2
