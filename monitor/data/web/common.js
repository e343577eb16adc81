"use strict";
/* Shared by the report and the live page. What models and files say becomes text nodes:
   nothing here writes HTML. */

/** An element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const at = (id) => document.getElementById(id);
const percent = (share) => {
  const shown = 100 * share;
  if (shown > 0 && shown < 0.1) return "<0.1%";
  return `${shown.toFixed(shown > 0 && shown < 9.95 ? 1 : 0)}%`;
};
const number = (value) => Number(value.toPrecision(3)).toString();
/** How likely it is made up; a calibration on objects says nothing of other nouns. */
const suspicion = (mention) =>
  (mention.object ?? null) === null && !mention.flagged ? null : (mention.probability ?? mention.score ?? null);

/** From characters, which reports count, to the units of strings here: some characters take two. */
function unitsOf(text) {
  if (!/[\ud800-\udbff]/.test(text)) return (place) => place;
  const places = [];
  let unit = 0;
  for (const one of text) {
    places.push(unit);
    unit += one.length;
  }
  return (place) => places[place] ?? unit + Math.max(0, place - places.length);
}
