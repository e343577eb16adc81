"use strict";
/* What a policy did about what was flagged. */

const scored = (value) => ((value ?? null) === null ? "" : ` (${number(value)})`);

/** One action whole: what stood there, what was tried, what stands there now. */
function actionCard(action) {
  return make(
    "div",
    { class: "action" },
    make("p", {}, make("strong", {}, action.outcome), ` — ${action.reason}. Flagged: ${action.objects.join(", ")}`),
    action.old ? make("p", {}, make("del", {}, action.old), scored(action.old_score)) : null,
    action.new && action.outcome === "replaced" ? make("p", {}, make("ins", {}, action.new), scored(action.new_score)) : null,
    action.tries.length
      ? make("ol", {}, ...action.tries.map((one) => make("li", {}, `${one.intervention}: “${one.text}”${scored(one.score)}, ${one.result}, ${one.tokens} tokens`)))
      : null,
    make("p", { class: "note" }, `${action.extra_tokens} extra tokens${(action.milliseconds ?? null) === null ? "" : `, ${number(action.milliseconds)} ms`}`),
  );
}

/** What was done where a noun stands: in whose place it was written, or why it was left. */
function doneAbout(entry, mention) {
  return entry.actions.flatMap((action) => {
    if (action.outcome === "kept" && action.start <= mention.start && mention.start < action.start + action.old.length)
      return [make("p", { class: "done" }, make("strong", {}, "Kept"), ` — ${action.reason}.`)];
    const place = action.outcome === "replaced" && action.new ? written(entry, action) : null;
    if (!place || mention.start < place[0] || mention.start >= place[1]) return [];
    const better = scored(action.old_score) === "" || scored(action.new_score) === "" ? "" : `; the highest score went from ${number(action.old_score)} to ${number(action.new_score)}`;
    return [make("p", { class: "done" }, make("strong", {}, "Written in place of "), make("del", {}, action.old), ` — ${action.reason}${better}.`)];
  });
}

function whatWasDone(entry) {
  return entry.actions.length ? [make("h3", {}, "What the policy did"), ...entry.actions.map(actionCard)] : [];
}
