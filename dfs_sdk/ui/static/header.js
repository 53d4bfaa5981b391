const view = (model, root) => {
  const name = el("span", { class: "dfs-title" });
  const state = el("span", { class: "dfs-chip" });
  const facts = el("span", { class: "dfs-quiet dfs-header-facts" });
  const health = el("div", { role: "status", "aria-live": "polite", class: "dfs-health" });
  const lag = el("div", { class: "dfs-warning", role: "status" });
  root.append(el("div", { class: "dfs-line" }, name, state, facts), health, lag);
  return {
    node() {
      const node = model.get("node");
      setText(name, node.name);
      setText(state, node.state);
      state.dataset.node = node.state;
      setText(facts, [node.private ? "private network" : "", `stores ${node.stored} of ${node.offered}`, node.address, node.id]
        .filter(Boolean).join("  ·  "));
      setText(health, node.health);
      setText(lag, node.lag);
      lag.hidden = !node.lag;
    },
  };
};

export default panel("header", "Node", view);
