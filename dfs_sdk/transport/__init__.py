"""Sealed, reliable messages between two nodes over UDP.

A sans-IO core (`endpoint` and all it is made of) that takes and gives bursts of datagrams, and one short async shell
around it (`driver`). The floors above see `Transport`, `Connection`, `Contact` and `Priority`.
"""
