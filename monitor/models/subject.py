"""The model that is watched, with what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin

from ..errors import ModelError
from .anatomy import Anatomy


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model that can be watched.

    Attributes:
        model: writes text about images.
        processor: makes its inputs.
        tokenizer: the processor's.
        anatomy: where the model keeps its parts.
        name: what reports call it.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    tokenizer: Any
    anatomy: Anatomy
    name: str

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        *,
        anatomy: Anatomy | None = None,
        name: str | None = None,
    ) -> Subject:
        """Look a model over.

        Args:
            model: with its weights.
            processor: the model's.
            anatomy: where the model keeps its parts, if it cannot be found out.
            name: by default the name it was loaded from, else its class.

        Raises:
            ModelError: the processor has no tokenizer, the model writes no text, or its parts
                cannot be found.
        """
        tokenizer = getattr(processor, "tokenizer", None)
        if tokenizer is None:
            raise ModelError(
                f"The processor must hold the model's tokenizer, {type(processor).__name__} has "
                f"none. Pass what AutoProcessor.from_pretrained returns for the model."
            )
        if not model.can_generate():
            raise ModelError(
                f"The model must write text, {type(model).__name__} has no generate(). Load it "
                f"with AutoModelForImageTextToText."
            )
        try:
            parts = anatomy if anatomy is not None else Anatomy.of(model)
        except ValueError as error:
            raise ModelError(
                f"{error} A monitor takes what you pass there as "
                f"Monitor(..., anatomy=Anatomy.of(model, ...))."
            ) from error
        found: str = name or getattr(model.config, "name_or_path", "") or type(model).__name__
        return cls(model, processor, tokenizer, parts, found)
