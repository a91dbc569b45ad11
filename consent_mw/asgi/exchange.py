"""The Exchange: what is done to one request and to its response, in both forms of consent_mw.

Rule: the middleware and the sidecar both do exactly this; neither edits a header on its own.
Rule: what the policy does not change stays byte for byte what came.
Rule: a response that no visitor could get differently is not touched (SPEC 4, Caches).
Rule: in report mode everything is decided and counted, and nothing is changed, set or sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from consent_mw.asgi.csp import CSP
from consent_mw.asgi.enforcement import Enforcement
from consent_mw.asgi.gating import PageGating, decodable_codings, editable_codings, type_of
from consent_mw.asgi.jar import FOR_EVER, Jar
from consent_mw.asgi.observe import Observation
from consent_mw.asgi.ruleset import Bearing, Place, Route, Ruleset
from consent_mw.asgi.visit import Visit
from consent_mw.core.account import Account
from consent_mw.core.consent import NO_CONSENT, Consent
from consent_mw.core.decision import Decision, decide
from consent_mw.core.facts import Facts
from consent_mw.core.policy import DAY
from consent_mw.core.whereabouts import Location
from consent_mw.wire import cookies, headers
from consent_mw.wire.fields import (
    CHANGED,
    CONDITIONS,
    HOP_BY_HOP,
    INBOUND_RESERVED,
    OUTBOUND_RESERVED,
    SHARED_CACHES,
    VALIDATORS,
    Field,
    Fields,
    named,
    request_field,
    reserved,
    response_field,
)
from consent_mw.wire.response_head import ResponseHead
from consent_mw.wire.token import Identifier

if TYPE_CHECKING:
    from consent_mw.asgi.banner import PageEdit
    from consent_mw.asgi.gate import Gate

VARY: Final = (b"Cookie", b"DNT", b"Sec-GPC")
"""What a page under the policy differs by."""

REISSUE_AFTER: Final = 30 * DAY
"""Age in seconds after which the consent cookie is issued anew, long before a browser drops it (400 days)."""

CONSENT_LASTS: Final = 400 * DAY
"""Max-Age of the consent cookie: the longest that browsers keep one (RFC 6265bis 5.5)."""

REPLIES_KEPT: Final = 32_768
REPLY_COSTS: Final = 600
"""Bound, in bytes, of the replies that are remembered of one head that came again; what one costs beside its fields.
How many a head has is for visitors to choose (by method, signals, answers), so that a number would be no bound."""

_HTML: Final = frozenset({b"text/html", b"application/xhtml+xml"})
_PARTS: Final = frozenset({b"text/html", b"text/vnd.turbo-stream.html"})
_XML: Final = frozenset({b"text/xml", b"application/xml", b"text/xsl"})
_UNKNOWN: Final = frozenset({b"", b"*/*", b"unknown/unknown", b"application/unknown"})
_SAFE: Final = (b"GET", b"HEAD")
_FILTERED: Final = OUTBOUND_RESERVED | {b"set-cookie"}
_PRIVATE: Final = _FILTERED | SHARED_CACHES | {b"cache-control", b"vary"}
_EDITED: Final = _PRIVATE | VALIDATORS | {b"etag", b"accept-ranges"}
_NOTHING: Final[frozenset[bytes]] = frozenset()
_TOLD_AND_COOKIES: Final = INBOUND_RESERVED | {b"cookie"}
_PLAIN_ONLY: Final = request_field(b"Accept-Encoding", b"identity")
_PRIVATE_FIELD: Final = response_field(b"Cache-Control", headers.private_line(()))
_VARY_FIELD: Final = response_field(b"Vary", headers.vary_line((), VARY))
_VARY_CODED: Final = (*VARY, b"Accept-Encoding", b"Accept-Language")


class Editor(Protocol):
    """Changes a body as it streams. Both raise SpoiltBodyError where the answer must be broken off."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes out for this chunk."""

    def finish(self) -> bytes:
        """What goes out at the end."""


