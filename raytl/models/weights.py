"""Read pretrained tensors from files, saved models and runs without running code from them, and load them into a module."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.card import CARD, WEIGHTS, read_card, saved_model_directory
from raytl.models.pickled import content_limit_bytes, read_pickle
from raytl.models.stages import is_under
from raytl.models.state_dicts import Candidate, State, Taken, candidates_in
from raytl.models.state_dicts import take as _take
from raytl.registry.reader import fetched as published
from raytl.registry.reference import is_reference
from raytl.run.mirror import BEST, WHOLE
from raytl.run.run_store import RunStore
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import pull
from raytl.uris import has_scheme

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
_LISTED = 8
_FITS = 0.9
"""Fraction of matching tensors from which a file counts as being of this model."""


@dataclass(frozen=True)
class Source:
    """The state dicts in a file, with their preprocessing, architecture, classes and pruned fraction if the file has them."""

    candidates: tuple[Candidate, ...]
    preprocess: Preprocess | None = None
    model: str | None = None
    classes: tuple[str, ...] = ()
    name: str = ""
    pruned: float | None = None

    @property
    def state(self) -> State:
        """Return the tensors of a saved model, which has one state dict."""
        return self.candidates[0].tensors


def read(path: str | Path, s3: S3Settings = ENVIRONMENT) -> Source:
    """Read a .safetensors or .pth file, a saved model or a run's best checkpoint (a path or a URI), or a model version.

    Raises:
        ModelError: the file is missing, or holds more than tensors.
        StoreError: the store of the URI cannot be read.
    """
    place = _fetched(path, s3) if is_reference(path) or has_scheme(str(path)) else Path(path)
    if place.is_dir():
        return _read_saved(place)
    if not place.is_file():
        raise ModelError(
            f"model.weights: no file {place}; expected pretrained, none, a .safetensors or .pth file, or a run folder"
        )
    raw = _read_safetensors(place) if place.suffix == ".safetensors" else read_pickle(place)
    candidates = candidates_in(raw)
    if not candidates:
        raise ModelError(
            f"model.weights: {place} contains no state dict (found {_contents(raw)}); save model.state_dict() to it"
        )
    _check_expanded_size(candidates, place)
    return Source(candidates, name=place.name)


def is_weights_file(text: str) -> bool:
    """Return whether `text` names a file of tensors, by its ending."""
    return Path(text).suffix in _SUFFIXES


def take(
    source: Source, module: nn.Module, head: Sequence[str], adapt: Callable[[State], State] = lambda state: state
) -> Taken:
    """Return the state dict of `source` that matches `module` without its `head`, with half precision as float32.

    `adapt` renames and resizes tensors as the library of the module does.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items() if _is_wanted(name, head)}
    taken = _take(source.candidates, wanted, adapt)
    return replace(taken, tensors={name: _float32(tensor) for name, tensor in taken.tensors.items()})


