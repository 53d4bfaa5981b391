"""Argon2id over what people type."""

from __future__ import annotations

from typing import Any

import pytest

from dfs_sdk.crypto import passphrase as passphrase_module
from dfs_sdk.crypto.passphrase import stretch
from dfs_sdk.errors import ConfigError

SALT = bytes(range(16))
CHEAP: dict[str, Any] = {"memory_kib": 64, "passes": 1, "lanes": 1}


def test_another_implementation_stretches_alike() -> None:
    argon2 = pytest.importorskip("argon2.low_level", reason="install argon2-cffi (JupyterLab brings it)")
    for passphrase, memory_kib, passes, lanes in (("a", 64, 1, 1), ("grün ☃", 256, 2, 4), ("x" * 300, 100, 3, 3)):
        expected = argon2.hash_secret_raw(
            passphrase.encode(), SALT, time_cost=passes, memory_cost=memory_kib, parallelism=lanes,
            hash_len=32, type=argon2.Type.ID,
        )  # fmt: skip
        assert stretch(passphrase, salt=SALT, memory_kib=memory_kib, passes=passes, lanes=lanes) == expected


def test_default_costs_are_the_golden_ones() -> None:
    assert (
        stretch("correct horse", salt=SALT).hex() == "577f1ff37e9a3e52c97d39f8e83891c1b73b0e87ffe0429cee8ede2fb005fe44"
    )


def test_accents_typed_in_either_way_agree() -> None:
    assert stretch("\u00e9t\u00e9", salt=SALT, **CHEAP) == stretch("e\u0301te\u0301", salt=SALT, **CHEAP)


def test_passphrase_salt_and_costs_all_count() -> None:
    base = stretch("a", salt=SALT, **CHEAP)
    assert base != stretch("b", salt=SALT, **CHEAP)
    assert base != stretch("a", salt=SALT[::-1], **CHEAP)
    assert base != stretch("a", salt=SALT, **CHEAP | {"memory_kib": 72})
    assert base != stretch("a", salt=SALT, **CHEAP | {"passes": 2})
    assert base != stretch("a", salt=SALT, **CHEAP | {"lanes": 2})


@pytest.mark.parametrize(
    ("passphrase", "changes"),
    [("", {}), ("\ud800", {}), ("a", {"salt": bytes(7)}), ("a", {"passes": 0}), ("a", {"lanes": 0}),
     ("a", {"memory_kib": 7})],
)  # fmt: skip
def test_unusable_arguments_are_named(passphrase: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        stretch(passphrase, **{"salt": SALT} | CHEAP | changes)


def test_lack_of_memory_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def __init__(self, **_: object) -> None: ...

        def derive(self, secret: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(passphrase_module, "Argon2id", Starved)
    with pytest.raises(ConfigError, match="64 MiB"):
        stretch("a", salt=SALT)
