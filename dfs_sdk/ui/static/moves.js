const PIECE_BYTES = 1048576;
const WINDOW_PIECES = 8;
const MOVING_MAX = 3;
const WAITING_MAX = 1000;
const FINISHED_MAX = 100;
const STALL_SECONDS = 5;
const BUSY_SECONDS = 12;
const RATE_SECONDS = 5;
const PICKER_BYTES_MIN = 256 * PIECE_BYTES;
const SHOWN_SECONDS_MIN = 0.1;
const UPLOADED_SECONDS_SHOWN = 10;

// Moves are files on their way between this browser and the node, in a queue: a few move, the others wait. They belong
// to the model, not to a view: they go on while the cell is shown elsewhere, and every view shows them.
function movesOf(model) {
  const all = new Map();
  const views = new Set();
  let timer = 0;
  const changed = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      views.forEach((show) => show([...all.values()]));
    }, 1000 * SHOWN_SECONDS_MIN);
  };
  const live = () => [...all.values()].filter((move) => move.state === "moving");
  const advance = () => {
    const free = MOVING_MAX - live().length;
    [...all.values()].filter((move) => move.state === "waiting").slice(0, Math.max(0, free)).forEach((move) => {
      move.state = "moving";
      move.begin();
    });
    const finished = [...all.values()].filter((move) => move.ended);
    finished.slice(0, Math.max(0, finished.length - FINISHED_MAX)).forEach((move) => all.delete(move.id));
    changed();
  };
  const end = (move, state, text = "", trace = "") => {
    if (move.ended) return;
    Object.assign(move, { state, text, trace, ended: true });
    move.finish(state === "done");
    if (state === "done" && move.direction === "upload") setTimeout(() => move.forget(), 1000 * UPLOADED_SECONDS_SHOWN);
    advance();
  };
  const stir = setInterval(() => live().forEach((move) => {
    const silent = (Date.now() - move.movedAt) / 1000;
    move.stalled = silent > BUSY_SECONDS;
    if (silent > STALL_SECONDS) move.nudge();
    if (move.stalled) changed();
  }), 1000 * STALL_SECONDS);
  const stop = () => clearInterval(stir);
  model.on("destroy", stop);
  model.on("comm:close", stop);

  // What uploads and downloads share; `begin`, `nudge`, `receive` and `finish` are their own.
  const enter = (name, size, own, again) => {
    const now = Date.now();
    const move = {
      id: token(), name, size, bytes: 0, state: "waiting", text: "", trace: "", ended: false, movedAt: now, stalled: false,
      samples: [[now, 0]], finish: () => {}, again,
      moved(bytes) {
        const at = Date.now();
        Object.assign(move, { movedAt: at, stalled: false, awaits: "", bytes: Math.min(bytes, size) });
        move.samples.push([at, move.bytes]);
        while (move.samples.length > 2 && at - move.samples[0][0] > 1000 * RATE_SECONDS) move.samples.shift();
        changed();
      },
      rate() {
        const [[from, before], [to, after]] = [move.samples[0], move.samples[move.samples.length - 1]];
        return to > from ? (1000 * (after - before)) / (to - from) : 0;
      },
      stop() {
        if (move.state === "moving") model.send({ kind: "stop", move: move.id });
        end(move, "stopped");
      },
      fail: (text) => {
        if (move.state === "moving") model.send({ kind: "stop", move: move.id });
        end(move, "failed", text);
      },
      forget() {
        all.delete(move.id);
        changed();
      },
    };
    own(move);
    all.set(move.id, move);
    return move;
  };

  function upload(file) {
    const count = Math.ceil(file.size / PIECE_BYTES);
    enter(file.name, file.size, (move) => {
      let [sent, taken, reading, asked] = [0, 0, 0, false];
      const pump = async () => {
        while (!move.ended && sent < count && sent < taken + WINDOW_PIECES) {
          const index = sent++;
          reading += 1;
          try {
            const piece = await file.slice(index * PIECE_BYTES, (index + 1) * PIECE_BYTES).arrayBuffer();
            if (!move.ended) model.send({ kind: "piece", move: move.id, index }, undefined, [piece]);
          } catch {
            move.fail("the browser cannot read the file: it is a folder, was changed or is gone");
          }
          reading -= 1;
        }
      };
      Object.assign(move, {
        direction: "upload",
        begin() {
          move.samples = [[Date.now(), 0]];
          move.movedAt = Date.now();
          model.send({ kind: "upload", move: move.id, name: file.name, size: file.size });
        },
        nudge() {
          if (reading || taken === count) return;
          asked = true;
          model.send({ kind: "where", move: move.id });
        },
        receive(content) {
          if (content.kind !== "upload-next") return;
          if (content.next > taken || !count) move.moved(content.next * PIECE_BYTES);
          else if (asked) {
            move.movedAt = Date.now(); // it answers: what did not arrive by now was lost
            sent = Math.min(sent, content.got);
          }
          asked = false;
          taken = Math.max(taken, content.next);
          sent = Math.max(sent, taken);
          pump();
        },
      });
    }, () => upload(file));
  }

  async function download(row) {
    let sink = null;
    if (row.bytes >= PICKER_BYTES_MIN && window.showSaveFilePicker) {
      try {
        sink = await (await window.showSaveFilePicker({ suggestedName: row.name })).createWritable();
      } catch (error) {
        if (error.name === "AbortError") return;
      }
    }
    enter(row.name, row.bytes, (move) => {
      const parts = [];
      let [next, writing] = [0, Promise.resolve()];
      Object.assign(move, {
        direction: "download",
        begin() {
          move.samples = [[Date.now(), 0]];
          move.movedAt = Date.now();
          model.send({ kind: "download", move: move.id, file: row.id });
        },
        nudge: () => model.send({ kind: "ack", move: move.id, next }),
        receive(content, buffers) {
          if (content.kind === "download-waits") {
            Object.assign(move, { movedAt: Date.now(), stalled: false, awaits: content.text }); // the kernel is there
            changed();
            return;
          }
          if (content.kind !== "download-piece" || content.index !== next) return;
          next += 1;
          const [count, piece] = [next, new Blob([buffers[0]])];
          if (!sink) parts.push(piece);
          move.moved(count * PIECE_BYTES);
          writing = writing.then(() => sink && !move.ended && sink.write(piece)).then(
            () => move.ended || model.send({ kind: "ack", move: move.id, next: count }),
            (error) => move.fail(`the browser cannot write the file: ${error.message}`));
        },
        async finish(fine) {
          if (!sink) {
            if (fine) save(row.name, parts);
            parts.length = 0;
            return;
          }
          try {
            await writing;
            await (fine ? sink.close() : sink.abort());
          } catch (error) {
            Object.assign(move, { state: "failed", text: `the browser cannot write the file: ${error.message}` });
            changed();
          }
        },
      });
    }, () => download(row));
    advance();
  }

  model.on("msg:custom", (content, buffers) => {
    const move = all.get(content.move);
    if (!move || move.ended) return;
    if (content.kind === "move-done") {
      move.bytes = move.size;
      end(move, "done");
    } else if (content.kind === "move-stopped") end(move, "stopped");
    else if (content.kind === "move-failed") end(move, "failed", content.text, content.trace);
    else move.receive(content, buffers);
  });
  return {
    views,
    list: () => [...all.values()],
    download,
    upload(files) {
      for (const file of files) {
        if ([...all.values()].filter((move) => move.state === "waiting").length < WAITING_MAX) upload(file);
        else enter(file.name, file.size, (move) => Object.assign(move, { direction: "upload" }), () => upload(file))
          .fail(`${WAITING_MAX} files wait already: add it when some are done`);
      }
      advance();
    },
    again(move) {
      all.delete(move.id);
      move.again();
      advance();
    },
    clear() {
      [...all.values()].filter((move) => move.ended).forEach((move) => all.delete(move.id));
      changed();
    },
  };
}

