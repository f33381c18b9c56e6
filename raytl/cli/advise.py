"""`raytl advise`: which weights fit the images, how to fine-tune them, what more labels bring, and which labels to check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raytl.cli.advice_tables import advice_tables
from raytl.cli.init import check_out
from raytl.cli.options import Json, Model, Overrides, Source
from raytl.cli.progress import watching
from raytl.cli.sources import as_words
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import ConfigError
from raytl.gc_pause import importing
from raytl.run.atomic import write_text
from raytl.sanitize import command
from raytl.starter import is_experiment_file

if TYPE_CHECKING:
    from raytl.advice.result import Advice


def advise(
    source: Source,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="A,B,C",
            help="Candidates: models, files, runs or versions, or MODEL=FILE. Default: the model of `raytl init` and light ones.",
        ),
    ] = None,
    model: Model = None,
    set_: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the advised experiment to this file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")] = False,
    json: Json = False,
) -> None:
    """Compare pretrained weights on your training images, and advise how to fine-tune them. Trains nothing.

    Measures frozen features by cross-validation: k-NN, a linear probe, LogME and H-score with intervals; how many more
    labels halve the error; and which labels are suspect. It says "cannot tell" where the images do not tell.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        check_out(out, force)
        if out is not None and is_experiment_file(source):
            raise ConfigError(f"--out {out}: expected images as SOURCE; edit model.name and model.weights in {source}")
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.advice.source import advice_from, draft_of

            advice = advice_from(source, _listed(weights), model, set_ or [], on_event)
            draft = None if out is None else draft_of(advice, source, set_ or [], on_event)
        if out is not None and draft is not None:
            write_text(out, draft.text())
        terminal.show(*advice_tables(advice, out, _next(as_words(source, model, set_), weights, out)))
        terminal.result(advice_json(advice, out))


def _listed(weights: str | None) -> list[str] | None:
    return None if weights is None else weights.split(",")


def _next(words: Sequence[str], weights: str | None, out: Path | None) -> str:
    if out is not None:
        return command("raytl", "check", out)
    if is_experiment_file(words[0]):
        return command("raytl", "check", *words)
    return command("raytl", "advise", *words, *(["--weights", weights] if weights else []), "--out", "experiment.yaml")


def advice_json(advice: Advice, out: Path | None) -> dict[str, Any]:
    """Return the advice as plain JSON values."""
    return {
        "advised": asdict(advice.advised),
        "undecided": [fit.candidate.text for fit in advice.undecided],
        "sentences": advice.sentences,
        "classes": advice.classes,
        "images": advice.images,
        "train": advice.train,
        "candidates": [asdict(fit) for fit in advice.fits],
        "recipe": [asdict(choice) for choice in advice.recipe],
        "learning_curve": asdict(advice.curve),
        "suspects": [asdict(each) for each in advice.suspects],
        "unmeasured": advice.unmeasured,
        "domains": [asdict(each) for each in advice.domains],
        "warnings": advice.warnings,
        "out": out,
        "experiment": advice.experiment.model_dump(mode="json"),
    }
