const HEIGHT = 340;
const [WIDTH_MIN, WIDTH_MAX] = [280, 900];
const NAMES_DRAWN_MAX = 24;
const RTT_FAR = 0.5;

// From the middle outwards by round trip, on a logarithmic scale: 1 ms is near, half a second is the rim.
const reach = (rtt) => {
  const part = rtt > 0 ? Math.log10(1 + rtt * 1000) / Math.log10(1 + RTT_FAR * 1000) : 0.7;
  return 0.42 + 0.58 * Math.min(1, part);
};

const place = (index, count, rtt, width) => {
  const angle = (2 * Math.PI * index) / count - Math.PI / 2;
  const part = reach(rtt);
  const [rx, ry] = radii(part, width);
  return { x: width / 2 + Math.cos(angle) * rx, y: HEIGHT / 2 + Math.sin(angle) * ry, angle };
};

// Room is left beside the picture for names.
const radii = (part, width) => [part * (width / 2 - Math.min(110, width / 5)), part * (HEIGHT / 2 - 34)];

// How far out a round trip is drawn: faint rings, named where no peer stands, half way between two of them, the nearest
// such place to the bottom.
const drawRings = (group, width, count) => {
  const angle = (2 * Math.PI * (Math.floor(count / 2) + 0.5)) / count - Math.PI / 2;
  for (const [rtt, label] of [[0.001, "1 ms"], [0.02, "20 ms"], [RTT_FAR, "500 ms"]]) {
    const [rx, ry] = radii(reach(rtt), width);
    group.append(svg("ellipse", { cx: width / 2, cy: HEIGHT / 2, rx, ry, class: "dfs-net-ring" }),
      svg("text", { x: width / 2 + Math.cos(angle) * rx, y: HEIGHT / 2 + Math.sin(angle) * ry - 4, "text-anchor": "middle", class: "dfs-net-scale", text: label }));
  }
};

const UP = ["alive", "lagging", "busy"];

// A peer's sign differs by shape as well as by colour: a full disc is here, a square is busy, a ring is silent.
const sign = (peer, x, y) => peer.state === "busy"
  ? svg("rect", { x: x - 7, y: y - 7, width: 14, height: 14, rx: 2, class: "dfs-net-sign" })
  : svg("circle", { cx: x, cy: y, r: 8, class: "dfs-net-sign" });

const draw = (peers, name, width, say) => {
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "dfs-net", role: "group", "aria-label": "this node and its peers" });
  const [rings, lines, signs] = [svg("g", { "aria-hidden": "true" }), svg("g"), svg("g")];
  picture.append(rings, lines, signs);
  if (peers.length) drawRings(rings, width, peers.length);
  peers.forEach((peer, index) => {
    const { x, y, angle } = place(index, peers.length, peer.rtt, width);
    lines.append(svg("line", { x1: width / 2, y1: HEIGHT / 2, x2: x, y2: y, class: "dfs-net-line", "data-state": peer.state }));
    const node = svg("g", { class: "dfs-net-peer", "data-state": peer.state, tabindex: index ? "-1" : "0", role: "img", "aria-label": peer.about },
      svg("title", { text: peer.about }), sign(peer, x, y));
    if (!UP.includes(peer.state)) node.classList.add("dfs-net-silent");
    if (peers.length <= NAMES_DRAWN_MAX) {
      const side = Math.cos(angle);
      const anchor = side > 0.3 ? "start" : side < -0.3 ? "end" : "middle";
      const shift = anchor === "start" ? 13 : anchor === "end" ? -13 : 0;
      const drop = anchor === "middle" ? (Math.sin(angle) < 0 ? -14 : 22) : 4;
      node.append(svg("text", { x: x + shift, y: y + drop, "text-anchor": anchor, text: peer.name.length > 16 ? `${peer.name.slice(0, 15)}…` : peer.name }));
    }
    const tell = () => say(peer.about);
    node.addEventListener("mouseenter", tell);
    node.addEventListener("focus", tell);
    signs.append(node);
  });
  signs.append(svg("g", { class: "dfs-net-peer dfs-net-self" }, svg("circle", { cx: width / 2, cy: HEIGHT / 2, r: 12, class: "dfs-net-sign" }),
    svg("text", { x: width / 2, y: HEIGHT / 2 + 28, "text-anchor": "middle", text: name })));
  return picture;
};

