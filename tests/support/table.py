"""Measure which families can be watched, and write the table into docs/models.md.

python -m tests.support.table --update docs/models.md            # everything: an hour
python -m tests.support.table --only llava --only gemma4         # measured again, merged
python -m tests.support.table --columns compiled --workers 1
python -m tests.support.table --render --update docs/models.md   # no measurement
"""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import FrameType

import click
import torch
import transformers
from rich.console import Console
from rich.progress import Progress

from .checks import COLUMNS, Answer, ask
from .family import BUILDERS, build
from .results import NOT_MEASURED, RESULTS, Results, replaced


@click.command(help=(__doc__ or "").replace("\n\n    ", "\n\n\b\n    "))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--update", type=click.Path(path_type=Path, exists=True), help="The page to rewrite.")
@click.option("--only", multiple=True, type=click.Choice(list(BUILDERS)), help="These families.")
@click.option("--columns", multiple=True, type=click.Choice(list(COLUMNS)), help="These columns.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--limit", type=click.IntRange(1), default=120, show_default=True, help="s a check.")
@click.option("--render", is_flag=True, help="Measure nothing.")
def main(
    out: Path,
    update: Path | None,
    only: tuple[str, ...],
    columns: tuple[str, ...],
    workers: int,
    limit: int,
    render: bool,
) -> None:
    """See the module's text."""
    results = Results.load(out) if out.exists() else Results({}, {}, {}, {})
    if not render:
        _measure(results, only or tuple(BUILDERS), columns or tuple(COLUMNS), workers, limit, out)
    if update is not None:
        text = update.read_text(encoding="utf-8")
        update.write_text(replaced(text, results.markdown()), encoding="utf-8")


def _measure(
    results: Results,
    names: tuple[str, ...],
    columns: tuple[str, ...],
    workers: int,
    limit: int,
    out: Path,
) -> None:
    results.versions.update(torch=torch.__version__, transformers=transformers.__version__)
    context = multiprocessing.get_context("spawn")
    console = Console(stderr=True)
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet) as pool,
        Progress(console=console) as progress,
    ):
        bar = progress.add_task("families", total=len(names))
        jobs = {pool.submit(_family, name, columns, limit): name for name in names}
        for job in as_completed(jobs):
            name = jobs[job]
            architecture, note, row = job.result()
            kept = results.rows.setdefault(name, dict.fromkeys(COLUMNS, Answer(None, NOT_MEASURED)))
            kept.update(row)
            results.architectures[name] = architecture
            results.notes[name] = note
            results.save(out)
            wrong = [column for column, answer in row.items() if not answer.works]
            progress.console.print(f"{name}: {', '.join(wrong) or 'all'}{' no' if wrong else ''}")
            progress.advance(bar)


def _family(name: str, columns: tuple[str, ...], limit: int) -> tuple[str, str, dict[str, Answer]]:
    family = build(name, rows=1)
    first = _limited("observed", name, limit)
    if first.reason.startswith("refused"):
        row = dict.fromkeys(COLUMNS, first)
    else:
        row = {column: _limited(column, name, limit) for column in columns}
    return type(family.model).__name__, family.note, row


def _limited(column: str, name: str, limit: int) -> Answer:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        return ask(column, name)
    except TimeoutError:
        return Answer(None, f"not measured: took more than {limit} s")
    finally:
        signal.alarm(0)


def _quiet() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


if __name__ == "__main__":
    main()
