"""The page of one tick: data changes, decision, comparison, and the images that the challenger fixed or broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytl.labelling.sheet import TABLE
from raytl.pages import Html, render, score
from raytl.pages.figures import inline
from raytl.retraining.changes import Changes
from raytl.retraining.gate import Comparison
from raytl.retraining.page.plots import intervals
from raytl.retraining.policy import Search
from raytl.retraining.ticks import WORK, Tick
from raytl.tasks.reporting import Slice

TITLES = {
    "promote": "version {version} is the new champion",
    "keep": "version {champion} stays the champion",
    "reject": "version {version} is rejected",
    "skip": "no reason to train",
    "attention": "needs your decision",
    "failure": "the tick failed; the champion is unchanged",
}
_MAX_SLICES = 60
"""Classes on the chart; of more, those that the challenger changes most."""
_MIN_SHIFT = 0.005
_MAX_DOUBTFUL = 30
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Flip:
    """An evaluation image that only one of the models has right; `picture` is a data: URI, empty if the image is gone."""

    key: str
    label: str
    champion: str
    challenger: str
    picture: str


def tick_page(tick: Tick, name: str, gained: Sequence[Flip], lost: Sequence[Flip]) -> str:
    """Return the page as HTML."""
    values: dict[str, object] = {"tick": tick, "name": name, "gained": gained, "lost": lost, "origin": _origin(tick)}
    values["title"] = TITLES[tick.outcome].format(version=tick.version, champion=tick.champion)
    values |= _doubtful_values(tick)
    if tick.changes is not None:
        values |= _change_values(tick.changes)
    if tick.comparison is not None:
        slices = _most_changed(tick.comparison.slices)
        values |= {"score_rows": _score_rows(tick.comparison), "slices": slices, "slice_rows": _slice_rows(slices)}
        values["chart"] = _chart(slices)
    return render("raytl.retraining.page", "tick.html.j2", **values)


def _doubtful_values(tick: Tick) -> dict[str, object]:
    """Return the rows of the most doubtful labels, and the file that has all."""
    rows = [(each.key, each.given, each.suggested, f"{each.probability:.3f}") for each in tick.doubtful[:_MAX_DOUBTFUL]]
    is_kept = rows and tick.outcome not in ("skip", "attention")
    return {"doubtful_rows": rows, "doubtful_table": f"{WORK}{tick.id}/{TABLE}" if is_kept else ""}


def _origin(tick: Tick) -> str:
    """Return a sentence on how the challenger was made."""
    verb = "searched" if isinstance(tick.decision, Search) else "trained"
    start = getattr(tick.decision, "start", None)
    origin = "from model.weights" if start is None else f"from version {start}"
    times = "once" if tick.interruptions == 1 else f"{tick.interruptions} times"
    interrupted = f"; the tick was interrupted {times}" if tick.interruptions else ""
    return f"The challenger was {verb} {origin}{interrupted}."


def _change_values(changes: Changes) -> dict[str, object]:
    unreadable = {"files": changes.unreadable} if changes.unreadable else {}
    counts: Sequence[tuple[str, Mapping[str, int], int]] = (
        ("added", changes.added, changes.added_count),
        ("removed", changes.removed, changes.removed_count),
        ("relabelled", changes.relabelled, changes.relabelled_count),
        ("new classes", changes.new_classes, sum(changes.new_classes.values())),
        ("left out", changes.left_out, sum(changes.left_out.values())),
        ("unreadable", unreadable, changes.unreadable),
    )
    shifted = [item for item in changes.balance.items() if abs(item[1][1] - item[1][0]) >= _MIN_SHIFT]
    return {
        "change_rows": [
            (change, ", ".join(f"{name} {count:,}" for name, count in by_class.items()), f"{images:,}")
            for change, by_class, images in counts
            if images
        ],
        "balance_rows": [
            (name, f"{100 * then:.1f} %", f"{100 * now:.1f} %")
            for name, (then, now) in shifted
            if changes.since is not None
        ],
        "drift_rows": _drift_rows(changes),
        "predicted_rows": [(name, str(then), str(now)) for name, (then, now) in changes.predicted.items()],
    }


def _drift_rows(changes: Changes) -> Rows:
    drift, sureness = changes.drift, changes.sureness
    if drift is None:
        return []
    rows: Rows = [
        ("domain classifier", f"{drift.amount:.2f} (AUC {drift.auc:.2f})", f"{drift.auc_p:.3f}"),
        ("MMD²", f"{drift.mmd:.4f}", f"{drift.mmd_p:.3f}"),
    ]
    if sureness is not None:
        change = f"{100 * sureness.before:.1f} → {100 * sureness.now:.1f} %"
        rows.append(("mean confidence of the champion", change, f"{sureness.p:.3f}"))
    return rows


def _score_rows(comparison: Comparison) -> Rows:
    rows: Rows = [
        (name.replace("_", " "), score(comparison.champion_metrics.get(name), name), score(value, name))
        for name, value in comparison.metrics.items()
    ]
    before = comparison.champion_latency_ms
    rows.append(
        ("latency of an image", "–" if before is None else f"{before:.1f} ms", f"{comparison.latency_ms:.1f} ms")
    )
    return rows


def _slice_rows(slices: Sequence[Slice]) -> Rows:
    return [
        (part.name, f"{part.images:,}", score(part.before, part.score), score(part.after, part.score))
        for part in slices
    ]


def _chart(slices: Sequence[Slice]) -> Html:
    caption = "Gray circles: champion. Blue diamonds: challenger. In parentheses: the number of images."
    if any(part.score == "accuracy" for part in slices):
        caption += " Bars: 95 % intervals (Wilson)."
    return inline("slices", "Scores by class", caption, lambda width: intervals(width, slices)) if slices else Html()


def _most_changed(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return the slices that the challenger changes most, in their original order."""
    ranked = sorted(range(len(slices)), key=lambda place: -abs(slices[place].drop))
    return tuple(slices[place] for place in sorted(ranked[:_MAX_SLICES]))
