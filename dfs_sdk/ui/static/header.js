const view = (model, root) => {
  const name = el("span", { class: "dfs-title" });
  const state = el("span", { class: "dfs-chip" });
  const facts = el("span", { class: "dfs-quiet" });
  const health = el("div", { role: "status", "aria-live": "polite" });
  const lag = el("div", { class: "dfs-warning", role: "status" });
  root.append(el("div", { class: "dfs-line" }, name, state, facts), health, lag);
  return {
    node() {
      const node = model.get("node");
      setText(name, node.name);
      setText(state, node.state);
      setText(facts, [node.id, node.address, node.private ? "private network" : "", `stores ${node.stored} of ${node.offered}`]
        .filter(Boolean).join("  ·  "));
      setText(health, node.health);
      setText(lag, node.lag);
      lag.hidden = !node.lag;
    },
  };
};

export default panel("header", "Node", view);
