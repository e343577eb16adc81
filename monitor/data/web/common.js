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
const percent = (share) => `${(100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0)}%`;
const number = (value) => Number(value.toPrecision(3)).toString();
/** How likely it is made up; a calibration on objects says nothing of other nouns. */
const suspicion = (mention) =>
  mention.object === undefined && !mention.flagged ? null : (mention.probability ?? mention.score ?? null);
