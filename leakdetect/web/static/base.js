// What all views share: elements, requests, words, numbers and times.

export const state = { me: null, lang: "en", words: {}, sites: [], saved: null };

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Names from outside only ever become text nodes and attributes, never markup.
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function ask(path, body) {
  const options = { headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json", "X-CSRF-Token": state.me?.token ?? "login" };
  }
  const answer = await fetch(path, options).catch(() => { throw new Refused(0, say("unreachable")); });
  const found = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Refused(answer.status, String(found.detail ?? answer.status));
  return found;
}

export const siteUrl = (site, what, query = {}) =>
  `/api/sites/${encodeURIComponent(site)}/${what}?${new URLSearchParams(query)}`;
export const link = (site, what, query = {}) => {
  const text = new URLSearchParams(query).toString();
  return `#/${encodeURIComponent(site)}/${what}${text ? `?${text}` : ""}`;
};

// Day before month and a clock of 24 hours, as engineers write them.
export const locale = () => (state.lang === "fr" ? "fr" : "en-GB");

export function say(key, values = {}) {
  return (state.words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value, digits) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const most = digits ?? (size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: most, minimumFractionDigits: digits ?? 0 }).format(value);
}
// Two figures are all that an estimate of a leak bears.
export const flow = (value) => (value === null ? "–" : `${number(value, Math.abs(value) < 9.95 ? 1 : 0)}\u00a0m³/h`);
// A volume or a sum of money is no better known than the flow it is made of.
export const estimate = (value) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat(locale(), { maximumSignificantDigits: 3, maximumFractionDigits: 0, roundingPriority: "lessPrecision" }).format(value);
export const metres = (value) =>
  value === null ? "–" : value >= 9950 ? `${number(value / 1000, 1)}\u00a0km` : `${number(value, 0)}\u00a0m`;
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const text = (value) => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 0 }).format(value);
  if (share > 0 && share < 0.005) return `<\u00a0${text(0.01)}`;
  return share >= 0.995 && share < 1 ? `>\u00a0${text(0.99)}` : text(share);
}

export const zoneOf = (site) => state.sites.find((one) => one.id === site)?.timezone ?? "UTC";
export function time(text, site, short = false) {
  if (text === null || text === undefined || text === "") return "–";
  const when = new Date(typeof text === "number" ? text * 1000 : text);
  const style = short ? { dateStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(), { ...style, timeZone: zoneOf(site) }).format(when);
}

const OLD = 2 * 86400e3; // from which readings are no longer those of this morning
export const isOld = (text) => Boolean(text) && Date.now() - Date.parse(text) > OLD;

export const unit = (name) => name.replace("m3", "m³");

// A narrow table stays one on a phone; the others become a list there. A row's name is its first cell, or the head's
// that says so; an empty cell is null.
export function table(label, heads, rows, narrow = false, sums = null) {
  const named = Math.max(heads.findIndex((head) => head.names), 0);
  const row = (cells) =>
    h("tr", {}, cells.map((cell, i) => {
      const right = heads[i].right ? "right" : null;
      if (i === named) return h("th", { scope: "row", class: right }, cell);
      return h("td", { class: cell === null ? "blank" : right, "data-label": heads[i].text }, narrow ? cell : h("div", {}, cell));
    }));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: narrow ? null : "wide" },
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: head.right ? "right" : null }, head.text)))),
      h("tbody", {}, rows.map(row)), sums ? h("tfoot", {}, row(sums)) : null));
}

export const chip = (event) =>
  event.number ? s("svg", { class: "chip", viewBox: "0 0 20 20", "aria-hidden": "true" },
    s("circle", { cx: 10, cy: 10, r: 10, fill: event.colour }),
    s("text", { x: 10, y: 14, "text-anchor": "middle" }, String(event.number))) : null;

export const tag = (text, kind = "") => h("span", { class: `tag ${kind}` }, text);
export const button = (text, act, attributes = {}) => h("button", { type: "button", click: act, ...attributes }, text);
export const tell = (text) => { document.getElementById("status").textContent = text; };
