"""`export`: write the model of a finished run as a bundle, after the bundle has shown that it answers as the model does.

The bundle is made as a draft, asked the validation images of the run through its own client, and renamed only if it passes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from raytl.bundle.card import BUNDLE_FORMAT, BundleCard, Input, Precision, Runtime, entry_of, read_bundle
from raytl.bundle.client import MODEL_JSON
from raytl.bundle.processor import Processor, this_processor
from raytl.config.machine import Machine
from raytl.errors import ModelError, RaytlError, UserError
from raytl.events import Message, OnEvent, ignore
from raytl.exporting.base import Operating, graph_limits, operating_of, write_base
from raytl.exporting.calibration_images import CalibrationImages, calibration_images
from raytl.exporting.compress.candidate import Candidate
from raytl.exporting.compress.variant import write_variant
from raytl.exporting.gate import Gate, Seen
from raytl.exporting.graph import exporting_for
from raytl.exporting.parity import Parity
from raytl.exporting.place import local_folder
from raytl.exporting.temperature import scale_temperature
from raytl.exporting.trained_run import TrainedRun, open_run
from raytl.feedback.reference import MONITOR_JSON, monitor_reference
from raytl.metrics.scores import softmax
from raytl.metrics.unfamiliar import knn_distance
from raytl.registry.bundles import BUNDLES, bundle_uris, put_bundle
from raytl.registry.reader import fetched
from raytl.registry.reference import is_reference
from raytl.run.atomic import atomic_dir, write_json

PARITY = "parity.json"
_MODULES: dict[Runtime, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),
    "torch": (),
}
_SETTLED = 0.01
"""A change of the temperature that is left out."""


@dataclass(frozen=True)
class ExportOptions:
    """The bundle to export: the runtime `to`, the `precision`, and the `input` of the graph (None = photo where the runtime resizes as
    raytl does). `max_drop` are the points that bf16 and int8 may lose; `require` and `recall` are aims that the report certifies."""

    to: Runtime = "onnx"
    precision: Precision = "fp32"
    input: Input | None = None
    max_drop: float = 0.5
    require: str | None = None
    recall: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the bundle among those of its run."""
        return f"{self.to}-{self.precision}"


@dataclass(frozen=True)
class Exported:
    """A bundle that was written to `out`, with its card and its parity."""

    out: str
    card: BundleCard
    parity: Parity
    warnings: tuple[str, ...] = ()
    bytes: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "out": self.out,
            "bytes": self.bytes,
            "warnings": list(self.warnings),
            "parity": self.parity.to_json(),
            "card": asdict(self.card),
        }


class ParityFailed(RaytlError):
    """A bundle does not answer as the saved model does; nothing was written. `parity` has the comparison."""

    def __init__(self, name: str, parity: Parity) -> None:
        self.parity = parity
        lines = "\n".join(parity.failures)
        super().__init__(
            f"{name}: the {parity.precision} bundle does not answer as the saved model on {parity.images} validation images; "
            f"nothing was written:\n{lines}"
        )


def export(
    run: str | os.PathLike[str],
    options: ExportOptions = ExportOptions(),
    *,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
) -> Exported:
    """Write the model of `run` as a bundle, and return where it lies; see `raytl.export`.

    Raises:
        UserError: options that cannot take effect, or there is such a bundle and `force` is false.
        RunError: no such run, not finished, or without validation images.
        ModelError: the network cannot be exported, or a runtime is not installed.
        ParityFailed: the bundle does not answer as the model; nothing was written.
    """
    text, folder = os.fspath(run), None if out is None else local_folder(out)
    warnings = check_options(options, this_processor())
    trained = open_run(text, machine, on_event)
    exporting_for(trained.saved)
    if folder is None and is_reference(text):
        return _into_registry(text, trained, options, force, warnings, on_event)
    place = folder if folder is not None else trained.run_store.folder.root / BUNDLES / options.name
    _refuse_existing(place, force)
    with atomic_dir(place) as draft:
        card, parity = write_bundle(trained, options, draft, on_event)
    if folder is None:
        trained.run_store.push()
    shown_uri = str(place) if folder is not None else f"{trained.run_store.uri.rstrip('/')}/{BUNDLES}/{options.name}"
    return _exported(shown_uri, place, card, parity, warnings)


