"""Choose the task from the targets of the data, and reject data whose targets are of another task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raytl.data.manifest import Sample
from raytl.errors import DataError
from raytl.tasks.registry import task_named, task_names
from raytl.tasks.task import Task

_NAMES = {
    "str": "one class an image",
    "Labels": "labels",
    "Mask": "masks of classes",
    "Boxes": "boxes",
    "Instances": "masks of objects",
    "NoneType": "no annotation",
}


def task_of(samples: Sequence[Sample]) -> str | None:
    """Return the name of the first task whose own type of target all `samples` have; None if they differ."""
    types = {type(sample.target) for sample in samples}
    if len(types) != 1:
        return None
    (own,) = types
    return next((name for name in task_names() if task_named(name).target_types[:1] == (own,)), None)


def check_targets(task: Task, samples: Sequence[Sample]) -> None:
    """Reject samples with targets that `task` does not learn.

    Raises:
        DataError: there are such samples; with their number by type, and the task that learns them.
    """
    wrong = [sample for sample in samples if not isinstance(sample.target, task.target_types)]
    if not wrong:
        return
    counts = Counter(_NAMES.get(type(sample.target).__name__, type(sample.target).__name__) for sample in wrong)
    kinds = ", ".join(f"{count} with {name}" for name, count in counts.most_common())
    other = task_of(samples)
    advice = f"Set task: {other}" if other else "Annotate them, or leave them out"
    expected = " or ".join(_NAMES.get(each.__name__, each.__name__) for each in task.target_types)
    raise DataError(
        f"data.uri: {len(wrong)} of {len(samples)} images have targets that task: {task.name} does not learn ({kinds}, such as "
        f"{wrong[0].key!r}); expected {expected}. {advice}."
    )
