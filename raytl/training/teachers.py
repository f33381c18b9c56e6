"""The teachers of a distillation in memory: the mean of their probabilities for the views that the student sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.constants import constant
from raytl.models.temperature import temperature_of
from raytl.tasks.saved import load_saved

_LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class _Teacher:
    """A network, its preprocessing, and for each class of the student the place of it among its own outputs."""

    module: nn.Module
    preprocess: Preprocess
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Teachers:
    """Networks that answer for normalized inputs of a student with the preprocessing `student`."""

    members: tuple[_Teacher, ...]
    student: Preprocess

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the logarithms of the mean probabilities `(b, classes) float32`; call it without gradients."""
        probabilities = [self._answered(member, inputs) for member in self.members]
        return torch.stack(probabilities).mean(0).clamp_min(_LEAST).log()

    def _answered(self, member: _Teacher, inputs: Tensor) -> Tensor:
        views = renormalized(inputs, self.student, member.preprocess)
        logits: Tensor = member.module(views)
        return (logits.float() / temperature_of(member.module)).softmax(dim=1)[:, list(member.places)]


def load_teachers(
    folders: Sequence[str], classes: Sequence[str], student: Preprocess, device: torch.device
) -> Teachers:
    """Return the saved models in `folders` as the teachers of a network with these classes.

    Raises:
        ModelError: there is no saved model, or a class of the student is not one of the teacher's.
    """
    members = []
    for folder in folders:
        saved = load_saved(folder)
        _refuse_channels(folder, saved.card.preprocess, student)
        if missing := [name for name in classes if name not in saved.card.classes]:
            raise ModelError(
                f"{folder}: the teacher does not know {', '.join(missing)}; expected a model with the classes "
                f"{', '.join(classes)}. Name another with --teacher"
            )
        places = tuple(saved.card.classes.index(name) for name in classes)
        members.append(_Teacher(saved.module.to(device).requires_grad_(False), saved.card.preprocess, places))
    return Teachers(tuple(members), student)


def _refuse_channels(folder: str, teacher: Preprocess, student: Preprocess) -> None:
    if teacher.channels != student.channels:
        raise ModelError(
            f"{folder}: the teacher reads images of {teacher.channels} channels; expected {student.channels}, as the student does. "
            "Name another with --teacher"
        )


def renormalized(inputs: Tensor, before: Preprocess, after: Preprocess) -> Tensor:
    """Return inputs that are normalized for one network as another one expects them, in its size."""
    views = inputs
    if (before.mean, before.std) != (after.mean, after.std):

        def shaped(values: Sequence[float]) -> Tensor:
            return constant(tuple(values), inputs.device).view(-1, 1, 1)

        scale = shaped(before.std) / shaped(after.std)
        views = inputs * scale + (shaped(before.mean) - shaped(after.mean)) / shaped(after.std)
    side = after.image_px
    if after.frame is None and tuple(views.shape[-2:]) != (side, side):
        views = functional.interpolate(views, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return views
