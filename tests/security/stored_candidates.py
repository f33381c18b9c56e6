"""The stored formats of `raytl compress`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from raytl.export.compress.choose import best, frontier, judged, shortfall
from raytl.export.compress.outcome import CANDIDATE_FORMAT, Stored
from raytl.export.compress.plots import draw_frontier
from raytl.run.plain import encode
from tests.export.compress.outcomes import compression, outcome
from tests.security.stored_document import Stored as Document
from tests.security.stored_document import at


def _candidate(folder: Path) -> object:
    value = judged(CANDIDATE_FORMAT.load(folder / "onnx-fp32.json").outcome)
    result = compression(value, best=value.name)
    draw_frontier(result)
    return frontier([value]), best([value], 5.0), shortfall([value], 1e-3, 0.5)


CANDIDATES = [
    Document(
        "export.compress.outcome:CANDIDATE_FORMAT",
        encode(asdict(Stored(1, "0" * 64, outcome("onnx-fp32", 0.91, 8)))),
        at("onnx-fp32.json", _candidate),
        "onnx-fp32.json",
    ),
]
