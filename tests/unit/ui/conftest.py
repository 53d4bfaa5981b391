from collections.abc import Iterator
from typing import Any

import pytest
from ipywidgets.widgets import widget as registry

from tests.fakes.browser import recorded


@pytest.fixture
def traffic() -> Iterator[list[dict[str, Any]]]:
    """Record all comm traffic; no widget may be left when the test ends."""
    before = set(registry._instances)
    with recorded() as messages:
        yield messages
    left = [registry._instances[key] for key in registry._instances if key not in before]
    assert left == []
