"""What captions are written with: the words, the nouns and the judge of one monitor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...detectors.svar import LayerRange
from ...detectors.verdict import Calibration
from ..events import Verdict
from ..language.lexicon import Lexicon
from ..language.nouns import NounSpotter
from ..language.words import Detokenizer, WordSplitter
from .caption import Caption

if TYPE_CHECKING:
    from spacy.language import Language


@dataclass(frozen=True, slots=True, eq=False)
class Pen:
    """Makes the captions of one call of ``generate``, empty.

    Attributes:
        detokenizer: turns tokens into text.
        lexicon: which words name which object.
        tagger: finds the nouns; ``None`` for the packaged one.
        layers: what SVAR sums over.
        calibration: judges mentions; ``None`` where they are only measured.
        together: judge mentions that cannot be flagged with the next that can: for who waits for
            flags alone.
    """

    detokenizer: Detokenizer
    lexicon: Lexicon
    tagger: Language | None
    layers: LayerRange
    calibration: Calibration | None
    together: bool = False

    def __call__(
        self,
        row: int,
        *,
        judged: bool = True,
        known: Mapping[int, Verdict] = MappingProxyType({}),
    ) -> Caption:
        """The caption of a row.

        Args:
            row: of the batch.
            judged: whether its mentions get verdicts.
            known: verdicts that were given before, by the number of their mention.
        """
        return Caption(
            row=row,
            stream=self.detokenizer.stream(row),
            words=WordSplitter(row),
            nouns=NounSpotter(self.lexicon, tagger=self.tagger, row=row),
            layers=self.layers,
            calibration=self.calibration if judged else None,
            known=known,
            together=self.together,
        )
