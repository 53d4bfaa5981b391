const ROW_PIXELS = 34;
const ROWS_HIGH_MAX = 12;
const MARGIN_ROWS = 30;
const OVERDRAWN_ROWS = 3;
const LOOK_SECONDS_MIN = 0.12;
const AGES = [[86400, "d"], [3600, "h"], [60, "min"]];
const FILE_HEADS = [
  ["name", "file"], ["size", "size"], ["copies", "copies"], ["health", "health"], ["origin", "from"], ["age", "age"],
];

function ageText(at) {
  const seconds = Date.now() / 1000 - at;
  if (at <= 0) return "";
  if (seconds < 60) return "just now";
  const [unit, name] = AGES.find(([length]) => seconds >= length);
  return `${Math.floor(seconds / unit)} ${name} ago`;
}

function copiesGlyph(file) {
  if (file.wanted < 1 || file.wanted > 6) return "";
  const held = Math.min(file.held, file.wanted);
  return "●".repeat(held) + "○".repeat(file.wanted - held);
}

// A list of any length, of which only the rows in sight exist here: the kernel sorts and searches, sends the rows
// around those in sight, and afterwards what changed of them.
function fileList(model, { open, download }) {
  const view = token();
  const order = { sort: "name", descending: 0, search: "" };
  let shown = { first: 0, rows: [], matching: 0, total: 0 };
  let [looked, lookTimer, lookedAt, active, chosen, seen, frame, awaited] = [null, 0, 0, 0, "", true, 0, -1];
  const prefix = `dfs-${view}`;

  const heads = FILE_HEADS.map(([sort, text]) => {
    const sorter = el("button", { type: "button", class: "dfs-sorter", title: `Sort by ${text}; again: the other way round`, text });
    const head = el("th", { scope: "col", "data-column": sort }, sorter);
    sorter.addEventListener("click", () => sortBy(sort));
    return head;
  });
  const body = el("tbody");
  const table = el("table", { class: "dfs-table dfs-list", role: "grid", tabindex: "0",
    "aria-label": "files: the arrow keys move, Enter shows all about a file" },
    el("thead", {}, el("tr", { "aria-rowindex": "1" }, ...heads, el("th", { scope: "col", "data-column": "actions", text: "actions" }))), body);
  const sizer = el("div", { class: "dfs-sizer" }, table);
  const scroll = el("div", { class: "dfs-window" }, sizer);
  const search = el("input", { class: "dfs-input dfs-search", type: "search", placeholder: "Search", title: "Search names, owners and health",
    "aria-label": "Search files", maxlength: "200", oninput() {
      order.search = search.value;
      scroll.scrollTop = 0;
      active = 0;
      ask(true);
    } });
  const count = el("span", { class: "dfs-quiet", role: "status" });
  const sorting = el("select", { class: "dfs-input dfs-sorting", title: "Sort the files", "aria-label": "Sort by", onchange() {
    sortBy(sorting.value);
  } }, ...FILE_HEADS.map(([value, text]) => el("option", { value, text: `by ${text}` })));
  const turn = button("Reverse", "Sort the files the other way round", () => sortBy(order.sort), "dfs-sorting");
  const bar = el("div", { class: "dfs-line dfs-list-bar" }, search, sorting, turn, count);
  const empty = el("div", { class: "dfs-empty dfs-quiet" });
  const box = el("div", { class: "dfs-list-box" }, bar, empty, scroll);

  const sortBy = (sort) => {
    order.descending = order.sort === sort ? 1 - order.descending : 0;
    order.sort = sort;
    scroll.scrollTop = 0;
    active = 0;
    showHeads();
    ask(true);
  };
  const showHeads = () => {
    sorting.value = order.sort;
    heads.forEach((head) => {
      const mine = head.dataset.column === order.sort;
      if (mine) head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  const inSight = () => {
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW_PIXELS) - 1);
    return [first, Math.min(shown.matching, first + ROWS_HIGH_MAX + 2)];
  };
  const ask = (fresh = false) => {
    const [first, last] = inSight();
    const have = [shown.first, shown.first + shown.rows.length];
    const enough = looked && first >= have[0] && last <= have[1];
    if (!fresh && (!seen || (enough && looked.count))) return; // out of sight it wants nothing more
    if (lookTimer) return;
    lookTimer = setTimeout(() => {
      lookTimer = 0;
      lookedAt = Date.now();
      const from = Math.max(0, inSight()[0] - MARGIN_ROWS);
      looked = { first: from, count: seen ? ROWS_HIGH_MAX + 2 + 2 * MARGIN_ROWS : 0, ...order };
      model.send({ kind: "look", view, ...looked });
    }, Math.max(0, 1000 * LOOK_SECONDS_MIN - (Date.now() - lookedAt)));
  };

  const rowAt = (place) => shown.rows[place - shown.first];
  const makeRow = () => {
    const cells = FILE_HEADS.map(([column]) => el("td", { "data-column": column }));
    const node = el("tr", {}, ...cells);
    const get = button("Download", "Download to this browser", () => node._dfsFile && download(node._dfsFile));
    const more = button("More", "All about this file", () => node._dfsFile && choose(node._dfsPlace, true));
    more.classList.add("dfs-more");
    node.append(el("td", { "data-column": "actions" }, el("div", { class: "dfs-buttons" }, get, more)));
    node.addEventListener("click", (event) => event.target.closest("button") || (node._dfsFile && choose(node._dfsPlace, true)));
    return Object.assign(node, { _dfsGet: get, _dfsMore: more });
  };
  const showRow = (node, place) => {
    const file = rowAt(place);
    Object.assign(node, { _dfsFile: file, _dfsPlace: place });
    node.id = `${prefix}-${place}`;
    node.setAttribute("aria-rowindex", place + 2);
    node.setAttribute("aria-selected", String(Boolean(file) && file.id === chosen));
    node.classList.toggle("dfs-active", place === active);
    const cells = node.cells;
    const texts = file ? [file.name, file.size, `${copiesGlyph(file)} ${file.held} of ${file.wanted}`.trim(), file.health, file.origin, ageText(file.at)]
      : ["…", "", "", "", "", ""];
    texts.forEach((text, index) => setText(cells[index], text));
    cells[0].title = file ? file.name : "";
    cells[3].dataset.health = file ? file.health : "";
    cells[0].classList.toggle("dfs-pinned", Boolean(file && file.pinned));
    for (const [knob, verb] of [[node._dfsGet, "Download to this browser"], [node._dfsMore, "All about"]]) {
      knob.disabled = !file;
      knob.tabIndex = place === active ? 0 : -1;
      knob.title = file ? `${verb}: ${file.name}` : verb;
    }
  };
  const draw = () => {
    frame = 0;
    active = Math.max(0, Math.min(active, shown.matching - 1));
    const [first, last] = inSight();
    const from = Math.max(0, first - OVERDRAWN_ROWS);
    const until = Math.min(shown.matching, last + OVERDRAWN_ROWS);
    while (body.children.length > until - from) body.lastChild.remove();
    while (body.children.length < until - from) body.append(makeRow());
    for (let place = from; place < until; place += 1) showRow(body.children[place - from], place);
    sizer.style.height = `${(shown.matching + 1) * ROW_PIXELS}px`;
    table.style.top = `${from * ROW_PIXELS}px`;
    table.setAttribute("aria-rowcount", shown.matching + 1);
    scroll.style.height = `${Math.min(shown.matching, ROWS_HIGH_MAX) * ROW_PIXELS + ROW_PIXELS + 2}px`;
    const here = body.children[active - from];
    if (here) table.setAttribute("aria-activedescendant", here.id);
    else table.removeAttribute("aria-activedescendant");
    ask();
  };
  const redraw = () => (frame ||= requestAnimationFrame(draw));
  const showCounts = () => {
    const { matching, total } = shown;
    const files = `${total.toLocaleString()} ${total === 1 ? "file" : "files"}`;
    setText(count, order.search.trim() ? `${matching.toLocaleString()} of ${files}` : files);
    setText(empty, total ? "No file matches the search." : "No files yet: choose some, drop them above, or get one by its link.");
    empty.hidden = matching > 0;
    scroll.hidden = matching === 0;
    bar.hidden = total === 0;
  };

  const choose = (place, opening) => {
    active = place;
    const file = rowAt(place);
    awaited = opening && !file ? place : -1; // opened when its row arrives
    if (opening && file) {
      chosen = file.id;
      open(file);
    }
    redraw();
  };
  const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: ROWS_HIGH_MAX, PageUp: -ROWS_HIGH_MAX, Home: -Infinity, End: Infinity };
  table.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === table) choose(active, true);
    else if (!(event.key in STEPS)) return;
    else {
      const place = Math.max(0, Math.min(shown.matching - 1, active + STEPS[event.key]));
      const top = place * ROW_PIXELS;
      if (top < scroll.scrollTop) scroll.scrollTop = top;
      const bottom = top + 2 * ROW_PIXELS - scroll.clientHeight;
      if (bottom > scroll.scrollTop) scroll.scrollTop = bottom;
      choose(place, false);
      if (event.target !== table) table.focus({ preventScroll: true });
    }
    event.preventDefault();
    event.stopPropagation();
  });
  scroll.addEventListener("scroll", redraw, { passive: true });

  const onMessage = (content) => {
    if (content.view !== view) return;
    if (content.kind === "rows") shown = content;
    else if (content.kind === "rows-changed" && looked && content.first === shown.first) {
      const rows = shown.rows.slice(0, content.count);
      for (const [place, row] of content.rows) rows[place] = row;
      shown = { ...content, rows };
    } else return;
    if (awaited >= 0 && rowAt(awaited)) choose(awaited, true);
    const known = shown.rows.find((row) => row.id === chosen);
    if (known) open(known, true);
    showCounts();
    redraw();
  };
  model.on("msg:custom", onMessage);
  const sight = new IntersectionObserver((entries) => {
    const now = entries[entries.length - 1].isIntersecting;
    if (now === seen && looked) return;
    seen = now;
    ask(true);
  });
  sight.observe(box);
  const aging = setInterval(() => seen && redraw(), 30000);
  showHeads();
  showCounts();
  return {
    box,
    unselect() {
      chosen = "";
      redraw();
      table.focus({ preventScroll: true });
    },
    saved(total) { // a saved notebook without its kernel knows only how many there are
      if (!looked || !shown.total) shown = { ...shown, total };
      showCounts();
      if (total && !shown.rows.length) setText(empty, `${total.toLocaleString()} files: a running kernel shows them.`);
    },
    cleanup() {
      clearInterval(aging);
      clearTimeout(lookTimer);
      sight.disconnect();
      sayGone(model, view);
    },
  };
}
