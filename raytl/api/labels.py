"""The verbs for wrong labels: rank the doubtful ones, and record corrections."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.api.verbs import Source, source_experiment
from raytl.cli.watch import watched
from raytl.events import OnEvent

if TYPE_CHECKING:
    from raytl.advice.labels import DoubtfulLabels
    from raytl.labelling.fixes import AppliedFixes


def doubtful_labels(
    source: Source,
    *,
    weights: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> DoubtfulLabels:
    """Return the doubtful labels of training and validation images, the most doubtful first; test images are never listed.

    `source`, `overrides`, `progress` and `on_event` are as in `train`. `weights` are further networks: models, weight files,
    runs or versions, or `MODEL=FILE`. With `out`, a folder, the table to fill in and the page with thumbnails are written.
    Trains nothing, and changes no label.

    Raises:
        UserError: the experiment, the data or the weights are wrong.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, None, overrides, emit)
        from raytl.advice import labels

        return labels.doubtful_labels(experiment, weights, None if out is None else Path(out), on_event=emit)


def apply_fixes(
    source: Source,
    fixes: str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> AppliedFixes:
    """Store the filled rows of the table `fixes` in the corrections at `labels.relabel` of the experiment, after checking them all.

    Raises:
        UserError: `labels.relabel` is not set, or rows are wrong; all are listed, and nothing is written.
        StoreError: the corrections cannot be read or written.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, None, overrides, emit)
        from raytl.labelling import fixes as fixing

        return fixing.apply_fixes(experiment, Path(fixes), on_event=emit)
