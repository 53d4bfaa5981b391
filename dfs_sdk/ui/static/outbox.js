// What was written and not yet said belongs to the model: it outlives a view, and a kernel that is busy for long. Each
// message keeps its reference, so that the kernel says it once however often it is sent.
function outbox(model) {
  const entries = new Map();
  const views = new Set();
  const changed = () => views.forEach((show) => show());
  const post = (entry) => {
    entry.state = "waiting";
    waiting.set(entry.ref, Date.now());
    model.send({ kind: "send", ref: entry.ref, text: entry.text, to: entry.room, file: entry.file });
    changed();
  };
  model.on("msg:custom", (content) => {
    const entry = content.kind === "done" && entries.get(content.ref);
    if (!entry) return;
    waiting.delete(entry.ref);
    if (content.fine) entries.delete(entry.ref);
    else entry.state = "failed";
    changed();
  });
  return {
    views,
    // What waits in a room, without what stands among its messages already: the answer to it comes a moment later.
    of(room, items) {
      const said = new Set(items.map((item) => item.ref));
      return [...entries.values()].filter((entry) => entry.room === room && !said.has(entry.ref));
    },
    add(room, text, file, fileName) {
      const entry = { ref: token(), room, text, file, fileName, at: Date.now() / 1000, state: "waiting" };
      entries.set(entry.ref, entry);
      post(entry);
    },
    again: (entry) => post(entry),
    drop(entry) {
      entries.delete(entry.ref);
      changed();
    },
  };
}

// The messages that a view has of each conversation: the newest from the kernel's trait, earlier ones by pages.
function memory() {
  const rooms = new Map();
  const room = (id) => {
    if (!rooms.has(id)) rooms.set(id, { items: [], more: true, asking: false });
    return rooms.get(id);
  };
  return {
    room,
    // A stretch that does not join on to what is known replaces it: nothing in between may seem not to have been said.
    follow(id, fresh) {
      const known = room(id);
      if (!fresh.length) return;
      const at = known.items.findIndex((item) => item.key === fresh[0].key);
      if (at < 0) Object.assign(known, { items: fresh, more: true });
      else known.items = [...known.items.slice(0, at), ...fresh];
    },
    prepend(id, before, items, more) {
      const known = room(id);
      known.asking = false;
      if (!known.items.length || known.items[0].key !== before) return;
      known.items = [...items, ...known.items];
      known.more = more;
    },
  };
}
