"use strict";
/* What the page brings along: captions, their pictures, and what is known of their insides. */

const PICTURES_AT_ONCE = 50; // per script element
const INSIDES_KEPT = 30;

const read = (kind) => [...document.querySelectorAll(`script.${kind}`)];
const entries = read("entries").flatMap((one) => JSON.parse(one.textContent));
const abouts = read("abouts").flatMap((one) => JSON.parse(one.textContent));
const files = read("files").flatMap((one) => JSON.parse(one.textContent));
const packs = read("pictures");
const unpacked = new Map();
const packedInsides = new Map(read("inside").map((one) => [Number(one.dataset.entry), one]));
const insides = new Map(); // promises, the latest last

for (const entry of entries) {
  if (entry.error) continue;
  const unit = unitsOf(entry.text);
  for (const mention of entry.mentions) [mention.start, mention.end] = [unit(mention.start), unit(mention.end)];
  for (const action of entry.actions) action.start = unit(action.start);
}

/** Captions of one image stand together where files are compared; else each by itself. */
const groups = [];
const groupOf = new Map();
entries.forEach((entry, index) => {
  const group = groupOf.get(entry.with ?? -1);
  if (group !== undefined) groups[group].push(index);
  else {
    groupOf.set(index, groups.length);
    groups.push([index]);
  }
});
const compared = entries.some((entry) => entry.with !== undefined);

/** The picture of an entry; packs are read when one of theirs is first seen. */
function pictureOf(index) {
  const pack = Math.floor(index / PICTURES_AT_ONCE);
  if (!unpacked.has(pack)) {
    if (unpacked.size > 40) unpacked.clear();
    unpacked.set(pack, JSON.parse(packs[pack].textContent));
  }
  return unpacked.get(pack)[index % PICTURES_AT_ONCE];
}

/** The picture of a group: it is there once. */
function picture(group) {
  for (const index of groups[group]) {
    const found = pictureOf(index);
    if (found) return found;
  }
  return null;
}

/** A promise of an entry's inside, `null` where the report says nothing of it. */
function insideOf(index) {
  const packed = packedInsides.get(index);
  if (!packed) return Promise.resolve(null);
  const found = insides.get(index) ?? unpack(packed.textContent).then(({ mentions, ...inside }) => new Inside(inside, mentions));
  insides.delete(index);
  insides.set(index, found);
  if (insides.size > INSIDES_KEPT) insides.delete(insides.keys().next().value);
  return found;
}

const objects = (entry) => (entry.mentions ?? []).filter((one) => one.object !== undefined);
const flags = (entry) => (entry.mentions ?? []).filter((one) => one.flagged).length;
const most = (entry) => Math.max(-1, ...objects(entry).map((one) => suspicion(one) ?? -1));
const title = (group) => entries[groups[group][0]].path ?? `Caption ${group + 1}`;

/** What a caption was written under, in a word or two. */
function manner(entry) {
  if (entry.error) return "";
  const { policy, settings } = abouts[entry.about];
  const sampled = settings.do_sample ? "sampled" : settings.num_beams > 1 ? "beam search" : "greedy";
  return policy ? `${sampled}, ${String(policy.act)}` : sampled;
}

const differences = new Map();

/** How an entry's caption differs from the first of its group; `null` for that one and failures. */
function differs(group, index) {
  const base = groups[group].find((one) => !entries[one].error);
  if (index === base || base === undefined || entries[index].error) return null;
  if (!differences.has(index)) differences.set(index, difference(entries[base].text, entries[index].text));
  return differences.get(index);
}

/** Words by which a group's captions differ. */
const apart = (group) => groups[group].reduce((sum, index) => sum + (differs(group, index)?.count ?? 0), 0);
