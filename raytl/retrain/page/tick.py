"""The page of one tick: what came in, what was decided and why, and the images that flipped either way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytl.retrain.changes import Changes
from raytl.retrain.gate import Comparison, Slice
from raytl.retrain.page.charts import shares
from raytl.retrain.page.markup import Markup, Node, page, table, tag
from raytl.retrain.policy import Search
from raytl.retrain.ticks import Tick

TITLES = {
    "promote": "version {version} is the new champion",
    "keep": "version {champion} stays the champion",
    "reject": "version {version} is rejected",
    "skip": "nothing to do",
    "attention": "somebody should look",
    "failure": "the tick failed; the champion is as it was",
}


_MOST_SLICES = 60
"""How many classes the chart shows; of more, those that the challenger changes most."""


@dataclass(frozen=True)
class Flip:
    """An evaluation image that the two models call differently; `picture` is a data: URI, empty where it is gone."""

    key: str
    label: str
    champion: str
    challenger: str
    picture: str


def tick_page(tick: Tick, name: str, gained: Sequence[Flip], lost: Sequence[Flip]) -> str:
    """The page, as HTML."""
    title = TITLES[tick.outcome].format(version=tick.version, champion=tick.champion)
    return page(
        f"{name}: {title}",
        tag("p", tag("a", "all versions and ticks", href="../index.html"), class_="soft"),
        tag("h1", name),
        tag("p", f"tick {tick.id}, {tick.started.replace('T', ' ')} by {tick.who}", class_="soft"),
        tag(
            "div",
            tag("div", title, class_=f"big {tick.outcome}"),
            tag("ul", [tag("li", reason) for reason in tick.reasons]),
            class_="card",
        ),
        _decision(tick),
        _came(tick.changes) if tick.changes is not None else None,
        _contest(tick, tick.comparison) if tick.comparison is not None else None,
        _flips("Right now, wrong before", gained),
        _flips("Wrong now, right before", lost),
    )


def _decision(tick: Tick) -> Node:
    if tick.decision is None or tick.outcome in ("skip", "attention"):
        return None
    how = "searched" if isinstance(tick.decision, Search) else "trained"
    start = getattr(tick.decision, "start", None)
    origin = "from the start" if start is None else f"from version {start}"
    often = "once" if tick.interruptions == 1 else f"{tick.interruptions} times"
    again = f"; the tick was interrupted {often}" if tick.interruptions else ""
    return [
        tag("h2", "Why it trained"),
        tag("ul", [tag("li", reason) for reason in tick.decision.reasons]),
        tag("p", f"A challenger was {how} {origin}{again}.", class_="soft"),
    ]


def _came(found: Changes) -> Node:
    since = "what there is" if found.since is None else f"since version {found.since} was trained"
    rows = [
        (what, ", ".join(f"{name} {count:,}" for name, count in counts.items()), f"{sum(counts.values()):,}")
        for what, counts in (
            ("added", found.added),
            ("removed", found.removed),
            ("relabelled", found.relabelled),
            ("of new classes", found.new_classes),
            ("left out", found.left_out),
            ("cannot be read", {"files": found.unreadable} if found.unreadable else {}),
        )
        if counts
    ]
    parts: list[Node] = [
        tag("h2", "What came in"),
        tag("p", f"{since}; snapshot {found.snapshot[:16]}: " + _counted(found.images), class_="soft"),
    ]
    parts.append(table(("", "classes", "images"), rows, numbers=[2]) if rows else tag("p", "Nothing changed."))
    if found.removed_classes:
        parts.append(
            tag("p", f"No training images are left of: {', '.join(found.removed_classes)}", class_="attention")
        )
    shifted = [
        (name, f"{100 * then:.1f} %", f"{100 * now:.1f} %")
        for name, (then, now) in found.balance.items()
        if found.since is not None and abs(now - then) >= 0.005
    ]
    if shifted:
        parts += [tag("h2", "Class balance"), table(("class", "then", "now"), shifted, numbers=[1, 2])]
    return [*parts, _drift(found)]


def _drift(found: Changes) -> Node:
    if found.drift is None:
        return None
    drift, sure = found.drift, found.sureness
    rows: list[Sequence[Node]] = [
        (
            "told apart from the champion's own images",
            f"{drift.amount:.2f} (AUC {drift.auc:.2f})",
            f"{drift.auc_p:.3f}",
        ),
        ("mean discrepancy (MMD²)", f"{drift.mmd:.4f}", f"{drift.mmd_p:.3f}"),
    ]
    if sure is not None:
        rows.append(("the champion's confidence", f"{100 * sure.before:.1f} → {100 * sure.now:.1f} %", f"{sure.p:.3f}"))
    predicted = [(name, str(then), str(now)) for name, (then, now) in found.predicted.items()]
    return [
        tag("h2", "Drift of the new images"),
        tag(
            "p",
            f"{drift.images} new images beside as many held-out ones of the same classes, by the champion's own features.",
            class_="soft",
        ),
        table(("", "amount", "p"), rows, numbers=[2]),
        table(("the champion predicts", "then", "now"), predicted, numbers=[1, 2]),
    ]


def _contest(tick: Tick, found: Comparison) -> Node:
    rows = [
        (name.replace("_", " "), _score(name, found.champion_metrics.get(name)), _score(name, value))
        for name, value in found.metrics.items()
    ]
    before = "–" if found.champion_latency_ms is None else f"{found.champion_latency_ms:.1f} ms"
    rows.append(("an image takes", before, f"{found.latency_ms:.1f} ms"))
    champion = "no champion" if found.champion is None else f"champion (version {found.champion})"
    parts: list[Node] = [
        tag("h2", "Champion against challenger"),
        tag(
            "p",
            f"The same {found.images} frozen images (evaluation set {found.evaluation}), the same code. Comparison number "
            f"{found.looks} on this line of evaluation sets: of two equal models, each comparison would promote with a chance "
            "of at most 1 − confidence.",
            class_="soft",
        ),
        table(("", champion, f"challenger (version {tick.version or '–'})"), rows, numbers=[1, 2]),
    ]
    if found.paired is not None:
        pair = found.paired
        parts.append(
            tag(
                "p",
                f"{pair.metric.replace('_', ' ')}: gain {_signed(pair.metric, pair.gain)}, 95 % interval "
                f"{_signed(pair.metric, pair.low)} to {_signed(pair.metric, pair.high)}; {pair.gained} images won, {pair.lost} "
                f"lost; by chance alone as much with p = {pair.p_better:.3f}.",
            )
        )
    if found.slices:
        drawn = found.slices if len(found.slices) <= _MOST_SLICES else _most_moved(found.slices)
        note = f" The {len(drawn)} of {len(found.slices)} that moved most." if len(drawn) < len(found.slices) else ""
        parts += [
            tag("h2", "By class"),
            tag("p", f"Grey: champion, blue: challenger.{note}", class_="soft"),
            shares(drawn),
        ]
    if found.unknown:
        parts.append(tag("p", f"The champion does not know: {', '.join(found.unknown)}.", class_="soft"))
    return parts


def _most_moved(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return the slices that the challenger changes most, in the order they came in."""
    ranked = sorted(range(len(slices)), key=lambda place: -abs(slices[place].drop))
    return tuple(slices[place] for place in sorted(ranked[:_MOST_SLICES]))


def _flips(title: str, flips: Sequence[Flip]) -> Node:
    if not flips:
        return None
    return [tag("h2", title), tag("div", [_tile(flip) for flip in flips], class_="tiles")]


def _tile(flip: Flip) -> Markup:
    image = tag("img", src=flip.picture, alt=flip.key) if flip.picture else None
    said = f"{flip.label}: {flip.champion} → {flip.challenger}"
    return tag("div", image, tag("div", said), tag("div", flip.key, class_="soft"), class_="tile")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _score(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if name == "log_loss" else f"{100 * value:.1f} %"


def _signed(metric: str, value: float) -> str:
    return f"{value:+.3f}" if metric == "log_loss" else f"{100 * value:+.1f} points"
