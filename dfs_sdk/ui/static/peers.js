const view = (model, root) => {
  const caption = el("h4", { class: "dfs-heading" });
  const body = el("tbody");
  const head = ["member", "id", "state", "address", "round trip", "stores", "fill"];
  const table = el("table", { class: "dfs-table" },
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))), body);
  const news = el("ol", { class: "dfs-news", "aria-label": "newest first" });
  root.append(caption, el("div", { class: "dfs-scroll", tabindex: "0", role: "region", "aria-label": "members" }, table),
    el("h4", { class: "dfs-heading", text: "News" }),
    el("div", { class: "dfs-scroll dfs-short", tabindex: "0", role: "region", "aria-label": "news" }, news));
  const makeRow = () => {
    const cells = head.map(() => el("td"));
    const fill = el("progress", { class: "dfs-fill", max: "1", title: "stored of what it offers", "aria-label": "fill" });
    cells[6].append(fill);
    const row = el("tr", {}, ...cells);
    row._dfsFill = fill;
    return row;
  };
  const showRow = (row, member) => {
    const texts = [member.name, member.short, member.state, member.address, member.rtt, `${member.stored} of ${member.offered}`];
    texts.forEach((text, index) => setText(row.cells[index], text));
    row.cells[2].dataset.state = member.state;
    row._dfsFill.value = member.fill;
  };
  const members = () => {
    const rows = model.get("members");
    const total = model.get("members_total");
    setText(caption, total === 1 ? "1 member" : `${total} members${total > rows.length ? `, first ${rows.length}` : ""}`);
    reconcile(body, rows, (row) => row.id, makeRow, showRow);
  };
  return {
    members,
    members_total: members,
    news() {
      const seen = new Map();
      const items = model.get("news").map((item) => {
        const key = `${item.at} ${item.text}`;
        seen.set(key, (seen.get(key) || 0) + 1);
        return { ...item, key: `${key} ${seen.get(key)}` };
      });
      reconcile(news, items, (item) => item.key,
        (item) => el("li", {}, el("time", { text: clock(item.at) }), el("span", { class: "dfs-chip", text: item.topic }),
          el("span", { text: item.text })), () => {});
    },
  };
};

export default panel("overview", "Members and news", view);
