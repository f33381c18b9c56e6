"""A finished run to compress: its saved model, its recipe, and its images as they are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raytl.bundle.client import Pixels
from raytl.config.machine import Machine
from raytl.config.schema import Recipe
from raytl.config.stored import stored_experiment
from raytl.data.bad_image import BadImage
from raytl.data.decode import decode
from raytl.data.manifest import Sample, dataset_digest
from raytl.errors import DataError
from raytl.evaluation.evaluate import check_run, verified_card
from raytl.evaluation.record import recorded, verified
from raytl.evaluation.settings import in_force, tell_ignored
from raytl.events import OnEvent
from raytl.exporting.calibration_images import drawn
from raytl.models.card import Card
from raytl.run.run_store import RunStore
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named
from raytl.tasks.saved import Saved, load_saved


@dataclass(frozen=True)
class TrainedRun:
    """A run in `run_store`, with the settings of this machine."""

    run_store: RunStore
    recipe: Recipe
    card: Card
    machine: Machine

    @property
    def s3(self) -> S3Settings:
        """Return the settings for buckets of this machine."""
        return S3Settings.of(self.machine.storage)

    @cached_property
    def saved(self) -> Saved:
        """Return the saved model of the best checkpoint, in memory."""
        return load_saved(self.run_store.folder.best)

    @cached_property
    def snapshot(self) -> str:
        """Return the digest of the images of training and validation."""
        return dataset_digest([*self.recorded("train"), *self.recorded("val")])

    def recorded(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of a split.

        Raises:
            RunError: the run has none.
        """
        return recorded(self.run_store.folder, split)

    def present(self, split: str, on_event: OnEvent) -> tuple[Sample, ...]:
        """Return the samples of a split with the paths of their unchanged files.

        Raises:
            DataError: files changed or are missing.
        """
        return self._verified(self.recorded(split), on_event)

    def calibration_samples(self, on_event: OnEvent) -> tuple[Sample, ...]:
        """Return the training samples that calibrate int8, drawn so that all classes are alike.

        Raises:
            DataError: files changed or are missing.
        """
        train = self.recorded("train")
        weights = task_named(self.card.task).sampling_weights(train, self.card.classes)
        return self._verified(drawn(train, weights), on_event)

    def decode(self, path: str) -> Pixels:
        """Return the upright pixels of a photo.

        Raises:
            BadImage: it cannot be read.
        """
        return np.asarray(decode(path, self.machine.max_pixels, self.card.preprocess.bit_depth, self.s3))

    def pixels(self, path: str) -> Pixels:
        """Return the upright pixels of a photo of the run, which was readable where it was trained.

        Raises:
            DataError: it cannot be read here.
        """
        try:
            return self.decode(path)
        except BadImage as bad:
            raise DataError(
                f"{path!r}: {bad.reason}. The run was trained with this image; expected a machine that can read it too"
            ) from bad

    def _verified(self, samples: tuple[Sample, ...], on_event: OnEvent) -> tuple[Sample, ...]:
        data = self.recipe.data
        return tuple(verified(samples, data.uri, on_event, data.zip_encoding, self.s3, data.feedback))


def open_run(run: str, machine: Machine | None, on_event: OnEvent) -> TrainedRun:
    """Return the run at `run`: a folder, an `s3://` URI, or a version.

    Raises:
        RunError: no such run, not finished, or changed files.
        ConfigError: its experiment cannot be read, or a setting of `machine` cannot take effect.
    """
    settings = in_force(machine)
    run_store = RunStore.open(run, S3Settings.of(settings.storage))
    check_run(run_store.folder, "test", on_event)
    stored = stored_experiment(run_store.folder.experiment)
    tell_ignored(stored, settings, 1, on_event)
    return TrainedRun(run_store, stored.recipe, verified_card(run_store.folder, on_event), settings)
