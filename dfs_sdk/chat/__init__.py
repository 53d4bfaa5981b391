"""Chat: one room for the whole network and direct conversations, signed, in order per sender, kept in the store.

`messages` goes on the wire, `clock` and `room` decide (pure), `service` acts.
"""
