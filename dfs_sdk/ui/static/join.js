const SECONDS_DEFAULT = 20;
const SECONDS_MAX = 600;

const joinForm = (ask) => {
  const target = field("Address or invite", "Where a member of the network is, such as 192.168.1.20:4444, or its invite",
    { type: "text", placeholder: "host:port or dfs-join:…", autocomplete: "off", spellcheck: "false" });
  const passphrase = field("Passphrase", "Only for a private network: what its members agreed on",
    { type: "password", placeholder: "if it is private", autocomplete: "off" });
  const timeout = field("Seconds", "How long to try", { type: "number", value: String(SECONDS_DEFAULT), min: "1", max: String(SECONDS_MAX) });
  timeout.box.classList.add("dfs-narrow");
  const join = button("Join", "Join that network", () => {}, "dfs-primary");
  join.type = "submit";
  const form = el("form", { class: "dfs-form dfs-join-form", onsubmit(event) {
    event.preventDefault();
    if (join.disabled) return;
    const seconds = Math.round(Number(timeout.input.value)) || SECONDS_DEFAULT;
    ask({ kind: "join", target: target.input.value, passphrase: passphrase.input.value, timeout: Math.max(1, Math.min(SECONDS_MAX, seconds)) })
      .then((fine) => fine && (target.input.value = ""));
    passphrase.input.value = "";
  } }, target.box, passphrase.box, timeout.box, join);
  return { box: el("fieldset", { class: "dfs-card-box" }, el("legend", { text: "Join a network" }), form), join };
};

const foundForm = (ask) => {
  const passphrase = field("Passphrase for members", "With one the network is private: whoever joins needs it. Several random words are best.",
    { type: "password", placeholder: "none: open to all", autocomplete: "new-password" });
  const create = button("Create", "Create a network of your own, and show the invite for others", () => {});
  create.type = "submit";
  const form = el("form", { class: "dfs-form dfs-join-form", onsubmit(event) {
    event.preventDefault();
    ask({ kind: "found", passphrase: passphrase.input.value }, create);
    passphrase.input.value = "";
  } }, passphrase.box, create);
  return { box: el("fieldset", { class: "dfs-card-box" }, el("legend", { text: "Create a network" }), form) };
};

// How an attempt goes: its steps as they are taken, and how much of its time is over.
const progressBox = (model) => {
  const bar = el("progress", { max: "1", class: "dfs-join-bar", "aria-label": "time of this attempt" });
  const words = el("div", {});
  const steps = el("ol", { class: "dfs-steps dfs-quiet", "aria-label": "steps of this attempt" });
  const cancel = button("Cancel", "Stop trying to join", () => model.send({ kind: "cancel", ref: token() }));
  const box = el("div", { class: "dfs-card-box", hidden: true }, el("div", { class: "dfs-line dfs-spread" }, words, cancel), bar, steps);
  const show = (status) => {
    box.hidden = !status.joining;
    if (box.hidden) return;
    setText(words, `Joining ${status.joining} … ${status.left} s left`);
    bar.value = status.timeout ? 1 - status.left / status.timeout : 0;
    reconcile(steps, status.steps.map((text, index) => ({ text, index })), (step) => `${step.index} ${step.text}`,
      (step) => el("li", { text: step.text }), () => {});
  };
  return { box, show };
};

const view = (model, root) => {
  const ask = asker(model);
  const now = el("div", { role: "status", "aria-live": "polite", class: "dfs-join-now" });
  const join = joinForm(ask);
  const found = foundForm(ask);
  const progress = progressBox(model);
  const invite = secretBox("Invite");
  const code = el("div", { class: "dfs-qr-box" });
  invite.box.append(code);
  const start = button("Show the invite", "Show the text and the code with which others join this network", () => ask({ kind: "invite" }, start));
  const leave = carefulButton("Leave", "Really leave?", "Leave the network for good: this node hands over what only it has, says goodbye and closes",
    (node) => ask({ kind: "leave" }, node));
  const members = el("ul", { class: "dfs-chips", "aria-label": "members of this network" });
  model.on("msg:custom", (content) => {
    if (content.kind !== "invite") return;
    const secret = model.get("status").private ? "Members need the passphrase as well: tell it by another way." : "Whoever has it can join.";
    invite.show(content.text, `Send this to whom you want in your network. ${secret} ${content.remark}`.trim());
    code.replaceChildren(...(content.code.length ? [qrCode(content.code, "QR code of the invite")] : []));
  });
  // Who is in a network already needs the forms rarely: they fold away, and open as long as the node is alone.
  const forms = el("div", { class: "dfs-join-forms" }, join.box, found.box);
  const fold = el("details", { open: true }, el("summary", { text: "Join through another member" }), forms);
  root.append(fold, progress.box, now, members, el("div", { class: "dfs-line" }, start, leave), invite.box);
  let wasAlone = null;

  const standing = (status) => {
    if (status.state === "closed") return "This node is closed.";
    if (status.members <= 1) return "This node is alone: join a network, or create one and hand on the invite.";
    const kind = status.private ? "private" : "open";
    return `In the ${kind} network ${status.network}, with ${(status.members - 1).toLocaleString("en")} other${status.members === 2 ? "" : "s"}:`;
  };
  return {
    status() {
      const status = model.get("status");
      const closed = status.state === "closed";
      const alone = status.members <= 1;
      progress.show(status);
      if (wasAlone !== alone) fold.open = alone;
      wasAlone = alone;
      fold.firstChild.hidden = alone;
      fold.hidden = closed;
      setText(now, [status.joining ? "" : status.outcome, status.joining ? "" : standing(status)].filter(Boolean).join(" "));
      now.hidden = !now.textContent;
      join.join.disabled = Boolean(status.joining) || closed;
      found.box.hidden = !alone || closed;
      start.hidden = closed;
      leave.hidden = alone || closed;
    },
    members() {
      const total = model.get("status").members - 1;
      const rows = model.get("members");
      const rest = total > rows.length ? [{ id: "rest", name: `and ${total - rows.length} more`, state: "room" }] : [];
      reconcile(members, [...rows, ...rest], (row) => row.id,
        () => el("li", { class: "dfs-chip" }, el("span", { class: "dfs-dot", "aria-hidden": "true" }), el("span")),
        (node, row) => {
          node.firstChild.dataset.state = row.state;
          node.firstChild.hidden = row.state === "room";
          setText(node.lastChild, row.state === "alive" || row.state === "room" ? row.name : `${row.name}, ${row.state}`);
        });
      members.hidden = !rows.length;
    },
  };
};

export default panel("join", "Join or create a network", view);
