"""Two versions compared: recipe, data, classes and scores."""

from __future__ import annotations

from dataclasses import dataclass

from raytl.config.fingerprint import differences
from raytl.config.schema import Recipe
from raytl.config.stored import MOST_BYTES, read_stored
from raytl.errors import NotFound
from raytl.registry.record import Record
from raytl.registry.registry import FILES, Registry
from raytl.store.retry import retried

EXPERIMENT = "experiment.yaml"


@dataclass(frozen=True)
class Difference:
    """The differences from `before` to `after`: recipe as lines `key: old -> new`, classes, and metrics as (before, after)."""

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
    """Return the differences of two versions of a registry; metrics on different evaluation sets are not comparable."""
    old, new = before.about, after.about
    recipes = [recipe for recipe in (_recipe(registry, before), _recipe(registry, after)) if recipe]
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


def _recipe(registry: Registry, record: Record) -> Recipe | None:
    """Return the version's recipe; None if it was published without one."""
    key = f"{FILES}{record.token}/{EXPERIMENT}"
    try:
        content = retried(lambda: registry.store.get_bytes(key, 0, MOST_BYTES + 1))
    except NotFound:
        return None
    return read_stored(content, f"{registry.uri}: {EXPERIMENT} of version {record.number}").recipe
