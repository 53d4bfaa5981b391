const PIECE_BYTES = 1048576;
const WINDOW_PIECES = 4;
const STALL_SECONDS = 10;
const PICKER_BYTES_MIN = 256 * PIECE_BYTES;

// Uploads and downloads belong to the model, not to a view: they go on while the cell is shown elsewhere.
function transfers(model) {
  const moving = new Map();
  const stir = setInterval(() => moving.forEach((each) => each.stir()), 1000 * STALL_SECONDS / 2);
  model.on("destroy", () => clearInterval(stir));
  model.on("comm:close", () => clearInterval(stir));
  const ask = asker(model);

  async function upload(file, changed) {
    const move = token();
    const count = Math.ceil(file.size / PIECE_BYTES);
    let [sent, acknowledged, movedAt, ended] = [0, 0, Date.now(), false];
    const pump = async () => {
      while (!ended && sent < count && sent < acknowledged + WINDOW_PIECES) {
        const index = sent++;
        let piece;
        try {
          piece = await file.slice(index * PIECE_BYTES, (index + 1) * PIECE_BYTES).arrayBuffer();
        } catch {
          model.send({ kind: "stop", move });
          return;
        }
        if (!ended) model.send({ kind: "piece", move, index }, undefined, [piece]);
      }
    };
    const entry = {
      name: file.name,
      part: 0,
      stop: () => model.send({ kind: "stop", move }),
      stir() {
        if (Date.now() - movedAt < 1000 * STALL_SECONDS) return;
        movedAt = Date.now();
        sent = acknowledged;
        pump();
      },
      receive(content) {
        if (content.kind !== "upload-next") return;
        if (content.next > acknowledged) movedAt = Date.now();
        acknowledged = Math.max(acknowledged, content.next);
        sent = Math.max(sent, acknowledged);
        entry.part = count ? acknowledged / count : 1;
        changed();
        pump();
      },
    };
    moving.set(move, entry);
    changed();
    await ask({ kind: "upload", move, name: file.name, size: file.size });
    ended = true;
    moving.delete(move);
    changed();
  }

  async function download(row, changed) {
    const move = token();
    let sink = null;
    if (row.bytes >= PICKER_BYTES_MIN && window.showSaveFilePicker) {
      try {
        sink = await (await window.showSaveFilePicker({ suggestedName: row.name })).createWritable();
      } catch (error) {
        if (error.name === "AbortError") return;
      }
    }
    let [parts, next, pieces, movedAt, writing] = [[], 0, 1, Date.now(), Promise.resolve()];
    const entry = {
      name: row.name,
      part: 0,
      stop: () => model.send({ kind: "stop", move }),
      stir() {
        if (Date.now() - movedAt < 1000 * STALL_SECONDS) return;
        movedAt = Date.now();
        model.send({ kind: "ack", move, next });
      },
      receive(content, buffers) {
        if (content.kind === "download-begin") pieces = content.pieces;
        if (content.kind !== "download-piece" || content.index !== next) return;
        next += 1;
        movedAt = Date.now();
        entry.part = next / pieces;
        const piece = new Blob([buffers[0]]);
        if (!sink) parts.push(piece);
        writing = writing.then(() => sink && sink.write(piece)).then(
          () => model.send({ kind: "ack", move, next: content.index + 1 }),
          () => model.send({ kind: "stop", move }));
        changed();
      },
    };
    moving.set(move, entry);
    changed();
    const fine = await ask({ kind: "download", move, file: row.id });
    moving.delete(move);
    changed();
    if (sink) await (fine ? sink.close() : sink.abort());
    else if (fine) save(row.name, parts);
  }

  const views = new Set();
  const changed = () => views.forEach((show) => show([...moving].map(([id, entry]) => ({ id, entry }))));
  model.on("msg:custom", (content, buffers) => moving.get(content.move)?.receive(content, buffers));
  return {
    views,
    download: (row) => download(row, changed),
    async upload(files) {
      for (const file of files) await upload(file, changed);
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

// A row of the browser's own transfers: the piece of way between browser and kernel.
const makeMove = (item) => el("li", { class: "dfs-transfer" },
  el("span", { class: "dfs-grow" }),
  el("progress", { max: "1", "aria-label": `progress of ${item.entry.name}` }),
  button("Stop", "Stop this transfer", () => item.entry.stop()));

const showMove = (node, item) => {
  setText(node.firstChild, `${item.entry.name}, with the browser`);
  node.children[1].value = item.entry.part;
};

const makeTransfer = (model) => (item) => el("li", { class: "dfs-transfer" },
  el("span", { class: "dfs-grow" }),
  el("progress", { max: "1", "aria-label": `progress of ${item.file}` }),
  button("Cancel", "Cancel this transfer", () => model.send({ kind: "cancel", transfer: item.id })));

const showTransfer = (node, item) => {
  const tail = item.state === "running" ? [item.done, item.rate, item.eta] : [item.state, item.error || item.done];
  setText(node.firstChild, `${item.direction} of ${item.file}: ${tail.filter(Boolean).join(", ")}`);
  node.children[1].value = item.part;
  node.children[1].hidden = node.children[2].hidden = item.state !== "running";
};

function fileRow(model, ask, shared, link) {
  return (file) => {
    const cells = Array.from({ length: 5 }, () => el("td"));
    const pin = button("", "", (event) => {
      const wanted = row._dfsFile.pinned ? "unpin" : "pin";
      ask({ kind: wanted, file: row._dfsFile.id }, event.currentTarget);
    });
    const peers = el("select", { class: "dfs-input dfs-narrow-select", title: "Share with a member: only that member can open it",
      "aria-label": "Share with", onchange() {
        if (peers.value) ask({ kind: "share", file: row._dfsFile.id, peer: peers.value });
        peers.selectedIndex = 0;
      } });
    cells[4].append(el("div", { class: "dfs-buttons" },
      button("Download", "Download to this browser", () => shared.download(row._dfsFile)),
      button("Save", "Save to the kernel's disk, in dfs_downloads", (event) => ask({ kind: "save", file: row._dfsFile.id }, event.currentTarget)),
      button("Link", "Show the link: whoever has it can read the file", (event) => {
        link.wanted = row._dfsFile.name;
        ask({ kind: "link", file: row._dfsFile.id }, event.currentTarget);
      }), pin, peers,
      carefulButton("Remove", "Really remove?", "Remove the file from the network", (node) => ask({ kind: "remove", file: row._dfsFile.id }, node))));
    const row = el("tr", {}, ...cells);
    Object.assign(row, { _dfsFile: file, _dfsPin: pin, _dfsPeers: peers });
    return row;
  };
}

const showFile = (model) => (row, file) => {
  row._dfsFile = file;
  [file.name, file.size, file.copies, file.health].forEach((text, index) => setText(row.cells[index], text));
  row.cells[0].title = `${file.name}, ${file.chunks} chunks, ${file.origin}`;
  row.cells[3].dataset.health = file.health;
  setText(row._dfsPin, file.pinned ? "Unpin" : "Pin");
  row._dfsPin.title = file.pinned ? "Keep no full copy here any more" : "Keep a full copy here";
  const options = [{ id: "", label: "Share…" }, ...model.get("members")];
  reconcile(row._dfsPeers, options, (option) => option.id, (option) => el("option", { value: option.id }),
    (node, option) => setText(node, option.label));
  row._dfsPeers.hidden = options.length === 1;
};

const view = (model, root, shared) => {
  const ask = asker(model);
  const chooser = el("input", { type: "file", multiple: true, class: "dfs-input dfs-upload", title: "Upload files from this computer",
    onchange() {
      const files = [...chooser.files];
      chooser.value = "";
      shared.upload(files);
    } });
  const path = field("Put a file of the kernel's disk", "The path of a file where the kernel runs", { type: "text", placeholder: "data.parquet" });
  const paste = field("Get a file by its link", "The link that its owner gave you", { type: "text", placeholder: "dfs:…", autocomplete: "off", spellcheck: "false" });
  const form = (input, label, hint, request) => {
    const submit = button(label, hint, () => {});
    submit.type = "submit";
    return el("form", { class: "dfs-form", onsubmit(event) {
      event.preventDefault();
      ask(request(input.input.value), submit);
      input.input.value = "";
    } }, input.box, submit);
  };
  const link = { ...secretBox("Link"), wanted: "" };
  model.on("msg:custom", (content) => {
    if (content.kind === "link") link.show(content.text, `Whoever has this link can read ${link.wanted}.`);
  });
  const notice = el("div", { role: "status", "aria-live": "polite", class: "dfs-notice" });
  const total = el("h4", { class: "dfs-heading" });
  const body = el("tbody");
  const heads = ["file", "size", "copies", "health", "actions"];
  const table = el("table", { class: "dfs-table" },
    el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", text })))), body);
  const moves = el("ul", { class: "dfs-transfers", "aria-label": "transfers with the browser" });
  const running = el("ul", { class: "dfs-transfers", "aria-label": "transfers" });
  const heading = el("h4", { class: "dfs-heading", text: "Transfers" });
  root.append(
    el("div", { class: "dfs-form" }, el("label", { class: "dfs-field" },
      el("span", { class: "dfs-label", text: "Upload from this computer" }), chooser)),
    el("div", { class: "dfs-forms" },
      form(path, "Put", "Put that file into the network", (text) => ({ kind: "put-path", path: text })),
      form(paste, "Get", "Save that file to the kernel's disk, in dfs_downloads", (text) => ({ kind: "get-link", text }))),
    notice, link.box, total,
    el("div", { class: "dfs-scroll", tabindex: "0", role: "region", "aria-label": "files" }, table), heading, moves, running);
  const showMoves = (items) => {
    reconcile(moves, items, (item) => item.id, makeMove, showMove);
    showHeading();
  };
  shared.views.add(showMoves);
  const showHeading = () => (heading.hidden = !moves.children.length && !running.children.length);
  const makeFile = fileRow(model, ask, shared, link);
  const files = () => {
    const [rows, count] = [model.get("files"), model.get("files_total")];
    setText(total, count ? `${count} ${count === 1 ? "file" : "files"}${count > rows.length ? `, first ${rows.length}` : ""}` : "No files yet");
    table.hidden = !rows.length;
    reconcile(body, rows, (row) => row.id, makeFile, showFile(model));
  };
  return {
    cleanup: () => shared.views.delete(showMoves),
    files,
    files_total: files,
    members: files,
    notice() {
      setText(notice, model.get("notice"));
      notice.hidden = !model.get("notice");
    },
    transfers() {
      reconcile(running, model.get("transfers"), (item) => item.id, makeTransfer(model), showTransfer);
      showHeading();
    },
  };
};

export default panel("files", "Files", view, transfers);
