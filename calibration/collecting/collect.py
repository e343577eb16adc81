"""Captions held-out images through the monitor, and keeps what it saw of every object mention."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import BatchFeature

from ...monitor.decoding.options import DecodingOptions
from ...monitor.errors import ImageError, InputError, SightlineError
from ...monitor.language.words import Detokenizer
from ...monitor.models.identity import identity
from ...monitor.models.images import MAX_PIXELS, OpenedImage, find_images, open_image
from ...monitor.session import Monitor
from ...monitor.watching.recording import Recorder
from ..objects.annotations import AnnotationError, Annotations
from .collected import CaptionGatherer, CollectedCaption, ImageFacts
from .folder import TableFolder, by_number
from .header import Share, TableHeader, TableInfo
from .recorded import CaptionReader

_TOO_MANY: Final = 3
"""So many images in a row that fail are not what is wrong."""


class CollectError(SightlineError, RuntimeError):
    """The model captions nothing any more."""


@dataclass(frozen=True, slots=True)
class Source:
    """An image to caption: its id in the annotations and its file."""

    image_id: str
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Images that are ready for the model, and those that never will be.

    Attributes:
        sources: all of them, in order.
        opened: those that could be opened.
        inputs: of all that could be opened; ``None`` if they could not be prepared together.
        failed: the records of the others.
    """

    sources: Sequence[Source]
    opened: Sequence[tuple[Source, OpenedImage]]
    inputs: BatchFeature | None
    failed: Sequence[CollectedCaption]


def find_sources(folder: Path, annotations: Annotations) -> tuple[Source, ...]:
    """The images of a folder, by id: the order in which they are captioned.

    Raises:
        InputError: there is no image, one is not annotated, or two have the same id.
    """
    if not folder.is_dir():
        raise InputError(f"Images must be in a folder, {folder} is none. Check the path.")
    files = find_images([folder])
    if not files:
        raise InputError(f"{folder} holds no image files. Give the folder that holds them.")
    found: dict[str, Path] = {}
    unknown: list[str] = []
    for path in files:
        try:
            image_id = annotations.find(path)
        except AnnotationError:
            unknown.append(path.name)
            continue
        if image_id in found:
            raise InputError(
                f"Every image must have an id of its own, {found[image_id].name} and {path.name} "
                f"both have {image_id!r} in {annotations.source}. Remove one of them."
            )
        found[image_id] = path
    if unknown:
        listed = ", ".join(unknown[:5]) + ", ..." * (len(unknown) > 5)
        raise InputError(
            f"Every image must be annotated, {len(unknown):,} of {len(files):,} in {folder} are "
            f"not in {annotations.source}: {listed}. Move them elsewhere, or give the annotations "
            f"that cover them."
        )
    return tuple(Source(i, found[i]) for i in sorted(found, key=by_number))


def deal(
    sources: Sequence[Source], *, number: int, of: int, batch_size: int
) -> tuple[tuple[Source, ...], Share]:
    """One share of the images: every ``of``-th batch, so that shares batch as the whole does.

    Args:
        sources: all images.
        number: which share, from 1.
        of: how many shares there are.
        batch_size: images captioned at once.
    """
    ids = json.dumps([batch_size, [source.image_id for source in sources]])
    share = Share(number, of, len(sources), hashlib.sha256(ids.encode()).hexdigest())
    batches = _batches(sources, batch_size)[number - 1 :: of]
    return tuple(source for batch in batches for source in batch), share


