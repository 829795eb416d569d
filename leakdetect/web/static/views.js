// One function a page: it asks for what it shows and returns its elements.

import { ask, button, chip, estimate, flow, h, isOld, link, metres, number, percent, say, siteUrl, state, table, tag, tell, time, unit } from "./base.js";
import { chartOf, figureOf, keys } from "./chart.js";
import { mapOf } from "./map.js";

const right = (text) => ({ text, right: true });
const left = (text) => ({ text });
const SHARE = 0.03; // of the evidence from which a sensor is named at once
const CURVES = 2; // sensors of the largest share whose readings are drawn
const lines = (...parts) => parts.filter(Boolean).map((part, i) => (i ? [h("br"), part] : part));
const sum = (values) => values.reduce((a, b) => a + (b ?? 0), 0);
// What leakdetect itself notes is in English; people's words stay as they are.
const outcome = (text) => (text === "failed" ? say("failed_run") : say(text));
const REASONS = { raised: "why_raised", "its signature has ended": "why_ended", "has grown since it was dismissed": "why_grown" };
const reason = (change) => (change.run !== null && REASONS[change.why] ? say(REASONS[change.why]) : change.why || "–");

const MANY = 12; // sites from which one is looked for by name
// What needs somebody first: what is new, what failed, what loses most.
const urgent = (a, b) => b.new - a.new || !!b.error - !!a.error || b.flow_m3h - a.flow_m3h || a.name.localeCompare(b.name);

export async function overview() {
  state.sites = (await ask("/api/sites")).sort(urgent);
  const rows = state.sites.map((site) => [
    h("a", { href: link(site.id, "events") }, site.name),
    site.until === null ? h("span", { class: "bad" }, site.error) : String(site.open),
    site.until === null ? "–" : site.new ? tag(String(site.new), "new") : "0",
    site.until === null ? "–" : flow(site.flow_m3h), percent(site.usable),
    [time(site.until, site.id), isOld(site.until) ? [" ", tag(say("old"), "open")] : null],
    [time(site.last_run, site.id), h("br"), outcome(site.outcome), site.until && site.error ? h("div", { class: "bad" }, site.error) : null],
  ]);
  const heads = [left(say("site")), left(say("open_leaks")), left(say("new")), right(say("flow")), right(say("usable_week")), left(say("until")), left(say("last_run"))];
  const counts = { new: sum(state.sites.map((one) => one.new)), at: state.sites.filter((one) => one.new).length, sites: state.sites.length, open: sum(state.sites.map((one) => one.open)), flow: flow(sum(state.sites.map((one) => one.flow_m3h))) };
  const list = table(say("sites"), heads, rows);
  const found = h("input", { id: "find", type: "search", autocomplete: "off", input: () => {
    const wanted = found.value.trim().toLocaleLowerCase();
    list.querySelectorAll("tbody tr").forEach((row, i) => { row.hidden = !state.sites[i].name.toLocaleLowerCase().includes(wanted); });
  } });
  return { title: say("sites"), parts: [
    rows.length > 1 ? h("p", { class: "headline" }, say(counts.new ? "all_new" : "all_quiet", counts)) : null,
    rows.length > MANY ? h("p", {}, h("label", { for: "find" }, say("find")), " ", found) : null,
    list,
  ] };
}

