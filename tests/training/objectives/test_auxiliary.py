"""Auxiliary heads and turned copies against their formulas, and what a job's experiment makes of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.config.override import override
from raytl.config.schema import Experiment, ModelConfig
from raytl.data.column_values import NO_VALUE
from raytl.data.loader import Batch
from raytl.data.sample import Sample
from raytl.errors import ModelError
from raytl.models.backbone import build
from raytl.models.probe import head_inputs, head_layer
from raytl.tasks.inference import Network
from raytl.tasks.registry import task_named
from raytl.training import checkpoint
from raytl.training.job import TrainJob
from raytl.training.objectives.auxiliary import Auxiliary, Head
from raytl.training.objectives.build import step_objective
from raytl.training.objectives.elr import EarlyLearning
from raytl.training.objectives.head_scores import HeadScores, HeadTruth
from raytl.training.objectives.job_heads import auxiliary_of
from raytl.training.objectives.joint import FeatureTap, Joint, Outputs
from raytl.training.objectives.objective import LABELLED
from raytl.training.objectives.prepared import Prepared
from raytl.training.objectives.rotation import TURNED, Turns, turned
from raytl.training.objectives.supervised import Supervised
from raytl.training.phase import open_phase
from raytl.training.stages import timeline
from raytl.world import World
from tests.training.conftest import toy
from tests.training.in_memory import CLASSES, Fitted, fit
from tests.training.objectives.test_terms import Step

CPU = torch.device("cpu")
WIDTH = 5
FEATURES = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0))
CAMERA = np.array([0, NO_VALUE, 2, 1, NO_VALUE, 1])
IDS = torch.tensor([4, 2, 0, 5])


def outputs(rows: slice = slice(None)) -> Outputs:
    features = FEATURES[IDS][rows]
    return Outputs({}, {LABELLED: features, TURNED: features.flip(1)}, {}, IDS[rows])


def term(learned: bool = False, camera: float = 0.5, rotation: float = 0.2) -> Auxiliary:
    heads = [
        Head("camera", 3, lambda ids, _: CAMERA[ids.numpy()], camera, fraction=4 / 6),
        Head("rotation", 4, Turns(6, seed=1).of, rotation, TURNED),
    ]
    result = Auxiliary(WIDTH, heads, learned, CPU)
    for number, layer in enumerate(result.state.heads):
        draw = torch.Generator().manual_seed(number)
        layer.weight.data = torch.randn(layer.weight.shape, generator=draw)  # type: ignore[union-attr, arg-type, operator]
    return result


@torch.no_grad()
def means(heads: Auxiliary, epoch: int = 0) -> tuple[float, float]:
    """The loss of each head: of images with a camera, divided by as many as such a batch has on average; and of all turns."""
    layers, rows = heads.state.heads, outputs()
    turns = torch.from_numpy(Turns(6, 1).of(IDS, epoch))
    camera, rotation = layers[0](rows.features[LABELLED][1:]), layers[1](rows.features[TURNED])
    mean = functional.cross_entropy(camera, torch.from_numpy(CAMERA[IDS[1:].numpy()]), reduction="sum")
    return float(mean) / (4 * 4 / 6), float(functional.cross_entropy(rotation, turns))


def test_the_loss_is_the_weighted_mean_of_images_with_a_value() -> None:
    ours = term()
    camera, rotation = means(ours)
    assert float(ours.loss(outputs(), Step(count=4)).detach()) == pytest.approx(0.5 * camera + 0.2 * rotation, rel=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_micro_batches_add_up(learned: bool) -> None:
    ours = term(learned)
    parts = sum(ours.loss(outputs(rows), Step(count=4)) for rows in (slice(0, 1), slice(1, 3), slice(3, 4)))
    torch.testing.assert_close(parts, ours.loss(outputs(), Step(count=4)))


def test_learned_weights_are_those_of_the_paper_and_learn() -> None:
    ours = term(learned=True, camera=1.0, rotation=0.2)
    variances = ours.state.log_variances
    assert variances is not None
    assert (-variances).exp().tolist() == pytest.approx([1.0, 1.0, 0.2])
    variances.data = torch.tensor([0.3, -0.2, 0.7])
    camera, rotation = means(ours)
    labels = ours.labels(lambda forward, inputs, targets, ids: forward(inputs).sum())
    summed = labels(lambda inputs: inputs * 3, torch.ones(2), None, IDS) + ours.loss(outputs(), Step(count=4))
    expected = math.exp(-0.3) * 6 + math.exp(0.2) * camera + math.exp(-0.7) * rotation + (0.3 - 0.2 + 0.7) / 2
    assert float(summed.detach()) == pytest.approx(expected, rel=1e-5)
    summed.backward()
    wanted = [0.5 - math.exp(-0.3) * 6, 0.5 - math.exp(0.2) * camera, 0.5 - math.exp(-0.7) * rotation]
    assert variances.grad is not None and variances.grad.tolist() == pytest.approx(wanted, rel=1e-5)


def test_an_image_without_a_value_moves_nothing() -> None:
    features = FEATURES[:1].clone().requires_grad_()
    ours = Auxiliary(WIDTH, term().heads[:1], learned=False, device=CPU)
    loss = ours.loss(Outputs({}, {LABELLED: features}, {}, torch.tensor([4])), Step(count=4))
    loss.backward()
    assert float(loss.detach()) == 0 and features.grad is not None and not features.grad.any()


def test_images_are_turned_by_their_turns() -> None:
    images = (
        torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).view(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    )
    before = images.clone()
    result = turned(images, np.array([0, 1, 2, 3]))
    for turn in range(4):
        assert torch.equal(result[turn], before[turn].rot90(turn, (1, 2)))
    assert torch.equal(images, before) and result.is_contiguous(memory_format=torch.channels_last)


def test_turns_follow_from_seed_epoch_and_id_alone() -> None:
    turns, ids = Turns(400, 3), torch.arange(400)
    whole = turns.of(ids, 2)
    assert np.array_equal(turns.of(ids[100:].flip(0), 2), whole[100:][::-1])
    assert np.bincount(whole).tolist() == pytest.approx([100] * 4, abs=30)
    assert (turns.of(ids, 1) != whole).mean() > 0.6 and (Turns(400, 4).of(ids, 2) != whole).mean() > 0.6
    batch = Batch(torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.tensor([7, 9]))
    assert turns.turned(batch, 2).ids is batch.ids


BASE = {"name": "a", "data": {"uri": "photos.csv"}, "model": {"name": "m"}, "train": {"batch_size": 4}}


def job(changes: dict[str, Any], cells: str = "aab-b-", synthetic: int = 0) -> TrainJob:
    rows = [
        Sample(f"{i}", f"{i}", CLASSES[i % 3], columns=(("camera", cell.replace("-", "")),))
        for i, cell in enumerate(cells)
    ]
    experiment = override(Experiment.model_validate(BASE), changes)
    return TrainJob(
        experiment,
        "runs",
        rows,
        rows[:3],
        CLASSES,
        sources={"data.synthetic": [Sample(f"m{i}", f"m{i}", "0") for i in range(synthetic)]},
    )


def objective(changes: dict[str, Any]) -> Any:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    return step_objective(job(changes), network, lambda *_: torch.zeros(()), CPU)


def test_an_experiment_without_a_method_has_the_labels_alone() -> None:
    assert isinstance(objective({"auxiliary.columns": ["camera"], "auxiliary.weight": 0}), Supervised)


def test_an_experiment_has_its_heads_and_averages() -> None:
    joint = objective({"auxiliary.columns": ["camera"], "train.loss": "elr", "train.elr_weight": 2.0})
    assert isinstance(joint, Joint) and isinstance(joint.terms["elr"], EarlyLearning)
    assert joint.state["elr"].probabilities.shape == (6, 3)
    assert [layer.weight.shape[0] for layer in joint.state["auxiliary"].heads] == [2]
    both = objective({"auxiliary.columns": ["camera"], "auxiliary.rotation": 0.1, "auxiliary.weight": "uncertainty"})
    assert isinstance(both, Prepared) and both.state["auxiliary"].log_variances.shape == (3,)


def test_early_learning_alone_needs_no_linear_head() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    network.module.head = nn.Identity()
    headless = replace(network, head=())
    early = step_objective(job({"train.loss": "elr"}), headless, lambda *_: torch.zeros(()), CPU)
    assert isinstance(early, Joint) and early.tap is None
    with pytest.raises(ModelError, match="has no linear layer"):
        step_objective(job({"auxiliary.rotation": 0.1}), headless, lambda *_: torch.zeros(()), CPU)


def test_made_images_have_no_value_and_count_in_the_batch() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    changes = {"auxiliary.columns": ["camera"], "data.synthetic.uri": "made", "data.synthetic.share": 0.5}
    term = auxiliary_of(job(changes, synthetic=5), network, CPU)
    assert term is not None
    (head,) = term.heads
    assert head.targets(torch.tensor([0, 2, 3, 6, 10]), 0).tolist() == [0, 1, NO_VALUE, NO_VALUE, NO_VALUE]
    assert head.fraction == 4 / 12, "three steps of two real and two made images"


def test_the_divisor_is_of_the_images_that_the_sampler_draws() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    labels = [0] * 6 + [1, 1]
    rows = [Sample(f"{i}", f"{i}", CLASSES[k], columns=(("camera", "ab"[i % 2] * k),)) for i, k in enumerate(labels)]

    def fraction(sampler: str) -> float:
        experiment = override(
            Experiment.model_validate(BASE), {"auxiliary.columns": ["camera"], "train.sampler": sampler}
        )
        term = auxiliary_of(TrainJob(experiment, "runs", rows, rows, CLASSES[:2]), network, CPU)
        assert term is not None
        return term.heads[0].fraction

    assert fraction("shuffle") == 2 / 8
    assert fraction("balanced") == pytest.approx(1 / 2), "half of the draws are of the class that has a camera"


def test_biases_and_variances_of_heads_do_not_decay() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    changes = {"auxiliary.columns": ["camera"], "auxiliary.weight": "uncertainty", "optim.weight_decay": 0.1}
    whole = job(changes)
    term, stages = auxiliary_of(whole, network, CPU), timeline(whole.experiment.transfer, 0, 1)
    assert term is not None
    phase = open_phase(network, stages[-1], stages, whole.experiment, World.solo(), CPU, None, term.state)
    groups = [group for group in phase.optimizer.param_groups if group["group"] == "objective"]
    assert {name: group["weight_decay"] for group in groups for name in group["names"]} == {
        "objective.heads.0.weight": 0.1, "objective.heads.0.bias": 0, "objective.log_variances": 0,
    }  # fmt: skip


def test_a_column_of_which_a_fold_has_one_value_is_left_out() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    assert auxiliary_of(job({"auxiliary.columns": ["camera"]}, "aaa-"), network, CPU) is None


def trained(folder: Path, changes: dict[str, Any], resume: checkpoint.Checkpoint | None = None) -> Fitted:
    """A run of squares whose camera follows from the row of their class, with heads, turned copies and early learning."""
    experiment = toy(Path("photos.csv"), folder, {**changes, **METHODS})
    cells = [Sample(f"{i}", f"{i}", CLASSES[i % 3], columns=(("camera", "ab"[i % 3 // 2]),)) for i in range(24)]
    whole = TrainJob(experiment, "runs", cells, cells, CLASSES)
    return fit(experiment, folder, resume, step=lambda backbone, labels: step_objective(whole, backbone, labels, CPU))


METHODS = {
    "train.loss": "elr",
    "auxiliary.columns": ["camera"],
    "auxiliary.rotation": 0.1,
    "auxiliary.weight": "uncertainty",
}


def test_a_resumed_run_ends_with_the_same_bits_and_reports_its_heads(tmp_path: Path) -> None:
    changes = {"train.epochs": 2, "optim.ema": 0.9, "train.checkpoint_every_s": 1e-9}
    whole = trained(tmp_path / "whole", changes)
    resumed = trained(tmp_path / "resumed", changes, checkpoint.load(whole.checkpoints[3]))
    assert resumed.records == whole.records[1:]
    one, other = (checkpoint.load(each.checkpoints[-1]) for each in (whole, resumed))
    assert one is not None and other is not None
    states: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = [
        (one.model, other.model),
        (one.objective, other.objective),
    ]
    for state, same in states:
        assert state.keys() == same.keys() != set()
        assert all(torch.equal(tensor, same[name]) for name, tensor in state.items())
    assert not any("heads" in name for name in one.model), "the saved network has no auxiliary head"
    assert one.objective["elr.probabilities"].sum(1).min() > 0, "every image was seen"
    last = whole.records[-1]
    assert last["auxiliary/camera/usual_accuracy"] == pytest.approx(16 / 24)
    assert last["auxiliary/rotation/usual_accuracy"] == 1 / 4
    assert last["auxiliary/camera/images"] == last["auxiliary/rotation/images"] == 24
    assert 0 <= last["auxiliary/camera/accuracy"] <= 1 and 0 <= last["auxiliary/rotation/accuracy"] <= 1


def test_answers_on_validation_are_those_of_the_features_and_of_turned_copies() -> None:
    network = build(ModelConfig(name="test_vit", weights="none", preprocess={"image_px": 64}), 3)  # type: ignore[arg-type]
    tap, turns = FeatureTap(network), Turns(4, seed=0)
    heads = Auxiliary(head_layer(network).weight.shape[1], term().heads, learned=False, device=CPU)
    for layer in heads.state.heads:
        layer.weight.data.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr, operator]
    truths = [HeadTruth(np.array([0, 2, NO_VALUE, 2]), 2), HeadTruth(turns.of(torch.arange(4), 0), None)]
    scores = HeadScores(heads, truths, tap, turns)
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.arange(4))
    answering = Network(task_named("classification"), network.module.eval(), network.preprocess, CPU, torch.float32)
    answering.answers(images, [(64, 64)] * 4)
    answers = scores.answers(answering, batch)
    both = [head_inputs(network, [each], CPU, torch.float32) for each in (batch, turns.turned(batch, 0))]
    for place, features in enumerate(both):
        expected = heads.state.heads[place](features).argmax(1)
        assert answers[:, place].tolist() == expected.tolist()
    wanted = {"accuracy": float((answers[[0, 1, 3], 0] == [0, 2, 2]).mean()), "usual_accuracy": 2 / 3, "images": 3.0}
    result = scores.scores(answers)
    assert {name: result[f"auxiliary/camera/{name}"] for name in wanted} == wanted
    assert result["auxiliary/rotation/usual_accuracy"] == 1 / 4, "turns are drawn equally often"
    nobody = HeadScores(heads, [HeadTruth(np.full(4, NO_VALUE), 0), truths[1]], tap, turns)
    assert {key.split("/")[1] for key in nobody.scores(answers)} == {"rotation"}, "no validation image has a value"
