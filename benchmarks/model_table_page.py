"""The page of the model table: Markdown between the two marks of `docs/model-quality.md`, and its picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import BadInputError
from include.ml.atomic_write import write_atomically

if TYPE_CHECKING:
    from benchmarks.model_table import Judgement

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = "model-quality.md"
PICTURE = "model-quality-coverage.svg"
BEGIN, END = "<!-- model table: begin (generated) -->", "<!-- model table: end -->"
HORIZONS = ("1", "8", "24")
SHOWN = "BTCUSDT"
LOWEST_PCT, HIGHEST_PCT = 72.0, 88.0
DEAREST = 1.05
COLOURS = ("#0b6fa4", "#c2570c", "#3c7a2c")


def broken_limits(judgements: Sequence[Judgement]) -> list[str]:
    """Return one line for each limit that BTCUSDT's networks break; none when all are kept."""
    broken = []
    for judged in judgements:
        for horizon in HORIZONS if judged.symbol == SHOWN else ():
            coverage, ratio = judged.band.coverage_pct[horizon], judged.band.pinball_ratio[horizon]
            if not LOWEST_PCT <= coverage <= HIGHEST_PCT:
                broken.append(f"{SHOWN} {judged.model_type}: the band covers {coverage:.1f} % at {horizon} h")
            if ratio > DEAREST:
                broken.append(
                    f"{SHOWN} {judged.model_type}: the band costs {ratio:.3f} of the empirical at {horizon} h"
                )
    return broken


def write_page(folder: Path, judgements: Sequence[Judgement], made: dict[str, str]) -> None:
    """Replace the generated part of the page in `folder` (a new one begins as that of docs/), and its picture.

    :raises BadInputError: when the page lacks one of its marks.
    """
    page = folder / PAGE
    folder.mkdir(parents=True, exist_ok=True)
    text = (page if page.exists() else DOCS / PAGE).read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise BadInputError(f"{page} must hold the lines {BEGIN!r} and {END!r} once each; put them back")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_atomically(folder / PICTURE, picture(judgements).encode())
    write_atomically(page, f"{before}{BEGIN}\n\n{generated(judgements, made)}\n\n{END}{after}".encode())


def generated(judgements: Sequence[Judgement], made: dict[str, str]) -> str:
    """Return the tables and what they were made from."""
    skills = [judged.evaluation.skill for judged in judgements]
    edges = sum(judged.evaluation.edge for judged in judgements)
    worse = sum(judged.evaluation.skill_high < 0 for judged in judgements)
    shown = f"an edge shown by {edges or 'none'}"
    lines = [
        f"**Result:** {len(judgements)} networks, mean skill {100 * statistics.mean(skills):+.2f} points, from "
        f"{100 * min(skills):+.2f} to {100 * max(skills):+.2f}; {shown} of them (by "
        f"chance alone one in 40 would seem to have one), {worse} significantly worse than the baseline.",
        "",
        "| Symbol | Network | Bars | Accuracy, % | Baseline, % | Skill, points (95 % interval) | Edge "
        "| Coverage at 1 / 8 / 24 h, % | Pinball ratio at 1 / 8 / 24 h |",
        "|---|---|---:|---:|---:|---|---|---|---|",
        *map(_row, judgements),
        "",
        f"Coverage of {SHOWN}'s band per month, % (at 1 / 8 / 24 hours):",
        "",
        *_months(judgements),
        "",
        f"![Coverage of the band per month]({PICTURE})",
        "",
        f"Made on {made['date']} by `python -m benchmarks.model_table --epochs {made['epochs']}` "
        f"({made['parameters']}, otherwise the defaults of a training), {made['versions']}.",
        "",
        f"Code (the modules that trained and judged), SHA-256: `{made['code']}`. Candles used, SHA-256:",
        "",
        *(f"- {symbol}: `{digest}`" for symbol, digest in {j.symbol: j.candles_sha256 for j in judgements}.items()),
    ]
    return "\n".join(lines)


def _row(judged: Judgement) -> str:
    result, band = judged.evaluation, judged.band
    return (
        f"| {judged.symbol} | {judged.model_type} | {result.bars} | {100 * result.accuracy:.1f} "
        f"| {100 * result.baseline_accuracy:.1f} | {100 * result.skill:+.2f} ({100 * result.skill_low:+.2f} to "
        f"{100 * result.skill_high:+.2f}) | {'shown' if result.edge else 'not shown'} "
        f"| {' / '.join(f'{band.coverage_pct[horizon]:.1f}' for horizon in HORIZONS)} "
        f"| {' / '.join(f'{band.pinball_ratio[horizon]:.3f}' for horizon in HORIZONS)} |"
    )


def _months(judgements: Sequence[Judgement]) -> list[str]:
    shown = [judged for judged in judgements if judged.symbol == SHOWN]
    if not shown:
        return [f"({SHOWN} was not asked for)"]
    lines = [f"| Month | {' | '.join(judged.model_type for judged in shown)} |", "|---|" + "---|" * len(shown)]
    for month in shown[0].band.coverage_by_month:
        cells = [
            " / ".join(f"{judged.band.coverage_by_month[month].get(horizon, float('nan')):.0f}" for horizon in HORIZONS)
            for judged in shown
        ]
        lines.append(f"| {month} | {' | '.join(cells)} |")
    return lines


def picture(judgements: Sequence[Judgement]) -> str:
    """Return an SVG: one panel per horizon, one line per network, the allowed range shaded."""
    shown = [judged for judged in judgements if judged.symbol == SHOWN]
    parts = [_panel(at, horizon, shown) for at, horizon in enumerate(HORIZONS)]
    legend = [
        f'<text x="{60 + 110 * at}" y="232" fill="{COLOURS[at % 3]}">— {judged.model_type}</text>'
        for at, judged in enumerate(shown)
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 245" font-family="sans-serif" font-size="12">\n'
        '<rect width="760" height="245" fill="white"/>\n' + "\n".join([*parts, *legend]) + "\n</svg>\n"
    )


def _panel(at: int, horizon: str, shown: Sequence[Judgement]) -> str:
    left, width, top, height = 40 + 240 * at, 200, 30, 160

    def y(pct: float) -> float:
        return round(top + height * (100.0 - pct) / 40.0, 1)  # 60 % at the bottom, 100 % at the top

    lines = [
        f'<text x="{left}" y="20" fill="black">{SHOWN}, {horizon} h</text>',
        f'<rect x="{left}" y="{y(HIGHEST_PCT)}" width="{width}" height="{y(LOWEST_PCT) - y(HIGHEST_PCT):.1f}" '
        'fill="#e8e8e8"/>',
        f'<line x1="{left}" x2="{left + width}" y1="{y(80)}" y2="{y(80)}" stroke="#888" stroke-dasharray="3 3"/>',
        *(f'<text x="{left - 5}" y="{y(pct) + 4}" text-anchor="end">{pct}</text>' for pct in (60, 80, 100)),
    ]
    for number, judged in enumerate(shown):
        months = [values[horizon] for values in judged.band.coverage_by_month.values() if horizon in values]
        step = width / max(len(months) - 1, 1)
        points = " ".join(f"{left + step * place:.1f},{y(value)}" for place, value in enumerate(months))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number % 3]}" stroke-width="1.5"/>')
    if shown:
        months_shown = list(shown[0].band.coverage_by_month)
        lines.append(f'<text x="{left}" y="208">{months_shown[0]}</text>')
        lines.append(f'<text x="{left + width}" y="208" text-anchor="end">{months_shown[-1]}</text>')
    return "\n".join(lines)
