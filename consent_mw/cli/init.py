"""`init`: a complete, commented policy to begin with, from a built-in profile, or drafted from what was seen.

Rule: what was learned is a draft in report mode: a rule that nothing speaks for stands there commented out.
Rule: names only are kept of what is looked at, and of those none that looks like personal data.
Rule: a file that is there is never written over without `--force`.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import click
import httpx

from consent_mw.cli.geo import told_of
from consent_mw.cli.replay import lines_of, opened
from consent_mw.core.inventory import OTHER, UNLISTED, Sort, totals
from consent_mw.core.learning import Proposal, Seen, proposals
from consent_mw.core.redaction import mask
from consent_mw.core.schema import policy_schema
from consent_mw.wire.cookies import SetCookie, split_cookies
from consent_mw.wire.har import read_har
from consent_mw.wire.log_line import read_log_line
from consent_mw.world.catalogue import read_catalogue
from consent_mw.world.policy_file import profile_names, read_profile, read_profile_cases
from consent_mw.world.store import read_inventory

LARGEST = 64 * 1024 * 1024
"""Bytes of an archive, and of a page, that are read."""

_LOADED = re.compile(rb"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//([A-Za-z0-9.-]+)""", re.IGNORECASE)


@click.command("init")
@click.argument("file", default="policy.toml")
@click.option("--from", "profile", help="Begin with this built-in profile (`consent-mw profile list`).")
@click.option(
    "--learn", "sources", multiple=True, metavar="SOURCE", help="Draft rules from a URL, a HAR, a log, or a store."
)
@click.option("--name", default="Example", help="The site's name.")
@click.option("--origin", default="https://example.com", help="Its scheme and host.")
@click.option("--policy-url", help="Where its privacy policy is published; by default ORIGIN/privacy.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or JSON.")
def command(
    file: str, profile: str | None, sources: tuple[str, ...], name: str, origin: str, policy_url: str | None,
    force: bool, form: str,
) -> int:  # fmt: skip
    """Write a policy FILE (policy.toml), cases beside it, and the schema for editors."""
    if profile is not None and sources:
        raise click.ClickException("give --from or --learn, not both")
    learned = _learned(sources, origin) if sources else None
    if profile is not None:
        policy, cases = _of_profile(profile)
    else:
        policy, cases = _started(name, origin, policy_url or f"{origin}/privacy", learned)
    path = Path(file)
    written = [
        (path, policy),
        (path.with_suffix(".cases.toml"), cases),
        (path.parent / "policy.schema.json", json.dumps(policy_schema(), indent=2) + "\n"),
    ]
    _write(written, force=force)
    if form == "json":
        drafted = [_values(one) for one in learned[0]] if learned is not None else []
        click.echo(json.dumps({"files": [str(one) for one, _ in written], "cookies": drafted}, indent=2))
        return 0
    for one, _ in written:
        click.echo(f"wrote {one}")
    if learned is not None:
        proposed = sum(bool(one.purpose) for one in learned[0])
        click.echo(f"cookies with a proposed purpose: {proposed}; yours to decide: {len(learned[0]) - proposed}")
    click.echo(f"next: consent-mw check {file}; consent-mw test {file}")
    return 0


def _of_profile(name: str) -> tuple[str, str]:
    if name not in profile_names():
        known = ", ".join(f"`{one}`" for one in profile_names())
        raise click.ClickException(f"there is no profile `{name}`; there are: {known}")
    return read_profile(name), read_profile_cases(name)


Learned = tuple[Sequence[Proposal], Sequence[str]]


