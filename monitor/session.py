"""The monitor: the one file that knows every part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin
from transformers.generation.streamers import BaseStreamer

from ..detectors.calibrated import CalibratedDetector
from ..detectors.svar import LayerRange
from ..detectors.verdict import Calibration
from .attention.layers import by_range, choose_layers
from .attention.lens import lens_parts
from .calls import Calls
from .errors import OptionError
from .events import Event
from .judging.certified import resolve
from .judging.judge import Judge
from .judging.ruling import Ruling
from .language.lexicon import Lexicon
from .language.words import Detokenizer
from .models.anatomy import Anatomy
from .models.images import ImageInfo
from .models.loading import load
from .models.prompts import DEFAULT_PROMPT, Images, prepare
from .models.subject import Subject
from .policy.customgenerate import CustomGenerate
from .policy.means import Means
from .policy.policy import Policy
from .policy.redecoding import Redecoding
from .policy.release import Show
from .report import Report
from .watching.arguments import split
from .watching.pen import Pen
from .watching.stream import EventStream
from .watching.watch import Watch

if TYPE_CHECKING:
    from spacy.language import Language


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """What ``Monitor.generate`` returns.

    Attributes:
        texts: the captions, special tokens left out.
        reports: one per caption.
        sequences: int64 ``[captions, length]``, prompt included, as ``generate`` returned them.
        output: whatever ``generate`` returned: ``sequences``, or the object that holds them.
    """

    texts: tuple[str, ...]
    reports: tuple[Report, ...]
    sequences: Tensor
    output: Any

    @classmethod
    def of(cls, call: Watch | Redecoding, output: Any) -> Captions:
        """What a call wrote, and what it returned."""
        sequences = output if isinstance(output, Tensor) else output.sequences
        return cls(call.texts, call.reports, sequences, output)


class Monitor:
    """Watches a vision-language model while it writes captions, and reports on every noun.

    Example::

        monitor = Monitor.from_pretrained("small")
        inputs = monitor.prepare([image])
        result = monitor.generate(**inputs, max_new_tokens=96)
        print(result.texts[0], result.reports[0].to_json())

    A monitor holds no state of a call: it may be used from several threads at once, as far as the
    model may. Watching changes no token and no logit.

    Args:
        model: an image-text-to-text model of transformers, with its weights.
        processor: the model's processor.
        calibration: judges mentions: a calibration, or the folder that ``sightline calibrate fit``
            wrote. Without one mentions are measured and never flagged.
        allow_other_model: use a calibration although it was made on other weights of this
            architecture; every report says so.
        layers: what SVAR sums over: a range, or its text such as ``"5-18"``. By default the
            calibration's, else the one the paper gives for this model, else that one scaled to the
            model's depth.
        lexicon: which words name which object: ``"coco"``, ``"small"``, a file or a lexicon.
        spacy_pipeline: finds the nouns in place of the packaged tagger.
        watch_layers: which layers each token's evidence covers: the ``range`` alone, or ``all``.
        patches: for how many of the latest steps to keep the attention to each image token.
        lens: measure internal confidence and each layer's contribution too; see
            :class:`~sightline.monitor.attention.lens.Lens` for what they are and what they cost.
        on_nonfinite: what happens where the logits hold no distribution: ``raise``, or ``record``.
        anatomy: where the model keeps its parts, if it cannot be found out.
        name: what reports call the model; by default the name it was loaded from.

    Raises:
        ModelError: the model cannot be watched, the processor has no tokenizer, or the calibration
            was made for another model.
        ArtifactError: the calibration's folder cannot be read.
        ValueError: the layer range is not one of the model's, or the spaCy pipeline tags no parts
            of speech.
        LexiconError: the lexicon cannot be read.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        *,
        calibration: Calibration | str | Path | None = None,
        allow_other_model: bool = False,
        layers: LayerRange | str | None = None,
        lexicon: Lexicon | str | Path = "coco",
        spacy_pipeline: Language | None = None,
        watch_layers: Literal["range", "all"] = "range",
        patches: int = 0,
        lens: bool = False,
        on_nonfinite: Literal["raise", "record"] = "raise",
        anatomy: Anatomy | None = None,
        name: str | None = None,
    ) -> None:
        subject = Subject.of(model, processor, anatomy=anatomy, name=name)
        self.model = subject.model
        self.processor = subject.processor
        self.tokenizer = subject.tokenizer
        self.anatomy = subject.anatomy
        self.name = subject.name
        if isinstance(calibration, (str, Path)):
            calibration = CalibratedDetector.load(calibration)
        self.calibration = calibration
        self.layers = choose_layers(
            layers, name=self.name, anatomy=self.anatomy, calibration=calibration
        )
        self.lexicon = lexicon if isinstance(lexicon, Lexicon) else Lexicon.load(lexicon)
        self.spacy_pipeline = spacy_pipeline
        self.on_nonfinite: Literal["raise", "record"] = on_nonfinite
        self._judge: Judge | None = None
        if calibration is not None:
            self._judge = Judge.of(
                calibration,
                subject=subject,
                lexicon=self.lexicon.name,
                allow_other_model=allow_other_model,
            )
        watched: tuple[int, ...] | None = None
        if watch_layers == "range":
            needed = () if calibration is None else calibration.watched
            watched = tuple(sorted({*needed, *self.layers.layers}))
        lens = lens or (calibration is not None and calibration.lens)
        if lens:
            lens_parts(self.anatomy)  # a model without them is refused now
        pen = Pen(
            detokenizer=Detokenizer(self.tokenizer),
            lexicon=self.lexicon,
            tagger=spacy_pipeline,
            layers=self.layers,
            calibration=calibration,
        )
        pen(0)  # taggers and lexicon are read now: nothing of it is left to the first token
        self._calls = Calls(
            subject=subject,
            pen=pen,
            means=Means(subject),
            watched=watched,
            patches=patches,
            lens=lens,
            on_nonfinite=on_nonfinite,
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What must be known of the calibration's verdicts on this model, one sentence each."""
        return () if self._judge is None else self._judge.standing

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path = "small",
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        lexicon: Lexicon | str | Path | None = None,
        **options: Any,
    ) -> Monitor:
        """Load a model and its processor, and watch it.

        Args:
            name_or_folder: a folder with a saved checkpoint, a name on the Hugging Face hub, or
                ``"small"`` for the model that ships with the package.
            device: where the model runs; the CPU by default.
            dtype: of the weights; by default what the checkpoint says.
            lexicon: by default ``"small"`` for the small model and ``"coco"`` for others.
            options: of :class:`Monitor`. The calibration that comes with the model, in its folder
                ``calibration/``, or the provisional threshold of a model whose mean SVAR was
                published, is used unless another one or ``None`` is asked for. A threshold on
                SVAR also gives way to other layers than its own.

        Raises:
            ModelError: nothing is there, or it is not an image-text-to-text model; and whatever
                :class:`Monitor` raises.
        """
        loaded = load(name_or_folder, device=device, dtype=dtype)
        options.setdefault("name", str(name_or_folder))
        own, asked = loaded.calibration, options.get("layers")
        if own is None or asked is None or str(asked) == str(own.layers) or not by_range(own):
            options.setdefault("calibration", own)
        return cls(
            loaded.model,
            loaded.processor,
            lexicon=loaded.lexicon if lexicon is None else lexicon,
            **options,
        )

    def prepare(
        self, images: Sequence[Images], prompt: str | Sequence[str] = DEFAULT_PROMPT
    ) -> BatchFeature:
        """Tensors for :meth:`generate` and :meth:`stream`, on the model's device.

        Args:
            images: one entry per caption: an RGB image, or the images of one prompt.
            prompt: the question, or one per entry; with a processor that has no chat template, the
                whole prompt text with its image token.

        Raises:
            InputError: see :func:`~sightline.monitor.models.prompts.prepare`.
        """
        batch = prepare(self.processor, images, prompt)
        return batch.to(self.model.device, dtype=self.model.dtype)

    def watch(
        self,
        inputs: Mapping[str, Any],
        *,
        images: Sequence[ImageInfo | None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        streamer: BaseStreamer | None = None,
        policy: Policy | str | None = None,
        image_positions: Tensor | None = None,
        **options: Any,
    ) -> Watch:
        """A context manager around one call of the model's own ``generate``.

        Args:
            inputs: what ``generate`` will get from the processor: ``input_ids`` and the rest.
            images: what reports say of each prompt's image; one entry per prompt.
            on_event: called with every event as it happens.
            streamer: another streamer that is to see what ours sees.
            policy: ``"observe"``, ``"flag"``, or one with a threshold of its own. One that changes
                captions is for :meth:`generate` and :meth:`stream`.
            image_positions: bool ``[batch, positions]``, where the image is, if ``input_ids`` do
                not tell: if they are only what follows a cache, or prompts come as embeddings.
            options: the other arguments of ``generate``. They are recorded in the reports, and
                those that cannot be watched are refused here, before decoding. Left out, a caption
                that did not end by itself counts as cut by the length limit.

        Returns:
            a :class:`.Watch`; of beam search a :class:`.BeamWatch`, whose reports come at the end.

        Raises:
            InputError: no ``input_ids``, a prompt without an image token, or one that is longer
                than the model's context.
            OptionError: see :class:`.DecodingOptions`; and a policy that acts, or that needs a
                calibration where there is none.
            ValueError: there is no such policy.
        """
        ruling = self._ruling(policy)
        if ruling.policy is not None and ruling.acts:
            raise OptionError(
                f"A watch only watches, it cannot act on flags, was asked to: {ruling.policy.act}. "
                f"Use monitor.generate(policy=...) or monitor.stream(policy=...)."
            )
        return self._calls.watch(
            inputs,
            options,
            ruling=ruling,
            images=images,
            on_event=on_event,
            streamer=streamer,
            image_positions=image_positions,
        )

    def generate(
        self,
        *,
        images: Sequence[ImageInfo | None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        streamer: BaseStreamer | None = None,
        policy: Policy | str | None = None,
        show: Show = "hold",
        image_positions: Tensor | None = None,
        **arguments: Any,
    ) -> Captions:
        """The model's ``generate``, watched; see :meth:`watch` for what is raised.

        Args:
            images: what reports say of each prompt's image.
            on_event: called with every event as it happens.
            streamer: another streamer that is to see the tokens; not under a policy that acts.
            policy: what to do about flags: a :class:`~sightline.monitor.policy.Policy`, or
                the name of one: ``observe``, ``flag`` (as without one), ``redecode``, ``drop``,
                ``stop``, or ``calibrated``: the one that came with the calibration.
            show: under a policy that acts, whether events ``hold`` until what they tell will not be
                taken back, or come ``live``, and are taken back by ``Retract`` events.
            image_positions: see :meth:`watch`; not under a policy that acts.
            arguments: inputs and options, as ``generate`` takes them.
        """
        inputs, options = split(arguments)
        ruling = self._ruling(policy)
        if ruling.acts:
            rewriting = self._calls.redecoding(
                inputs,
                options,
                ruling=ruling,
                images=images,
                on_event=on_event,
                streamer=streamer,
                show=show,
                image_positions=image_positions,
            )
            with rewriting:
                output = rewriting.run()
            return Captions.of(rewriting, output)
        watch = self._calls.watch(
            inputs,
            options,
            ruling=ruling,
            images=images,
            on_event=on_event,
            streamer=streamer,
            image_positions=image_positions,
        )
        with watch:
            output = self._run(watch, arguments)
        return Captions.of(watch, output)

    def stream(
        self,
        *,
        images: Sequence[ImageInfo | None] | None = None,
        policy: Policy | str | None = None,
        show: Show = "hold",
        image_positions: Tensor | None = None,
        **arguments: Any,
    ) -> EventStream[Watch] | EventStream[Redecoding]:
        """An iterator over the events of a watched ``generate``, while it runs in a thread.

        Bad input is refused here, by the call; see :meth:`watch`. Use it in a ``with`` block, or
        close it, to end early: the generation stops and the model is left as found.

        Args:
            images: what reports say of each prompt's image.
            policy: what to do about flags; see :meth:`generate`.
            show: see :meth:`generate`.
            image_positions: see :meth:`generate`.
            arguments: inputs and options, as ``generate`` takes them.

        Raises:
            OptionError: beam search, too: it has nothing to tell before it ends.
        """
        inputs, options = split(arguments)
        streamer = options.pop("streamer", None)
        ruling = self._ruling(policy)
        if ruling.acts:
            rewrite = partial(
                self._calls.redecoding,
                inputs,
                options,
                ruling=ruling,
                images=images,
                streamer=streamer,
                show=show,
                image_positions=image_positions,
            )
            rewrite(on_event=None)  # refuse bad input now, and not in the thread
            return EventStream(lambda sink: rewrite(on_event=sink), Redecoding.run)
        watch = partial(
            self._calls.watch,
            inputs,
            options,
            ruling=ruling,
            images=images,
            streamer=streamer,
            image_positions=image_positions,
        )
        if watch(on_event=None).options.mode == "beams":
            raise OptionError(
                "Beam search has nothing to stream: which tokens a caption has is known when it is "
                "over. Use monitor.generate(), or num_beams=1."
            )
        return EventStream(
            lambda sink: watch(on_event=sink), partial(self._run, arguments=arguments)
        )

    def custom_generate(
        self,
        policy: Policy | str = "redecode",
        *,
        on_event: Callable[[Event], None] | None = None,
        show: Show = "hold",
    ) -> CustomGenerate:
        """For those who call ``model.generate`` themselves: its ``custom_generate``.

        Args:
            policy: what to do about flags; one that acts.
            on_event: called with every event.
            show: see :meth:`generate`.

        Raises:
            OptionError: the policy only watches, for which :meth:`watch` is there.
        """
        chosen = resolve(policy, self.calibration)
        if not chosen.acts:
            raise OptionError(
                f"custom_generate takes the place of the decoding loop, which {chosen.act!r} does "
                f"not need. Use monitor.watch()."
            )
        return CustomGenerate(
            self.model, partial(self.generate, policy=chosen, on_event=on_event, show=show)
        )

    def _run(self, watch: Watch, arguments: Mapping[str, Any]) -> Any:
        given = watch.plug_into(arguments)
        if watch.options.stop_strings:
            given.setdefault("tokenizer", self.tokenizer)
        model: Any = self.model  # a PreTrainedModel that generates, which has no type of its own
        return watch.finish(model.generate(**given))

    def _ruling(self, policy: Policy | str | None) -> Ruling:
        ruling = Ruling.of(policy, self._judge, name=self.name)
        if ruling.policy is None:
            return ruling
        return replace(ruling, policy=self._calls.means.placed(ruling.policy))
