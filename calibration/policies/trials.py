"""Every way on every image: resumable, in several processes, the ways of an image side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from ...monitor.errors import ImageError
from ...monitor.models.identity import identity
from ...monitor.session import Monitor
from ..collecting.sources import Source
from ..objects.annotations import Annotations
from .crew import Crew
from .gates import chance_of
from .outcome import Outcome
from .outcomefile import OutcomeFile, Trial, TrialError, TrialHeader, Unreadable
from .ways import Acting, DropAfterwards, RandomGate, Way, check_names
from .writing import Asked, Subject, Writer

Task = tuple[int, Subject, tuple[Way, ...], Mapping[str, float]]
"""Number of the image, the image, the ways, and the chances of random gates."""

_TOO_MANY: Final = 3
"""So many images in a row that cannot be read are not what is wrong."""


@dataclass(frozen=True, slots=True)
class Scribe:
    """Does the tasks of a trial with one model; the value that a worker process holds."""

    monitor: Monitor
    asked: Asked
    writers: dict[str, Writer]

    def __call__(self, task: Task) -> list[Outcome] | Unreadable:
        number, subject, ways, chances = task
        # Chances are the same for all images, but only known once the other ways are done.
        key = json.dumps(sorted(chances.items()))
        if key not in self.writers:
            self.writers[key] = Writer(self.monitor, self.asked, chances)
        try:
            return self.writers[key].write(subject, ways, turn=number)
        except ImageError as error:
            return Unreadable(subject.image, f"{type(error).__name__}: {error}")


def subjects(sources: Sequence[Source], annotations: Annotations) -> tuple[Subject, ...]:
    """Images with what is in them, from what ``find_sources`` found."""
    return tuple(
        Subject(one.image_id, one.path, tuple(sorted(annotations.truth(one.image_id))))
        for one in sources
    )


def header_of(
    monitor: Monitor,
    ways: Sequence[Way],
    images: Sequence[Subject],
    asked: Asked,
    *,
    annotations: str = "",
) -> TrialHeader:
    """What a trial's file says of it."""
    who = identity(monitor.model, monitor.name, anatomy=monitor.anatomy)
    own = monitor.calibration
    made = getattr(own, "created", "")
    return TrialHeader(
        model=who.name,
        revision=who.revision,
        calibration="" if own is None else f"{own.name}, threshold {own.threshold}, {made}",
        prompt=asked.prompt,
        max_new_tokens=asked.max_new_tokens,
        lexicon=monitor.lexicon.name,
        annotations=annotations,
        images=len(images),
        which=hashlib.sha256(json.dumps([one.image for one in images]).encode()).hexdigest(),
        ways=tuple(way.to_json() for way in ways),
    )


def run_ways(
    monitor: Monitor,
    ways: Sequence[Way],
    images: Sequence[Subject],
    out: str | Path,
    *,
    asked: Asked | None = None,
    annotations: str = "",
    workers: int = 1,
    load: Callable[[], Monitor] | None = None,
    on_image: Callable[[int, int], object] = lambda done, of: None,
) -> Trial:
    """Try all ways on all images, and write down what became of each.

    The ways of an image run right after each other, each image beginning with another one, so that
    their seconds can be compared. What is in the file is not tried again. Random gates come last,
    once it is known how often what they imitate acts.

    Args:
        monitor: tries, where there is one worker; says what is tried in any case.
        ways: each with a name of its own.
        images: with ids of their own.
        out: the file; see :class:`.OutcomeFile`.
        asked: of the model; by default the paper's question.
        annotations: SHA-256 of where the truth is from.
        workers: processes; more than one make their own monitors.
        load: makes such a monitor; a picklable function, needed for more than one worker.
        on_image: called with how many images are done and of how many, those of random gates
            counted again.

    Raises:
        TrialError: the file holds another trial, images cannot be read one after the other, or a
            way needs a calibration and there is none.
        ValueError: two ways have one name, or a random gate imitates none of them.
        WorkerError: writing failed in a worker process.
        OSError: the file cannot be written.
    """
    ways, asked = tuple(ways), asked or Asked()
    check_names(ways)
    needy = [way.name for way in ways if isinstance(way, (Acting, RandomGate, DropAfterwards))]
    if needy and monitor.calibration is None:
        raise TrialError(
            f"{needy[0]!r} needs verdicts, but {monitor.name} has no calibration. Give one with "
            f"--calibration, or make one with `sightline calibrate fit`."
        )
    if workers > 1 and load is None:
        raise ValueError("Several workers must each load a monitor, load was None.")
    header = header_of(monitor, ways, images, asked, annotations=annotations)
    with ExitStack() as stack:
        file = stack.enter_context(OutcomeFile(out, header))
        state = _State(file, images, on_image)
        plain = tuple(way for way in ways if not isinstance(way, RandomGate))
        gates = tuple(way for way in ways if isinstance(way, RandomGate))
        state.total = len(images) * (bool(plain) + bool(gates))
        on_image(state.done(plain) + (state.done(gates) if gates else 0), state.total)
        if state.complete(plain) and (not gates or state.complete(gates)):
            return state.trial(header)
        work = _hands(stack, monitor, asked, workers=workers, load=load)
        state.run(work, plain, {})
        if gates:
            state.run(work, gates, {gate.name: state.chance(gate) for gate in gates})
        return state.trial(header)


