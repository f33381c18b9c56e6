"""The stored formats of what reports and explanations are made from."""

from __future__ import annotations

from raytl.assessment import fine_tuned
from raytl.evaluation import corrupted, evidence
from raytl.evaluation.explanation.record import EXPLANATIONS_FORMAT
from raytl.run.plain import encode
from tests.security.stored_document import ABC, Stored, by_path

_MAP = {
    "path": "/photos/red/1.jpg", "label": "red", "confidence": 0.75, "predicted": ["red"], "true": ["blue"],
    "correct": False, "method": "cam", "picture": "1.png", "x": 0.5, "y": 0.25, "border": 0.1, "center": 0.5, "peak": 0.9,
}  # fmt: skip

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
]  # fmt: skip
