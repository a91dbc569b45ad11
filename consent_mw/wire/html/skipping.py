"""What of a page needs no look: text, comments and tags that say nothing a decision could concern, at once.

Rule: what is skipped is skipped exactly as a browser tokenizes it; whatever is written in an unusual way is not.
Rule: a value is plain if no way of reading it leads to another host: no two slashes, no `http:` or `data:`, no
    backslash, no character reference but the usual ones, which stand for nothing that an address needs.
Rule: how far is skipped decides nothing but the time it takes.
"""

from __future__ import annotations

import re
from typing import Final

from consent_mw.wire.native import html

_WS = rb"[\t\n\f\r ]"

# Elements after which a browser may read on in another way are not skipped, nor is the one that says the language;
# nor is what is named in capitals.
_ELEMENT = (
    rb"(?:[a-gj-loqruvwyz]|t(?!it|ex)|p(?!l)|s(?!cr|ty|vg|el)|i(?!f)|m(?!at)|n(?!o[sef])|f(?!r)|x(?!m)|h(?!tm))"
    rb"[a-z0-9-]*+"
)
_NAME = rb"(?!data-consent)[^\t\n\f\r />=\"'<A-Z]++"
_NAME_IN_LINKS = rb"(?!data-consent|ping|style|attr|xlink)[^\t\n\f\r />=\"'<A-Z]++"
_ENDS = rb"[\t\n\f\r /]*+>"

_USUAL = (
    rb"(?:amp|nbsp|quot|apos|lt|gt|copy|reg|middot|laquo|raquo|[lr][sd]quo|[nm]dash|times|euro|bull|[lr]arr"
    rb"|[aeou]uml|[aeiou]acute|[aeo]grave|ccedil|#0*3[489]|#x2[267]|#1(?:60|69|71|87)|#82(?:1[126789]|2[01]));"
)
_AND = rb"&(?:(?=[^#A-Za-z])|" + _USUAL + rb"|[A-Za-z0-9_.\[\]%-]++=)"
# No colon after `http`, `https` or `data`, tabs and newlines within it included.
_COLON = rb":(?<![tT\t\r\n][aApP]:|[pP\t\r\n][sS]:|[\x00-\xff][\t\r\n]:)"
_SLASH = rb"/(?![/\\\t\r\n])"
_MORE = rb"(?:" + _SLASH + rb"|" + _COLON + rb"|" + _AND + rb")"
_PLAIN = rb"\"[^\"&:\\/]*+(?:" + _MORE + rb"[^\"&:\\/]*+)*+\""
_PLAIN_OTHERWISE = (
    rb"(?:" + _PLAIN + rb"|'[^'&:\\/]*+(?:" + _MORE + rb"[^'&:\\/]*+)*+'"
    rb"|[^\t\n\f\r \"'<>=`&:\\/]*+(?:" + _SLASH + rb"[^\t\n\f\r \"'<>=`&:\\/]*+)*+(?<![=])(?=[\t\n\f\r >]))"
)
_ANY = rb"\"[^\"]*+\""
_ANY_OTHERWISE = rb"(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r \"'<>=`]++(?=[\t\n\f\r >]))"

_SELDOM = rb"<!--(?!-?>)[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>|<(?=[^A-Za-z!/?])"


def _tag(element: bytes, name: bytes, value: bytes) -> bytes:
    return element + rb"(?:" + _WS + rb"++" + name + rb"(?:=" + value + rb")?)*+" + _ENDS


def _skipping(tag: bytes, *others: bytes) -> re.Pattern[bytes]:
    often = rb"[^<]*+<(?:/[a-z0-9-]++>|" + tag + rb")"
    seldom = rb"|".join((_SELDOM, *(rb"<" + other for other in others)))
    return re.compile(rb"(?:(?:" + often + rb")++|[^<]*+(?:" + seldom + rb")|[^<]++(?!<))*+")


_MARKS: Final = _skipping(_tag(_ELEMENT, _NAME, _ANY), _tag(_ELEMENT, _NAME, _ANY_OTHERWISE))
_ADDRESSES: Final = _skipping(
    _tag(_ELEMENT, _NAME, _PLAIN),
    _tag(_ELEMENT, _NAME, _PLAIN_OTHERWISE),
    _tag(rb"a(?=[\t\n\f\r >])", _NAME_IN_LINKS, _ANY_OTHERWISE),
)


def _skip(data: bytes, at: int, plain: bool) -> int:
    found = (_ADDRESSES if plain else _MARKS).match(data, at)
    return at if found is None else found.end()


skip: Final = _skip if html is None else html.skip
"""How far a page needs no look from this place on: no mark of an author is on it, and (`plain`) it leads to no other
host but by a link."""

SHAPES: Final = re.compile(
    rb"(?:[^<]*+<(?:path|circle|rect|line|poly(?:gon|line)|ellipse|stop|use)"
    rb"(?:[\t\n\f\r ]++(?![dD][aA][tT][aA]-)[^\t\n\f\r />=\"'<]++=" + _PLAIN + rb")*+[\t\n\f\r ]*+/>)*+"
)
"""Skips shapes of a drawing that are empty and lead nowhere."""
