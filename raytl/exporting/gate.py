"""The parity gate: the saved model and a bundle answer the same validation images, each from the file on.

The saved model computes in fp32, whatever it was trained in. A bundle is asked as its users ask it: its client decodes the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from raytl.bundle.card import Precision
from raytl.bundle.client import Model, Pixels, decoded
from raytl.bundle.opening import open_bundle
from raytl.data.encoder import FileAccess
from raytl.data.group_split import sampling_groups
from raytl.data.image_properties import of_batch
from raytl.data.manifest import Sample
from raytl.data.transforms import eval_view, prepare
from raytl.evaluation.corrupted import corruptions_for
from raytl.evaluation.limits import limits as reported_limits
from raytl.evaluation.robustness import SUITE, chosen_photos
from raytl.events import OnEvent, Work
from raytl.exporting.agreement import agreement_of
from raytl.exporting.graph import exporting_for
from raytl.exporting.parity import Calibration, Corrupted, Parity, calibration_of, parity_of
from raytl.exporting.trained_run import TrainedRun
from raytl.metrics.calibration import fit_temperature
from raytl.tasks.inference import Network, Truths
from raytl.tasks.objects import Limits
from raytl.tasks.reporting import Evaluated, TaskComparison
from raytl.uris import in_bucket

CORRUPTED_PHOTOS = 16
_SEVERITY = 2
_BATCH = 16
_CONFIDENCE = 0.95
Answers = list[Any]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Seen:
    """The answers of one of the models: the task's own, the features of the images `(n, d)` if its graph has them, and the
    number of files that the bundle's decoder refused, which were decoded for it."""

    answers: Answers
    features: NDArray[np.float32] | None = None
    unread: int = 0


