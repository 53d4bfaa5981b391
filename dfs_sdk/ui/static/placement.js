const CELL = 18;
const PIXELS_MAX = 16e6;
const COLORS = { p: "#0072B2", s: "#E69F00", c: "#56B4E9" };
const ROLES = { p: "primary", s: "surplus", c: "cache", ".": "no copy" };
const MARKS = { lagging: "~", busy: "b", suspect: "?", away: "x", gone: "X", left: "X" };
const ANSWERS = new Set(["alive", "this node", "lagging", "busy"]);

// One copy: the role is its shape and colour, a holder that does not answer makes it hollow, its state is a sign.
function drawCopy(pen, x, y, sign, state, ink) {
  const [cx, cy, r] = [x + CELL / 2, y + CELL / 2, CELL / 2 - 3];
  pen.beginPath();
  if (sign === "p") pen.rect(cx - r, cy - r, 2 * r, 2 * r);
  else if (sign === "s") {
    pen.moveTo(cx, cy - r - 1);
    pen.lineTo(cx + r + 1, cy);
    pen.lineTo(cx, cy + r + 1);
    pen.lineTo(cx - r - 1, cy);
    pen.closePath();
  } else pen.arc(cx, cy, r - 1, 0, 2 * Math.PI);
  pen.fillStyle = pen.strokeStyle = COLORS[sign] || ink;
  pen.lineWidth = 1.5;
  if (ANSWERS.has(state)) pen.fill();
  else pen.stroke();
  if (MARKS[state]) {
    pen.fillStyle = ink;
    pen.font = "bold 11px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(MARKS[state], cx, cy);
  }
}

function legendItem(sign, state, text) {
  const canvas = el("canvas", { class: "dfs-legend-sign", "aria-hidden": "true" });
  const item = el("span", { class: "dfs-legend-item" }, canvas, el("span", { text }));
  item._dfsDraw = () => {
    canvas.width = canvas.height = CELL * 2; // which also clears it
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    drawCopy(pen, 0, 0, sign, state, getComputedStyle(item).color);
  };
  return item;
}

