const PIECE_BYTES = 1048576;
const WINDOW_PIECES = 8;
const MOVING_MAX = 3;
const WAITING_MAX = 1000;
const FINISHED_MAX = 100;
const STALL_SECONDS = 5;
const BUSY_SECONDS = 12;
const RATE_SECONDS = 5;
const ACKNOWLEDGED_PIECES = 4; // in one message, of a fast download; half a window, so that pieces stay on their way
const ACKNOWLEDGED_SECONDS = 0.25;
const PICKER_BYTES_MIN = 256 * PIECE_BYTES;
const SHOWN_SECONDS_MIN = 0.1;

// Moves are files on their way between this browser and the node, in a queue: a few move, the others wait. They belong
// to the model, not to a view: they go on while the cell is shown elsewhere, and every view shows them. A page that is
// loaded again finds them as `keptMoves` remembers them, without the files, which the user has to choose again.
function movesOf(model) {
  const all = new Map();
  const kept = keptMoves(model);
  const views = new Set();
  const cleared = new Set(); // transfers of the node that left the list with their move
  let timer = 0;
  // A page that is being left has no connection any more; one that stays asks again after a while (`nudge`).
  const send = (content, ...buffers) => {
    try {
      model.send(content, undefined, buffers);
    } catch (error) {
      console.debug("not sent", content.kind, error.message);
    }
  };
  const changed = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      kept.save([...all.values()]);
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
    finished.slice(0, Math.max(0, finished.length - FINISHED_MAX)).forEach(discard);
    changed();
  };
  const discard = (move) => {
    all.delete(move.id);
    move.release();
  };
  const end = (move, state, text = "", trace = "") => {
    if (move.ended) return;
    Object.assign(move, { state, text, trace, ended: true });
    move.finish(state === "done");
    advance();
  };
  const isStirred = (move) => move.state === "moving" || (move.state === "left" && move.begun && !move.known);
  const stir = setInterval(() => [...all.values()].filter(isStirred).forEach((move) => {
    const silent = (Date.now() - move.movedAt) / 1000;
    move.stalled = silent > BUSY_SECONDS;
    if (silent > STALL_SECONDS) move.nudge();
    if (move.stalled) changed();
  }), 1000 * STALL_SECONDS);
  const stop = () => {
    clearInterval(stir);
    kept.stop();
  };
  model.on("destroy", stop);
  model.on("comm:close", stop);

  // What uploads and downloads share; `begin`, `nudge`, `receive` and `finish` are their own.
  const enter = (name, size, own, again, id = token()) => {
    const now = Date.now();
    const move = {
      id, name, size, modified: 0, file: "", bytes: 0, transfer: 0, state: "waiting", text: "", trace: "",
      begun: false, ended: false, lost: false, stalled: false, movedAt: now, samples: [[now, 0]], finish: () => {}, release: () => {}, again,
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
        if (move.begun) send({ kind: "stop", move: move.id });
        end(move, "stopped");
      },
      fail: (text) => {
        if (move.begun) send({ kind: "stop", move: move.id });
        end(move, "failed", text);
      },
    };
    own(move);
    all.set(move.id, move);
    return move;
  };

  // `left` is what the page had of it before it was loaded again, if the node still waits for the rest.
  function upload(file, left = null) {
    const count = Math.ceil(file.size / PIECE_BYTES);
    const first = left ? left.taken : 0;
    enter(file.name, file.size, (move) => {
      let [sent, taken, reading, asked] = [first, first, 0, false];
      const pump = async () => {
        while (!move.ended && sent < count && sent < taken + WINDOW_PIECES) {
          const index = sent++;
          reading += 1;
          try {
            const piece = await file.slice(index * PIECE_BYTES, (index + 1) * PIECE_BYTES).arrayBuffer();
            if (!move.ended) send({ kind: "piece", move: move.id, index }, piece);
          } catch {
            move.fail("the browser cannot read the file: it is a folder, was changed or is gone");
          }
          reading -= 1;
        }
      };
      Object.assign(move, {
        direction: "upload",
        modified: file.lastModified,
        begin() {
          move.samples = [[Date.now(), 0]];
          move.movedAt = Date.now();
          move.begun = true;
          send({ kind: "upload", move: move.id, name: file.name, size: file.size });
        },
        nudge() {
          if (reading) return;
          asked = true;
          send({ kind: "where", move: move.id });
        },
        receive(content) {
          if (content.kind !== "upload-next") return;
          if (content.next > taken || (!count && !asked)) move.moved(content.next * PIECE_BYTES);
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
      if (!left) return;
      Object.assign(move, { state: "moving", begun: true, transfer: left.transfer, bytes: left.bytes, samples: [[Date.now(), left.bytes]] });
      move.nudge();
    }, () => upload(file), left?.id);
  }

  // A move of this page from before it was loaded again. Of an upload that had begun the node says how far it is.
  const remember = (row) => {
    const again = row.direction === "upload" ? () => {} : () => download({ id: row.file, name: row.name, bytes: row.size });
    enter(row.name, row.size, (move) => {
      Object.assign(move, row, { lost: row.direction === "upload", nudge: () => send({ kind: "where", move: move.id }), receive() {} });
      if (move.ended) return;
      if (row.direction === "download") {
        send({ kind: "stop", move: move.id });
        Object.assign(move, { state: "stopped", ended: true, text: "the page was loaded again, and what had come is gone" });
        return;
      }
      Object.assign(move, { state: "left", text: "", taken: 0, known: false });
      move.receive = (content) => {
        if (content.kind !== "upload-next") return;
        Object.assign(move, { known: true, stalled: false, taken: content.next, bytes: Math.min(content.next * PIECE_BYTES, move.size) });
        if (move.bytes === move.size) move.state = "moving"; // the node has it all, and says when the copies are made
        changed();
      };
      if (move.begun) move.nudge();
    }, again, row.id);
  };
  const isOf = (file) => (move) =>
    move.lost && move.state !== "done" && move.name === file.name && move.size === file.size && move.modified === file.lastModified;

  async function download(row, kept = null) {
    kept ||= { parts: [], sink: null, next: 0, writing: Promise.resolve(), broken: false, released: false };
    if (!kept.next && !kept.sink && row.bytes >= PICKER_BYTES_MIN && window.showSaveFilePicker) {
      try {
        kept.sink = await (await window.showSaveFilePicker({ suggestedName: row.name })).createWritable();
      } catch (error) {
        if (error.name === "AbortError") return;
      }
    }
    enter(row.name, row.bytes, (move) => fetchInto(kept, move, row), () => download(row, kept.broken ? null : kept));
    advance();
  }

  // What came of a download that failed or was stopped is kept until it leaves the list: a second attempt goes on there.
  // The same file has the same bytes for ever, and the node verifies each chunk before it hands out a piece of it.
  const fetchInto = (kept, move, row) => {
    let [next, said, saidAt, later] = [kept.next, kept.next, 0, 0];
    const total = Math.ceil(row.bytes / PIECE_BYTES);
    const say = (count) => {
      if (move.ended) return;
      [said, saidAt] = [count, Date.now()];
      send({ kind: "ack", move: move.id, next: count });
    };
    const acknowledge = (count) => {
      clearTimeout(later);
      const wait = saidAt + 1000 * ACKNOWLEDGED_SECONDS - Date.now();
      if (wait > 0 && count - said < ACKNOWLEDGED_PIECES && count < total) later = setTimeout(say, wait, count);
      else say(count);
    };
    const keep = async (piece, count) => {
      if (kept.broken || kept.released) return;
      if (kept.sink) await kept.sink.write(piece);
      else kept.parts.push(piece);
      kept.next = count;
      acknowledge(count);
    };
    const broke = (error) => {
      kept.broken = true;
      kept.sink?.abort().catch(() => {});
      move.fail(`the browser cannot write the file: ${error.message}`);
    };
    Object.assign(move, {
      direction: "download",
      file: row.id,
      async begin() {
        move.movedAt = Date.now();
        move.begun = true;
        await kept.writing;
        next = kept.next;
        move.bytes = Math.min(next * PIECE_BYTES, row.bytes);
        move.samples = [[Date.now(), move.bytes]];
        if (!move.ended) send({ kind: "download", move: move.id, file: row.id, first: next });
      },
      nudge: () => send({ kind: "ack", move: move.id, next }),
      receive(content, buffers) {
        if (content.kind === "download-waits") {
          Object.assign(move, { movedAt: Date.now(), stalled: false, awaits: content.text }); // the kernel is there
          changed();
          return;
        }
        if (content.kind !== "download-piece" || content.index !== next) return;
        next += 1;
        const [count, piece] = [next, new Blob([buffers[0]])];
        move.moved(count * PIECE_BYTES);
        kept.writing = kept.writing.then(() => keep(piece, count)).catch(broke);
      },
      async finish(fine) {
        if (!fine) return;
        if (!kept.sink) {
          save(row.name, kept.parts);
          kept.parts.length = 0;
          return;
        }
        try {
          await kept.writing;
          await kept.sink.close();
        } catch (error) {
          kept.broken = true;
          Object.assign(move, { state: "failed", text: `the browser cannot write the file: ${error.message}` });
          changed();
        }
      },
      release() {
        kept.released = true;
        if (move.state !== "done") kept.writing.then(() => kept.sink?.abort()).catch(() => {}); // it may be closed already
      },
    });
  };

  model.on("msg:custom", (content, buffers) => {
    const move = all.get(content.move);
    if (!move || move.ended) return;
    if (content.kind === "move-done") {
      move.bytes = move.size;
      end(move, "done");
    } else if (content.kind === "move-stopped") end(move, "stopped");
    else if (content.kind === "move-failed") end(move, "failed", content.text, content.trace);
    else if (content.kind === "upload-transfer") {
      move.transfer = content.transfer;
      changed();
    } else move.receive(content, buffers);
  });
  kept.load().forEach(remember);
  changed();
  const drop = (move) => {
    cleared.add(move.transfer);
    discard(move);
    if (move.transfer) send({ kind: "clear", transfer: move.transfer, ref: token() });
  };
  return {
    views,
    list: () => [...all.values()],
    download,
    upload(files) {
      for (const file of files) {
        const before = [...all.values()].find(isOf(file));
        if (before?.known && !before.ended) {
          upload(file, before);
          continue;
        }
        if (before) drop(before);
        if ([...all.values()].filter((move) => move.state === "waiting").length < WAITING_MAX) upload(file);
        else enter(file.name, file.size, (move) => Object.assign(move, { direction: "upload" }), () => upload(file))
          .fail(`${WAITING_MAX} files wait already: add it when some are done`);
      }
      advance();
    },
    // Choose the file of an upload again, which a page that was loaded again has no more.
    choose(move) {
      const chooser = el("input", { type: "file", title: `Choose ${visibleName(move.name)} again`, onchange: () => {
        const [file] = chooser.files;
        if (isOf(file)(move)) return this.upload([file]);
        move.text = `${visibleName(file.name)} is another file, or it was changed: choose ${visibleName(move.name)} as it was`;
        changed();
      } });
      chooser.click();
    },
    cleared,
    clear(move) {
      drop(move);
      changed();
    },
    again(move) {
      cleared.add(move.transfer);
      all.delete(move.id);
      if (move.transfer) send({ kind: "clear", transfer: move.transfer, ref: token() });
      move.again();
      advance();
    },
    clearAll() {
      [...all.values()].filter((move) => move.ended).forEach((move) => {
        cleared.add(move.transfer);
        discard(move);
      });
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
