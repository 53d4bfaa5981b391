"""Watches every use of AES-256-GCM in this process: no key may seal twice under one nonce.

It stands where the cipher itself stands, so that it sees what is really sealed, whoever numbered it. Numbers of a key
mostly follow each other; they are kept as runs, so that 10⁸ packets fit into memory and every repetition is found.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dfs_sdk.crypto import aead, noise
from dfs_sdk.crypto.noise_patterns import CipherName

REPEATS_NAMED_MAX = 20

Use = tuple[str, int]
"""A key, as the hash of it, and a nonce."""


class Uses:
    """The nonces of one key, as runs in order: [first, after the last]."""

    __slots__ = ("_at", "_runs", "count")

    def __init__(self) -> None:
        self.count = 0
        self._runs: list[list[int]] = []
        self._at: list[int] | None = None

    def add(self, nonce: int) -> bool:
        """Note a use; say whether it is the first under this nonce."""
        run = self._at
        if run is None or nonce != run[1] or (len(self._runs) > 1 and self._is_known(nonce)):
            if self._is_known(nonce):
                return False
            run = self._at = [nonce, nonce]
            self._runs.insert(bisect_right(self._runs, run), run)
        run[1] = nonce + 1
        self.count += 1
        return True

    def _is_known(self, nonce: int) -> bool:
        place = bisect_right(self._runs, [nonce, 2**96]) - 1
        return place >= 0 and nonce < self._runs[place][1]


class Register:
    """All keys that sealed anything, over all lives.

    Attributes:
        repeats: The first uses that were none of the first under their nonce.
        repeated: How many there were.
        log: Notes every use as well, where somebody put a list.
    """

    def __init__(self) -> None:
        self.repeats: list[Use] = []
        self.repeated = 0
        self.log: list[Use] | None = None
        self._keys: dict[str, Uses] = {}

    @property
    def sealed(self) -> int:
        """How often something was sealed."""
        return sum(uses.count for uses in self._keys.values())

    @property
    def keys(self) -> int:
        """How many keys sealed something."""
        return sum(uses.count > 0 for uses in self._keys.values())

    def note(self, use: Use) -> None:
        """Note a use that happened elsewhere."""
        key, nonce = use
        self.noter(key)(nonce.to_bytes(12, "big"))

    def noter(self, key: str) -> Callable[[bytes], None]:
        """Make what notes the uses of one key."""
        uses = self._keys.setdefault(key, Uses())

        def note(nonce: bytes) -> None:
            number = int.from_bytes(nonce, "big")
            if not uses.add(number):
                self.repeated += 1
                if len(self.repeats) < REPEATS_NAMED_MAX:
                    self.repeats.append((key, number))
            if self.log is not None:
                self.log.append((key, number))

        return note

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all ciphers that are made meanwhile."""
        _, pack = noise._CIPHERS[CipherName.AESGCM]
        watched: Any = self._cipher
        with (
            patch.object(aead, "AESGCM", watched),
            patch.dict(noise._CIPHERS, {CipherName.AESGCM: (watched, pack)}),
        ):
            yield

    def _cipher(self, key: bytes) -> _Watched:
        return _Watched(AESGCM(key), self.noter(hashlib.sha256(key).hexdigest()))


class _Watched:
    """An `AESGCM` whose sealing is noted."""

    __slots__ = ("decrypt", "decrypt_into", "encrypt", "encrypt_into")

    def __init__(self, real: AESGCM, note: Callable[[bytes], None]) -> None:
        self.decrypt, self.decrypt_into = real.decrypt, real.decrypt_into
        seal, seal_into = real.encrypt, real.encrypt_into

        def encrypt(nonce: bytes, *arguments: Any) -> bytes:
            note(nonce)
            return seal(nonce, *arguments)

        def encrypt_into(nonce: bytes, *arguments: Any) -> int:
            note(nonce)
            return seal_into(nonce, *arguments)

        self.encrypt, self.encrypt_into = encrypt, encrypt_into
