"""The model of a finished run, or a student of it, as the source of candidates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from raytl.bundle.card import read_bundle
from raytl.events import Message, OnEvent
from raytl.export.base import write_base
from raytl.export.calibration_images import CalibrationImages, calibration_images
from raytl.export.compress.judge import Judge
from raytl.export.compress.outcome import Verdict
from raytl.export.trained_run import TrainedRun
from raytl.run.plain import encode
from raytl.tasks.saved import Saved, load_saved


@dataclass(frozen=True, eq=False)
class RunSource:
    """The saved model of `run`, or that in the folder `student`, which was trained on its answers; see `search.Source`."""

    run: TrainedRun
    max_drop: float
    on_event: OnEvent
    student: Path | None = None

    @property
    def name(self) -> str:
        """Return the name of the run."""
        return self.run.run_store.name

    @cached_property
    def key(self) -> str:
        """Return a digest of the weights and of the images that judge and calibrate."""
        return hashlib.sha256(encode([self.saved.card.digest, self.run.card.digest, self.run.snapshot])).hexdigest()

    @cached_property
    def saved(self) -> Saved:
        """Return the model that is exported."""
        return self.run.saved if self.student is None else load_saved(self.student)

    def write_base(self, out: Path) -> None:
        """Write the fp32 ONNX bundle into the folder `out`."""
        write_base(self.run, self.saved, out)

    def judge(self, bundle: Path) -> Verdict:
        """Return the judgement of a bundle on the validation images of the run, beside the run's own model."""
        is_same = self.student is None and read_bundle(bundle).precision == "fp32"
        return self.judge_of_run.verdict(bundle, self.max_drop, is_same)

    def calibration(self) -> CalibrationImages:
        """Return the images that int8 takes its ranges from."""
        return self._calibration

    @cached_property
    def judge_of_run(self) -> Judge:
        """Return the judge, which has the answers of the run's model."""
        return Judge.of(self.run, self.on_event)

    @cached_property
    def _calibration(self) -> CalibrationImages:
        samples = self.run.calibration_samples(self.on_event)
        view = {"frame": None} | self.saved.card.preprocess.to_json()
        images = calibration_images(samples, self.run.decode, view)
        self.on_event(Message(f"calibration: {len(images.samples)} training images ({images.digest[:12]})"))
        return images
