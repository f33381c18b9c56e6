"""The operating points of a published version, as text and numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raytl.errors import RunError, TooLarge
from raytl.events import Message, OnEvent, ignore
from raytl.metrics.aim import Aim
from raytl.registry.reader import EVALUATIONS
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.registry.reports import report_content
from raytl.run.operating import OPERATING, OPERATING_FORMAT, REPORT_FOLDER, OperatingPoints, Promise

RECALL = 0.9
_NAME = f"{EVALUATIONS}/{REPORT_FOLDER}/{OPERATING}"


def operating_of(registry: Registry, record: Record, on_event: OnEvent = ignore) -> OperatingPoints | None:
    """Return the operating points of a version; None if `raytl report` wrote none for its weights, or they are damaged.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        content = report_content(registry, record, _NAME, OPERATING_FORMAT.max_bytes)
        if content is None:
            return None
        points = OPERATING_FORMAT.read(content, f"{registry.uri}: {_NAME} of version {record.number}", on_event)
    except (RunError, TooLarge) as error:
        on_event(Message(f"the operating points are left out: {error}", "warning"))
        return None
    return points if points.weights == record.about.weights else None


def operating_facts(points: OperatingPoints | None) -> list[tuple[str, str]]:
    """Return the thresholds, sets and limit by name, for people; nothing without operating points."""
    if points is None:
        return []
    recalls = [points.promise(Aim(RECALL, name)) for name in points.classes]
    met = sum(each.is_met for each in recalls)
    sets = ", ".join(f"{100 * each.at_least:.4g} %: {_least(each.probability)}" for each in points.sets)
    limit = points.unfamiliar
    return [
        *(("threshold", _text(points.promise(aim))) for aim in points.aims),
        ("threshold", f"recall of at least {100 * RECALL:.4g} % for {met} of {len(recalls)} classes"),
        ("sets", f"{sets} (probability of a class)"),
        *([("unfamiliar", f"above distance {limit.distance:.3f} of {limit.images:,} images")] if limit else []),
    ]


def operating_json(points: OperatingPoints | None) -> dict[str, Any] | None:
    """Return the aims with their thresholds, the least probabilities of sets, and the limit; None without operating points."""
    if points is None:
        return None
    aims = (*points.aims, *(Aim(RECALL, name) for name in points.classes))
    promises = [points.promise(aim) for aim in dict.fromkeys(aims)]
    return {
        "look": points.look,
        "aims": [
            {
                "at_least": each.aim.value,
                "recall_of": each.aim.recall_of,
                "threshold": each.certificate.threshold,
                "met": each.is_met,
            }
            for each in promises
        ],
        "sets": [asdict(each) for each in points.sets],
        "unfamiliar": None if points.unfamiliar is None else points.unfamiliar.distance,
    }


def _text(each: Promise) -> str:
    if each.test is None:
        return f"{each.aim.text}: not certified"
    kind = "probability" if each.aim.recall_of else "confidence"
    state = "" if each.is_met else "; test does not confirm it"
    return f"{each.aim.text}: from {kind} {each.certificate.threshold:.4g} on ({100 * each.test.value:.1f} % on test{state})"


def _least(probability: float | None) -> str:
    return "all classes" if probability is None else f"at least {probability:.3g}"
