"""A linear probe: the head solved as multinomial logistic regression on the features of the network.

Fine-tuning starts from it (LP-FT, Kumar et al. 2022), and it is a recipe of every sweep.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import local
from typing import Annotated

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.errors import DataError, ModelError, RunError
from raytl.metrics.scores import scores as val_scores
from raytl.models.backbone import Backbone
from raytl.models.forward import BatchLike, forward, is_channels_last
from raytl.models.parallel import computed
from raytl.models.solved_head import PATIENCE, ROUNDING, STRENGTHS, Head, OnStep, precision_of, solve_path
from raytl.models.tensors import save_tensors
from raytl.run.atomic import atomic_dir, recover_dir, write_json
from raytl.stored import Format
from raytl.stored.bounds import Name, Score, at_most, matching, within

CARD = "probe.json"
_TENSORS = "probe.safetensors"
_CHECKED = 2
"""Images that show whether the logits are linear."""
_TOLERANCE = 0.05
"""Relative tolerance between bfloat16 logits and those computed from the inputs of the layer."""


@dataclass(frozen=True)
class Probe:
    """The `best` head by validation log loss, the `soft` head (the strongest penalty within one standard error of the
    best accuracy), and the validation scores by strength."""

    best: Head
    soft: Head
    scores: dict[float, dict[str, float]]
    seconds: float

    def start(self, depth: int) -> Head:
        """Return the initial head for fine-tuning `depth` stages: the best one if only the head trains, else the soft one.

        From the best head, the loss on the training images is so small that gradients to the stages are mostly noise:
        measured in experiments/LOG.md.
        """
        return self.soft if depth else self.best


def solve(
    train: Tensor,
    targets: Tensor,
    val: Tensor,
    val_targets: Tensor,
    classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    intercept: bool = True,
    on_step: OnStep = lambda: None,
) -> Probe:
    """Solve heads for features `train (n, d)` and select their penalty strengths on `val (m, d)`.

    L-BFGS solves each penalty on standardized features, strongest first, starting from the previous solution, and stops
    after two penalties in a row with a worse log loss. The soft head has the strongest penalty with an accuracy within
    one standard error of the best (the one-standard-error rule of Breiman et al. 1984).
    Without `intercept` the bias is zero, for layers without one.

    Raises:
        ModelError: a feature is not finite.
    """
    assert strengths and min(strengths) > 0, "without a penalty the weights of separable classes diverge"
    started = time.monotonic()
    loss = nn.CrossEntropyLoss(_tensor(weights, precision_of(train, classes)), label_smoothing=label_smoothing)
    scores: dict[float, dict[str, float]] = {}
    heads: dict[float, Head] = {}
    solutions = solve_path(train, val, classes, lambda logits: loss(logits, targets), strengths, intercept, on_step)
    for head, logits in solutions:
        measured = {f"val/{name}": value for name, value in val_scores(val_targets.numpy(), logits.numpy()).items()}
        scores[head.strength], heads[head.strength] = measured, head
        best = min(scores, key=lambda strength: scores[strength]["val/log_loss"])
        if len(scores) > list(scores).index(best) + PATIENCE:
            break
    soft = _softest(scores, best, len(val))
    return Probe(heads[best], heads[soft], scores, time.monotonic() - started)


def _softest(scores: dict[float, dict[str, float]], best: float, count: int) -> float:
    accuracy = scores[best]["val/accuracy"]
    error = math.sqrt(accuracy * (1 - accuracy) / count)
    return max(strength for strength in scores if scores[strength]["val/accuracy"] >= accuracy - error)


def _tensor(values: Sequence[float] | None, dtype: torch.dtype) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=dtype)


def head_layer(backbone: Backbone) -> nn.Linear | nn.Conv2d:
    """Return the last linear layer (or 1 x 1 convolution) of the head.

    Raises:
        ModelError: the head has none.
    """
    layers = [
        part
        for path, part in backbone.module.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d) and f"{path}.weight" in backbone.head and _is_linear(part)
    ]
    if not layers:
        raise ModelError(
            f"{backbone.name}: its head ({', '.join(backbone.head)}) has no linear layer to solve; set "
            "search.linear_probe to false"
        )
    return layers[-1]


def _is_linear(layer: nn.Linear | nn.Conv2d) -> bool:
    return isinstance(layer, nn.Linear) or (layer.weight.shape[2:].numel() == 1 and layer.groups == 1)


def head_inputs(
    backbone: Backbone, batches: Iterable[BatchLike], device: torch.device, precision: torch.dtype
) -> Tensor:
    """Return the inputs of the head's last layer, `(n, d) float32`, in the order of the ids.

    Inputs at several positions of the image are averaged. The module is on `device` already and runs in evaluation
    mode; its mode and head are restored.

    Raises:
        ModelError: the head has no linear layer, or the logits are not linear in its inputs.
        DataError: there are no images.
    """
    layer, module, caught = head_layer(backbone), backbone.module, local()
    last = is_channels_last(module)

    def catch(_: nn.Module, given: tuple[Tensor]) -> None:
        caught.inputs = pooled_inputs(layer, given[0])

    def logits_of(images: Tensor) -> Tensor:
        return forward(module, images, backbone.preprocess, device, precision, last)

    def inputs(batch: BatchLike) -> Tensor:
        logits_of(batch.images)
        answered: Tensor = caught.inputs
        return answered.cpu()

    own = iter(batches)
    if (first := next(own, None)) is None:
        raise DataError("linear probe: found no images; expected some in train and in val")
    hook = layer.register_forward_pre_hook(catch)
    try:
        _check_linear(backbone, lambda: (logits_of(first.images[:_CHECKED]), caught.inputs))
        parts = computed(module, chain([first], own), inputs, device)
    finally:
        hook.remove()
    # Indexed outside inference mode, so that autograd accepts the results.
    return torch.cat([part for _, part in parts])[torch.cat([ids for ids, _ in parts]).argsort()]


def pooled_inputs(layer: nn.Linear | nn.Conv2d, given: Tensor) -> Tensor:
    """Return the inputs of the last layer of a head, averaged over the positions of the image: `(batch, d) float32` of `(batch, ..., d)`, or of `(batch, d, height, width)` for a convolution."""
    return averaged(layer, given.detach())


def averaged(layer: nn.Linear | nn.Conv2d, given: Tensor) -> Tensor:
    """Return the same as `pooled_inputs`, through which gradients flow."""
    values = given.float()
    if values.ndim == 2:
        return values
    return values.flatten(2).mean(2) if isinstance(layer, nn.Conv2d) else values.flatten(1, -2).mean(1)


def _check_linear(backbone: Backbone, answered: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Check that only averaging follows the last layer: `answered` returns logits of a few images, and the inputs of the layer,
    with a random head here (the new one is zero)."""
    layer, module = head_layer(backbone), backbone.module
    original = {name: tensor.detach().clone() for name, tensor in layer.named_parameters()}
    mode, draw = module.training, torch.Generator().manual_seed(0)
    module.eval()
    try:
        with torch.no_grad():
            for tensor in layer.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=draw))
            logits, inputs = answered()
            expected = inputs @ layer.weight.flatten(1).float().T
            expected = expected if layer.bias is None else expected + layer.bias.float()
    finally:
        module.train(mode)
        with torch.no_grad():
            for name, tensor in layer.named_parameters():
                tensor.copy_(original[name])
    if logits.shape != expected.shape or not bool((logits - expected).norm() <= _TOLERANCE * expected.norm()):
        raise ModelError(
            f"{backbone.name}: its logits are not linear in the inputs of the last layer of its head "
            f"({', '.join(backbone.head)}), so the head cannot be solved; set search.linear_probe to false"
        )


