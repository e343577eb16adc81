"""Captions held-out images through the monitor, and keeps what it saw of every object mention."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from transformers import BatchFeature

from ...monitor.decoding.options import DecodingOptions
from ...monitor.errors import ImageError, SightlineError
from ...monitor.jobs.lengths import PromptLengths
from ...monitor.jobs.retries import Portions, Retries, device_lost
from ...monitor.jobs.windows import AHEAD, windows
from ...monitor.language.words import Detokenizer
from ...monitor.models.identity import identity
from ...monitor.models.images import MAX_PIXELS, OpenedImage, open_image
from ...monitor.session import Monitor
from ...monitor.watching.recording import Recorder
from ..objects.annotations import Annotations
from .collected import CaptionGatherer, CollectedCaption, ImageFacts
from .folder import TableFolder
from .header import Share, TableHeader, TableInfo
from .recorded import CaptionReader
from .sources import Source

_TOO_MANY: Final = 3
"""So many images in a row that fail are not what is wrong."""


class CollectError(SightlineError, RuntimeError):
    """The model captions nothing any more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Images that are ready for the model, and those that never will be.

    Attributes:
        sources: all of them, in order.
        done: of each, whether it is in the table: it keeps the others company.
        opened: those that could be opened.
        inputs: of all that could be opened; ``None`` if they could not be prepared together.
        failed: the records of the others.
    """

    sources: Sequence[Source]
    done: Sequence[bool]
    opened: Sequence[tuple[Source, OpenedImage]]
    inputs: BatchFeature | None
    failed: Sequence[CollectedCaption]


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
        retries: of what fails in a way that passes; batches without room are halved.
        on_smaller: told the size of the batches whenever there was no memory for larger ones.
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
        retries: Retries | None = None,
        on_smaller: Callable[[int], object] = lambda _: None,
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
        self._retries = Retries() if retries is None else retries
        self._ready_inputs: BatchFeature | None = None  # of the whole batch that is next
        self._portions: Portions[tuple[Source, OpenedImage], CollectedCaption] = Portions(
            self._written,
            lambda one, error: self._fail(one[0], error),
            retries=self._retries,
            on_smaller=on_smaller,
        )

    @property
    def window(self) -> int:
        """Neighbours that are batched together: a batch, or several if prompts differ in length."""
        return self._batch_size * (1 if self._length is None else AHEAD)

    @cached_property
    def _length(self) -> Callable[[Source], int] | None:
        if self._batch_size == 1:
            return None
        lengths = PromptLengths(
            self._monitor.processor,
            self._prompt,
            max_pixels=self._max_pixels,
            retries=self._retries,
        )
        return (lambda source: lengths.of(source.path)) if lengths.vary else None

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
        with ThreadPoolExecutor(1, thread_name_prefix="sightline-table") as writer:
            writing: Future[None] | None = None
            for batch in self._ready(sources, [source.image_id in done for source in sources]):
                captions = self._captions(batch)
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._keep, captions, folder, on_captions)
                if self._portions.lost is not None:
                    break
            if writing is not None:
                writing.result()
        if self._portions.lost is not None:
            raise CollectError(
                f"The device failed and cannot be used by this process any more: "
                f"{self._portions.lost} The images it was busy with are recorded as failed. The "
                f"same command goes on with the others; --retry-failed tries these again."
            ) from self._portions.lost
        folder.finish()

    def _ready(self, sources: Sequence[Source], done: Sequence[bool]) -> Iterator[_Batch]:
        """Batches, the next of which is opened and prepared while the model is busy."""
        batches = self._batches(sources, done)
        with ThreadPoolExecutor(1, thread_name_prefix="sightline-images") as reader:
            coming: deque[Future[_Batch | None]] = deque()
            while True:
                coming.append(reader.submit(next, batches, None))
                if len(coming) > 1:
                    batch = coming.popleft().result()
                    if batch is None:
                        return
                    yield batch

    def _batches(self, sources: Sequence[Source], done: Sequence[bool]) -> Iterator[_Batch]:
        for window in windows(sources, done, self._batch_size, length=self._length):
            for places in window.batches:
                chosen = [window.items[place] for place in places]
                yield self._prepared(chosen, [window.done[place] for place in places])

    def _prepared(self, sources: Sequence[Source], done: Sequence[bool]) -> _Batch:
        opened: list[tuple[Source, OpenedImage]] = []
        failed: list[CollectedCaption] = []
        for source in sources:
            try:
                opened.append((source, self._retries.call(lambda one=source: self._open(one))))  # type: ignore[misc]
            except ImageError as error:
                failed.append(self._failed(source, error))
        try:
            inputs = self._inputs(opened) if opened else None
        except Exception:  # not lost: what cannot be prepared together is prepared one by one
            inputs = None
        return _Batch(sources, done, opened, inputs, failed)

    def _open(self, source: Source) -> OpenedImage:
        return open_image(source.path, max_pixels=self._max_pixels)

    def _inputs(self, opened: Sequence[tuple[Source, OpenedImage]]) -> BatchFeature:
        return self._monitor.prepare([one.image for _, one in opened], self._prompt)

    def _captions(self, batch: _Batch) -> list[CollectedCaption]:
        """Captions of what is not in the table, in order; those of failed images say why."""
        self._ready_inputs = batch.inputs
        written = [*self._portions.results(batch.opened), *batch.failed]
        by_id = {caption.image_id: caption for caption in written}
        return [
            by_id[source.image_id]
            for source, done in zip(batch.sources, batch.done, strict=True)
            if not done
        ]

    def _written(self, opened: Sequence[tuple[Source, OpenedImage]]) -> list[CollectedCaption]:
        inputs, self._ready_inputs = self._ready_inputs, None
        if inputs is None or len(inputs["input_ids"]) != len(opened):
            inputs = self._inputs(opened)
        facts = [
            ImageFacts(source.image_id, source.path.name, self._annotations.truth(source.image_id))
            for source, _ in opened
        ]
        with torch.inference_mode():
            if self._reader is None:
                captions = self._listened(facts, inputs)
            else:
                captions = self._recorded(facts, inputs, self._reader)
        self._failures = 0
        return captions

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
        if device_lost(error):
            return self._failed(source, error)
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
        self,
        captions: Sequence[CollectedCaption],
        folder: TableFolder,
        on_captions: Callable[[Sequence[CollectedCaption]], object],
    ) -> None:
        self._retries.call(lambda: folder.write(captions))
        on_captions(captions)