function eventTable(site, events, everything) {
  if (!events.length) return h("p", {}, say(everything ? "no_events" : "no_events_open"));
  const heads = [left(say("event")), left(say("status")), left(say("kind")), left(say("began")), ...(everything ? [left(say("ended"))] : []), right(say("flow")), right(say("lost_all")), left(say("where"))];
  const lost = (volume, money) => lines(`${estimate(volume)}\u00a0m³`, money === null ? null : worth(money, events[0].currency));
  // Sums are of leaks that run: what is over lost its water at another time, and what was dismissed none.
  const sums = everything || events.length < 2 ? null : [
    say("total"), null, null, null, flow(sum(events.map((e) => e.flow_m3h))),
    lost(sum(events.map((e) => e.lost_m3)), events[0].money === null ? null : sum(events.map((e) => e.money))), null,
  ];
  return table(say("events"), heads, events.map((e) => [
    [chip(e), " ", h("a", { href: link(site, "event", { id: e.id }) }, e.id), e.new ? tag(say("is_new"), "new") : null],
    tag(say(e.status), e.status), say(e.kind), time(e.start, site, true), ...(everything ? [time(e.end, site, true)] : []),
    flow(e.number ? e.flow_m3h : e.mean_m3h), e.status === "dismissed" ? "–" : lost(e.lost_m3, e.money), place(e),
  ]), false, sums);
}

const worth = (value, currency) => `${estimate(value)}\u00a0${currency}`;
const place = (e) => e.first_link === null ? e.dma || say("whole_area") : lines(
  `${e.first_link} (${percent(e.first_probability)})`,
  h("small", { class: "soft" }, `${say("street", { length: metres(e.zone_length_m) })} (${percent(e.zone_probability)})`));

export async function events(site, query) {
  const asked = [siteUrl(site, "events"), siteUrl(site, "map"), siteUrl(site, "news", { lang: state.lang })];
  const [found, map, news] = await Promise.all(asked.map((path) => ask(path)));
  const running = found.filter((e) => e.number);
  const everything = query.get("show") === "all";
  const list = h("div", {}, eventTable(site, everything ? found : running, everything));
  const choice = h("select", { id: "show", change: () => { location.hash = link(site, "events", choice.value === "all" ? { show: "all" } : {}); } },
    h("option", { value: "open", selected: !everything }, `${say("only_open")} (${running.length})`),
    h("option", { value: "all", selected: everything }, `${say("all")} (${found.length})`));
  const name = state.sites.find((one) => one.id === site)?.name ?? site;
  const go = (spot) => {
    const event = running.find((e) => String(e.number) === spot.text);
    if (event) location.hash = link(site, "event", { id: event.id });
  };
  return {
    title: say("events"),
    parts: [
      h("p", { class: "headline" }, news.text),
      isOld(news.until) ? h("p", { class: "bad" }, say("old_readings", { time: time(news.until, site) })) : null,
      h("p", { class: "choice" }, h("label", { for: "show" }, say("show")), " ", choice), list,
      h("h2", {}, say("map")), mapOf(map, say("map_of", { name, events: String(running.length) }), go),
    ],
  };
}

const fact = (name, value, more = "") => h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, value), more ? h("small", {}, more) : null));

export async function event(site, query, refresh) {
  const id = query.get("id") ?? "";
  const [e, map] = await Promise.all([ask(siteUrl(site, "event", { id, lang: state.lang })), ask(siteUrl(site, "map", { id }))]);
  const since = { since: e.window[0] ?? "", until: e.window[1] ?? "" };
  const told = e.evidence.filter((one) => one.has_series).slice(0, CURVES);
  const series = await Promise.all(told.map((one) => ask(siteUrl(site, "series", { sensor: one.sensor, ...since }))));
  const see = (one) => (one.has_series ? h("a", { href: link(site, "series", { sensor: one.sensor, ...since }) }, one.sensor) : one.label);
  const reader = state.me.role === "reader";
  const before = reader || e.evidence.length > 3; // so that both columns are about as long
  const parts = [
    h("p", { class: "choice" }, h("a", { href: link(site, "events") }, `← ${say("back")}`),
      reader ? null : button(say("say"), () => document.querySelector("#word input").focus(), { id: "to-word" })),
    factsOf(site, e),
    reader ? h("p", { class: "soft" }, say("reader_only")) : null,
    h("div", { class: "pair" },
      map.exists ? h("section", {}, h("h2", {}, say("map")), mapOf(map, say("map_event"), null)) : null,
      e.candidates.length ? h("section", {}, h("h2", {}, say("candidates")),
        table(say("candidates"), [left(say("rank")), { ...left(say("pipe")), names: true }, right(say("probability")), right(`${say("length")} (m)`)],
          e.candidates.map((c, i) => [String(i + 1), c.link, percent(c.probability), number(c.length_m, 0)]), true)) : null,
      h("section", {}, reader ? null : word(site, e, refresh), before ? weighedOf(e) : null),
      h("section", {}, evidenceOf(e, see), before ? null : weighedOf(e))),
    series.length ? [h("h2", {}, say("behind")), keys(["measured", "expected", "residual"]),
      h("div", { class: "pair" }, series.map((one, i) =>
        figureOf(one, site, e, [see(told[i]), ` · ${say(`${one.quantity}_q`)} (${unit(one.unit)}) · ${percent(told[i].share)}`])))] : null,
    e.history.length ? [h("h2", {}, say("history")),
      table(say("history"), [left(say("when")), left(say("who")), left(say("what")), left(say("pipe")), left(say("why"))],
        e.history.map((c) => [time(c.at, site), c.run === null ? c.by : say("run", { n: String(c.run) }), say(c.status), c.link || "–", reason(c)]))] : null,
    h("p", { class: "soft" }, say("note_interval")),
  ];
  return { title: `${say("event")} ${e.id}`, parts };
}

