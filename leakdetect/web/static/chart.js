// Readings of a sensor and what was expected of it, to zoom. The server thins out what is drawn.

import { button, h, locale, number, s, say, time, unit, zoneOf } from "./base.js";

const BODY = 280; // height of the curves with their axis
const SMALL = 190;
const BELOW = 90; // of what was measured minus what was expected, under them
const GAP = 14;
const EDGE = { left: 56, right: 12, top: 24, bottom: 34 };
const OVER = "#56647a"; // colour of an event that is over
const LANE = 14; // of an event above the curves
const LANES = 8; // the newest events; the list has the others
const STEPS = [300, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2592000, 7776000, 15552000, 31104000];
const MONTH = 2592000;

function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

// Of the site's clock, as seconds; ticks stand at its midnights and firsts of months.
function wall(seconds, zone) {
  const parts = new Intl.DateTimeFormat("en", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  }).formatToParts(seconds * 1000);
  const of = (type) => Number(parts.find((part) => part.type === type).value);
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second")) / 1000;
}

export function moments(first, last, step, zone) {
  const utc = (local) => {
    const near = local - (wall(local, zone) - local);
    return local - (wall(near, zone) - near);
  };
  const begin = wall(first, zone);
  const found = [];
  if (step < MONTH) for (let l = Math.ceil(begin / step) * step; utc(l) <= last; l += step) found.push(utc(l));
  else {
    const months = Math.round(step / MONTH);
    const date = new Date(begin * 1000);
    const at = (k) => utc(Date.UTC(date.getUTCFullYear(), Math.floor(date.getUTCMonth() / months) * months + k * months, 1) / 1000);
    for (let k = 0; at(k) <= last; k += 1) if (at(k) >= first) found.push(at(k));
  }
  return found;
}

// Events that run at the same time lie above each other, each a bar from its start to its end.
export function lanes(events, first, last) {
  const ends = [];
  return events.flatMap((event) => {
    const from = Date.parse(event.start) / 1000;
    const to = event.end ? Date.parse(event.end) / 1000 : last;
    if (from >= last || to <= first) return [];
    let lane = ends.findIndex((end) => end <= from);
    if (lane < 0) lane = ends.length;
    ends[lane] = to;
    return lane >= LANES ? [] : [{ event, from, to: Math.min(to, last), lane }];
  });
}

function path(points) {
  let text = "";
  let pen = "M";
  for (const point of points) {
    if (point === null) pen = "M";
    else {
      text += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
      pen = "L";
    }
  }
  return text;
}

function ribbon(xs, low, high) {
  let text = "";
  let run = [];
  const flush = () => {
    if (run.length > 1) {
      const back = run.map((i) => `L${xs[i].toFixed(1)} ${low[i].toFixed(1)}`).reverse().join("");
      text += `${run.map((i, k) => `${k ? "L" : "M"}${xs[i].toFixed(1)} ${high[i].toFixed(1)}`).join("")}${back}Z`;
    }
    run = [];
  };
  xs.forEach((_, i) => { if (low[i] === null || high[i] === null) flush(); else run.push(i); });
  flush();
  return text;
}

