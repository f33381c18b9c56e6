"""Make a bundle with another graph out of an fp32 ONNX bundle: for another runtime, or in another precision."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raytl.bundle.card import BUNDLE_FORMAT, BundleCard, entry_of, read_bundle
from raytl.bundle.client import MODEL_JSON
from raytl.bundle.processor import this_processor
from raytl.exporting.calibration_images import CalibrationImages
from raytl.exporting.compress.candidate import Candidate
from raytl.exporting.quantize_onnx import quantize_onnx
from raytl.exporting.quantize_openvino import quantize_openvino
from raytl.exporting.quiet import quiet
from raytl.run.atomic import write_json

PERCENTILE_IMAGES = 100
"""Calibration images of ONNX Runtime, whose histograms of every activation take long."""
_GRAPHS = {"onnx": "model.onnx", "openvino": "model.xml"}
_GRAPH_SUFFIXES = (".onnx", ".xml", ".bin", ".data", ".pt2")
Calibration = Callable[[], CalibrationImages]


def write_variant(base: Path, out: Path, candidate: Candidate, calibration: Calibration) -> BundleCard:
    """Write the fp32 ONNX bundle `base` in the form of `candidate` into the folder `out`; return its card.

    Everything but the graph is copied. int8 reads the images of `calibration`.
    """
    card = read_bundle(base)
    others = [name for name in card.files if not name.endswith(_GRAPH_SUFFIXES) and name != "parity.json"]
    for name in others:
        shutil.copyfile(base / name, out / name)
    graph, used = out / _GRAPHS[candidate.runtime], None
    if candidate.precision == "int8":
        used = calibration()
        _quantize(base / card.graph, graph, candidate, used)
    else:
        _converted(base / card.graph, graph)
    names = [*others, *sorted(path.name for path in out.iterdir() if path.name.endswith(_GRAPH_SUFFIXES))]
    processor = this_processor()
    changed = replace(
        card,
        runtime=candidate.runtime,
        precision=candidate.precision,
        graph=graph.name,
        files={name: entry_of(out / name) for name in names},
        origin=replace(
            card.origin,
            calibration=None if used is None else used.digest,
            machine=processor.name,
            cpu_flags=processor.flags,
        ),
    )
    write_json(out / MODEL_JSON, changed.to_json())
    return changed


def with_files(folder: Path) -> BundleCard:
    """Write the card of the bundle in `folder` with the digests of its files as they are now; return it."""
    card = BUNDLE_FORMAT.load(folder / MODEL_JSON)
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MODEL_JSON)
    whole = replace(card, files={name: entry_of(folder / name) for name in names})
    write_json(folder / MODEL_JSON, whole.to_json())
    return whole


def _converted(graph: Path, out: Path) -> None:
    """Write the ONNX graph as an OpenVINO model; bf16 is a choice of the client, so the weights stay in fp32."""
    import openvino

    with quiet():
        openvino.save_model(openvino.Core().read_model(graph), str(out), compress_to_fp16=False)


def _quantize(graph: Path, out: Path, candidate: Candidate, calibration: CalibrationImages) -> None:
    reduced = not this_processor().has_int8
    if candidate.runtime == "openvino":
        quantize_openvino(graph, out, calibration.inputs, reduced_range=reduced)
    else:
        quantize_onnx(graph, out, calibration.inputs[:PERCENTILE_IMAGES], reduced_range=reduced)
