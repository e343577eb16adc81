"""The whole recipe of docs/reproduce.md, one sightline command after the other.

    python docs/reproduce.py --out runs/small                       # the small world, minutes
    python docs/reproduce.py --out runs/llava-7b --dry-run \\
        --model llava-hf/llava-1.5-7b-hf --device cuda \\
        --images val2014/ --annotations instances_val2014.json \\
        --pope POPE/output/coco/ --amber AMBER/data/ --amber-images AMBER/image/

Every command is printed before it is run, as it could be typed. Stopped at any moment, the same
line goes on: what is captioned, answered or tried is not done again.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

NOTHING_CERTIFIED = 4
"""Exit code of `calibrate policy` where no policy keeps the promise: an answer like any other."""

SOME_FAILED = 3
"""Exit code where some images could not be read: the others were."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images each part gets.

    Attributes:
        fit: to fit the detector and its threshold.
        policy: to choose and certify a policy.
        test: to measure on; the paper has 500.
        tried: of those, how many are captioned in all the ways of `evaluate policies`.
    """

    fit: int
    policy: int
    test: int
    tried: int


PARTS = ("fit", "policy", "test")
PAPER = Sizes(fit=5000, policy=500, test=500, tried=100)
SMALL = Sizes(fit=600, policy=200, test=200, tried=30)
REHEARSED = Sizes(fit=48, policy=20, test=6, tried=1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is reproduced, where.

    Attributes:
        out: the folder of all that comes out.
        model: as sightline's commands take it.
        device: where it runs; empty for the CPU.
        sizes: how many images.
        batch_size: captions and answers at once.
        images: COCO's val2014; ``None``: scenes of the small world.
        annotations: COCO's instances_val2014.json.
        pope: the folder of POPE's three files; ``None``: left out, or made from the scenes.
        amber: AMBER's folder data; likewise.
        amber_images: AMBER's images.
        workers: processes that try policies.
        rehearse: short captions, few detectors and one policy: every step in seconds, and what
            comes out is worth nothing.
    """

    out: Path
    model: str = "small"
    device: str = ""
    sizes: Sizes = SMALL
    batch_size: int = 16
    images: Path | None = None
    annotations: Path | None = None
    pope: Path | None = None
    amber: Path | None = None
    amber_images: Path | None = None
    workers: int = 1
    rehearse: bool = False

    @property
    def policies(self) -> tuple[Mapping[str, object], ...]:
        """What `calibrate policy` tries: chosen before anyone looks at the images."""
        thresholds = (0.4,) if self.rehearse else (0.2, 0.3, 0.4, 0.5)
        return tuple({"act": "stop", "threshold": t, "more": 1} for t in thresholds)

    def part(self, name: str) -> Path:
        """The folder of the images of a part."""
        return self.out / "images" / name

    def truth(self, name: str) -> Path:
        """What is in them."""
        return self.annotations or self.part(name) / "instances.json"


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: what its output and its seconds are kept under.
        words: what comes after ``sightline``.
        fine: exit codes that do not end the recipe.
    """

    name: str
    words: tuple[str, ...]
    fine: tuple[int, ...] = (0,)

    def __str__(self) -> str:
        return shlex.join(("sightline", *self.words))


@dataclass
class Steps:
    """The steps, as they are written down below."""

    all: list[Step] = field(default_factory=list)

    def add(self, name: str, *words: object, fine: Sequence[int] = (0,)) -> None:
        """The next one; empty words are left out."""
        given = tuple(str(word) for word in words if str(word))
        self.all.append(Step(name, given, tuple(fine)))


def steps_of(recipe: Recipe) -> list[Step]:
    """All commands, in order."""
    r, out, steps = recipe, recipe.out, Steps()
    model = ("--model", r.model, *(("--device", r.device) if r.device else ()))
    batch = ("--batch-size", r.batch_size)
    table, test, artifact = out / "table", out / "table-test", out / "artifact"
    short = ("--max-new-tokens", 20) if r.rehearse else ()
    rough = ("--detectors", "svar,fused", "--draws", 20, "--jobs", 1) if r.rehearse else ()
    pope, amber, pictures = r.pope, r.amber, r.images
    if r.images is None:
        pope, amber, pictures = out / "pope", out / "amber", r.part("test")
        for name, seeds in (
            ("fit", ("--split", "calibration")),
            ("policy", ("--seed", 15_000_000)),
            ("test", ("--split", "development")),
        ):
            if not r.truth(name).exists():
                count = getattr(r.sizes, name)
                steps.add(
                    f"render-{name}",
                    "scenes",
                    "render",
                    *seeds,
                    "--n",
                    count,
                    "--out",
                    r.part(name),
                )
        steps.add("questions-pope", "scenes", "pope", r.part("test"), "--out", pope)
        steps.add("questions-amber", "scenes", "amber", r.part("test"), "--out", amber)
    for name, folder in (("fit", table), ("test", test)):
        where = ("--images", r.part(name), "--annotations", r.truth(name))
        steps.add(
            f"collect-{name}",
            *("calibrate", "collect", *model, *where, *batch, *short, "--lens", "--out", folder),
            fine=(0, SOME_FAILED),
        )
    steps.add(
        "fit",
        *("calibrate", "fit", table, "--target", "recall=0.8", "--confidence", 0.9),
        *("--allow-no-threshold", "--evaluate", test, "--out", artifact),
    )
    steps.add(
        "compare",
        *("calibrate", "compare", table, "--on", test, *rough, "--out", out / "comparison.md"),
    )
    steps.add(
        "figures",
        *("calibrate", "report", table, "--on", test, "--artifact", artifact, *rough),
        *("--out", out / "figures"),
    )
    steps.add(
        "caption",
        *("caption", r.part("test"), *model, "--calibration", artifact, *batch, *short),
        *("--out", out / "reports.jsonl"),
        fine=(0, SOME_FAILED),
    )
    steps.add(
        "chair",
        *("evaluate", "chair", out / "reports.jsonl", "--annotations", r.truth("test"), "--json"),
        *(("--lexicon", "small") if r.images is None else ("--parity",)),
    )
    steps.add("page", "report", out / "reports.jsonl", "--out", out / "reports.html")
    steps.add(
        "policy",
        *("calibrate", "policy", artifact, *model, "--images", r.part("policy")),
        *("--annotations", r.truth("policy"), "--left", "captions=0.2"),
        *("--policies", out / "policies.json", "--workers", r.workers, "--json"),
        fine=(0, NOTHING_CERTIFIED),
    )
    steps.add(
        "policies",
        *("evaluate", "policies", *model, "--calibration", artifact, "--images", r.part("test")),
        *("--annotations", r.truth("test"), "--limit", r.sizes.tried, "--workers", r.workers),
        *("--out", out / "outcomes.jsonl", "--figure", out / "frontier.png", "--json"),
        *short,
        *(("--ways", out / "policies.json", "--only") if r.rehearse else ()),
    )
    asked = (*model, "--calibration", artifact, *batch, "--json")
    asked += ("--max-new-tokens", 6) if r.rehearse else ()
    word = ("--suffix", "Answer the question using a single word or phrase.")
    if pope is not None and pictures is not None:
        found = sorted(pope.glob("*_pope_*.json")) if r.images else ()
        stem = "coco" if r.images else "scenes"
        files = found or [
            pope / f"{stem}_pope_{name}.json" for name in ("random", "popular", "adversarial")
        ]
        steps.add(
            "pope",
            *("evaluate", "pope", *files, "--images", pictures, *asked, *word),
            *("--out", out / "pope.jsonl"),
            fine=(0, SOME_FAILED),
        )
    if amber is not None:
        shown = r.amber_images if r.images else r.part("test")
        if shown is None:
            raise click.UsageError("--amber needs the images, too: give --amber-images.")
        steps.add(
            "amber",
            *("evaluate", "amber", "--data", amber, "--images", shown, *asked, *word),
            *("--out", out / "amber.jsonl"),
            fine=(0, SOME_FAILED),
        )
    return steps.all


EXPECTED = (
    "table/table.json",
    "table-test/table.json",
    "artifact/calibration.json",
    "comparison.md",
    "figures/index.html",
    "reports.jsonl",
    "steps/chair.txt",
    "reports.html",
    "artifact.outcomes.jsonl",
    "outcomes.jsonl",
    "frontier.png",
    "pope.jsonl",
    "amber.jsonl",
    "seconds.json",
)
"""What lies in the folder in the end."""


def divide(recipe: Recipe, *, seed: int = 0) -> None:
    """Draw the images of each part from COCO's, no image in two, as links."""
    assert recipe.images is not None
    assert recipe.annotations is not None
    known = json.loads(recipe.annotations.read_text(encoding="utf-8"))["images"]
    names = sorted(image["file_name"] for image in known)
    order = iter(np.random.default_rng(seed).permutation(names))
    for name in PARTS:
        folder = recipe.part(name)
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(getattr(recipe.sizes, name)):
            picture = str(next(order))
            link = folder / picture
            if not link.is_symlink():
                link.symlink_to((recipe.images / picture).absolute())


