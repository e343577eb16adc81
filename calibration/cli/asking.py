"""What the commands that put questions to a model share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ...monitor.session import Monitor
    from ..benchmarks.replyfile import Item

SOME: Final = 3
"""The exit code where some questions could not be asked."""

images_option = click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the images: the model answers.",
)
out_option = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the answers in this file, one JSON line each. The same command goes on where it was "
    "killed.",
)
suffix_option = click.option(
    "--suffix",
    default="",
    help="Words put below every yes/no question, such as LLaVA's \"Answer the question using a "
    'single word or phrase."',
)
retry_option = click.option(
    "--retry-failed", is_flag=True, help="Ask again the questions that failed according to --out."
)
batch_option = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Questions put at once.",
)


class Summary(Protocol):
    """What an evaluation has to say."""

    @property
    def limitations(self) -> Sequence[str]:
        """What the figures do not say by themselves."""
        ...

    @property
    def failures(self) -> int:
        """Questions that could not be asked."""
        ...

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        ...


@contextmanager
def answered(
    monitor: Monitor,
    items: Sequence[Item],
    *,
    images: Path,
    out: Path | None,
    answer: str,
    max_new_tokens: int,
    batch_size: int,
    retry_failed: bool,
    log: Console,
) -> Iterator[Path]:
    """The file of answers once all questions were put; gone afterwards if ``out`` is ``None``."""
    from ..benchmarks.asking import Asker
    from ..benchmarks.replyfile import ReplyFile
    from .progress import counted

    asker = Asker(
        monitor, images, answer=answer, max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    with ExitStack() as stack:
        if out is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            out = Path(scratch) / "answers.jsonl"
        with ReplyFile(out, items, asker.manner) as file:
            if retry_failed:
                file.drop_failures()
            if file.done:
                there = f"{len(file.done):,} of {len(items):,} answers"
                log.print(f"{there} are in {out} already.", markup=False)
            with counted("questions", log) as progress:
                asker.run(items, file, on_done=progress)
            for limit in dict.fromkeys((*monitor.limits, *asker.limits)):
                log.print(f"Note: {limit}", style="yellow", markup=False)
            for row in file.done.values():
                if "error" in row:
                    log.print(str(row["error"]), style="red", markup=False)
        yield out


def check_options(
    *, given: bool, images: Path | None, out: Path | None, retry_failed: bool, name: str
) -> None:
    """Refuse a command line that asks for answers and gives them, or does neither.

    Args:
        given: whether answers are given.
        name: what gives them.
    """
    if given == (images is not None):
        raise click.UsageError(
            f"Give the answers ({name}), or the images to have the model answer (--images), one "
            f"of them."
        )
    if given and (out is not None or retry_failed):
        raise click.UsageError(f"--out and --retry-failed are for --images, not for {name}.")
    if retry_failed and out is None:
        raise click.UsageError("--retry-failed needs the file with the failures: give --out.")


@contextmanager
def ended_in_order(ctx: click.Context, log: Console, out: Path | None) -> Iterator[None]:
    """What cannot be used ends the command with a line; an interruption says what is kept."""
    from .tables import errors_end_the_command

    try:
        with errors_end_the_command():
            yield
    except KeyboardInterrupt:
        kept = f"what is answered is kept in {out}. The same command continues." if out else ""
        log.print(f"Interrupted; {kept}", style="red", markup=False)
        ctx.exit(130)


def conclude(
    ctx: click.Context,
    summary: Summary,
    views: Callable[[int], Iterable[RenderableType]],
    *,
    as_json: bool,
) -> None:
    """Show the figures, by ``views`` of a width, and end with the code for what failed."""
    from rich.console import Console

    if as_json:
        click.echo(json.dumps(summary.as_json(), allow_nan=False))
    else:
        console = Console(highlight=False)
        for view in views(console.width):
            console.print(view, markup=False)
        for note in summary.limitations:
            console.print(f"Note: {note}", style="yellow", markup=False)
    if summary.failures:
        ctx.exit(SOME)
