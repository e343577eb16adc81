"use strict";
/* What was measured of one noun. */

function definitions(facts) {
  return make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

/** A noun's name and its numbers; what is missing is left out. */
function measured(mention, { layers, calibration }) {
  const has = (name) => mention[name] !== undefined && mention[name] !== null;
  const threshold = calibration?.threshold ?? null;
  const p = suspicion(mention);
  const chance = has("probability");
  const facts = [];
  if (p !== null) {
    const filled = make("i");
    filled.style.width = `${100 * Math.min(1, Math.max(0, p))}%`;
    facts.push([
      chance ? "Probability that it is made up" : "Score",
      make("span", {}, make("span", { class: "bar", "aria-hidden": "true" }, filled), chance ? percent(p) : number(p)),
    ]);
    if (threshold !== null) facts.push(["Flagged from", chance ? percent(threshold) : number(threshold)]);
    if (has("prior")) facts.push(["What the text alone says", `${number(mention.prior)} log-odds`]);
    if (has("evidence")) facts.push(["What the model's inside adds", `${mention.evidence > 0 ? "+" : ""}${number(mention.evidence)} log-odds`]);
  }
  if (has("svar")) facts.push([layers.first === layers.last ? `SVAR, layer ${layers.first}` : `SVAR, layers ${layers.first}–${layers.last}`, number(mention.svar)]);
  if (has("log_prob")) facts.push(["Probability of its first token", percent(Math.exp(mention.log_prob))]);
  if (has("entropy")) facts.push(["Entropy there", `${number(mention.entropy)} nats`]);
  const name = has("object") && mention.object !== mention.word.toLowerCase() ? `${mention.word} (${mention.object})` : mention.word;
  return [make("h3", {}, name, mention.flagged ? " — flagged" : ""), definitions(facts)];
}