function factsOf(site, e) {
  const between = (low, high) => say("between", { low, high });
  const lost = [`${between(estimate(e.lost_low), estimate(e.lost_high))}\u00a0m³`, ...(e.money === null ? [] : [worth(e.money, e.currency)])];
  const month = say("a_month", { volume: estimate(e.month_m3) });
  return h("dl", { class: "facts" },
    fact(say("status"), say(e.status), say(e.kind)),
    fact(say("began"), time(e.start, site), between(time(e.start_low, site), time(e.start_high, site))),
    fact(say("raised"), time(e.raised_at, site)),
    e.end ? fact(say("ended"), time(e.end, site)) : null,
    fact(say("flow"), flow(e.flow_m3h), `${between(flow(e.flow_low), flow(e.flow_high))} · ${flow(e.flow_raised_m3h)} ${say("flow_raised")}`),
    fact(say("lost_all"), `${estimate(e.lost_m3)}\u00a0m³`, lost.join(" · ")),
    !e.number ? null : e.month_money === null ? fact(say("per_month"), month)
      : fact(say("per_month"), say("cost_month", { cost: worth(e.month_money, e.currency) }), month),
    e.zone_pipes ? fact(say("key_zone"), metres(e.zone_length_m), say("zone_text", { n: String(e.zone_pipes), p: percent(e.zone_probability) })) : null);
}

// Sensors that told little are put behind a line with their sum.
function evidenceOf(e, see) {
  if (!e.evidence.length) return null;
  const shown = Math.max(e.evidence.filter((one) => one.share >= SHARE).length, 3);
  const rest = e.evidence.slice(shown);
  const rows = (some) => table(say("evidence"), [left(say("sensor")), right(say("share"))], some.map((one) => [see(one), percent(one.share)]), true);
  return [h("h2", {}, say("evidence")), rows(e.evidence.slice(0, shown)),
    rest.length ? h("details", {},
      h("summary", {}, `${say(rest.length === 1 ? "others_one" : "others_many", { n: String(rest.length) })} · ${percent(sum(rest.map((one) => one.share)))}`),
      rows(rest)) : null];
}

function weighedOf(e) {
  if (!e.weighed.length && !e.remarks.length) return null;
  return [h("h2", {}, say("weighed")),
    e.weighed.length ? [h("p", { class: "soft" }, say("weighed_note")),
      table(say("weighed"), [left(say("explanation")), right(say("explained"))],
        e.weighed.map((one) => [h("span", { class: one.is_leak ? null : "rival" }, one.text), percent(one.explained)]), true)] : null,
    e.remarks.map((text) => h("p", {}, text))];
}

