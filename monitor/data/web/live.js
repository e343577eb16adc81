"use strict";

let image = null; // a data: address
let running = null; // stops what is being written

/* --- the image ---------------------------------------------------------------------------- */

function take(blob) {
  if (!blob || !blob.type.startsWith("image/")) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    image = reader.result;
    at("picture").src = image;
    at("picture").hidden = false;
    at("invitation").hidden = true;
    at("go").disabled = false;
  });
  reader.readAsDataURL(blob);
}

at("file").addEventListener("change", (event) => take(event.target.files[0]));
addEventListener("paste", (event) => take(event.clipboardData.files[0]));
for (const name of ["dragover", "dragleave", "drop"])
  addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });

/* --- one answer --------------------------------------------------------------------------- */

/** A caption that grows and shrinks as its events come. */
class Answer {
  constructor(title) {
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
      this.text = this.text.slice(0, told.retract.start);
      this.mentions.length = Math.min(this.mentions.length, told.retract.mention);
    }
    for (const mention of told.mentions ?? []) this.mentions[mention.index] = mention;
    for (const action of told.actions ?? []) this.act(action);
    if (told.report) this.finish(told.report);
    this.draw();
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

  finish(report) {
    this.over = true;
    this.text = report.text;
    const seconds = ((performance.now() - this.began) / 1000).toFixed(1);
    const flagged = report.mentions.filter((one) => one.flagged).length;
    this.foot.textContent = `${report.tokens.length} tokens, ${seconds} s, ${flagged} flagged`;
  }

  fail(message) {
    this.over = true;
    this.element.append(make("p", { class: "limit", role: "alert" }, message));
    this.draw();
  }

  draw() {
    const pieces = [];
    let place = 0;
    for (const mention of this.mentions) {
      if (!mention || mention.end > this.text.length || mention.start < place) continue;
      if (!mention.visible && !mention.flagged) continue;
      pieces.push(this.text.slice(place, mention.start), this.mark(mention));
      place = mention.end;
    }
    pieces.push(this.text.slice(place));
    if (!this.over) pieces.push(make("span", { class: "cursor", "aria-hidden": "true" }));
    this.caption.replaceChildren(...pieces);
  }

  mark(mention) {
    const p = suspicion({ ...mention, object: mention.object ?? undefined });
    const kind = `mention${p === null ? "" : " scored"}${mention.flagged ? " flagged" : ""}`;
    const said = p === null ? null : `${mention.flagged ? "likely made up, " : ""}${percent(p)}`;
    const element = make(
      "span",
      { class: kind, title: said },
      this.text.slice(mention.start, mention.end),
      mention.flagged ? make("span", { class: "hidden" }, ` (${said})`) : null,
    );
    if (p !== null) element.style.setProperty("--p", Math.min(1, Math.max(0, p)));
    return element;
  }
}

/** Ask, and feed the answer with its chunks. */
async function ask(answer, extra, signal) {
  const content = [{ type: "image_url", image_url: { url: image } }];
  if (at("question").value.trim()) content.push({ type: "text", text: at("question").value });
  const body = { stream: true, messages: [{ role: "user", content }], sightline: extra };
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    if (!response.ok) return answer.fail((await response.json()).error.message);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events)
        if (event.startsWith("data: {")) answer.chunk(JSON.parse(event.slice(6)));
    }
    if (!answer.over) answer.fail("The server ended the answer early.");
  } catch (error) {
    if (error.name !== "AbortError") answer.fail(`The server cannot be reached: ${error.message}`);
  }
}

/* --- the form ----------------------------------------------------------------------------- */

const threshold = () => Number(at("threshold").value) / 100;
const showThreshold = () => (at("threshold-shown").value = percent(threshold()));

at("threshold").addEventListener("input", showThreshold);
at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) {
    running.abort();
    return;
  }
  running = new AbortController();
  at("go").textContent = "Stop";
  const policy = at("policy");
  const calibrated = document.body.dataset.calibrated === "yes";
  const mine = new Answer(calibrated ? policy.selectedOptions[0].text : "measured, never flagged");
  const asked = [];
  const answers = [mine.element];
  if (calibrated)
    asked.push([mine, { policy: policy.value, show: at("show").value, threshold: threshold() }]);
  else asked.push([mine, {}]);
  if (at("compare").checked && calibrated && policy.value !== "flag") {
    const plain = new Answer("greedy");
    answers.unshift(plain.element);
    asked.push([plain, { policy: "flag", threshold: threshold() }]);
  }
  at("answers").replaceChildren(...answers);
  await Promise.all(asked.map(([answer, extra]) => ask(answer, extra, running.signal)));
  running = null;
  at("go").textContent = "Describe";
});

async function about() {
  const { data } = await (await fetch("/v1/models")).json();
  const told = data[0].sightline;
  document.body.dataset.calibrated = told.calibration ? "yes" : "no";
  at("model").textContent = told.calibration
    ? `${data[0].id}, judged by ${told.calibration}`
    : `${data[0].id}, without a calibration: nouns are measured, never flagged`;
  if (told.certified) at("policy").prepend(make("option", { value: "calibrated" }, "as certified"));
  if (told.threshold !== null) at("threshold").value = Math.round(100 * told.threshold);
  showThreshold();
  for (const address of told.samples ?? []) {
    const pick = async () => take(await (await fetch(address)).blob());
    const picture = make("img", { src: address, alt: "Sample image" });
    at("samples").append(make("button", { type: "button", onclick: pick }, picture));
  }
  document.documentElement.dataset.ready = "yes";
}
about();
