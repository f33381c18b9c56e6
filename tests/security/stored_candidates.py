"""The stored formats of `raytl export` and `raytl compress`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from raytl.bundle.card import BUNDLE_FORMAT, BundleCard, FileEntry, Origin, Thresholds, Unfamiliar, View
from raytl.exporting.compress.choose import best, frontier, judged, shortfall
from raytl.exporting.compress.outcome import CANDIDATE_FORMAT, Stored
from raytl.exporting.compress.plots import draw_frontier
from raytl.exporting.parity import PARITY_FORMAT, Check, Parity
from raytl.run.plain import encode
from tests.exporting.compress.outcomes import compression, outcome
from tests.security.stored_document import Stored as Document
from tests.security.stored_document import at


def _candidate(folder: Path) -> object:
    value = judged(CANDIDATE_FORMAT.load(folder / "onnx-fp32.json").outcome)
    result = compression(value, best=value.name)
    draw_frontier(result)
    return frontier([value]), best([value], 5.0), shortfall([value], 1e-3, 0.5)


def _parity(folder: Path) -> object:
    value = PARITY_FORMAT.load(folder / "parity.json")
    return value.passed, value.failures, value.to_json()


_PARITY = Parity(
    format=1, precision="int8", images=376, agreement=0.99, difference=0.1, metric="accuracy", score=0.92, reference=0.93,
    least=-0.01, log_loss=0.2, reference_log_loss=0.2, ece=0.02, reference_ece=0.02, worst_class="class 'a'", corrupted_images=208,
    corrupted_agreement=0.95, max_drop=1.0, checks=(Check("log loss", "+0.001", "at most +0.05", True),),
)  # fmt: skip
_BUNDLE = BundleCard(
    format=1, task="classification", kind="classes", model="resnet18", classes=("a", "b"), runtime="onnx", precision="fp32",
    input="crop", graph="model.onnx", outputs=("probabilities",), view=View(32, 36, "center", "bilinear"),
    thresholds=Thresholds(answer=0.5, recall={"a": 0.1}, member=0.2, unfamiliar=Unfamiliar("reference.npy", 5, 0.7)),
    origin=Origin("trash", "0" * 64, "0.1.0", "2026-01-01T00:00:00+00:00"), files={"model.onnx": FileEntry(10, "0" * 64)},
)  # fmt: skip


def _bundle(folder: Path) -> object:
    return BUNDLE_FORMAT.load(folder / "model.json").to_json()


CANDIDATES = [
    Document("bundle.card:BUNDLE_FORMAT", encode(_BUNDLE.to_json()), at("model.json", _bundle), "model.json"),
    Document("exporting.parity:PARITY_FORMAT", encode(asdict(_PARITY)), at("parity.json", _parity), "parity.json"),
    Document(
        "exporting.compress.outcome:CANDIDATE_FORMAT",
        encode(asdict(Stored(1, "0" * 64, outcome("onnx-fp32", 0.91, 8)))),
        at("onnx-fp32.json", _candidate),
        "onnx-fp32.json",
    ),
]
