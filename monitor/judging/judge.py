"""A calibration in the hands of one monitor: checked against its model, aware of its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from transformers import ProcessorMixin

from ...detectors.certificate import Certificate
from ...detectors.mentions import MentionEvidence
from ...detectors.verdict import Calibration, Judgement
from ..errors import ModelError
from ..models.identity import identity
from ..models.subject import Subject
from .matching import caption_limits, model_limits

ACTED: Final = (
    "What is promised holds for flags that nothing follows from; here a policy acted on them, and "
    "what is left was chosen by the same scores."
)
"""What must be said where a policy acts."""


class Rethresholded:
    """A calibration with another threshold, and so without its promise.

    Args:
        calibration: whose scores count; the rest of it is as it was.
        threshold: the score from which a mention is flagged.
    """

    guarantee = None

    def __init__(self, calibration: Calibration, threshold: float) -> None:
        self.name = calibration.name
        self.detector = calibration.detector
        self.kind = calibration.kind
        self.threshold: float | None = threshold
        self.conditions = calibration.conditions
        self.limits = calibration.limits if calibration.threshold is not None else ()
        self.watched = calibration.watched
        self.layers = calibration.layers
        self.lens = calibration.lens
        self.timing = calibration.timing
        self.scope = calibration.scope
        self._calibration = calibration
        self._threshold = threshold

    def judge(self, mentions: Sequence[MentionEvidence]) -> Sequence[Judgement]:
        """The calibration's judgements, held against the other threshold."""
        return [
            replace(
                one,
                threshold=self._threshold,
                flagged=one.score is not None and one.score >= self._threshold,
            )
            for one in self._calibration.judge(mentions)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What judges mentions, and what must be said of its verdicts.

    Attributes:
        calibration: the detector and its threshold.
        standing: what must be said wherever it is used with this model.
        lexicon: name of the lexicon in use.
        question: the calibration's prompt as the model's processor writes it out.
        special: texts of the tokenizer's added tokens.
        certificate: what is promised of the captions that the policy in force leaves, if anything.
    """

    calibration: Calibration
    standing: tuple[str, ...]
    lexicon: str
    question: str | None
    special: frozenset[str]
    certificate: Certificate | None = None

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        *,
        subject: Subject,
        lexicon: str,
        allow_other_model: bool = False,
    ) -> Judge:
        """Hold a calibration against a model.

        Args:
            calibration: what is to judge.
            subject: the model that will write.
            lexicon: name of the lexicon in use.
            allow_other_model: accept other weights than the calibration was made on.

        Raises:
            ModelError: it was made for another model, or reads layers that this one has not.
        """
        blind = sorted(set(calibration.watched) - set(subject.anatomy.layers))
        if blind:
            raise ModelError(
                f"A calibration reads layers with attention, but of those that "
                f"{calibration.name} reads, {type(subject.model).__name__} has none in {blind}. "
                f"Leave the calibration out, or make one for this model with `sightline calibrate`."
            )
        conditions = calibration.conditions
        standing = calibration.limits
        if conditions is not None:
            standing += model_limits(
                conditions.model,
                identity(subject.model, subject.name, anatomy=subject.anatomy),
                allow_other_model=allow_other_model,
            )
        return cls(
            calibration=calibration,
            standing=standing,
            lexicon=lexicon,
            question=None if conditions is None else _written(subject.processor, conditions.prompt),
            special=frozenset(subject.tokenizer.get_added_vocab()),
        )

    def under(
        self, *, threshold: float | None, acts: bool, promise: Certificate | None = None
    ) -> Judge:
        """The same judge under a policy.

        Args:
            threshold: the policy's own, if it has one.
            acts: whether the policy changes what it flags.
            promise: what is certified of what this very policy leaves.
        """
        judge = replace(self, certificate=promise)
        if threshold is not None:
            judge = replace(judge, calibration=Rethresholded(judge.calibration, threshold))
        if acts and promise is None and judge.calibration.guarantee is not None:
            judge = replace(judge, standing=(*judge.standing, ACTED))
        return judge

    def limits(self, prompt: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """What must be said of the verdicts on one caption.

        Args:
            prompt: its whole prompt, as reports have it.
            settings: the options of ``generate``, as reports have them.
        """
        conditions = self.calibration.conditions
        if conditions is None:
            return self.standing
        return self.standing + caption_limits(
            conditions,
            question=self.question,
            prompt=prompt,
            settings=settings,
            lexicon=self.lexicon,
            special=self.special,
        )


def _written(processor: ProcessorMixin, question: str) -> str | None:
    """A question about one image as the processor's chat template writes it out, if it has one."""
    if not getattr(processor, "chat_template", None):
        return None
    content = [{"type": "image"}, {"type": "text", "text": question}]
    template: Any = processor.apply_chat_template
    return str(
        template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
    )
