// The network as drawn, to move and zoom. The list of events says the same in text, so the drawing is hidden from readers.

import { button, h, s, say } from "./base.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function mapOf(view, label, go) {
  if (!view.exists) return h("p", { class: "soft" }, say("no_map"));
  const [x0, y0, width, height] = view.box;
  let box = { x: x0, y: y0, w: width, h: height };
  const svg = s("svg", { class: "map", "aria-hidden": "true" },
    s("path", { class: "pipes", d: view.pipes }),
    view.zones.map((zone) => s("path", { class: zone.area ? "zone area" : "zone", d: zone.path, stroke: zone.colour }, s("title", {}, zone.title))),
    view.spots.filter((spot) => !spot.text).map((spot) =>
      s("path", { class: `m-${spot.kind}`, d: `M${spot.x} ${spot.y}h.01` }, s("title", {}, spot.title))),
    view.labels.map((text) => s("text", { x: text.x, y: text.y, "text-anchor": text.anchor }, text.text)),
    view.spots.filter((spot) => spot.text).map((spot) =>
      s("g", { class: spot.kind, click: () => { if (!dragged && go) go(spot); } }, s("title", {}, spot.title),
        s("path", { class: "ring", d: `M${spot.x} ${spot.y}h.01` }),
        s("path", { class: "disc", stroke: spot.colour, d: `M${spot.x} ${spot.y}h.01` }),
        s("text", { x: spot.x, y: spot.y, dy: ".36em", "text-anchor": "middle" }, spot.text))));

  function draw() {
    svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
    const shown = svg.getBoundingClientRect();
    svg.classList.toggle("bare", shown.width < 500 && view.labels.length > 20 && box.w > width / 3);
    if (shown.width) svg.style.setProperty("--px", String(Math.max(box.w / shown.width, box.h / shown.height)));
  }
  function zoom(by, px = 0.5, py = 0.5) {
    const w = Math.min(Math.max(box.w * by, width / 200), width * 1.5);
    const k = w / box.w;
    box = { x: box.x + box.w * px * (1 - k), y: box.y + box.h * py * (1 - k), w, h: box.h * k };
    draw();
  }
  function move(dx, dy) {
    box = { ...box, x: box.x + dx * box.w, y: box.y + dy * box.h };
    draw();
  }
  function all() {
    box = { x: x0, y: y0, w: width, h: height };
    draw();
  }

  let from = null;
  let dragged = false;
  svg.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; dragged = false; });
  svg.addEventListener("pointermove", (event) => {
    if (!from || !event.buttons) return;
    const shown = svg.getBoundingClientRect();
    const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
    if (!dragged && Math.hypot(dx, dy) < 4) return;
    dragged = true;
    svg.setPointerCapture(event.pointerId);
    move(-dx / shown.width, -dy / shown.height);
    from = [event.clientX, event.clientY];
  });
  svg.addEventListener("pointerup", () => { from = null; });
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const shown = svg.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, (event.clientX - shown.left) / shown.width, (event.clientY - shown.top) / shown.height);
  }, { passive: false });
  function key(event) {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey) return;
    if (KEYS[event.key]) move(KEYS[event.key][0] * 0.15, KEYS[event.key][1] * 0.15);
    else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else if (event.key === "0") all();
    else return;
    event.preventDefault();
  }
  svg.style.setProperty("--shape", String(width / height));
  new ResizeObserver(draw).observe(svg);
  draw();
  return h("div", { class: "figure" },
    h("div", { class: "stage", tabindex: "0", role: "group", "aria-label": `${label}. ${say("map_help")}`, keydown: key }, svg),
    h("div", { class: "tools" },
      button("+", () => zoom(0.7), { "aria-label": say("zoom_in") }),
      button("−", () => zoom(1.4), { "aria-label": say("zoom_out") }),
      button(say("zoom_all"), all),
      h("span", { class: "keys" }, ["pressure", "flow", "source"].map((kind) =>
        h("span", { class: "key" }, s("svg", { viewBox: "0 0 16 16", class: "sample", "aria-hidden": "true" },
          s("path", { class: `m-${kind}`, d: "M8 8h.01" })), say(`key_${kind}`))))));
}
