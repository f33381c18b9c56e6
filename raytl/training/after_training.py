"""Adapt the best network to the target domain once training ended (`adapt.method: adabn` and `tent`), if that is better
beyond chance.

Only what normalizes changes: the statistics of BatchNorm, and with `tent` scales and shifts. Validation compares the network
with and without; it fits nothing but the temperature. Training with the statistics of the target inside the network ended at
chance on the source, so this comes after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from safetensors.torch import load_file
from torch import Tensor

from raytl.adaptation.choice import SIGNIFICANCE
from raytl.adaptation.normalization import adapt_network, changes_of
from raytl.adaptation.views import by_content, normalized_views
from raytl.data.group_split import sampling_groups
from raytl.data.sources import TARGET
from raytl.events import Message, OnEvent
from raytl.metrics.paired import LEVEL, Paired
from raytl.models.backbone import Backbone
from raytl.models.card import WEIGHTS
from raytl.run.folder import RunFolder
from raytl.tasks.calibration import divided
from raytl.tasks.inference import Truths, set_buffers
from raytl.tasks.probe_solver import even_sample
from raytl.tasks.reporting import Evaluated
from raytl.tasks.task import Task, Validation
from raytl.training.best_network import State, copied_state, report, score_text, score_value, shared_state
from raytl.training.collectives import sum_over_ranks
from raytl.training.job import TrainJob
from raytl.training.loop import RunWriter, rank
from raytl.training.objectives.head_scores import PREFIX
from raytl.training.records import SCORE_FORMAT
from raytl.training.run_writer import ADAPTED, BEST_SCORE, FINITE, FRACTION
from raytl.training.steps import TrainContext
from raytl.training.validate import ValSplit, calibrated, split_answers

_OF_TARGET = (
    "Validation photos should be labelled photos of the target: on those of the source, a network that is adapted to the "
    "target is expected to lose"
)
_MOST_COMPARED = 1000
"""The paired test of images with several labels takes the square of their number: seconds for this many."""


@dataclass(frozen=True)
class Answered:
    """The validation of a network, and its calibrated answers, with the thresholds that validation chose."""

    result: Validation
    answers: Evaluated


@dataclass(frozen=True)
class Verdict:
    """The network `before` and `after` it was adapted, on the same validation images, and what it gained by `metric`."""

    metric: str
    before: Answered
    after: Answered
    gain: Paired
    is_better: bool
    """Whether the adapted network has the better score."""
    is_finite: bool = True

    @property
    def is_applied(self) -> bool:
        """Return whether the adapted network replaces the other: of two networks that these images cannot tell apart, the simpler
        one stays."""
        return self.is_finite and self.is_better and self.gain.p_better <= SIGNIFICANCE

    @property
    def result(self) -> Validation:
        """Return the validation of the network that stays, with both scores."""
        name = self.metric.removeprefix("val/")
        record = {
            ADAPTED: float(self.is_applied),
            FINITE: float(self.is_finite),
            f"adaptation/without_{name}": self.before.result.metrics[self.metric],
            f"adaptation/with_{name}": self.after.result.metrics[self.metric],
            "adaptation/p_worse": self.gain.p_worse,
            "adaptation/p_better": self.gain.p_better,
        }
        own = self.after.result if self.is_applied else self.before.result
        return replace(own, metrics=own.metrics | record)

    @property
    def reason(self) -> str:
        """Return both scores and what follows from them."""
        if not self.is_finite:
            return "kept off: its weights are no longer finite. Lower adapt.tent.lr"
        without = score_text(self.metric, self.before.result.metrics)
        adapted = score_value(self.metric, self.after.result.metrics)
        scores = f"{without} without and {adapted} with it on {len(self.before.answers.samples)} validation images"
        if self.is_applied:
            return f"applied: {scores}, which is better beyond chance"
        if self.is_better:
            return f"kept off: {scores}, which is better, but not beyond chance. Label more photos of the target to be sure"
        beyond = "beyond chance" if self.gain.p_worse <= SIGNIFICANCE else "or the same, within chance"
        return f"kept off: {scores}, which is worse {beyond}. {_OF_TARGET}"


def adapt_best(
    job: TrainJob,
    context: TrainContext,
    backbone: Backbone,
    split: ValSplit,
    writer: RunWriter,
    folder: RunFolder,
) -> None:
    """Replace the best checkpoint by its adapted network if that is better on validation beyond chance.

    All ranks validate; the main rank alone adapts and decides, so that the number of ranks changes no bit. The adapted
    network follows from the checkpoint and the images of the target, and the checkpoint is replaced as a whole and says so:
    a run that was killed here adapts again, or finds it done.
    """
    world, module = context.world, backbone.module
    score = SCORE_FORMAT.load(folder.best / BEST_SCORE) if world.is_main else None
    own = [float(ADAPTED not in score.metrics), score.metrics.get(FRACTION, 1.0)] if score else [0.0, 0.0]
    is_open, fraction = sum_over_ranks(world, own, context.device, "whether the network is adapted")
    if not is_open:
        return
    emit = partial(report, context)
    before = shared_state(context, load_file(folder.best / WEIGHTS) if world.is_main else None, module)
    module.load_state_dict(before)
    adapted = _adapted(job, backbone, emit) if world.is_main else None
    (is_finite,) = sum_over_ranks(world, [float(adapted is not None)], context.device, "whether it stays finite")
    after = shared_state(context, adapted, module) if is_finite else before
    first, second = (_answered(job, context, backbone, split, state, fraction) for state in (before, after))
    if score is None:
        return
    world.status.begin("comparing the adapted network")
    verdict = verdict_on(job.task, first, second, job.experiment.train.metric, is_finite=bool(is_finite))
    changes = changes_of(job.experiment.adapt, module)
    emit(Message(f"{changes}: {verdict.reason}", "info" if verdict.is_applied else "warning"))
    module.load_state_dict(after if verdict.is_applied else before)
    world.status.wait_for_driver()
    writer.best(module, _with_fallback(verdict.result, score.metrics), score.epoch - 1)


def verdict_on(task: Task, before: Answered, after: Answered, metric: str, *, is_finite: bool = True) -> Verdict:
    """Return the comparison of a network before and after it was adapted, by `metric` (`val/...`)."""
    name, reporting = metric.removeprefix("val/"), task.reporting
    tested = name if name in reporting.gate_metrics else reporting.gate_metrics[0]
    old, new = (_compared(task, each.answers) for each in (before, after))
    gain = reporting.compare(old, new, [False] * len(new.samples), tested, LEVEL).paired
    assert gain is not None, "there are two networks"
    own, other = (rank(each.result.metrics, metric, task.tie_breaker) for each in (before, after))
    return Verdict(metric, before, after, gain, other[0] > own[0], is_finite)


def _compared(task: Task, answers: Evaluated) -> Evaluated:
    """Return the answers that are tested: an even part of many images with several labels, of which a draw recounts all."""
    solver = task.head_solver
    step = 1 if solver is not None and solver.targets_of is not None else -(-len(answers.samples) // _MOST_COMPARED)
    if step <= 1:
        return answers
    rows = tuple(each[::step] for each in answers.rows)
    groups = None if answers.groups is None else answers.groups[::step]
    return replace(answers, samples=answers.samples[::step], truths=answers.truths[::step], rows=rows, groups=groups)


def _adapted(job: TrainJob, backbone: Backbone, emit: OnEvent) -> State | None:
    """Return the tensors of the network after it was adapted; None if some are not finite."""
    experiment, samples = job.experiment, by_content(job.sources[TARGET])
    title = f"adapt.method {experiment.adapt.method}"

    def views(limit: int) -> Iterator[Tensor]:
        some = even_sample(samples, None, limit)
        return normalized_views(module, some, backbone.preprocess, experiment.data, job.s3, emit, title)

    module = backbone.module.eval()
    return copied_state(module) if adapt_network(module, views, experiment.adapt) else None


def _answered(
    job: TrainJob, context: TrainContext, backbone: Backbone, split: ValSplit, state: State, fraction: float
) -> Answered:
    """Return the answers of the network with the tensors `state` on validation, the same on every rank."""
    module = backbone.module
    module.load_state_dict(state)
    rows = split_answers(context, module, split)
    result = calibrated(context, rows, split, fraction)
    if result.buffers:  # thresholds, with which it answers
        set_buffers(module, result.buffers)
        rows = split_answers(context, module, split)
    calibrated_rows = (divided(rows[0], result.temperature or 1.0), *rows[1:])
    answers = Evaluated(
        job.val,
        Truths(split.encoder),
        calibrated_rows,
        split.classes,
        len(split.classes),
        groups=sampling_groups(job.val, job.experiment.data.columns),
    )
    return Answered(result, answers)


def _with_fallback(result: Validation, earlier: Mapping[str, float]) -> Validation:
    """Return the validation with what the fallback and auxiliary heads recorded of the checkpoint that is replaced."""
    recorded = {name: value for name, value in earlier.items() if name.startswith(("fallback/", PREFIX))}
    return replace(result, metrics=result.metrics | recorded)
