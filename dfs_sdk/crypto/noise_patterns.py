"""The handshake patterns of Noise as a table, and the parser of protocol names.

Source: Noise Protocol Framework revision 34, sections 7 (patterns), 8 (names), 9 (pre-shared keys) and appendix 18.1
(deferred patterns).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

_NAME = re.compile(
    r"Noise_(?P<base>[NKXI]1?[NKX]?1?)(?P<modifiers>(?:psk[0-9](?:\+psk[0-9])*)?)"
    r"_25519_(?P<cipher>[A-Za-z]+)_(?P<hash>[A-Z0-9a-z]+)"
)

# Pattern → messages, "/" between them, the initiator's first; what is before ":" is known beforehand
# (">" the initiator's static key, "<" the responder's).
_PATTERNS = {
    "N": "<: e es",
    "K": "><: e es ss",
    "X": "<: e es s ss",
    "NN": ": e / e ee",
    "NK": "<: e es / e ee",
    "NX": ": e / e ee s es",
    "XN": ": e / e ee / s se",
    "XK": "<: e es / e ee / s se",
    "XX": ": e / e ee s es / s se",
    "KN": ">: e / e ee se",
    "KK": "><: e es ss / e ee se",
    "KX": ">: e / e ee se s es",
    "IN": ": e s / e ee se",
    "IK": "<: e es s ss / e ee se",
    "IX": ": e s / e ee se s es",
    "NK1": "<: e / e ee es",
    "NX1": ": e / e ee s / es",
    "X1N": ": e / e ee / s / se",
    "X1K": "<: e es / e ee / s / se",
    "XK1": "<: e / e ee es / s se",
    "X1K1": "<: e / e ee es / s / se",
    "X1X": ": e / e ee s es / s / se",
    "XX1": ": e / e ee s / es s se",
    "X1X1": ": e / e ee s / es s / se",
    "K1N": ">: e / e ee / se",
    "K1K": "><: e es / e ee / se",
    "KK1": "><: e / e ee se es",
    "K1K1": "><: e / e ee es / se",
    "K1X": ">: e / e ee s es / se",
    "KX1": ">: e / e ee se s / es",
    "K1X1": ">: e / e ee s / se es",
    "I1N": ": e s / e ee / se",
    "I1K": "<: e es s / e ee / se",
    "IK1": "<: e s / e ee se es",
    "I1K1": "<: e s / e ee es / se",
    "I1X": ": e s / e ee s es / se",
    "IX1": ": e s / e ee se s / es",
    "I1X1": ": e s / e ee s / se es",
}


class Token(Enum):
    """What a message carries or mixes in; in a pair of letters the first is the initiator's key."""

    EPHEMERAL = "e"
    STATIC = "s"
    EE = "ee"
    ES = "es"
    SE = "se"
    SS = "ss"
    PSK = "psk"


class CipherName(Enum):
    """Ciphers a handshake may use."""

    AESGCM = "AESGCM"
    CHACHAPOLY = "ChaChaPoly"


class HashName(Enum):
    """Hashes a handshake may use, by their Noise names."""

    SHA256 = "SHA256"
    SHA512 = "SHA512"
    BLAKE2S = "BLAKE2s"
    BLAKE2B = "BLAKE2b"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseProtocol:
    """A parsed protocol name.

    Attributes:
        name: The full name, as it is hashed.
        initiator_known: Whether the responder knows the initiator's static key beforehand.
        responder_known: Whether the initiator knows the responder's static key beforehand.
        messages: The tokens of each message; the initiator sends those at even positions.
        psk_count: How many pre-shared keys the pattern mixes in.
        cipher: The AEAD.
        hash: The hash function.
    """

    name: str
    initiator_known: bool
    responder_known: bool
    messages: tuple[tuple[Token, ...], ...]
    psk_count: int
    cipher: CipherName
    hash: HashName

    def sends_static(self, *, initiator: bool) -> bool:
        """Whether that side transmits its static key."""
        return any(Token.STATIC in tokens for tokens in self.messages[0 if initiator else 1 :: 2])


@lru_cache(maxsize=16)
def parse_protocol(name: str) -> NoiseProtocol:
    """Read a name such as ``Noise_IKpsk2_25519_AESGCM_SHA256``.

    Raises:
        ValueError: Not a name this module knows the parts of.
    """
    match = _NAME.fullmatch(name)
    if match is None or match["base"] not in _PATTERNS:
        raise ValueError(f"unknown Noise protocol {name!r}")
    known, _, rest = _PATTERNS[match["base"]].partition(":")
    messages = [[Token(word) for word in part.split()] for part in rest.split("/")]
    modifiers = [int(digit) for digit in re.findall(r"psk([0-9])", match["modifiers"])]
    _insert_psks(name, messages, modifiers)
    return NoiseProtocol(
        name=name,
        initiator_known=">" in known,
        responder_known="<" in known,
        messages=tuple(tuple(message) for message in messages),
        psk_count=len(modifiers),
        cipher=CipherName(match["cipher"]),
        hash=HashName(match["hash"]),
    )


def _insert_psks(name: str, messages: list[list[Token]], modifiers: list[int]) -> None:
    if len(set(modifiers)) != len(modifiers) or any(place > len(messages) for place in modifiers):
        raise ValueError(f"impossible psk modifiers in {name!r}")
    for place in modifiers:
        if place == 0:
            messages[0].insert(0, Token.PSK)
        else:
            messages[place - 1].append(Token.PSK)
