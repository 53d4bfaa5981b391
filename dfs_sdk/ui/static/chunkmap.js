const ROLE_NAMES = ["no copy", "primary", "surplus", "cache"];
const COLORS = ["", "#0072B2", "#E69F00", "#56B4E9"]; // Okabe and Ito: told apart by the colour-blind
const MARKS = { lagging: "~", busy: "b", suspect: "?", away: "x", gone: "X", left: "X" };
const CELL_SIZES = [2, 4, 7, 12, 18, 26];
const SHAPES_FROM = 12;
const LABELS_FROM = 11;
const LABEL_OVERHANG_PIXELS = 8; // what the label of a low row has above it
const FLASH_SECONDS = 4;
const NUMBERS_PER_ROW = 4;

// What the kernel says of the picture, kept once for all views of a page: rows are chunks, columns are holders.
function pictures(model) {
  const views = new Set();
  const state = { version: 0, files: [], holders: [], numbers: new Int32Array(0), cells: new Uint8Array(0), rows: 0, fresh: new Map(), views };
  const own = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  model.on("msg:custom", (content, buffers) => {
    if (content.kind === "map") {
      const [numbers, cells] = [new Int32Array(own(buffers[0])), new Uint8Array(own(buffers[1]))];
      Object.assign(state, { version: content.version, files: content.files, holders: content.holders, numbers, cells,
        rows: numbers.length / NUMBERS_PER_ROW, fresh: new Map() });
    } else if (content.kind === "map-patch" && content.version === state.version) {
      const [places, values] = [new Uint32Array(own(buffers[0])), new Uint8Array(own(buffers[1]))];
      const now = Date.now();
      for (const [place, at] of state.fresh) if (now - at > 1000 * FLASH_SECONDS) state.fresh.delete(place);
      places.forEach((place, index) => {
        if (values[index] && !state.cells[place]) state.fresh.set(place, now);
        state.cells[place] = values[index];
      });
      state.holders = content.holders;
    } else return;
    views.forEach((show) => show(content.kind === "map"));
  });
  return state;
}

// What is known of a row: the place of its file, the chunk's index, its sealed bytes, the copies wanted.
const numbersOf = (picture, row) => picture.numbers.subarray(row * NUMBERS_PER_ROW, (row + 1) * NUMBERS_PER_ROW);
const chunkName = (index) => (index < 0 ? "manifest" : `chunk ${index}`);
const holderName = (holder) => (holder.answers && !MARKS[holder.state] ? holder.name : `${holder.name} (${holder.state})`);

function answering(picture, row) {
  let count = 0;
  picture.holders.forEach((holder, column) => {
    count += holder.answers && picture.cells[row * picture.holders.length + column] ? 1 : 0;
  });
  return count;
}

// One copy: the role is its shape and colour, a holder that does not answer makes it hollow, its state is a sign.
function drawCopy(pen, x, y, size, code, holder, ink) {
  const [cx, cy, r] = [x + size / 2, y + size / 2, size / 2 - Math.max(2, size / 6)];
  pen.beginPath();
  if (code === 1) pen.rect(cx - r, cy - r, 2 * r, 2 * r);
  else if (code === 2) {
    pen.moveTo(cx, cy - r - 1);
    pen.lineTo(cx + r + 1, cy);
    pen.lineTo(cx, cy + r + 1);
    pen.lineTo(cx - r - 1, cy);
    pen.closePath();
  } else pen.arc(cx, cy, r, 0, 2 * Math.PI);
  pen.fillStyle = pen.strokeStyle = COLORS[code] || ink;
  pen.lineWidth = 1.5;
  if (holder.answers) pen.fill();
  else pen.stroke();
  const mark = MARKS[holder.state];
  if (mark && size >= 16) {
    pen.fillStyle = ink;
    pen.font = "bold 11px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(mark, cx, cy);
  }
}

// The whole picture at one pixel a cell, to be stretched: what is seen of a map whose cells are too small for shapes.
function overview(picture, ink) {
  const width = picture.holders.length;
  const canvas = el("canvas", { width: Math.max(1, width), height: Math.max(1, picture.rows) });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
  const pixel = (red, green, blue, alpha) => little ? ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0
    : ((red << 24) | (green << 16) | (blue << 8) | alpha) >>> 0;
  const parts = COLORS.map((color) => color ? [1, 3, 5].map((from) => parseInt(color.slice(from, from + 2), 16)) : [0, 0, 0]);
  const full = parts.map(([red, green, blue], code) => code ? pixel(red, green, blue, 255) : 0);
  const faint = parts.map(([red, green, blue], code) => code ? pixel(red, green, blue, 90) : 0);
  const colors = picture.holders.map((holder) => (holder.answers ? full : faint));
  for (let place = 0, column = 0; place < picture.cells.length; place += 1) {
    pixels[place] = colors[column][picture.cells[place]];
    column = column + 1 === width ? 0 : column + 1;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

// Names that begin alike differ at their end, and a chunk's label ends in its number: what is too long loses its middle.
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  const signs = [...text];
  const shortened = (kept) => {
    const head = Math.ceil(kept / 2);
    return [...signs.slice(0, head), "…", ...signs.slice(signs.length - (kept - head))].join("");
  };
  let [low, high] = [0, signs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(shortened(middle)).width <= width) low = middle;
    else high = middle - 1;
  }
  return shortened(low);
}

