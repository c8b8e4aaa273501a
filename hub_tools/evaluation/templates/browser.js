// The error browser's page: reads the rows in #data (see hub_tools/evaluation/browser.py), keeps its state in the
// address after "#", and draws with textContent only, so that no sentence can become markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 25;
const SIGNS = { positive: "▲", neutral: "●", negative: "▼", conflict: "◆" };
const TONES = { right: "right", wrong_polarity: "near", wrong_boundary: "near", wrong_implicit: "near",
  wrong_category: "near", partly_right: "near" };
const FIRST = { q: "", kind: "", polarity: "", category: "", subset: "", hard: "", show: "", compare: "", who: "",
  model: "", seed: "", cell: "", id: "", page: "1" };
const LABELS = { q: "text", kind: "finding", polarity: "polarity", category: "category", subset: "subset",
  hard: "sentences", show: "show", compare: "systems", who: "errors of", model: "model", seed: "seed",
  cell: "polarities", id: "sentence" };
const SHOW = { wrong: "with errors", right: "all right" };
const COMPARE = { ab: "A right, B wrong", ba: "B right, A wrong", both: "both right", neither: "both wrong",
  differ: "different answers" };
const two = data.names.length === 2;
const systems = data.names.map((_, number) => number);
const place = (field) => data.fields.indexOf(field);
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const percent = (part, whole) => (whole ? (100 * part / whole).toFixed(1) : "–");

let state = { ...FIRST };

for (const row of data.rows) {
  row.search = [row.id, row.sentence, row.reference, ...row.systems.map((system) => system.prediction)]
    .join("\n").toLowerCase();
  for (const system of row.systems) system.right = system.findings.every((finding) => finding.kind === "right");
}

/** An element with attributes and children; text is always text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/* ---- which rows and findings are asked for ---- */

const items = (finding, row) => [finding.gold === undefined ? null : row.gold[finding.gold], finding.predicted || null];

/** A finding's field in gold and in the prediction, null where there is none. */
function values(finding, row, field) {
  return items(finding, row).map((item) => (item && place(field) >= 0 ? item[place(field)] : null));
}

function asked(finding, row, but = "") {
  const filter = (name) => (name === but ? "" : state[name]);
  if (filter("kind") === "context" ? !finding.context : filter("kind") === "error" ? finding.kind === "right"
    : filter("kind") && finding.kind !== filter("kind")) return false;
  if (filter("polarity") && !values(finding, row, "polarity").includes(filter("polarity"))) return false;
  if (filter("category") && !values(finding, row, "category").includes(filter("category"))) return false;
  return !filter("cell") || filter("cell") === cellOf(finding, row);
}

function cellOf(finding, row) {
  if (finding.kind === "malformed" || finding.kind === "repeated") return null;
  return values(finding, row, "polarity").map((polarity) => polarity || "none").join(">");
}

const shownSystems = () => (two && state.who ? [Number(state.who)] : systems);
const findingFilters = (but) => ["kind", "polarity", "category", "cell"].some((name) => name !== but && state[name]);

function matches(row, but = "") {
  if (state.id && row.id !== state.id) return false;
  if (state.model && row.model !== state.model) return false;
  if (state.seed && row.seed !== state.seed) return false;
  if (state.subset && !row.flags.includes(state.subset)) return false;
  if (state.hard && row.flags.includes("hard") !== (state.hard === "hard")) return false;
  if (state.show && row.systems.every((system) => system.right) !== (state.show === "right")) return false;
  if (state.compare) {
    const [a, b] = row.systems.map((system) => system.right);
    const differ = row.systems[0].prediction !== row.systems[1].prediction;
    if (!{ ab: a && !b, ba: b && !a, both: a && b, neither: !a && !b, differ }[state.compare]) return false;
  }
  if (state.q && !row.search.includes(state.q.toLowerCase())) return false;
  if (!findingFilters(but)) return true;
  return shownSystems().some((system) => row.systems[system].findings.some((finding) => asked(finding, row, but)));
}

/* ---- the address and the controls ---- */

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  state = { ...FIRST };
  for (const name of Object.keys(FIRST)) if (given.has(name)) state[name] = given.get(name);
}

function addressOf(wanted) {
  const entries = Object.entries(wanted).filter(([name, value]) => value !== FIRST[name]);
  return "#" + new URLSearchParams(entries).toString();
}