def install(backbone: Backbone, head: Head) -> None:
    """Copy the solved head into the network.

    Raises:
        ModelError: the head was solved for another network or other classes, or has a bias and the layer has none.
    """
    layer = head_layer(backbone)
    if layer.weight.shape[:2] != head.weight.shape:
        raise ModelError(
            f"{backbone.name}: the solved head is {_size(head.weight)}, but the network needs {_size(layer.weight)} (classes x "
            "features). Solve it again for this model and these classes"
        )
    # An equal bias for all classes changes no probability.
    if layer.bias is None and bool((head.bias - head.bias.mean()).abs().max() > ROUNDING):
        raise ModelError(
            f"{backbone.name}: the solved head has a bias, but the last layer of the network has none. Solve it again with "
            "intercept=False"
        )
    with torch.no_grad():
        layer.weight.copy_(head.weight.view_as(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(head.bias)


def _size(weight: Tensor) -> str:
    return " x ".join(str(size) for size in weight.shape[:2])


_Strength = Annotated[str, matching(r"\d+(\.\d+)?(e[+-]?\d{1,3})?", "a number above 0")]


@dataclass(frozen=True, slots=True)
class _ProbeCard:
    """The metadata of a saved probe: the strengths of both heads, the scores by strength, and the seconds spent."""

    best: float
    soft: float
    scores: Annotated[dict[_Strength, dict[Name, Score]], at_most(1000, "strengths")]
    seconds: Annotated[float, within(0, 1e9)]


PROBE_FORMAT = Format[_ProbeCard](
    _ProbeCard, "the card of a solved head", "Remove its folder, and the sweep solves it again."
)


def save(probe: Probe, folder: Path) -> None:
    """Write the probe to `folder` atomically."""
    tensors = {
        f"{name}.{part}": getattr(head, part)
        for name, head in (("best", probe.best), ("soft", probe.soft))
        for part in ("weight", "bias")
    }
    card = {
        "best": probe.best.strength,
        "soft": probe.soft.strength,
        "scores": {str(strength): values for strength, values in probe.scores.items()},
        "seconds": probe.seconds,
    }
    with atomic_dir(folder) as draft:
        save_tensors(tensors, draft / _TENSORS)
        write_json(draft / CARD, card)


def load(folder: Path) -> Probe:
    """Return the probe that `save` wrote to `folder`.

    Raises:
        RunError: the probe is missing or unreadable.
    """
    recover_dir(folder)
    try:
        tensors = load_file(folder / _TENSORS)
        card = PROBE_FORMAT.load(folder / CARD)
        scores = {float(strength): values for strength, values in card.scores.items()}
        best, soft = (
            Head(tensors[f"{name}.weight"], tensors[f"{name}.bias"], strength)
            for name, strength in (("best", card.best), ("soft", card.soft))
        )
        return Probe(best, soft, scores, card.seconds)
    except (OSError, SafetensorError, ValueError, KeyError) as exc:
        raise RunError(
            f"{folder}: cannot read a solved head ({exc}); expected {_TENSORS} and {CARD}. Remove the folder, and "
            "the sweep solves it again"
        ) from exc
