// Which page is shown, what stands above it, and the line on which changes are told.

import { Refused, ask, button, h, link, say, state, tell } from "./base.js";
import * as views from "./views.js";

const TABS = ["events", "series", "quality", "kpi"];
const main = document.getElementById("main");
let shown = 0;
let line = null;

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [site, what] = path.split("/").map(decodeURIComponent);
  return { site: site || "", what: what || "", query: new URLSearchParams(query ?? "") };
}

async function speak(lang) {
  state.words = await ask(`/api/words/${lang}`);
  state.lang = lang;
  document.documentElement.lang = lang;
  document.getElementById("skip").textContent = say("skip");
}

function top(site, what) {
  const current = (yes) => (yes ? "page" : null);
  const name = state.sites.find((one) => one.id === site)?.name ?? site;
  const mine = site && site !== "audit" && state.me.name !== null;
  document.getElementById("top").replaceChildren(
    h("nav", { class: "main", "aria-label": say("main_nav") },
      h("a", { href: "#/", class: "brand", "aria-current": current(!site) }, `leakdetect`, h("span", {}, ` ${say("sites")}`)),
      state.me.role === "admin" && state.me.users ? h("a", { href: "#/audit", "aria-current": current(site === "audit") }, say("audit")) : null,
      h("span", { class: "gap" }),
      button(say("language"), change, { id: "language", lang: state.lang === "fr" ? "en" : "fr" }),
      state.me.users && state.me.name ? [h("span", { class: "soft" }, state.me.name), button(say("logout"), leave, { id: "logout" })] : null),
    ...(mine ? [h("nav", { class: "site", "aria-label": say("site_nav") }, h("span", { class: "name" }, name),
      TABS.map((tab) => h("a", { href: link(site, tab), "aria-current": current(what === tab || (tab === "events" && what === "event")) }, say(tab))))] : []));
}

async function built(site, what, query) {
  if (state.me.name === null) return views.login(entered);
  if (!state.sites.length && site) state.sites = await ask("/api/sites");
  if (!site) return views.overview();
  if (site === "audit") return views.audit();
  const view = { events: views.events, event: views.event, series: views.series, quality: views.quality, kpi: views.kpi }[what] ?? views.events;
  return view(site, query, () => show(false));
}

// Builds a page, then puts it in the old one's place: nothing flickers, and what had the focus keeps it.
async function show(moved = true) {
  const turn = ++shown;
  const { site, what, query } = place();
  if (moved) tell(say("loading"));
  let page;
  try {
    page = await built(site, what, query);
    if (turn === shown && moved) tell("");
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && state.me.name !== null) {
      state.me = await ask("/api/me");
      line?.close();
      return show();
    }
    page = { title: site || "leakdetect", parts: [h("p", { class: "bad" }, say("failed", { why: error.message }))] };
    if (turn === shown) tell("");
  }
  if (turn !== shown) return;
  const held = document.activeElement?.id;
  top(site, what);
  const title = h("h1", { tabindex: "-1" }, page.title);
  main.replaceChildren(title, ...page.parts.flat(9).filter(Boolean));
  document.title = `${page.title} – leakdetect`;
  const back = held ? document.getElementById(held) : null;
  if (back && back !== main) back.focus({ preventScroll: true });
  else if (moved) title.focus();
}

function listen() {
  line?.close();
  if (state.me.name === null) return;
  line = new EventSource("/api/live");
  line.addEventListener("change", async (event) => {
    const { site } = JSON.parse(event.data);
    const here = place();
    if (here.site && here.site !== site) return;
    const form = document.getElementById("word");
    const writing = form && [...new FormData(form).values()].some(Boolean);
    if (!writing && here.what !== "kpi") await show(false); // what is being written is not thrown away
    if (state.saved === site) state.saved = null;
    else tell(say("updated", { site: state.sites.find((one) => one.id === site)?.name ?? site }));
  });
  let lost = false;
  line.onopen = async () => {
    if (!lost) return;
    lost = false;
    tell("");
    if (!document.getElementById("word")) await show(false); // what was missed meanwhile
  };
  line.onerror = () => { lost = true; tell(say("offline")); };
}

async function entered(me) {
  state.me = me;
  listen();
  await show();
}

async function leave() {
  await ask("/api/logout", {});
  state.me = await ask("/api/me");
  state.sites = [];
  line?.close();
  await show();
}

async function change() {
  const lang = state.lang === "fr" ? "en" : "fr";
  localStorage.setItem("lang", lang);
  await speak(lang);
  await show(false);
}

document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => show());
const kept = localStorage.getItem("lang") ?? navigator.language.slice(0, 2);
state.me = await ask("/api/me");
await speak(kept === "fr" ? "fr" : "en");
listen();
await show();
