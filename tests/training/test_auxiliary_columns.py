"""Auxiliary columns in the plan of a run: read beside data.columns, checked at once, and compared when it resumes."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError, DataError
from raytl.training.auxiliary_columns import check_turns, column_notes, columns_digest, with_auxiliary_columns

BASE = {"name": "a", "data": {"uri": "photos.csv"}, "model": {"name": "m"}}


def experiment(**changes: Any) -> Experiment:
    return override(Experiment.model_validate(BASE), {key.replace("__", "."): value for key, value in changes.items()})


def samples(cameras: str, sites: str) -> list[Sample]:
    """A sample of two classes in turn for each pair of cells."""
    rows = enumerate(zip(cameras, sites, strict=True))
    return [
        Sample(f"{i}", f"{i}", "cd"[i // 2 % 2], columns=(("camera", one.strip()), ("site", other.strip())))
        for i, (one, other) in rows
    ]


def test_the_columns_are_read_beside_those_that_describe_the_images() -> None:
    both = experiment(data__columns={"site": "group"}, auxiliary__columns=["camera", "site"])
    assert with_auxiliary_columns(both.data, both).columns == {"site": "group", "camera": "slice"}
    assert both.data.columns == {"site": "group"}, "the experiment says what it said"
    plain = experiment()
    assert with_auxiliary_columns(plain.data, plain) is plain.data


def test_each_column_has_a_note_and_all_problems_are_listed_at_once() -> None:
    both = experiment(auxiliary__columns=["camera", "site"])
    notes = column_notes(both, samples("abab", "xyxx"), [])
    assert [note.split(": ")[1] for note in notes] == ["camera", "site"]
    with pytest.raises(DataError, match=r"(?s)camera: the only value .*\n.*site: no training image has a value"):
        column_notes(both, samples("aaaa", "    "), [])


def test_turned_copies_of_padded_images_are_refused() -> None:
    square = Preprocess(64, 64, "center", "bilinear", (0.5,) * 3, (0.5,) * 3)
    turns, framed = experiment(auxiliary__rotation=0.1), square.fit((80, 64))
    check_turns(turns, square)
    check_turns(experiment(), framed)
    for one, drawn in ((turns, False), (experiment(), True)):
        with pytest.raises(
            ConfigError, match="auxiliary.rotation: model.weights fits images into a frame of 80 x 64 px"
        ):
            check_turns(one, framed, drawn)


def test_the_digest_follows_the_values_of_the_columns_alone() -> None:
    one, train = experiment(auxiliary__columns=["camera"]), samples("abab", "xyxx")
    assert columns_digest(one, train) == columns_digest(one, samples("abab", "yyyx"))
    assert len({columns_digest(one, each) for each in (train, samples("abba", "xyxx"), samples("ab b", "xyxx"))}) == 3
    assert columns_digest(experiment(), train) == ""
