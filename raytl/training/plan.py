"""The plan of a run, as a value: `raytl check` prints it, and nothing has started yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from raytl.adaptation.normalization import check_adaptable
from raytl.config.choice import Choice
from raytl.config.schema import DataConfig, Experiment
from raytl.data.sample import Sample
from raytl.data.shard import steps_per_epoch
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError, ModelError, RaytlError, UserError
from raytl.events import OnEvent
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.record import LabelChanges
from raytl.labelling.settings import Settings, settings_of
from raytl.models.backbone import Backbone, batch_norms
from raytl.models.forward import pick_device, pick_precision
from raytl.models.freeze import learning
from raytl.models.groups import rates
from raytl.models.optimizer import check_optimizer, waits_for_device
from raytl.models.probe import head_layer
from raytl.store.s3_settings import S3Settings
from raytl.tasks import auto_recipe
from raytl.tasks.registry import task_named
from raytl.tasks.task import Task
from raytl.training.auxiliary_columns import check_turns, column_notes, with_auxiliary_columns
from raytl.training.compiled import check_compile
from raytl.training.dataset import Dataset, listed_dataset, read_dataset
from raytl.training.first_step import check_first_step
from raytl.training.label_plan import label_inputs, planned_changes
from raytl.training.recipe_facts import recipe_facts, unmeasured
from raytl.training.source_images import SourceImages, read_sources
from raytl.training.stages import TrainStage, timeline
from raytl.training.step_sources import labelled_batch, source_keys
from raytl.training.warmup.images import warmup_note

T = TypeVar("T")

#: Used to audit the images if the model cannot be built, so that all problems are reported at once.
_STAND_IN = Preprocess(224, 256, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One part of the network at the end of training, with its learning rate (None = frozen)."""

    name: str
    parameters: int
    rate: float | None


@dataclass(frozen=True, repr=False)
class Plan:
    """The plan of a run. Stages are bottom to top with the head last; `counts` is images by split and class."""

    experiment: Experiment
    dataset: Dataset
    counts: dict[str, dict[str, int]]
    stages: tuple[StagePlan, ...]
    timeline: tuple[TrainStage, ...]
    trainable: int
    total: int
    preprocess: Preprocess
    weights_digest: str
    steps_per_epoch: int
    steps: int
    device: str
    precision: str
    notes: tuple[str, ...] = ()
    """Choices that differ from what the experiment asks for, or that are not made yet."""
    recipe: tuple[Choice, ...] = ()
    """What `recipe: auto` chose, with the reasons; `experiment` has the values."""
    sources: SourceImages = field(default_factory=SourceImages)
    """The images of other sources that steps take; empty before the images are on this node."""
    changes: Mapping[Settings, TrainChange] = field(default_factory=dict)
    """What label methods change in the training images, by their settings; empty before the images are on this node."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems of the data that do not stop training."""
        return self.dataset.warnings

    def __repr__(self) -> str:
        images = ", ".join(f"{sum(by_class.values())} {split}" for split, by_class in self.counts.items())
        learning = f"{self.trainable:,} of {self.total:,} parameters learn"
        return f"Plan({self.experiment.name}, {images} images, {learning}, {self.steps} steps on {self.device})"