@dataclass(frozen=True, eq=False)
class Gate:
    """The validation `samples` of `run`, and the answers of its model to them. `limits` are those of objects."""

    run: TrainedRun
    samples: tuple[Sample, ...]
    limits: Limits
    on_event: OnEvent = field(repr=False)

    @classmethod
    def of(cls, run: TrainedRun, limits: Limits, on_event: OnEvent) -> Gate:
        """Return the gate of a run.

        Raises:
            RunError: the run has no validation images.
            DataError: images changed or are missing.
        """
        return cls(run, run.present("val", on_event), limits, on_event)

    def parity(self, bundle: Path, precision: Precision, max_drop: float, factor: float = 1.0) -> tuple[Parity, Seen]:
        """Return the judgement of the bundle in the folder `bundle`, and its answers."""
        model = open_bundle(bundle, is_own=True).model
        seen = self._bundle_answers(model, f"{model.card['runtime']} {precision}")
        compared = self.compared(seen.answers)
        assert compared.paired is not None, "both models were compared"
        parity = parity_of(
            precision,
            agreement_of(self.kind, self.reference.answers, seen.answers, self._reported_score),
            compared.paired,
            compared.slices,
            self._calibrations(seen.answers),
            self._corrupted(model),
            max_drop,
            factor=factor,
            unread=seen.unread,
        )
        return parity, seen

    @property
    def kind(self) -> str:
        """Return the kind of the answers."""
        return exporting_for(self.run.saved).kind

    @cached_property
    def reference(self) -> Seen:
        """Return the answers of the saved model to the validation images."""
        answers: Answers = []
        for start in range(0, len(self.samples), _BATCH):
            photos = [self.run.decode(each.path) for each in self.samples[start : start + _BATCH]]
            answers += self._saved_answers(photos)
            self.on_event(Work("answers of the saved model", len(answers), len(self.samples)))
        return Seen(answers)

    def compared(self, answers: Answers) -> TaskComparison:
        """Return the comparison of the saved model with `answers`, by accuracy or the first metric of the task."""
        task = self.run.saved.task
        metrics = task.reporting.gate_metrics
        metric = "accuracy" if "accuracy" in metrics else metrics[0]
        old, new = self._evaluated(self.reference.answers), self._evaluated(answers)
        return task.reporting.compare(old, new, [False] * len(self.samples), metric, _CONFIDENCE)

    def temperature_factor(self, bundle: Path) -> float:
        """Return the factor by which the temperature of a bundle is multiplied, so that its answers are calibrated; 1 if they
        are no probabilities of classes."""
        decisions = self.run.saved.task.calibration
        if decisions is None or self.run.card.temperature is None:
            return 1.0
        seen = self._bundle_answers(open_bundle(bundle, is_own=True).model, "calibration")
        return fit_temperature(*decisions(self._truths, self._evaluated(seen.answers).rows))

    def properties(self) -> NDArray[np.float32]:
        """Return the properties of the views of the validation images, `(n, 5)`."""
        return np.concatenate([of_batch(self._view(self.run.decode(each.path))[None])[1] for each in self.samples])

    @property
    def _reported_score(self) -> float:
        return reported_limits(self.run.recipe.predict, self.run.card).score

    @cached_property
    def _truths(self) -> Truths:
        run = self.run
        files = FileAccess(run.machine.max_pixels, run.s3)
        return Truths(run.saved.task.encoder(self.samples, run.card.classes, run.card.preprocess, files))

    @cached_property
    def _network(self) -> Network:
        saved = self.run.saved
        device = torch.device("cpu")
        return Network(saved.task, saved.module, saved.card.preprocess, device, torch.float32, self.limits)

    def _saved_answers(self, photos: Sequence[Pixels]) -> Answers:
        sizes = [(each.shape[1], each.shape[0]) for each in photos]
        return self._network.answers(torch.stack([self._view(each) for each in photos]), sizes)

    def _view(self, photo: Pixels) -> torch.Tensor:
        preprocess = self.run.card.preprocess
        return eval_view(prepare(Image.fromarray(photo), preprocess), preprocess)

    def _bundle_answers(self, model: Model, name: str) -> Seen:
        outputs: list[Mapping[str, NDArray[Any]]] = []
        sizes: list[Size] = []
        unread = 0
        for start in range(0, len(self.samples), _BATCH):
            photos = [self._decoded(model, each.path) for each in self.samples[start : start + _BATCH]]
            outputs += model.outputs([pixels for pixels, _ in photos])
            sizes += [(pixels.shape[1], pixels.shape[0]) for pixels, _ in photos]
            unread += sum(not is_own for _, is_own in photos)
            self.on_event(Work(f"answers of {name}", len(outputs), len(self.samples)))
        features = [each["features"][0] for each in outputs] if outputs and "features" in outputs[0] else None
        answers = exporting_for(self.run.saved).answers(outputs, sizes, self.run.saved)
        return Seen(answers, None if features is None else np.asarray(features, np.float32), unread)

    def _decoded(self, model: Model, path: str) -> tuple[Pixels, bool]:
        """Return the pixels of a photo, and whether the client of the bundle decoded them."""
        if not in_bucket(path):
            try:
                return decoded(path, model.card["view"]), True
            except ValueError:  # of the few files that raytl reads and the client refuses
                pass
        return self.run.decode(path), in_bucket(path)

    def _evaluated(self, answers: Answers) -> Evaluated:
        card, task = self.run.card, self.run.saved.task
        rows = task.evidence(answers, list(self._truths))
        groups = sampling_groups(self.samples, self.run.recipe.data.columns)
        return Evaluated(self.samples, self._truths, rows, card.classes, len(card.classes), card.temperature, groups)

    def _calibrations(self, answers: Answers) -> tuple[Calibration, Calibration] | None:
        decisions = self.run.saved.task.calibration
        if decisions is None:
            return None
        pairs = [decisions(self._truths, self._evaluated(each).rows) for each in (self.reference.answers, answers)]
        if not len(pairs[0][0]):
            return None
        return calibration_of(*pairs[0]), calibration_of(*pairs[1])

    @cached_property
    def _corrupted_photos(self) -> tuple[tuple[Sample, ...], list[Pixels]]:
        """Return a few samples in turn under each corruption of the suite, and their photos."""
        preprocess, changes = self.run.card.preprocess, corruptions_for(self.run.saved.task, SUITE)
        chosen = chosen_photos(self.samples, CORRUPTED_PHOTOS)
        prepared = [prepare(Image.fromarray(self.run.decode(each.path)), preprocess) for each in chosen]
        several = [
            (sample, change(pixels, _SEVERITY, sample.key))
            for change in changes
            for sample, pixels in zip(chosen, prepared, strict=True)
        ]
        return tuple(sample for sample, _ in several), [np.ascontiguousarray(pixels) for _, pixels in several]

    @cached_property
    def _corrupted_reference(self) -> Answers:
        photos = self._corrupted_photos[1]
        return _in_parts(photos, self._saved_answers, self.on_event, "corrupted photos, saved model")

    def _corrupted(self, model: Model) -> Corrupted:
        samples, photos = self._corrupted_photos
        exporting, saved = exporting_for(self.run.saved), self.run.saved

        def answers(part: Sequence[Pixels]) -> Answers:
            sizes = [(each.shape[1], each.shape[0]) for each in part]
            return exporting.answers(model.outputs(part), sizes, saved)

        old, new = self._corrupted_reference, _in_parts(photos, answers, self.on_event, "corrupted photos")
        agreement = agreement_of(self.kind, old, new, self._reported_score)
        if self.kind != "classes":
            return Corrupted(agreement)
        place = {name: i for i, name in enumerate(self.run.card.classes)}
        truth = np.array([place.get(str(sample.target), -1) for sample in samples])
        correct = [np.stack(each).argmax(axis=1) == truth for each in (old, new)]
        return Corrupted(agreement, int((correct[0] & ~correct[1]).sum()), int((~correct[0] & correct[1]).sum()))


def _in_parts(
    photos: Sequence[Pixels], answers: Callable[[Sequence[Pixels]], Answers], on_event: OnEvent, title: str
) -> Answers:
    result: Answers = []
    for start in range(0, len(photos), _BATCH):
        result += answers(photos[start : start + _BATCH])
        on_event(Work(title, len(result), len(photos)))
    return result
