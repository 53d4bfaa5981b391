"""Panels of ipywidgets: join, files, transfers, chunk map, peers, chat, network, and a dashboard that holds them.

A panel shows snapshots of a node and hands what the user asks for to the node; no rule of the system is decided here.
"""

from dfs_sdk.ui.chat import ChatPanel
from dfs_sdk.ui.dashboard import Dashboard
from dfs_sdk.ui.files import FilesPanel
from dfs_sdk.ui.header import HeaderPanel
from dfs_sdk.ui.join import JoinPanel
from dfs_sdk.ui.nav import NavPanel
from dfs_sdk.ui.network import NetworkPanel
from dfs_sdk.ui.peers import PeersPanel
from dfs_sdk.ui.placement import PlacementPanel
from dfs_sdk.ui.registry import close_panels, panel_of
from dfs_sdk.ui.transfers import TransfersPanel

__all__ = [
    "ChatPanel",
    "Dashboard",
    "FilesPanel",
    "HeaderPanel",
    "JoinPanel",
    "NavPanel",
    "NetworkPanel",
    "PeersPanel",
    "PlacementPanel",
    "TransfersPanel",
    "close_panels",
    "panel_of",
]
