"""Pretrained tensors from files, bundles and runs, without running code from them, and fitting them on a module."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.card import CARD, WEIGHTS, bundle_directory, read_card
from raytl.models.stages import is_under
from raytl.registry.reader import fetched as published
from raytl.registry.reference import is_reference
from raytl.store.sync import pull

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
_SHOWN = 8


@dataclass(frozen=True)
class Source:
    """Tensors by name, float32, and the preprocessing, architecture and classes that came with them where they did."""

    state: Mapping[str, Tensor]
    preprocess: Preprocess | None = None
    model: str | None = None
    classes: tuple[str, ...] = ()


def read(path: str | Path) -> Source:
    """The tensors of a .safetensors or .pth file, a saved model, a run's best checkpoint, here or behind a URI, or a version.

    Raises:
        ModelError: nothing is there, or it holds more than tensors.
        StoreError: the store behind the URI cannot be read.
    """
    place = _fetched(path) if is_reference(path) or "://" in str(path) else Path(path)
    if place.is_dir():
        return _read_bundle(place)
    if not place.is_file():
        raise ModelError(
            f"model.weights: there is no file {place}; expected pretrained, none, a .safetensors or .pth file, or a run folder"
        )
    raw = _read_safetensors(place) if place.suffix == ".safetensors" else _read_pickle(place)
    return Source(unwrap(raw, place))


def unwrap(raw: object, place: Path) -> dict[str, Tensor]:
    """The tensors inside a training checkpoint, names without the prefixes of wrappers, half precision as float32."""
    while isinstance(raw, Mapping) and not _is_state(raw):
        inner = [raw[key] for key in _WRAPPERS if isinstance(raw.get(key), Mapping)]
        if not inner:
            break
        raw = inner[0]
    if not isinstance(raw, Mapping) or not _is_state(raw):
        raise ModelError(
            f"model.weights: {place} holds no state dict (found {_found(raw)}); save model.state_dict() in it"
        )
    return {_clean(str(name)): _float32(value) for name, value in raw.items() if isinstance(value, Tensor)}


def fit(module: nn.Module, state: Mapping[str, Tensor], head: Sequence[str], where: str) -> None:
    """Load all of `state` but the head into `module`; the head (names of its tensors) keeps its fresh start.

    Raises:
        ModelError: `state` is of another architecture; names the keys and shapes.
    """
    own = {name: tensor for name, tensor in module.state_dict().items() if name not in head}
    paths = {name.rpartition(".")[0] for name in head}
    given = {name: tensor for name, tensor in state.items() if not is_under(name, tuple(paths))}
    problems = [
        _listing("missing", [n for n in own if n not in given and not n.endswith("num_batches_tracked")]),
        _listing("unexpected", [n for n in given if n not in own]),
        _listing(
            "of another shape",
            [_shapes(n, given[n], own[n]) for n in own if n in given and own[n].shape != given[n].shape],
        ),
    ]
    if any(problems):
        raise ModelError(
            f"model.weights: {where} is not for this architecture:\n"
            + "\n".join(f"  {line}" for line in problems if line)
            + "\n  Set model.name to the model that the weights were made with"
        )
    module.load_state_dict({**given, **{n: t for n, t in module.state_dict().items() if n not in given}})


def state_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 hex over names, types, shapes and bytes of the tensors, whatever their order."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _fetched(uri: str | Path) -> Path:
    """The file, or the saved model's folder, in this node's cache."""
    if is_reference(uri):
        return published(str(uri))[2]
    above, _, name = str(uri).rstrip("/").rpartition("/")
    if Path(name).suffix in _SUFFIXES:
        return pull(above, only={name}) / name
    saved = {f"{folder}{file}" for folder in ("", "checkpoints/best/") for file in (CARD, WEIGHTS)}
    return pull(str(uri), only=saved)


def _read_bundle(folder: Path) -> Source:
    bundle = bundle_directory(folder)
    if bundle is None:
        raise ModelError(
            f"model.weights: {folder} is a folder without a saved model; expected a run folder with checkpoints/best"
        )
    card = read_card(bundle)
    return Source(unwrap(_read_safetensors(bundle / WEIGHTS), bundle), card.preprocess, card.model, card.classes)


def _read_safetensors(place: Path) -> dict[str, Tensor]:
    try:
        return load_file(place)
    except (SafetensorError, OSError) as exc:
        raise ModelError(
            f"model.weights: {place} cannot be read as safetensors ({exc}); copy or download it again"
        ) from exc


def _read_pickle(place: Path) -> object:
    try:
        return cast(object, torch.load(place, map_location="cpu", weights_only=True))
    except Exception as exc:  # torch raises UnpicklingError, EOFError, RuntimeError, KeyError ... for a wrong file
        raise ModelError(
            f"model.weights: {place} cannot be read as tensors alone ({type(exc).__name__}). raytl runs no code from "
            "weight files: save its state dict with safetensors.torch.save_file"
        ) from exc


def _is_state(raw: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in raw.values())


def _found(raw: object) -> str:
    return (
        f"a mapping with keys {', '.join(map(str, list(raw)[:_SHOWN]))}"
        if isinstance(raw, Mapping)
        else type(raw).__name__
    )


def _clean(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _listing(kind: str, items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{len(items)} {kind}: {', '.join(items[:_SHOWN])}{more}" if items else ""


def _shapes(name: str, given: Tensor, own: Tensor) -> str:
    return f"{name} {tuple(given.shape)} where the model has {tuple(own.shape)}"
