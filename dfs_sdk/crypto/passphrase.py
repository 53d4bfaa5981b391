"""Turns what a person can remember into a key that is costly to guess.

Source: RFC 9106 (Argon2id); its second recommended setting, for machines short of memory, is the default here.
"""

from __future__ import annotations

import unicodedata

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from dfs_sdk.errors import ConfigError

SALT_BYTES_MIN = 8
STRETCHED_BYTES = 32
MEMORY_KIB = 65_536
PASSES = 3
LANES = 4


def stretch(
    passphrase: str, *, salt: bytes, memory_kib: int = MEMORY_KIB, passes: int = PASSES, lanes: int = LANES
) -> bytes:
    """Derive 32 bytes from `passphrase` with Argon2id. Blocks for about 0.1 s: offload it.

    The text is brought to Unicode NFC first, so that keyboards which compose accents differently agree.

    Args:
        passphrase: Not empty; any text.
        salt: At least 8 bytes, random and stored, or fixed where all who share the passphrase must agree.
        memory_kib: Memory in KiB, at least 8 a lane.
        passes: Times the memory is gone through, at least 1.
        lanes: Independent lanes, at least 1.

    Raises:
        ConfigError: The passphrase is empty, the salt short, a cost out of range, or too little memory is free.
    """
    if not passphrase:
        raise ConfigError("the passphrase is empty: give one, or None for none")
    if len(salt) < SALT_BYTES_MIN or passes < 1 or lanes < 1 or memory_kib < 8 * lanes:
        raise ConfigError(
            f"Argon2id needs a salt of {SALT_BYTES_MIN} bytes, 1 pass, 1 lane and 8 KiB a lane at the least"
        )
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        raise ConfigError("the passphrase is not valid Unicode text") from None
    function = Argon2id(salt=salt, length=STRETCHED_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    try:
        return function.derive(secret)
    except MemoryError:
        raise ConfigError(f"a passphrase takes {memory_kib / 1024:.0f} MiB of memory, and less is free") from None
