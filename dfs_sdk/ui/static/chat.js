const TEXT_MAX = 4096;
const FEW_ROOMS = 12;
const SPOKEN_MAX = 5; // of more messages at once only their number is spoken

// The list of conversations: everybody, then one with each member.
const roomList = (logId, choose, isChosen) => {
  const seek = el("input", { type: "search", class: "dfs-input", title: "Only conversations whose name has this in it", "aria-label": "Find a conversation", placeholder: "Find a name" });
  const list = el("div", { class: "dfs-rooms", role: "tablist", "aria-label": "Conversations", "aria-orientation": "vertical" });
  rove(list, (node) => choose(node._dfsItem.id));
  const make = (item) => {
    const node = el("button", { type: "button", role: "tab", class: "dfs-room", "aria-controls": logId, onclick: () => choose(node._dfsItem.id) },
      el("span", { class: "dfs-dot", "aria-hidden": "true" }), el("span", { class: "dfs-room-name" }), el("span", { class: "dfs-badge" }));
    return node;
  };
  const show = (node, item) => {
    node._dfsItem = item;
    const [dot, name, badge] = node.children;
    dot.dataset.state = item.state;
    setText(name, item.label);
    setText(badge, item.unread > 99 ? "99+" : String(item.unread));
    badge.hidden = !item.unread;
    node.title = item.about;
    const state = item.state === "alive" || item.state === "room" ? "" : `, ${item.state}`;
    node.setAttribute("aria-label", `${item.label}${state}${item.unread ? `, ${item.unread} unread` : ""}`);
    node.setAttribute("aria-selected", String(isChosen(item)));
    node.tabIndex = isChosen(item) ? 0 : -1;
  };
  let last = [];
  const update = (items) => {
    last = items;
    const wanted = seek.value.trim().toLowerCase();
    seek.hidden = items.length < FEW_ROOMS && !wanted;
    reconcile(list, items.filter((item) => !wanted || isChosen(item) || item.label.toLowerCase().includes(wanted)), (item) => `r${item.id}`, make, show);
  };
  seek.addEventListener("input", () => update(last));
  return { box: el("div", { class: "dfs-rooms-box" }, seek, list), update };
};

