const COUNT_SECONDS = 10;

const since = (wall) => {
  if (!wall) return "";
  const seconds = Math.max(0, Date.now() / 1000 - wall);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return "< 1 min";
};

const HEADS = ["peer", "state", "round trip", "load", "up for", "stores", "address", "id"];

const view = (model, root) => {
  const caption = el("h4", { class: "dfs-heading" });
  const seek = field("Find a peer", "Only peers whose name, state, address or id has this in it", { type: "search", placeholder: "name, state, address", autocomplete: "off" });
  seek.input.addEventListener("input", () => members());
  const body = el("tbody");
  const table = el("table", { class: "dfs-table" },
    el("thead", {}, el("tr", {}, ...HEADS.map((text) => el("th", { scope: "col", text })))), body);
  const none = el("div", { class: "dfs-empty", text: "No peer matches." });
  root.append(el("div", { class: "dfs-line dfs-spread" }, caption, seek.box),
    el("div", { class: "dfs-scroll dfs-tall", tabindex: "0", role: "region", "aria-label": "peers" }, table, none));

  const make = () => {
    const cells = HEADS.map(() => el("td"));
    const [fill, stored] = [el("progress", { class: "dfs-fill", max: "1", "aria-label": "share of its room that is taken" }), el("span")];
    const [dot, state] = [el("span", { class: "dfs-dot", "aria-hidden": "true" }), el("span")];
    cells[1].append(dot, state);
    cells[5].append(el("span", { class: "dfs-stored" }, fill, stored));
    const row = el("tr", {}, ...cells);
    Object.assign(row, { _dfsFill: fill, _dfsStored: stored, _dfsState: state, _dfsDot: dot });
    return row;
  };
  const showRow = (row, member) => {
    [member.name, null, member.rtt, member.load, since(member.up_since), null, member.address, member.short].forEach((text, index) => {
      if (text !== null) setText(row.cells[index], text);
    });
    setText(row._dfsState, member.state);
    setText(row._dfsStored, `${member.stored} of ${member.offered}`);
    row.cells[1].dataset.state = row._dfsDot.dataset.state = member.state;
    row.cells[1].title = member.about;
    row._dfsFill.value = member.fill;
  };
  const members = () => {
    const [rows, total] = [model.get("members"), model.get("members_total")];
    const wanted = seek.input.value.trim().toLowerCase();
    const found = wanted
      ? rows.filter((row) => [row.name, row.state, row.address, row.id].some((text) => text.toLowerCase().includes(wanted)))
      : rows;
    setText(caption, model.get("summary") + (total > rows.length ? `, the first ${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")} shown` : ""));
    seek.box.hidden = rows.length < 8 && !wanted;
    table.hidden = !found.length;
    none.hidden = found.length > 0;
    reconcile(body, found, (row) => row.id, make, showRow);
  };
  const timer = setInterval(() => root.offsetParent && members(), 1000 * COUNT_SECONDS);
  return { members, members_total: members, summary: members, cleanup: () => clearInterval(timer) };
};

export default panel("peers", "Peers", view);
