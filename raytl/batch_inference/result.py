"""The result of a batch: what was written, as one value without the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice

from raytl.batch_inference.output import table_key
from raytl.batch_inference.plan import Plan
from raytl.batch_inference.record import PartSummary, Receipt, Summary
from raytl.tasks.reporting import Unreadable


@dataclass(frozen=True, repr=False)
class BatchPredictions:
    """The predictions below `out`: the tables `parts` in the order of the photos, and what they hold together.

    `photos` were predicted, in `rows`; `counts` has the number of `unit` by class, the most frequent first, and `judged`
    that of photos by column of `require`, `recall` and `uncertainty`. `run` is the model, with the digest `weights`. `retained`
    parts were finished before.
    """

    out: str
    run: str
    weights: str
    photos: int
    rows: int
    unit: str
    counts: Mapping[str, int]
    judged: Mapping[str, int]
    parts: tuple[str, ...]
    retained: int
    unreadable: tuple[Unreadable, ...]
    left_out: Mapping[str, tuple[str, ...]]

    def __repr__(self) -> str:
        counted = ", ".join(f"{number} {name}" for name, number in islice(self.counts.items(), 5))
        return f"BatchPredictions({self.photos} photos in {len(self.parts)} parts, {self.unit}: {counted or 'none'})"


def versions() -> str:
    """Return the versions that an output is made with, for people."""
    return ", ".join(f"{name} {version(name)}" for name in ("raytl", "torch", "pillow"))


def unreadable_of(plan: Plan, receipts: Mapping[int, Receipt]) -> tuple[Unreadable, ...]:
    """Return the photos that could not be read, in the order of the plan."""
    return tuple(
        Unreadable(part.photos[place], reason)
        for part in plan.parts
        for place, reason in sorted(receipts[part.number].unreadable)
    )


def summary_of(plan: Plan, receipts: Mapping[int, Receipt], run: str, weights: str) -> Summary:
    """Return the summary of a plan whose parts are all finished."""
    pairs = [(part, receipts[part.number]) for part in plan.parts]
    tables = tuple(
        PartSummary(part.name, receipt.photos, receipt.rows, receipt.size, receipt.sha256)
        for part, receipt in pairs
        if receipt.size
    )
    return Summary(
        plan=plan.digest,
        run=run,
        weights=weights,
        versions=versions(),
        photos=sum(each.photos for each in tables),
        unreadable=sum(len(receipt.unreadable) for _, receipt in pairs),
        rows=sum(each.rows for each in tables),
        unit=next((receipt.unit for _, receipt in pairs if receipt.unit), ""),
        counts=_sum(receipt.counts for _, receipt in pairs),
        judged=_sum(receipt.judged for _, receipt in pairs),
        parts=tables,
    )


def is_summary_of(summary: Summary, plan: Plan, receipts: Mapping[int, Receipt], weights: str) -> bool:
    """Return whether a stored summary says what the receipts do; its run and versions are for people."""
    now = summary_of(plan, receipts, summary.run, weights)
    return replace(now, versions=summary.versions) == replace(
        summary, counts=dict(summary.counts), judged=dict(summary.judged)
    )


def batch_predictions(
    out: str,
    summary: Summary,
    retained: int,
    unreadable: tuple[Unreadable, ...],
    left_out: Mapping[str, tuple[str, ...]],
) -> BatchPredictions:
    """Return the result of a finished batch, of which `retained` parts were finished before."""
    return BatchPredictions(
        out=out,
        run=summary.run,
        weights=summary.weights,
        photos=summary.photos,
        rows=summary.rows,
        unit=summary.unit,
        counts=summary.counts,
        judged=summary.judged,
        parts=tuple(f"{out}/{table_key(each.name)}" for each in summary.parts),
        retained=retained,
        unreadable=unreadable,
        left_out=left_out,
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums by name, the largest first; names keep their order where the sums are equal."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())
