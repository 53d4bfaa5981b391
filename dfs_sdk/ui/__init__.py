"""Panels of ipywidgets: join, files, chat, chunk map, and a dashboard that holds them.

A panel shows snapshots of a node and hands what the user asks for to the node; no rule of the system is decided here.
"""

from dfs_sdk.ui.chat import ChatPanel
from dfs_sdk.ui.dashboard import Dashboard
from dfs_sdk.ui.files import FilesPanel
from dfs_sdk.ui.header import HeaderPanel
from dfs_sdk.ui.join import JoinPanel
from dfs_sdk.ui.overview import OverviewPanel
from dfs_sdk.ui.placement import PlacementPanel
from dfs_sdk.ui.registry import close_panels, panel_of

__all__ = [
    "ChatPanel",
    "Dashboard",
    "FilesPanel",
    "HeaderPanel",
    "JoinPanel",
    "OverviewPanel",
    "PlacementPanel",
    "close_panels",
    "panel_of",
]
