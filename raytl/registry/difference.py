"""Two versions side by side: what differs in recipe, data, classes and scores."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from raytl.config.fingerprint import differences
from raytl.config.load import load_experiment
from raytl.config.schema import Experiment
from raytl.errors import NotFound
from raytl.registry.record import Record
from raytl.registry.registry import FILES, Registry
from raytl.store.retry import retried

EXPERIMENT = "experiment.yaml"


@dataclass(frozen=True)
class Difference:
    """What differs from `before` to `after`: recipe as lines `key: old -> new`, classes, and metrics as (before, after)."""

    before: int
    after: int
    recipe: tuple[str, ...]
    added_classes: tuple[str, ...]
    removed_classes: tuple[str, ...]
    same_data: bool
    same_evaluation: bool
    metrics: dict[str, tuple[float | None, float | None]]
    size_bytes: tuple[int, int]


def difference(registry: Registry, before: Record, after: Record) -> Difference:
    """What differs between two versions of a registry; metrics of two evaluation sets are not to be compared."""
    old, new = before.about, after.about
    recipes = [found for found in (_experiment(registry, before), _experiment(registry, after)) if found]
    return Difference(
        before=before.number,
        after=after.number,
        recipe=tuple(differences(*recipes)) if len(recipes) == 2 else (),
        added_classes=tuple(name for name in new.classes if name not in old.classes),
        removed_classes=tuple(name for name in old.classes if name not in new.classes),
        same_data=old.snapshot == new.snapshot,
        same_evaluation=old.evaluation == new.evaluation,
        metrics={name: (old.metrics.get(name), new.metrics.get(name)) for name in {**old.metrics, **new.metrics}},
        size_bytes=(before.size_bytes, after.size_bytes),
    )


def _experiment(registry: Registry, record: Record) -> Experiment | None:
    """The version's experiment; None where it was published without one."""
    try:
        content = retried(lambda: registry.store.get_bytes(f"{FILES}{record.token}/{EXPERIMENT}"))
    except NotFound:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EXPERIMENT
        path.write_bytes(content)
        return load_experiment(path)