@dataclass(slots=True)
class Reply:
    """What goes to the browser: the fields, and the editor that the body passes through, if one does.
    `pending` resolves when what must be done before the reply is sent is done. Of a reply that may be given again:
    `rendered` remembers what was made of it, `head` the head that a browser gets to whom another answer may follow,
    `pairs` the headers that a mounted app's server gets, which are those of the app where it is `untouched`;
    `page` and `dropped` are what is to be reported and counted, `issues` is before which field a newcomer's
    identifier stands, None where none is given; `concerned` tells of a body whether it must be edited after all."""

    fields: Fields
    editor: Editor | None = None
    pending: Future[Any] | None = None
    rendered: dict[int, object] | None = None
    head: bytes = b""
    page: bool = False
    untouched: bool = False
    pairs: list[tuple[bytes, bytes]] | None = None
    dropped: int = 0
    issues: int | None = None
    concerned: Callable[[bytes], bool] | None = None


class Exchange:
    """One request under the policy and the response to it. Until `enter` nothing is decided about it."""

    enforcement: Enforcement | None = None
    place: Place | None = None
    consent: Consent = NO_CONSENT
    identifier: Identifier | None = None
    outside = False
    """Whether this would be under the policy, were the visitor of the share that `[scope] percent` puts there."""
    alone = False
    """Whether the reply is this request's alone: a page could not be edited, which is counted each time, and may be
    for the codings that this browser takes."""
    number = 0
    now = 0
    decided = 0.0
    _dropped = 0
    _facts: Facts | None = None
    _issued: list[bytes] | None = None
    _ending: tuple[Enforcement | None, tuple[bytes, ...]] = (None, ())
    _visit: Visit | None = None

    def __init__(self, gate: Gate, rules: Ruleset, route: Route, seen: Observation) -> None:
        self.gate = gate
        self.rules = rules
        self.route = route
        self.seen = seen

    def enter(self, jar: Jar, place: Place, now: float, enforcement: Enforcement, number: int) -> None:
        """Come under the policy: with these cookies, from this place, by this decision, at this time."""
        self.jar = jar
        self.place = place
        self.decided = now
        self.now = int(now)
        self.enforcement = enforcement
        self.number = number
        self.consent = jar.consent
        self.identifier = jar.identifier

    # what is known

    @property
    def decision(self) -> Decision | None:
        """The decision, where this request is under the policy."""
        return None if self.enforcement is None else self.enforcement.decision

    @property
    def facts(self) -> Facts | None:
        """What the decision was made of."""
        if self._facts is None and self.place is not None:
            settled = self.place.settled
            location = settled.location
            self._facts = Facts(
                jurisdiction=settled.jurisdiction,
                now=self.now,
                whereabouts=settled.whereabouts,
                country=location.country if location is not None else "",
                dnt=self.seen.dnt,
                gpc=self.seen.gpc,
                consent=self.consent,
                minor=self.consent.minor,
                refusals=self.jar.refusals,
            )
        return self._facts

    @property
    def location(self) -> Location | None:
        """Where the databases say that the visitor is."""
        return None if self.place is None else self.place.settled.location

    @property
    def address(self) -> str:
        """The visitor's address; empty where it is not known."""
        return "" if self.place is None else self.place.address

    @property
    def account(self) -> Account | None:
        """What may be kept of this request, where it is under the policy."""
        if self.enforcement is None or self.place is None:
            return None
        return self.rules.account(self.enforcement, self.place, self.jar)

    @property
    def visit(self) -> Visit | None:
        """What the app sees of the visitor, and says of them."""
        if self._visit is None and self.enforcement is not None:
            self._visit = Visit(self.enforcement.decision, self.visitor)
        return self._visit

    @property
    def spoke(self) -> bool:
        """Whether the app said something through its visit."""
        return self._visit is not None and self._visit.spoke

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
        return (self.seen.document or self.seen.frame) and self.rules.edits

    @property
    def shows_banner(self) -> bool:
        """Whether a banner is due on this page."""
        enforcement = self.enforcement
        return enforcement is not None and enforcement.shows and self.seen.document and self.rules.edits

    @property
    def gating(self) -> PageGating | None:
        """What is done to the answer if it is a page, besides a banner."""
        enforcement = self.enforcement
        return enforcement.gating if enforcement is not None and (self.seen.document or self.seen.frame) else None

    @property
    def part(self) -> PageGating | None:
        """What is done to the answer if it is HTML that a script puts into a page."""
        enforcement = self.enforcement
        gating = enforcement.gating if enforcement is not None else None
        return gating if gating is not None and self.seen.fetched else None

    @property
    def may_edit(self) -> bool:
        """Whether the answer may be something that is edited: a page, or a part of one."""
        return self.editable or self.part is not None

    @property
    def visitor(self) -> str:
        """The identifier by which we recognise this browser, where its purpose is allowed; else empty."""
        rule = self.rules.policy.identifier
        if rule is None or self.enforcement is None or self.identifier is None:
            return ""
        return self.identifier.id if self.enforcement.decision.allows(rule.purpose) else ""

    def go_on_with(self, visit: Visit) -> None:
        """Heed what an app says through this visit."""
        self._visit = visit

    def take(self, consent: Consent) -> None:
        """Go on with this consent: a person just chose it, or is a minor."""
        before = self.facts
        if before is None:
            raise ValueError("an exchange without facts takes no consent")
        self.consent = consent
        self._facts = None
        facts = self.facts
        if facts is not None:
            self.enforcement = self.rules.enforcement(decide(facts, self.rules.policy))

    # the request

    def remaining_cookies(self) -> bytes | None:
        """The Cookie field that the app gets; None where nothing remains."""
        enforcement = self.enforcement
        if enforcement is None or not self.rules.enforced:
            return self.seen.cookies or None
        jar = self.jar
        known = jar.remaining
        if self.number in known:
            kept = known[self.number]
        else:
            kept = known[self.number] = enforcement.remaining(jar)
        if kept is not jar.joined and jar.joined:
            self.gate.count("cookie_dropped")
        return kept

    def changed_field(self, lower: bytes, value: bytes) -> bytes | None:
        """What becomes of this request field, which may be changed (cookies aside): its value, or None."""
        if lower.startswith(b"consent") and reserved(lower):
            return None
        if self.enforcement is None:
            return value
        if not self.editable:
            return self._changed_for_a_part(lower, value) if self.seen.fetched else value
        if self.seen.method in _SAFE and lower in CONDITIONS:
            return None
        # What is to be changed under a condition is changed under that one alone.
        if self.seen.method in _SAFE and lower in (b"if-none-match", b"if-match"):
            # Validators that were not made for this decision are nobody's (SPEC 4, Caches).
            return headers.untag_etag(value, self._mark) or None
        if lower == b"accept-encoding":
            if self.shows_banner:
                return None
            return value if self.gating is None else editable_codings(value)
        return value

    def _changed_for_a_part(self, lower: bytes, value: bytes) -> bytes | None:
        """What becomes of a field where nobody knows whether HTML comes: nothing that matters to anything else."""
        if lower == b"if-none-match" and self.part is not None:
            return headers.own_etags(value, self._mark) or None
        if lower == b"accept-encoding" and self.part is not None:
            return decodable_codings(value)
        return value

    def announced(self) -> tuple[Field, ...]:
        """The request fields that tell the app of the decision."""
        enforcement = self.enforcement
        if enforcement is None or not self.rules.enforced:
            return ()
        announced = enforcement.announced
        if self.shows_banner:
            # A near upstream sends a plain page faster than it codes one, and we would undo its coding.
            announced = (_PLAIN_ONLY, *announced)
        visitor = self.visitor
        if not visitor:
            return announced
        told = visitor.encode()
        return (*announced, (b"consent-visitor", told, b"consent-visitor: " + told, CHANGED))

    # the response

    def hints(self, fields: Fields) -> Fields:
        """The fields of an interim answer without what makes the browser call a denied host."""
        enforcement = self.enforcement
        gating = enforcement.gating if enforcement is not None else None
        return fields if gating is None or self.route is Route.PASS else gating.links(fields)

    def respond(self, answer: ResponseHead, hop: frozenset[bytes] = frozenset(), body: bytes | None = None) -> Reply:
        """What the browser gets of this answer's head, and what is done on the way; `hop` names fields that were
        for a proxy alone, `body` is the whole body where it is there already."""
        bearing = self.bearing() if answer.replies is not None and not self.gate.failing else None
        reply = self._respond(answer, hop, body)
        if bearing is not None:
            self._give_again(answer, reply, bearing)
        return reply

    def respond_again(self, answer: ResponseHead, body: bytes) -> Reply | None:
        """The reply that this very head got before under the same decision, if nothing else bears on it; reported and
        counted once more."""
        replies = answer.replies
        bearing = self.bearing() if replies else None
        if not replies or bearing is None or self.gate.failing:
            return None
        known = replies.get(bearing)
        if not isinstance(known, Reply) or (known.concerned is not None and known.concerned(body)):
            return None
        if known.dropped:
            self.gate.count("set_cookie_dropped", known.dropped)
        issued = () if known.issues is None else self.gate.issue_identifier(self)
        self.gate.reporter.report(self, answer.status, known.page)
        if not issued:
            return known
        own = [response_field(b"Set-Cookie", line) for line in issued]
        fields = [*known.fields[: known.issues], *own, *known.fields[known.issues :]]
        return Reply(fields, page=known.page, dropped=known.dropped)

    def bearing(self) -> Bearing | None:
        """What bears on the reply, until `alike_until` and for as long as the store does not fail; None where it is
        more than the decision and what was asked for."""
        enforcement = self.enforcement
        if enforcement is None or self.spoke or self.route is not Route.FORWARD:
            return None
        newcomer = enforcement.identifies and self.identifier is None
        if enforcement.shows or (newcomer and self.seen.speculative) or (self.seen.fetched and self._asks_again()):
            return None
        if not self.rules.enforced or self.now > self.alike_until:
            return None
        return self.rules.bearing(enforcement, self.seen, self.expired_after_a_no(), newcomer)

    @property
    def alike_until(self) -> float:
        """When the consent cookie is to be issued anew (seconds since 1970)."""
        issued = self.consent.issued
        return issued + REISSUE_AFTER if issued else FOR_EVER

    def _give_again(self, answer: ResponseHead, reply: Reply, bearing: Bearing) -> None:
        """Remember this reply for the next answer with this very head."""
        replies = answer.replies
        told = self.spoke or not OUTBOUND_RESERVED.isdisjoint(answer.seen)
        if replies is None or told or self.alone or reply.editor is not None or reply.pending is not None:
            return
        dated = any(field[0] == b"set-cookie" and b"expires" in field[1].lower() for field in answer.fields)
        each = REPLY_COSTS + sum(len(field[2]) for field in reply.fields)
        # What was looked at twice may have changed in between: a store fails in a thread of its own.
        changed = self.enforcement is not bearing.enforcement or self.spoke or self.gate.failing
        if dated or len(replies) >= REPLIES_KEPT // each or changed:
            return
        if self._issued is not None:
            # An identifier is one visitor's alone: what is given again never has it.
            own = {field[1] for field in reply.fields if field[1] in self._issued}
            if len(own) != 1:
                return
            [place] = [index for index, field in enumerate(reply.fields) if field[1] in own]
            reply = replace(reply, fields=[*reply.fields[:place], *reply.fields[place + 1 :]], issues=place)
        reply.rendered = {}
        reply.untouched = reply.fields is answer.fields
        replies[bearing] = reply

    def _respond(self, answer: ResponseHead, hop: frozenset[bytes], body: bytes | None) -> Reply:
        seen = answer.seen
        told: list[tuple[bytes, bytes]] = []
        # One look for each of four names costs less than a look at everything that was seen.
        if (
            b"consent-event" in seen
            or b"consent-identify" in seen
            or b"consent-minor" in seen
            or b"consent-erase" in seen
        ):
            told = [(field[0], field[1]) for field in answer.fields if field[0] in OUTBOUND_RESERVED]
        enforcement = self.enforcement
        if enforcement is None or self.route is Route.PASS:
            return Reply(self._kept_apart(answer, hop) if self.outside else _public(answer, hop, told))
        if not self.rules.enforced:
            return self._reported(answer, _public(answer, hop, told), enforcement)
        pending = self.gate.reporter.heed(self, told) if told or self.spoke else None
        return self._enforced(answer, hop, told, pending, body)

    def _enforced(
        self,
        answer: ResponseHead,
        hop: frozenset[bytes],
        told: list[tuple[bytes, bytes]],
        pending: Future[Any] | None,
        body: bytes | None,
    ) -> Reply:
        status, seen, asked = answer.status, answer.seen, self.seen
        html = _is_html(answer)
        document = asked.document or asked.frame
        page = document and (html or status == 304 or _may_be_sniffed(answer))
        # A drawing or other XML that is opened is no page, but a browser loads for it all the same.
        opened = page or (document and _is_xml(answer))
        shared = self.rules.shared
        sets = b"set-cookie" in seen
        ours = self._our_cookies(status, page=page and not shared)
        # What was not asked for as a page is one all the same, and a shared cache could serve it as one.
        may_be = html and asked.method in _SAFE
        part = self.part if asked.fetched else None
        if part is not None and not (_is_part(answer) or (status == 304 and self._asks_again())):
            part = None
        editing = (opened and self.editable) or part is not None
        gating = self.gating if part is None else part
        edit, concerned = self._edit(answer, body, gating, page=not opened or page) if editing else (None, None)
        apart = b"vary" in seen and self._told_apart(answer)
        if sets or ours or apart or part is not None or ((opened or may_be) and not shared):
            fields = self._private(answer, hop, editing=editing, edit=edit)
            if (opened or part is not None) and not shared and (b"link" in seen or b"refresh" in seen):
                fields = self.hints(fields)
            if sets:
                fields += self._set_cookies(answer)
            fields += [response_field(b"Set-Cookie", line) for line in ours]
            if page and not shared:
                fields.append(self._current().tk)
            if opened and not shared:
                fields = self._guarded(fields, answer, edit)
        else:
            fields = _public(answer, hop, told)
        self.gate.reporter.report(self, status, page)
        editor = None if edit is None else edit.editor
        return Reply(fields, editor, pending, page=page, dropped=self._dropped, concerned=concerned)

    def _kept_apart(self, answer: ResponseHead, hop: frozenset[bytes]) -> Fields:
        """The fields as they came, but that no cache gives to others what they would get differently: the page as it
        is, and cookies that are denied."""
        asked = self.seen.document or self.seen.frame
        page = _is_html(answer) and self.seen.method in _SAFE
        page = page or (asked and (answer.status == 304 or _is_html(answer) or _is_xml(answer)))
        sets = b"set-cookie" in answer.seen
        if not self.rules.enforced or not (sets or (page and not self.rules.shared)):
            return _public(answer, hop, [])
        return [*self._private(answer, hop, editing=False, edit=None), *named(answer.fields, b"set-cookie")]

    def _edit(
        self, answer: ResponseHead, body: bytes | None, gating: PageGating | None, *, page: bool
    ) -> tuple[PageEdit | None, Callable[[bytes], bool] | None]:
        """What is done to this page (or to what is opened and is no `page`); or that nothing is, and what tells of
        another body under its head whether it is the same there."""
        if gating is None and not self.shows_banner:
            return None, None
        concerns = None if gating is None else gating.concerns if self.editable else gating.concerns_part
        if (
            self.shows_banner
            or gating is None
            or body is None
            or not gating.readable(answer)
            or concerns is None
            or concerns(body)
        ):
            return self.gate.edit_page(self, answer, gating, page=page), None
        return None, concerns

    def _guarded(self, fields: Fields, answer: ResponseHead, edit: PageEdit | None) -> Fields:
        """The fields of a page with the Content-Security-Policy of this decision (SPEC 4)."""
        guard = self._current().guard
        blocking = edit is not None and edit.ungated
        ours = edit is not None and not blocking and self.shows_banner
        if not (guard.active or blocking or (ours and CSP in answer.seen)):
            return fields
        # What names a host is no page's that is given again: where a banner is due, none is.
        host = self.seen.first(b"host") if ours else b""
        return guard.dress(fields, answer, self.gate.count, host=host, blocking=blocking)

    def _told_apart(self, answer: ResponseHead) -> bool:
        """Whether the app says that it looked at what we told it, or at cookies, of which a visitor elsewhere would
        have shown it fewer: no cache can see the difference."""
        looked = _TOLD_AND_COOKIES if b"cookie" in self.seen.seen else INBOUND_RESERVED
        return headers.varies_by(answer.all(b"vary"), looked)

    def _private(
        self, answer: ResponseHead, hop: frozenset[bytes], *, editing: bool, edit: PageEdit | None
    ) -> Fields:
        """The answer's fields without what is added anew, for this visitor alone (RFC 9111 5.2.2)."""
        seen = answer.seen
        dropped = _dropped(hop, editing, _NOTHING if edit is None else edit.dropped)
        fields = [
            field
            for field in answer.fields
            if field[3] < CHANGED or (field[3] == CHANGED and field[0] not in dropped)
        ]
        etag = seen.get(b"etag")
        if editing and etag is not None:
            fields.append(_tagged(etag, self._mark))
        fields.append(_private_field(answer.all(b"cache-control")) if b"cache-control" in seen else _PRIVATE_FIELD)
        if edit is not None:
            fields += (_vary_field(answer.all(b"vary"), _VARY_CODED), *edit.added)
        else:
            fields.append(_vary_field(answer.all(b"vary")) if b"vary" in seen else _VARY_FIELD)
        return fields

    def _reported(self, answer: ResponseHead, fields: Fields, enforcement: Enforcement) -> Reply:
        if answer.status == 101:
            return Reply(fields)
        self.gate.inventory.take(self, answer)
        html = _is_html(answer)
        page = (self.seen.document or self.seen.frame) and (html or answer.status == 304)
        return Reply([*fields, enforcement.tk] if page else fields)

    def _set_cookies(self, answer: ResponseHead) -> Fields:
        """The answer's Set-Cookie fields, each brought under the rules."""
        enforcement = self._current()
        failing = self.gate.failing
        kept: Fields = []
        for field in named(answer.fields, b"set-cookie"):
            line = enforcement.set_cookie(field[1], self.now)
            # Without a store nothing non-essential is set (SPEC 10).
            if failing and line is not None and not self.rules.essential(line, self.now):
                line = None
            if line is None:
                self._dropped += 1
            elif line is field[1]:
                kept.append(field)
            else:
                kept.append(response_field(field[2][:10], line))
        if self._dropped:
            self.gate.count("set_cookie_dropped", self._dropped)
        return kept

    def _our_cookies(self, status: int, *, page: bool) -> list[bytes]:
        """The Set-Cookie lines that we add: only on a page, or where the app just told of a minor or an erasure."""
        lines: list[bytes] = []
        if self._visit is not None:
            if self._visit.erased:
                return [*self.gate.forget_cookies(self), *self.expired_after_a_no()]
            if self._visit.minor_declared:
                lines.append(self.gate.consent_cookie(self.rules, self.consent))
        if not page or status == 304:
            return lines
        enforcement = self._current()
        issued = self.consent.issued
        if not lines and issued and self.now - issued > REISSUE_AFTER:
            lines.append(self.gate.consent_cookie(self.rules, self.consent))
        if self.identifier is None and enforcement.identifies and self.page:
            self._issued = self.gate.issue_identifier(self)
            lines.extend(self._issued)
        if enforcement.ends:
            lines.extend(self.expired_after_a_no())
        return lines

    def expired_after_a_no(self) -> tuple[bytes, ...]:
        """Deletions of listed cookies that the browser still sends although their purpose was refused."""
        enforcement = self._current()
        ending, lines = self._ending
        if ending is not enforcement:
            lines = self._deletions(enforcement.ends) if enforcement.ends else ()
            self._ending = enforcement, lines
        return lines

    def _deletions(self, refused: frozenset[str]) -> tuple[bytes, ...]:
        lines: list[bytes] = []
        done: set[bytes] = set()
        for name, _ in cookies.pieces(self.jar.joined):
            if name not in done and self._purpose_of(name) in refused:
                done.add(name)
                ours = name in self.rules.own_cookies
                parties = self.rules.own_parties if ours else self.rules.policy.site.same_party
                lines.extend(cookies.expire_cookies(name, parties, self.seen.host))
        return tuple(lines)

    def _purpose_of(self, name: bytes) -> str:
        identifier = self.rules.policy.identifier
        if identifier is not None and name == self.rules.identifier_cookie:
            return identifier.purpose
        rule = None if name in self.rules.own_cookies else self.rules.cookie_rule(name)
        return rule.purpose if rule is not None else ""

    def _asks_again(self) -> bool:
        """Whether a part of a page is asked for that the browser holds as this decision has it."""
        said = self.seen.first(b"if-none-match")
        return bool(said) and self.part is not None and bool(headers.untag_etag(said, self._mark))

    @property
    def _mark(self) -> str:
        """What an ETag of ours ends with: the decision, the installation whose banner it would be, its language."""
        mark = self._current().decision.digest + self.gate.edition
        if not self.editable:
            return mark + "f"
        return mark + self.rules.wording.choose(self.seen.asked_in) if self.shows_banner else mark

    def _current(self) -> Enforcement:
        if self.enforcement is None:
            raise ValueError("an exchange without a decision has no response to edit")
        return self.enforcement


