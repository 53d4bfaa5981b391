const GROUP_SECONDS = 300;
const PAGE_HEIGHT = 48;

const dayOf = (at) => (at > 0 ? new Date(at * 1000).toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" }) : "");

const markOf = (message, direct) => {
  if (!message.mine) return "";
  if (!message.delivered) return "sent, not confirmed yet";
  return direct || message.delivered === 1 ? "✓ delivered" : `✓ delivered to ${message.delivered}`;
};

// One bubble. A run of messages of one sender within five minutes has its head once.
const makeMessage = (obtain) => (item) => {
  const head = el("div", { class: "dfs-message-head" }, el("span", { class: "dfs-sender" }), el("time", { class: "dfs-quiet" }));
  const node = el("div", { class: `dfs-message${item.mine ? " dfs-mine" : ""}` }, el("div", { class: "dfs-day" }), head,
    el("div", { class: "dfs-bubble" }, el("div", { class: "dfs-message-text", dir: "auto", text: item.text })),
    el("div", { class: "dfs-quiet dfs-delivered" }));
  if (item.file) {
    const note = el("span", { class: "dfs-quiet", role: "status" });
    const chip = button("↓ Get the file", "Fetch the file that came with this message to the kernel's disk, and list it under Files", () => obtain(item, chip, note), "dfs-file-chip");
    const here = button("Download", "Download that file to this browser", () => {}, "dfs-file-chip");
    here.hidden = true;
    node.querySelector(".dfs-bubble").append(el("div", { class: "dfs-line" }, chip, here), note);
    node._dfsSaved = (content, moves) => {
      setText(note, content.text);
      here.hidden = !content.file;
      here.onclick = () => moves.download(content.file);
    };
  }
  return node;
};

const showMessage = (direct) => (node, { item, first, day }) => {
  const [dayLine, head] = [node.querySelector(".dfs-day"), node.querySelector(".dfs-message-head")];
  setText(dayLine, day);
  dayLine.hidden = !day;
  head.hidden = !first;
  setText(head.querySelector(".dfs-sender"), item.mine ? "you" : item.sender);
  head.querySelector(".dfs-sender").title = item.sender_id;
  setText(head.querySelector("time"), clock(item.at).slice(0, 5));
  const mark = node.querySelector(".dfs-delivered");
  setText(mark, markOf(item, direct));
  mark.hidden = !item.mine;
};

const makeWaiting = (box) => (entry) => {
  const state = el("span", { class: "dfs-quiet", role: "status" });
  const again = button("Try again", "Send this message again: it is said only once", () => box.again(entry));
  const drop = button("Discard", "Throw this message away", () => box.drop(entry));
  const node = el("div", { class: "dfs-message dfs-mine dfs-waiting" },
    el("div", { class: "dfs-bubble" }, el("div", { class: "dfs-message-text", dir: "auto", text: entry.text || entry.fileName })),
    el("div", { class: "dfs-line" }, state, again, drop));
  Object.assign(node, { _dfsState: state, _dfsButtons: [again, drop] });
  return node;
};

const showWaiting = (node, entry) => {
  const failed = entry.state === "failed";
  setText(node._dfsState, failed ? "not sent" : "waiting for the kernel …");
  node._dfsButtons.forEach((each) => (each.hidden = !failed));
};

// The lines of a log with what the eye needs between them: a day where it changes, a head where a run begins.
const laidOut = (items) => {
  let before = null;
  return items.map((item) => {
    const day = dayOf(item.at);
    const turned = !before || dayOf(before.at) !== day;
    const first = turned || before.sender_id !== item.sender_id || item.at - before.at > GROUP_SECONDS;
    before = item;
    return { item, first, day: turned ? day : "" };
  });
};