// The arrow keys go from peer to peer; one stop for the tab key.
const walk = (holder) => holder.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const all = [...holder.querySelectorAll(".dfs-net-peer[tabindex]")];
  const at = all.indexOf(event.target);
  if (!step || at < 0) return;
  event.preventDefault();
  event.stopPropagation();
  const next = all[(at + step + all.length) % all.length];
  all.forEach((node) => node.setAttribute("tabindex", node === next ? "0" : "-1"));
  next.focus();
});

const LEVEL_SIGNS = { good: "✓", plain: "·", warning: "!" };

const view = (model, root) => {
  const holder = el("div", { class: "dfs-net-holder" });
  const about = el("div", { class: "dfs-quiet dfs-net-about", role: "status" });
  const found = el("ul", { class: "dfs-findings", "aria-label": "what this node found out about its network" });
  const news = el("ol", { class: "dfs-news", "aria-label": "newest first" });
  const topic = field("Show", "Which events to show", { options: true });
  topic.input.addEventListener("change", () => showNews());
  const none = el("div", { class: "dfs-empty", text: "Nothing has happened yet." });
  walk(holder);
  root.append(el("div", { class: "dfs-net-columns" },
    el("div", {}, el("h4", { class: "dfs-heading", text: "Topology" }), holder, about),
    el("div", {}, el("h4", { class: "dfs-heading", text: "What this node found" }), found)),
    el("div", { class: "dfs-line dfs-spread" }, el("h4", { class: "dfs-heading", text: "Events" }), topic.box),
    el("div", { class: "dfs-scroll dfs-short", tabindex: "0", role: "region", "aria-label": "events" }, news, none));

  const hint = () => {
    const total = model.get("peers_total");
    const drawn = model.get("peers").length;
    if (!total) return "No peers yet.";
    const rest = total > drawn ? ` ${drawn} of ${total} are drawn.` : "";
    return `The closer to the middle, the faster a peer answers.${rest} Point at one, or go there with the arrow keys.`;
  };
  let drawn = "";
  const showPeers = () => {
    const width = Math.round(Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, holder.clientWidth || WIDTH_MAX)));
    const key = JSON.stringify([model.get("peers"), model.get("name"), width]);
    if (key === drawn) return;
    drawn = key;
    const focused = [...holder.querySelectorAll(".dfs-net-peer[tabindex]")].indexOf(document.activeElement);
    holder.replaceChildren(draw(model.get("peers"), model.get("name"), width, (text) => setText(about, text)));
    setText(about, hint());
    holder.hidden = !model.get("peers").length;
    if (focused >= 0) holder.querySelectorAll(".dfs-net-peer[tabindex]")[focused]?.focus();
  };
  const showNews = () => {
    const all = model.get("news");
    const topics = [...new Set(all.map((item) => item.topic))].sort();
    const chosen = topic.input.value;
    reconcile(topic.input, ["", ...topics], (each) => each || "-", (each) => el("option", { value: each, text: each || "all events" }), () => {});
    topic.input.value = topics.includes(chosen) ? chosen : "";
    const seen = new Map();
    const items = all.filter((item) => !topic.input.value || item.topic === topic.input.value).map((item) => {
      const key = `${item.at} ${item.text}`;
      seen.set(key, (seen.get(key) || 0) + 1);
      return { ...item, key: `${key} ${seen.get(key)}` };
    });
    none.hidden = items.length > 0;
    topic.box.hidden = !all.length;
    reconcile(news, items, (item) => item.key,
      (item) => el("li", {}, el("time", { text: clock(item.at) }), el("span", { class: "dfs-chip", text: item.topic }),
        el("span", { text: item.text })), () => {});
  };
  const sizes = new ResizeObserver(() => holder.clientWidth && showPeers());
  sizes.observe(root);
  return {
    cleanup: () => sizes.disconnect(),
    peers: showPeers,
    peers_total: showPeers,
    name: showPeers,
    findings() {
      reconcile(found, model.get("findings"), (item) => item.text,
        (item) => el("li", { "data-level": item.level }, el("span", { class: "dfs-level", "aria-hidden": "true", text: LEVEL_SIGNS[item.level] || "·" }),
          el("span", { text: item.text })), (node, item) => (node.dataset.level = item.level));
    },
    news: showNews,
  };
};

export default panel("network", "Network", view);
