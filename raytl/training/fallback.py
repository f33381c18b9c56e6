"""Never end below the solved head: fall back to it, or to an interpolation, where a fine-tune is worse on validation.

After the last epoch, the best one is compared with the pretrained network and a head solved on its features (a linear
probe). If it is worse, candidates on the line between the two networks are validated too (WiSE-FT, Wortsman et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from raytl.errors import ModelError
from raytl.events import Message, OnEvent, Work
from raytl.metrics.calibration import decision_losses
from raytl.metrics.direction import sign
from raytl.models.backbone import Backbone
from raytl.models.card import WEIGHTS
from raytl.run.folder import RunFolder
from raytl.tasks.calibration import divided
from raytl.tasks.inference import Truths
from raytl.tasks.task import Validation
from raytl.training.best_network import State, report, score_text, shared_state
from raytl.training.collectives import sum_over_ranks
from raytl.training.job import TrainJob
from raytl.training.loop import RunWriter, rank
from raytl.training.network import build_network
from raytl.training.objectives.head_scores import PREFIX
from raytl.training.records import SCORE_FORMAT, BestScore
from raytl.training.run_writer import ADAPTED, BEST_SCORE, FRACTION
from raytl.training.steps import TrainContext
from raytl.training.validate import ValSplit, calibrated, split_answers

MAX_IMAGES = 20_000
"""With more training images a fine-tune does not end below its head, and their features would take gigabytes."""
FRACTIONS = tuple(step / 10 for step in range(1, 10))
"""The fractions of the fine-tuned network in the interpolations."""


@dataclass(frozen=True)
class Candidate:
    """A network with the `fraction` of the fine-tuned one in its weights (0 = the solved head on the pretrained network), its
    validation, and the loss of each decision, `(m,)`; without losses the task has no probabilities."""

    fraction: float
    result: Validation
    losses: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        """Return the phrase for messages."""
        if self.fraction in (0, 1):
            return "the fine-tuned network" if self.fraction else "the solved head on the pretrained network"
        return f"{self.fraction:g} of the fine-tuned network and {1 - self.fraction:g} of the pretrained one with the solved head"


def may_fall_back(job: TrainJob, backbone: Backbone) -> bool:
    """Return True if the run has to be compared with a solved head."""
    transfer = job.experiment.transfer
    only_solved = transfer.unfreeze == 0 and transfer.head_start == "solved"
    weights = job.experiment.model.weights if job.warmed else backbone.weights_digest
    is_pretrained = job.task.head_solver is not None and weights != "none"
    return transfer.fallback == "auto" and is_pretrained and not only_solved and len(job.train) <= MAX_IMAGES


def solved_head(job: TrainJob, backbone: Backbone, folder: RunFolder, emit: OnEvent) -> Any:
    """Return the head of `backbone`, which is as training starts from it; solve it and save it in the run unless it is there.

    Raises:
        ModelError: the head has no linear layer.
    """
    solver = job.task.head_solver
    assert solver is not None, "only called for a task that can solve a head"
    if solver.is_saved(folder.head):
        return solver.load(folder.head)
    solved = solver.solve(job.experiment, backbone, job.train, job.val, job.classes, emit)
    solver.save(solved, folder.head)
    return solved


def is_better(task_metric: str, tie_breaker: str, other: Candidate, tuned: Candidate) -> bool:
    """Return True if `other` must replace the fine-tuned network.

    It has the better score by the metric that selects epochs, however little: this is what the run promises, and if the
    difference is noise, the simpler network is no worse a choice. Equal scores are common with few images, so there the log
    loss has to be better by more than the standard error of its paired differences: if not, the fine-tuned network stays. So
    it is where the log loss itself selects epochs, since it is never equal.
    """
    mine, best = (rank(each.result.metrics, task_metric, tie_breaker) for each in (other, tuned))
    if mine[0] != best[0] and task_metric != f"val/{tie_breaker}":
        return mine[0] > best[0]
    if other.losses is None or tuned.losses is None:
        return mine > best
    gains = tuned.losses - other.losses
    return float(gains.mean()) > float(gains.std()) / math.sqrt(len(gains))


def fall_back(
    job: TrainJob,
    context: TrainContext,
    backbone: Backbone,
    split: ValSplit,
    writer: RunWriter,
    folder: RunFolder,
) -> None:
    """Replace the best checkpoint by the solved head or an interpolation if it is worse on validation.

    All ranks take part and take the same decision. The checkpoint is replaced as a whole and says so, so a run that was
    killed here repeats the comparison, or finds it done.
    """
    world = context.world
    emit = partial(report, context)
    score = SCORE_FORMAT.load(folder.best / BEST_SCORE) if world.is_main else None
    head = _pretrained(job, context.device, folder, score, emit) if score is not None else None
    (compared,) = sum_over_ranks(world, [float(head is not None)], context.device, "whether a solved head is better")
    if not compared:
        return
    ends = _Line(
        shared_state(context, load_file(folder.best / WEIGHTS) if world.is_main else None, backbone.module),
        shared_state(context, head, backbone.module),
    )
    measure = partial(_measured, context, backbone.module, split, ends)
    tuned, best = measure(1.0), measure(0.0)
    better = partial(is_better, job.experiment.train.metric, job.task.tie_breaker)
    if not better(best, tuned):
        emit(Message(f"kept the fine-tuned network: {_scores(job, tuned)}; its solved head: {_scores(job, best)}"))
        return
    for place, fraction in enumerate(FRACTIONS, start=1):
        emit(Work("interpolations with the solved head", place, len(FRACTIONS), "networks"))
        best = _best_of(job, best, measure(fraction))
    emit(Message(f"fell back to {best.name}: {_scores(job, best)}; fine-tuned: {_scores(job, tuned)}", "warning"))
    if world.is_main:
        backbone.module.load_state_dict(ends.at(best.fraction))
        world.status.wait_for_driver()
        assert score is not None, "the main rank has the best score"
        writer.best(backbone.module, _recorded(job, best, tuned, score.metrics), score.epoch - 1)


def _pretrained(
    job: TrainJob, device: torch.device, folder: RunFolder, score: BestScore, emit: OnEvent
) -> State | None:
    """Return the pretrained network, before any warm-up, with its solved head, in this rank's memory; None if it need not be
    compared.

    It need not if the comparison is done, the head has no closed form, or the fine-tuned network is better by the metric. What
    follows the comparison (`after_training`) says that it is done.
    """
    if FRACTION in score.metrics or ADAPTED in score.metrics:
        return None
    solver, metric = job.task.head_solver, job.experiment.train.metric
    assert solver is not None, "`may_fall_back`"
    emit(Message("comparing the fine-tuned network with a solved head"))
    if job.warmed:  # a warm-up that hurts is to be noticed too
        job, folder = replace(job, warmed=""), folder.warmup
    backbone = build_network(job, device)
    try:
        solved = solved_head(job, backbone, folder, emit)
    except ModelError as error:
        emit(Message(f"not compared with a solved head: {error}", "warning"))
        return None
    scores = solver.scores(solved)
    if metric != f"val/{job.task.tie_breaker}" and sign(metric) * (score.metrics[metric] - scores[metric]) > 0:
        emit(
            Message(
                f"kept the fine-tuned network: {score_text(metric, score.metrics)}; its solved head: {score_text(metric, scores)}"
            )
        )
        return None
    solver.install(backbone, solved, 0)
    return {name: tensor.detach().clone() for name, tensor in backbone.module.state_dict().items()}


@dataclass(frozen=True)
class _Line:
    """The networks between the fine-tuned one and the pretrained one with the solved head."""

    tuned: State
    start: State

    def at(self, fraction: float) -> State:
        """Return the weights and BatchNorm statistics with `fraction` of the fine-tuned network; counters are its own."""
        if fraction in (0, 1):
            return self.tuned if fraction else self.start
        return {
            name: torch.lerp(self.start[name], tensor, fraction) if tensor.is_floating_point() else tensor
            for name, tensor in self.tuned.items()
        }


def _measured(context: TrainContext, module: nn.Module, split: ValSplit, line: _Line, fraction: float) -> Candidate:
    """Return the network at `fraction` of the line with its validation, the same on every rank."""
    module.load_state_dict(line.at(fraction))
    rows = split_answers(context, module, split)
    result = calibrated(context, rows, split, fraction)
    if split.task.calibration is None:
        return Candidate(fraction, result)
    targets, logits = split.task.calibration(Truths(split.encoder), rows)
    return Candidate(fraction, result, decision_losses(targets, divided(logits, result.temperature or 1.0)))


def _best_of(job: TrainJob, best: Candidate, other: Candidate) -> Candidate:
    """Return the better one by the metric; on a tie, by the task's tie breaker."""
    names = job.experiment.train.metric, job.task.tie_breaker
    mine, own = (rank(each.result.metrics, *names) for each in (other, best))
    return other if mine > own else best


def _recorded(job: TrainJob, best: Candidate, tuned: Candidate, before: Mapping[str, float]) -> Validation:
    """Return the validation with the fraction of the fine-tuned network, its score, and `before` of its auxiliary heads."""
    metric = job.experiment.train.metric
    record = {
        FRACTION: best.fraction,
        f"fallback/fine_tuned_{metric.removeprefix('val/')}": tuned.result.metrics[metric],
    }
    heads = {key: value for key, value in before.items() if key.startswith(PREFIX)}
    return replace(best.result, metrics=best.result.metrics | record | heads)


def _scores(job: TrainJob, candidate: Candidate) -> str:
    names = dict.fromkeys((job.experiment.train.metric, f"val/{job.task.tie_breaker}"))
    return ", ".join(score_text(name, candidate.result.metrics) for name in names)
