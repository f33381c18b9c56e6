"""The experiment that a command line names: a file, or images with the defaults that `raytl init` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal
from raytl.starter import experiment_from

if TYPE_CHECKING:
    from raytl.config.schema import Experiment


def named_experiment(terminal: Terminal, source: str, model: str | None, overrides: Sequence[str] | None) -> Experiment:
    """Return the experiment that `source` names, showing progress while images are looked at."""
    with watching(terminal.err) as on_event:
        return experiment_from(source, model, overrides or (), on_event)


def as_words(source: str, model: str | None, overrides: Sequence[str] | None) -> list[str]:
    """Return the words that name the same experiment on another command line."""
    settings = [word for text in overrides or () for word in ("--set", text)]
    return [source, *(["--model", model] if model else []), *settings]
