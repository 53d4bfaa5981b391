// All about one file, and all that can be done with it.
function fileSheet(model, shared, leave) {
  const ask = asker(model);
  let file = null;
  const title = el("h4", { class: "dfs-heading dfs-sheet-title", tabindex: "-1" });
  const facts = el("dl", { class: "dfs-facts" });
  const told = el("span", { class: "dfs-quiet", role: "status", "aria-live": "polite" });
  const link = secretBox("Link");
  const members = el("select", { class: "dfs-input dfs-members", title: "The member who gets the file", "aria-label": "Member to share with" });
  const give = button("Share", "Give this member the file: its link is sealed for that member alone", async (event) => {
    const [option, target] = [members.selectedOptions[0], event.currentTarget];
    if (!option || !option.value) return setText(told, "Choose a member first.");
    setText(told, "");
    const fine = await ask({ kind: "share", file: file.id, peer: option.value }, target);
    setText(told, fine ? `Shared with ${option.textContent}.` : "");
  });
  let then = () => {};
  const asked = (what) => (event) => {
    then = what;
    ask({ kind: "link", file: file.id }, event.currentTarget);
  };
  const copy = button("Copy link", "Copy the link without showing it: whoever has it can read the file", asked(async (text) =>
    setText(told, (await copyText(text)) ? "The link is copied: whoever has it can read the file." : "The browser does not let us copy: show the link.")));
  const reveal = button("Show link", "Show the link: whoever has it can read the file", asked((text) =>
    link.show(text, `Whoever has this link can read ${file.name}.`)));
  const pin = button("Pin", "Keep a full copy here, whatever happens", (event) =>
    ask({ kind: file.pinned ? "unpin" : "pin", file: file.id }, event.currentTarget));
  const remove = el("span", { class: "dfs-buttons" });
  const get = button("Save on the kernel's disk", "Save it to the folder dfs_downloads where the kernel runs", (event) =>
    ask({ kind: "save", file: file.id }, event.currentTarget));
  const close = button("Close", "Close what is shown about this file", () => {
    hide();
    leave();
  });
  const sharing = el("div", { class: "dfs-line" }, members, give);
  const box = el("section", { class: "dfs-sheet", hidden: true, "aria-label": "About the file" },
    el("div", { class: "dfs-line dfs-spread" }, title, close), facts,
    el("div", { class: "dfs-buttons" }, button("Download", "Download it to this browser", () => shared.download(file)), get, copy, reveal, pin, remove),
    sharing, told, link.box);
  const hide = () => {
    box.hidden = link.box.hidden = true;
    link.show("", "");
    link.box.hidden = true;
    file = null;
  };
  const fact = (name, text, health) => [el("dt", { text: name }), el("dd", { text, "data-health": health })];
  const show = (row, quietly = false) => {
    const other = !file || file.id !== row.id;
    if (quietly && other) return;
    file = row;
    setText(title, row.name || "(no name)");
    const since = row.at > 0 ? new Date(row.at * 1000).toLocaleString() : "unknown";
    facts.replaceChildren(...fact("size", row.chunks ? `${row.size} in ${row.chunks} ${row.chunks === 1 ? "chunk" : "chunks"}` : `${row.size}, all in the manifest`),
      ...fact("health", `${row.health}, ${row.copies} of the scarcest chunk`, row.health), ...fact("from", row.origin), ...fact("here since", since),
      ...fact("pinned here", row.pinned ? "yes: a full copy stays here" : "no"), ...fact("id", row.id));
    setText(pin, row.pinned ? "Unpin" : "Pin");
    pin.title = row.pinned ? "Keep no full copy here any more" : "Keep a full copy here, whatever happens";
    if (!other) return;
    box.hidden = false;
    link.show("", "");
    link.box.hidden = true;
    setText(told, "");
    remove.replaceChildren(row.mine
      ? carefulButton("Remove", "Really remove it for everybody?", "Delete the file and all its copies on all holders", drop)
      : carefulButton("Forget", "Really forget it here?", "Take it off this node's list: the others keep it", drop));
    title.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
    model.send({ kind: "members" });
  };
  const drop = async (node) => {
    if (await ask({ kind: "remove", file: file.id }, node)) {
      hide();
      leave();
    }
  };
  box.addEventListener("keydown", (event) => event.key === "Escape" && close.click());
  const onMessage = (content) => {
    if (content.kind === "link" && file) then(content.text);
    if (content.kind !== "members") return;
    sharing.hidden = !content.members.length;
    const options = [{ id: "", label: "Share with…" }, ...content.members];
    reconcile(members, options, (option) => option.id, (option) => el("option", { value: option.id }),
      (node, option) => setText(node, option.label));
  };
  model.on("msg:custom", onMessage);
  return { box, show };
}

const view = (model, root, shared) => {
  const ask = asker(model);
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
  const notice = el("div", { role: "status", "aria-live": "polite", class: "dfs-notice" });
  const moves = movesView(model, shared);
  const sheet = fileSheet(model, shared, () => list.unselect());
  const list = fileList(model, { open: sheet.show, download: shared.download });
  root.append(dropZone(root, shared.upload),
    el("div", { class: "dfs-forms" },
      form(path, "Put", "Put that file into the network", (text) => ({ kind: "put-path", path: text })),
      form(paste, "Get", "Save that file to the kernel's disk, in dfs_downloads", (text) => ({ kind: "get-link", text }))),
    notice, moves.box, list.box, sheet.box);
  return {
    cleanup() {
      moves.cleanup();
      list.cleanup();
    },
    transfers: moves.showAll,
    files_total: () => list.saved(model.get("files_total")),
    notice() {
      setText(notice, model.get("notice"));
      notice.hidden = !model.get("notice");
    },
  };
};

export default panel("files", "Files", view, movesOf);
