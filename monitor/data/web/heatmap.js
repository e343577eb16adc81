"use strict";
/* Numbers over a picture as colours. */

/** From dark violet to pale yellow in 256 even steps of lightness (OKLCH), as red, green, blue. */
const SCALE = (() => {
  const colours = new Uint8ClampedArray(256 * 3);
  for (let step = 0; step < 256; step += 1) {
    const t = step / 255;
    const light = 0.2 + 0.75 * t;
    const chroma = 0.08 + 0.11 * Math.sin(Math.PI * t);
    const hue = ((285 + 175 * t) * Math.PI) / 180;
    const [a, b] = [chroma * Math.cos(hue), chroma * Math.sin(hue)];
    const [l, m, s] = [
      light + 0.3963377774 * a + 0.2158037573 * b,
      light - 0.1055613458 * a - 0.0638541728 * b,
      light - 0.0894841775 * a - 1.291485548 * b,
    ].map((one) => one ** 3);
    const linear = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    colours.set(
      linear.map((one) => 255 * (one <= 0.0031308 ? 12.92 * one : 1.055 * one ** (1 / 2.4) - 0.055)),
      3 * step,
    );
  }
  return colours;
})();

const colour = (step) => `rgb(${SCALE[3 * step]} ${SCALE[3 * step + 1]} ${SCALE[3 * step + 2]})`;
const gradient = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, one) => colour(Math.round((one * 255) / 8))).join(", ")})`;

/** For each pixel of a line: which cells it is mixed of, and in what shares; none outside. */
function mixtures(pixels, start, end, cells, smooth) {
  const wide = (end - start) / cells;
  const clamp = (cell) => Math.min(cells - 1, Math.max(0, cell));
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = ((pixel + 0.5) / pixels - start) / wide;
    if (place < 0 || place >= cells) return null;
    if (!smooth || cells < 2) return [[clamp(Math.floor(place)), 1]];
    // Catmull-Rom: through the middle of each cell, round the corners between them.
    const first = Math.floor(place - 0.5);
    const t = place - 0.5 - first;
    const shares = [
      -0.5 * t + t * t - 0.5 * t ** 3,
      1 - 2.5 * t * t + 1.5 * t ** 3,
      0.5 * t + 2 * t * t - 1.5 * t ** 3,
      -0.5 * t * t + 0.5 * t ** 3,
    ];
    return shares.map((share, one) => [clamp(first - 1 + one), share]);
  });
}

/**
 * Paint numbers of image tokens over a picture.
 *
 * Where several patches lie over each other, masses (attention) add up by area, and of chances
 * the highest counts. What the model was not shown is hatched.
 *
 * Returns the number that has the brightest colour, the share of all mass that is shown, and whether
 * part of the picture was not.
 */
function paint(canvas, inside, values, { mass, smooth, weak }) {
  const { width, height } = canvas;
  const sums = new Float32Array(width * height).fill(-1);
  const unit = inside.fields.length ? inside.fields[0].wide * inside.fields[0].high : 1;
  let brightest = 0;
  const counted = new Set();
  for (const field of inside.fields) {
    const across = mixtures(width, field.left, field.right, field.columns, smooth);
    const down = mixtures(height, field.upper, field.bottom, field.rows, smooth);
    const dense = mass ? unit / (field.wide * field.high) : 1;
    const cells = Float32Array.from(field.tokens, (token) => values[token] * dense);
    field.tokens.forEach((token, place) => {
      const x = field.left + ((place % field.columns) + 0.5) * field.wide;
      const y = field.upper + (Math.floor(place / field.columns) + 0.5) * field.high;
      if (x < 0 || x > 1 || y < 0 || y > 1) return;
      counted.add(token);
      brightest = Math.max(brightest, cells[place]);
    });
    for (let y = 0; y < height; y += 1) {
      if (!down[y]) continue;
      // One row of cells, already mixed downwards, serves the whole line of pixels.
      const line = new Float32Array(field.columns);
      for (const [row, share] of down[y])
        for (let column = 0; column < field.columns; column += 1) line[column] += share * cells[row * field.columns + column];
      for (let x = 0; x < width; x += 1) {
        if (!across[x]) continue;
        let value = 0;
        for (const [column, share] of across[x]) value += share * line[column];
        value = Math.max(0, value);
        const place = y * width + x;
        sums[place] = sums[place] < 0 ? value : mass ? sums[place] + value : Math.max(sums[place], value);
      }
    }
  }
  if (inside.fields.length > 1) for (const value of sums) brightest = Math.max(brightest, value);
  const pixels = new ImageData(width, height);
  let unseen = false;
  sums.forEach((value, place) => {
    if (value < 0) {
      unseen = true;
      const hatched = (place + Math.floor(place / width)) % 12 < 3;
      pixels.data.set(hatched ? [128, 128, 128, 220] : [128, 128, 128, 110], 4 * place);
      return;
    }
    const share = brightest > 0 ? Math.min(1, value / brightest) : 0;
    const t = weak ? Math.sqrt(share) : share;
    const step = 3 * Math.round(255 * t);
    pixels.data.set([SCALE[step], SCALE[step + 1], SCALE[step + 2], 255 * (0.35 + 0.45 * t)], 4 * place);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const all = values.reduce((sum, one) => sum + one, 0);
  const shown = [...counted].reduce((sum, token) => sum + values[token], 0);
  return { brightest, shown: all > 0 ? shown / all : 1, unseen };
}
