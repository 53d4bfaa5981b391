"""Text of a peer made safe to show: nothing in it moves the cursor, hides, reorders or poses as something else.

What a reader could not see, or what would act on a terminal, is replaced by something visible. This is the one place
where peer-supplied names and words are cleaned; escaping for HTML is still the business of whoever writes HTML.

Source: Unicode Technical Report 36 "Unicode Security Considerations", section 3; UAX 44 for the categories; Boucher and
Anderson, "Trojan Source" (2021), for the bidirectional controls.
"""

from __future__ import annotations

import unicodedata

COMBINING_RUN_MAX = 4
ELLIPSIS = "…"

# Controls, formats (bidi, zero-width, tags), surrogates, private use, unassigned, and the two line ends of Unicode.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters, marks and symbols that render as nothing or as blank although their category says otherwise. U+FE0E and
# U+FE0F stay: they choose between text and picture for many common emoji.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | frozenset(
    chr(code) for code in range(0xFE00, 0xFE0E)
)
_BLANK_PLANE_14 = range(0xE0000, 0xE1000)
_MARKS = frozenset({"Mn", "Me"})


def safe_text(text: str, *, length_max: int, keep_newlines: bool = False) -> str:
    r"""Make `text` safe to print, whoever wrote it.

    Controls become their pictures (ESC is `␛`), other invisible characters their code (`\u202e`), spaces of odd width a
    plain space; a pile of combining marks is cut to 4.

    Args:
        text: Anything, lone surrogates included.
        length_max: The most characters of the result, at least 1; longer text ends in `…`.
        keep_newlines: Leave line feeds alone; without it they become `␊`.
    """
    plain = text.replace("\n", "") if keep_newlines else text
    if plain.isascii() and plain.isprintable():  # most texts, and a hundred times faster
        return text if len(text) <= length_max else text[: length_max - len(ELLIPSIS)] + ELLIPSIS
    pieces: list[str] = []
    length = marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if marks > COMBINING_RUN_MAX:
            continue
        piece = character if keep_newlines and character == "\n" else _visible(character, category)
        pieces.append(piece)
        length += len(piece)
        if length > length_max:
            return "".join(pieces)[: length_max - len(ELLIPSIS)] + ELLIPSIS
    return "".join(pieces)


def is_hidden(character: str) -> bool:
    """Say whether one character is invisible, a control, or changes how its neighbours are shown."""
    code = ord(character)
    return unicodedata.category(character) in _HIDDEN_CATEGORIES or character in _BLANK or code in _BLANK_PLANE_14


def _visible(character: str, category: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if category == "Zs":
        return " "
    if not is_hidden(character):
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
