"""What a node says about itself. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dfs_sdk.peers.messages import (
    INCARNATION_MAX,
    NAME_BYTES_MAX,
    SITE_BYTES_MAX,
    STORAGE_UUID_BYTES,
    VERSION_BYTES_MAX,
    WEIGHT_STEPS,
    NodeDesc,
    NodeStatus,
)
from dfs_sdk.store.base import StoreUsage
from dfs_sdk.transport.contact import Contact

# A change of the used bytes below this share of the capacity is not worth a new description.
USED_STEP_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What stays the same about a node while it runs.

    Attributes:
        name: What people call it.
        host: 16 bytes naming the machine, one failure domain.
        site: A wider domain, or empty.
        version: The program's version.
    """

    name: str = ""
    host: bytes = bytes(16)
    site: str = ""
    version: str = ""


def weight_exponent(capacity_bytes: int, before: int | None = None) -> int:
    """Quantise a capacity to the exponent j of the weight 2^(j / 8), with one step of hysteresis.

    Args:
        capacity_bytes: What the node offers.
        before: The exponent in use: kept while the new one is within one step.
    """
    exponent = round(WEIGHT_STEPS * math.log2(max(1, capacity_bytes)))
    return before if before is not None and abs(exponent - before) <= 1 else exponent


def name_of(text: str) -> str:
    """Cut a name to what fits into a description."""
    return _fit(text, NAME_BYTES_MAX)


def first_desc(profile: Profile, *, contact: Contact, wall: float) -> NodeDesc:
    """Make the description of a node that has not started: without storage.

    Its incarnation is the wall clock's, above those of earlier lives.
    """
    return NodeDesc(
        contact=contact,
        name=name_of(profile.name),
        host=profile.host,
        site=_fit(profile.site, SITE_BYTES_MAX),
        capacity_bytes=0,
        used_bytes=0,
        weight_exponent=0,
        incarnation=min(INCARNATION_MAX, max(1, int(wall * 1000))),
        status=NodeStatus.ALIVE,
        busy_until_wall=0.0,
        up_since_wall=max(0.0, wall),
        storage_uuid=bytes(STORAGE_UUID_BYTES),
        version=_fit(profile.version, VERSION_BYTES_MAX),
    )


def outdated(desc: NodeDesc, usage: StoreUsage) -> bool:
    """Whether a description is so far from the truth about our store that others should know."""
    if usage.capacity_bytes != desc.capacity_bytes:
        return True
    return abs(usage.used_bytes - desc.used_bytes) >= max(1, USED_STEP_SHARE * desc.capacity_bytes)


def _fit(text: str, bytes_max: int) -> str:
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")