function change(changes) {
  state = { ...state, page: "1", ...changes };
  history.replaceState(null, "", addressOf(state));
  render();
}

const toggle = (name, value) => change({ [name]: state[name] === value ? "" : value });

function choice(name, label, options) {
  const select = make("select", { id: `f-${name}`, onchange: (event) => change({ [name]: event.target.value }) },
    options.map(([value, text]) => make("option", { value }, text)));
  return make("label", { for: `f-${name}` }, label, select);
}

function controls() {
  let waiting;
  const search = make("input", { id: "f-q", type: "search", autocomplete: "off", placeholder: "words, targets, an id …",
    oninput: (event) => { clearTimeout(waiting); waiting = setTimeout(() => change({ q: event.target.value }), 150); } });
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(make("label", { class: "search", for: "f-q" }, "Search", search));
  const kinds = Object.entries(data.kinds).map(([kind, { label }]) => [kind, label]);
  form.append(choice("kind", "Finding", [["", "any"], ["error", "any error"], ...kinds, ["context", "may need context"]]));
  if (two) {
    form.append(choice("compare", "A against B", [["", "all"], ...Object.entries(COMPARE)]));
    form.append(choice("who", "Finding of", [["", "A or B"], ["0", "A"], ["1", "B"]]));
  } else {
    form.append(choice("show", "Show", [["", "all"], ...Object.entries(SHOW)]));
  }
  const known = (values) => values.map((value) => [value, value.replaceAll("_", " ")]);
  if (data.polarities.length) form.append(choice("polarity", "Polarity", [["", "any"], ...known(data.polarities)]));
  if (data.categories.length) form.append(choice("category", "Category", [["", "any"], ...known(data.categories)]));
  if (data.subsets.length) form.append(choice("subset", "Subset", [["", "all"], ...known(data.subsets)]));
  if (data.hard) form.append(choice("hard", "Test set", [["", "both"], ["official", "official"], ["hard", "hard"]]));
  if (data.models.length > 1) form.append(choice("model", "Model", [["", "all"], ...known(data.models)]));
  if (data.seeds.length > 1) form.append(choice("seed", "Seed", [["", "all"], ...known(data.seeds)]));
}

function syncControls() {
  for (const name of Object.keys(FIRST)) {
    const control = byId(`f-${name}`);
    if (!control) continue;
    if (control !== document.activeElement || control.tagName === "SELECT") control.value = state[name];
    control.classList.toggle("set", state[name] !== "");
  }
  const told = Object.keys(LABELS).filter((name) => state[name]);
  const said = (name) => ({ kind: data.kinds[state.kind]?.label || { context: "may need context", error: "any error" }[state.kind],
    show: SHOW[state.show], compare: COMPARE[state.compare], who: data.names[Number(state.who)],
    cell: state.cell.replace(">", " → ") }[name] || state[name]);
  byId("active").replaceChildren(...told.map((name) => make("button", { type: "button", "data-key": `active-${name}`,
    onclick: () => { if (byId(`f-${name}`)) byId(`f-${name}`).value = ""; change({ [name]: "" }); } },
    `${LABELS[name]}: ${said(name)} `, make("span", { "aria-hidden": "true" }, "×"),
    make("span", { class: "unseen" }, " remove this filter"))));
  if (told.length) byId("active").append(make("button", { type: "button", onclick: () => {
    if (byId("f-q")) byId("f-q").value = ""; change(FIRST); } }, "clear all"));
}

/* ---- numbers over the rows that are shown ---- */