// Draws what is in sight of a picture onto a canvas as large as the window; the labels stay at its edges.
function mapPainter(canvas, picture) {
  let small = null;
  const labelOf = (row, everyFile) => {
    const [file, index] = numbersOf(picture, row);
    const chunk = index < 0 ? "manifest" : String(index);
    return everyFile ? `${picture.files[file] ?? ""} ${chunk}` : chunk;
  };
  const labels = (pen, box, look) => {
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const step = Math.max(1, Math.ceil(LABELS_FROM / box.cell));
    for (let row = Math.ceil(box.row / step) * step; row < box.rowEnd; row += step) {
      const short = answering(picture, row) < numbersOf(picture, row)[3];
      pen.font = `${short || row === look.row ? "bold " : ""}${look.font}`;
      pen.fillStyle = short ? look.warn : look.ink;
      const text = fitted(pen, labelOf(row, look.everyFile), box.left - 24);
      pen.fillText(short ? `! ${text}` : text, box.left - 6, box.y(row) + box.cell / 2);
    }
  };
  const heads = (pen, box, look) => {
    const step = Math.max(1, Math.ceil(LABELS_FROM / box.wide));
    pen.textAlign = "left";
    for (let column = Math.ceil(box.column / step) * step; column < box.columnEnd; column += step) {
      const holder = picture.holders[column];
      pen.save();
      pen.translate(box.x(column) + box.wide / 2, box.top - 6);
      pen.rotate(-Math.PI / 3);
      pen.font = `${column === look.column ? "bold " : ""}${look.font}`;
      pen.fillStyle = holder.answers ? look.ink : look.bad;
      pen.fillText(fitted(pen, holderName(holder), box.top + 8), 0, 0);
      pen.restore();
    }
  };
  const shapes = (pen, box, look) => {
    pen.strokeStyle = look.ink;
    pen.globalAlpha = 0.13;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let row = box.row; row <= box.rowEnd; row += 1) {
      pen.moveTo(box.x(box.column), box.y(row));
      pen.lineTo(box.x(box.columnEnd), box.y(row));
    }
    for (let column = box.column; column <= box.columnEnd; column += 1) {
      pen.moveTo(box.x(column), box.y(box.row));
      pen.lineTo(box.x(column), box.y(box.rowEnd));
    }
    pen.stroke();
    pen.globalAlpha = 1;
    for (let row = box.row; row < box.rowEnd; row += 1)
      for (let column = box.column; column < box.columnEnd; column += 1) {
        const code = picture.cells[row * picture.holders.length + column];
        if (code) drawCopy(pen, box.x(column) + (box.wide - box.cell) / 2, box.y(row), box.cell, code, picture.holders[column], look.ink);
      }
  };
  const dots = (pen, box, look) => {
    small ||= overview(picture, look.ink);
    pen.imageSmoothingEnabled = false;
    const [columns, rows] = [box.columnEnd - box.column, box.rowEnd - box.row];
    if (columns > 0 && rows > 0)
      pen.drawImage(small, box.column, box.row, columns, rows, box.x(box.column), box.y(box.row), columns * box.wide, rows * box.cell);
    pen.globalAlpha = 0.3;
    pen.strokeStyle = look.ink;
    pen.strokeRect(box.x(box.column), box.y(box.row), columns * box.wide, rows * box.cell);
    pen.globalAlpha = 1;
  };
  const rings = (pen, box, look) => {
    const width = picture.holders.length;
    const ring = (row, column, color, thick) => {
      if (row < box.row || row >= box.rowEnd || column < box.column || column >= box.columnEnd) return;
      pen.strokeStyle = color;
      pen.lineWidth = thick;
      pen.strokeRect(box.x(column) + thick / 2, box.y(row) + thick / 2, Math.max(2, box.wide - thick), Math.max(2, box.cell - thick));
    };
    const now = Date.now();
    for (const [place, at] of picture.fresh)
      if (now - at < 1000 * FLASH_SECONDS) ring(Math.floor(place / width), place % width, look.good, 2.5);
    if (look.pointing) ring(look.row, look.column, look.ink, 2);
  };
  return {
    forget: () => (small = null),
    // `box` says which cells are in sight and where they lie, `look` how: ink, warn, bad, good, font, row, column, pointing.
    draw(box, look) {
      const sharp = window.devicePixelRatio || 1;
      const [width, height] = [Math.round(box.width * sharp), Math.round(box.height * sharp)];
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
      const pen = canvas.getContext("2d");
      pen.setTransform(sharp, 0, 0, sharp, 0, 0);
      pen.clearRect(0, 0, box.width, box.height);
      const within = (x, y, w, h, what) => {
        pen.save();
        pen.beginPath();
        pen.rect(x, y, w, h);
        pen.clip();
        what(pen, box, look);
        pen.restore();
      };
      within(box.left - 1, box.top - 1, box.width, box.height, box.cell >= SHAPES_FROM ? shapes : dots);
      within(box.left - 1, box.top - 1, box.width, box.height, rings);
      within(0, box.top - LABEL_OVERHANG_PIXELS, box.left - 2, box.height, labels);
      within(box.left - 8, 0, box.width, box.top, heads);
    },
  };
}
