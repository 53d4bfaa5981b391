# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where are my chunks?
#
# A laboratory in one kernel: eight real nodes that speak the real protocol over loopback UDP. We store a file, look at
# who got what, kill a holder without warning, and watch the network make the lost copies again.

# %%
from dfs_sdk import Swarm
from dfs_sdk.sim.swarm import hurried

swarm = await Swarm(8, config=hurried().with_quota("8 MiB")).start()
swarm

# %% [markdown]
# The nodes of a swarm are ordinary nodes that keep everything in memory and are in a hurry: they miss a silent peer
# within seconds, where nodes in the wild wait long enough for a notebook to come back from a long cell. Each of them
# offers 8 MiB here.

# %%
file = await swarm[0].put(b"All happy files are alike. " * 40_000, name="novel.txt", chunk_size=64 * 1024)
await swarm.settled()
print(file)

# %% [markdown]
# ## One row per copy
#
# `chunk` −1 is the manifest, the sealed list of the others. Three copies of each, on three different nodes.

# %%
before = swarm[0].chunks("novel.txt")
before[["chunk", "cell", "holder", "role", "state", "why"]].head(6)

# %%
before.groupby("chunk")["holder"].agg(" ".join)

# %%
axes = swarm[0].plot_chunks("novel.txt")
# %% [markdown]
# ## How evenly?
#
# Each chunk has two candidate cells and goes to the one whose fullest member is emptier. With a handful of chunks there
# is still some luck in it; with more files the bars become level.

# %%
for number in range(6):
    await swarm[number].put(bytes([number]) * 600_000, name=f"data {number}", chunk_size=64 * 1024)
await swarm.settled()
axes = swarm.plot_load()
# %% [markdown]
# ## Kill a holder
#
# The node that holds most of the novel (but did not write it) vanishes: no goodbye, as if its process were killed.

# %%
held = before[before["holder"] != swarm[0].name]["holder"].value_counts()
victim = held.index[0]
index = [node.name for node in swarm].index(victim)
await swarm.kill(index)
print(f"{victim} held {held.iloc[0]} copies of the novel, and is gone")

# %% [markdown]
# The file is readable at once, from the other copies. `settled` waits until the survivors have found out, agreed that
# it will not come back, and made the missing copies again: one node leads the repair of each cell.

# %%
assert await swarm[1 if index != 1 else 2].get(file.link) == b"All happy files are alike. " * 40_000
seconds = await swarm.settled()
print(f"whole again after {seconds:.1f} s")

# %%
after = swarm[0].chunks("novel.txt")
after[after["state"] != "gone"].groupby("chunk")["holder"].agg(" ".join)

# %% [markdown]
# What happened, in the words of the nodes themselves:

# %%
events = swarm.events()
events[events["topic"].isin(["peers", "replication"])][["node", "kind", "text"]].tail(8)

# %%
axes = swarm.plot_load()
# %% [markdown]
# ## How many copies are enough?
#
# Suppose each peer is up a share `a` of the time, independently of the others. A chunk can be read while at least one
# of its holders is up, so with `r` copies it can be read a share 1 − (1 − a)ʳ of the time:

# %%
import pandas as pd

from dfs_sdk.replication.policy import HolderOdds, avail

up = [0.5, 0.8, 0.9, 0.99]
pd.DataFrame(
    {
        f"{copies} copies": [avail([HolderOdds(availability=a, p_return=1.0)] * copies) for a in up]
        for copies in (1, 2, 3, 5)
    },
    index=pd.Index(up, name="peers are up"),
).round(5)

# %% [markdown]
# Three copies on peers that are up 90 % of the time are readable 99.9 % of the time. Peers that are up only half of the
# time would need ten: `await node.put(path, replicas=10)`. This is a model, not a promise: it takes peers to fail
# independently, and two nodes on one machine do not.

# %%
await swarm.close()

# %% [markdown]
# Next: [from one kernel to another](03_between_two_kernels.ipynb).
