"use strict";
/* What there is in all: a few numbers, or a row of them for each file. */

const count = (number) => number.toLocaleString("en");

/** The numbers of some entries. */
function tallied(some) {
  const captions = some.filter((entry) => !entry.error);
  const done = new Map();
  for (const entry of captions) for (const action of entry.actions) done.set(action.outcome, (done.get(action.outcome) ?? 0) + 1);
  return {
    captions: captions.length,
    named: captions.reduce((sum, entry) => sum + objects(entry).length, 0),
    flagged: captions.filter((entry) => flags(entry) > 0).length,
    flags: captions.reduce((sum, entry) => sum + flags(entry), 0),
    done,
    failed: some.length - captions.length,
    words: captions.reduce((sum, entry) => sum + entry.text.split(/\s+/).filter(Boolean).length, 0),
  };
}

function tiles() {
  const { captions, named, flagged, done, failed } = tallied(entries);
  const shown = [
    [count(captions), captions === 1 ? "caption" : "captions"],
    [count(named), "objects named"],
    [count(flagged), `with a flag (${percent(flagged / Math.max(captions, 1))})`],
    ...[...done].map(([outcome, number]) => [count(number), `spans ${outcome}`]),
    ...(failed ? [[count(failed), failed === 1 ? "image failed" : "images failed"]] : []),
  ];
  return make("ul", { class: "tiles" }, ...shown.map(([value, name]) => make("li", {}, make("strong", {}, value), ` ${name}`)));
}

/** A row for each file that is compared. */
function table() {
  const all = files.map((_, file) => tallied(entries.filter((entry) => entry.file === file)));
  const outcomes = [...new Set(all.flatMap(({ done }) => [...done.keys()]))];
  const failed = all.some((one) => one.failed > 0);
  const heads = ["File", "Captions", "Words each", "Objects named", "Flags", "Captions with a flag", ...outcomes.map((one) => `Spans ${one}`), ...(failed ? ["Images failed"] : [])];
  const row = (file) => {
    const { captions, words, named, flags: raised, flagged, done, failed: lost } = all[file];
    const first = entries.find((entry) => entry.file === file && !entry.error);
    const cells = [
      count(captions),
      number(words / Math.max(captions, 1)),
      count(named),
      count(raised),
      `${count(flagged)} (${percent(flagged / Math.max(captions, 1))})`,
      ...outcomes.map((one) => count(done.get(one) ?? 0)),
      ...(failed ? [count(lost)] : []),
    ];
    const name = make("th", { scope: "row" }, files[file], first ? make("span", { class: "manner" }, manner(first)) : null);
    return make("tr", {}, name, ...cells.map((cell) => make("td", {}, cell)));
  };
  return make(
    "div",
    { class: "files", tabindex: "0", role: "region", "aria-label": "Files" },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...files.map((_, file) => row(file)))),
  );
}
