"use strict";
/* A caption with its nouns as buttons, and what was changed in it. */

/** What a policy took out of a caption, and what it wrote. */
function edits(entry) {
  const added = entry.actions
    .filter((action) => action.outcome === "replaced" && action.new)
    .map((action) => written(entry, action))
    .filter(Boolean);
  const removed = entry.actions
    .filter((action) => action.outcome !== "kept" && action.old)
    .map((action) => [Math.min(action.start, entry.text.length), action.old]);
  return { added, removed, gone: "removed: " };
}

/** Where what an action wrote stands now. */
function written(entry, action) {
  const start = entry.text.indexOf(action.new, Math.max(0, action.start));
  return start < 0 ? null : [start, start + action.new.length];
}

/** `changes`: `added`, pairs of places; `removed`, pairs of a place and a text. */
function captionText(entry, changes, button) {
  const paragraph = make("p", { class: "caption" });
  const { added, removed, gone } = changes;
  const isNew = (place) => added.some(([start, end]) => start <= place && place < end);
  const marks = new Set([0, entry.text.length, ...added.flat(), ...removed.map(([start]) => start)]);
  const shown = entry.mentions.filter((mention) => mention.visible || mention.flagged);
  for (const mention of shown) marks.add(mention.start).add(mention.end);
  const places = [...marks].filter((place) => place <= entry.text.length).sort((a, b) => a - b);
  const mentions = new Map(shown.map((mention) => [mention.start, mention]));
  let skip = -1;
  places.forEach((place, order) => {
    if (place < skip) return;
    for (const [start, old] of removed)
      if (start === place) paragraph.append(" ", make("del", {}, make("span", { class: "hidden" }, gone), old), /^[\s\p{P}]/u.test(entry.text.slice(place)) ? "" : " ");
    const mention = mentions.get(place);
    const end = mention ? mention.end : places[order + 1];
    if (end === undefined || end === place) return;
    skip = end;
    const piece = mention ? button(mention) : entry.text.slice(place, end);
    if (!isNew(place)) paragraph.append(piece);
    else if (paragraph.lastChild?.nodeName === "INS") paragraph.lastChild.append(piece);
    else paragraph.append(make("ins", {}, piece));
  });
  if (!entry.text) paragraph.append(make("span", { class: "note" }, "The caption is empty."));
  if (entry.finish === "length" || entry.finish === "interrupted")
    paragraph.append(make("span", { class: "note" }, entry.finish === "length" ? " … cut at the length limit" : " … interrupted"));
  return paragraph;
}

/** A noun that can be pointed at, and chosen. */
function mentionButton(text, mention, { offer, leave, pick }) {
  const p = suspicion(mention);
  const said = [mention.flagged ? "likely made up" : null, p === null ? null : percent(p)].filter(Boolean);
  const element = make(
    "button",
    {
      type: "button",
      class: `mention${p === null ? "" : " scored"}${mention.flagged ? " flagged" : ""}`,
      "aria-pressed": "false",
      onpointerenter: (event) => event.pointerType === "mouse" && offer(element),
      onpointerleave: () => leave(),
      onfocus: () => offer(element),
      onclick: () => pick(element),
    },
    text,
    make("span", { class: "hidden" }, said.length ? ` (${said.join(", ")})` : ""),
  );
  if (p !== null) element.style.setProperty("--p", Math.min(1, Math.max(0, p)));
  return element;
}

/** What the colours and marks of some captions mean. */
function legend(some) {
  const all = some.filter((entry) => !entry.error);
  if (!all.some((entry) => entry.mentions.some((mention) => suspicion(mention) !== null)))
    return make("p", { class: "legend" }, "Without a calibration nothing is flagged.");
  const acted = all.some((entry) => entry.actions.length);
  return make(
    "p",
    { class: "legend" },
    make("span", {}, "likely there ", make("span", { class: "swatch" }), " likely made up"),
    make("span", {}, make("span", { class: "mention flagged" }, "flagged")),
    some.length > 1
      ? make("span", {}, make("del", {}, "only in the first"), " ", make("ins", {}, "only here"))
      : acted
        ? make("span", {}, make("del", {}, "taken out"), " ", make("ins", {}, "written instead"))
        : null,
  );
}
