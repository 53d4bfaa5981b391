// A QR code out of rows of 1 and 0: one path of squares, black on white in every theme, as readers need it.
function qrCode(rows, label) {
  const size = rows.length;
  const squares = [];
  rows.forEach((row, y) => {
    for (let x = 0; x < size; x++) if (row[x] === "1") squares.push(`M${x} ${y}h1v1h-1z`);
  });
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, class: "dfs-qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: squares.join(""), fill: "#000" }));
}