def write_bundle(
    run: TrainedRun, options: ExportOptions, draft: Path, on_event: OnEvent = ignore
) -> tuple[BundleCard, Parity]:
    """Write the bundle into the folder `draft`, which no reader sees, and judge it; return its card and parity.

    Raises:
        ModelError: the network cannot be exported.
        ParityFailed: it does not answer as the model.
    """
    operating = operating_of(run, options.require, options.recall, on_event)
    gate = Gate.of(run, graph_limits(run), on_event)
    try:
        return _judged(run, options, operating, gate, draft, on_event)
    except ParityFailed as refused:
        if options.to != "onnx" or options.input is not None or BUNDLE_FORMAT.load(draft / MODEL_JSON).input == "crop":
            raise
        on_event(Message(f"with photos as its input, {refused.parity.failures[0]}; trying views", "warning"))
        for path in draft.iterdir():
            path.unlink()
        return _judged(run, replace(options, input="crop"), operating, gate, draft, on_event)


def _judged(
    run: TrainedRun, options: ExportOptions, operating: Operating, gate: Gate, draft: Path, on_event: OnEvent
) -> tuple[BundleCard, Parity]:
    on_event(Message(f"Exporting {run.card.model} for {options.to} in {options.precision}"))
    _write_graph(run, options, operating, draft, on_event)
    factor = _fitted_temperature(gate, options, draft)
    parity, seen = gate.parity(draft, options.precision, options.max_drop, factor)
    if not parity.passed:
        raise ParityFailed(run.run_store.uri, parity)
    write_json(draft / PARITY, parity.to_json())
    if gate.kind == "classes":
        write_json(draft / MONITOR_JSON, _monitor(run, gate, seen, operating))
    return _with_files(draft), parity


def check_options(options: ExportOptions, processor: Processor) -> tuple[str, ...]:
    """Return the warnings of options on a processor.

    Raises:
        UserError: they cannot take effect.
        ModelError: the runtime is not installed.
    """
    if reason := _refusal(options):
        raise UserError(reason)
    needed = (*_MODULES[options.to], *(("nncf",) if options.to == "openvino" and options.precision == "int8" else ()))
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        extra = "openvino" if missing[0] in ("openvino", "nncf") else "export"
        raise ModelError(f"{missing[0]} is not installed; run `pip install 'raytl[{extra}]'`")
    warnings = []
    if options.precision == "bf16" and not processor.has_bf16:
        warnings.append(f"this processor ({processor.name}) has no bf16: OpenVINO computes in fp32 or slower here")
    if options.precision == "int8" and not processor.has_int8:
        warnings.append(
            f"this processor ({processor.name}) has no dot products of int8 (VNNI): int8 gains less here, and its weights have 7 "
            "bits"
        )
    return tuple(warnings)


def _refusal(options: ExportOptions) -> str:
    """Return why the options cannot take effect; empty if they can."""
    to, precision = options.to, options.precision
    if to not in _MODULES:
        return f"--to {to}: expected one of {', '.join(_MODULES)}"
    if precision not in ("fp32", "bf16", "int8"):
        return f"--precision {precision}: expected one of fp32, bf16, int8"
    if options.input not in (None, "photo", "crop"):
        return f"--input {options.input}: expected photo or crop"
    if to == "onnx" and precision == "bf16":
        return "--precision bf16: ONNX Runtime has no bf16 kernels for CPUs; use --to openvino, or fp32 or int8"
    if to == "torch" and precision != "fp32":
        return f"--precision {precision}: torch bundles are in fp32; use --to openvino or --to onnx"
    if options.input == "photo" and to == "openvino":
        return "--input photo: OpenVINO resizes otherwise than raytl (a quarter of the values differ by one level); use --input crop"
    if options.input == "photo" and to == "torch":
        return "--input photo: an exported program of torch has views of one size; use --input crop"
    if not 0 <= options.max_drop <= 100:
        return f"--max-drop {options.max_drop:g}: expected points from 0 to 100"
    return ""


def _write_graph(run: TrainedRun, options: ExportOptions, operating: Operating, draft: Path, on_event: OnEvent) -> None:
    if options.to == "torch":
        write_base(run, run.saved, draft, "crop", runtime="torch", operating=operating)
        return
    wanted: Input = options.input or ("photo" if options.to == "onnx" else "crop")
    if options.to == "onnx" and options.precision == "fp32":
        _photo_or_crop(
            options, wanted, on_event, lambda input: write_base(run, run.saved, draft, input, operating=operating)
        )
        return
    with tempfile.TemporaryDirectory(dir=draft.parent, prefix=f".{draft.name.strip('.')}.base-") as scratch:
        base = Path(scratch)
        _photo_or_crop(
            options, wanted, on_event, lambda input: write_base(run, run.saved, base, input, operating=operating)
        )
        card = read_bundle(base)
        candidate = Candidate(options.name, options.to, options.precision)

        def calibration() -> CalibrationImages:
            return _calibration(run, card.input == "photo", on_event)

        write_variant(base, draft, candidate, calibration)