// What a person says of an event.
function word(site, e, refresh) {
  const pipes = h("datalist", { id: "pipes" }, e.candidates.map((c) => h("option", { value: c.link })));
  const radio = (status, text) => h("label", {}, h("input", { type: "radio", name: "status", value: status, required: true }), ` ${text}`);
  const note = h("p", { role: "alert", class: "bad" });
  async function send(submitted) {
    submitted.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    const plain = given.status === "dismissed" ? { ...given, pipe: "", time: "" } : given;
    note.textContent = "";
    try {
      const after = await ask(siteUrl(site, "words"), { event: e.id, ...plain });
      form.reset();
      await refresh();
      state.saved = site; // the line will tell of it too
      tell(say("saved", { status: say(after.status) }));
    } catch (error) {
      note.textContent = say("failed", { why: error.message });
    }
  }
  const form = h("form", { class: "word", submit: send, id: "word" },
    h("fieldset", {}, h("legend", {}, say("say")), radio("confirmed", say("confirm")), radio("dismissed", say("dismiss")), radio("repaired", say("repair"))),
    h("label", {}, say("say_pipe"), h("input", { name: "pipe", list: "pipes", maxlength: 200, autocomplete: "off" })), pipes,
    h("label", {}, say("say_time"), h("input", { name: "time", type: "datetime-local" })),
    h("label", { class: "wide" }, say("remark"), h("input", { name: "why", maxlength: 1000, autocomplete: "off" })),
    h("button", { type: "submit" }, say("save")), note);
  return form;
}

export async function series(site, query, refresh) {
  const [found, list] = await Promise.all([ask(siteUrl(site, "quality")), ask(siteUrl(site, "events"))]);
  const names = found.sensors.map((one) => one.name).sort((a, b) => a.localeCompare(b, state.lang, { numeric: true }));
  const flows = found.sensors.filter((one) => one.quantity === "flow").map((one) => one.name);
  const sensor = query.get("sensor") ?? flows[0] ?? names[0];
  if (sensor === undefined) return { title: say("series"), parts: [h("p", {}, say("nothing_measured"))] };
  const [since, until] = ["since", "until"].map((key) => query.get(key) ?? "");
  const got = await ask(siteUrl(site, "series", { sensor, since, until }));
  const go = (values, name = sensor) => {
    history.replaceState(null, "", link(site, "series", { sensor: name, ...values }));
    return refresh();
  };
  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  const window_ = (a, b) => go(a === null ? {} : { since: iso(a), until: iso(b) });
  const choice = h("select", { id: "sensor", change: () => go({ since, until }, choice.value) },
    names.map((name) => h("option", { value: name, selected: name === sensor }, name)));
  const rows = () => got.time.map((t, i) => [time(t, site), number(got.measured[i]), number(got.low[i]), number(got.high[i]), number(got.expected[i]), percent(got.usable[i])]);
  const heads = [left(say("time")), right(`${say("measured")} (${unit(got.unit)})`), right("min"), right("max"), right(say("expected_short")), right(say("usable"))];
  const details = h("details", {}, h("summary", {}, say("table")));
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(table(say("series"), heads, rows())); });
  return {
    title: say("series"),
    parts: [h("p", { class: "choice" }, h("label", { for: "sensor" }, say("sensor")), " ", choice), chartOf(got, site, list, window_), details],
  };
}

