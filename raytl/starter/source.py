"""An experiment from whatever names one: an experiment file, or images (a folder, URI or manifest) that become one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.config.environment import escape
from raytl.config.load import experiment_of, load_experiment, load_machine
from raytl.config.machine import SETTINGS, assignment
from raytl.config.override import assignments, by_leaf
from raytl.errors import ConfigError
from raytl.events import OnEvent, ignore
from raytl.store.s3_settings import S3Settings
from raytl.uris import ARCHIVE_SUFFIXES, TABLE_SUFFIXES, has_scheme

if TYPE_CHECKING:
    from raytl.config.schema import Experiment
    from raytl.starter.draft import Draft

DEFAULT_MODEL = "mobilenetv2_100"
"""3.5 million parameters, so that it trains on a CPU; docs/benchmarks.md has its results."""
_EXPERIMENT = (".yaml", ".yml")
_SUFFIXES = sorted((*ARCHIVE_SUFFIXES, *TABLE_SUFFIXES), key=len, reverse=True)
_NAME_LENGTH = 60
_STORAGE = frozenset(key for key in SETTINGS if key.startswith("storage."))


def is_experiment_file(source: str | Path) -> bool:
    """Return whether `source` names an experiment file, by its ending."""
    return str(source).lower().endswith(_EXPERIMENT)


def experiment_from(
    source: str | Path, model: str | None = None, overrides: Sequence[str] = (), on_event: OnEvent = ignore
) -> Experiment:
    """Return the experiment that `source` names: an experiment file, or images with the defaults that `raytl init` writes.

    `model` replaces the model's name. `overrides` are `a.b=value` texts.

    Raises:
        ConfigError: with every problem of the experiment at once.
        DataError: `source` holds no images, or their layout is wrong.
        ModelError: an unknown model.
        StoreError: a bucket cannot be read.
    """
    experiment = _stated(source, model, overrides, on_event)
    from raytl.tasks.defaults import completed  # torch takes its time to import, and the mistakes of a file need none
    from raytl.tasks.detect import with_task

    return completed(with_task(experiment, on_event) if is_experiment_file(source) else experiment)


def _stated(source: str | Path, model: str | None, overrides: Sequence[str], on_event: OnEvent) -> Experiment:
    if is_experiment_file(source):
        named = [] if model is None else [assignment("model.name", model)]
        return load_experiment(source, [*overrides, *named])
    draft = draft_from(source, model, overrides, on_event)
    named = [text for text in overrides if model is None or next(iter(assignments([text]))) != "model.name"]
    return experiment_of(draft.values(), f"{source} (defaults)", named)


def draft_from(
    source: str | Path, model: str | None = None, overrides: Sequence[str] = (), on_event: OnEvent = ignore
) -> Draft:
    """Return the draft of an experiment on the images at `source`; see `experiment_from`.

    Of `overrides`, only task, model.name, model.weights and storage.* count; the last two are written into the draft.
    """
    from raytl.config.choice import Choice
    from raytl.starter import facts, rules  # torch and timm take their time to import
    from raytl.starter.draft import Draft

    uri = str(source)
    _refuse_other_files(uri)
    values = by_leaf(assignments(overrides))
    s3 = S3Settings.of(load_machine({key: value for key, value in values.items() if key in _STORAGE}).storage)
    name = str(model or values.get("model.name") or DEFAULT_MODEL)
    data_facts = facts.look(uri, name, on_event, s3, values.get("task"))
    head = (Choice("name", run_name(uri)), Choice("data.uri", escape(uri)), Choice("model.name", name))
    storage = (Choice(key, value) for key, value in values.items() if key in _STORAGE)
    weights = (Choice(key, escape(str(values[key]))) for key in ("model.weights",) if key in values)
    return Draft(
        (*head, *weights, *rules.choices(data_facts), *storage), tuple(rules.notes(data_facts)), data_facts.recipe
    )


def run_name(uri: str) -> str:
    """Return a run's name made of the last part of a path or URI: `s3://bucket/Trash photos.zip` gives `Trash-photos`."""
    last = uri.rstrip("/").rpartition("/")[2]
    if last in ("", ".", ".."):
        last = Path(uri).expanduser().resolve().name
    suffix = next((end for end in _SUFFIXES if last.lower().endswith(end)), "")
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", last[: len(last) - len(suffix)]).strip("-._")
    return words[:_NAME_LENGTH] or "images"


def _refuse_other_files(uri: str) -> None:
    """Raise a ConfigError for a run's folder, which holds no images."""
    inner = Path(uri) / "experiment.yaml"
    if not has_scheme(uri) and inner.is_file():
        raise ConfigError(
            f"{uri}: found a run, expected an experiment file or images. To train its experiment again, name {inner}."
        )
