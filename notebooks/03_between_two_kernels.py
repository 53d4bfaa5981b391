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
# # From one kernel to another
#
# Two notebooks, two kernels, two processes: here, this notebook starts the second kernel itself, so that one page tells
# the whole story. What crosses between them are sealed datagrams, as between two machines.

# %%
from dfs_sdk import Node

ada = await Node("ada", store="memory", listen="127.0.0.1:0").start()
ada

# %% [markdown]
# ## The other kernel
#
# `there` runs a cell in it and returns what that cell printed. It is plain `jupyter_client`, the same that JupyterLab
# uses for this very notebook.

# %%
from jupyter_client.manager import AsyncKernelManager

manager = AsyncKernelManager(kernel_name="python3")
await manager.start_kernel(extra_arguments=["--log-level=ERROR"])
client = manager.client()
client.start_channels()
await client.wait_for_ready(timeout=60)


async def there(cell):
    """Run a cell in the other kernel; returns what it printed."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.execute_interactive(cell, output_hook=keep, allow_stdin=False)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{reply['content']['ename']}: {reply['content']['evalue']}")
    return "".join(printed).strip()


# %% [markdown]
# Ben lives there, with two friends who hold copies: `put` wants its chunks confirmed by two nodes besides its own.

# %%
invite = await there("""
from dfs_sdk import Node
ben, cyd, dot = [await Node(name, store="memory", listen="127.0.0.1:0").start() for name in ("ben", "cyd", "dot")]
await cyd.join(ben.invite())
await dot.join(ben.invite())
print(ben.invite())
""")
print(await ada.join(invite))

# %%
import asyncio

while len(ada.peers()) < 4:  # a moment, until everybody has met
    await asyncio.sleep(0.1)
ada.peers()[["name", "state", "address", "rtt"]]

# %% [markdown]
# ## There
#
# 48 MiB that nothing can compress. `progress` is called as the transfer moves; here it only takes notes.

# %%
import hashlib
import os
import time

content = os.urandom(48 * 1024 * 1024)
notes = []
begun = time.perf_counter()
file = await ada.put(
    content,
    name="measurements.bin",
    progress=lambda transfer: notes.append((time.perf_counter() - begun, transfer.bytes_done)),
)
print(file)

# %% [markdown]
# The link is all that the other side needs, and all that nobody else may have: it travels through our own hands.

# %%
answer = await there(f"""
import hashlib, json, time
notes, begun = [], time.perf_counter()
note = lambda transfer: notes.append((time.perf_counter() - begun, transfer.bytes_done))
content = await ben.get({str(file.link)!r}, progress=note)
print(json.dumps([hashlib.sha256(content).hexdigest(), notes]))
""")

# %%
import json

digest, notes_there = json.loads(answer)
assert digest == hashlib.sha256(content).hexdigest()
print(f"{len(content):,} bytes are there, the same ones")

# %% [markdown]
# ## In a picture
#
# Both directions are bounded by the one machine that plays four nodes here: each byte was sealed, sent, checked and
# written for three holders, and read back from them.

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 3))
for label, samples in (("put by ada", notes), ("get by ben", notes_there)):
    seconds, moved = zip(*[(0.0, 0), *samples], strict=True)
    axes.plot(seconds, [each / 2**20 for each in moved], label=label)
axes.set(xlabel="seconds", ylabel="MiB", title="48 MiB between two kernels")
axes.legend()
plt.show()

# %% [markdown]
# ## What the connections went through
#
# Every transfer is a row of `transfers()`, and while data moves each connection notes how it goes: up to ten times a
# second, and kept for a while after the end. `plot_trace` draws what belongs to a row; `trace` gives the same as a
# DataFrame.

# %%
ada.transfers()[["transfer_id", "direction", "file", "state", "sources", "started_at", "ended_at"]]

# %%
axes = ada.plot_trace(transfer=ada.transfers().iloc[-1])

# %% [markdown]
# An upload goes to all holders at once. Where *in flight* touches the *window*, the path was the limit; where it stays
# below, this node had nothing to send, or was busy sealing. Now somebody who has nothing of the file fetches all of
# it, from everybody who has some:

# %%
eve = await Node("eve", store="memory", listen="127.0.0.1:0").start()
await eve.join(ada.invite())
assert await eve.get(file.link) == content
axes = eve.plot_trace(transfer="measurements.bin")

# %%
trace = eve.trace(transfer="measurements.bin")
trace.groupby("peer")[["received_bytes", "rtt"]].agg({"received_bytes": "max", "rtt": "median"})

# %%
await eve.leave()

# %% [markdown]
# Where it lies now, seen from here:

# %%
await ada.audit(file)
axes = ada.plot_chunks()
# %% [markdown]
# ## And back, without a link
#
# Ben stores something and *shares* it with ada: the link travels sealed for her alone, and the file appears in her
# list.

# %%
await there("""
answer = await ben.put(b"Thank you, the data are fine. " * 20_000, name="answer.txt")
await ben.share(answer, "ada")
""")
while "answer.txt" not in set(ada.files()["name"]):
    await asyncio.sleep(0.1)
await ada.audit("answer.txt")
ada.files()[["name", "size", "origin", "copies_min", "health"]]

# %%
print((await ada.get("answer.txt"))[:30])

# %% [markdown]
# ## The other kernel dies
#
# No goodbye: as if somebody had closed the lid. Three of the four nodes are gone at once. What this node holds itself
# it still has, and it says in words how the rest stands.

# %%
await manager.shutdown_kernel(now=True)
held = sum(row.holder == "ada" for row in ada.snapshot().chunks)
print(f"ada holds {held} copies herself; {ada.snapshot().health}")

# %%
client.stop_channels()
await ada.abort()  # there is nobody left to say goodbye to
ada

# %% [markdown]
# Next: [chat](04_chat.ipynb).
