"""Choose the task by the targets of the data if the experiment does not, and reject data with targets of another task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.data.formats import is_packed, lists_classes, names_objects, scan
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.errors import DataError, NotFound
from raytl.events import Message, OnEvent
from raytl.run.folder import RunFolder
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named, task_names
from raytl.tasks.task import Task
from raytl.uris import has_scheme

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
    return _task_for(SampleTable.of(samples).kinds())


def _task_for(types: set[type]) -> str | None:
    return next((name for name in task_names() if set(task_named(name).target_types[:1]) == types), None)


def with_task(experiment: Experiment, on_event: OnEvent) -> Experiment:
    """Return `experiment` with its task set: that of its run if there is one, or else the one that its data are annotated for.

    The data are listed only if neither the experiment nor its run says the task; images in a bucket stay there. Of a table on
    this machine whose columns say that each image has one class, no row is read. If nothing is at `data.uri`, the experiment is
    returned as it is: reading the data reports it, together with other problems.

    Raises:
        DataError: annotations are broken.
        StoreError: the bucket cannot be read.
    """
    if "task" in experiment.model_fields_set:
        return experiment
    stored = RunFolder.of(experiment).experiment
    if stored.is_file():
        return override(experiment, {"task": stored_experiment(stored).recipe.task})
    if lists_classes(experiment.data.uri, experiment.annotations):
        return override(experiment, {"task": _task_for({str})})
    try:
        samples = _listed(experiment, on_event)
    except NotFound:
        return experiment
    task = task_of(samples)
    if task is None:
        return experiment
    if task != experiment.task:
        on_event(
            Message(
                f"task: {task}, because the images are annotated with {annotation(samples)}. Set task to choose another"
            )
        )
    return override(experiment, {"task": task})


def _listed(experiment: Experiment, on_event: OnEvent) -> Sequence[Sample]:
    uri, s3 = experiment.data.uri, S3Settings.of(experiment.storage)
    if not has_scheme(uri) and not Path(uri).expanduser().exists():
        return ()
    stream = names_objects(uri) and not is_packed(uri, s3)
    votes = experiment.labels.columns
    return scan(uri, on_event, stream, experiment.data.zip_encoding, s3, experiment.annotations, votes=votes).samples


def annotation(samples: Sequence[Sample]) -> str:
    """Return the annotation of the first of `samples` in words: boxes, masks of objects."""
    return _name(samples[0])


def _name(sample: Sample) -> str:
    return _NAMES.get(type(sample.target).__name__, type(sample.target).__name__)


def check_targets(task: Task, samples: Sequence[Sample]) -> None:
    """Reject samples with targets that `task` does not learn.

    Raises:
        DataError: there are such samples; with their number by type, and the task that learns them.
    """
    table = SampleTable.of(samples)
    if all(issubclass(kind, task.target_types) for kind in table.kinds()):
        return
    wrong = [sample for sample in table if not isinstance(sample.target, task.target_types)]
    counts = Counter(map(_name, wrong))
    kinds = ", ".join(f"{count} with {name}" for name, count in counts.most_common())
    other = task_of(samples)
    advice = f"Set task: {other}" if other else "Annotate them, or leave them out"
    expected = " or ".join(_NAMES.get(each.__name__, each.__name__) for each in task.target_types)
    raise DataError(
        f"data.uri: {len(wrong)} of {len(samples)} images have targets that task: {task.name} does not learn ({kinds}, such as "
        f"{wrong[0].key!r}); expected {expected}. {advice}."
    )
