"""How far a caption is settled: what may be shown, because no later flag reaches back to it."""

from __future__ import annotations

from .draft import Draft
from .policy import ReleaseBy
from .spans import HOLDS, WIDEST


def floor(draft: Draft, release: ReleaseBy) -> int:
    """The first token of a judged caption that an act on a later flag may still take back.

    By ``phrase``, the beginning of a sentence is held until its first noun has passed, then each
    noun phrase from its determiner, and the comma or conjunction before it, until its noun has: so
    that a sentence is cut as a writer would cut it. All other words wait only until they can no
    longer be a flagged noun.

    Args:
        draft: in which nothing is flagged that is still to be acted on.
        release: whether whole sentences or phrases are settled.
    """
    sentence, bound = draft.sentences.latest, draft.complete
    if draft.undecided is not None:
        bound = min(bound, draft.undecided)
    if release == "sentence" or bound <= sentence:
        return min(sentence, bound)
    passed = -1
    for mention in reversed(draft.mentions):
        if mention.first_token < sentence:
            break
        # A noun right before another one says what that one is like.
        leads = not mention.visible and mention.last_token + 1 == draft.undecided
        if mention.last_token < bound and not leads:
            passed = mention.last_token
            break
    if passed < 0:
        return sentence
    held = bound
    for distance, word in enumerate(
        one for one in reversed(draft.words) if one.first_token < bound
    ):
        if word.first_token <= passed:
            break
        if word.text.lower() in HOLDS:
            held = word.first_token
        elif held < bound or distance >= WIDEST:
            break
    return min(held, bound)