def make_plan(
    experiment: Experiment, on_event: OnEvent, fetch: bool = True, recorded: LabelChanges | None = None
) -> Plan:
    """Read the data and build the model of `experiment`, and return its plan.

    Without `fetch`, images that are not on this node are not downloaded: only their listing is read. With `recorded`, label
    methods change what they changed then.

    Raises:
        UserError: all problems of the model and of the data, at once.
    """
    problems: list[RaytlError] = []
    s3 = S3Settings.of(experiment.storage)
    task = task_named(experiment.task)
    preprocess = _collect(problems, lambda: task.preprocess(experiment.model, s3))
    data = experiment.data if preprocess else experiment.data.model_copy(update={"cache": "off"})
    read = read_dataset if fetch else listed_dataset
    dataset = _collect(problems, lambda: _read(experiment, read, data, preprocess or _STAND_IN, on_event))
    classes = dataset.splits.classes if dataset else ("a", "b")
    backbone = _collect(problems, lambda: task.build(experiment.model, classes, s3)) if preprocess else None
    recipe: tuple[Choice, ...] = ()
    note = unmeasured(experiment, task, dataset) if dataset else None
    changes, own = dict[Settings, TrainChange](), UNCHANGED
    if backbone and dataset:
        given, seen = experiment, (backbone, dataset)
        changes = _collect(problems, lambda: planned_changes(given, task, *seen, on_event, recorded)) or {}
        own = changes.get(settings_of(experiment), UNCHANGED)
        chosen = _collect(problems, lambda: _with_recipe(given, task, *seen, own, on_event))
        experiment, recipe = chosen or (experiment, ())
        backbone = backbone.with_frozen_statistics() if experiment.model.batch_norm == "frozen" else backbone
    depth = _collect(problems, lambda: depth_of(experiment, backbone)) if backbone else None
    _collect(problems, lambda: _check_adaptable(experiment, backbone))
    _collect(problems, lambda: _check_warmup(experiment, backbone))
    _collect(problems, lambda: check_optimizer(experiment.optim.name))
    _collect(problems, lambda: check_compile(experiment, pick_device(experiment.compute.device)))
    if preprocess:
        _collect(problems, lambda: check_turns(experiment, preprocess))
    columns: tuple[str, ...] = ()
    if dataset:
        train, val, change = dataset.splits.train, dataset.splits.val, own
        columns = _collect(problems, lambda: column_notes(experiment, change.applied(train), val)) or ()
        _collect(problems, lambda: _check_batches(experiment, change.applied(train), classes, backbone))
        if backbone and depth is not None:
            _collect(problems, lambda: check_first_step(experiment, task, backbone, depth, classes, train))
    if backbone is None or dataset is None or problems:
        raise problems[0] if len(problems) == 1 else UserError("\n".join(str(problem) for problem in problems))
    notes = (*backbone.notes, *([note] if note else []), *_waits(experiment), *columns)
    reading = backbone.reading(dataset.depth.depth)
    sources = _sources(experiment, task, reading, dataset, on_event)
    learned = own.applied(dataset.splits.train)
    warmup = () if dataset.to_fetch else warmup_note(experiment, learned, sources.samples)
    notes = (*notes, *own.notes, *sources.notes, *warmup)
    return replace(_plan(experiment, reading, dataset, len(learned), recipe, notes), changes=changes, sources=sources)


def _sources(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, on_event: OnEvent
) -> SourceImages:
    """Return the images of other sources; nothing before the images are on this node, or without such a source."""
    if dataset.to_fetch or not source_keys(experiment):
        return SourceImages()
    return read_sources(label_inputs(experiment, task, backbone, dataset, on_event), dataset)


def _with_recipe(
    experiment: Experiment, task: Task, backbone: Backbone, dataset: Dataset, change: TrainChange, on_event: OnEvent
) -> tuple[Experiment, tuple[Choice, ...]]:
    """Return the experiment with what its recipe chooses for the data, and the choices."""
    if not auto_recipe.is_open(experiment):
        return auto_recipe.resolved(experiment, ())
    reading = backbone.reading(dataset.depth.depth)
    facts = recipe_facts(experiment, task, reading, dataset, change, on_event)
    return auto_recipe.resolved(experiment, task.recipe.choose(facts))


def _read(
    experiment: Experiment,
    read: Callable[..., Dataset],
    data: DataConfig,
    preprocess: Preprocess,
    on_event: OnEvent,
) -> Dataset:
    s3 = S3Settings.of(experiment.storage)
    task = task_named(experiment.task)
    data = with_auxiliary_columns(data, experiment)
    return read(data, preprocess, on_event, s3, experiment.annotations, task, experiment.labels)


def depth_of(experiment: Experiment, backbone: Backbone) -> int:
    """Return the number of stages, from the top, that learn at the end of training."""
    return len(learning(backbone, experiment.transfer.unfreeze).stages)


def _waits(experiment: Experiment) -> list[str]:
    """Return what to say of an optimizer that makes each step slower on a GPU."""
    name = experiment.optim.name
    if not waits_for_device(name) or pick_device(experiment.compute.device).type == "cpu":
        return []
    return [f"optim.name: {name} makes the host wait for the GPU in each step; adamw, sgd and most others do not"]


