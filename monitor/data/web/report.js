"use strict";
/* Everything that a report says becomes text nodes: nothing here writes HTML. */

const ROW = 72; // pixels, as in the style
const PICTURES_AT_ONCE = 50; // per script element

const read = (kind) => [...document.querySelectorAll(`script.${kind}`)];
const entries = read("entries").flatMap((one) => JSON.parse(one.textContent));
const abouts = read("abouts").flatMap((one) => JSON.parse(one.textContent));
const packs = read("pictures");
const unpacked = new Map();

/** The picture of an entry; packs are read when one of theirs is first seen. */
function picture(index) {
  const pack = Math.floor(index / PICTURES_AT_ONCE);
  if (!unpacked.has(pack)) {
    if (unpacked.size > 40) unpacked.clear();
    unpacked.set(pack, JSON.parse(packs[pack].textContent));
  }
  return unpacked.get(pack)[index % PICTURES_AT_ONCE];
}

const objects = (entry) => (entry.mentions ?? []).filter((one) => one.object !== undefined);
const flags = (entry) => (entry.mentions ?? []).filter((one) => one.flagged).length;
const most = (entry) => Math.max(-1, ...objects(entry).map((one) => suspicion(one) ?? -1));
const title = (entry, index) => entry.path ?? `Caption ${index + 1}`;

/* --- the head ----------------------------------------------------------------------------- */

function tiles() {
  const captions = entries.filter((entry) => !entry.error);
  const named = captions.reduce((sum, entry) => sum + objects(entry).length, 0);
  const flagged = captions.filter((entry) => flags(entry) > 0).length;
  const done = new Map();
  for (const entry of captions)
    for (const action of entry.actions) done.set(action.outcome, (done.get(action.outcome) ?? 0) + 1);
  const failed = entries.length - captions.length;
  const shown = [
    [captions.length.toLocaleString("en"), captions.length === 1 ? "caption" : "captions"],
    [named.toLocaleString("en"), "objects named"],
    [flagged.toLocaleString("en"), `with a flag (${percent(flagged / Math.max(captions.length, 1))})`],
    ...[...done].map(([outcome, count]) => [count.toLocaleString("en"), `spans ${outcome}`]),
    ...(failed ? [[failed.toLocaleString("en"), failed === 1 ? "image failed" : "images failed"]] : []),
  ];
  at("tiles").replaceChildren(
    ...shown.map(([value, name]) => make("li", {}, make("strong", {}, value), ` ${name}`)),
  );
}

/* --- the list ----------------------------------------------------------------------------- */

let order = entries.map((_, index) => index);
let chosen = 0; // an entry

const texts = entries.map((entry) =>
  [entry.path, entry.text, entry.message, ...objects(entry).map((one) => one.object)]
    .filter(Boolean)
    .join("\n")
    .toLowerCase(),
);

function fits(entry, index) {
  const wanted = at("search").value.trim().toLowerCase();
  if (wanted && !texts[index].includes(wanted)) return false;
  const object = at("object").value;
  if (object && !objects(entry).some((one) => one.object === object)) return false;
  const least = Number(at("least").value) / 100;
  if (least > 0 && most(entry) < least) return false;
  const outcomes = (entry.actions ?? []).map((action) => action.outcome);
  switch (at("done").value) {
    case "": return true;
    case "flagged": return flags(entry) > 0;
    case "clear": return !entry.error && flags(entry) === 0;
    case "acted": return outcomes.length > 0;
    case "failed": return Boolean(entry.error);
    default: return outcomes.includes(at("done").value);
  }
}

function sorted(indices) {
  const by = {
    suspicion: (index) => -most(entries[index]),
    flags: (index) => -flags(entries[index]),
    length: (index) => -(entries[index].text ?? "").length,
  }[at("sort").value];
  if (at("sort").value === "name")
    return indices.sort((a, b) => title(entries[a], a).localeCompare(title(entries[b], b), "en"));
  if (!by) return indices;
  const keys = new Map(indices.map((index) => [index, by(index)]));
  return indices.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
}

