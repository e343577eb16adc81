"use strict";
/* All captions, those that are wanted, in the order that is wanted. */

const ROW = 72; // pixels, as in the style

let order = groups.map((_, group) => group);
let chosen = 0; // a group

const texts = entries.map((entry) =>
  [entry.path, entry.text, entry.message, ...objects(entry).map((one) => one.object)]
    .filter(Boolean)
    .join("\n")
    .toLowerCase(),
);

/** The captions of a group that filters and order look at. */
function wantedOf(group) {
  const file = at("of").value;
  return file === "" ? groups[group] : groups[group].filter((index) => entries[index].file === Number(file));
}

function fitsOne(index) {
  const entry = entries[index];
  const wanted = at("search").value.trim().toLowerCase();
  if (wanted && !texts[index].includes(wanted)) return false;
  const object = at("object").value;
  if (object && !objects(entry).some((one) => one.object === object)) return false;
  const least = Number(at("least").value) / 100;
  if (least > 0 && most(entry) < least) return false;
  const outcomes = (entry.actions ?? []).map((action) => action.outcome);
  switch (at("done").value) {
    case "": case "differ": case "same": return true;
    case "flagged": return flags(entry) > 0;
    case "clear": return !entry.error && flags(entry) === 0;
    case "acted": return outcomes.length > 0;
    case "failed": return Boolean(entry.error);
    default: return outcomes.includes(at("done").value);
  }
}

function fits(group) {
  const done = at("done").value;
  if ((done === "differ" || done === "same") && (apart(group) > 0) !== (done === "differ")) return false;
  return wantedOf(group).some(fitsOne);
}

function sorted(some) {
  const highest = (measure) => (group) => -Math.max(-1, ...wantedOf(group).map((index) => measure(entries[index])));
  const by = {
    suspicion: highest(most),
    flags: highest(flags),
    length: highest((entry) => (entry.text ?? "").length),
    apart: (group) => -apart(group),
  }[at("sort").value];
  if (at("sort").value === "name") return some.sort((a, b) => title(a).localeCompare(title(b), "en"));
  if (!by) return some;
  const keys = new Map(some.map((group) => [group, by(group)]));
  return some.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
}

function refresh() {
  at("least-shown").value = percent(Number(at("least").value) / 100);
  order = sorted(groups.map((_, group) => group).filter(fits));
  at("count").textContent = `${count(order.length)} of ${count(groups.length)}${compared ? " images" : ""}`;
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

function badge(index) {
  const entry = entries[index];
  const raised = flags(entry);
  return make(
    "span",
    { class: raised ? "badge" : "badge none", title: compared ? files[entry.file] : null },
    entry.error ? "failed" : raised || !entry.actions.length ? String(raised) : "edited",
    make("span", { class: "hidden" }, raised ? " flagged" : ""),
  );
}

function row(place) {
  const group = order[place];
  const first = entries[groups[group].find((index) => !entries[index].error) ?? groups[group][0]];
  const source = picture(group);
  const element = make(
    "div",
    {
      class: "row",
      id: `row-${group}`,
      role: "option",
      "aria-selected": group === chosen ? "true" : "false",
      "aria-setsize": order.length,
      "aria-posinset": place + 1,
      onclick: () => show(group),
    },
    source ? make("img", { src: source, alt: "" }) : make("div", { class: "blank" }),
    make("div", {}, make("span", { class: "name" }, title(group)), make("p", {}, first.error ? first.message : first.text)),
    make("span", { class: "badges" }, ...groups[group].slice(0, 4).map(badge)),
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
  else if ((place + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (place + 1) * ROW - list.clientHeight;
  draw();
}

/** What can be filtered by, as far as there is any. */
function fillFilters() {
  const counts = new Map();
  for (const entry of entries) for (const name of new Set(objects(entry).map((one) => one.object))) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].sort((a, b) => a[0].localeCompare(b[0], "en"));
  at("object").append(...names.map(([name, number]) => make("option", { value: name }, `${name} (${number})`)));
  for (const one of document.querySelectorAll(".comparing")) one.hidden = files.length < 2;
  if (files.length > 1) at("of").append(...files.map((name, file) => make("option", { value: file }, name)));
  if (!compared) return;
  at("done").append(make("option", { value: "differ" }, "captions differ"), make("option", { value: "same" }, "captions the same"));
  at("sort").append(make("option", { value: "apart" }, "most different"));
}
