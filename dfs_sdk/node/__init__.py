"""The composition root: one node built from all floors below, and its snapshots."""
