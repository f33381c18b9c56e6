"""Auxiliary heads in the plan of a run: the columns are read, checked, and must be the same when it resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from raytl.config.schema import DataConfig, Experiment
from raytl.data.column_values import ColumnValues
from raytl.data.sample import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError, DataError


def with_auxiliary_columns(data: DataConfig, experiment: Experiment) -> DataConfig:
    """Return `data`, whose samples then have the values of the experiment's auxiliary columns too."""
    given = data.columns
    more = {name: "slice" for name in experiment.auxiliary.columns if name not in given}
    return data.model_copy(update={"columns": {**given, **more}}) if more else data


def check_turns(experiment: Experiment, preprocess: Preprocess, drawn: bool = False) -> None:
    """Check that turned copies keep their shape, and nothing gives the turn away; `drawn` = the rotation is in a search space.

    Raises:
        ConfigError: images are fitted into a frame, as the weights say.
    """
    if (experiment.auxiliary.rotation or drawn) and preprocess.frame is not None:
        width, height = preprocess.frame
        raise ConfigError(
            f"auxiliary.rotation: model.weights fits images into a frame of {width} x {height} px, whose padding gives the turn "
            "away; expected weights that crop a square. Take other weights, or set auxiliary.rotation to 0, also in search.space"
        )


def column_notes(experiment: Experiment, train: Sequence[Sample], val: Sequence[Sample]) -> tuple[str, ...]:
    """Return what the training images, as label methods leave them, have in each auxiliary column, and validation images too.

    Raises:
        DataError: there is nothing to learn in columns; all of them are listed.
    """
    notes, problems = list[str](), list[str]()
    for name in experiment.auxiliary.columns:
        try:
            notes.append(ColumnValues.of(name, train).check(train, val))
        except DataError as problem:
            problems.append(str(problem))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(notes)


def columns_digest(experiment: Experiment, train: Sequence[Sample]) -> str:
    """Return the SHA-256, in hex, of the values of the training images in the auxiliary columns; empty without columns."""
    names = experiment.auxiliary.columns
    if not names:
        return ""
    learned: list[Any] = [names]
    for name in names:
        column = ColumnValues.of(name, train)
        learned += [column.values, column.classes(train).tolist()]
    return hashlib.sha256(json.dumps(learned).encode()).hexdigest()
