"use strict";
/* How much of its attention a noun gave to the image, layer by layer. */

/** An element of a drawing. */
function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Runs of numbers without gaps, as the points of lines. */
function runs(values, x, y) {
  const found = [[]];
  values.forEach((value, place) => {
    if (value === null || value === undefined) found.push([]);
    else found.at(-1).push(`${x(place).toFixed(1)},${y(value).toFixed(1)}`);
  });
  return found.filter((run) => run.length);
}

/** What is usual in a layer, in words. */
function usual(bands, layer) {
  const place = bands ? bands.layers.indexOf(layer) : -1;
  if (place < 0) return "";
  const of = (band) => `${percent(band.low[place])} to ${percent(band.high[place])}`;
  return `; usual of real ones ${of(bands.real)}, of made-up ones ${of(bands.hallucinated)}`;
}

/**
 * The profile of a noun against what is usual of real and of made-up ones.
 *
 * `range`: first and last layer of SVAR. `chosen`: places of the layers whose map is shown.
 * `choose`: called with the place of a layer that was clicked.
 */
function profileChart({ layers, bands }, profile, { range, chosen, choose, wide = 440 }) {
  const [width, height] = [Math.max(260, Math.min(620, wide)), 190];
  const box = { left: 38, right: width - 8, upper: 20, lower: height - 34 };
  const step = (box.right - box.left) / layers.length;
  const x = (place) => box.left + (place + 0.5) * step;
  const known = [...profile, ...(bands ? [...bands.real.high, ...bands.hallucinated.high] : [])];
  const highest = Math.max(0.01, ...known.filter((value) => value !== null));
  const tick = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5].find((one) => highest / one <= 5) ?? 0.5;
  const most = Math.ceil(highest / tick - 1e-6) * tick;
  const y = (value) => box.lower - (value / most) * (box.lower - box.upper);
  const within = layers.flatMap((layer, place) => (range[0] <= layer && layer <= range[1] ? [place] : []));
  const text = (words, attributes) => shape("text", attributes, words);
  const parts = [];
  if (within.length) {
    const [from, to] = [x(within[0]) - step / 2, x(within.at(-1)) + step / 2];
    const middle = Math.min(box.right - 32, Math.max(box.left + 32, (from + to) / 2));
    parts.push(
      shape("rect", { class: "range", x: from, y: box.upper, width: to - from, height: box.lower - box.upper }),
      text("SVAR", { class: "tick", x: middle, y: box.upper - 7, "text-anchor": "middle" }),
    );
  }
  for (let value = 0; value <= most + 1e-9; value += tick)
    parts.push(
      shape("line", { class: "rule", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      text(percent(value), { class: "tick", x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }),
    );
  const every = Math.max(1, Math.ceil(layers.length / Math.floor((box.right - box.left) / 24)));
  layers.forEach((layer, place) => {
    if (place % every === 0) parts.push(text(layer, { class: "tick", x: x(place), y: box.lower + 15, "text-anchor": "middle" }));
  });
  parts.push(text("layer", { class: "tick", x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }));
  if (bands)
    for (const kind of ["real", "hallucinated"]) {
      const line = (values) => bands.layers.flatMap((layer, one) => (layers.includes(layer) ? [[layers.indexOf(layer), values[one]]] : []));
      const point = ([place, value]) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`;
      const band = bands[kind];
      parts.push(
        shape("polygon", { class: `band ${kind}`, points: [...line(band.high), ...line(band.low).reverse()].map(point).join(" ") }),
        shape("polyline", { class: `median ${kind}`, points: line(band.median).map(point).join(" ") }),
      );
    }
  for (const run of runs(profile, x, y)) parts.push(shape("polyline", { class: "own", points: run.join(" ") }));
  profile.forEach((value, place) => {
    if (value !== null && value !== undefined)
      parts.push(shape("circle", { class: chosen.includes(place) ? "own chosen" : "own", cx: x(place), cy: y(value), r: chosen.includes(place) ? 4.5 : 2.5 }));
  });
  // What a pointer finds: a column for each layer.
  layers.forEach((layer, place) => {
    const value = profile[place];
    const said = `Layer ${layer}: ${value === null || value === undefined ? "not known" : percent(value)}${usual(bands, layer)}`;
    const column = shape("rect", { class: "column", x: x(place) - step / 2, y: 0, width: step, height }, shape("title", {}, said));
    column.addEventListener("click", () => choose(place));
    parts.push(column);
  });
  const told = layers.map((layer, place) => `layer ${layer} ${typeof profile[place] === "number" ? percent(profile[place]) : "not known"}`);
  return shape(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "profile", role: "img", "aria-label": `Attention to the image by layer: ${told.join(", ")}` },
    ...parts,
  );
}

/** The chart with what its lines mean, and where the noun lies among them. */
function profileFigure(inside, profile, options) {
  const { bands } = inside;
  const key = (kind, words) => make("span", {}, make("i", { class: `key ${kind}` }), ` ${words}`);
  const middle = bands ? `the middle ${percent(bands.share)} of` : "";
  return make(
    "div",
    { class: "profiled" },
    make("h4", {}, "Attention to the image, by layer"),
    profileChart(inside, profile, options),
    make(
      "p",
      { class: "legend" },
      key("own", "this noun"),
      bands ? key("real", `${middle} real ones`) : null,
      bands ? key("hallucinated", `${middle} made-up ones`) : null,
      bands ? null : make("span", {}, "The calibration does not say what is usual."),
    ),
  );
}
