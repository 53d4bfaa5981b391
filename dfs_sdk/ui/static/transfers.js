const view = (model, root) => {
  const ask = asker(model);
  const rows = transferRows(ask);
  const clear = button("Clear finished", "Take the transfers that have ended off this list", (event) => ask({ kind: "clear-all" }, event.currentTarget));
  const none = el("div", { class: "dfs-empty", text: "No uploads or downloads yet." });
  root.append(el("div", { class: "dfs-line dfs-spread" }, el("h4", { class: "dfs-heading", text: "Transfers" }), clear),
    el("div", { class: "dfs-scroll", tabindex: "0", role: "region", "aria-label": "list of transfers" }, rows.list), none);
  return {
    transfers() {
      const items = model.get("transfers");
      rows.show(items);
      none.hidden = items.length > 0;
      clear.hidden = items.every((item) => item.under_way);
    },
  };
};

export default panel("transfers-panel", "Transfers", view);
