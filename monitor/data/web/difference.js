"use strict";
/* What one text has that another has not, word by word. */

const MOST_PAIRS = 4e6; // of words; beyond, what lies between the texts' common ends counts as other

/** Words and marks of punctuation, with their places. */
const wordsOf = (text) => [...text.matchAll(/[\p{L}\p{M}\p{N}'’-]+|\S/gu)].map((found) => ({ word: found[0], start: found.index, end: found.index + found[0].length }));

/**
 * How `text` differs from `base`.
 *
 * Returns `added`, pairs of places in `text`; `removed`, pairs of a place in `text` and the words
 * that stand there in `base`; and `count`, how many words that is, marks of punctuation left out.
 */
function difference(base, text) {
  const [old, fresh] = [wordsOf(base), wordsOf(text)];
  let first = 0;
  while (first < old.length && first < fresh.length && old[first].word === fresh[first].word) first += 1;
  let [a, b] = [old.length, fresh.length];
  while (a > first && b > first && old[a - 1].word === fresh[b - 1].word) [a, b] = [a - 1, b - 1];
  const kept = common(old.slice(first, a), fresh.slice(first, b)).map(([i, j]) => [i + first, j + first]);
  const added = [];
  const removed = [];
  let [i, j] = [first, first];
  for (const [nextOld, nextFresh] of [...kept, [a, b]]) {
    const place = j < fresh.length ? fresh[j].start : text.length;
    if (nextOld > i) removed.push([place, base.slice(old[i].start, old[nextOld - 1].end)]);
    if (nextFresh > j) added.push([fresh[j].start, fresh[nextFresh - 1].end]);
    [i, j] = [nextOld + 1, nextFresh + 1];
  }
  const words = (some) => some.filter(({ word }) => /[\p{L}\p{N}]/u.test(word)).length;
  const same = words(kept.map(([one]) => old[one]));
  return { added, removed, count: words(old.slice(first, a)) + words(fresh.slice(first, b)) - 2 * same };
}

/** Places of a longest common run of words, as pairs. */
function common(old, fresh) {
  const wide = fresh.length + 1;
  if (old.length * fresh.length > MOST_PAIRS) return [];
  const length = new Uint16Array((old.length + 1) * wide);
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let j = fresh.length - 1; j >= 0; j -= 1)
      length[i * wide + j] =
        old[i].word === fresh[j].word ? length[(i + 1) * wide + j + 1] + 1 : Math.max(length[(i + 1) * wide + j], length[i * wide + j + 1]);
  const found = [];
  for (let [i, j] = [0, 0]; i < old.length && j < fresh.length; ) {
    if (old[i].word === fresh[j].word) found.push([i++, j++]);
    else if (length[(i + 1) * wide + j] >= length[i * wide + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}