def _public(answer: ResponseHead, hop: frozenset[bytes], told: Sequence[tuple[bytes, bytes]]) -> Fields:
    """The answer's fields as they came, without what was meant for a proxy or for us."""
    if not told and (not hop or hop.isdisjoint(answer.seen)):
        return answer.fields
    return [field for field in answer.fields if field[0] not in hop and field[0] not in OUTBOUND_RESERVED]


@lru_cache(maxsize=1024)
def _tagged(etag: bytes, digest: str) -> Field:
    return response_field(b"ETag", headers.tag_etag(etag, digest))


@lru_cache(maxsize=256)
def _private_field(said: tuple[bytes, ...]) -> Field:
    return response_field(b"Cache-Control", headers.private_line(said))


@lru_cache(maxsize=256)
def _vary_field(said: tuple[bytes, ...], names: tuple[bytes, ...] = VARY) -> Field:
    return response_field(b"Vary", headers.vary_line(said, names))


def _is_html(answer: ResponseHead) -> bool:
    """Whether some reader may take this answer for HTML."""
    return any(one in _HTML for one in _types_of(answer))


def _is_part(answer: ResponseHead) -> bool:
    """Whether scripts may put this answer into a page as HTML."""
    return any(one in _PARTS for one in _types_of(answer))


def _is_xml(answer: ResponseHead) -> bool:
    """Whether some reader may take this answer for XML (WHATWG MIME Sniffing 4.6)."""
    return any(one in _XML or one.endswith(b"+xml") for one in _types_of(answer))


