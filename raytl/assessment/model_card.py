"""`MODEL_CARD.md`: what the model is, how good it is and what can be trusted, with metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raytl.assessment.section import SectionResult, Table
from raytl.metrics.intervals import Interval
from raytl.run.plain import encode
from raytl.score_names import title
from raytl.tasks.findings import finding_kind
from raytl.tasks.markdown import cell, table
from raytl.tasks.registry import task_named
from raytl.tasks.score_text import interval_text, score_text

if TYPE_CHECKING:
    from raytl.assessment.report import Assessment

KIND = "image-classification"
"""The Hub's name for models that decide one class for each image."""
_LISTED = 100


def model_card(result: Assessment) -> str:
    """Return the model card of a report."""
    parts = [
        _header(result),
        f"# {cell(result.run)}",
        f"{cell(result.card.model)}, fine-tuned with raytl. Weights: `{cell(result.card.digest)}`.",
        _use(result),
        *_methods(result.methods),
        "## Scores on the test split\n\n" + _scores(result.scores),
        *(_section(section) for section in result.sections.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _header(result: Assessment) -> str:
    """Return the metadata as YAML; JSON values are YAML."""
    metrics = [
        {"type": name, "value": round(each.value, 6), "name": title(name)}
        for name, each in result.scores.items()
        if math.isfinite(each.value)
    ]
    findings = finding_kind(task_named(result.card.task))
    kind = KIND if findings is None else findings.pipeline
    results = {"task": {"type": kind}, "dataset": {"name": "test split", "type": "images"}, "metrics": metrics}
    values: dict[str, Any] = {
        "library_name": "raytl",
        "pipeline_tag": kind,
        "tags": ["raytl", "vision"],
        "metrics": [metric["type"] for metric in metrics],
        "model-index": [{"name": result.run, "results": [results]}],
    }
    return "\n".join(["---", *(f"{key}: {encode(value).decode()}" for key, value in values.items()), "---"])


def _use(result: Assessment) -> str:
    names = ", ".join(map(cell, result.card.classes[:_LISTED]))
    more = len(result.card.classes) - _LISTED
    images = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    look = result.look
    again = f" This is evaluation {look.look} of the test split." if look.look > 1 else ""
    findings = finding_kind(task_named(result.card.task))
    answer = "answers with one of" if findings is None else f"reports any number of {findings.unit}s of"
    return (
        f"It {answer} {len(result.card.classes):,} classes: {names}{f' and {more:,} more' if more > 0 else ''}. "
        f"Images: {images}. Choices were made on validation and confirmed on test.{again}"
    )


def _methods(sentences: Sequence[str]) -> list[str]:
    return ["## Data and methods\n\n" + "\n".join(f"- {cell(text)}" for text in sentences)] if sentences else []


def _scores(scores: Mapping[str, Interval]) -> str:
    rows = [(title(name), score_text(name, each.value), interval_text(name, each)) for name, each in scores.items()]
    return table(("score", "value", "95 % interval"), rows, right_aligned={1, 2})


def _section(section: SectionResult) -> str:
    lines = [f"- {cell(text)}" for text in (*section.unmet, *section.sentences, *section.warnings)]
    return "\n\n".join([f"## {section.title}", "\n".join(lines), *map(_table, section.tables)])


def _table(each: Table) -> str:
    rows = [tuple(map(cell, row)) for row in each.rows]
    return f"**{cell(each.title)}**\n\n" + table(tuple(map(cell, each.head)), rows, right_aligned=set(each.numbers))
