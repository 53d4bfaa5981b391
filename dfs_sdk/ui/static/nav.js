const ICONS = {
  files: "M3 2h7l3 3v9H3z M10 2v3h3",
  chunks: "M2 2h5v5H2z M9 2h5v5H9z M2 9h5v5H2z M9 9h5v5H9z",
  peers: "M8 2a2.5 2.5 0 1 1 0 5a2.5 2.5 0 0 1 0-5z M3 14c0-3 2-5 5-5s5 2 5 5",
  chat: "M2 3h12v8H7l-3 3v-3H2z",
  network: "M8 2v4 M3 14l5-8l5 8 M6.5 2h3v3h-3z M1.5 12h3v3h-3z M11.5 12h3v3h-3z",
};

// A page is an element of the dashboard: this list turns to it in its own view, without the kernel.
const view = (model, root) => {
  const id = token();
  const list = el("div", { class: "dfs-nav-list", role: "tablist", "aria-label": "Pages of this node", "aria-orientation": "vertical" });
  root.append(list);
  let chosen = model.get("first");
  let watcher = null;
  const board = () => root.closest(".dfs-dashboard");

  const wire = () => {
    const home = board();
    if (!home) return false;
    home.dataset.page = chosen;
    const missing = model.get("pages").filter((page) => {
      const node = home.querySelector(`.dfs-page-${page.key}`);
      if (!node) return true;
      node.id = `${id}-${page.key}`;
      node.setAttribute("role", "tabpanel");
      node.setAttribute("aria-labelledby", `${id}-tab-${page.key}`);
      return false;
    });
    return missing.length === 0;
  };
  // The view is made before it is put into the page, and the pages of the dashboard may come later still.
  const settle = () => {
    if (stopped || wire()) return;
    if (!board()) {
      requestAnimationFrame(settle);
      return;
    }
    watcher = new MutationObserver(() => wire() && watcher.disconnect());
    watcher.observe(board(), { childList: true, subtree: true });
  };
  let stopped = false;

  const choose = (node) => {
    chosen = node.dataset.key;
    wire();
    show();
  };
  const make = (page) => {
    const node = el("button", { type: "button", role: "tab", class: "dfs-nav-item", id: `${id}-tab-${page.key}`,
      "aria-controls": `${id}-${page.key}`, onclick: () => choose(node) });
    node.dataset.key = page.key;
    node.append(svg("svg", { viewBox: "0 0 16 16", class: "dfs-icon", "aria-hidden": "true" }, svg("path", { d: ICONS[page.key] || "" })),
      el("span", { class: "dfs-nav-title", text: page.title }), el("span", { class: "dfs-badge", hidden: true }));
    return node;
  };
  const update = (node, page) => {
    const badge = node.querySelector(".dfs-badge");
    setText(badge, page.mark);
    badge.hidden = !page.mark;
    node.title = page.words || page.title;
    node.setAttribute("aria-label", page.words ? `${page.title}: ${page.words}` : page.title);
    const here = page.key === chosen;
    node.setAttribute("aria-selected", String(here));
    node.tabIndex = here ? 0 : -1;
  };
  const show = () => reconcile(list, model.get("pages"), (page) => page.key, make, update);
  rove(list, choose);
  settle();
  return {
    pages: show,
    cleanup() {
      stopped = true;
      if (watcher) watcher.disconnect();
    },
  };
};

export default panel("nav", "Pages", view);
