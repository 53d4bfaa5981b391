const view = (model, root) => {
  const ask = asker(model);
  const id = token();
  let room = "network";
  let to = "";
  const seen = new Set();
  const rooms = el("div", { class: "dfs-rooms", role: "tablist", "aria-label": "conversations", "aria-orientation": "vertical" });
  const log = el("div", { class: "dfs-log", role: "log", "aria-live": "polite", "aria-label": "messages", tabindex: "0", id });
  const empty = el("div", { class: "dfs-quiet", text: "No messages yet." });
  const text = el("textarea", { class: "dfs-input dfs-compose", rows: "1", maxlength: "4096",
    "aria-label": "Message", title: "Enter sends, Shift+Enter makes a new line", placeholder: "Write a message: Enter sends" });
  const send = button("Send", "Send the message", () => deliver(), "dfs-primary");
  const deliver = async () => {
    const content = text.value;
    if (!content.trim()) return;
    text.value = "";
    const fine = await ask({ kind: "send", text: content, to });
    if (!fine && !text.value) text.value = content;
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      deliver();
    }
  });
  const notes = el("div", { class: "dfs-quiet", role: "status" });
  model.on("msg:custom", (content) => {
    if (content.kind === "saved") setText(notes, content.text);
  });
  root.append(el("div", { class: "dfs-chat-body" }, rooms,
    el("div", { class: "dfs-chat-main" }, log, empty, el("div", { class: "dfs-line" }, text, send), notes)));

  const choose = (item) => {
    room = item.key;
    to = item.to;
    showRooms();
    showMessages();
    log.scrollTop = log.scrollHeight;
  };
  const makeRoom = (item) => {
    const node = el("button", { type: "button", role: "tab", class: "dfs-room", "aria-controls": id,
      onclick: () => choose(node._dfsItem) });
    node.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const all = [...rooms.children];
      const next = all[(all.indexOf(node) + step + all.length) % all.length];
      next.focus();
      choose(next._dfsItem);
    });
    return node;
  };
  const showRoom = (node, item) => {
    node._dfsItem = item;
    const chosen = item.key === room && item.to === to;
    const fresh = !chosen && model.get("messages").some((each) => each.room === item.key && !each.mine && !seen.has(each.key));
    setText(node, fresh ? `${item.label} · new` : item.label);
    node.title = item.to ? `Write to ${item.label} alone` : item.key === "network" ? "Write to everybody" : "Read only";
    node.setAttribute("aria-selected", String(chosen));
    node.tabIndex = chosen ? 0 : -1;
  };
  const showRooms = () => {
    const items = model.get("rooms");
    if (!items.some((item) => item.key === room && item.to === to)) {
      room = "network";
      to = "";
    }
    reconcile(rooms, items, (item) => `${item.to}/${item.key}`, makeRoom, showRoom);
    const silent = !to && room !== "network";
    text.disabled = silent;
    send.disabled = silent;
  };
  const makeMessage = (message) => {
    const head = el("div", { class: "dfs-message-head" },
      el("span", { class: "dfs-sender", text: message.mine ? "you" : message.sender }),
      el("span", { class: "dfs-quiet", text: message.mine ? "" : message.short }),
      el("time", { class: "dfs-quiet", text: clock(message.at) }),
      el("span", { class: "dfs-quiet dfs-delivered" }));
    const node = el("div", { class: `dfs-message${message.mine ? " dfs-mine" : ""}` }, head,
      el("div", { class: "dfs-message-text", dir: "auto", text: message.text }));
    if (message.file)
      node.append(button("Get the file", "Fetch the file whose link came with this message, to the kernel's disk",
        (event) => ask({ kind: "fetch", message: message.key }, event.currentTarget)));
    return node;
  };
  const showMessage = (node, message) => {
    const count = message.delivered;
    setText(node.querySelector(".dfs-delivered"),
      message.mine ? (count ? `✓ delivered${count > 1 ? ` to ${count}` : ""}` : "sending") : "");
  };
  const showMessages = () => {
    const items = model.get("messages").filter((message) => message.room === room);
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    reconcile(log, items, (message) => message.key, makeMessage, showMessage);
    items.forEach((message) => seen.add(message.key));
    empty.hidden = items.length > 0;
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  return {
    rooms: showRooms,
    messages() {
      showMessages();
      showRooms();
    },
  };
};

export default panel("chat", "Chat", view);
