"""The machine port: lookups, addresses and the fingerprint."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.runtime import machine
from dfs_sdk.runtime.machine import FINGERPRINT_BYTES, SystemMachine


async def test_numeric_hosts_come_back_as_they_are():
    assert await SystemMachine().lookup("127.0.0.1", 4000) == [Address("127.0.0.1", 4000)]


@pytest.mark.parametrize("host", ["..", "a" * 300, "\udcff"])
async def test_an_impossible_name_raises_an_os_error(host: str):
    with pytest.raises(OSError):
        await SystemMachine().lookup(host, 4000)


def test_the_fingerprint_of_a_machine_is_stable():
    assert SystemMachine().fingerprint() == SystemMachine().fingerprint()
    assert len(SystemMachine().fingerprint()) == FINGERPRINT_BYTES


def test_own_addresses_are_never_loopback():
    assert not any(address.startswith("127.") or address == "::1" for address in SystemMachine().addresses())


class FakeRegistry(ModuleType):
    """Windows' registry with what an installation calls itself, or without."""

    HKEY_LOCAL_MACHINE = 1

    def __init__(self, guid: str | None) -> None:
        super().__init__("winreg")
        self.guid = guid

    @contextmanager
    def OpenKey(self, root: int, path: str) -> Iterator[str]:
        assert root == self.HKEY_LOCAL_MACHINE
        if self.guid is None:
            raise FileNotFoundError(path)
        yield path

    def QueryValueEx(self, key: str, name: str) -> tuple[str | None, int]:
        assert (key, name) == (r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")
        return self.guid, 1


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_fingerprint_needs_no_file_of_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str):
    monkeypatch.setattr(machine, "_MACHINE_ID", tmp_path / "none")
    monkeypatch.setattr(machine.sys, "platform", platform)
    found = []
    for guid in ("one", "one", "another", None, None):
        monkeypatch.setitem(sys.modules, "winreg", FakeRegistry(guid))
        monkeypatch.setattr(machine.uuid, "getnode", lambda: 0x1122334455)
        found.append(SystemMachine().fingerprint())
    assert found[0] == found[1]
    assert found[3] == found[4]
    assert len(set(found)) == (3 if platform == "win32" else 1)