function save(name, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  const anchor = el("a", { href: url, download: name || "download" });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function sizeText(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [count, 0];
  while (value >= 1023.5 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

function spanText(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

const MOVE_WORDS = { waiting: "waits for its turn", stopped: "stopped" };

function moveText(move) {
  if (move.state === "failed") return `failed: ${move.text}`;
  if (move.state === "done") return `${move.direction === "upload" ? "is in the network" : "downloaded"}, ${sizeText(move.size)}`;
  if (move.state !== "moving") return MOVE_WORDS[move.state];
  if (move.stalled) return "waits for the kernel, which is busy";
  if (move.awaits) return `${sizeText(move.bytes)} of ${sizeText(move.size)}; ${move.awaits}`;
  if (move.direction === "upload" && move.bytes >= move.size) return "all of it is at the node, which makes the copies";
  const rate = move.rate();
  const left = rate > 0 ? `, ${spanText((move.size - move.bytes) / rate)} to go` : "";
  return `${sizeText(move.bytes)} of ${sizeText(move.size)}${rate > 0 ? `, ${sizeText(rate)}/s` : ""}${left}`;
}

// The list of moves of one view, and what a screen reader hears of them: how they ended.
function movesView(shared) {
  const list = el("ul", { class: "dfs-moves", "aria-label": "uploads and downloads of this browser" });
  const clear = button("Clear finished", "Take the finished ones off this list", () => shared.clear());
  const heading = el("h4", { class: "dfs-heading", text: "This browser's uploads and downloads" });
  const heard = el("div", { class: "dfs-hidden", role: "status", "aria-live": "polite" });
  const box = el("div", { hidden: true }, el("div", { class: "dfs-line dfs-spread" }, heading, clear), list);
  const told = new Set();
  const make = (move) => {
    const trace = el("pre", { class: "dfs-trace", hidden: true, tabindex: "0", "aria-label": "traceback" });
    const act = (label, hint, handler) => button(label, `${hint}: ${move.name}`, handler);
    const node = el("li", { class: "dfs-move" },
      el("div", { class: "dfs-move-name", text: `${move.direction === "upload" ? "↑" : "↓"} ${move.name}`, title: move.name }),
      el("div", { class: "dfs-move-state" }),
      el("progress", { max: "1", "aria-label": `progress of ${move.name}` }),
      el("div", { class: "dfs-buttons" },
        act("Stop", "Stop", () => move.stop()),
        act("Try again", "Try again", () => shared.again(move)),
        act("Details", "Show the traceback", () => (trace.hidden = !trace.hidden)),
        act("Clear", "Take it off this list", () => move.forget())),
      trace);
    return Object.assign(node, { _dfsTrace: trace });
  };
  const show = (node, move) => {
    const [, state, bar, buttons] = node.children;
    node.dataset.state = move.state;
    setText(state, moveText(move));
    setText(node._dfsTrace, move.trace);
    bar.value = move.size ? move.bytes / move.size : Number(move.state === "done");
    bar.hidden = move.state !== "moving";
    const [stop, again, details, forget] = buttons.children;
    stop.hidden = move.ended;
    again.hidden = !(move.state === "failed" || move.state === "stopped");
    details.hidden = !move.trace;
    forget.hidden = !move.ended;
    if (move.ended && !told.has(move.id)) {
      told.add(move.id);
      setText(heard, `${move.name}: ${moveText(move)}`);
    }
  };
  const showAll = (moves) => {
    box.hidden = !moves.length;
    clear.hidden = !moves.some((move) => move.ended);
    reconcile(list, moves, (move) => move.id, make, show);
  };
  shared.views.add(showAll);
  showAll(shared.list());
  return { box: el("div", {}, box, heard), cleanup: () => shared.views.delete(showAll) };
}

// A place to drop files on, and a button that picks them.
function dropZone(root, upload) {
  const chooser = el("input", { type: "file", multiple: true, class: "dfs-upload", title: "Upload files of this computer",
    "aria-label": "Choose files to upload",
    onchange() {
      upload([...chooser.files]);
      chooser.value = "";
    } });
  const hint = el("span", { class: "dfs-quiet" });
  const words = "or drop them here: they go from this computer into the network";
  setText(hint, words);
  const zone = el("div", { class: "dfs-drop" }, el("label", { class: "dfs-button dfs-primary dfs-choose" }, "Choose files…", chooser), hint);
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  let depth = 0;
  const mark = (step) => {
    depth = Math.max(0, depth + step);
    zone.classList.toggle("dfs-over", depth > 0);
  };
  const on = (type, handler) => root.addEventListener(type, (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would take a dropped file for itself
    handler(event);
  });
  on("dragenter", () => mark(1));
  on("dragleave", () => mark(-1));
  on("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  on("drop", (event) => {
    mark(-depth);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory);
    const names = new Set(folders.map((entry) => entry.name));
    setText(hint, names.size ? `${[...names].join(", ")}: folders are not stored; drop an archive of it` : words);
    upload([...event.dataTransfer.files].filter((file) => !names.has(file.name)));
  });
  return zone;
}
