"""The model of a finished run, or a student of it, as the source of candidates."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from raytl.bundle.card import read_bundle
from raytl.events import Message, OnEvent
from raytl.exporting.base import graph_limits, write_base
from raytl.exporting.calibration_images import CalibrationImages, calibration_images
from raytl.exporting.compress.outcome import Verdict
from raytl.exporting.compress.variant import with_files
from raytl.exporting.gate import Gate
from raytl.exporting.temperature import scale_temperature
from raytl.exporting.trained_run import TrainedRun
from raytl.run.atomic import write_json
from raytl.run.plain import encode
from raytl.tasks.saved import Saved, load_saved

PARITY = "parity.json"
_SETTLED = 0.01
"""A change of the temperature that is left out."""


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
        """Return a digest of the weights, of the temperatures, which are beside them, and of the images that judge and calibrate."""
        models = [[card.digest, card.temperature] for card in (self.saved.card, self.run.card)]
        return hashlib.sha256(encode([*models, self.run.snapshot])).hexdigest()

    @cached_property
    def saved(self) -> Saved:
        """Return the model that is exported."""
        return self.run.saved if self.student is None else load_saved(self.student)

    def write_base(self, out: Path) -> None:
        """Write the fp32 ONNX bundle into the folder `out`."""
        write_base(self.run, self.saved, out)

    def judge(self, bundle: Path) -> Verdict:
        """Return the judgement of a bundle by the parity gate, on the validation images of the run, beside the run's own model.

        The temperature of int8 is fitted again first, and the comparison is written into the bundle. A student is judged as
        int8 is: it is another network, whose loss must be excluded.
        """
        card = read_bundle(bundle)
        factor = self._fitted_temperature(bundle) if card.precision == "int8" else 1.0
        precision = card.precision if self.student is None else "int8"
        parity, _ = self._gate.parity(bundle, precision, self.max_drop, factor)
        write_json(bundle / PARITY, parity.to_json())
        with_files(bundle)
        return Verdict(
            metric=parity.metric,
            score=parity.score,
            reference=parity.reference,
            least=parity.least,
            agreement=parity.agreement,
            images=parity.images,
            reason="; ".join(parity.failures),
        )

    def calibration(self) -> CalibrationImages:
        """Return the images that int8 takes its ranges from."""
        return self._calibration

    def _fitted_temperature(self, bundle: Path) -> float:
        """Fit the temperature of a bundle again; return the factor by which it changed."""
        factor = self._gate.temperature_factor(bundle)
        if abs(math.log(factor)) < _SETTLED:
            return 1.0
        scale_temperature(bundle / read_bundle(bundle).graph, factor)
        with_files(bundle)
        return factor

    @cached_property
    def _gate(self) -> Gate:
        return Gate.of(self.run, graph_limits(self.run), self.on_event)

    @cached_property
    def _calibration(self) -> CalibrationImages:
        samples = self.run.calibration_samples(self.on_event)
        view = {"frame": None} | self.saved.card.preprocess.to_json()
        images = calibration_images(samples, self.run.decode, view)
        self.on_event(Message(f"calibration: {len(images.samples)} training images ({images.digest[:12]})"))
        return images
