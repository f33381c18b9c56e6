"""Section: are the probabilities right? The calibration error beside that of a perfectly calibrated model, before and after the
temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.plots import reliability_chart
from raytl.assessment.section import Evidence, Figure, Options, SectionResult, SplitEvidence, Table
from raytl.metrics.calibration import decision_losses
from raytl.metrics.intervals import Interval
from raytl.metrics.miscalibration import (
    CalibrationError,
    brier_score,
    calibration_errors,
    cross_fitted_gain,
    temperature_interval,
)

_STATES = {("val", "calibrated"): "calibrated on these images"}
_CAPTION = (
    "How often the class that the model chose is right, by its confidence, on the test split. Gray: 95 % of {models} lie inside. "
    "Dotted: as right as confident."
)
_PERFECT = "perfectly calibrated models with the same confidences"
_OF_GROUPS = "calibrated models that err by groups as this one does"


class CalibrationSection:
    """See `raytl.assessment.section.Section`."""

    name = "calibration"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the scores of the probabilities, and whether the errors are more than noise."""
        temperature = evidence.temperature or 1.0
        raw = evidence.val.logits.astype(np.float64) * temperature
        val, test = evidence.val, evidence.test
        fitted = temperature_interval(val.targets, raw, val.sampling_groups)
        gain, error = cross_fitted_gain(
            val.targets, raw, evidence.expected_temperature, options.seed, val.sampling_groups
        )
        splits = {"val": evidence.val, "test": evidence.test}
        scores = {name: _scores(split, temperature, options.seed) for name, split in splits.items()}
        calibrated: dict[str, Any] = scores["test"]["calibrated" if evidence.temperature else "as_answered"]
        return SectionResult(
            title="Calibration: are the probabilities right?",
            sentences=(
                _verdict(calibrated["ece"], test),
                _gain_text(evidence.temperature, fitted, gain, error, len(evidence.val)),
                *_change(scores["test"]),
            ),
            tables=(_table(scores),),
            figures=(
                Figure(
                    "reliability-band",
                    "Reliability",
                    _CAPTION.format(models=_PERFECT if test.sampling_groups is None else _OF_GROUPS),
                    reliability_chart(test.targets, test.logits, options.seed, test.sampling_groups),
                ),
            ),
            json={
                "temperature": evidence.temperature,
                "temperature_on_validation": asdict(fitted),
                "cross_fitted_gain": {"nats": gain, "standard_error": error},
                "splits": {name: _plain(each) for name, each in scores.items()},
            },
            warnings=_warnings(evidence, gain),
        )


SECTION = CalibrationSection()


def _scores(split: SplitEvidence, temperature: float, seed: int) -> dict[str, dict[str, Any]]:
    """Return the scores of the answers, and if there is a temperature, of the answers without it."""
    if temperature == 1.0:
        return {"as_answered": _measured(split, split.logits, seed)}
    return {
        "uncalibrated": _measured(split, split.logits.astype(np.float64) * temperature, seed),
        "calibrated": _measured(split, split.logits, seed),
    }


def _measured(split: SplitEvidence, logits: NDArray[Any], seed: int) -> dict[str, Any]:
    return {
        "log_loss": float(decision_losses(split.targets, logits).mean()),
        "brier": brier_score(split.targets, logits),
        **calibration_errors(split.targets, logits, seed, split.sampling_groups),
    }


def _plain(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        state: {name: asdict(each) if isinstance(each, CalibrationError) else each for name, each in values.items()}
        for state, values in scores.items()
    }


def _verdict(error: CalibrationError, test: SplitEvidence) -> str:
    models, images = "a perfectly calibrated model shows", f"{len(test):,} images"
    if test.sampling_groups is not None:
        models, images = f"{_OF_GROUPS} show", f"{images} of {len(np.unique(test.sampling_groups)):,} groups"
    band = (
        f"calibration error {100 * error.value:.1f} %, where {models} {100 * error.mean:.1f} % on {images}, and up to "
        f"{100 * error.high:.1f} % by chance"
    )
    if error.is_evidence:
        return f"The probabilities are not calibrated on test (p = {error.p:.3f}): {band}."
    return f"No evidence of miscalibration on test (p = {error.p:.2f}): {band}."


def _gain_text(temperature: float | None, alone: Interval, gain: float, error: float, images: int) -> str:
    standard_error = "" if isnan(error) else f"standard error {error:.4f}, "
    count = "1 validation image" if images == 1 else f"{images:,} validation images"
    measured = f"{gain:+.4f} nats an image ({standard_error}{count})"
    interval = f"95 % profile-likelihood interval {alone.low:.3f} to {alone.high:.3f}"
    if temperature is None:
        return f"The model has no temperature; one fitted on validation would change the cross-fitted log loss by {-gain:+.4f}."
    if temperature == 1.0:
        return f"Validation did not support a temperature other than 1 ({interval}): cross-fitted gain {measured}."
    return f"Temperature {temperature:.3f}, fitted on validation ({interval}): cross-fitted gain {measured}."


def _change(scores: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    if "calibrated" not in scores:
        return ()
    before, after = scores["uncalibrated"], scores["calibrated"]
    return (
        f"On test it changes the log loss from {before['log_loss']:.3f} to {after['log_loss']:.3f} and the calibration "
        f"error from {100 * before['ece'].value:.1f} to {100 * after['ece'].value:.1f} %.",
    )


def _table(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    rows = [
        (
            split,
            _STATES.get((split, state), state.replace("_", " ")),
            f"{each['log_loss']:.3f}",
            f"{each['brier']:.3f}",
            *(_error_text(each[name]) for name in ("ece", "adaptive_ece")),
        )
        for split, states in scores.items()
        for state, each in states.items()
    ]
    head = ("split", "answers", "log loss", "Brier", "ECE (perfect: mean, 95 %)", "adaptive ECE (perfect: mean, 95 %)")
    return Table("Scores of the probabilities", head, tuple(rows), (2, 3, 4, 5))


def _error_text(error: CalibrationError) -> str:
    return f"{100 * error.value:.1f} % ({100 * error.mean:.1f}, {100 * error.high:.1f})"


def _warnings(evidence: Evidence, gain: float) -> tuple[str, ...]:
    if evidence.temperature not in (None, 1.0) and gain <= 0:
        return (
            "Cross-fitting does not support the temperature: it lowers the validation log loss by no more than chance. "
            "Train with calibrate: none, or collect more validation images.",
        )
    return ()