// Where a message is written: Enter sends, Shift+Enter makes a new line, a file of the catalog can go along.
const composer = (model, say) => {
  const text = el("textarea", { class: "dfs-input dfs-compose", rows: "1", maxlength: String(TEXT_MAX),
    "aria-label": "Message", title: "Enter sends, Shift+Enter makes a new line", placeholder: "Write a message: Enter sends" });
  const files = el("select", { class: "dfs-input dfs-attach-list", title: "A file of the catalog that goes along with the message", "aria-label": "File to send along", hidden: true });
  const attach = button("Attach", "Send a file of the catalog along: whoever gets the message can read it", () => {
    files.hidden = !files.hidden;
    if (!files.hidden) model.send({ kind: "files", ref: token() });
  });
  const send = button("Send", "Send the message", () => submit(), "dfs-primary");
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 160)}px`;
  };
  const submit = () => {
    const chosen = files.hidden ? null : files.selectedOptions[0];
    const file = chosen ? chosen.value : "";
    if ((!text.value.trim() && !file) || text.disabled) return;
    say(text.value, file, file ? chosen.textContent : "");
    text.value = "";
    files.hidden = true;
    files.selectedIndex = 0;
    grow();
  };
  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  model.on("msg:custom", (content) => {
    if (content.kind !== "files") return;
    const none = { id: "", label: content.files.length ? "no file" : "no files yet" };
    reconcile(files, [none, ...content.files], (file) => `f${file.id}`, (file) => el("option", { value: file.id, text: file.label }), () => {});
  });
  const allow = (writable) => [text, send, attach].forEach((each) => (each.disabled = !writable));
  return { box: el("div", { class: "dfs-compose-box" }, text, attach, send, files), allow };
};

const view = (model, root, { box, moves }) => {
  const ask = asker(model);
  const id = token();
  const known = memory();
  const drafts = new Map();
  let room = "";
  const roomOf = () => model.get("rooms").find((item) => item.id === room) || model.get("rooms")[0];

  const about = el("div", { class: "dfs-line dfs-chat-head" });
  const [title, facts] = [el("h4", { class: "dfs-heading" }), el("span", { class: "dfs-quiet" })];
  about.append(title, facts);
  const older = button("Earlier messages", "Show earlier messages of this conversation", () => page());
  const items = el("div", { class: "dfs-log-items" });
  const waiting = el("div", { class: "dfs-log-waiting" });
  const none = el("div", { class: "dfs-empty", text: "No messages yet. Say hello." });
  const log = el("div", { class: "dfs-log", role: "log", "aria-live": "off", "aria-label": "Messages", tabindex: "0", id }, older, none, items, waiting);
  const voice = el("div", { class: "dfs-hidden", role: "status", "aria-live": "polite" });
  const write = composer(model, (text, file, fileName) => {
    follows = true;
    box.add(room, text, file, fileName);
  });
  const taken = movesView(model, moves);
  const input = write.box.querySelector("textarea");
  const list = roomList(id, (chosen) => choose(chosen), (item) => item.id === room);
  root.append(el("div", { class: "dfs-chat-body" }, list.box, el("div", { class: "dfs-chat-main" }, about, log, voice, write.box, taken.box)));

  // Somebody who hears the chat hears what others say in this conversation, and not all of another one that is turned
  // to, earlier messages that were asked for, or how often each of their own was delivered.
  let heard = { room: null, last: "" };
  const speak = () => {
    const all = known.room(room).items;
    const goesOn = heard.room === room && (!heard.last || all.some((item) => item.key === heard.last));
    const fresh = goesOn ? all.slice(all.findIndex((item) => item.key === heard.last) + 1).filter((item) => !item.mine) : [];
    heard = { room, last: all.at(-1)?.key || "" };
    if (fresh.length > SPOKEN_MAX) voice.textContent = `${fresh.length} messages`;
    else if (fresh.length) voice.textContent = fresh.map((item) => `${item.sender}: ${item.text}`).join("\n");
  };
  const choose = (chosen) => {
    drafts.set(room, input.value);
    room = chosen;
    input.value = drafts.get(room) || "";
    follows = true;
    showRooms();
    showMessages();
    speak();
  };
  const obtain = async (item, chip, note) => {
    setText(note, "fetching …");
    if (!(await ask({ kind: "fetch", message: item.key, room: item.room }, chip))) setText(note, "not fetched");
  };
  const page = () => {
    const state = known.room(room);
    if (!state.more || state.asking || !state.items.length) return;
    state.asking = true;
    ask({ kind: "older", room, before: state.items[0].key }, older).then((fine) => {
      if (!fine) state.asking = false;
    });
  };
  // Whether the reader follows the newest message. A log out of sight has no height: it says nothing then.
  let follows = true;
  const toEnd = () => {
    if (follows && log.clientHeight) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener("scroll", () => {
    if (!log.clientHeight) return;
    follows = log.scrollHeight - log.scrollTop - log.clientHeight < 2 * PAGE_HEIGHT;
    if (log.scrollTop < PAGE_HEIGHT && log.scrollHeight > log.clientHeight) page();
  });

  const seen = () => root.offsetParent !== null && document.visibilityState === "visible";
  const markRead = () => {
    if (seen() && roomOf()?.unread) model.send({ kind: "read", room, ref: token() });
  };
  const showRooms = () => {
    const all = model.get("rooms");
    if (!all.some((item) => item.id === room)) room = "";
    list.update(all);
    const here = roomOf();
    setText(title, here ? here.label : "");
    setText(facts, here ? here.about : "");
    write.allow(Boolean(here && here.writable));
    markRead();
  };
  const showMessages = () => {
    const state = known.room(room);
    reconcile(items, laidOut(state.items), (line) => line.item.key, (line) => makeMessage(obtain)(line.item), showMessage(Boolean(room)));
    const unsaid = box.of(room, state.items);
    reconcile(waiting, unsaid, (entry) => entry.ref, makeWaiting(box), showWaiting);
    none.hidden = state.items.length > 0 || unsaid.length > 0;
    older.hidden = !state.more || state.items.length < 50;
    toEnd();
  };
  box.views.add(showMessages);
  model.on("msg:custom", (content) => {
    if (content.kind === "older") {
      const height = log.scrollHeight;
      known.prepend(content.room, content.before, content.messages, content.more);
      showMessages();
      if (content.room === room) log.scrollTop += log.scrollHeight - height;
    } else if (content.kind === "saved") {
      const at = known.room(room).items.findIndex((item) => item.key === content.message);
      if (at >= 0) items.children[at]._dfsSaved?.(content, moves);
    }
  });
  const watcher = new IntersectionObserver(() => {
    toEnd();
    markRead();
  });
  watcher.observe(root);
  document.addEventListener("visibilitychange", markRead);
  return {
    rooms: showRooms,
    messages() {
      const byRoom = new Map();
      for (const message of model.get("messages")) byRoom.set(message.room, [...(byRoom.get(message.room) || []), message]);
      byRoom.forEach((fresh, key) => known.follow(key, fresh));
      showMessages();
      speak();
    },
    cleanup() {
      taken.cleanup();
      box.views.delete(showMessages);
      watcher.disconnect();
      document.removeEventListener("visibilitychange", markRead);
    },
  };
};

export default panel("chat", "Chat", view, (model) => ({ box: outbox(model), moves: movesOf(model) }));
