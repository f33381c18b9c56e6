"""The stored formats of what reports and explanations are made from, and of what they leave to predictions."""

from __future__ import annotations

from pathlib import Path

from raytl.assessment import fine_tuned
from raytl.evaluation import corrupted, evidence
from raytl.evaluation.explanation.record import EXPLANATIONS_FORMAT
from raytl.run import operating
from raytl.run.plain import encode
from tests.run.test_operating import operating_points
from tests.security.stored_document import ABC, Stored, at, by_path, plainly

_MAP = {
    "path": "/photos/red/1.jpg", "label": "red", "confidence": 0.75, "predicted": ["red"], "true": ["blue"],
    "correct": False, "method": "cam", "picture": "1.png", "x": 0.5, "y": 0.25, "border": 0.1, "center": 0.5, "peak": 0.9,
}  # fmt: skip


def _applied(folder: Path) -> object:
    points = operating.read_operating(folder)
    assert points is not None
    for each in points.aims:
        points.promise(each)
    return encode([plainly(points), [points.set_probability(each.at_least) for each in points.sets]])


EVIDENCE = [
    Stored("evaluation.evidence:ABOUT_FORMAT",
           encode({"weights": ABC, "split": "test", "classes": ["a", "b"], "keys": ["a/1.jpg", "b/2.jpg"]}),
           by_path("about.json", evidence.ABOUT_FORMAT), "about.json"),
    Stored("evaluation.corrupted:ABOUT_FORMAT",
           encode({"weights": ABC, "classes": ["a", "b"], "corruptions": ["dark 1, 2, 3"], "keys": ["a/1.jpg"]}),
           by_path("about.json", corrupted.ABOUT_FORMAT), "about.json"),
    Stored("assessment.fine_tuned:ANSWERS_FORMAT", encode({"format": 1, "answers": ["a", "b"]}),
           by_path("answers.json", fine_tuned.ANSWERS_FORMAT), "answers.json"),
    Stored("evaluation.explanation.record:EXPLANATIONS_FORMAT",
           encode({"model": "test_resnet", "weights": ABC, "method": "cam", "why": "asked", "split": "val",
                   "explanations": [_MAP], "unreadable": [], "left_out": {"not a photo": ["/photos/a.txt"]}, "format": 1}),
           by_path("explanations.json", EXPLANATIONS_FORMAT), "explanations.json"),
    Stored("run.operating:OPERATING_FORMAT", encode(plainly(operating_points())),
           at(f"{operating.REPORT_FOLDER}/{operating.OPERATING}", _applied), "operating.json"),
]  # fmt: skip