def _photo_or_crop(options: ExportOptions, wanted: Input, on_event: OnEvent, write: Callable[[Input], object]) -> None:
    """Write with the `wanted` input; with crop if photo was not asked for and ONNX lacks the model's interpolation."""
    try:
        write(wanted)
    except ModelError as error:
        if options.input is not None or not str(error).startswith("--input photo"):
            raise
        on_event(Message(f"{error}; the bundle takes views", "warning"))
        write("crop")


def _calibration(run: TrainedRun, is_photo: bool, on_event: OnEvent) -> CalibrationImages:
    samples = run.calibration_samples(on_event)
    view = {"frame": None} | run.card.preprocess.to_json()
    images = calibration_images(samples, run.pixels if is_photo else run.decode, view, is_photo=is_photo)
    on_event(Message(f"calibration: {len(images.samples)} training images ({images.digest[:12]})"))
    return images


def _fitted_temperature(gate: Gate, options: ExportOptions, draft: Path) -> float:
    """Fit the temperature of an int8 bundle again on validation; return the factor by which it changed."""
    if options.precision != "int8":
        return 1.0
    factor = gate.temperature_factor(draft)
    if abs(np.log(factor)) < _SETTLED:
        return 1.0
    scale_temperature(draft / read_bundle(draft).graph, factor)
    _with_files(draft)
    return factor


def _monitor(run: TrainedRun, gate: Gate, seen: Seen, operating: Operating) -> dict[str, Any]:
    """Return the reference of the monitor: the validation images as the bundle sees them."""
    limit, confidence = operating.thresholds.unfamiliar, softmax(np.stack(seen.answers)).max(axis=1)
    distance = None
    if limit is not None and operating.reference is not None and seen.features is not None:
        distance = knn_distance(seen.features, operating.reference, limit.neighbors)
    return monitor_reference(run.card.digest, confidence, distance, gate.properties())


def _with_files(draft: Path) -> BundleCard:
    """Write the card of the bundle in `draft` with the digests of its files as they are now; return it."""
    card = BUNDLE_FORMAT.load(draft / MODEL_JSON)
    names = sorted(path.name for path in draft.iterdir() if path.is_file() and path.name != MODEL_JSON)
    whole = replace(card, files={name: entry_of(draft / name) for name in names})
    write_json(draft / MODEL_JSON, whole.to_json())
    return whole


def _refuse_existing(place: Path, force: bool) -> None:
    if not place.exists():
        return
    is_bundle = place.is_dir() and (place / MODEL_JSON).is_file()
    is_empty = place.is_dir() and next(place.iterdir(), None) is None
    if is_empty or (is_bundle and force):
        return
    if is_bundle:
        raise UserError(f"{place}: there is a bundle; expected a new folder. Remove it, or replace it with --force")
    raise UserError(
        f"{place}: found {'a folder with other files' if place.is_dir() else 'a file'}; expected a new folder"
    )


def _into_registry(
    text: str, run: TrainedRun, options: ExportOptions, force: bool, warnings: Sequence[str], on_event: OnEvent
) -> Exported:
    """Export a version, and store the bundle beside it in its registry."""
    registry, record, _ = fetched(text, on_event, run.s3)
    if options.name in bundle_uris(registry, record) and not force:
        raise UserError(
            f"{text}: version {record.number} has a bundle {options.name}; expected none. Replace it with --force"
        )
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / options.name
        draft.mkdir()
        card, parity = write_bundle(run, options, draft, on_event)
        uri = put_bundle(registry, record, draft, options.name, replace=force)
        return _exported(uri, draft, card, parity, warnings)


def _exported(out: str, place: Path, card: BundleCard, parity: Parity, warnings: Sequence[str]) -> Exported:
    size = sum(entry.bytes for entry in card.files.values())
    with suppress(OSError):
        size += (place / MODEL_JSON).stat().st_size
    return Exported(out, card, parity, tuple(warnings), size)
