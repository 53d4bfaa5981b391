"""Secrets on their way through our own values: a traceback that shows variables does not show them."""

from __future__ import annotations

from dfs_sdk.cli.session import Options
from dfs_sdk.exchange.messages import Remove
from dfs_sdk.ids import Address
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.engine import Plan

SECRET = "open sesame"


def test_no_passphrase_or_removal_key_is_in_a_repr():
    plan = Plan(
        name="ada",
        folder=None,
        bind=Address("127.0.0.1", 0),
        passphrase=SECRET,
        identity_passphrase=SECRET,
        config=NodeConfig(),
        membership=None,
    )
    options = Options(
        name="ada", store=None, listen="", join=None, passphrase=SECRET, quota=None, timeout=1.0, json=False
    )
    request = Remove(removal_key=SECRET.encode().ljust(32), chunk_ids=())
    for value in (plan, options, request):
        assert type(value).__name__ in repr(value)
        assert SECRET not in repr(value)
