"""Open a bundle, which may come from anywhere: its card is read through the schema and its files are checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raytl.bundle.card import BundleCard, read_bundle
from raytl.bundle.client import Model
from raytl.errors import ModelError

_EXTRAS = {"onnx": "export", "openvino": "openvino", "torch": "export"}


@dataclass(frozen=True, eq=False)
class OpenBundle:
    """A bundle that is ready to run, and its card."""

    card: BundleCard
    model: Model


def open_bundle(folder: str | Path, threads: int = 0, *, is_own: bool = False) -> OpenBundle:
    """Return the bundle in `folder`, run with so many threads; 0 = one for each core.

    `torch.export.load` unpickles its file, which may run any code, so a bundle for torch is opened only if it `is_own`: if this
    process wrote it.

    Raises:
        ModelError: it is not a bundle, it is damaged, it is for torch, or its runtime is not installed or cannot open it.
    """
    card = read_bundle(folder)
    if card.runtime == "torch" and not is_own:
        raise ModelError(
            f"{folder}: raytl does not open a bundle for torch, as its file can run code when it is opened; expected one for onnx "
            "or openvino. Run `raytl export --to onnx`"
        )
    try:
        return OpenBundle(card, Model(folder, threads))
    except ImportError as error:
        extra = _EXTRAS[card.runtime]
        raise ModelError(
            f"{folder}: {error.name} is not installed; expected the runtime of this {card.runtime} bundle. Run "
            f"`pip install 'raytl[{extra}]'`"
        ) from error
    except Exception as error:  # runtimes raise errors of their own
        raise ModelError(
            f"{folder}: {card.runtime} cannot open {card.graph} ({error}); export the model again"
        ) from error
