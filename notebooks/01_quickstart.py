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
# # A file store made of notebooks
#
# This notebook becomes a full member of a decentralized file store: no server, no account, no daemon. It meets three
# other nodes, stores a file on them, lets another process read it back, and talks to it. Run it from top to bottom;
# it takes about half a minute.

# %%
from dfs_sdk import Node

node = await Node("ada", store="memory").start()
node

# %% [markdown]
# That is a node. It has an identity (two key pairs), a UDP socket and a store; `store="memory"` keeps nothing on disk,
# and a plain `Node("ada")` would keep everything in a folder of yours and come back as the same node tomorrow.
#
# Nobody else is there yet. So let us start three peers, each in a process of its own: exactly what
# `dfs node --join …` does in a terminal, here or on another machine.

# %%
import asyncio
import json
import os
import subprocess
import sys

IN_THIS_KERNEL = os.environ.get("DFS_FAR_PEERS") == "kernel"  # where no other process can be reached, as on Binder


def dfs(*arguments):
    """Start the command line in a process of its own."""
    options = ["--json", "--store", "memory", "--listen", "127.0.0.1:0"]
    return subprocess.Popen(
        [sys.executable, "-m", "dfs_sdk.cli", *arguments, *options], stdout=subprocess.PIPE, text=True
    )


async def far_peer(name, *join):
    """Start one more node; returns it and its invite."""
    if IN_THIS_KERNEL:
        peer = await Node(name, store="memory", listen="127.0.0.1:0").start()
        if join:
            await peer.join(join[-1])
        return peer, peer.invite()
    process = dfs("node", "--name", name, *join)
    first_line = await asyncio.to_thread(process.stdout.readline)
    return process, json.loads(first_line)["invite"]


# %%
ben, invite = await far_peer("ben")
cyd, _ = await far_peer("cyd", "--join", invite)
dot, _ = await far_peer("dot", "--join", invite)
invite

# %% [markdown]
# An invite is all a newcomer needs: where one member listens and which keys it has. It holds no secret; a bare
# `HOST:PORT` works, too. Joining through one member is enough, the others are met without further ado.

# %%
report = await node.join(invite)
print(report)

# %%
while len(node.peers()) < 4:  # a moment, until everybody has met
    await asyncio.sleep(0.1)
node.peers()[["name", "state", "address", "rtt", "capacity_bytes"]]

# %% [markdown]
# ## Put a file
#
# Any file will do: here, the documentation that comes with Python. `put` cuts it into chunks, seals each with a key of
# its own, and returns when at least two *other* nodes have confirmed every chunk to be stored and checked. (Chunks are
# larger by default; small ones make a better picture.)

# %%
import pydoc_data.topics
from pathlib import Path

source = Path(pydoc_data.topics.__file__)
file = await node.put(source, chunk_size=64 * 1024)
print(file)

# %% [markdown]
# ## Where is it, and why there?
#
# Every copy of every chunk is one row. Placement is computed, not negotiated: each node ranks all members for each of
# 4,096 *cells* the same way, a chunk belongs to the emptier of two cells, and the column `why` says so in words.

# %%
await node.audit(file)  # ask the holders what they have just now
node.chunks()[["chunk", "size", "holder", "role", "state", "why"]].head(9)

# %%
axes = node.plot_chunks()
# %% [markdown]
# ## Read it elsewhere
#
# The link is the key: whoever has it can read the file, nobody else can, the holders included. Here a process that has
# never seen the file fetches it with `dfs get`.

# %%
import tempfile

link = str(file.link)
folder = Path(tempfile.mkdtemp())
if IN_THIS_KERNEL:
    fetched = await ben.get(link, folder)
else:
    reader = dfs("get", link, str(folder), "--join", invite)
    output, _ = await asyncio.to_thread(reader.communicate)
    fetched = Path(json.loads(output)["path"])

assert fetched.read_bytes() == source.read_bytes()
print(f"{fetched.name}: {fetched.stat().st_size:,} bytes, the same ones")

# %% [markdown]
# ## Talk
#
# There is one room for the whole network, and direct conversations. Messages are signed, arrive once and in order, and
# whoever joins later still gets the history.

# %%
await node.chat.send("Who has seen my file?")
if IN_THIS_KERNEL:
    await ben.chat.send("I have a copy. It is safe here.")
else:
    writer = dfs("chat", "I have a copy. It is safe here.", "--name", "eve", "--join", invite)
    await asyncio.to_thread(writer.communicate)

while len(node.chat.history()) < 2:
    await asyncio.sleep(0.1)
node.messages()[["sender", "text", "delivered"]]

# %% [markdown]
# ## All of it in one panel
#
# Joining, files, chunks, peers and chat, without a line of code. Upload a file with it, or download the one above.

# %%
node.dashboard()

# %% [markdown]
# ## Leave
#
# Closing a node in memory hands over what only it had, and says goodbye. Nothing of it runs afterwards.

# %%
await node.close()
for peer in (ben, cyd, dot):
    if IN_THIS_KERNEL:
        await peer.close()
    else:
        peer.terminate()
        peer.communicate()
node

# %% [markdown]
# Next: [where are my chunks?](02_where_are_my_chunks.ipynb) kills holders and watches the network repair itself.
