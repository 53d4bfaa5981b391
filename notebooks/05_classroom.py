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
# # A day in a classroom
#
# Eight laptops share their course material. Nobody runs a server; lids close in the breaks, cells block kernels,
# kernels are restarted. Does the material survive the day? Here is a whole one in about a minute: the real code of
# the nodes on simulated machines, in virtual time.

# %%
from dfs_sdk import Swarm
from dfs_sdk.sim.pace import at_leisure

LAPTOPS, SEED = 8, 7
swarm = await Swarm(LAPTOPS, net="classroom-day", seed=SEED, config=at_leisure(40)).start()
swarm

# %% [markdown]
# `at_leisure(40)` lets the nodes look around a fortieth as often as real ones do: a day costs that much less to
# compute. The first laptop is the teacher's, and the only one that stays open. She brings slides and exercises; each
# file is cut into chunks with three copies.

# %%
import random

teacher, chance = swarm[0], random.Random(SEED)
material = {"slides.pdf": chance.randbytes(700_000), "exercises.zip": chance.randbytes(400_000)}
links = {}
for name, content in material.items():
    links[name] = (await teacher.put(content, name=name, chunk_size=64 * 1024)).link
teacher.files()[["name", "size", "chunks", "copies_min", "health"]]

# %% [markdown]
# ## From nine to five
#
# There are lectures at 9, 11 and 14 o'clock. Between two cells time stands still; it passes while `run` does. Its bar
# can be stopped, and so can the cell (■): the next run goes on from there. The same seed gives the same day, event for
# event.

# %%
report = await swarm.run(hours=8)
report

# %% [markdown]
# Everything a node tells is there as a DataFrame, with virtual timestamps. What happened to whom, hour by hour:

# %%
import pandas as pd

events = swarm.events()
struck = events[events["kind"].isin(["sleep", "freeze", "crash"])]
pd.crosstab(struck["at"].dt.hour, struck["kind"]).rename_axis("hour")

# %% [markdown]
# `history` has a row for each look at the swarm: how many laptops answered, how many copies were within reach.

# %%
day = swarm.history()
hours = day.groupby(day["at"].dt.hour)[["answering", "copies_min", "copies_mean", "copies_kept", "readable"]]
hours.mean().round(1).rename_axis("hour")

# %% [markdown]
# ## The day in a picture
#
# In the breaks lids close, and copies are out of *reach*. They are not *lost*: they lie on disks that come back. Those
# who stay awake make new ones of what they still reach, and let go of the surplus when the others are back.

# %%
import matplotlib.pyplot as plt
from matplotlib.dates import DateFormatter

figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.5), sharex=True)
above.step(day["at"], day["answering"], where="post", color="black")
above.set(ylabel="laptops awake", ylim=(0, None))
below.plot(day["at"], day["copies_kept"], color="gray", label="on disks, on average")
below.plot(day["at"], day["copies_mean"], label="within reach, on average")
below.step(day["at"], day["copies_min"], where="post", label="within reach, of the scarcest chunk")
below.set(ylabel="copies", ylim=(0, None))
below.legend(loc="lower left", fontsize="x-small", framealpha=0.6)
below.xaxis.set_major_formatter(DateFormatter("%H:%M"))
plt.show()

# %%
axes = swarm.plot_events()

# %% [markdown]
# ## One upload under the magnifying glass
#
# So far messages travelled whole, which is cheap. With `Fidelity()` every datagram is sealed, queued, lost and repeated
# as it would be, and connections note what they go through. Three copies of 4 MiB over this Wi-Fi:

# %%
from dfs_sdk.sim.fidelity import Fidelity

precise = await Swarm(4, net="classroom-day", seed=SEED, fidelity=Fidelity()).start()
await precise[0].put(chance.randbytes(4 * 1024 * 1024), name="video.mp4")
axes = precise[0].plot_trace(transfer="video.mp4")

# %% [markdown]
# The three share one line of 20 Mbit/s: what one takes, the others miss. The round trip far above the shortest one is
# the queue in front of that line; losses are the bursts of the air. While that queue stands, whoever loses something
# gives way to the others.

# %%
await precise.close()

# %% [markdown]
# ## Did anybody lose anything?
#
# Let the students come back the next morning: the one who was there least reads all of it.

# %%
await swarm.run(hours=16.5)
present = [node for place, node in enumerate(swarm) if place and node.snapshot().state != "alone"]
reader = min(present, key=lambda node: node.snapshot().used_bytes)
for name, content in material.items():
    assert await reader.get(links[name]) == content
print(f"{swarm.history()['at'].iloc[-1]:%A %H:%M}: {reader.name} has read everything, byte for byte")

# %% [markdown]
# ## Three policies side by side
#
# What would have been with one copy only? And does a *pin* on the one laptop that stays open help? The same seed, the
# same class, the same lids; only the policy differs.

# %%
POLICIES = {"1 copy": (1, False), "3 copies": (3, False), "3 copies and a pin": (3, True)}


async def school_day(replicas, pinned):
    """Play the morning and the lunch break of the class under one policy, and return its history."""
    other = await Swarm(LAPTOPS, replicas=replicas, net="classroom-day", seed=SEED, config=at_leisure(40)).start()
    file = await other[0].put(material["slides.pdf"], name="slides.pdf", chunk_size=64 * 1024)
    if pinned:
        await other[0].pin(file)
    await other.run(hours=4.5)
    history = other.history()
    await other.close()
    return history[history["files"] > 0]


days = {words: await school_day(*policy) for words, policy in POLICIES.items()}

# %%
pd.DataFrame(
    {
        words: {
            "readable, share of the time": history["readable"].mean(),
            "copies within reach": history["copies_mean"].mean(),
            "scarcest chunk, at worst": history["copies_min"].min(),
            "MB sent": history["bytes_delivered"].iloc[-1] / 1e6,
        }
        for words, history in days.items()
    }
).T.round(2)

# %%
figure, axes = plt.subplots(len(days), 1, figsize=(8, 3.6), sharex=True)
for axis, (words, history) in zip(axes, days.items(), strict=True):
    axis.fill_between(history["at"], history["readable"], step="post", alpha=0.6)
    axis.set(yticks=[0, 1], yticklabels=["no", "yes"], ylim=(0, 1.05))
    axis.set_title(f"readable with {words}", loc="left", fontsize="small")
axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))
plt.tight_layout()
plt.show()

# %% [markdown]
# Copies are cheap, and they help while *some* lids are open. When nearly all are closed, no number of copies on
# students' laptops helps: a pin on a machine that stays on does. That is why a class wants one such machine.

# %%
await swarm.close()
