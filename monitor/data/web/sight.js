"use strict";
/* The picture, with what the model did with it laid over: attention, or the logit lens. */

/** How the reader wants to see things; it stays when the next caption is looked at. */
const viewing = { over: "attention", place: null, smooth: true, weak: false, words: false, large: false };

const FINEST = 400; // pixels of the map's longer side

class Sight {
  /** `range`: first and last layer of SVAR. `changed`: called when another layer is chosen. */
  constructor({ source, alt, width, height, changed }) {
    this.inside = null;
    this.mention = null;
    this.word = "";
    this.range = [0, 0];
    this.changed = changed ?? (() => {});
    this.cursor = null; // a patch
    this.canvas = make("canvas", { "aria-hidden": "true" });
    const longer = Math.max(width ?? 1, height ?? 1);
    this.canvas.width = Math.max(1, Math.round((FINEST * (width ?? 1)) / longer));
    this.canvas.height = Math.max(1, Math.round((FINEST * (height ?? 1)) / longer));
    this.words = make("div", { class: "patchwords", "aria-hidden": "true" });
    this.mark = make("div", { class: "patch", hidden: true });
    this.picture = source
      ? make("img", { src: source, alt, width, height, draggable: "false" })
      : make("div", { class: "nopicture" }, "The image was not found.");
    if (!source && width && height) this.picture.style.aspectRatio = `${width} / ${height}`;
    this.stage = make(
      "div",
      {
        class: "stage",
        onpointermove: (event) => this.point(event),
        onpointerdown: (event) => this.point(event),
        onpointerleave: () => this.move(null),
        onkeydown: (event) => this.key(event),
        onblur: () => this.move(null),
      },
      this.picture,
      this.canvas,
      this.words,
      this.mark,
    );
    this.stage.style.setProperty("--ratio", (width ?? 1) / (height ?? 1));
    this.readout = make("p", { class: "readout", role: "status" });
    this.controls = make("div", { class: "controls", hidden: true });
    this.element = make("figure", { id: "sight" }, this.stage, this.controls, this.readout);
  }

  /** What there is to see of this caption; `null` where nothing is known. */
  open(inside, range) {
    this.inside = inside;
    this.mention = null;
    this.range = range;
    this.build();
    this.render();
  }

  /** Show one mention, by what is known of its inside; `null` for none. */
  look(mention, word) {
    this.mention = mention;
    this.word = word;
    this.render();
  }

  /** Places of the layers that are shown together. */
  get places() {
    if (viewing.place !== null && viewing.place < this.inside.layers.length) return [viewing.place];
    return this.lens ? this.inside.layers.map((_, place) => place) : this.inside.places(...this.range);
  }

  get lens() {
    return viewing.over === "lens" && this.inside.reads !== null;
  }

  choose(place) {
    viewing.place = place;
    this.build();
    this.render();
    this.changed();
  }

  /** One layer on or back; before the first are all of them together. */
  step(by) {
    if (!this.inside) return;
    const here = viewing.place ?? -1;
    const next = Math.min(this.inside.layers.length - 1, Math.max(-1, here + by));
    this.choose(next < 0 ? null : next);
  }

  /** Attention for the lens, or the other way round. */
  toggle() {
    if (!this.inside?.reads) return;
    viewing.over = this.lens ? "attention" : "lens";
    this.choose(viewing.place);
  }

  /* --- the controls ----------------------------------------------------------------------- */

  build() {
    const { inside } = this;
    const usable = Boolean(inside?.fields.length);
    this.controls.hidden = !inside;
    this.element.classList.toggle("large", viewing.large && usable);
    if (usable) {
      this.stage.setAttribute("tabindex", "0");
      this.stage.setAttribute("role", "application");
      this.stage.setAttribute("aria-label", "Patches of the picture. Arrow keys go from one to the next.");
    }
    if (!inside) return;
    if (!usable) {
      const why = "How this model's image tokens lie over the picture is not known: there is a profile by layer, and no map.";
      this.controls.replaceChildren(make("p", { class: "note" }, why));
      return;
    }
    const here = document.activeElement?.dataset?.control;
    const held = this.controls.contains(document.activeElement) ? here : null;
    this.controls.replaceChildren(this.modes(), this.layers(), this.switches(), this.legend());
    if (held) this.controls.querySelector(`[data-control="${held}"]`)?.focus();
  }

