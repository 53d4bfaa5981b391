const MAP_HIGH_MAX = 580;
const HEADS_PIXELS = 96;
const LABELS_PIXELS_MAX = 222;
const LABEL_MARGINS_PIXELS = 26;
const HEAD_PIXELS_WIDE = 18; // a column this wide has room for its holder's name
const WHY_SECONDS = 0.12;
const TABLE_ROWS = 50;

function legendItem(code, holder, text) {
  const canvas = el("canvas", { class: "dfs-legend-sign", "aria-hidden": "true", width: 36, height: 36 });
  const item = el("span", { class: "dfs-legend-item" }, canvas, el("span", { text }));
  item._dfsDraw = () => {
    const pen = canvas.getContext("2d");
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, 18, 18);
    drawCopy(pen, 0, 0, 18, code, holder, getComputedStyle(item).color);
  };
  return item;
}

// The same as a table, a page at a time: for screen readers, and for whoever wants to read numbers.
function mapTable(picture) {
  let first = 0;
  const body = el("tbody");
  const where = el("span", { class: "dfs-quiet", role: "status" });
  const turn = (label, hint, step) => button(label, hint, () => {
    first = Math.max(0, Math.min(Math.floor((picture.rows - 1) / TABLE_ROWS) * TABLE_ROWS, first + step));
    show();
  });
  const heads = ["file", "chunk", "size", "copies that answer", "wanted", "holders"];
  const box = el("div", { hidden: true },
    el("div", { class: "dfs-line" }, turn("Previous", "The rows before", -TABLE_ROWS), turn("Next", "The rows after", TABLE_ROWS), where),
    el("div", { class: "dfs-scroll dfs-tall", tabindex: "0", role: "region", "aria-label": "table of chunks and holders" },
      el("table", { class: "dfs-table" }, el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", text })))), body)));
  const show = () => {
    if (box.hidden) return;
    first = Math.min(first, Math.max(0, picture.rows - 1));
    const last = Math.min(picture.rows, first + TABLE_ROWS);
    setText(where, picture.rows ? `${first + 1} to ${last} of ${picture.rows.toLocaleString()}` : "");
    const width = picture.holders.length;
    const rows = Array.from({ length: last - first }, (_, place) => first + place);
    reconcile(body, rows, (row) => row, () => el("tr", {}, ...heads.map(() => el("td"))), (node, row) => {
      const [file, index, size, wanted] = numbersOf(picture, row);
      const held = picture.holders.map((holder, column) => [holder, picture.cells[row * width + column]]).filter(([, code]) => code);
      [picture.files[file] ?? "", index < 0 ? "manifest" : String(index), sizeText(size), String(answering(picture, row)), wanted ? String(wanted) : "",
        held.map(([holder, code]) => `${holderName(holder)}: ${ROLE_NAMES[code]}`).join(", ")]
        .forEach((text, column) => setText(node.cells[column], text));
    });
  };
  return { box, show };
}

const view = (model, root, picture) => {
  const name = token();
  let [cursor, pointing, seen, frame, chosenCell, whyTimer, flashTimer] = [{ row: 0, column: 0 }, false, true, 0, 0, 0, 0];
  let left = 80;
  const id = `dfs-${name}`;
  const choice = field("File", "Show the chunks of one file", { options: true });
  const summary = el("div", { class: "dfs-summary", role: "status", "aria-live": "polite" });
  const canvas = el("canvas", { class: "dfs-map", "aria-hidden": "true" });
  const sizer = el("div", { class: "dfs-map-sizer" }, canvas);
  const pane = el("div", { class: "dfs-map-grid", role: "application", tabindex: "0", "aria-describedby": id,
    "aria-label": "Map of chunks and holders: the arrow keys move, the text above says which copy it is and why it is there" }, sizer);
  const about = el("div", { class: "dfs-about", id, role: "status", "aria-live": "polite" });
  const legend = el("div", { class: "dfs-legend" },
    legendItem(1, { answers: true, state: "alive" }, "primary: belongs here"), legendItem(2, { answers: true, state: "alive" }, "surplus: stands in"),
    legendItem(3, { answers: true, state: "alive" }, "cache: may be dropped"),
    legendItem(1, { answers: false, state: "suspect" }, "holder suspect"), legendItem(1, { answers: false, state: "away" }, "holder away or gone"));
  const pale = el("span", { class: "dfs-legend-item", text: "small cells are pale where the holder does not answer" });
  const empty = el("div", { class: "dfs-quiet", text: "No chunks yet: put a file." });
  const zoom = (label, hint, step) => button(label, hint, () => {
    chosenCell = CELL_SIZES[Math.max(0, Math.min(CELL_SIZES.length - 1, CELL_SIZES.indexOf(cell()) + step))];
    layOut();
  });
  const table = mapTable(picture);
  const tabular = button("Show as table", "The same as a table, for reading", () => {
    table.box.hidden = !table.box.hidden;
    setText(tabular, table.box.hidden ? "Show as table" : "Hide the table");
    tabular.setAttribute("aria-expanded", String(!table.box.hidden));
    table.show();
  });
  tabular.setAttribute("aria-expanded", "false");
  const tools = el("div", { class: "dfs-line dfs-filter" }, choice.box, zoom("−", "Smaller cells", -1), zoom("+", "Larger cells", 1), tabular);
  root.append(tools, summary, empty, el("div", { class: "dfs-legends" }, legend, pale), about, pane, table.box);
  choice.input.addEventListener("change", () => model.send({ kind: "show", file: choice.input.selectedIndex, ref: token() }));

  const painter = mapPainter(canvas, picture);
  const columns = () => picture.holders.length;
  const everyFile = () => model.get("file") === "";
  const cell = () => {
    if (chosenCell) return chosenCell;
    const fits = (size) => picture.rows * size <= MAP_HIGH_MAX - HEADS_PIXELS && columns() * size <= (pane.clientWidth || 600) - left - 40;
    return [18, 12, 7, 4].find(fits) || 4;
  };
  // Few holders and many chunks: the columns stay wide enough for names, however low the rows.
  const wide = () => {
    const room = (pane.clientWidth || 600) - left - 40;
    return columns() * HEAD_PIXELS_WIDE > room ? cell() : Math.max(cell(), HEAD_PIXELS_WIDE);
  };
  const box = () => {
    const [size, across, width, height] = [cell(), wide(), pane.clientWidth, pane.clientHeight];
    const [scrollX, scrollY] = [pane.scrollLeft, pane.scrollTop];
    const row = Math.max(0, Math.floor(scrollY / size));
    const column = Math.max(0, Math.floor(scrollX / across));
    return {
      cell: size, wide: across, left, top: HEADS_PIXELS, width, height, row, column,
      rowEnd: Math.min(picture.rows, Math.ceil((scrollY + height - HEADS_PIXELS) / size)),
      columnEnd: Math.min(columns(), Math.ceil((scrollX + width - left) / across)),
      x: (place) => left + place * across - scrollX,
      y: (place) => HEADS_PIXELS + place * size - scrollY,
    };
  };
  const draw = () => {
    frame = 0;
    if (!picture.rows || !seen) return;
    const style = getComputedStyle(root);
    const color = (variable) => resolved(tools, variable, style.color);
    painter.draw(box(), { ink: style.color, warn: color("--dfs-warn"), bad: color("--dfs-bad"), good: color("--dfs-good"),
      font: `12px ${style.fontFamily}`, everyFile: everyFile(), ...cursor, pointing });
  };
  const redraw = () => (frame ||= requestAnimationFrame(draw));
  const layOut = () => {
    const pen = canvas.getContext("2d");
    pen.font = `bold 12px ${getComputedStyle(root).fontFamily}`;
    const sample = everyFile() ? picture.files.map((file) => `! ${file} manifest`) : ["! manifest"];
    left = Math.ceil(Math.min(LABELS_PIXELS_MAX, LABEL_MARGINS_PIXELS + Math.max(60, ...sample.slice(0, 300).map((text) => pen.measureText(text).width))));
    const size = cell();
    pale.hidden = size >= SHAPES_FROM || !picture.rows;
    sizer.style.width = `${left + columns() * wide() + 60}px`;
    sizer.style.height = `${HEADS_PIXELS + picture.rows * size + 2}px`;
    pane.style.height = `${Math.min(MAP_HIGH_MAX, HEADS_PIXELS + picture.rows * size + 16)}px`;
    canvas.style.width = `${pane.clientWidth}px`;
    canvas.style.height = `${pane.clientHeight}px`;
    redraw();
  };

  const describe = () => {
    const [file, index, size] = numbersOf(picture, cursor.row);
    const holder = picture.holders[cursor.column];
    const code = picture.cells[cursor.row * columns() + cursor.column];
    return `${picture.files[file] ?? ""}, ${chunkName(index)} (${sizeText(size)}) on ${holder.name} (${holder.short}, ${holder.state}): ${ROLE_NAMES[code]}`;
  };
  const look = (row, column) => {
    if (!picture.rows || !columns()) return;
    cursor = { row: Math.max(0, Math.min(picture.rows - 1, row)), column: Math.max(0, Math.min(columns() - 1, column)) };
    setText(about, describe());
    clearTimeout(whyTimer);
    whyTimer = setTimeout(() => {
      if (picture.cells[cursor.row * columns() + cursor.column])
        model.send({ kind: "why", version: picture.version, ...cursor });
    }, 1000 * WHY_SECONDS);
    redraw();
  };
  const onMessage = (content) => {
    if (content.kind === "why" && content.version === picture.version && content.row === cursor.row && content.column === cursor.column)
      setText(about, `${describe()}, ${content.text}`);
  };
  model.on("msg:custom", onMessage);

  const reveal = () => {
    const [size, shown] = [cell(), box()];
    const [top, start] = [cursor.row * size, cursor.column * shown.wide];
    const [high, across] = [shown.height - HEADS_PIXELS - size, shown.width - left - shown.wide];
    if (top < pane.scrollTop || top > pane.scrollTop + high) pane.scrollTop = Math.max(0, top - high / 2);
    if (start < pane.scrollLeft || start > pane.scrollLeft + across) pane.scrollLeft = Math.max(0, start - across / 2);
  };
  pane.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor((pane.clientHeight - HEADS_PIXELS) / cell()) - 1);
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-page, 0], PageDown: [page, 0],
      Home: [-Infinity, 0], End: [Infinity, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    pointing = true;
    look(cursor.row + step[0], cursor.column + step[1]);
    reveal();
  });
  pane.addEventListener("mousemove", (event) => {
    const rect = pane.getBoundingClientRect();
    const [x, y] = [event.clientX - rect.left - left, event.clientY - rect.top - HEADS_PIXELS];
    const [row, column] = [Math.floor((y + pane.scrollTop) / cell()), Math.floor((x + pane.scrollLeft) / wide())];
    const inside = x >= 0 && y >= 0 && row < picture.rows && column < columns();
    if (!inside || (pointing && row === cursor.row && column === cursor.column)) return;
    pointing = true;
    look(row, column);
  });
  pane.addEventListener("focus", () => {
    pointing = true;
    look(cursor.row, cursor.column);
  });
  pane.addEventListener("scroll", redraw, { passive: true });

  const show = (anew) => {
    painter.forget();
    empty.hidden = picture.rows > 0 || Boolean(model.get("summary"));
    pane.hidden = legend.hidden = about.hidden = tools.hidden = picture.rows === 0;
    Object.assign(pane.dataset, { rows: picture.rows, holders: columns() });
    if (anew) {
      cursor = { row: Math.min(cursor.row, Math.max(0, picture.rows - 1)), column: Math.min(cursor.column, Math.max(0, columns() - 1)) };
      showFiles();
      if (!pointing) setText(about, "Point at a copy, or move with the arrow keys, to read about it.");
    } else if (pointing && picture.rows) look(cursor.row, cursor.column);
    for (const item of legend.children) item._dfsDraw();
    layOut();
    table.show();
    clearTimeout(flashTimer);
    if (picture.fresh.size) flashTimer = setTimeout(redraw, 1000 * FLASH_SECONDS + 50);
  };
  const showFiles = () => {
    const names = ["All files", ...picture.files];
    reconcile(choice.input, names.map((text, index) => ({ text, index })), (item) => item.index,
      () => el("option"), (node, item) => setText(node, item.text));
    choice.input.selectedIndex = Math.max(0, names.indexOf(model.get("file"), 1));
  };
  picture.views.add(show);
  const again = () => {
    for (const item of legend.children) item._dfsDraw();
    painter.forget();
    layOut();
  };
  const theme = new MutationObserver(() => requestAnimationFrame(again));
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const shape = new ResizeObserver(again); // colours and widths are known once the panel is on the page
  shape.observe(root);
  const sight = new IntersectionObserver((entries) => {
    seen = entries[entries.length - 1].isIntersecting;
    if (!root.isConnected) return; // it goes: cleanup says so
    if (seen) layOut(); // what changed out of sight was not drawn
    model.send(seen ? { kind: "look", view: name, version: picture.version } : { kind: "unlook", view: name });
  });
  sight.observe(root);
  show(true);
  return {
    cleanup() {
      [theme, shape, sight].forEach((each) => each.disconnect());
      clearTimeout(whyTimer);
      clearTimeout(flashTimer);
      picture.views.delete(show);
      sayGone(model, name);
    },
    summary() {
      setText(summary, model.get("summary"));
      if (model.get("summary")) empty.hidden = true;
    },
    file: showFiles,
  };
};

// A colour as a canvas understands it: variables and light-dark() mean nothing to it.
function resolved(node, variable, otherwise) {
  const probe = el("span", { style: `color: var(${variable})`, hidden: true });
  node.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color || otherwise;
}

export default panel("placement", "Chunk map", view, pictures);
