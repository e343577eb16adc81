"use strict";

let image = null; // a data: address
let running = null; // stops what is being written
let latest = null; // what is looked at

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

/* --- asking ------------------------------------------------------------------------------- */

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

/** The picture as it is asked about, to look at when the captions are whole. */
function newLook() {
  const { naturalWidth: width, naturalHeight: height } = at("picture");
  latest = new Look({ source: image, alt: "", width, height });
  at("look").hidden = true;
  at("look").replaceChildren(latest.sight.element, latest.panel);
  return latest;
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
  const inside = at("inside").checked;
  const look = newLook();
  const settle = (answer) => {
    at("look").hidden = false;
    answer.settle(look);
  };
  const mine = new Answer(calibrated ? policy.selectedOptions[0].text : "measured, never flagged", settle);
  const asked = [];
  const answers = [mine.element];
  if (calibrated)
    asked.push([mine, { policy: policy.value, show: at("show").value, threshold: threshold(), inside }]);
  else asked.push([mine, { inside }]);
  if (at("compare").checked && calibrated && policy.value !== "flag") {
    const plain = new Answer("greedy", settle);
    answers.unshift(plain.element);
    asked.push([plain, { policy: "flag", threshold: threshold(), inside }]);
  }
  at("answers").replaceChildren(...answers);
  await Promise.all(asked.map(([answer, extra]) => ask(answer, extra, running.signal)));
  running = null;
  at("go").textContent = "Describe";
});

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (latest?.key(event)) event.preventDefault();
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