  modes() {
    const now = this.lens ? "lens" : viewing.over === "picture" ? "picture" : "attention";
    const mode = (over, words) => {
      const input = make("input", {
        type: "radio",
        name: "mode",
        "data-control": over,
        disabled: over === "lens" && this.inside.reads === null,
        onchange: () => {
          viewing.over = over;
          this.build();
          this.render();
          this.changed();
        },
      });
      input.checked = over === now;
      return make("label", {}, input, make("span", {}, words));
    };
    return make("fieldset", { class: "modes" }, make("legend", { class: "hidden" }, "Over the picture"), mode("picture", "Picture"), mode("attention", "Attention"), mode("lens", "Logit lens"));
  }

  layers() {
    const { layers } = this.inside;
    const shown = this.said();
    const slider = make("input", {
      type: "range",
      min: -1,
      max: layers.length - 1,
      "data-control": "layer",
      "aria-valuetext": shown,
      oninput: (event) => this.choose(Number(event.target.value) < 0 ? null : Number(event.target.value)),
    });
    slider.value = viewing.place === null || viewing.place >= layers.length ? -1 : viewing.place;
    return make("label", { class: "layer" }, "Layer ", make("output", {}, shown), slider);
  }

  /** Which layers are shown, in words. */
  said() {
    const { layers } = this.inside;
    const { places } = this;
    if (viewing.place !== null && places.length === 1) return String(layers[places[0]]);
    if (this.lens) return "the surest of all";
    const [first, last] = [layers[places[0]], layers[places.at(-1)]];
    return first === last ? `${first}, SVAR's` : `mean of ${first} to ${last}, SVAR's`;
  }

  switches() {
    const toggle = (name, words, why) => {
      const input = make("input", {
        type: "checkbox",
        "data-control": name,
        onchange: () => {
          viewing[name] = input.checked;
          this.build();
          this.render();
        },
      });
      input.checked = viewing[name];
      return make("label", { class: "check", title: why }, input, ` ${words}`);
    };
    return make(
      "div",
      { class: "switches" },
      toggle("smooth", "smooth", "Off: the patches as they are"),
      toggle("weak", "weak too", "Colours by the square root"),
      this.lens ? toggle("words", "words", "What each patch reads as") : null,
      toggle("large", "large", "As wide as there is room"),
    );
  }

  legend() {
    const bar = make("i", { class: "scale" });
    bar.style.background = gradient;
    this.least = make("span", {}, "0");
    this.most = make("span");
    this.what = make("span", { class: "what" });
    return make("div", { class: "scaled" }, this.least, bar, this.most, this.what);
  }

  /* --- the map ---------------------------------------------------------------------------- */

  /** What is painted: numbers by image token, in words, and whether they add up. */
  shown() {
    const { inside, mention } = this;
    if (viewing.over === "picture") return null;
    const isolated = make("bdi", {}, `“${this.word}”`);
    if (!this.lens)
      return mention && { values: mention.attention.over(this.places, false), mass: true, what: ["of the attention of ", isolated, ", per patch"] };
    if (mention?.confidence)
      return { values: mention.confidence.over(this.places, true), mass: false, what: ["chance that a patch reads as the first token of ", isolated] };
    return { values: inside.reads.probability.over(this.places, true), mass: false, what: ["how surely a patch reads as anything"] };
  }

  render() {
    const { inside } = this;
    const shown = inside?.fields.length ? this.shown() : null;
    this.element.classList.toggle("mapped", Boolean(shown));
    this.words.replaceChildren();
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.values = shown?.values ?? null;
    if (inside?.fields.length) {
      this.controls.querySelector(".scaled").hidden = !shown;
      if (shown) {
        const { brightest, shown: share, unseen } = paint(this.canvas, inside, shown.values, { ...viewing, mass: shown.mass });
        const several = shown.mass && inside.fields.length > 1;
        this.most.textContent = percent(brightest);
        this.what.replaceChildren(...shown.what, several ? " of the smallest kind" : "", shown.mass && share < 0.995 ? `; ${percent(1 - share)} of it went to tokens beyond the picture` : "", unseen ? "; hatched: not shown to the model" : "");
      }
      if (this.lens && viewing.words) this.words.append(...this.written());
    }
    this.tell();
  }

