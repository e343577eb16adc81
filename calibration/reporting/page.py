"""The report as one HTML page that needs nothing else: no network, no fonts, no scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from ...detectors.guarantee import percent
from .account import Account
from .comparison_views import COLUMNS, NOTE, TIMING, best, figure, interval
from .figures.distributions import SvarDistributions
from .figures.figure import Figure, Missing
from .figures.style import layers_in_words
from .thresholds import ThresholdRow, Thresholds

_TITLE: Final = "Calibration report"
_POLICY: Final = "The certified policy"


def page(account: Account, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Everything that comes from a table is escaped, and the page forbids itself to load or run
    anything: names of models and objects may be anyone's.

    Args:
        account: what to show.
        pictures: the PNG of each figure, by its name.
    """
    style = (
        files(__name__.rpartition(".")[0]).joinpath("data", "page.css").read_text(encoding="utf-8")
    )
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_TITLE}: {escape(account.source.model)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            *_header(account),
            "<main>",
            *_comparison(account),
            *(line for one in account.figures for line in _figure(one, pictures)),
            *_thresholds(account),
            *_policy(account),
            *_data(account),
            "</main>",
            "<footer>Written by <code>sightline calibrate report</code>. Label 1 and a high score "
            "mean <em>hallucinated</em>; intervals are 95% and redraw whole images.</footer>",
            "</body>",
            "</html>",
            "",
        )
    )


def _header(account: Account) -> Iterator[str]:
    on, main = account.source, account.main
    yield "<header>"
    yield f"<h1>{_TITLE}</h1>"
    yield f'<p class="model">{escape(on.model)}</p>'
    yield '<ul class="tiles">'
    tiles = [
        (f"{on.images:,}", "captions"),
        (f"{on.mentions:,}", "object mentions"),
        (f"{on.hallucinated / on.mentions:.1%}", "hallucinated"),
        (figure(main.auroc.value), f"AUROC, {main.detector}"),
        (figure(main.within_auroc.value), "AUROC at the same place"),
    ]
    if main.calibration_error is not None:
        tiles.append((figure(main.calibration_error.value), "calibration error"))
    for value, name in tiles:
        yield f"<li><strong>{escape(value)}</strong> {escape(name)}</li>"
    yield "</ul>"
    if account.promise:
        yield f'<p class="promise">{escape(account.promise)}</p>'
    for limit in account.limits:
        yield f'<p class="limit">{escape(limit)}</p>'
    yield "<nav><ol>"
    places = [("comparison", "Detectors side by side")]
    places += [(one.name, one.title) for one in account.figures]
    places.append(("thresholds", "What each threshold would do"))
    if account.certificate is not None:
        places.append(("policy", _POLICY))
    places.append(("data", "The data"))
    for name, title in places:
        yield f'<li><a href="#{name}">{escape(title)}</a></li>'
    yield "</ol></nav>"
    yield "</header>"


def _comparison(account: Account) -> Iterator[str]:
    comparison = account.comparison
    yield '<section id="comparison">'
    yield "<h2>Detectors side by side</h2>"
    yield (
        f"<p>Fitted on {comparison.fit.mentions:,} mentions in {comparison.fit.images:,} other "
        f"captions. The column that matters is <em>within index</em>: there, knowing how far the "
        f"caption has come helps nobody.</p>"
    )
    if account.artifact:
        yield "<p>The artifact was not fitted again: it is measured as it is.</p>"
    headings = ["detector", "verdict", *(column.title for column in COLUMNS)]
    rows = []
    for row in comparison.rows:
        cells = [f"<th scope=row>{escape(row.detector)}</th>", f"<td>{TIMING[row.timing]}</td>"]
        for column in COLUMNS:
            found = column.of(row)
            if found is None:
                cells.append("<td></td>")
                continue
            value = figure(found.value, signed=column.signed)
            if best(comparison.rows, column) == found.value:
                value = f"<b>{value}</b>"
            if column.interval:
                value += f"<small>{interval(found, signed=column.signed)}</small>"
            cells.append(f"<td class=number>{value}</td>")
        rows.append("".join(cells))
    yield from _table("Detectors side by side", headings, rows)
    for missing in comparison.missing:
        yield (
            f'<p class="limit"><code>{escape(missing.detector)}</code> was not measured. '
            f"{escape(missing.reason)}</p>"
        )
    yield f'<p class="note">{escape(NOTE)}</p>'
    yield "</section>"


