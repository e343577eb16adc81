"""A calibration in the hands of one monitor: checked against its model, aware of its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin

from ..detectors.verdict import Calibration
from .anatomy import Anatomy
from .errors import ModelError
from .identity import identity
from .matching import caption_limits, model_limits


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What judges mentions, and what must be said of its verdicts.

    Attributes:
        calibration: the detector and its threshold.
        standing: what must be said wherever it is used with this model.
        lexicon: name of the lexicon in use.
        question: the calibration's prompt as the model's processor writes it out.
        special: texts of the tokenizer's added tokens.
    """

    calibration: Calibration
    standing: tuple[str, ...]
    lexicon: str
    question: str | None
    special: frozenset[str]

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        *,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        anatomy: Anatomy,
        name: str,
        lexicon: str,
        allow_other_model: bool = False,
    ) -> Judge:
        """Hold a calibration against a model.

        Args:
            calibration: what is to judge.
            model: the model that will write.
            processor: its processor.
            anatomy: its parts.
            name: what reports call it.
            lexicon: name of the lexicon in use.
            allow_other_model: accept other weights than the calibration was made on.

        Raises:
            ModelError: it was made for another model, or reads layers that this one has not.
        """
        blind = sorted(set(calibration.watched) - set(anatomy.layers))
        if blind:
            raise ModelError(
                f"A calibration reads layers with attention, but of those that "
                f"{calibration.name} reads, {type(model).__name__} has none in {blind}. Leave the "
                f"calibration out, or make one for this model with `sightline calibrate`."
            )
        conditions = calibration.conditions
        standing = calibration.limits
        if conditions is not None:
            standing += model_limits(
                conditions.model,
                identity(model, name, anatomy=anatomy),
                allow_other_model=allow_other_model,
            )
        tokenizer: Any = getattr(processor, "tokenizer", None)
        return cls(
            calibration=calibration,
            standing=standing,
            lexicon=lexicon,
            question=None if conditions is None else _written(processor, conditions.prompt),
            special=frozenset(tokenizer.get_added_vocab()),
        )

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