def _started(name: str, origin: str, policy_url: str, learned: Learned | None) -> tuple[str, str]:
    cookies, hosts = learned or ((), ())
    purposes = ["analytics"]
    if any(one.purpose == "marketing" for one in cookies):
        purposes.append("marketing")
    folder = resources.files("consent_mw") / "data" / "start"
    policy, cases = ((folder / one).read_text("utf-8") for one in ("policy.toml", "policy.cases.toml"))
    filled = {
        "@TODAY@": datetime.now(UTC).strftime("%Y-%m-%d"),
        '"@MODE@" ': '"report" ' if learned is not None else '"enforce"',
        "@NAME@": _toml(name),
        "@ORIGIN@": _toml(origin),
        "@POLICY_URL@": _toml(policy_url),
        "@OPTIONAL@": json.dumps(purposes),
        "@ALL@": json.dumps(["essential", *purposes]),
        "@COOKIES@": "\n".join(_drafted(cookies)) if cookies else _EXAMPLE,
        "@HOSTS@": "\n".join(f"# Pages named {one}; a vendor's `hosts` are gated." for one in hosts)
        + "\n" * bool(hosts),
        "@CASES@": "\n".join(_cases_of(cookies)) if learned is not None else _EXAMPLE_CASE,
    }
    if "marketing" in purposes:
        policy = policy.replace("# Where which regime", f"{_MARKETING}\n# Where which regime", 1)
    for mark, text in filled.items():
        policy, cases = policy.replace(mark, text), cases.replace(mark, text)
    if learned is not None:
        # While a policy only reports, nobody is asked or told anything.
        cases = re.sub(r", (?:ask|notice|tk) = [^,}]*(?=[,}])", " ", cases).replace("  }", " }")
    return policy, cases.rstrip() + "\n"


_EXAMPLE = """\
[[cookie]]
name    = "session"
purpose = "essential"

# [[cookie]]
# name    = "_ga*"
# purpose = "analytics"
# lasts   = "395d"               # Set-Cookie lifetimes are cut to this
# secure  = true                 # floors: added when missing
# same_site = "lax\""""

_EXAMPLE_CASE = """\

[[case]]
name   = "the session works everywhere, and a cookie that no rule names nowhere"
given  = { country = "FR" }
expect = { cookies = { session = true, nobody = false } }"""

_MARKETING = """\
[purpose.marketing]
text = "Show you advertising that fits you, here and on other sites."
"""


def _drafted(cookies: Sequence[Proposal]) -> Iterator[str]:
    for one in cookies:
        yield ""
        yield from (f"# {line}." for line in one.evidence)
        mark = "" if one.purpose else "# "
        yield f"{mark}[[cookie]]"
        yield f'{mark}name    = "{_toml(one.pattern)}"'
        yield f'{mark}purpose = "{one.purpose or "decide"}"'
        if one.purpose and one.lasts is not None and one.lasts > 395 * 86_400:
            yield 'lasts   = "395d"'


def _cases_of(cookies: Sequence[Proposal]) -> Iterator[str]:
    named = [f"{one.pattern[:-1]}x" if one.pattern.endswith("*") else one.pattern for one in cookies if one.purpose]
    if named:
        yield ""
        yield "[[case]]"
        yield 'name   = "before a yes, a Parisian has none of these"'
        yield 'given  = { country = "FR" }'
        yield f"expect = {{ cookies = {{ {', '.join(f'{json.dumps(one)} = false' for one in named)} }} }}"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")


def _values(one: Proposal) -> dict[str, object]:
    return {"name": one.pattern, "purpose": one.purpose or None, "evidence": list(one.evidence)}


def _write(files: Sequence[tuple[Path, str]], *, force: bool) -> None:
    there = [str(path) for path, _ in files[:2] if path.exists()]
    if there and not force:
        raise click.ClickException(f"{' and '.join(there)} would be written over; use --force, or another name")
    for path, text in files:
        path.write_text(text, encoding="utf-8")


# learning


def _learned(sources: Sequence[str], origin: str) -> Learned:
    seen = Seen()
    for source in sources:
        if source.startswith(("http://", "https://")):
            _visit(source, seen)
        elif "://" in source:
            _recall(source, seen)
        else:
            _read(source, seen, (urlsplit(origin).hostname or "").lower())
    for name in [one for one in {*seen.sent, *seen.set} if mask(one)[1] or len(one) > 100 or not one.isprintable()]:
        seen.sent.pop(name, None)
        seen.set.pop(name, None)
    return proposals(seen, read_catalogue()), sorted(seen.hosts)


