"""The Exchange: what is done to one request and to its response, in both forms of consent_mw.

Rule: the middleware and the sidecar both do exactly this; neither edits a header on its own.
Rule: what the policy does not change stays byte for byte what came.
Rule: a response that no visitor could get differently is not touched (SPEC 4, Caches).
Rule: in report mode everything is decided and counted, and nothing is changed, set or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from consent_mw.asgi.observe import Observation
from consent_mw.asgi.ruleset import OUTBOUND_RESERVED, Headers, Route, Ruleset, reserved, strip_reserved
from consent_mw.asgi.visit import Visit
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import Decision
from consent_mw.core.facts import Facts
from consent_mw.core.policy import DAY
from consent_mw.core.terms import Reason
from consent_mw.core.whereabouts import Location
from consent_mw.wire import cookies, headers
from consent_mw.wire.token import Identifier

if TYPE_CHECKING:
    from consent_mw.asgi.gate import Gate

VARY = (b"Cookie", b"DNT", b"Sec-GPC")
"""What a page under the policy differs by."""

REISSUE_AFTER = 30 * DAY
"""Age in seconds after which the consent cookie is issued anew, long before a browser drops it (400 days)."""

CONSENT_LASTS = 400 * DAY
"""Max-Age of the consent cookie: the longest that browsers keep one (RFC 6265bis 5.5)."""

_NO_LONGER_TRUE = frozenset({b"last-modified", b"content-md5", b"digest", b"content-digest", b"repr-digest"})
_CONDITIONS = frozenset({b"if-modified-since", b"if-unmodified-since", b"range", b"if-range"})


class Editor(Protocol):
    """Changes a body as it streams."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk."""

    def finish(self) -> bytes:
        """What goes out at the end."""


@dataclass(slots=True)
class Reply:
    """What goes to the browser: the headers, and the editor that the body passes through, if one does.
    `pending` resolves when what must be done before the reply is sent is done."""

    headers: Headers
    editor: Editor | None = None
    pending: Future[Any] | None = None


@dataclass(slots=True)
class Person:
    """What one browser's cookies say of it, once verified."""

    consent: Consent = NO_CONSENT
    identifier: Identifier | None = None


