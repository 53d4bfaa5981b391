from collections.abc import Sequence
from typing import Any

import pytest

from dfs_sdk.ui import ChatPanel, FilesPanel
from dfs_sdk.ui.moving import MovingPanel
from tests.fakes.browser import press, told
from tests.fakes.node import FakeNode
from tests.fakes.virtual import run_virtual, turns


@pytest.mark.parametrize("kind", [ChatPanel, FilesPanel])
def test_panel_that_moves_files_names_itself_to_its_page_and_refuses_files_it_has_not(
    kind: type[MovingPanel], traffic: Sequence[dict[str, Any]]
) -> None:
    async def scenario() -> None:
        async with FakeNode() as node:
            panel, other = kind(node), kind(node)
            assert panel.panel_id == panel.model_id != other.panel_id
            assert "keptMoves" in panel._esm
            press(panel, "download", move="d1", first=0, file="0" * 64)
            await turns(5)
            assert "no longer in the catalog" in told(traffic, "move-failed")[0]["text"]
            panel.close()
            other.close()

    run_virtual(scenario())