def run(recipe: Recipe, steps: Sequence[Step]) -> Mapping[str, float]:
    """Run commands in this process, what they print into ``out/steps/``; the seconds of each."""
    from sightline.monitor.cli.main import main

    kept = recipe.out / "steps"
    kept.mkdir(parents=True, exist_ok=True)
    if recipe.images is not None:
        divide(recipe)
    (recipe.out / "policies.json").write_text(json.dumps(recipe.policies), encoding="utf-8")
    seconds: dict[str, float] = {}
    for step in steps:
        click.secho(f"$ {step}", bold=True, err=True)
        began = time.perf_counter()
        with (kept / f"{step.name}.txt").open("w", encoding="utf-8") as file:
            code = _code(main, step, file)
        seconds[step.name] = round(time.perf_counter() - began, 1)
        click.secho(f"  {seconds[step.name]:,.1f} s", dim=True, err=True)
        if code not in step.fine:
            raise click.ClickException(
                f"{step.name} ended with exit code {code}; what it said is above. Mend it, and the "
                f"same line goes on."
            )
        if recipe.device:
            gc.collect()  # the step's model, before the next one wants the memory
    (recipe.out / "seconds.json").write_text(json.dumps(seconds, indent=1), encoding="utf-8")
    return seconds


def _code(main: click.Command, step: Step, file: object) -> int:
    with contextlib.redirect_stdout(file):  # type: ignore[type-var]
        try:
            main.main(args=list(step.words), prog_name="sightline")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)


