"""Read torch.save files without running code from them.

torch's `weights_only` unpickler builds only tensors and plain containers. Checkpoints also hold records: arguments,
paths, dates, numpy numbers. Each type in `_RECORDS` becomes an empty stand-in, so that neither the type nor its package
is imported, called or given a state. Any other type is an error that names it.
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
"""Record types by module: from the standard library, numpy, and the configurations of trainers."""

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
"""Mapping types by module: their items are read, because they may be tensors."""

_SEQUENCES = {"collections": ("deque",)}

_TYPE = re.compile(r"GLOBAL ([\w.]+)")


class _Record:
    """Stand in for an object whose content is not read: accept and drop any arguments and state."""

    def __new__(cls, *args: object, **kwargs: object) -> _Record:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        return None


class _Mapping:
    """Stand in for a subclass of dict: the unpickler fills only plain mappings."""

    def __new__(cls, *args: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _Sequence:
    """Stand in for a sequence: the unpickler fills only plain lists."""

    def __new__(cls, *args: object) -> list[Any]:  # type: ignore[misc]
        return []


_STAND_INS = [
    (stand_in, f"{module}.{name}")
    for stand_in, types in ((_Record, _RECORDS), (_Mapping, _MAPPINGS), (_Sequence, _SEQUENCES))
    for module, names in types.items()
    for name in names
]


def read_pickle(path: Path) -> object:
    """Return the content of a torch.save file, with tensors on the CPU and stand-ins for records.

    Raises:
        ModelError: the file holds an object of another type, is a TorchScript program or damaged, or inflates to far more
            than its size.
    """
    _check_inflated_size(path)
    try:
        with safe_globals(cast(list[Any], _STAND_INS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and pickle protocols, which are errors below
            return cast(object, torch.load(path, map_location="cpu", weights_only=True))
    except Exception as exc:  # torch raises UnpicklingError, EOFError, RuntimeError, KeyError, ...
        raise ModelError(
            f"model.weights: {path} cannot be read as plain tensors ({_reason(exc)}). raytl runs no code from "
            "weight files: save the state dict with safetensors.torch.save_file"
        ) from exc


def content_limit_bytes(path: Path) -> int:
    """Return the limit in bytes for the content of a weight file, inflated and with every tensor contiguous."""
    return max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)


def _check_inflated_size(path: Path) -> None:
    """Raise a ModelError for a compressed file that inflates to far more than its size; torch.save does not compress."""
    try:
        with zipfile.ZipFile(path) as packed:
            total = sum(entry.file_size for entry in packed.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):  # another format, or damaged: torch reports it
        return
    if total > content_limit_bytes(path):
        raise ModelError(
            f"model.weights: {path} inflates to {total:,} bytes, more than {BOMB_RATIO} times its size; expected an "
            "uncompressed file, as torch.save writes it. Save it again"
        )


def _reason(exc: Exception) -> str:
    text = str(exc)
    if match := _TYPE.search(text):
        return f"it holds an object of type {match[1]}"
    if "TorchScript" in text:
        return "it is a TorchScript program"
    if "Unsupported operand" in text:
        return "its pickle protocol is not 2, the default of torch.save"
    return type(exc).__name__