function drawScores(rows) {
  const sums = systems.map((system) => [0, 1, 2].map((at) => rows.reduce((sum, row) => sum + row.systems[system].counts[at], 0)));
  const line = (name, value, kind = null) => make("tr", { class: kind }, make("th", { scope: "row" }, name),
    systems.map((system) => make("td", {}, value(...sums[system], system))));
  const head = make("thead", {}, make("tr", {}, make("td", {}), systems.map((system) => make("th", { scope: "col", title: data.names[system] }, "AB"[system]))));
  const body = make("tbody", {},
    line("F1", (right, predicted, gold) => percent(2 * right, predicted + gold), "main"),
    line("precision", (right, predicted) => percent(right, predicted)),
    line("recall", (right, _, gold) => percent(right, gold)),
    line("right", (right) => number(right)),
    line("predicted", (_, predicted) => number(predicted)),
    line("gold", (_right, _predicted, gold) => number(gold)),
    line("all right", (_right, _predicted, _gold, system) => number(rows.filter((row) => row.systems[system].right).length)));
  const names = systems.map((system) => make("p", { class: "quiet" }, make("b", {}, "AB"[system]), ` ${data.names[system]}`));
  byId("scores").replaceChildren(make("h2", {}, "Strict scores"), make("p", { class: "quiet" }, `of the ${data.unit} shown`),
    ...(two ? names : []), make("table", { class: "scores" }, two ? head : null, body));
}

function drawKinds(rows) {
  const counts = {};
  for (const row of rows) {
    for (const system of systems) {
      for (const finding of row.systems[system].findings) {
        if (!asked(finding, row, "kind")) continue;
        for (const kind of [finding.kind, ...(finding.context ? ["context"] : [])]) {
          (counts[kind] ||= systems.map(() => 0))[system] += 1;
        }
      }
    }
  }
  const wrong = Object.keys(data.kinds).filter((kind) => kind !== "right" && counts[kind]);
  const most = Math.max(1, ...wrong.flatMap((kind) => counts[kind]));
  const line = (kind, label, meaning, tone) => {
    const tracks = counts[kind].map((count) => {
      const track = make("span", { class: "track" });
      track.style.width = count ? `max(2px, ${100 * count / most}%)` : "0";
      return track;
    });
    return make("button", { type: "button", class: `kind ${tone}`, title: meaning, "data-key": `kind-${kind}`,
      "aria-pressed": String(state.kind === kind), onclick: () => toggle("kind", kind) },
      make("span", {}, label), make("span", { class: "tracks", "aria-hidden": "true" }, tracks),
      make("span", { class: "count" }, counts[kind].map(number).join(" / ")));
  };
  const bars = wrong.map((kind) => line(kind, data.kinds[kind].label, data.kinds[kind].meaning, TONES[kind] || "far"));
  if (counts.context) bars.push(line("context", "may need context", data.context, "aside"));
  const none = bars.length ? [] : [make("p", { class: "quiet" }, "No errors here.")];
  byId("kinds").classList.toggle("two", two);
  byId("kinds").replaceChildren(make("h2", { id: "kinds-title" }, two ? "Errors, A / B" : "Errors"), ...bars, ...none);
}

function drawConfusion(rows) {
  const system = state.who ? Number(state.who) : 0;
  const cells = {};
  for (const row of rows) {
    for (const finding of row.systems[system].findings) {
      const cell = asked(finding, row, "cell") && cellOf(finding, row);
      if (cell) cells[cell] = (cells[cell] || 0) + 1;
    }
  }
  const names = [...data.polarities, "none"];
  const most = Math.max(1, ...Object.values(cells));
  const sign = (name) => make("span", { class: `t-${name}`, "aria-hidden": "true" }, `${SIGNS[name]} `);
  const heading = (name) => (name === "none" ? "not in gold" : [sign(name), name]);
  const narrow = (name) => (name === "none" ? "missed" : make("span", { title: name }, sign(name), make("br"),
    make("span", { "aria-hidden": "true" }, name.slice(0, 3)), make("span", { class: "unseen" }, name)));
  const line = (gold) => make("tr", {}, make("th", { scope: "row" }, heading(gold)),
    names.map((predicted) => {
      const cell = `${gold}>${predicted}`;
      if (gold === "none" && predicted === "none") return make("td", {});
      const kind = gold === predicted ? "same" : gold === "none" || predicted === "none" ? "none" : "other";
      const button = make("button", { type: "button", "data-key": `cell-${cell}`, disabled: !cells[cell],
        "aria-pressed": String(state.cell === cell), onclick: () => toggle("cell", cell) }, number(cells[cell] || 0));
      if (cells[cell]) button.style.setProperty("--weight", `${10 + 45 * Math.sqrt(cells[cell] / most)}%`);
      return make("td", { class: kind }, button);
    }));
  const table = make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "gold ↓  said →"),
      names.map((name) => make("th", { scope: "col" }, narrow(name))))),
    make("tbody", {}, names.map(line)));
  byId("confusion").hidden = !data.polarities.length;
  byId("confusion").replaceChildren(
    make("h2", { id: "confusion-title" }, "Polarities" + (two ? ` of ${"AB"[system]}` : "")), table);
}

