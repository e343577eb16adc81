"use strict";
/* What a report says of the model's inside: packed tightly, unpacked when it is looked at. */

const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));

/** What was packed with gzip and base64 into a page. */
async function unpack(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** A number for each image token in each layer. */
class Planes {
  constructor({ peaks, data }) {
    this.peaks = peaks;
    this.steps = bytes(data);
    this.tokens = peaks.length ? Math.floor(this.steps.length / peaks.length) : 0;
  }

  at(place, token) {
    return (this.steps[place * this.tokens + token] / 255) * this.peaks[place];
  }

  /** By image token, over some layers: their mean, or their highest. */
  over(places, highest) {
    const found = new Float32Array(this.tokens);
    for (const place of places)
      for (let token = 0; token < this.tokens; token += 1) {
        const value = this.at(place, token);
        if (!highest) found[token] += value / places.length;
        else if (value > found[token]) found[token] = value;
      }
    return found;
  }
}

/** What each image token reads as, by layer. */
class Reads {
  constructor({ words, top, probability }) {
    const packed = bytes(top);
    this.words = words;
    this.indices = Array.from({ length: packed.length >> 1 }, (_, place) => packed[2 * place] | (packed[2 * place + 1] << 8));
    this.probability = new Planes(probability);
  }

  /** The likeliest word of a token, over some layers. */
  at(places, token) {
    const { tokens } = this.probability;
    const sure = (place) => this.probability.at(place, token);
    const place = places.reduce((best, one) => (sure(one) > sure(best) ? one : best), places[0]);
    return { word: this.words[this.indices[place * tokens + token]] ?? "", probability: sure(place), place };
  }
}

/** Grids of image tokens, those put together that continue each other downwards. */
function fieldsOf(grids) {
  const near = (a, b) => Math.abs(a - b) < 1e-4;
  const found = [];
  for (const { start, rows, columns, left, top: upper, right, bottom } of grids) {
    const tokens = Array.from({ length: rows * columns }, (_, place) => start + place);
    const last = found.at(-1);
    const high = (bottom - upper) / rows;
    if (last && last.columns === columns && near(last.left, left) && near(last.right, right) && near(last.bottom, upper) && near((last.bottom - last.upper) / last.rows, high)) {
      last.tokens.push(...tokens);
      last.rows += rows;
      last.bottom = bottom;
    } else found.push({ rows, columns, left, upper, right, bottom, tokens });
  }
  for (const field of found) {
    field.wide = (field.right - field.left) / field.columns;
    field.high = (field.bottom - field.upper) / field.rows;
  }
  // The finest first: what lies there is what a pointer means.
  return found.filter(({ wide, high }) => wide > 0 && high > 0).sort((a, b) => a.wide * a.high - b.wide * b.high);
}

/** The inside of one caption. */
class Inside {
  /** `mentions`: what is known of each mention, by its place among the report's. */
  constructor({ layers, grids, reads, bands }, mentions) {
    this.layers = layers;
    this.bands = bands;
    this.packed = { reads, mentions };
    this.mentions = new Map();
    const first = Object.values(mentions).find(Boolean);
    const planes = first?.attention ?? reads?.probability;
    this.tokens = planes ? new Planes(planes).tokens : 0;
    const whole = grids.every(({ start, rows, columns }) => start + rows * columns <= this.tokens);
    this.fields = whole ? fieldsOf(grids) : [];
  }

  get reads() {
    this.read ??= this.packed.reads ? new Reads(this.packed.reads) : null;
    return this.read;
  }

  mention(index) {
    const packed = this.packed.mentions[index];
    if (!packed) return null;
    if (!this.mentions.has(index))
      this.mentions.set(index, {
        profile: packed.profile,
        attention: new Planes(packed.attention),
        confidence: packed.confidence ? new Planes(packed.confidence) : null,
      });
    return this.mentions.get(index);
  }

  /** Places of the layers from `first` to `last`, both included. */
  places(first, last) {
    const found = this.layers.flatMap((layer, place) => (first <= layer && layer <= last ? [place] : []));
    return found.length ? found : this.layers.map((_, place) => place);
  }

  /** The patches at a point, in shares of the picture, the finest first. */
  patches(x, y) {
    return this.fields.flatMap((field) => {
      const row = Math.floor((y - field.upper) / field.high);
      const column = Math.floor((x - field.left) / field.wide);
      const there = row >= 0 && row < field.rows && column >= 0 && column < field.columns;
      return there ? [{ field, row, column, token: field.tokens[row * field.columns + column] }] : [];
    });
  }
}

/** The text of a token so that each of its characters can be seen. */
function legible(text) {
  if (!text.trim()) return text ? text.replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\s/g, "␣") : "nothing";
  return text
    .replace(/^ +| +$/g, "")
    .replace(/[\u0000-\u001f]/g, (one) => String.fromCharCode(0x2400 + one.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]/g, (one) =>
      `U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`,
    );
}
