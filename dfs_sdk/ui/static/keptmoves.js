const KEPT_FIELDS = ["id", "name", "size", "modified", "direction", "file", "transfer", "state", "text", "begun", "ended"];

// What a page has under way and what ended, kept by the browser for as long as the tab is open: a page that is loaded
// again knows what it lost. Names and sizes are kept, no content and no link. Where the browser keeps nothing for pages,
// or has no room, a page that is loaded again begins with an empty list; so does a copy of a tab, since the first one
// goes on with what is under way.
function keptMoves(model) {
  const key = () => `dfs-moves-${model.get("panel_id")}`; // the kernel says the id a moment after it has made the panel
  let [rows, last] = [[], ""];
  const write = (isLeft) => {
    try {
      if (rows.length) sessionStorage.setItem(key(), JSON.stringify({ isLeft, rows }));
      else sessionStorage.removeItem(key());
    } catch (error) {
      console.debug("not kept", error.message);
    }
  };
  const leave = () => write(true);
  window.addEventListener("pagehide", leave);
  return {
    load() {
      try {
        const kept = JSON.parse(sessionStorage.getItem(key()));
        return kept?.isLeft && Array.isArray(kept.rows) ? kept.rows : [];
      } catch {
        return [];
      }
    },
    save(moves) {
      rows = moves.map((move) => Object.fromEntries(KEPT_FIELDS.map((name) => [name, move[name]])));
      const text = JSON.stringify(rows);
      if (text !== last) write(false);
      last = text;
    },
    stop: () => window.removeEventListener("pagehide", leave),
  };
}
