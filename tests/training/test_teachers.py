"""Teachers: what they see, and what they answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.events import ignore
from raytl.models.backbone import build
from raytl.models.card import Card
from raytl.models.forward import to_input
from raytl.models.saved_model import load_model, save_model
from raytl.tasks.soft_targets import SoftTargetObjective
from raytl.training.job import TrainJob
from raytl.training.objectives.supervised import Supervised
from raytl.training.teachers import load_teachers, renormalized
from raytl.training.worker import load_run, prepare
from raytl.world import World
from tests.conftest import write_photos
from tests.training.conftest import toy
from tests.training.test_worker import job

CPU = torch.device("cpu")
STUDENT = Preprocess(32, 32, "center", "bilinear", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
IMAGES = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def saved_teacher(
    folder: Path, classes: tuple[str, ...], seed: int = 0, temperature: float = 1.0, px: int = 32
) -> Path:
    """Save a small network with random weights."""
    torch.manual_seed(seed)
    config = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=px))
    backbone = build(config, len(classes))
    torch.nn.init.normal_(backbone.module.get_classifier().weight)  # type: ignore[operator]
    card = Card(config.name, classes, backbone.preprocess, backbone.weights_digest, temperature=temperature)
    save_model(folder, backbone.module, card)
    return folder


def own_answer(folder: Path) -> torch.Tensor:
    """Return the probabilities of a saved model for `IMAGES`."""
    module, card = load_model(folder)
    with torch.no_grad():
        logits = module(to_input(IMAGES, card.preprocess, CPU, channels_last=False))
    return (logits / (card.temperature or 1.0)).softmax(1)


def test_inputs_are_normalized_as_the_teacher_expects_and_resized() -> None:
    other = replace(STUDENT, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    inputs = to_input(IMAGES, STUDENT, CPU, channels_last=False)
    assert torch.allclose(renormalized(inputs, STUDENT, other), to_input(IMAGES, other, CPU, False), atol=1e-5)
    assert renormalized(inputs, STUDENT, STUDENT) is inputs
    assert renormalized(inputs, STUDENT, replace(other, image_px=64)).shape == (4, 3, 64, 64)


def test_a_teacher_answers_as_its_saved_model_in_the_order_of_the_student(tmp_path: Path) -> None:
    folder = saved_teacher(tmp_path, ("a", "b", "c"), temperature=2.0)
    teachers = load_teachers([str(folder)], ("c", "a"), STUDENT, CPU)
    with torch.no_grad():
        answers = teachers(to_input(IMAGES, STUDENT, CPU, channels_last=False)).exp()
    assert torch.allclose(answers, own_answer(folder)[:, [2, 0]], atol=1e-4)


def test_several_teachers_answer_with_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    folders = [saved_teacher(tmp_path / str(i), ("a", "b"), seed=i) for i in range(2)]
    teachers = load_teachers([str(each) for each in folders], ("a", "b"), STUDENT, CPU)
    with torch.no_grad():
        answers = teachers(to_input(IMAGES, STUDENT, CPU, channels_last=False)).exp()
    assert torch.allclose(answers, torch.stack([own_answer(each) for each in folders]).mean(0), atol=1e-4)


def test_a_teacher_without_a_class_of_the_student_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not know d; expected a model with the classes a, d. Name another with --teacher"
    ):
        load_teachers([str(saved_teacher(tmp_path, ("a", "b")))], ("a", "d"), STUDENT, CPU)


def test_a_job_with_a_teacher_learns_its_answers(tmp_path: Path) -> None:
    experiment = toy(write_photos(tmp_path / "photos", 4), tmp_path, {})
    plain = job(experiment, tmp_path / "student")
    folder = saved_teacher(tmp_path / "teacher", plain.classes)
    distilled: TrainJob = replace(plain, teachers=(str(folder),))
    loaded = load_run(World.solo(), distilled, ignore)
    prepared = prepare(loaded, tensorboard=False)
    try:
        assert isinstance(prepared.context.objective, Supervised)
        assert isinstance(prepared.context.objective.labels, SoftTargetObjective)
        assert prepared.fit().best.metrics
    finally:
        prepared.close()
