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
# Ten laptops share their course material. Nobody runs a server; lids close between lectures, batteries die, people
# come late. Does the material survive the day? Here is a day in about a minute: real nodes over loopback UDP, which
# come and go by a timetable.

# %%
from dfs_sdk import Swarm
from dfs_sdk.sim.swarm import hurried

LAPTOPS = 10
swarm = await Swarm(LAPTOPS, replicas=3, config=hurried(LAPTOPS), seed=7).start()
swarm

# %% [markdown]
# The teacher's laptop is the first one. She brings slides, exercises and a recording, and each is cut into chunks with
# three copies.

# %%
import random

teacher, chance = swarm[0], random.Random(7)
material = {
    "slides.pdf": chance.randbytes(700_000),
    "exercises.zip": chance.randbytes(400_000),
    "recording.mp4": chance.randbytes(2_500_000),
}
links = {}
for name, content in material.items():
    links[name] = (await teacher.put(content, name=name, chunk_size=64 * 1024)).link
await swarm.settled()
teacher.files()[["name", "size", "chunks", "copies_min", "health"]]

# %%
axes = swarm.plot_load()
# %% [markdown]
# ## The timetable
#
# One line is one hour of the day, played in a few seconds. A laptop that leaves vanishes without a goodbye, as lids
# do; who comes is somebody new to the network, with an empty disk. No more than two lids close at one instant: with
# three copies, a third one could take the last copy of some chunk along. Try it.

# %%
timetable = [
    ("08 arrivals", 0, 1),
    ("09 lecture", 0, 1),
    ("10 break", 2, 0),
    ("11 lecture", 0, 2),
    ("12 lunch", 2, 0),
    ("13 exercises", 0, 2),
    ("14 exercises", 1, 1),
    ("15 going home", 2, 0),
]

# %% [markdown]
# While it runs we take notes: how many laptops are open, and how many copies the scarcest chunk has. The teacher's
# node asks the holders itself; nobody tells it what happens.

# %%
import asyncio
import time

import pandas as pd

notes = []
began = time.perf_counter()


async def watch(hour):
    """Note how the material stands at this instant."""
    await teacher.audit()
    shot = teacher.snapshot()
    alive = {}
    for row in shot.chunks:
        alive[row.chunk_id] = alive.get(row.chunk_id, 0) + (row.state in ("self", "alive"))
    notes.append(
        {
            "seconds": time.perf_counter() - began,
            "hour": hour,
            "laptops": sum(node.running for node in swarm),
            "scarcest": min(alive.values()),
            "average": sum(alive.values()) / len(alive),
        }
    )


# %%
HOUR_SECONDS = 3.0
for hour, leave, come in timetable:
    students = [place for place, node in enumerate(swarm) if node.running and node is not teacher]
    for place in chance.sample(students, leave):
        await swarm.kill(place)
    for _ in range(come):
        await swarm.add()
    ends = time.perf_counter() + HOUR_SECONDS
    while time.perf_counter() < ends:
        await watch(hour)
        await asyncio.sleep(0.4)
day = pd.DataFrame(notes)
day.groupby("hour", sort=False)[["laptops", "scarcest", "average"]].agg(
    {"laptops": "last", "scarcest": "min", "average": "mean"}
)

# %% [markdown]
# ## The day in a picture
#
# Each time lids close, copies are missing for a moment. Then the survivors agree on who is gone, and make new ones: for
# each chunk, the first node in the order of its cell leads, and no coordinator is asked.

# %%
import matplotlib.pyplot as plt

figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.5), sharex=True)
above.step(day["seconds"], day["laptops"], where="post", color="black")
above.set(ylabel="laptops open", ylim=(0, None))
below.plot(day["seconds"], day["average"], label="on average")
below.step(day["seconds"], day["scarcest"], where="post", label="of the scarcest chunk")
below.axhline(1, linestyle=":", color="gray")
below.set(xlabel="seconds", ylabel="copies", ylim=(0, None))
below.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Did anybody lose anything?
#
# In the evening a student who came at noon, and has never seen the files, reads all of it.

# %%
seconds = await swarm.settled()
reader = next(node for node in reversed(swarm.nodes) if node.running and node is not teacher)
for name, content in material.items():
    assert await reader.get(links[name]) == content
print(f"whole again after {seconds:.1f} s; {reader.name} has read everything, byte for byte")

# %%
events = swarm.events()
repairs = events[events["kind"] == "RepairFinished"]
print(f"{len(repairs)} repairs, led by {repairs['node'].nunique()} different laptops")
repairs["node"].value_counts().head(5)

# %% [markdown]
# ## What would have been
#
# With `replicas=1`, each lid that closes takes its chunks along. How likely is it that a whole file is still readable
# after one such day, with one, two or three copies and no repair at all? Each laptop stays with probability `stay`:

# %%
stay = pd.Series([0.5, 0.7, 0.9, 0.95], name="stay")
chunks = teacher.files().set_index("name")["chunks"]["recording.mp4"]
pd.DataFrame({f"{copies} copies": (1 - (1 - stay) ** copies) ** chunks for copies in (1, 2, 3)}).set_index(stay).round(
    4
)

# %% [markdown]
# A file is lost with any one of its chunks: three copies are not enough for a day like this one. Copies that are *made
# again* are: what counts is that not all three vanish within the seconds that a repair takes.

# %%
await swarm.close()
