"""Faces without controls: a node's snapshot as DataFrames, figures, static HTML cards and plain text.

Everything here is a function of a snapshot: nothing starts I/O, and nothing a peer sent can act when it is shown.
"""
