"use strict";
/* One image with its captions, and the page around it. Everything that a report says becomes text
   nodes: nothing here writes HTML. */

let looked = null; // the picture that is looked at, and a noun

function show(group) {
  chosen = group;
  const members = groups[group];
  const parts = [make("h2", {}, title(group))];
  const captions = members.filter((index) => !entries[index].error);
  const failures = members.filter((index) => entries[index].error).map(failure);
  if (!captions.length) {
    looked = null;
    parts.push(...failures);
  } else {
    const first = entries[captions[0]];
    looked = new Look({ source: picture(group), alt: first.path ?? "", width: first.width, height: first.height });
    const words = compared
      ? make("div", { class: "cards" }, ...members.map((index) => card(group, index)))
      : captionText(first, edits(first), (mention) => button(captions[0], mention));
    const said = [words, legend(members.map((index) => entries[index]))];
    if (compared) parts.push(...said.splice(0));
    parts.push(
      make("div", { class: "look" }, looked.sight.element, make("div", { class: "told" }, ...said, looked.panel)),
      ...(compared ? [] : whatWasDone(first)),
      ...captions.map((index) => account(entries[index])),
    );
  }
  at("detail").replaceChildren(...parts);
  // The picture can be read without any noun.
  const known = captions.find((index) => packedInsides.has(index));
  if (known !== undefined) looked.begin(insideOf(known), rangeOf(entries[known]));
  if (at("list").clientHeight) draw();
  history.replaceState(null, "", `#${group + 1}`);
}

function failure(index) {
  return make("p", { class: "limit" }, `${entries[index].error}: ${entries[index].message}`);
}

/** One of several captions of an image. */
function card(group, index) {
  const entry = entries[index];
  const head = make("h3", {}, files[entry.file], make("span", { class: "manner" }, manner(entry)));
  if (entry.error) return make("section", { class: "beside" }, head, failure(index));
  const apart = differs(group, index);
  const changes = apart ? { ...apart, gone: "only in the first: " } : { added: [], removed: [], gone: "" };
  const said = apart === null ? [] : [apart.count ? `${apart.count} words differ` : "the same as the first"];
  if (flags(entry)) said.unshift(`${flags(entry)} flagged`);
  return make(
    "section",
    { class: "beside" },
    head,
    captionText(entry, changes, (mention) => button(index, mention)),
    said.length ? make("p", { class: "note" }, said.join(", ")) : null,
    entry.actions.length ? make("details", {}, make("summary", {}, "What the policy did"), ...entry.actions.map(actionCard)) : null,
  );
}

/* --- one noun ----------------------------------------------------------------------------- */

const rangeOf = (entry) => [abouts[entry.about].layers.first, abouts[entry.about].layers.last];

function button(index, mention) {
  const entry = entries[index];
  return looked.button(entry.text.slice(mention.start, mention.end), mention, {
    index: entry.mentions.indexOf(mention),
    range: rangeOf(entry),
    facts: () => [
      files.length > 1 ? make("p", { class: "note" }, `In ${files[entry.file]}`) : "",
      ...measured(mention, abouts[entry.about]),
      ...doneAbout(entry, mention),
    ],
    // Unpacked when it is asked for.
    get inside() {
      return insideOf(index);
    },
  });
}

/** To the next object of the captions, or the one before. */
function nextMention(by) {
  const all = [...document.querySelectorAll("#detail .mention[aria-pressed]")];
  if (!all.length) return;
  const here = all.findIndex((one) => one.getAttribute("aria-pressed") === "true");
  const next = all[(here + by + (here < 0 && by < 0 ? 1 : 0) + all.length) % all.length];
  next.focus();
  next.click();
}

/* --- how it was made ---------------------------------------------------------------------- */

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
  const words = [calibration?.certificate?.words, calibration?.guarantee].filter(Boolean);
  return make(
    "details",
    {},
    make("summary", {}, files.length > 1 ? `How it was made: ${files[entry.file]}` : "How it was made"),
    ...words.map((promise) => make("p", { class: "promise" }, promise)),
    ...(calibration?.limits ?? []).map((limit) => make("p", { class: "limit" }, limit)),
    definitions(facts),
  );
}

/* --- at last ------------------------------------------------------------------------------ */

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
  if (inList) Object.assign(moves, { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -entries.length, End: entries.length });
  if (event.key in moves) step(moves[event.key]);
  else if (event.key === "n") nextMention(1);
  else if (event.key === "p") nextMention(-1);
  else if (event.key === "/") at("search").focus();
  else if (looked?.key(event)) event.preventDefault();
  else return;
  event.preventDefault();
});

at("main").classList.toggle("single", groups.length < 2);
document.body.classList.toggle("compared", compared);
at("insidekeys").hidden = packedInsides.size === 0;
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
at("summary").replaceWith(files.length > 1 ? table() : tiles());
fillFilters();
if (groups.length) {
  const asked = Number(location.hash.slice(1)) - 1;
  show(groups[asked] ? asked : 0);
}
refresh();
document.documentElement.dataset.ready = "yes";
