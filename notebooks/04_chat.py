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
# # Talk
#
# A network is also the people in it. There is one room for everybody and a direct conversation for any two; messages
# are signed by who wrote them, arrive once and in order, and find those who were away when they come back.

# %%
from dfs_sdk import Node


async def member(name, *invite):
    """Start a node in this kernel and have it join."""
    node = await Node(name, store="memory", listen="127.0.0.1:0").start()
    if invite:
        await node.join(*invite)
    return node


ada = await member("ada")
ben = await member("ben", ada.invite())
cyd = await member("cyd", ada.invite())

# %%
import asyncio


async def until(true, seconds=30):
    """Wait for something that takes a moment to get round."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


await until(lambda: all(len(node.peers()) == 3 for node in (ada, ben, cyd)))
ada.peers()[["name", "state", "rtt"]]

# %% [markdown]
# ## The room
#
# `send` returns as soon as the message is signed and kept. `delivered` counts the nodes that have confirmed it since.

# %%
await ada.chat.send("Does anybody have yesterday's measurements?")
await ben.chat.send("I do. Give me a minute.")
await until(lambda: all(len(node.chat.history()) == 2 for node in (ada, ben, cyd)))
await until(lambda: ada.chat.history()[0].delivered == 2)
ada.messages()[["sender", "text", "delivered"]]

# %% [markdown]
# ## A file in a message
#
# Ben puts the file into the network and says its link along with his words. In a panel it is a button; in code, an
# attribute. Only those who read the message can read the file.

# %%
file = await ben.put(b"2026-11-21, 14.2\n" * 5_000, name="yesterday.csv", quorum=2)
await ben.chat.send("Here they are.", link=file.link)
await until(lambda: len(ada.chat.history()) == 3)

message = ada.chat.history()[-1]
content = await ada.get(message.link)
print(f"{message.sender_name}: {message.text} ({len(content):,} bytes)")

# %% [markdown]
# ## Between two
#
# A direct conversation goes to one node and is sealed for it on the way. Cyd sees nothing of it.

# %%
await ada.chat.send("Did you calibrate the second sensor?", to="ben")
await until(lambda: len(ben.chat.history("ada")) == 1)
await ben.chat.send("No. Do not tell cyd.", to="ada")
await until(lambda: len(ada.chat.history("ben")) == 2)

ada.messages()[["room", "sender", "text"]].tail(2)

# %%
print("cyd knows:", [message.text for message in cyd.chat.history()])

# %% [markdown]
# ## Whoever comes later
#
# Dot joins now, after everything has been said. Histories are compared, and what she lacks is fetched.

# %%
dot = await member("dot", ada.invite())
await until(lambda: len(dot.chat.history()) == 3)
[f"{message.sender_name}: {message.text}" for message in dot.chat.history()]

# %% [markdown]
# ## Words are only words
#
# A message may hold anything. It is shown as text, in tables, cards and panels alike: no markup, no script, no formula,
# and what would turn lines around or hide is made visible.

# %%
await dot.chat.send('<img src=x onerror="alert(1)"> $\\frac{1}{2}$ \u202etxet desrever')
await until(lambda: len(ada.chat.history()) == 4)
ada.messages()[["sender", "text"]].tail(1)

# %% [markdown]
# ## The panel
#
# The same conversations as people want them: Enter sends, marks say who has it, links are buttons. Write something as
# ada, then run the next cell and see what ben has got.

# %%
ada.chat_panel()

# %%
await ada.chat.send("Lunch?")
await until(lambda: len(ben.chat.history()) == 5)
ben.messages()[["room", "sender", "text"]].tail(1)

# %% [markdown]
# ## A minute of talk, drawn
#
# Three people at once, thirty messages. Each line is a message: from when it was said until it was with everybody.

# %%
import random
import time

said = {}
for number in range(30):
    speaker = random.choice((ada, ben, cyd))
    message = await speaker.chat.send(f"number {number}")
    said[message.message_id] = (speaker.name, time.perf_counter())
    await asyncio.sleep(random.uniform(0, 0.05))
known = {}
async with asyncio.timeout(60):
    while len(known) < len(said):
        for message_id in said:
            if all(any(each.message_id == message_id for each in node.chat.history()) for node in (ada, ben, cyd, dot)):
                known.setdefault(message_id, time.perf_counter())
        await asyncio.sleep(0.01)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 3))
start = min(instant for _, instant in said.values())
for message_id, (name, instant) in said.items():
    axes.hlines(name, instant - start, known[message_id] - start, linewidth=6, alpha=0.5)
axes.set(xlabel="seconds", title="From said to known by everybody")
plt.show()

# %%
for node in (dot, cyd, ben, ada):
    await node.close()

# %% [markdown]
# Next: [a day in a classroom](05_classroom.ipynb).
