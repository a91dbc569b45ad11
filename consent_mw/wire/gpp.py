"""GPP strings: what a person chose under the laws of several places, in one string. Read, never written.

Rule: a choice against something in any section counts; a section that cannot be read makes the whole no string.
Rule: the string goes on as it came; third parties must neither make nor alter one.
Source: IAB Global Privacy Protocol, "Consent string specification" and the sections of the US states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consent_mw.wire.bits import Bits, BitsError
from consent_mw.wire.tcf import TcString, read_tc_string

LONGEST: Final = 16_384
MOST_SECTIONS: Final = 64

TCF_EU: Final = 2
USP: Final = 6


class OptOut(StrEnum):
    """What a person may have opted out of."""

    SALE = "sale"
    SHARING = "sharing"
    TARGETED_ADVERTISING = "targeted-advertising"


OPTED_OUT: Final = 1
"""Of a field of two bits: 0 is not applicable, 2 is did not opt out."""

_USUAL: Final = ((12, OptOut.SALE), (14, OptOut.TARGETED_ADVERTISING))
_LATER: Final = ((16, OptOut.SALE), (18, OptOut.TARGETED_ADVERTISING))
_MIDDLE: Final = ((14, OptOut.SALE), (16, OptOut.TARGETED_ADVERTISING))

SECTIONS: Final[Mapping[int, tuple[tuple[int, OptOut], ...]]] = {
    7: ((18, OptOut.SALE), (20, OptOut.SHARING), (22, OptOut.TARGETED_ADVERTISING)),  # national
    8: ((12, OptOut.SALE), (14, OptOut.SHARING)),  # California
    **dict.fromkeys((9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23), _USUAL),
    **dict.fromkeys((11, 18), _MIDDLE),  # Utah, Iowa
    **dict.fromkeys((24, 25, 26, 27), _LATER),  # Maryland, Indiana, Kentucky, Rhode Island
}
"""Of each section of US law, at which bit each choice stands."""

_GPC_SEGMENT: Final = 1


@dataclass(frozen=True, slots=True)
class GppString:
    """One string: the ids of its sections, what was opted out of in any of them, whether one carries GPC, and the TC
    string of the EU's section."""

    sections: tuple[int, ...]
    opted_out: frozenset[OptOut]
    gpc: bool
    tcf: TcString | None


def read_gpp_string(text: str) -> GppString | None:
    """What this string says; None where it is none."""
    if len(text) > LONGEST or not text.isascii():
        return None
    header, *sections = text.split("~")
    try:
        identities = _identities(Bits(header))
        if len(identities) != len(sections):
            return None
        return _together(dict(zip(identities, sections, strict=True)))
    except BitsError:
        return None


def _identities(bits: Bits) -> tuple[int, ...]:
    if bits.number(6) != 3 or bits.number(6) != 1:
        raise BitsError("the header is of another kind or version")
    found: list[int] = []
    last = 0
    for _ in range(bits.number(12)):
        several = bits.flag()
        first = last = last + bits.fibonacci()
        if several:
            last += bits.fibonacci()
        if last - first >= MOST_SECTIONS or len(found) >= MOST_SECTIONS:
            raise BitsError("there are more sections than there can be")
        found += range(first, last + 1)
    return tuple(found)


def _together(sections: Mapping[int, str]) -> GppString:
    opted_out: set[OptOut] = set()
    gpc = False
    tcf = None
    for identity, text in sections.items():
        if identity == TCF_EU:
            tcf = read_tc_string(text)
            if tcf is None:
                raise BitsError("the section of the EU is no TC string")
        elif identity == USP:
            opted_out |= {OptOut.SALE, OptOut.SHARING} if _usp_opts_out(text) else set()
        elif identity in SECTIONS:
            core, *others = text.split(".")
            opted_out |= {what for at, what in SECTIONS[identity] if _at(core, at) == OPTED_OUT}
            gpc = gpc or any(_carries_gpc(one) for one in others)
    if gpc:
        opted_out |= set(OptOut)
    return GppString(tuple(sections), frozenset(opted_out), gpc, tcf)


def _at(text: str, place: int) -> int:
    bits = Bits(text)
    bits.skip(place)
    return bits.number(2)


def _carries_gpc(segment: str) -> bool:
    bits = Bits(segment)
    return bits.number(2) == _GPC_SEGMENT and bits.flag()


def _usp_opts_out(text: str) -> bool:
    """Whether a US Privacy string (`1YNN`: version, notice, opt-out of sale, covered) opts out."""
    if len(text) != 4 or text[0] != "1" or not set(text[1:].upper()) <= set("YN-"):
        raise BitsError("the US Privacy string is none")
    return text[2].upper() == "Y"