function refresh() {
  at("least-shown").value = percent(Number(at("least").value) / 100);
  order = sorted(entries.map((_, index) => index).filter((index) => fits(entries[index], index)));
  at("count").textContent =
    `${order.length.toLocaleString("en")} of ${entries.length.toLocaleString("en")}`;
  at("rows").style.height = `${order.length * ROW}px`;
  at("list").scrollTop = 0;
  if (order.length && !order.includes(chosen)) show(order[0]);
  draw();
}

/** The rows that can be seen, and a few more; the others do not exist. */
function draw() {
  const list = at("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place += 1) rows.push(row(place));
  at("rows").replaceChildren(...rows);
  const active = `row-${chosen}`;
  if (document.getElementById(active)) list.setAttribute("aria-activedescendant", active);
  else list.removeAttribute("aria-activedescendant");
}

function row(place) {
  const index = order[place];
  const entry = entries[index];
  const source = picture(index);
  const count = flags(entry);
  const element = make(
    "div",
    {
      class: "row",
      id: `row-${index}`,
      role: "option",
      "aria-selected": index === chosen ? "true" : "false",
      "aria-setsize": order.length,
      "aria-posinset": place + 1,
      onclick: () => show(index),
    },
    source ? make("img", { src: source, alt: "" }) : make("div", { class: "blank" }),
    make("div", {}, make("span", { class: "name" }, title(entry, index)), make("p", {}, entry.error ? entry.message : entry.text)),
    make(
      "span",
      { class: count ? "badge" : "badge none" },
      entry.error ? "failed" : count || !entry.actions.length ? String(count) : "edited",
      make("span", { class: "hidden" }, count ? " flagged" : ""),
    ),
  );
  element.style.top = `${place * ROW}px`;
  return element;
}

function step(by) {
  if (!order.length) return;
  const here = order.indexOf(chosen);
  const place = Math.min(order.length - 1, Math.max(0, (here < 0 ? 0 : here) + by));
  show(order[place]);
  const list = at("list");
  if (place * ROW < list.scrollTop) list.scrollTop = place * ROW;
  else if ((place + 1) * ROW > list.scrollTop + list.clientHeight)
    list.scrollTop = (place + 1) * ROW - list.clientHeight;
  draw();
}

/* --- one caption -------------------------------------------------------------------------- */

function show(index) {
  chosen = index;
  const entry = entries[index];
  const parts = [make("h2", {}, title(entry, index))];
  if (entry.error) {
    parts.push(make("p", { class: "limit" }, `${entry.error}: ${entry.message}`));
  } else {
    const panel = make("div", { class: "panel", id: "panel", role: "status" });
    panel.append(make("p", { class: "note" }, "Choose an object to see what was measured."));
    parts.push(
      make(
        "div",
        { class: "look" },
        sight(entry, index),
        make("div", {}, caption(entry), legend(entry), panel),
      ),
    );
    parts.push(...whatWasDone(entry), account(entry));
  }
  at("detail").replaceChildren(...parts);
  if (at("list").clientHeight) draw();
  history.replaceState(null, "", `#${index + 1}`);
}

function sight(entry, index) {
  const source = picture(index);
  if (!source) return make("div", { class: "nopicture" }, "The image was not found.");
  return make(
    "figure",
    { id: "sight" },
    make("img", { src: source, alt: entry.path ?? "", width: entry.width, height: entry.height }),
  );
}

/** The caption with its objects as buttons, and what is gone struck where it stood. */
function caption(entry) {
  const paragraph = make("p", { class: "caption" });
  const fresh = entry.actions
    .filter((action) => action.outcome === "replaced")
    .map((action) => {
      const start = entry.text.indexOf(action.new, Math.max(0, action.start));
      return start < 0 ? [0, 0] : [start, start + action.new.length];
    });
  const isNew = (place) => fresh.some(([start, end]) => start <= place && place < end);
  const gone = entry.actions
    .filter((action) => action.outcome !== "kept" && action.old)
    .map((action) => [Math.min(action.start, entry.text.length), action.old]);
  const marks = new Set([0, entry.text.length, ...fresh.flat(), ...gone.map(([start]) => start)]);
  const shown = entry.mentions.filter((mention) => mention.visible || mention.flagged);
  for (const mention of shown) marks.add(mention.start).add(mention.end);
  const places = [...marks].filter((place) => place <= entry.text.length).sort((a, b) => a - b);
  const mentions = new Map(shown.map((mention) => [mention.start, mention]));
  let skip = -1;
  places.forEach((place, order) => {
    if (place < skip) return;
    for (const [start, old] of gone)
      if (start === place)
        paragraph.append(" ", make("del", {}, make("span", { class: "hidden" }, "removed: "), old), " ");
    const mention = mentions.get(place);
    const end = mention ? mention.end : places[order + 1];
    if (end === undefined || end === place) return;
    skip = end;
    const piece = mention ? button(entry, mention) : entry.text.slice(place, end);
    if (!isNew(place)) paragraph.append(piece);
    else if (paragraph.lastChild?.nodeName === "INS") paragraph.lastChild.append(piece);
    else paragraph.append(make("ins", {}, piece));
  });
  if (!entry.text) paragraph.append(make("span", { class: "note" }, "The caption is empty."));
  if (entry.finish === "length" || entry.finish === "interrupted")
    paragraph.append(make("span", { class: "note" }, entry.finish === "length" ? " … cut at the length limit" : " … interrupted"));
  return paragraph;
}

function button(entry, mention) {
  const p = suspicion(mention);
  const said = [mention.flagged ? "likely made up" : null, p === null ? null : percent(p)];
  const element = make(
    "button",
    {
      type: "button",
      class: `mention${p === null ? "" : " scored"}${mention.flagged ? " flagged" : ""}`,
      "aria-pressed": "false",
      onclick: () => choose(element, entry, mention),
    },
    entry.text.slice(mention.start, mention.end),
    make("span", { class: "hidden" }, said.some(Boolean) ? ` (${said.filter(Boolean).join(", ")})` : ""),
  );
  if (p !== null) element.style.setProperty("--p", Math.min(1, Math.max(0, p)));
  return element;
}

function legend(entry) {
  if (!entry.mentions.some((mention) => suspicion(mention) !== null))
    return make("p", { class: "legend" }, "Without a calibration nothing is flagged.");
  const sample = make("span", { class: "mention flagged" }, "flagged");
  return make(
    "p",
    { class: "legend" },
    make("span", {}, "likely there ", make("span", { class: "swatch" }), " likely made up"),
    make("span", {}, sample),
    entry.actions.length ? make("span", {}, make("del", {}, "taken out"), " ", make("ins", {}, "written instead")) : null,
  );
}

function choose(element, entry, mention) {
  for (const other of document.querySelectorAll(".mention[aria-pressed]"))
    other.setAttribute("aria-pressed", other === element ? "true" : "false");
  const about = abouts[entry.about];
  const threshold = about.calibration?.threshold ?? null;
  const p = suspicion(mention);
  const facts = [];
  if (p !== null) {
    const filled = make("i");
    filled.style.width = percent(Math.min(1, p));
    facts.push([
      mention.probability === undefined ? "Score" : "Probability that it is made up",
      make("span", {}, make("span", { class: "bar", "aria-hidden": "true" }, filled), mention.probability === undefined ? number(p) : percent(p)),
    ]);
    if (threshold !== null) facts.push(["Flagged from", mention.probability === undefined ? number(threshold) : percent(threshold)]);
  }
  if (p !== null && mention.prior !== undefined) facts.push(["What the text alone says", `${number(mention.prior)} log-odds`]);
  if (p !== null && mention.evidence !== undefined) facts.push(["What the model's inside adds", `${mention.evidence > 0 ? "+" : ""}${number(mention.evidence)} log-odds`]);
  if (mention.svar !== undefined) facts.push([`SVAR, layers ${about.layers.first}–${about.layers.last}`, number(mention.svar)]);
  if (mention.log_prob !== undefined) facts.push(["Probability of its first token", percent(Math.exp(mention.log_prob))]);
  if (mention.entropy !== undefined) facts.push(["Entropy there", `${number(mention.entropy)} nats`]);
  const name = mention.object && mention.object !== mention.word.toLowerCase() ? `${mention.word} (${mention.object})` : mention.word;
  at("panel").replaceChildren(
    make("h3", {}, name, mention.flagged ? " — flagged" : ""),
    definitions(facts),
  );
}

function definitions(facts) {
  return make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function whatWasDone(entry) {
  if (!entry.actions.length) return [];
  const score = (value) => (value === undefined ? "" : ` (${number(value)})`);
  return [
    make("h3", {}, "What the policy did"),
    ...entry.actions.map((action) =>
      make(
        "div",
        { class: "action" },
        make("p", {}, make("strong", {}, action.outcome), ` — ${action.reason}. Flagged: ${action.objects.join(", ")}`),
        action.old ? make("p", {}, make("del", {}, action.old), score(action.old_score)) : null,
        action.new && action.outcome === "replaced"
          ? make("p", {}, make("ins", {}, action.new), score(action.new_score))
          : null,
        action.tries.length
          ? make(
              "ol",
              {},
              ...action.tries.map((one) => make("li", {}, `${one.intervention}: “${one.text}”${score(one.score ?? undefined)}, ${one.result}, ${one.tokens} tokens`)),
            )
          : null,
        make("p", { class: "note" }, `${action.extra_tokens} extra tokens${action.milliseconds === undefined ? "" : `, ${number(action.milliseconds)} ms`}`),
      ),
    ),
  ];
}

function account(entry) {
  const about = abouts[entry.about];
  const calibration = about.calibration === "uncalibrated" ? null : about.calibration;
  const settings = Object.entries(about.settings).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const facts = [
    ["Model", `${about.model.name} (${about.model.architecture}, ${about.model.dtype}, ${about.model.device})`],
    ["Prompt", make("pre", {}, about.prompt)],
    ["Image tokens", String(about.image_tokens)],
    ["Settings", settings.join(", ")],
    ["Calibration", calibration ? calibration.name : "none: measured, never flagged"],
  ];
  if (about.policy) facts.push(["Policy", make("pre", {}, JSON.stringify(about.policy, null, 1))]);
  if (entry.seconds !== null) facts.push(["Seconds", number(entry.seconds)]);
  const words = [calibration?.certificate, calibration?.guarantee].filter(Boolean);
  return make(
    "details",
    {},
    make("summary", {}, "How it was made"),
    ...words.map((promise) => make("p", { class: "promise" }, promise)),
    ...(calibration?.limits ?? []).map((limit) => make("p", { class: "limit" }, limit)),
    definitions(facts),
  );
}

/** To the next object of the caption, or the one before. */
function nextMention(by) {
  const all = [...document.querySelectorAll("#detail .mention[aria-pressed]")];
  if (!all.length) return;
  const here = all.findIndex((one) => one.getAttribute("aria-pressed") === "true");
  const next = all[(here + by + (here < 0 && by < 0 ? 1 : 0) + all.length) % all.length];
  next.focus();
  next.click();
}

/* --- at last ------------------------------------------------------------------------------ */

function fillObjects() {
  const counts = new Map();
  for (const entry of entries)
    for (const name of new Set(objects(entry).map((one) => one.object)))
      counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].sort((a, b) => a[0].localeCompare(b[0], "en"));
  at("object").append(
    ...names.map(([name, count]) => make("option", { value: name }, `${name} (${count})`)),
  );
}

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const page = Math.max(1, Math.floor(at("list").clientHeight / ROW) - 1);
  const inList = event.target === at("list");
  const moves = { j: 1, k: -1 };
  if (inList)
    Object.assign(moves, { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -entries.length, End: entries.length });
  if (event.key in moves) step(moves[event.key]);
  else if (event.key === "n") nextMention(1);
  else if (event.key === "p") nextMention(-1);
  else if (event.key === "/") at("search").focus();
  else return;
  event.preventDefault();
});

at("main").classList.toggle("single", entries.length < 2);
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("filters").addEventListener("input", refresh);
let drawing = 0;
at("list").addEventListener("scroll", () => {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    draw();
  });
});
addEventListener("resize", draw);
tiles();
fillObjects();
if (entries.length) {
  const asked = Number(location.hash.slice(1)) - 1;
  show(entries[asked] ? asked : 0);
}
refresh();
document.documentElement.dataset.ready = "yes";
