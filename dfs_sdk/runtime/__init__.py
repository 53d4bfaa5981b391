"""The outside world behind ports: clock, chance, network, disk, threads, tasks, and the loop a node lives on.

Everything above reaches the world through `ports.Runtime`, which `system.system_runtime` fills with the real one and
the tests with a virtual one. `tasks` gives every task a parent; `homes` keeps a node on one loop that any thread
may call.
"""