const view = (model, root) => {
  let cursor = { row: 0, column: 0 };
  const id = token();
  const choice = field("File", "Show the chunks of one file", { options: true });
  const total = el("span", { class: "dfs-quiet", role: "status" });
  const canvas = el("canvas", { class: "dfs-map", "aria-hidden": "true" });
  const pointer = el("div", { class: "dfs-map-pointer", "aria-hidden": "true" });
  const heads = el("div", { class: "dfs-map-heads", "aria-hidden": "true" });
  const labels = el("div", { class: "dfs-map-labels", "aria-hidden": "true" });
  const grid = el("div", { class: "dfs-map-grid", role: "application", tabindex: "0", "aria-describedby": id,
    "aria-label": "Map of chunks and holders: the arrow keys move, the text below describes the copy",
    title: "Arrow keys or the mouse: the text below says which copy it is, and why it is there" }, canvas, pointer);
  const about = el("div", { class: "dfs-about", id, role: "status", "aria-live": "polite",
    text: "Point at a copy, or move with the arrow keys, to read about it." });
  const legend = el("div", { class: "dfs-legend" },
    legendItem("p", "alive", "primary"), legendItem("s", "alive", "surplus"), legendItem("c", "alive", "cache"),
    legendItem("p", "suspect", "holder suspect"), legendItem("p", "away", "holder away or gone"));
  const empty = el("div", { class: "dfs-quiet", text: "No chunks yet: put a file." });
  const board = el("div", { class: "dfs-board" }, heads, labels, grid);
  root.append(el("div", { class: "dfs-line dfs-filter" }, choice.box, total), legend, empty,
    el("div", { class: "dfs-scroll dfs-tall", tabindex: "0", role: "region", "aria-label": "chunk map" }, board), about);

  choice.input.addEventListener("change", () => model.send({ kind: "show", file: choice.input.selectedIndex }));

  const at = (row, column) => {
    const chunk = model.get("chunks")[row];
    const holder = model.get("holders")[column];
    return chunk && holder ? { chunk, holder, sign: chunk.copies[column] } : null;
  };
  const describe = (cell) =>
    `${cell.chunk.file}, ${cell.chunk.label === "manifest" ? "manifest" : `chunk ${cell.chunk.label}`} ` +
    `(${cell.chunk.size}) on ${cell.holder.name} (${cell.holder.short}, ${cell.holder.state}): ${ROLES[cell.sign]}`;
  const look = (row, column) => {
    cursor = { row, column };
    const cell = at(row, column);
    if (!cell) return;
    setText(about, describe(cell));
    if (cell.sign !== ".") model.send({ kind: "why", chunk: cell.chunk.id, holder: cell.holder.id });
    pointer.style.transform = `translate(${column * CELL}px, ${row * CELL}px)`;
  };
  model.on("msg:custom", (content) => {
    const cell = at(cursor.row, cursor.column);
    if (content.kind === "why" && cell && content.chunk === cell.chunk.id && content.holder === cell.holder.id)
      setText(about, `${describe(cell)}, ${content.text}`);
  });
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const limit = (value, count) => Math.max(0, Math.min(count - 1, value));
    look(limit(cursor.row + step[0], model.get("chunks").length), limit(cursor.column + step[1], model.get("holders").length));
  });
  let hovered = "";
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [row, column] = [Math.floor((event.clientY - box.top) / CELL), Math.floor((event.clientX - box.left) / CELL)];
    if (hovered !== `${row},${column}`) {
      hovered = `${row},${column}`;
      look(row, column);
    }
  });

  const draw = () => {
    for (const item of legend.children) item._dfsDraw();
    const [chunks, holders] = [model.get("chunks"), model.get("holders")];
    const [width, height] = [holders.length * CELL, chunks.length * CELL];
    const sharp = window.devicePixelRatio || 1;
    const scale = width * height * sharp * sharp > PIXELS_MAX ? 1 : sharp;
    canvas.width = Math.max(1, width * scale);
    canvas.height = Math.max(1, height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    const ink = getComputedStyle(root).color;
    pen.scale(scale, scale);
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.15;
    for (let row = 0; row <= chunks.length; row += 1) pen.strokeRect(0, row * CELL, width, 0);
    for (let column = 0; column <= holders.length; column += 1) pen.strokeRect(column * CELL, 0, 0, height);
    pen.globalAlpha = 1;
    chunks.forEach((chunk, row) => holders.forEach((holder, column) => {
      const sign = chunk.copies[column];
      if (sign && sign !== ".") drawCopy(pen, column * CELL, row * CELL, sign, holder.state, ink);
    }));
  };
  const theme = new MutationObserver(() => requestAnimationFrame(draw));
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const shape = new ResizeObserver(draw); // colours are known once the panel is on the page
  shape.observe(legend);

  const show = () => {
    const [chunks, holders, count] = [model.get("chunks"), model.get("holders"), model.get("chunks_total")];
    board.hidden = legend.hidden = chunks.length === 0;
    empty.hidden = chunks.length > 0;
    setText(total, count ? `${count} chunks${count > chunks.length ? `, first ${chunks.length}` : ""} on ${holders.length} holders` : "");
    const everyFile = model.get("file") === "";
    reconcile(heads, holders, (holder) => holder.id, () => el("div", { class: "dfs-map-head" }, el("span")),
      (node, holder) => setText(node.firstChild, holder.state === "alive" ? holder.name : `${holder.name} (${holder.state})`));
    reconcile(labels, chunks, (chunk) => `${chunk.file}/${chunk.id}`, () => el("div", { class: "dfs-map-label" }),
      (node, chunk) => setText(node, everyFile ? `${chunk.file} ${chunk.label}` : chunk.label));
    draw();
  };
  const showFiles = () => {
    const names = ["All files", ...model.get("files")];
    reconcile(choice.input, names.map((name, index) => ({ name, index })), (item) => item.index,
      () => el("option"), (node, item) => setText(node, item.name));
    choice.input.selectedIndex = Math.max(0, names.indexOf(model.get("file"), 1));
  };
  const cleanup = () => {
    theme.disconnect();
    shape.disconnect();
  };
  return { cleanup, chunks: show, holders: show, chunks_total: show, files: showFiles, file: showFiles };
};

export default panel("placement", "Chunk map", view);
