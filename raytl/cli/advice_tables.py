"""The advice as tables: candidates, suspect labels, and the conclusions in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from raytl.cli.numbers import count
from raytl.cli.tables import table, titled

if TYPE_CHECKING:
    from raytl.advice.result import Advice, CandidateFit
    from raytl.metrics.intervals import Interval

_LISTED = 10


def advice_tables(advice: Advice, out: Path | None, command: str) -> list[RenderableType]:
    """Return the advice; `command` is the next one."""
    parts: list[RenderableType] = [_candidates(advice)]
    if advice.suspects:
        parts.append(_suspects(advice))
    parts += [Text(line) for line in advice.sentences]
    parts.append(Text(f"Not measured: {'; '.join(advice.unmeasured)}.", style="dim"))
    parts += [Text(f"warning: {line}", style="yellow") for line in advice.warnings]
    written = f"Wrote {out}. " if out is not None else ""
    return [*parts, Text(f"{written}next: {command}")]


def _candidates(advice: Advice) -> Group:
    columns = ("weights", "parameters", "linear probe", "k-NN", "behind the best", "LogME", "H-score")
    rows = table(columns, right_aligned=columns[1:])
    for fit in advice.fits:
        mark = " *" if fit.candidate == advice.advised else ""
        rows.add_row(
            Text(f"{fit.candidate.label}{mark}"),
            count(fit.parameters),
            _accuracy(fit.probe),
            _accuracy(fit.neighbors),
            _behind(fit),
            f"{fit.log_evidence:.3f}",
            f"{fit.h_score:.2f}",
        )
    title = f"frozen features of {advice.images:,} training images, {len(advice.classes)} classes (* advised)"
    return titled(title, rows)


def _accuracy(each: Interval) -> str:
    return f"{100 * each.value:.1f} % ({100 * each.low:.0f}–{100 * each.high:.0f})"


def _behind(fit: CandidateFit) -> str:
    if fit.gain is None:
        return "–"
    low, high = (f"{100 * bound:.1f}" for bound in (fit.gain.low, fit.gain.high))
    verdict = "" if fit.is_worse else ", cannot tell"
    return f"{100 * fit.gain.gain:.1f} points ({low} to {high}){verdict}"


def _suspects(advice: Advice) -> Group:
    rows = table(("image", "label", "its probability", "suggested"), right_aligned=("its probability",))
    for each in advice.suspects[:_LISTED]:
        rows.add_row(Text(each.key), Text(each.given), f"{100 * each.probability:.0f} %", Text(each.suggested))
    if len(advice.suspects) > _LISTED:
        rows.add_row(f"… {len(advice.suspects) - _LISTED:,} more (--json)", "", "", "")
    return titled("suspect labels", rows)