def _figure(one: Figure | Missing, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield f'<section id="{one.name}">'
    yield f"<h2>{escape(one.title)}</h2>"
    if isinstance(one, Missing):
        yield f'<p class="limit">{escape(one.reason)}</p>'
    else:
        picture = base64.b64encode(pictures[one.name]).decode()
        width, height = (int(96 * side) for side in one.size)
        yield "<figure>"
        yield (
            f'<img src="data:image/png;base64,{picture}" alt="{escape(one.alt)}" '
            f'width="{width}" height="{height}">'
        )
        yield f"<figcaption>{escape(one.caption)}</figcaption>"
        yield "</figure>"
    yield "</section>"


def _thresholds(account: Account) -> Iterator[str]:
    thresholds = account.thresholds
    yield '<section id="thresholds">'
    yield "<h2>What each threshold would do</h2>"
    yield (
        f"<p>Mentions are flagged from this {thresholds.scale} of {escape(thresholds.detector)} "
        f"up. By image: of the captions that hallucinate, how many have <em>every</em> "
        f"hallucinated object flagged; of those with a flag, in how many the most suspicious "
        f"object is hallucinated; of the true ones, how many have any flag. All is read off these "
        f"very mentions and promises nothing of others; <code>sightline calibrate fit</code> "
        f"does that.</p>"
    )
    headings = [
        thresholds.scale,
        "hallucinated found",
        "real flagged",
        "flags right",
        "images: all found",
        "images: top flag right",
        "images: false alarm",
    ]
    rows = [_threshold(row, thresholds) for row in thresholds.rows]
    yield from _table("What each threshold would do", headings, rows)
    yield "</section>"


def _threshold(row: ThresholdRow, thresholds: Thresholds) -> str:
    own = " <small>the artifact's own</small>" if row.chosen else ""
    share = (
        row.hallucinated_flagged,
        row.real_flagged,
        row.precision,
        row.image_recall,
        row.image_precision,
        row.image_false_alarm,
    )
    return f"<th scope=row>{row.threshold:.3f}{own}</th>" + "".join(
        f"<td class=number>{'–' if value != value else f'{value:.1%}'}</td>" for value in share
    )


def _policy(account: Account) -> Iterator[str]:
    certificate = account.certificate
    if certificate is None:
        return
    yield '<section id="policy">'
    yield f"<h2>{_POLICY}</h2>"
    yield f'<p class="promise">{escape(str(certificate))}</p>'
    yield (
        f"<p>It was measured when it was certified, on {certificate.images:,} images of its own, "
        f"and not on the captions above. <code>--policy calibrated</code> carries it out. What it "
        f"leaves is promised; what it names is only measured.</p>"
    )
    what = {
        "captions": "captions that name what is not there",
        "mentions": "objects named that are not there",
    }[certificate.left]
    rows = [
        _share(what, certificate.without, certificate.measured, percent(certificate.level)),
        _share("objects there that are named", certificate.recall_without, certificate.recall, ""),
    ]
    yield from _table(_POLICY, ["", "nothing done", "this policy", "at most"], rows)
    yield "<dl>"
    for name, value in certificate.policy.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(json.dumps(value))}</dd>"
    yield "</dl>"
    yield "</section>"


def _share(name: str, without: float, measured: float, level: str) -> str:
    cells = (f"{without:.1%}", f"{measured:.1%}", level)
    return f"<th scope=row>{escape(name)}</th>" + "".join(
        f"<td class=number>{cell}</td>" for cell in cells
    )


def _data(account: Account) -> Iterator[str]:
    info, on, fit = account.info, account.source, account.comparison.fit
    facts = [
        ("model", info.model),
        ("revision", info.revision or "unknown"),
        ("architecture", f"{info.architecture}, {info.num_layers} layers, {info.num_heads} heads"),
        ("prompt", info.prompt),
        ("decoding", ", ".join(f"{k}={v}" for k, v in sorted(info.settings.items())) or "default"),
        ("lexicon", info.lexicon),
        ("annotations (SHA-256)", info.annotations),
        ("measured on", f"{on.images:,} captions, {on.mentions:,} mentions, SHA-256 {on.data}"),
        ("fitted on", f"{fit.images:,} captions, {fit.mentions:,} mentions, SHA-256 {fit.data}"),
    ]
    if account.artifact:
        facts.append(("artifact", account.artifact))
    facts += [
        ("SVAR sums over", layers_in_words(one.layers))
        for one in account.figures
        if isinstance(one, SvarDistributions)
    ]
    yield '<section id="data">'
    yield "<h2>The data</h2>"
    yield "<dl>"
    for name, value in facts:
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
    yield "</section>"


def _table(label: str, headings: Sequence[str], rows: Sequence[str]) -> Iterator[str]:
    """A table of finished rows that scrolls by itself where the screen is narrow."""
    yield f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table>'
    yield (
        "<thead><tr>"
        + "".join(f"<th scope=col>{escape(heading)}</th>" for heading in headings)
        + "</tr></thead>"
    )
    yield "<tbody>"
    yield from (f"<tr>{row}</tr>" for row in rows)
    yield "</tbody></table></div>"