def _collect(problems: list[RaytlError], make: Callable[[], T]) -> T | None:
    try:
        return make()
    except RaytlError as problem:
        problems.append(problem)
        return None


def _check_adaptable(experiment: Experiment, backbone: Backbone | None) -> None:
    if backbone is not None:
        check_adaptable(backbone.name, backbone.module, experiment.adapt.method)


def _check_warmup(experiment: Experiment, backbone: Backbone | None) -> None:
    """Check that a warm-up has the features below the head."""
    if backbone is None or experiment.warmup.method == "none":
        return
    try:
        head_layer(backbone)
    except ModelError as error:
        raise ConfigError(
            f"warmup.method: found {experiment.warmup.method}, and the head of {backbone.name} ({', '.join(backbone.head)}) has no "
            "linear layer, whose inputs a warm-up trains; set warmup.method to none"
        ) from error


def _check_batches(
    experiment: Experiment, learned: Sequence[Sample], classes: Sequence[str], backbone: Backbone | None
) -> bool:
    """Check that each worker gets an image of each batch of what is learned from, and two if BatchNorm computes statistics of
    them."""
    train, workers = experiment.train, experiment.compute.max_workers
    task_named(experiment.task).objective(experiment, classes, learned)
    images = len(learned)
    smallest = images // steps_per_epoch(images, labelled_batch(experiment))
    has_batchnorm = backbone is not None and bool(batch_norms(backbone.module) - backbone.evaluated)
    min_images = 2 if has_batchnorm and experiment.transfer.unfreeze != 0 else 1
    if smallest // workers // train.accumulate < min_images:
        why = "; BatchNorm needs 2 images on each to compute statistics" if min_images == 2 else ""
        raise ConfigError(
            f"train.batch_size: batches of {smallest} images ({images} training images, train.batch_size "
            f"{train.batch_size}) are too small for compute.workers {workers} x train.accumulate {train.accumulate}"
            f"{why}.\n  Use larger batches, fewer workers, or less accumulation."
        )
    return True


def _plan(
    experiment: Experiment,
    backbone: Backbone,
    dataset: Dataset,
    images: int,
    recipe: tuple[Choice, ...],
    notes: tuple[str, ...],
) -> Plan:
    """Return the plan for training on this number of `images`."""
    stages_by_epoch = timeline(experiment.transfer, depth_of(experiment, backbone), experiment.train.epochs)
    depth, sizes = stages_by_epoch[-1].depth, backbone.sizes
    lr = rates(backbone, experiment.transfer, experiment.optim.lr, depth)
    stages = tuple(StagePlan(name, size, lr.get(name)) for name, size in sizes.items())
    steps = steps_per_epoch(images, labelled_batch(experiment))
    device = pick_device(experiment.compute.device)
    return Plan(
        experiment=experiment,
        dataset=dataset,
        counts=dataset.splits.counts(),
        stages=stages,
        timeline=stages_by_epoch,
        trainable=sum(part.parameters for part in stages if part.rate is not None),
        total=sum(sizes.values()),
        preprocess=backbone.preprocess,
        weights_digest=backbone.weights_digest,
        steps_per_epoch=steps,
        steps=steps * experiment.train.epochs,
        device=str(device),
        precision=str(pick_precision(experiment.train.precision, device)).removeprefix("torch."),
        notes=(*notes, *_never_opened(experiment, backbone, depth)),
        recipe=recipe,
    )


def _never_opened(experiment: Experiment, backbone: Backbone, opened: int) -> list[str]:
    """Return what to say of stages that gradual unfreezing does not reach."""
    depth, transfer = depth_of(experiment, backbone), experiment.transfer
    if opened >= depth:
        return []
    epochs = transfer.head_first + (depth - 1) * transfer.gradual_every + 1
    return [
        f"transfer.gradual: {opened} of {depth} stages are unfrozen within train.epochs ({experiment.train.epochs}); all are with "
        f"{epochs} epochs or more, or with a lower transfer.gradual_every"
    ]
