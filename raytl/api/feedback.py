"""The verbs for what comes back from use: choose images to label, and take the labels back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.api.run import machine_of
from raytl.cli.watch import watched
from raytl.config.machine import Machine
from raytl.events import OnEvent

if TYPE_CHECKING:
    from raytl.feedback.driver import Collected
    from raytl.feedback.returned import ReturnedLabels


def collect(
    uri: str | os.PathLike[str],
    budget: int = 200,
    *,
    out: str | os.PathLike[str] = "to_label.csv",
    model: str | os.PathLike[str] | None = None,
    random_share: float = 0.2,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Collected:
    """Choose `budget` images of the feedback at `uri` to label, and write them to the table `out` and a page beside it.

    The fraction `random_share` is drawn at random, for an unbiased estimate of the accuracy in use; the rest is uncertain and
    diverse. Images of `model`, a run or a version, and copies of them are not chosen. `machine` says how buckets are reached: by
    default as the experiment of a `Run` says.

    Raises:
        UserError: an option is wrong, or there is nothing to label.
        StoreError: the prefix cannot be read or written.
    """
    from raytl.feedback import driver

    name = None if model is None else os.fspath(model)
    with watched(progress, on_event) as emit:
        return driver.collect(
            os.fspath(uri),
            budget,
            Path(out),
            model=name,
            random_share=random_share,
            machine=machine or machine_of(model),
            on_event=emit,
        )


def return_labels(
    uri: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> ReturnedLabels:
    """Store the labels of the table `labels` in the feedback at `uri`, and estimate the accuracy of the models in use.

    Raises:
        UserError: a row is wrong; all are listed, and nothing is stored.
        StoreError: the prefix cannot be read or written.
    """
    from raytl.feedback import driver

    name = None if model is None else os.fspath(model)
    with watched(progress, on_event) as emit:
        return driver.returned(
            os.fspath(uri), Path(labels), model=name, machine=machine or machine_of(model), on_event=emit
        )