Hands = Callable[[Sequence[Task]], Iterator[list[Outcome] | Unreadable]]


def _hands(
    stack: ExitStack,
    monitor: Monitor,
    asked: Asked,
    *,
    workers: int,
    load: Callable[[], Monitor] | None,
) -> Hands:
    """What does tasks: this process, or several others."""
    if workers == 1:
        scribe = Scribe(monitor, asked, {})
        return lambda tasks: map(scribe, tasks)
    assert load is not None
    crew: Crew[Task, list[Outcome] | Unreadable] = Crew(partial(_scribe, load, asked), size=workers)
    stack.enter_context(crew)
    return crew.each


def _scribe(load: Callable[[], Monitor], asked: Asked) -> Scribe:
    """What a worker process does tasks with, on one thread."""
    torch.set_num_threads(1)
    return Scribe(load(), asked, {})


class _State:
    """What is done and what is left."""

    def __init__(
        self,
        file: OutcomeFile,
        images: Sequence[Subject],
        on_image: Callable[[int, int], object],
    ) -> None:
        self.total = 0
        self._file = file
        self._images = images
        self._on_image = on_image
        self._found = {(one.way, one.image): one for one in file.trial.outcomes}
        self._bad = {one.image: one for one in file.trial.unreadable}
        self._finished = 0

    def left(self, ways: Sequence[Way]) -> list[tuple[int, Subject]]:
        """The images on which not all of these ways were tried."""
        return [
            (number, one)
            for number, one in enumerate(self._images)
            if one.image not in self._bad
            and any((way.name, one.image) not in self._found for way in ways)
        ]

    def done(self, ways: Sequence[Way]) -> int:
        """How many images are not left."""
        return len(self._images) - len(self.left(ways))

    def complete(self, ways: Sequence[Way]) -> bool:
        """Whether no image is left."""
        return not self.left(ways)

    def chance(self, gate: RandomGate) -> float:
        """How often the way acted that a random gate imitates."""
        return chance_of(one for (name, _), one in self._found.items() if name == gate.like)

    def run(self, work: Hands, ways: tuple[Way, ...], chances: Mapping[str, float]) -> None:
        """Try these ways on all images that are left."""
        left = self.left(ways)
        self._finished += len(self._images) - len(left)
        failed = 0
        for found in work([(number, one, ways, chances) for number, one in left]):
            if isinstance(found, Unreadable):
                self._bad[found.image] = found
                self._file.skip(found)
                failed += 1
                if failed >= _TOO_MANY:
                    raise TrialError(
                        f"{failed} images in a row could not be read, the last is "
                        f"{found.image}: {found.error}"
                    )
            else:
                failed = 0
                fresh = [one for one in found if (one.way, one.image) not in self._found]
                self._file.add(fresh)
                self._found.update({(one.way, one.image): one for one in fresh})
            self._finished += 1
            self._on_image(self._finished, self.total)

    def trial(self, header: TrialHeader) -> Trial:
        """All there is, image by image, the ways in order."""
        names: list[Any] = [way["name"] for way in header.ways]
        outcomes = (
            self._found[name, one.image]
            for one in self._images
            for name in names
            if (name, one.image) in self._found
        )
        return Trial(header, tuple(outcomes), tuple(self._bad.values()))