@dataclass(slots=True)
class Exchange:
    """One request under the policy and the response to it."""

    gate: Gate
    rules: Ruleset
    route: Route
    request_headers: Headers
    seen: Observation
    facts: Facts | None = None
    decision: Decision | None = None
    person: Person = field(default_factory=Person)
    location: Location | None = None
    address: str = ""
    visit: Visit | None = None

    @property
    def page(self) -> bool:
        """Whether this asks for a page that is a visit: a HEAD only asks what a visit would get."""
        return self.seen.document and self.seen.method == b"GET" and not self.seen.speculative

    @property
    def shared(self) -> bool:
        """Whether pages stay byte-identical for all (`[site] shared_pages`)."""
        return self.rules.policy.site.shared_pages

    @property
    def editable(self) -> bool:
        """Whether the answer may be a page that some visitor gets differently."""
        return self.rules.enforced and not self.shared and (self.seen.document or self.seen.frame)

    @property
    def shows_banner(self) -> bool:
        """Whether a banner is due on this page."""
        decision = self.decision
        return decision is not None and self.editable and self.seen.document and (decision.ask or decision.notice)

    def admit(self) -> None:
        """Turn the request's headers into what the app may see."""
        decision = self.decision
        if decision is None:
            return
        if not self.rules.enforced:
            self.request_headers = strip_reserved(self.request_headers)
            return
        edited = _filter_request_cookies(self.request_headers, self.rules, decision, self.gate)
        if self.editable:
            edited = self._make_unconditional(edited, decision)
        edited.extend(self.rules.announce(decision))
        visitor = self.visitor
        if visitor:
            edited.append((b"consent-visitor", visitor.encode()))
        self.request_headers = edited

    @property
    def visitor(self) -> str:
        """The identifier by which we recognise this browser, where its purpose is allowed; else empty."""
        rule = self.rules.policy.identifier
        if rule is None or self.decision is None or self.person.identifier is None:
            return ""
        return self.person.identifier.id if self.decision.allows(rule.purpose) else ""

    def respond(self, status: int, response: Headers) -> Reply:
        """What the browser gets of this response head, and what is done on the way."""
        if self.route is Route.PASS:
            return Reply([pair for pair in response if pair[0].lower() not in OUTBOUND_RESERVED])
        if self.decision is None or (status == 101 and not self.rules.enforced):
            return Reply(response)
        told = [pair for pair in response if pair[0].lower() in OUTBOUND_RESERVED]
        if told:
            response = [pair for pair in response if pair[0].lower() not in OUTBOUND_RESERVED]
        page = self._is_page(status, response)
        if not self.rules.enforced:
            return self._reported(status, response, page)
        pending = self.gate.reporter.heed(self, told) if told or self._visit_spoke() else None
        if not self.shared:
            return self._enforced(status, response, page, pending)
        edited, governed = self._filter_set_cookies(response)
        ours = self._our_cookies(status, page=False)
        edited.extend((b"set-cookie", line) for line in ours)
        if governed or ours:
            edited = headers.merge_vary(headers.make_private(edited), VARY)
        self.gate.reporter.report(self, status, page)
        return Reply(edited, pending=pending)

    def _enforced(self, status: int, response: Headers, page: bool, pending: Future[Any] | None) -> Reply:
        decision = self._current()
        edited, governed = self._filter_set_cookies(response)
        ours = self._our_cookies(status, page)
        edited.extend((b"set-cookie", line) for line in ours)
        if page:
            edited.append((b"tk", decision.tk.encode()))
        if page or governed or ours or self._may_be_page(response):
            edited = headers.merge_vary(headers.make_private(edited), VARY)
        editor = None
        if page and self.editable:
            edited, editor = self._edit(status, edited, decision)
        self.gate.reporter.report(self, status, page)
        return Reply(edited, editor, pending)

    def _reported(self, status: int, response: Headers, page: bool) -> Reply:
        decision = self._current()
        self.gate.reporter.inventory(self, response)
        if not page:
            return Reply(response)
        return Reply([*response, (b"tk", decision.tk.encode())])

    def _current(self) -> Decision:
        if self.decision is None:
            raise ValueError("an exchange without a decision has no response to edit")
        return self.decision

    def _visit_spoke(self) -> bool:
        return self.visit is not None and self.visit.spoke

    def _is_page(self, status: int, response: Headers) -> bool:
        if not (self.seen.document or self.seen.frame):
            return False
        return status == 304 or _is_html(response)

    def _may_be_page(self, response: Headers) -> bool:
        """Whether what was not asked for as a page is one all the same, which a shared cache could serve as one."""
        return self.seen.method in (b"GET", b"HEAD") and _is_html(response)

    def _filter_set_cookies(self, response: Headers) -> tuple[Headers, bool]:
        """The response with each Set-Cookie brought under the rules, and whether it had any."""
        decision = self._current()
        now = self._now()
        edited: Headers = []
        governed = False
        for name, value in response:
            if name.lower() != b"set-cookie":
                edited.append((name, value))
                continue
            governed = True
            line = self._set_cookie(value, decision, now)
            if line is not None:
                edited.append((name, line))
        return edited, governed

    def _set_cookie(self, raw: bytes, decision: Decision, now: int) -> bytes | None:
        parsed = cookies.SetCookie.parse(raw)
        if parsed is None:
            self.gate.count("set_cookie_dropped")
            return None
        if parsed.name in self.rules.own_cookies:
            return None
        if parsed.is_deletion(now):
            return raw
        # A browser sends a nameless cookie as its bare value, which a server then reads as `name=value`.
        read_as = parsed.name or parsed.value.partition(b"=")[0].strip(b" \t")
        if not (self.rules.keeps(parsed.name, decision) and self.rules.keeps(read_as, decision)):
            self.gate.count("set_cookie_dropped")
            return None
        rule = self.rules.cookie_rule(parsed.name)
        if rule is None:
            return raw
        return cookies.bound_set_cookie(raw, lasts=rule.lasts, secure=rule.secure, same_site=rule.same_site, now=now)

    def _our_cookies(self, status: int, page: bool) -> list[bytes]:
        """The Set-Cookie lines that we add: only on a page, or where the app just told of a minor or an erasure."""
        lines: list[bytes] = []
        visit = self.visit
        if visit is not None and visit.erased:
            return [*self.gate.forget_cookies(self), *self.expired_after_a_no()]
        if visit is not None and visit.minor_declared:
            lines.append(self.gate.consent_cookie(self.rules, self.person.consent))
        if not page or status == 304:
            return lines
        consent = self.person.consent
        if not lines and consent.issued and self._now() - consent.issued > REISSUE_AFTER:
            lines.append(self.gate.consent_cookie(self.rules, consent))
        if self.page:
            lines.extend(self.gate.issue_identifier(self))
        return [*lines, *self.expired_after_a_no()]

    def expired_after_a_no(self) -> list[bytes]:
        """Deletions of listed cookies that the browser still sends although their purpose was refused."""
        decision = self._current()
        lines: list[bytes] = []
        done: set[bytes] = set()
        for cookie in cookies.split_cookies(self.seen.all(b"cookie")):
            purpose = self._purpose_of(cookie.name)
            verdict = decision.verdict(purpose) if purpose else None
            if cookie.name in done or verdict is None or verdict.allowed:
                continue
            if verdict.reason in (Reason.CONSENT_REFUSED, Reason.MINOR):
                done.add(cookie.name)
                ours = cookie.name in self.rules.own_cookies
                parties = self.rules.own_parties if ours else self.rules.policy.site.same_party
                lines.extend(cookies.expire_cookies(cookie.name, parties, self.seen.host))
        return lines

    def _purpose_of(self, name: bytes) -> str:
        identifier = self.rules.policy.identifier
        if identifier is not None and name == self.rules.identifier_cookie:
            return identifier.purpose
        rule = None if name in self.rules.own_cookies else self.rules.cookie_rule(name)
        return rule.purpose if rule is not None else ""

    def _edit(self, status: int, response: Headers, decision: Decision) -> tuple[Headers, Editor | None]:
        """The page's head without foreign validators, and the editor that puts the banner in, where one is due."""
        edited = [
            (name, headers.tag_etag(value, decision.digest) if name.lower() == b"etag" else value)
            for name, value in response
            if name.lower() not in _NO_LONGER_TRUE
        ]
        edited = [pair for pair in edited if pair[0].lower() != b"accept-ranges"]
        if not self.shows_banner or status in (204, 205, 206, 304) or self.seen.method == b"HEAD":
            return edited, None
        editor = self.gate.banner_editor(self, edited)
        if editor is None:
            return edited, None
        return [pair for pair in edited if pair[0].lower() != b"content-length"], editor

    def _make_unconditional(self, request: Headers, decision: Decision) -> Headers:
        """The request without validators and ranges that were not made for this decision (SPEC 4, Caches)."""
        edited: Headers = []
        for name, value in request:
            lower = name.lower()
            if lower in _CONDITIONS:
                continue
            if lower in (b"if-none-match", b"if-match"):
                original = headers.untag_etag(value, decision.digest)
                if original:
                    edited.append((name, original))
                continue
            if lower == b"accept-encoding" and self.shows_banner:
                value = b"identity"
            edited.append((name, value))
        return edited

    def _now(self) -> int:
        if self.facts is None:
            raise ValueError("an exchange without facts has no time")
        return self.facts.now


def _is_html(response: Headers) -> bool:
    kind = headers.first(response, b"content-type") or b""
    return kind.partition(b";")[0].strip().lower() in (b"text/html", b"application/xhtml+xml")


def _filter_request_cookies(
    request: Sequence[tuple[bytes, bytes]], rules: Ruleset, decision: Decision, gate: Gate
) -> Headers:
    """The request with only permitted cookies, joined into the first Cookie field, and without any copy of ours."""
    values = [value for name, value in request if name.lower() == b"cookie"]
    kept = cookies.filter_cookies(values, lambda name: rules.keeps(name, decision)) if values else None
    if values and kept != b"; ".join(values):
        gate.count("cookie_dropped")
    edited: Headers = []
    placed = False
    for name, value in request:
        lower = name.lower()
        if lower == b"cookie":
            if kept is not None and not placed:
                edited.append((name, kept))
                placed = True
            continue
        if not reserved(lower):
            edited.append((name, value))
    return edited