def fit(module: nn.Module, state: State, head: Sequence[str], where: str) -> None:
    """Load `state` without the head into `module`; `head` lists the head's tensors by name.

    Raises:
        ModelError: `state` is of another architecture or incomplete; the error lists keys and shapes.
    """
    own = {name: tensor for name, tensor in module.state_dict().items() if name not in head}
    paths = {name.rpartition(".")[0] for name in head}
    given = {name: tensor for name, tensor in state.items() if not is_under(name, tuple(paths))}
    wanted = [name for name in own if _is_wanted(name, head)]
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in own]
    reshaped = [name for name in own if name in given and own[name].shape != given[name].shape]
    if missing or unexpected or reshaped:
        problems = [
            _listing("missing", [_near(name, unexpected) for name in missing[:_LISTED]], len(missing)),
            _listing("unexpected", unexpected[:_LISTED], len(unexpected)),
            _listing("with another shape", [_shapes(n, given[n], own[n]) for n in reshaped[:_LISTED]], len(reshaped)),
        ]
        raise ModelError(
            f"model.weights: {where} does not match this architecture:\n"
            + "".join(f"  {line}\n" for line in problems if line)
            + f"  {_advice(len(wanted), len(missing) + len(reshaped), len(unexpected))}"
        )
    module.load_state_dict({**given, **{n: t for n, t in module.state_dict().items() if n not in given}})


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 hex digest of the names, dtypes, shapes and bytes of the tensors, in any order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fetched(uri: str | Path, s3: S3Settings) -> Path:
    """Return the file, or the folder of the saved model, in the cache of this node."""
    if is_reference(uri):
        return published(str(uri), s3=s3)[2]
    above, _, name = str(uri).rstrip("/").rpartition("/")
    if Path(name).suffix in _SUFFIXES:
        return pull(above, only={name}, s3=s3) / name
    if open_store(str(uri), s3).exists(f"{BEST}/{WHOLE}"):  # a run: the files of its checkpoint are below a token
        return RunStore.open(str(uri), s3).folder.root
    saved = {f"{folder}{file}" for folder in ("", "checkpoints/best/") for file in (CARD, WEIGHTS)}
    return pull(str(uri), only=saved, s3=s3)


def _read_saved(folder: Path) -> Source:
    saved = saved_model_directory(folder)
    if saved is None:
        raise ModelError(
            f"model.weights: no saved model in {folder}; expected a run folder with checkpoints/best{_files_in(folder)}"
        )
    card, tensors = read_card(saved), _read_safetensors(saved / WEIGHTS)
    if state_digest(tensors) != card.digest:
        raise ModelError(f"model.weights: {saved / WEIGHTS} does not match the digest in {CARD}; copy both files again")
    return Source((Candidate("", tensors),), card.preprocess, card.model, card.classes, folder.name, card.pruned)


def _files_in(folder: Path) -> str:
    """Return a hint with the weight files in the folder."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in _SUFFIXES)
    return f". Name a file in it: {', '.join(names[:_LISTED])}" if names else ""


def _read_safetensors(place: Path) -> dict[str, Tensor]:
    try:
        return load_file(place)
    except (SafetensorError, OSError) as exc:
        raise ModelError(
            f"model.weights: {place} cannot be read as safetensors ({exc}); copy or download it again"
        ) from exc


def _check_expanded_size(candidates: Sequence[Candidate], place: Path) -> None:
    """Raise a ModelError for tensors that are expanded views of a few bytes and would be far larger once copied."""
    tensors = {id(tensor): tensor for candidate in candidates for tensor in candidate.tensors.values()}
    total = sum(tensor.numel() * max(4, tensor.element_size()) for tensor in tensors.values())
    if total > content_limit_bytes(place):
        raise ModelError(
            f"model.weights: the tensors in {place} take {total:,} bytes, far more than the file; expected "
            "contiguous tensors. Save contiguous ones"
        )


def _contents(raw: object) -> str:
    return (
        f"a mapping with keys {', '.join(map(str, list(raw)[:_LISTED]))}"
        if isinstance(raw, Mapping)
        else type(raw).__name__
    )


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _is_wanted(name: str, head: Sequence[str]) -> bool:
    """Return True for tensors that a file must have: not BatchNorm counters, which older files lack, and not the head."""
    return name not in head and not name.endswith("num_batches_tracked")


def _listing(kind: str, names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"{count} {kind}: {', '.join(names)}{more}" if count else ""


def _near(name: str, others: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.8)
    return f"{name} (the file has {close[0]})" if close else name


def _advice(wanted: int, wrong: int, unexpected: int) -> str:
    if wrong + unexpected > (1 - _FITS) * wanted:
        return "Set model.name to the architecture of the weights"
    return (
        f"The other {wanted - wrong} of {wanted} tensors match, so the file is of this model, but incomplete or modified. "
        "Save the complete state_dict() of the unmodified model to it"
    )


def _shapes(name: str, given: Tensor, own: Tensor) -> str:
    return f"{name} {tuple(given.shape)} where the model has {tuple(own.shape)}"