class Collector:
    """Captions images with one model and one question, greedily.

    Args:
        monitor: watches all layers.
        annotations: what is in the images; of the monitor's lexicon.
        prompt: the question.
        max_new_tokens: where captions are cut.
        batch_size: images captioned at once.
        max_pixels: the largest image that is opened.
        lens: whether the monitor reads the image through the logit lens.
    """

    def __init__(
        self,
        monitor: Monitor,
        annotations: Annotations,
        *,
        prompt: str,
        max_new_tokens: int,
        batch_size: int,
        max_pixels: int = MAX_PIXELS,
        lens: bool = False,
    ) -> None:
        self._monitor = monitor
        self._annotations = annotations
        self._prompt = prompt
        self._batch_size = batch_size
        self._max_pixels = max_pixels
        # Without sampling, a caption that is written again after a stop is the same caption.
        self._options: dict[str, Any] = {"do_sample": False, "max_new_tokens": max_new_tokens}
        self._lens = lens
        # Read when all is written, captions cost a third; but the lens looks while the model runs,
        # a spaCy pipeline sees other nouns, and stop strings must be seen coming.
        known = DecodingOptions.of(monitor.model, self._options, prompt_length=0)
        self._reader: CaptionReader | None = None
        if not (lens or monitor.spacy_pipeline is not None or known.stop_strings):
            self._reader = CaptionReader(Detokenizer(monitor.tokenizer), monitor.lexicon)
        self._failures = 0  # images that failed since one was captioned

    def header(self, share: Share) -> TableHeader:
        """What the table of a share says of itself."""
        monitor = self._monitor
        who = identity(monitor.model, monitor.name, anatomy=monitor.anatomy)
        known = DecodingOptions.of(monitor.model, self._options, prompt_length=0)
        info = TableInfo(
            model=who.name,
            revision=who.revision,
            architecture=who.architecture,
            num_layers=who.num_layers,
            num_heads=who.num_heads,
            prompt=self._prompt,
            settings=dict(known.settings),
            lexicon=monitor.lexicon.name,
            annotations=self._annotations.sha256,
            lens=self._lens,
        )
        return TableHeader(info, monitor.anatomy.layers, share)

    def run(
        self,
        sources: Sequence[Source],
        folder: TableFolder,
        *,
        on_captions: Callable[[Sequence[CollectedCaption]], object] = lambda _: None,
    ) -> None:
        """Caption all images that are not in the table, and add them to it, batch by batch.

        An image that cannot be captioned is recorded as such and stops no other.

        Args:
            sources: the images of the share.
            folder: entered.
            on_captions: called with each part once it is in the table, in a thread of its own.

        Raises:
            CollectError: several images in a row could be read, but not captioned.
            TableError: the table is damaged.
            OSError: it cannot be written.
        """
        done = folder.done()
        left = [source for source in sources if source.image_id not in done]
        with ThreadPoolExecutor(1, thread_name_prefix="sightline-table") as writer:
            writing: Future[None] | None = None
            for batch in self._ready(left):
                captions = self._captions(batch)
                if writing is not None:
                    writing.result()
                writing = writer.submit(_keep, captions, folder, on_captions)
            if writing is not None:
                writing.result()
        folder.finish()

    def _ready(self, sources: Sequence[Source]) -> Iterator[_Batch]:
        """Batches, the next of which is opened and prepared while the model is busy."""
        with ThreadPoolExecutor(1, thread_name_prefix="sightline-images") as reader:
            coming: deque[Future[_Batch]] = deque()
            for batch in _batches(sources, self._batch_size):
                coming.append(reader.submit(self._prepared, batch))
                if len(coming) > 1:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _prepared(self, sources: Sequence[Source]) -> _Batch:
        opened: list[tuple[Source, OpenedImage]] = []
        failed: list[CollectedCaption] = []
        for source in sources:
            try:
                opened.append((source, open_image(source.path, max_pixels=self._max_pixels)))
            except ImageError as error:
                failed.append(self._failed(source, error))
        try:
            inputs = self._inputs(opened) if opened else None
        except Exception:  # not lost: what cannot be prepared together is prepared one by one
            inputs = None
        return _Batch(sources, opened, inputs, failed)

    def _inputs(self, opened: Sequence[tuple[Source, OpenedImage]]) -> BatchFeature:
        return self._monitor.prepare([one.image for _, one in opened], self._prompt)

    def _captions(self, batch: _Batch) -> list[CollectedCaption]:
        """Captions of all, in order; those of images that cannot be captioned say why."""
        written = [*self._isolated(batch.opened, batch.inputs), *batch.failed]
        by_id = {caption.image_id: caption for caption in written}
        return [by_id[source.image_id] for source in batch.sources]

    def _isolated(
        self, opened: Sequence[tuple[Source, OpenedImage]], inputs: BatchFeature | None
    ) -> list[CollectedCaption]:
        """Captions of a batch; if that fails, of each image alone."""
        if not opened:
            return []
        try:
            captions = self._written(opened, self._inputs(opened) if inputs is None else inputs)
        except Exception as error:  # recorded; whatever one image does must not stop the others
            if len(opened) == 1:
                return [self._fail(opened[0][0], error)]
            return [caption for one in opened for caption in self._isolated([one], None)]
        self._failures = 0
        return captions

    def _written(
        self, opened: Sequence[tuple[Source, OpenedImage]], inputs: BatchFeature
    ) -> list[CollectedCaption]:
        facts = [
            ImageFacts(source.image_id, source.path.name, self._annotations.truth(source.image_id))
            for source, _ in opened
        ]
        with torch.inference_mode():
            if self._reader is None:
                return self._listened(facts, inputs)
            return self._recorded(facts, inputs, self._reader)

    def _recorded(
        self, images: Sequence[ImageFacts], inputs: BatchFeature, reader: CaptionReader
    ) -> list[CollectedCaption]:
        """Captions that are read when they are written: of most tokens nobody wants to know."""
        monitor = self._monitor
        model: Any = monitor.model  # a PreTrainedModel that generates has no type of its own
        with Recorder(
            model, monitor.anatomy, inputs, on_nonfinite=monitor.on_nonfinite, **self._options
        ) as recorder:
            sequences = model.generate(
                **inputs, **self._options, logits_processor=[recorder.logits_processor]
            )
        return reader.captions(recorder, sequences, images, self._annotations.annotated)

    def _listened(
        self, images: Sequence[ImageFacts], inputs: BatchFeature
    ) -> list[CollectedCaption]:
        """Captions of what the monitor says while it watches, as it does in any generation."""
        gatherer = CaptionGatherer(len(images))
        model: Any = self._monitor.model
        # What Monitor.generate does, without the reports: nobody reads them here.
        with self._monitor.watch(inputs, on_event=gatherer.add, **self._options) as watch:
            model.generate(
                **inputs,
                **self._options,
                logits_processor=[watch.logits_processor],
                streamer=watch.streamer,
            )
        annotated = self._annotations.annotated
        return [gatherer.caption(row, image, annotated) for row, image in enumerate(images)]

    def _fail(self, source: Source, error: Exception) -> CollectedCaption:
        """The record of an image that failed, unless it is not the images that fail."""
        self._failures += 1
        if self._failures == _TOO_MANY:
            raise CollectError(
                f"{_TOO_MANY} images in a row could not be captioned, {source.path.name} with "
                f"{type(error).__name__}: {error} That is not the images' fault. Mend it and start "
                f"again: collecting continues where it was."
            ) from error
        return self._failed(source, error)

    def _failed(self, source: Source, error: Exception) -> CollectedCaption:
        return CollectedCaption(
            image_id=source.image_id,
            file=source.path.name,
            truth=tuple(sorted(self._annotations.truth(source.image_id))),
            error=f"{type(error).__name__}: {error}",
        )


def _keep(
    captions: Sequence[CollectedCaption],
    folder: TableFolder,
    on_captions: Callable[[Sequence[CollectedCaption]], object],
) -> None:
    folder.write(captions)
    on_captions(captions)


def _batches(sources: Sequence[Source], size: int) -> list[Sequence[Source]]:
    return [sources[start : start + size] for start in range(0, len(sources), size)]