  /** What each patch reads as, as text over it. */
  written() {
    const { inside } = this;
    const found = [];
    inside.fields.forEach((field, order) => {
      const covered = (x, y) => inside.fields.slice(0, order).some((one) => one.left <= x && x <= one.right && one.upper <= y && y <= one.bottom);
      field.tokens.forEach((token, place) => {
        const [column, row] = [place % field.columns, Math.floor(place / field.columns)];
        const [x, y] = [field.left + column * field.wide, field.upper + row * field.high];
        if (covered(x + field.wide / 2, y + field.high / 2)) return;
        const { word, probability } = inside.reads.at(this.places, token);
        const text = legible(word);
        const element = make("bdi", {}, text);
        Object.assign(element.style, {
          left: `${100 * x}%`,
          top: `${100 * y}%`,
          width: `${100 * field.wide}%`,
          height: `${100 * field.high}%`,
          fontSize: `${100 * field.wide * Math.min(0.3, 1.65 / [...text].length)}cqw`,
          opacity: String(0.4 + 0.6 * probability),
        });
        found.push(element);
      });
    });
    return found;
  }

  /* --- one patch -------------------------------------------------------------------------- */

  point(event) {
    if (!this.inside?.fields.length) return;
    const box = this.picture.getBoundingClientRect();
    const found = this.inside.patches((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    this.move(found[0] ?? null);
  }

  key(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by || !this.inside?.fields.length || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const field = this.inside.fields[0];
    const [x, y] = this.cursor
      ? [this.cursor.field.left + (this.cursor.column + 0.5 + by[1]) * this.cursor.field.wide, this.cursor.field.upper + (this.cursor.row + 0.5 + by[0]) * this.cursor.field.high]
      : [Math.max(0, field.left) + field.wide / 2, Math.max(0, field.upper) + field.high / 2];
    const found = this.inside.patches(x, y)[0];
    if (found) this.move(found);
  }

  move(patch) {
    if (patch?.token === this.cursor?.token) return;
    this.cursor = patch;
    this.tell();
  }

  /** What is known of the patch under the pointer. */
  tell() {
    const patch = this.cursor;
    this.mark.hidden = !patch;
    if (!patch) {
      this.readout.replaceChildren(this.hint());
      return;
    }
    const { field, row, column, token } = patch;
    Object.assign(this.mark.style, {
      left: `${100 * (field.left + column * field.wide)}%`,
      top: `${100 * (field.upper + row * field.high)}%`,
      width: `${100 * field.wide}%`,
      height: `${100 * field.high}%`,
    });
    const said = [`Row ${row + 1}, column ${column + 1}`];
    const { places, inside, mention } = this;
    if (mention) said.push(": ", make("b", {}, percent(mention.attention.over(this.lens ? this.inside.places(...this.range) : places, false)[token])), " of the attention");
    if (inside.reads) {
      const anywhere = viewing.place === null ? inside.layers.map((_, one) => one) : places;
      const { word, probability, place } = inside.reads.at(anywhere, token);
      said.push(mention ? "; reads as " : ": reads as ", make("bdi", { class: "token" }, legible(word)), ` (${percent(probability)}, layer ${inside.layers[place]})`);
    }
    if (this.lens && mention?.confidence) said.push("; as the first token of ", make("bdi", {}, `“${this.word}”`), ` ${percent(this.values[token])}`);
    this.readout.replaceChildren(...said);
  }

  hint() {
    if (!this.inside?.fields.length) return "";
    if (!this.mention && viewing.over === "attention") return "Point at a noun to see where the model looked.";
    return this.inside.reads ? "Point at the picture to see what a patch reads as." : "";
  }
}