def results(out: Path) -> Iterator[tuple[str, str]]:
    """The figures that the paper and the benchmarks' own papers print, as found."""

    def found(name: str) -> Mapping[str, object] | None:
        path = out / "steps" / f"{name}.txt"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    if chair := found("chair"):
        figures = chair["figures"]
        for name in ("chair_s", "chair_i", "recall", "f1"):
            yield f"greedy {name}", _share(figures[name])  # type: ignore[index]
    if pope := found("pope"):
        for reading in ("official", "in words"):
            for name in ("accuracy", "f1", "yes", "unanswered"):
                yield f"POPE {name}, {reading}", _share(pope["all"][reading][name])  # type: ignore[index]
    if amber := found("amber"):
        for name in ("chair", "cover", "hal", "cog"):
            yield f"AMBER {name}", f"{amber['generative'][name]['value']:.1f}%"  # type: ignore[index]
        for reading, score in (amber["amber_score"] or {}).items():  # type: ignore[attr-defined]
            yield f"AMBER score, {reading}", f"{score:.1f}"


def _share(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None:
        return "unknown"
    around = "" if figure["low"] is None else f" [{figure['low']:.1%}, {figure['high']:.1%}]"
    return f"{figure['value']:.1%}{around}"


_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--out", type=_FOLDER, required=True, help="A folder for everything.")
@click.option("--model", default="small", show_default=True)
@click.option("--device", default="", help="Such as cuda.")
@click.option("--images", type=_FOLDER, help="COCO's val2014/; without it, rendered scenes.")
@click.option("--annotations", type=click.Path(path_type=Path), help="instances_val2014.json.")
@click.option("--pope", type=_FOLDER, help="The folder of coco_pope_random.json and the others.")
@click.option("--amber", type=_FOLDER, help="AMBER's folder data.")
@click.option("--amber-images", type=_FOLDER, help="AMBER's images.")
@click.option("--batch-size", default=16, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes that try policies.")
@click.option("--fit", type=int, help="Images to fit on.")
@click.option("--policy", type=int, help="Images to certify a policy on.")
@click.option("--test", type=int, help="Images to measure on.")
@click.option("--tried", type=int, help="Of those, images to caption in all ways.")
@click.option("--rehearse", is_flag=True, help="Every step in seconds; worth nothing.")
@click.option("--skip", multiple=True, help="Leave out a step, such as policies; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print the commands and do nothing.")
def reproduce(
    out: Path,
    images: Path | None,
    annotations: Path | None,
    fit: int | None,
    policy: int | None,
    test: int | None,
    tried: int | None,
    rehearse: bool,
    skip: tuple[str, ...],
    dry_run: bool,
    **options: object,
) -> None:
    if (images is None) != (annotations is None):
        raise click.UsageError("--images and --annotations belong together.")
    usual = REHEARSED if rehearse else SMALL if images is None else PAPER
    sizes = Sizes(
        fit=fit or usual.fit,
        policy=policy or usual.policy,
        test=test or usual.test,
        tried=tried or usual.tried,
    )
    recipe = Recipe(
        out=out,
        images=images,
        annotations=annotations,
        sizes=sizes,
        rehearse=rehearse,
        **options,  # type: ignore[arg-type]
    )
    steps = steps_of(recipe)
    if unknown := sorted(set(skip) - {step.name for step in steps}):
        raise click.UsageError(
            f"--skip must name steps ({', '.join(step.name for step in steps)}), was: {unknown[0]}."
        )
    steps = [step for step in steps if step.name not in skip]
    if dry_run:
        click.echo("\n".join(map(str, steps)))
        return
    seconds = run(recipe, steps)
    for name, value in results(out):
        click.echo(f"{name:32} {value}")
    click.echo(f"{sum(seconds.values()):,.0f} s in all; everything is in {out}")


if __name__ == "__main__":
    reproduce()
