"use strict";
/* A picture and what is known of one noun of its captions: what is pointed at, or was chosen. */

class Look {
  /** `picture`: as for {@link Sight}. */
  constructor(picture) {
    this.pinned = null; // the noun that was clicked
    this.current = null; // the noun that is shown
    this.sight = new Sight({ ...picture, changed: () => this.draw() });
    this.facts = make("div", { id: "panel", role: "status" }, make("p", { class: "note" }, "Point at an object, or choose it, to see what was measured."));
    this.profile = make("div", { id: "profile" });
    this.panel = make("div", { class: "panel" }, this.facts, this.profile);
  }

  /**
   * A button for a noun.
   *
   * `facts`: makes what the panel says of it. `inside`: a promise of the caption's inside, or of
   * `null`. `index`: the noun's place among the report's mentions. `range`: SVAR's layers.
   */
  button(text, mention, about) {
    const noun = Object.assign(Object.create(about), { word: text });
    noun.element = mentionButton(text, mention, {
      offer: () => this.look(noun),
      leave: () => this.pinned && this.look(this.pinned),
      pick: () => this.pick(noun),
    });
    return noun.element;
  }

  pick(noun) {
    this.pinned?.element.setAttribute("aria-pressed", "false");
    noun.element.setAttribute("aria-pressed", "true");
    this.pinned = noun;
    this.look(noun);
  }

  /** Show what the model read in the picture before any noun is pointed at. */
  async begin(inside, range) {
    const found = await inside;
    if (found && !this.current) this.sight.open(found, range);
  }

  async look(noun) {
    if (this.current === noun) return;
    this.current?.element.classList.remove("shown");
    noun.element.classList.add("shown");
    this.current = noun;
    this.facts.replaceChildren(...noun.facts());
    const inside = await noun.inside;
    if (this.current !== noun) return;
    noun.opened = inside;
    if (this.sight.inside !== inside) this.sight.open(inside, noun.range);
    if (inside) this.sight.look(inside.mention(noun.index), noun.word);
    this.draw();
  }

  /** The profile of the noun that is shown; drawn again when another layer is. */
  draw() {
    const { current, sight } = this;
    const known = current?.opened?.mention(current.index);
    if (!known) return this.profile.replaceChildren();
    const { places } = sight;
    return this.profile.replaceChildren(
      profileFigure(current.opened, known.profile, {
        range: current.range,
        chosen: places.length === known.profile.length ? [] : places,
        choose: (place) => sight.choose(place),
        wide: this.profile.clientWidth,
      }),
    );
  }

  /** Left and right are layers, `l` is the lens; returns whether it was one of them. */
  key(event) {
    const { sight } = this;
    if (!sight.inside) return false;
    if (event.key === "ArrowRight") sight.step(1);
    else if (event.key === "ArrowLeft") sight.step(-1);
    else if (event.key === "l") sight.toggle();
    else return false;
    return true;
  }
}

/** What is known beside a noun's own numbers: those of its first token. */
function withFirstToken(mention, tokens) {
  const { log_prob, entropy } = tokens[mention.first_token] ?? {};
  return { ...mention, log_prob, entropy };
}
