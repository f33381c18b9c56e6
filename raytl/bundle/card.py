"""`model.json` of a bundle as a value: enough to run the model, to check its files, and to know where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from raytl.bundle.client import MODEL_JSON
from raytl.errors import ModelError
from raytl.stored import Format
from raytl.stored.bounds import Bound, Classes, Name, at_most, within
from raytl.stored.files import FileEntry

Runtime = Literal["onnx", "openvino", "torch"]
Precision = Literal["fp32", "bf16", "int8"]
Input = Literal["photo", "crop"]
Fraction = Annotated[float, within(0, 1)]
_Side = Annotated[int, within(1, 8192, "pixels")]
_Color = Annotated[tuple[Annotated[int, within(0, 255)], ...], at_most(3, "channels")]
_FileName = Annotated[
    str, Bound("a plain file name", lambda name: 0 < len(name) < 100 and "/" not in name and not name.startswith("."))
]


@dataclass(frozen=True, slots=True)
class View:
    """The steps from an upright RGB photo to the pixels that the network sees; see `raytl.data.transforms.Preprocess`.

    `pad` is the color around images that are fitted into `frame` (width, height). Normalization is in the graph.
    """

    image_px: _Side
    resize_px: _Side
    crop_mode: Literal["center", "squash", "fit"]
    interpolation: Literal["nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos"]
    bits: Annotated[int, within(8, 16)] = 16
    bits_fixed: bool = False
    frame: tuple[_Side, _Side] | None = None
    pad: _Color = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Unfamiliar:
    """A photo is unfamiliar if its distance to neighbor number `neighbors` of the features in `file` exceeds `distance`."""

    file: _FileName
    neighbors: Annotated[int, within(1, 1000)]
    distance: Annotated[float, within(0, 2.01)]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The operating points that the bundle applies; None or empty = not applied.

    `answer` is the least confidence of an answer, `recall` the least probability to count as a class, `member` that of a class
    of the prediction set, `labels` that of each label of a multi-label model, and `score` the least of a reported object.
    """

    answer: Fraction | None = None
    recall: Annotated[Mapping[Name, Fraction], at_most(100_000, "classes")] = field(default_factory=dict)
    member: Fraction | None = None
    labels: Annotated[tuple[Fraction, ...], at_most(100_000, "labels")] = ()
    score: Fraction | None = None
    unfamiliar: Unfamiliar | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a bundle: texts to show, never to follow.

    `weights` is the digest of the saved model, `snapshot` that of the data, `calibration` that of the images of int8. `machine` is
    the processor that the parity and the latency were measured on, with the `cpu_flags` that matter.
    """

    run: Name
    weights: Name
    raytl: Name
    created: Name
    snapshot: Name | None = None
    calibration: Name | None = None
    machine: Name = ""
    cpu_flags: Annotated[tuple[Name, ...], at_most(100, "flags")] = ()


@dataclass(frozen=True, slots=True)
class BundleCard:
    """An exported model. `graph` is the file that the runtime opens; `files` has every file but this one.

    With `input: photo`, the graph takes an upright photo `(1, height, width, 3) uint8` of any size; with `crop`, views
    `(n, height, width, 3) uint8` that the client makes. `outputs` are the names of the graph's results in order.
    """

    format: Literal[1]
    task: Name
    kind: Literal["classes", "labels", "objects", "map"]
    model: Name
    classes: Classes
    runtime: Runtime
    precision: Precision
    input: Input
    graph: _FileName
    outputs: Annotated[tuple[Name, ...], at_most(16, "outputs")]
    view: View
    thresholds: Thresholds
    origin: Origin
    files: Annotated[Mapping[_FileName, FileEntry], at_most(64, "files")]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


BUNDLE_FORMAT = Format[BundleCard](
    BundleCard,
    "an exported model",
    "Export the model again with `raytl export`.",
    ModelError,
    max_bytes=32 << 20,
)


def read_bundle(folder: str | Path) -> BundleCard:
    """Return the card of the bundle in `folder`, after every file is compared with its digest.

    Raises:
        ModelError: it is not a bundle, the card is damaged, or a file is missing or changed.
    """
    root = Path(folder)
    if not (root / MODEL_JSON).is_file():
        raise ModelError(f"{root}: no {MODEL_JSON}; expected a bundle of `raytl export`. Name the folder that it wrote")
    card = BUNDLE_FORMAT.load(root / MODEL_JSON)
    problems = [line for name, entry in card.files.items() if (line := _fault(root / name, entry))]
    unfamiliar = card.thresholds.unfamiliar
    opened = (card.graph, *([] if unfamiliar is None else [unfamiliar.file]))
    problems += [f"{name}: not in the list of files" for name in opened if name not in card.files]
    if problems:
        raise ModelError(f"{root}: the bundle is damaged; export it again:\n" + "\n".join(problems))
    return card


def entry_of(path: Path) -> FileEntry:
    """Return the entry of a file."""
    with path.open("rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _fault(path: Path, entry: FileEntry) -> str:
    if not path.is_file():
        return f"{path.name}: missing"
    if path.stat().st_size != entry.bytes:
        return f"{path.name}: {path.stat().st_size:,} bytes; expected {entry.bytes:,}"
    return "" if entry_of(path).sha256 == entry.sha256 else f"{path.name}: its sha256 differs"