export async function quality(site) {
  const found = await ask(siteUrl(site, "quality"));
  const flags = ["missing", "stuck", "spike", "range", "drift", "clock"].filter((flag) => found.sensors.some((one) => one.flags[flag] > 0));
  const heads = [left(say("sensor")), left(say("quantity")), left(say("unit")), right(say("usable")), ...flags.map((flag) => right(say(flag)))];
  const rows = found.sensors.map((one) => [
    h("a", { href: link(site, "series", { sensor: one.name }) }, one.name), say(`${one.quantity}_q`), unit(one.unit),
    h("span", { class: one.usable < 0.9 ? "bad" : null }, percent(one.usable)), ...flags.map((flag) => (one.flags[flag] > 0 ? percent(one.flags[flag]) : "–")),
  ]);
  const runs = found.runs.map((run) => [String(run.number), time(run.started, site), outcome(run.outcome), time(run.until, site), run.new === null ? "–" : String(run.new), percent(run.usable), run.note || "–"]);
  return {
    title: say("quality"),
    parts: [
      found.since ? h("p", { class: "soft" }, `${say("period", { start: time(found.since, site), end: time(found.until, site) })}. ${say("meters_hidden")}`) : null,
      table(say("quality"), heads, rows),
      h("dl", { class: "meanings" }, flags.map((flag) => h("div", {}, h("dt", {}, say(flag)), h("dd", {}, say(`${flag}_meaning`))))),
      h("h2", {}, say("runs")),
      table(say("runs"), [left("n°"), left(say("last_run")), left(say("outcome")), left(say("until")), right(say("new")), right(say("usable")), left(say("remark"))], runs),
    ],
  };
}

export async function kpi(site) {
  tell(say("computing"));
  const found = await ask(siteUrl(site, "kpi", { lang: state.lang }));
  tell("");
  const parts = [h("p", { class: "soft" }, say("period", { start: time(found.since, site), end: time(found.until, site) }))];
  const districts = [...new Set(found.figures.map((f) => f.district))];
  const heads = [left(say("figure")), right(say("value")), left(say("unit")), left(say("interval")), left(say("remark"))];
  for (const district of districts) {
    const mine = found.figures.filter((f) => f.district === district);
    if (districts.length > 1) parts.push(h("h2", {}, district ? say("district", { name: district }) : say("whole")));
    for (const group of new Set(mine.map((f) => f.group))) {
      const known = mine.filter((f) => f.group === group && f.value !== null);
      if (!known.length) continue;
      parts.push(h(districts.length > 1 ? "h3" : "h2", {}, group));
      parts.push(table(`${group} ${district}`, heads, known.map((f) => [
        f.label, f.name === "eu_in_scope" ? say(f.value ? "yes" : "no") : number(f.value), f.unit || "–", f.low === null ? "–" : say("between", { low: number(f.low), high: number(f.high) }), f.notes.join(", ") || "–",
      ])));
    }
    const lacks = [...new Set(mine.flatMap((f) => f.missing))];
    if (lacks.length) parts.push(h("h3", {}, say("missing_keys")), h("ul", {}, lacks.map((key) => h("li", {}, h("code", {}, key), `: ${mine.filter((f) => f.missing.includes(key)).map((f) => f.label).join("; ")}`))));
  }
  return { title: say("kpi"), parts };
}

export async function audit() {
  const lines = await ask("/api/audit");
  const rest = (line) => Object.entries(line).filter(([key, value]) => !["at", "user", "address", "action"].includes(key) && value).map(([key, value]) => `${key}: ${value}`).join(", ");
  const heads = [left(say("when")), left(say("who")), left(say("address")), left(say("what")), left(say("remark"))];
  return { title: say("audit"), parts: [table(say("audit"), heads, lines.map((line) => [time(line.at), line.user, line.address, line.action, rest(line) || "–"]))] };
}

export function login(done) {
  const note = h("p", { role: "alert", class: "bad" });
  const form = h("form", {
    class: "login",
    submit: async (submitted) => {
      submitted.preventDefault();
      note.textContent = "";
      try {
        await done(await ask("/api/login", Object.fromEntries(new FormData(form))));
      } catch (error) {
        note.textContent = say("failed", { why: error.message });
      }
    },
  },
  h("label", {}, say("name"), h("input", { name: "name", autocomplete: "username", required: true, maxlength: 64 })),
  h("label", {}, say("password"), h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 256 })),
  h("button", { type: "submit" }, say("login")), note);
  return { title: say("login"), parts: [form] };
}
