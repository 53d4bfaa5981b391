const view = (model, root) => {
  const ask = asker(model);
  const now = el("div", { role: "status", "aria-live": "polite" });
  const target = field("Address or invite", "Where a member of the network is, such as 192.168.1.20:4444, or its invite",
    { type: "text", placeholder: "192.168.1.20:4444 or dfs-join:…", autocomplete: "off", spellcheck: "false" });
  const passphrase = field("Passphrase", "Only for a private network: what its members agreed on",
    { type: "password", placeholder: "only for a private network", autocomplete: "off" });
  const timeout = field("Seconds", "How long to try", { type: "number", value: "20", min: "1", max: "600" });
  timeout.box.classList.add("dfs-narrow");
  const join = button("Join", "Join that network", () => {}, "dfs-primary");
  join.type = "submit";
  const cancel = button("Cancel", "Stop trying to join", () => model.send({ kind: "cancel" }));
  const form = el("form", { class: "dfs-form", onsubmit(event) {
    event.preventDefault();
    const request = { kind: "join", target: target.input.value, passphrase: passphrase.input.value,
      timeout: Math.max(1, Math.min(600, Math.round(Number(timeout.input.value)) || 20)) };
    target.input.value = "";
    passphrase.input.value = "";
    ask(request);
  } }, target.box, passphrase.box, timeout.box, join, cancel);
  const invite = secretBox("Invite");
  const start = button("", "Show the text with which others join this node's network", () => {
    const ref = token();
    ask({ kind: "invite" }, start, ref);
  });
  const leave = carefulButton("Leave", "Really leave?", "Leave the network for good: this node hands over what only it has, says goodbye and closes",
    (node) => ask({ kind: "leave" }, node));
  const onMessage = (content) => {
    if (content.kind === "invite")
      invite.show(content.text, "Send this to whom you want in your network: it opens the door.");
  };
  model.on("msg:custom", onMessage);
  root.append(el("h4", { class: "dfs-heading", text: "Join or create a network" }), form, now,
    el("div", { class: "dfs-line" }, start, leave), invite.box);
  return {
    status() {
      const status = model.get("status");
      const alone = status.members <= 1;
      const parts = [];
      if (status.joining) parts.push(`Joining ${status.joining} … ${status.left} s left.`);
      else if (status.outcome) parts.push(status.outcome);
      if (!status.joining && alone && status.state !== "closed")
        parts.push("This node is alone: join a network above, or create one by inviting others.");
      if (status.state === "closed") parts.push("This node is closed.");
      setText(now, parts.join(" "));
      setText(start, alone ? "Create a network: show the invite" : "Show the invite");
      cancel.hidden = !status.joining;
      join.disabled = Boolean(status.joining) || status.state === "closed";
      leave.hidden = alone;
    },
  };
};

export default panel("join", "Join or create a network", view);
