"""A report of a caption, with what the model's inside was like while it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from ..errors import InputError
from ..models.prompts import DEFAULT_PROMPT, Images
from ..report import (
    Grid,
    Inside,
    MentionInside,
    MentionSection,
    Planes,
    Reads,
    Report,
)
from .bands import bands_of
from .forward import Glance, look
from .grids import grids
from .imagelens import ImageReading
from .prompt import prompt_again

if TYPE_CHECKING:
    from ..session import Monitor

# How far SVAR may be off in the median, as a share of what the report says. Of the small model's
# captions, written in one precision and inspected in another, none is off by more than 0.2%; with
# another picture of the same size, one in 64 is off by less than 2%.
_TOLERANCE: Final = 0.02
_LEAST: Final = 0.02  # of SVAR: below it, a share means nothing
_WORDS: Final = (1 << 16) - 1


def inspect(
    monitor: Monitor,
    report: Report,
    image: Images,
    *,
    lens: bool = True,
    question: str | None = None,
) -> Report:
    """Look again at a caption that was written: where each noun's row looked, in every layer.

    One forward pass over the prompt and the caption's own tokens, as they stand in the report
    after whatever a policy did. Of each mention the row that predicts its first sub-token is read:
    its visual attention ratio by layer, and its attention to each image token (Jiang et al., arXiv
    2411.16724, Fig. 4). The logit lens (Eq. 2) tells what each image token reads as in each layer,
    and how likely the mention's first sub-token is there. No map over all pairs of positions and
    no ``[layers, image tokens, vocabulary]`` is ever made; the output head, which does the lens's
    work, runs once per layer and image token. The model is left as found.

    Args:
        monitor: of the model that wrote the caption.
        report: its report.
        image: the picture that was captioned, upright and RGB as
            :func:`~sightline.monitor.models.images.open_image` gives it.
        lens: whether to read the image tokens through the output head.
        question: what the model was asked, where it cannot be found out from the report.

    Returns:
        the report, with ``inside`` filled in, also of each mention.

    Raises:
        InputError: the picture, the tokens or the prompt are not the report's, or SVAR comes out
            otherwise than the report has it.
        ModelError: the model is of another kind than the report's, or has no output head for the
            lens.
    """
    _check(monitor, report, image)
    inputs = prompt_again(monitor, report, image, question=question)
    firsts = [report.tokens[mention.first_token].id for mention in report.mentions]
    rows = [mention.first_token for mention in report.mentions]
    caption = [token.id for token in report.tokens[: max(rows, default=0)]]
    asked = sorted(set(firsts))
    glance = look(monitor.anatomy, inputs, caption, rows or [0], asked=asked if lens else None)
    _check_svar(report, glance)
    mentions = tuple(
        mention.model_copy(update={"inside": _of(mention, glance, place, asked.index(first))})
        for place, (mention, first) in enumerate(zip(report.mentions, firsts, strict=True))
    )
    inside = Inside(
        layers=glance.layers,
        grids=_grids(monitor, inputs, image, report.image_tokens),
        reads=None if glance.reading is None else _reads(glance.reading, monitor.tokenizer),
        bands=bands_of(monitor.calibration),
    )
    return report.model_copy(update={"mentions": mentions, "inside": inside})


def _grids(
    monitor: Monitor, inputs: Mapping[str, Any], image: Images, tokens: int
) -> tuple[Grid, ...]:
    one = image if isinstance(image, Image.Image) or len(image) != 1 else image[0]
    if not isinstance(one, Image.Image):
        return ()  # which token belongs to which of several pictures is another question
    token = str(getattr(monitor.processor, "image_token", "<image>"))
    templated = getattr(monitor.processor, "chat_template", None)
    return grids(
        monitor.model.config,
        inputs,
        lambda picture: monitor.prepare([picture], DEFAULT_PROMPT if templated else token),
        one.size,
        tokens,
    )


def _of(mention: MentionSection, glance: Glance, place: int, asked: int) -> MentionInside:
    reading = glance.reading
    return MentionInside(
        profile=tuple(glance.var[place].tolist()),
        attention=Planes.of(glance.patches[place]),
        confidence=None if reading is None else Planes.of(reading.asked[asked].numpy()),
    )


def _reads(reading: ImageReading, tokenizer: Any) -> Reads:
    ids, index, counts = np.unique(reading.top.numpy(), return_inverse=True, return_counts=True)
    index = index.reshape(reading.top.shape)
    words = [_word(tokenizer, int(token)) for token in ids]
    if len(words) > _WORDS:  # more than the indices can tell apart: the rarest read as nothing
        kept = np.sort(np.argsort(-counts, kind="stable")[:_WORDS])
        place = np.full(len(words), _WORDS)
        place[kept] = np.arange(_WORDS)
        index, words = place[index], [*(words[one] for one in kept), ""]
    return Reads.of(tuple(words), index, reading.share.numpy())


def _word(tokenizer: Any, token: int) -> str:
    """A token's text; part of a character, which has none, goes by the tokenizer's name for it."""
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    return str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text


def _check(monitor: Monitor, report: Report, image: Images) -> None:
    """Refuse what cannot be the report's, before the model runs."""
    architecture = type(monitor.model).__name__
    if report.model.architecture != architecture:
        raise InputError(
            f"A caption can be looked at again by the model that wrote it, {report.model.name} "
            f"({report.model.architecture}), the monitor has {monitor.name} ({architecture}). "
            f"Load the report's model."
        )
    info = report.image
    one = image if isinstance(image, Image.Image) else None
    if info is not None and one is not None and one.size != (info.width, info.height):
        raise InputError(
            f"The picture must be the one that was captioned, {info.path} of {info.width} x "
            f"{info.height} pixels, this one has {one.width} x {one.height}. Find the picture as "
            f"it was, or caption it again."
        )
    ids = [token.id for token in report.tokens]
    embeddings: Any = monitor.model.get_input_embeddings()
    known = int(embeddings.weight.shape[0])
    if ids and max(ids) >= known:
        raise InputError(
            f"The caption's tokens must be the model's, numbered below {known}, one is {max(ids)}. "
            f"Load the report's model."
        )
    if not set(ids).isdisjoint(monitor.anatomy.image_token_ids):
        raise InputError(
            "A caption can be looked at again if it has no image tokens of its own, this one has: "
            "read at once with the prompt, they would be taken for a picture."
        )
    text = str(
        monitor.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )
    # An interrupted caption may have tokens whose text never came.
    if text != report.text and not (report.finish == "interrupted" and report.text in text):
        raise InputError(
            f"The caption's tokens must spell its text, with this tokenizer they spell "
            f"{_short(text)}, and the report says {_short(report.text)}. Load the report's model "
            f"with its own tokenizer."
        )


def _check_svar(report: Report, glance: Glance) -> None:
    """Hold what was measured against what was measured while the caption was written."""
    over = [
        place
        for place, layer in enumerate(glance.layers)
        if report.layers.first <= layer <= report.layers.last
    ]
    found = glance.var[:, over].sum(axis=1)
    pairs = [
        (float(now), mention.svar)
        for now, mention in zip(found, report.mentions, strict=False)
        if mention.svar is not None and np.isfinite(now)
    ]
    off = [abs(now - then) / max(then, _LEAST) for now, then in pairs]
    if off and float(np.median(off)) > _TOLERANCE:
        worst = int(np.argmax(off))
        raise InputError(
            f"What the model looked at must come out as the report has it, within "
            f"{_TOLERANCE:.0%} of SVAR; a mention had {pairs[worst][1]:.3f} and has "
            f"{pairs[worst][0]:.3f}. The picture or the weights are others: find those of the "
            f"report, or caption the picture again."
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