def _recall(store: str, seen: Seen) -> None:
    """Take over the names that report mode counted, and no rule spoke of."""
    counted_there = totals(read_inventory(store))
    if not counted_there:
        raise click.ClickException(
            'the store has no inventory to learn from: report mode (`mode = "report"`) makes one'
        )
    for one in counted_there:
        if not one.fate.endswith(UNLISTED) or one.name == OTHER:
            continue
        counted = seen.sent if one.sort == Sort.COOKIE else seen.set
        counted[one.name] = counted.get(one.name, 0) + one.number


def _visit(url: str, seen: Seen) -> None:
    """Ask for one page as a browser would that knows nothing, and note which cookies it sets and hosts it names."""
    try:
        with httpx.Client(follow_redirects=True, timeout=15.0) as client:
            answer = client.get(url, headers={"Accept": "text/html", "Sec-Fetch-Dest": "document"})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise click.ClickException(f"{url} cannot be asked: {told_of(error)}") from None
    for one in (*answer.history, answer):
        _note_set([value for name, value in one.headers.raw if name.lower() == b"set-cookie"], seen)
    own = answer.url.host.lower()
    for host in _LOADED.findall(answer.content[:LARGEST]):
        _note_host(host.decode().lower(), own, seen)


def _read(source: str, seen: Seen, own: str) -> None:
    with opened(source) as stream:
        head = stream.read(LARGEST)
        archive = head.lstrip()[:1] == b"{"
        asked = read_har(head) if archive and len(head) < LARGEST else None
        if asked is not None:
            # The site is the one that was asked first, where nobody said.
            own = own if any(one.host == own for one in asked) else (asked[0].host if asked else own)
            for one in asked:
                if one.host == own or one.host.endswith(f".{own}"):
                    seen.add_sent(one.sent)
                    _note_set([line.encode("latin-1", "replace") for line in one.set], seen)
                _note_host(one.host, own, seen)
            return
        if len(head) < LARGEST:
            stream = io.BytesIO(head)
        elif stream.seekable():
            stream.seek(0)
        else:
            raise click.ClickException(f"{source} is a pipe with more than {LARGEST >> 20} MiB: save it to a file")
        if _read_log(source, stream, seen):
            return
    if head.startswith(b"SQLite format 3\0"):
        raise click.ClickException(f"{source} is a database: write `--learn sqlite:///{source}` if it is our store")
    larger = f", or an archive of more than {LARGEST >> 20} MiB" if archive and len(head) == LARGEST else ""
    raise click.ClickException(f"{source} is neither a HAR file nor an access log that is known here{larger}")


def _read_log(source: str, stream: BinaryIO | gzip.GzipFile, seen: Seen) -> bool:
    """Note the cookies of this log; whether it is one."""
    known = 0
    for line in lines_of(stream):
        read = read_log_line(line)
        if read is None:
            continue
        known += 1
        held = split_cookies([value for name, value in read.headers if name == b"cookie"])
        seen.add_sent(one.name.decode("latin-1") for one in held if one.name)
    if not known:
        return False
    if not seen.sent and not seen.set:
        raise click.ClickException(f"{source} has no cookies: a log needs a member with the Cookie field")
    return True


def _note_set(lines: Sequence[bytes], seen: Seen) -> None:
    now = int(time.time())
    for line in lines:
        parsed = SetCookie.parse(line)
        if parsed is not None and parsed.name and not parsed.is_deletion(now):
            seen.add_set(parsed.name.decode("latin-1"), parsed.lifetime(now))


def _note_host(host: str, own: str, seen: Seen) -> None:
    same = host == own or host.endswith(f".{own}") or own.endswith(f".{host}")
    if host and not same:
        seen.hosts[host] = seen.hosts.get(host, 0) + 1