/* ---- one sentence ---- */

const polarityOf = (item) => (place("polarity") < 0 ? "other" : item[place("polarity")]);

/** The sentence, cut where a gold or predicted quote starts or ends. Places count characters, not UTF-16 units. */
function marked(row, system) {
  const characters = Array.from(row.sentence);
  const marks = [];
  const add = (item, spans, side) => data.fields.forEach((field, at) => {
    if (spans && spans[at]) marks.push({ side, field, polarity: polarityOf(item), start: spans[at][0], end: spans[at][1] });
  });
  row.gold.forEach((item, at) => add(item, row.spans[at], "gold"));
  for (const finding of row.systems[system].findings) if (finding.predicted) add(finding.predicted, finding.spans, "predicted");
  const cuts = [...new Set([0, characters.length, ...marks.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  return make("p", { class: "sentence" }, cuts.slice(0, -1).map((start, at) => {
    const text = characters.slice(start, cuts[at + 1]).join("");
    const here = marks.filter((mark) => mark.start <= start && start < mark.end);
    if (!here.length) return text;
    const classes = ["mark"];
    const first = (side, field) => here.find((mark) => mark.side === side && (mark.field === "opinion") === (field === "opinion"));
    const [gold, goldWords] = [first("gold", "target"), first("gold", "opinion")];
    const [predicted, words] = [first("predicted", "target"), first("predicted", "opinion")];
    if (gold || goldWords) classes.push(gold ? "gold" : "gold-words", `g-${(gold || goldWords).polarity}`);
    if (predicted || words) classes.push(`p-${(predicted || words).polarity}`, predicted ? "" : "words");
    const told = here.map((mark) => `${mark.side} ${mark.field}: ${mark.polarity}`).join("\n");
    return make("span", { class: classes.join(" ").trim(), title: told }, text);
  }));
}

function written(item, other = null) {
  const dot = make("span", { class: "dot", "aria-hidden": "true" }, "·");
  return make("span", { class: "item" }, item.flatMap((value, at) => {
    const field = data.fields[at];
    const before = at ? [dot.cloneNode(true), " "] : [];
    const changed = other && other[at] !== value ? "changed" : "";
    if (field === "polarity") {
      const sign = make("span", { "aria-hidden": "true" }, `${SIGNS[value]} `);
      return [...before, make("span", { class: `polarity t-${value} ${changed}` }, sign, value)];
    }
    const implicit = (field === "target" || field === "opinion") && (value === "none" || value === "");
    const text = implicit ? `no ${field}` : field === "category" ? value.replaceAll("_", " ") : value;
    return [...before, make("span", { class: `${implicit ? "none" : ""} ${changed}` }, text)];
  }));
}

function told(finding, row) {
  const [gold, predicted] = items(finding, row);
  const parts = [make("span", { class: `badge ${TONES[finding.kind] || "far"}`, title: data.kinds[finding.kind].meaning },
    data.kinds[finding.kind].label)];
  if (gold) parts.push(make("span", { class: "unseen" }, "gold: "), written(gold, finding.kind === "right" ? null : predicted));
  if (predicted && finding.kind !== "right") {
    if (gold) parts.push(make("span", { class: "arrow", "aria-hidden": "true" }, "→"));
    parts.push(make("span", { class: "unseen" }, " predicted: "), written(predicted, gold));
  }
  if (finding.text) parts.push(make("code", {}, finding.text));
  if (finding.detail && finding.kind === "wrong_category") parts.push(make("span", { class: "why" }, `(${finding.detail.replace("category: ", "")})`));
  if (finding.context) parts.push(make("span", { class: "badge aside", title: data.context }, "may need context"));
  return make("li", { class: findingFilters() && !asked(finding, row) ? "faded" : null }, parts);
}

function drawn(row) {
  const copied = (button) => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy as JSON"; }, 1500); };
  const tags = row.flags.map((flag) => make("span", { class: "tag" }, flag.replaceAll("_", " ")));
  for (const name of ["model", "seed"]) if (row[name] && data[`${name}s`].length > 1) tags.push(make("span", { class: "tag" }, `${name} ${row[name]}`));
  const only = { ...FIRST, id: row.id };
  return make("li", { class: "row", "data-id": row.id },
    make("div", { class: "head" }, make("a", { href: addressOf(only), title: "only this sentence: a link to keep" }, `# ${row.id}`), tags,
      make("button", { type: "button", onclick: (event) => copy(row).then(() => copied(event.target)) }, "copy as JSON")),
    make("div", { class: two ? "systems two" : "systems" }, systems.map((system) => {
      const { findings, right } = row.systems[system];
      const none = make("li", { class: "quiet" }, "no opinion, in gold or predicted");
      return make("div", {},
        two ? make("h3", {}, `${"AB"[system]}: ${data.names[system]}`,
          make("span", { class: `verdict ${right ? "right" : "wrong"}` }, right ? "✓ right" : "✗ wrong")) : null,
        marked(row, system),
        make("ul", { class: "findings" }, findings.length ? findings.map((finding) => told(finding, row)) : none));
    })));
}

/** The row as JSON to the clipboard. Where a page from a file may not write there, an old way that still may. */
async function copy(row) {
  const { search, spans, systems: answers, ...rest } = row;
  const plain = answers.map(({ prediction, findings }, system) => ({ system: data.names[system], prediction,
    findings: findings.map(({ spans: _, ...finding }) => ({ ...finding, gold: items(finding, row)[0] })) }));
  const text = JSON.stringify({ ...rest, fields: data.fields, systems: plain }, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/* ---- the whole page ---- */

function drawPages(count, page, pages) {
  const to = (wanted) => { change({ page: String(wanted) }); byId("results").scrollIntoView(); byId("results").focus(); };
  byId("pages").hidden = pages < 2;
  byId("pages").replaceChildren(
    make("button", { type: "button", disabled: page <= 1, onclick: () => to(page - 1) }, "← previous"),
    make("span", {}, `page ${number(page)} of ${number(pages)}`),
    make("button", { type: "button", disabled: page >= pages, onclick: () => to(page + 1) }, "next →"));
}

function render() {
  const key = document.activeElement?.dataset?.key;
  const rows = data.rows.filter((row) => matches(row));
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(state.page, 10) || 1));
  syncControls();
  byId("status").textContent = `${number(rows.length)} of ${number(data.rows.length)} ${data.unit}` +
    (pages > 1 ? `, ${PAGE} a page` : "");
  drawScores(rows);
  drawKinds(data.rows.filter((row) => matches(row, "kind")));
  drawConfusion(data.rows.filter((row) => matches(row, "cell")));
  byId("results").replaceChildren(...rows.slice((page - 1) * PAGE, page * PAGE).map(drawn));
  if (!rows.length) byId("results").append(make("li", { class: "row quiet" }, "Nothing fits these filters."));
  drawPages(rows.length, page, pages);
  if (key) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function drawFixed() {
  byId("subtitle").textContent = data.subtitle;
  const quoting = data.fields.filter((field) => field === "target" || field === "opinion");
  if (quoting.length) {
    byId("legend").append("In the text: ", make("span", { class: "mark gold g-positive" }, "gold"), " underlined, ",
      make("span", { class: "mark p-positive" }, "predicted"), " shaded",
      ...(quoting.includes("opinion") ? ["; opinion words ", make("span", { class: "mark gold-words g-positive" }, "dotted"), " and ",
        make("span", { class: "mark words p-positive" }, "dashed")] : []),
      ". Places are looked up, as texts carry none.");
  }
  const words = Object.values(data.kinds).flatMap(({ label, meaning }) => [make("dt", {}, label), make("dd", {}, meaning)]);
  byId("meanings").append(make("h2", {}, "What the names mean"),
    make("dl", {}, words, make("dt", {}, "may need context"), make("dd", {}, data.context)), make("p", {}, data.rule));
}

document.querySelector("[data-plain]").addEventListener("click", (event) => { event.preventDefault(); byId("results").focus(); });
window.addEventListener("hashchange", () => { readAddress(); if (byId("f-q")) byId("f-q").value = state.q; render(); scrollTo(0, 0); });
controls();
drawFixed();
readAddress();
render();
