"""The machine port: lookups, addresses and the fingerprint."""

import pytest

from dfs_sdk.ids import Address
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