def _types_of(answer: ResponseHead) -> tuple[bytes, ...]:
    return _types_in(type_of(answer))


def _may_be_sniffed(answer: ResponseHead) -> bool:
    """Whether a browser looks into this answer to find out that it is HTML (WHATWG MIME Sniffing 7)."""
    if answer.status != 200 and answer.status < 400:
        return False
    said = answer.seen.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if said not in _UNKNOWN:
        return False
    return not any(one[0] == b"x-content-type-options" and b"nosniff" in one[1].lower() for one in answer.fields)


@lru_cache(maxsize=256)
def _types_in(content_type: bytes) -> tuple[bytes, ...]:
    """Of several types browsers take the last (Fetch 3.1), and others the first."""
    return tuple(one.partition(b";")[0].strip().lower() for one in content_type.split(b","))


_DROPPED: dict[tuple[frozenset[bytes], bool, frozenset[bytes]], frozenset[bytes]] = {}


def _dropped(hop: frozenset[bytes], editing: bool, also: frozenset[bytes]) -> frozenset[bytes]:
    """The fields that a private answer loses, or gets anew."""
    known = _DROPPED.get((hop, editing, also))
    if known is None:
        known = hop | (_EDITED if editing else _PRIVATE) | also
        if hop <= HOP_BY_HOP:
            _DROPPED[hop, editing, also] = known
    return known
