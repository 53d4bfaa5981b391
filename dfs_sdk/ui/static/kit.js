// What all panels share. Foreign text reaches the page through textContent and attributes only: nothing here, and
// nothing in the panels, parses HTML.

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A name from this computer as the kernel shows those of others: what is not seen, or turns the writing around, as its
// number.
function visibleName(name) {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// An SVG element; as with `el`, foreign text comes in as `text` and attributes only. What is put together here is the
// name of SVG, no address: nothing is fetched, and a test looks for addresses.
function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http:" + "//www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// Bring the children of `parent` in line with `items`, reusing the nodes of items whose key stayed: focus, selection
// and scroll position survive an update.
function reconcile(parent, items, keyOf, make, update) {
  const known = parent._dfsNodes || (parent._dfsNodes = new Map());
  const fresh = new Map();
  items.forEach((item) => {
    const key = String(keyOf(item));
    if (fresh.has(key)) return;
    const node = known.get(key) || make(item);
    update(node, item);
    fresh.set(key, node);
  });
  for (const [key, node] of known) if (!fresh.has(key)) node.remove();
  let place = parent.firstChild;
  for (const node of fresh.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parent._dfsNodes = fresh;
}

function token() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function clock(seconds) {
  return seconds > 0 ? new Date(seconds * 1000).toLocaleTimeString([], { hour12: false }) : "";
}

function sizeText(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [count, 0];
  while (value >= 1023.5 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

// Browsers that keep the clipboard from a page let it copy what is selected.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { style: "position:fixed;opacity:0", "aria-hidden": "true", title: "to copy from", value: text });
    document.body.append(field);
    field.select();
    const fine = document.execCommand("copy");
    field.remove();
    return fine;
  }
}

function button(label, hint, onclick, kind = "") {
  return el("button", { type: "button", class: `dfs-button ${kind}`, title: hint, text: label, onclick });
}

function field(label, hint, props = {}) {
  const input = el(props.options ? "select" : "input", { title: hint, class: "dfs-input", ...props, options: null });
  const box = el("label", { class: "dfs-field" }, el("span", { class: "dfs-label", text: label }), input);
  return { box, input };
}

// A text to copy, such as a link: shown only in this view, never kept by the kernel.
function secretBox(label) {
  const input = el("input", { class: "dfs-input dfs-secret", readonly: true, "aria-label": label, title: label });
  const copied = el("span", { class: "dfs-quiet", role: "status" });
  const copy = button("Copy", `Copy: ${label}`, async () => {
    const fine = await copyText(input.value);
    input.select();
    setText(copied, fine ? "copied" : "press Ctrl+C");
  });
  const note = el("div", { class: "dfs-quiet" });
  const hide = button("Hide", `Hide: ${label}`, () => (box.hidden = true));
  const box = el("div", { class: "dfs-secret-box", hidden: true },
    el("div", { class: "dfs-line" }, el("span", { class: "dfs-label", text: label }), input, copy, hide, copied), note);
  const show = (text, remark) => {
    input.value = text;
    setText(note, remark);
    setText(copied, "");
    box.hidden = false;
    input.focus();
    input.setSelectionRange(0, text.length, "backward"); // what is seen of a long text is its beginning
  };
  return { box, show };
}

// A button that asks again before it does what cannot be undone, until it loses the focus. Neither the second click of a
// double click nor a key that is held down is an answer. Who does not see the question hears it.
function carefulButton(label, question, hint, onclick) {
  const node = button(label, hint, (event) => {
    if (!node.dataset.armed) {
      node.dataset.armed = "1";
      setText(node, question);
      node.focus(); // not every browser does so by itself
    } else if (event.detail < 2) {
      disarm();
      onclick(node);
    }
  });
  const disarm = () => {
    delete node.dataset.armed;
    setText(node, label);
  };
  node.setAttribute("aria-live", "polite");
  node.addEventListener("keydown", (event) => event.repeat && event.preventDefault());
  // Where a press of the mouse takes the focus from buttons, the answer must not take back its question.
  node.addEventListener("mousedown", (event) => node.dataset.armed && event.preventDefault());
  node.addEventListener("blur", disarm);
  return node;
}

// A button that unfolds something that is hidden, and folds it again; `opened` is called each time it unfolds.
function foldButton(label, hint, box, opened = () => {}) {
  const show = () => node.setAttribute("aria-expanded", String(!box.hidden));
  const node = button(label, hint, () => {
    box.hidden = !box.hidden;
    show();
    if (!box.hidden) opened();
  });
  show();
  return node;
}

// Arrow keys, Home and End walk along the children of `list`; the tab key stops at the chosen one only.
function rove(list, choose) {
  list.addEventListener("keydown", (event) => {
    const all = [...list.children];
    const at = all.indexOf(event.target.closest("[role=tab]"));
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const next = step ? (at + step + all.length) % all.length : { Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    all[next].focus();
    choose(all[next]);
  });
}

const SECOND_HELLO_SECONDS = 3;
const ANSWER_SECONDS_MAX = 120;

// Requests of this panel that wait for their answer, and since when.
const waiting = new Map();

// Send a request and learn when the kernel is done with it: resolves to whether it went well.
function asker(model) {
  const open = new Map();
  const settle = (ref, fine) => {
    waiting.delete(ref);
    open.get(ref)?.(fine);
    open.delete(ref);
  };
  model.on("msg:custom", (content) => content.kind === "done" && open.has(content.ref) && settle(content.ref, content.fine));
  return (content, node = null, ref = token()) => {
    if (node) node.disabled = true;
    return new Promise((resolve) => {
      open.set(ref, resolve);
      setTimeout(settle, ANSWER_SECONDS_MAX * 1000, ref, false);
      waiting.set(ref, Date.now());
      model.send({ ...content, ref });
    }).finally(() => {
      if (node) node.disabled = false;
    });
  };
}

// The strip with errors: in words, the traceback behind a click.
function problemStrip(model) {
  const strip = el("div", { class: "dfs-problems", role: "alert" });
  const make = (problem) => {
    const trace = el("pre", { class: "dfs-trace", hidden: true, tabindex: "0", "aria-label": "traceback" });
    trace.dataset.number = problem.number;
    return el("div", { class: "dfs-problem" },
      el("div", { class: "dfs-line" },
        el("span", { class: "dfs-problem-text", text: `Could not ${problem.what}: ${problem.text}` }),
        foldButton("Details", "Show the traceback", trace, () => model.send({ kind: "traceback", number: problem.number })),
        button("Dismiss", "Remove this message", () => model.send({ kind: "dismiss", number: problem.number, ref: token() }))),
      trace);
  };
  const update = () => reconcile(strip, model.get("problems"), (each) => each.number, make, () => {});
  const onMessage = (content) => {
    if (content.kind !== "traceback") return;
    for (const trace of strip.querySelectorAll(".dfs-trace"))
      if (trace.dataset.number === String(content.number)) setText(trace, content.text);
  };
  model.on("change:problems", update);
  model.on("msg:custom", onMessage);
  update();
  return strip;
}

const TICK_SECONDS = 1;
const SILENCE_SECONDS = 3;
const PING_SECONDS = 15;
const GOODBYE_SECONDS = 1;
const KERNEL_ENDS = {
  dead: "The kernel has ended. What stands here is the last it said: restart the kernel and run the cell again.",
  terminating: "The kernel is ending. What stands here is the last it said.",
  restarting: "The kernel was restarted. What stands here is the last the old one said: run the cell again.",
  autorestarting: "The kernel ended by itself. What stands here is the last it said: run the cell again.",
};

// What the page knows of the kernel: since when a cell runs, by the kernel's own words about the requests of cells (what
// widgets ask makes it busy, too, and must not count), and how it ended, which a new kernel in its place does not undo.
// A kernel that is busy when the view is drawn may run a cell or serve a widget: whichever it was, its next idle ends it.
function kernelWatch(known) {
  let since = known.status === "busy" ? Date.now() : 0;
  let guessed = since > 0;
  let end = KERNEL_ENDS[known.status] || "";
  const listen = (_, { msg, direction }) => {
    if (direction === "send" || msg.header.msg_type !== "status") return;
    const [idle, ofCell] = [msg.content.execution_state === "idle", msg.parent_header.msg_type === "execute_request"];
    if (!ofCell && !(guessed && idle)) return;
    guessed = false;
    since = idle ? 0 : since || Date.now();
  };
  const follow = (_, status) => (end = end || KERNEL_ENDS[status] || "");
  known.anyMessage?.connect(listen);
  known.statusChanged?.connect(follow);
  return {
    since: () => since,
    end: () => end,
    cut: () => Boolean(known.connectionStatus) && known.connectionStatus !== "connected",
    stop() {
      known.anyMessage?.disconnect(listen);
      known.statusChanged?.disconnect(follow);
    },
  };
}

// Says when the kernel is gone, cut off, or does not answer. An idle panel asks nothing, so that hubs may cull the
// kernel; it asks while a cell runs or an answer is due, and now and then where the page does not know the kernel.
function heart(model, root) {
  const line = el("div", { class: "dfs-heart", role: "alert", hidden: true });
  const known = model.widget_manager?.kernel;
  const kernel = known ? kernelWatch(known) : null;
  let [heardAt, askedAt] = [Date.now(), 0];
  const heard = () => {
    heardAt = Date.now();
    askedAt = 0;
  };
  model.on("change", heard);
  model.on("msg:custom", heard);
  const isDue = (now) => {
    const quiet = now - heardAt;
    if (quiet < 1000 * SILENCE_SECONDS) return false;
    const since = kernel ? kernel.since() : 0;
    const owed = [...waiting.values()].some((at) => now - at > 1000 * SILENCE_SECONDS);
    return owed || (kernel ? since && now - since > 1000 * SILENCE_SECONDS : quiet > 1000 * PING_SECONDS);
  };
  const words = (now) => {
    if (kernel?.end()) return kernel.end();
    if (kernel?.cut()) return "No connection to the kernel: what stands here may be old.";
    if (!askedAt && isDue(now)) {
      askedAt = now;
      model.send({ kind: "ping" });
    }
    const silent = askedAt ? Math.round((now - askedAt) / 1000) : 0;
    if (silent < SILENCE_SECONDS) return "";
    return `The kernel has not answered for ${silent} s: a cell is running, or it hangs. What you ask for waits for it.`;
  };
  const tick = () => {
    if (!root.isConnected || root.offsetParent === null || document.visibilityState !== "visible") return;
    const text = words(Date.now());
    setText(line, text);
    line.hidden = !text;
    line.dataset.own = String(waiting.size > 0);
  };
  const timer = setInterval(tick, 1000 * TICK_SECONDS);
  return {
    line,
    stop() {
      clearInterval(timer);
      kernel?.stop();
    },
  };
}

// Make the module of a panel. `build` gets the model, the root and what the model keeps across views; it returns a
// function per trait that shows it, and `cleanup` if its view must be forgotten.
function panel(name, label, build, start = () => ({})) {
  return () => {
    let shared = {};
    return {
      initialize({ model }) {
        shared = start(model) || {};
      },
      render({ model, el: host }) {
        const root = el("section", { class: `dfs-panel dfs-${name} tex2jax_ignore mathjax_ignore`, "aria-label": label });
        host.replaceChildren(root);
        for (const type of ["keydown", "keyup", "keypress"]) root.addEventListener(type, keepFromNotebook);
        const { cleanup, ...showers } = build(model, root, shared);
        const strip = problemStrip(model);
        const pulse = heart(model, root);
        const fault = el("div", { class: "dfs-fault", role: "alert", hidden: true });
        root.append(pulse.line, strip, fault);
        for (const [trait, show] of Object.entries(showers)) {
          const safely = () => {
            try {
              show();
              fault.hidden = true;
            } catch (error) {
              setText(fault, `This panel could not show what the kernel said: ${error.message}`);
              fault.hidden = false;
              console.error("anywidget", error);
            }
          };
          model.on(`change:${trait}`, safely);
          safely();
        }
        model.send({ kind: "hello" });
        // A kernel that can serve widgets beside a running cell is ready for it a moment later: greet it again then.
        const again = setTimeout(() => model.send({ kind: "hello" }), 1000 * SECOND_HELLO_SECONDS);
        return () => {
          clearTimeout(again);
          pulse.stop();
          if (cleanup) cleanup();
        };
      },
    };
  };
}

// Tell the kernel that a view is gone, unless its panel is soon closed as well, as when its cell runs again. JupyterLab
// stops the subshell of a panel that closes, and ipykernel complains in the cell about a message it was then handling.
function sayGone(model, view) {
  setTimeout(() => model.send({ kind: "unlook", view }), 1000 * GOODBYE_SECONDS);
}

// The notebook must not take what is typed in a panel for one of its own shortcuts.
function keepFromNotebook(event) {
  if (event.target.matches("input, textarea, select, [role=application]")) event.stopPropagation();
}
