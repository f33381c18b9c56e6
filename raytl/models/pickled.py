"""Read what torch.save wrote without running code from it.

torch's `weights_only` unpickler builds tensors and plain containers alone. Checkpoints hold records beside the tensors:
arguments, paths, dates, numpy numbers. Each name in `_RECORDS` becomes an empty stand-in, so that neither the type itself
nor anything of its package is imported, called or given a state. Any other name is refused, and the error says which.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, cast

import torch
from torch.serialization import safe_globals

from raytl.errors import ModelError
from raytl.store.counted import BOMB_BYTES, BOMB_RATIO

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

_RECORDS = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "builtins": (
        "bool",
        "bytes",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "object",
        "range",
        "slice",
        "str",
        "tuple",
    ),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID", "SafeUUID"),
    "typing": ("Any",),
    **dict.fromkeys(
        ("pathlib", "pathlib._local"),  # Python 3.13 moved the classes
        ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    ),
    **dict.fromkeys(_NUMPY, ("_reconstruct", "scalar")),
    **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
    "numpy": (
        *("bool", "bool_", "dtype", "ndarray", "str_", "float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    ),
    "torch.torch_version": ("TorchVersion",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "PathNode", "StringNode"),
}
"""Types of records by module: those of the standard library, of numpy, and of the configurations of trainers."""

_MAPPINGS = {
    "collections": ("defaultdict",),
    "lightning.fabric.utilities.data": ("AttributeDict",),
    "lightning.pytorch.utilities.parsing": ("AttributeDict",),
    "lightning_fabric.utilities.data": ("AttributeDict",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
    "yacs.config": ("CfgNode",),
    "fvcore.common.config": ("CfgNode",),
    "easydict": ("EasyDict",),
    "addict.addict": ("Dict",),
}
"""Mappings by module: what they hold is read, as it may be tensors."""

_SEQUENCES = {"collections": ("deque",)}

_TYPE = re.compile(r"GLOBAL ([\w.]+)")


class _Record:
    """Stands for an object whose content stays in the file: it takes any arguments and any state, and keeps none."""

    def __new__(cls, *args: object, **kwargs: object) -> _Record:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        return None


class _Mapping:
    """Stands for a subclass of dict: the unpickler fills plain mappings alone."""

    def __new__(cls, *args: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _Sequence:
    """Stands for a sequence: the unpickler fills plain lists alone."""

    def __new__(cls, *args: object) -> list[Any]:  # type: ignore[misc]
        return []


_STAND_INS = [
    (stand_in, f"{module}.{name}")
    for stand_in, types in ((_Record, _RECORDS), (_Mapping, _MAPPINGS), (_Sequence, _SEQUENCES))
    for module, names in types.items()
    for name in names
]


def read_pickle(place: Path) -> object:
    """Return what torch.save wrote into the file at `place`, with tensors on the CPU and stand-ins for records.

    Raises:
        ModelError: the file holds an object of another type, is a TorchScript program, or is not whole; or it inflates to
            far more than its size.
    """
    _refuse_swollen(place)
    try:
        with safe_globals(cast(list[Any], _STAND_INS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript and of pickle protocols, which are errors below
            return cast(object, torch.load(place, map_location="cpu", weights_only=True))
    except Exception as exc:  # torch raises UnpicklingError, EOFError, RuntimeError, KeyError ... for a wrong file
        raise ModelError(
            f"model.weights: {place} cannot be read as tensors alone ({_reason(exc)}). raytl runs no code from "
            "weight files: save its state dict with safetensors.torch.save_file"
        ) from exc


def most_bytes(place: Path) -> int:
    """Return how many bytes a file of weights may hold, inflated and with every tensor written out."""
    return max(BOMB_BYTES, BOMB_RATIO * place.stat().st_size)


def _refuse_swollen(place: Path) -> None:
    """Raise a ModelError for a compressed file that holds far more than its size; torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(place) as packed:
            total = sum(entry.file_size for entry in packed.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):  # of another format, or broken: torch says what it is
        return
    if total > most_bytes(place):
        raise ModelError(
            f"model.weights: {place} inflates to {total:,} bytes, more than {BOMB_RATIO} times its size; expected a file as "
            "torch.save writes it. Save it again"
        )


def _reason(exc: Exception) -> str:
    text = str(exc)
    if found := _TYPE.search(text):
        return f"it holds an object of the type {found[1]}"
    if "TorchScript" in text:
        return "it is a TorchScript program"
    if "Unsupported operand" in text:
        return "it was written with another pickle protocol than torch.save's default, 2"
    return type(exc).__name__
