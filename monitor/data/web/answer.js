"use strict";
/* A caption of the live page, while it is written and afterwards. */

/** A caption that grows and shrinks as its events come. */
class Answer {
  /** `finished`: called with the answer when it is whole. */
  constructor(title, finished) {
    this.title = title;
    this.finished = finished;
    this.report = null;
    this.text = "";
    this.mentions = [];
    this.gone = [];
    this.caption = make("p", { class: "caption" });
    this.list = make("ul");
    this.foot = make("p", { class: "note" });
    this.element = make("article", { class: "answer" }, make("h2", {}, title), this.caption, this.list, this.foot);
    this.began = performance.now();
    this.over = false;
  }

  chunk(chunk) {
    if (chunk.error) return this.fail(chunk.error.message);
    this.text += chunk.choices[0]?.delta.content ?? "";
    const told = chunk.sightline ?? {};
    if (told.retract) {
      this.text = this.text.slice(0, unitsOf(this.text)(told.retract.start));
      this.mentions.length = Math.min(this.mentions.length, told.retract.mention);
    }
    for (const mention of told.mentions ?? []) this.mentions[mention.index] = mention;
    for (const action of told.actions ?? []) this.act(action);
    if (told.report) return this.finish(told);
    return this.draw();
  }

  act(action) {
    this.list.append(
      make(
        "li",
        {},
        make("strong", {}, action.outcome),
        ` (${action.objects.join(", ")}): `,
        make("del", {}, action.old),
        action.new ? " → " : null,
        action.new ? make("ins", {}, action.new) : null,
      ),
    );
  }

  finish({ report, uninspected }) {
    this.over = true;
    this.text = report.text;
    this.report = this.counted(report);
    const seconds = ((performance.now() - this.began) / 1000).toFixed(1);
    const flagged = report.mentions.filter((one) => one.flagged).length;
    this.foot.textContent = `${report.tokens.length} tokens, ${seconds} s, ${flagged} flagged`;
    if (uninspected) this.element.append(make("p", { class: "note" }, `Not looked inside: ${uninspected}`));
    this.draw();
    this.finished(this);
  }

  /** The report with places as strings count them here, and each noun's first token. */
  counted(report) {
    const unit = unitsOf(report.text);
    const mentions = report.mentions.map((one) => ({ ...withFirstToken(one, report.tokens), start: unit(one.start), end: unit(one.end) }));
    return { ...report, mentions, actions: report.actions.map((one) => ({ ...one, start: unit(one.start) })) };
  }

  /** The whole caption with its nouns as buttons, and what was changed in it. */
  settle(look) {
    const { report } = this;
    const { inside } = report;
    const nouns = Object.fromEntries(report.mentions.map((mention, index) => [index, mention.inside]));
    const opened = inside ? new Inside(inside, nouns) : null;
    const range = [report.layers.first, report.layers.last];
    const button = (mention) =>
      look.button(report.text.slice(mention.start, mention.end), mention, {
        index: report.mentions.indexOf(mention),
        range,
        facts: () => [make("p", { class: "note" }, this.title), ...measured(mention, report), ...doneAbout(report, mention)],
        inside: opened,
      });
    this.caption.replaceChildren(...captionText(report, edits(report), button).childNodes);
    look.begin(opened, range);
  }

  fail(message) {
    this.over = true;
    this.element.append(make("p", { class: "limit", role: "alert" }, message));
    this.draw();
  }

  draw() {
    const pieces = [];
    const unit = unitsOf(this.text);
    let place = 0;
    for (const mention of this.mentions) {
      if (!mention || unit(mention.end) > this.text.length || unit(mention.start) < place) continue;
      if (!mention.visible && !mention.flagged) continue;
      const [start, end] = [unit(mention.start), unit(mention.end)];
      pieces.push(this.text.slice(place, start), this.mark(mention, this.text.slice(start, end)));
      place = end;
    }
    pieces.push(this.text.slice(place));
    if (!this.over) pieces.push(make("span", { class: "cursor", "aria-hidden": "true" }));
    this.caption.replaceChildren(...pieces);
  }

  mark(mention, text) {
    const p = suspicion(mention);
    const kind = `mention${p === null ? "" : " scored"}${mention.flagged ? " flagged" : ""}`;
    const said = p === null ? null : `${mention.flagged ? "likely made up, " : ""}${percent(p)}`;
    const element = make(
      "span",
      { class: kind, title: said },
      text,
      mention.flagged ? make("span", { class: "hidden" }, ` (${said})`) : null,
    );
    if (p !== null) element.style.setProperty("--p", Math.min(1, Math.max(0, p)));
    return element;
  }
}
