// The node's transfers, a row each: name, how far, what can be done.
function transferRows(ask) {
  const list = el("ul", { class: "dfs-transfers", "aria-label": "transfers" });
  const make = (item) => {
    const send = (kind) => (event) => ask({ kind, transfer: item.id }, event.currentTarget);
    const parts = {
      name: el("span", { class: "dfs-transfer-name" }),
      facts: el("span", { class: "dfs-quiet dfs-transfer-facts" }),
      bar: el("progress", { max: "1", class: "dfs-transfer-bar", "aria-label": `progress of ${item.file}` }),
      pause: button("Pause", `Pause: ${item.file}`, send("pause")),
      resume: button("Resume", `Resume: ${item.file}`, send("resume")),
      cancel: button("Cancel", `Cancel: ${item.file}`, send("cancel")),
      clear: button("Clear", `Take ${item.file} off this list`, send("clear")),
    };
    const node = el("li", { class: "dfs-transfer-row" },
      el("div", { class: "dfs-transfer-head" }, parts.name,
        el("span", { class: "dfs-buttons" }, parts.pause, parts.resume, parts.cancel, parts.clear)),
      parts.bar, parts.facts);
    node._dfsParts = parts;
    return node;
  };
  const show = (node, item) => {
    const parts = node._dfsParts;
    node.dataset.state = item.state;
    setText(parts.name, `${item.direction === "Upload" ? "↑" : "↓"} ${item.direction} of ${item.file}`);
    const facts = item.under_way
      ? [item.state === "paused" ? "paused" : "", item.done, item.rate, item.eta, item.sources]
      : [item.state, item.done, item.sources, item.error];
    setText(parts.facts, facts.filter(Boolean).join(" · "));
    if (item.part < 0) parts.bar.removeAttribute("value");
    else parts.bar.value = item.part;
    parts.bar.hidden = !item.under_way;
    parts.pause.hidden = item.state !== "running";
    parts.resume.hidden = item.state !== "paused";
    parts.cancel.hidden = !item.under_way;
    parts.clear.hidden = item.under_way;
  };
  return { list, show: (items) => reconcile(list, items, (item) => item.id, make, show) };
}