// The curves alone, drawn anew where their width changes; `over` lies on top of them.
function curves(series, site, events, body, below, over = null) {
  const svg = s("svg", { class: "chart", "aria-hidden": "true" });
  const [first, last] = [series.time[0] ?? series.first, (series.time.at(-1) ?? series.last) + series.step_s];
  const span = Math.max(last - first, series.step_s, 1);
  const numbers = (lists) => lists.flat().filter((v) => v !== null);
  const measured = numbers([series.low, series.high]);
  const bands = [-2, 2].map((k) => series.expected.map((v, i) => (v === null ? null : v + k * (series.expected_sd[i] ?? 0))));
  const all = numbers([measured, ...bands]);
  const zone = zoneOf(site);
  const clock = (seconds, style) => new Intl.DateTimeFormat(locale(), { ...style, timeZone: zone }).format(seconds * 1000);

  const bars = lanes(events, first, last);
  const ceiling = EDGE.top + LANE * bars.reduce((most, bar) => Math.max(most, bar.lane + 1), 0);
  const floor = ceiling + body - EDGE.bottom;
  const residual = below ? numbers([series.residual]) : [];
  const bottom = floor + (residual.length ? GAP + below : 0);
  const height = bottom + EDGE.bottom;

  function draw() {
    const width = Math.max(svg.getBoundingClientRect().width, 200);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    if (!all.length) {
      svg.replaceChildren(s("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, say("nothing_measured")));
      return;
    }
    const x = (t) => EDGE.left + ((t - first) / span) * (width - EDGE.left - EDGE.right);
    const xs = series.time.map((t) => x(t + series.step_s / 2));
    const line = (list, y) => path(list.map((v, i) => (v === null ? null : [xs[i], y(v)])));
    // The axis of what lies between two heights of the picture.
    function scale(values, top, base, count) {
      const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
      const pad = (high - low || 1) * 0.06;
      const y = (v) => top + ((high + pad - v) / (high - low + 2 * pad)) * (base - top);
      const sides = ticks(low, high, count);
      const rules = sides.found.flatMap((v) => [
        s("path", { class: v === 0 ? "rule zero" : "rule", d: `M${EDGE.left} ${y(v)}H${width - EDGE.right}` }),
        s("text", { x: EDGE.left - 6, y: y(v) + 4, "text-anchor": "end" }, number(v, sides.digits)),
      ]);
      return { y, rules };
    }
    const { y, rules } = scale(all, ceiling, floor, body < BODY ? 4 : 5);
    const level = (list) => list.map((v) => (v === null ? null : y(v)));
    const under = residual.length ? scale([...residual, 0], floor + GAP, bottom, 3) : null;
    const wanted = span / Math.max(Math.floor((width - EDGE.left) / 95), 2);
    const step = STEPS.find((k) => k >= wanted) ?? STEPS.at(-1);
    const style = step < 86400 ? { hour: "2-digit", minute: "2-digit", day: "numeric", month: "numeric" }
      : step < 2592000 ? { day: "numeric", month: "short" } : { month: "short", year: "numeric" };
    const marks = moments(first, last, step, zone);
    const shades = bars.map(({ event, from, to, lane }) => {
      const [a, b, above] = [Math.max(x(from), EDGE.left), x(to), lane * LANE + 4];
      return [
        s("path", { class: "bar", d: `M${a + (event.number ? 4 + 8 * String(event.number).length : 0)} ${above + 5}H${Math.max(b, a + 14)}`, stroke: event.colour || OVER }),
        event.number ? s("text", { x: a, y: above + 9, fill: event.colour, class: "strong" }, String(event.number)) : null,
        from >= first ? s("path", { class: "onset", d: `M${a} ${above + 12}V${bottom}`, stroke: event.colour || OVER }) : null,
      ].filter(Boolean);
    });
    svg.replaceChildren(
      ...shades.flat(),
      s("text", { x: 4, y: ceiling - 8 }, unit(series.unit)),
      ...rules, ...(under?.rules ?? []),
      ...marks.flatMap((t) => [
        s("path", { class: "tick", d: `M${x(t)} ${bottom}v5` }),
        s("text", { x: x(t), y: bottom + 19, "text-anchor": x(t) > width - 40 ? "end" : "middle" }, clock(t, style)),
      ]),
      s("path", { class: "band", d: ribbon(xs, level(bands[0]), level(bands[1])) }),
      s("path", { class: "expected", d: line(series.expected, y) }),
      s("path", { class: "extent", d: ribbon(xs, level(series.low), level(series.high)) }),
      s("path", { class: "measured", d: line(series.measured, y) }),
      ...(under ? [s("path", { class: "residual", d: line(series.residual, under.y) })] : []),
      ...(over ? [over] : []),
    );
  }
  over?.setAttribute("y", ceiling);
  over?.setAttribute("height", bottom - ceiling);
  new ResizeObserver(draw).observe(svg);
  const [least, most] = measured.length ? [measured.reduce((a, b) => Math.min(a, b)), measured.reduce((a, b) => Math.max(a, b))] : [null, null];
  const text = say("chart_of", {
    sensor: series.sensor, quantity: say(`${series.quantity}_q`), unit: unit(series.unit), start: time(first, site), end: time(last, site),
    low: number(least), high: number(most),
  });
  return { svg, first, last, span, text };
}

export const keys = (kinds) =>
  h("span", { class: "keys" }, kinds.map((kind) => h("span", { class: "key" }, h("i", { class: `l-${kind}` }), say(kind))));

// A picture of a sensor around an event, with what was measured minus what was expected.
export function figureOf(series, site, event, name) {
  const { svg, text } = curves(series, site, [event], SMALL, BELOW);
  return h("figure", {}, h("figcaption", {}, name), h("div", { class: "stage still", role: "img", "aria-label": text }, svg));
}

export function chartOf(series, site, events, window_) {
  const pick = s("rect", { class: "pick", width: 0 });
  const { svg, first, last, span, text } = curves(series, site, events.filter((event) => event.number), BODY, 0, pick);
  const stage = h("div", { class: "stage", tabindex: "0", role: "group" }, svg);

  // Choosing a part by dragging, by keys and by buttons: each asks the server for that part.
  let from = null;
  const at = (event) => {
    const shown = svg.getBoundingClientRect();
    const part = (event.clientX - shown.left - EDGE.left) / (shown.width - EDGE.left - EDGE.right);
    return Math.min(Math.max(part, 0), 1);
  };
  const place = (part) => EDGE.left + part * (svg.getBoundingClientRect().width - EDGE.left - EDGE.right);
  svg.addEventListener("pointerdown", (event) => { from = at(event); svg.setPointerCapture(event.pointerId); });
  svg.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const [a, b] = [from, at(event)].sort((u, v) => u - v);
    pick.setAttribute("x", place(a));
    pick.setAttribute("width", place(b) - place(a));
  });
  svg.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [a, b] = [from, at(event)].sort((u, v) => u - v);
    from = null;
    pick.setAttribute("width", 0);
    if (b - a > 0.01) window_(first + a * span, first + b * span);
  });
  const clamp = (a, b) => {
    const length = Math.min(b - a, series.last - series.first + 1);
    const begin = Math.min(Math.max(a, series.first), series.last + 1 - length);
    window_(begin, begin + Math.max(length, 3600));
  };
  const zoom = (by) => { const middle = first + span / 2; clamp(middle - (span * by) / 2, middle + (span * by) / 2); };
  const move = (by) => clamp(first + span * by, last + span * by);
  const whole = () => window_(null, null);
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const act = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: whole, ArrowLeft: () => move(-0.5), ArrowRight: () => move(0.5) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  stage.setAttribute("aria-label", `${text}. ${say("series_help")}`);
  return h("div", { class: "figure" },
    h("p", { class: "caption" }, text),
    stage,
    h("div", { class: "tools" },
      button("+", () => zoom(0.5), { "aria-label": say("zoom_in"), id: "zoom-in" }),
      button("−", () => zoom(2), { "aria-label": say("zoom_out"), id: "zoom-out" }),
      button("←", () => move(-0.5), { "aria-label": say("left"), id: "move-left" }),
      button("→", () => move(0.5), { "aria-label": say("right"), id: "move-right" }),
      button(say("zoom_all"), whole, { id: "zoom-all" }),
      keys(["measured", "expected"])));
}
