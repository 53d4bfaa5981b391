function spanText(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

const MOVE_WORDS = { waiting: "waits for its turn" };

// What to say of an upload whose page was loaded again.
function leftText(move) {
  if (move.text) return move.text;
  if (!move.begun) return "the page was loaded again before its turn: choose the file again";
  if (!move.known) return move.stalled ? "waits for the kernel, which is busy" : "the page was loaded again: asking the node …";
  return `${sizeText(move.bytes)} of ${sizeText(move.size)}: the page was loaded again; choose the file again, and it goes on`;
}

// What to say of a move; `transfer` is the node's part of an upload, once the node has begun it.
function moveText(move, transfer) {
  if (move.state === "failed") return `failed: ${move.text}`;
  if (move.state === "done") return `${move.direction === "upload" ? "is in the network" : "downloaded"}, ${sizeText(move.size)}`;
  if (move.state === "stopped") return ["stopped", move.text].filter(Boolean).join(": ");
  if (move.state === "left") return leftText(move);
  if (move.state !== "moving") return MOVE_WORDS[move.state];
  if (transfer?.state === "paused") return `paused · ${sizeText(move.bytes)} of ${sizeText(move.size)}`;
  if (move.stalled) return "waits for the kernel, which is busy";
  if (move.awaits) return `${sizeText(move.bytes)} of ${sizeText(move.size)}; ${move.awaits}`;
  if (move.direction === "upload" && move.bytes >= move.size) return "all of it is at the node, which makes the copies";
  const rate = move.rate();
  const left = rate > 0 ? `, ${spanText((move.size - move.bytes) / rate)} to go` : "";
  return [`${sizeText(move.bytes)} of ${sizeText(move.size)}${rate > 0 ? `, ${sizeText(rate)}/s` : ""}${left}`, transfer?.sources].filter(Boolean).join(", ");
}

// One list of all that is on its way: this browser's moves, and the node's other transfers. An upload of this browser is
// a transfer of the node as well and stands here once, as a move. A screen reader hears how moves ended.
function movesView(model, shared) {
  const ask = asker(model);
  const rows = transferRows(ask);
  const list = el("ul", { class: "dfs-moves", "aria-label": "uploads and downloads of this browser" });
  const clear = button("Clear finished", "Take the finished ones off this list", (event) => {
    shared.clearAll();
    if (model.get("transfers")) ask({ kind: "clear-all" }, event.currentTarget);
  });
  const heading = el("h4", { class: "dfs-heading", text: "Uploads and downloads" });
  const heard = el("div", { class: "dfs-hidden", role: "status", "aria-live": "polite" });
  const box = el("div", { hidden: true }, el("div", { class: "dfs-line dfs-spread" }, heading, clear),
    el("div", { class: "dfs-under-way", tabindex: "0", role: "region", "aria-label": "list of uploads and downloads" }, list, rows.list));
  const told = new Set();
  let transfers = new Map();
  const send = (kind, move) => (event) => ask({ kind, transfer: move.transfer }, event.currentTarget);
  const make = (move) => {
    const trace = el("pre", { class: "dfs-trace", hidden: true, tabindex: "0", "aria-label": "traceback" });
    const name = visibleName(move.name);
    const act = (label, hint, handler) => button(label, `${hint}: ${name}`, handler);
    const buttons = {
      pause: act("Pause", "Pause", send("pause", move)),
      resume: act("Resume", "Resume", send("resume", move)),
      choose: act("Choose again", "Choose the file again", () => shared.choose(move)),
      stop: act("Stop", "Stop", () => move.stop()),
      again: act("Try again", move.direction === "download" ? "Go on from where it ended" : "Try again", () => shared.again(move)),
      details: foldButton("Details", `Show the traceback: ${name}`, trace),
      forget: act("Clear", "Take it off this list", () => shared.clear(move)),
    };
    const node = el("li", { class: "dfs-move" },
      el("div", { class: "dfs-move-name", text: `${move.direction === "upload" ? "↑" : "↓"} ${name}`, title: name }),
      el("div", { class: "dfs-move-state" }),
      el("progress", { max: "1", "aria-label": `progress of ${name}` }),
      el("div", { class: "dfs-buttons" }, ...Object.values(buttons)),
      trace);
    return Object.assign(node, { _dfsTrace: trace, _dfsButtons: buttons });
  };
  const show = (node, move) => {
    const [, state, bar] = node.children;
    const { pause, resume, choose, stop, again, details, forget } = node._dfsButtons;
    const transfer = transfers.get(move.transfer);
    node.dataset.state = move.state;
    setText(state, moveText(move, transfer));
    setText(node._dfsTrace, move.trace);
    bar.value = move.size ? move.bytes / move.size : Number(move.state === "done");
    bar.hidden = move.state !== "moving";
    const [left, broke] = [move.state === "left", move.state === "failed" || move.state === "stopped"];
    pause.hidden = move.ended || left || transfer?.state !== "running";
    resume.hidden = move.ended || left || transfer?.state !== "paused";
    choose.hidden = !(move.lost && (left || broke));
    stop.hidden = move.ended;
    again.hidden = move.lost || !broke;
    details.hidden = !move.trace;
    forget.hidden = !move.ended;
    if (move.ended && !told.has(move.id)) {
      told.add(move.id);
      setText(heard, `${visibleName(move.name)}: ${moveText(move)}`);
    }
  };
  const showAll = () => {
    const moves = shared.list();
    const own = new Set([...moves.map((move) => move.transfer), ...shared.cleared]);
    const all = model.get("transfers") || []; // the chat moves files, too, and has no list of the node's
    const others = all.filter((item) => !own.has(item.id));
    transfers = new Map(all.map((item) => [item.id, item]));
    box.hidden = !moves.length && !others.length;
    clear.hidden = !moves.some((move) => move.ended) && others.every((item) => item.under_way);
    reconcile(list, moves, (move) => `${move.id} ${move.lost}`, make, show); // its file chosen again, it is another row
    rows.show(others);
  };
  shared.views.add(showAll);
  showAll();
  return { box: el("div", {}, box, heard), showAll, cleanup: () => shared.views.delete(showAll) };
}
