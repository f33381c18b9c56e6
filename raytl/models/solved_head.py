"""Solve heads on features: logistic regressions for a path of penalties, by L-BFGS (SciPy) on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from raytl.errors import ModelError
from raytl.models import head_work

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""L2 penalties per sample on the weights for standardized features: half the squared norm times this."""
_GRADIENT, _CHANGE = 1e-8, 1e-15
"""A solution ends where no slope is steeper, or a step changes the loss by a smaller fraction."""
_FEW_VALUES = 2**20
PATIENCE = 2
"""Number of consecutive weaker penalties that may be worse than the best before the search stops."""
_EXACT_VALUES = 2**27
"""Up to this many feature values and logits (1 GiB) are solved in float64, more in float32."""
ROUNDING = 1e-6
"""A feature is constant if its standard deviation is at most this fraction of its mean."""
OnStep = Callable[[], None]


@dataclass(frozen=True)
class Head:
    """`weight (classes, d)` and `bias (classes,) float32`, solved with penalty `strength`."""

    weight: Tensor
    bias: Tensor
    strength: float


def solve_path(
    train: Tensor,
    val: Tensor,
    classes: int,
    loss: Callable[[Tensor], Tensor],
    strengths: Sequence[float] = STRENGTHS,
    intercept: bool = True,
    on_step: OnStep = lambda: None,
) -> Iterator[tuple[Head, Tensor]]:
    """Yield a head for each penalty strength, the strongest first, with its logits for `val`, `(m, classes)`.

    `loss` maps the logits of `train`, `(n, classes)`, to their mean loss. `on_step` is called before each time, about
    `evaluations_of(train, classes)` times at most for a strength.

    Raises:
        ModelError: a feature is not finite.
    """
    _check_finite({"training": train, "validation": val})
    mean, scale = _standards(train, intercept)
    dtype, evaluations = precision_of(train, classes), evaluations_of(train, classes, len(strengths))
    inputs, held_out = (((part - mean) / scale).to(dtype) for part in (train, val))
    basis = _basis(inputs)
    inputs, held_out = inputs @ basis, held_out @ basis
    weight, bias = torch.zeros(classes, inputs.shape[1], dtype=dtype), torch.zeros(classes, dtype=dtype)
    for strength in sorted(strengths, reverse=True):
        learned = [weight, bias] if intercept else [weight]
        weight, *biases = _minimum(learned, inputs, strength, loss, on_step, evaluations)
        bias = biases[0] if intercept else bias
        yield _unscaled(weight @ basis.T, bias, mean, scale, strength), held_out @ weight.T + bias


def precision_of(train: Tensor, classes: int) -> torch.dtype:
    """Return the type in which heads for the features `train` are solved."""
    return torch.float64 if len(train) * max(train.shape[1], classes) <= _EXACT_VALUES else torch.float32


def evaluations_of(train: Tensor, classes: int, penalties: int = len(STRENGTHS)) -> int:
    """Return the most evaluations of the loss for a penalty; a line search that has begun ends."""
    count, width = train.shape
    return head_work.evaluations(count, min(count, width), classes, penalties)


def _basis(inputs: Tensor) -> Tensor:
    """Return an orthonormal basis `(d, k)` of the space of the weights: with fewer images than features, the span of the
    images (the penalty keeps all other directions at zero), else the whole space."""
    count, width = inputs.shape
    if count >= width:
        return torch.eye(width, dtype=inputs.dtype)
    basis: Tensor = torch.linalg.qr(inputs.T).Q
    return basis


@contextlib.contextmanager
def _threads(values: int) -> Iterator[None]:
    """Use one thread of torch's and SciPy's for few values, where synchronization costs more than it saves: the threads of
    SciPy's OpenBLAS spin while they wait, and beside other processes the solution takes five times as long."""
    if values >= _FEW_VALUES:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


def _unscaled(weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, strength: float) -> Head:
    """Convert a head for standardized features into one for raw features."""
    folded = weight.double() / scale
    return Head(folded.float(), (bias.double() - folded @ mean).float(), strength)


def _check_finite(features: dict[str, Tensor]) -> None:
    for name, part in features.items():
        bad = int((~part.isfinite().all(1)).sum())
        if bad:
            raise ModelError(
                f"linear probe: the network's features of {bad} of {len(part)} {name} images are not finite; expected "
                "numbers. Check the weights and train.precision (fp16 overflows sooner than bf16 and fp32)"
            )


def _standards(train: Tensor, centred: bool) -> tuple[Tensor, Tensor]:
    """Return the mean (zero unless `centred`) and scale of the features, `(d,) float64`; constant features have scale 1."""
    values = train.double()
    mean, deviation = values.mean(0), values.std(0, correction=0)
    scale = torch.where(deviation > ROUNDING * mean.abs(), deviation, torch.ones_like(deviation))
    return (mean if centred else torch.zeros_like(mean)), scale


def _minimum(
    start: Sequence[Tensor],
    inputs: Tensor,
    strength: float,
    loss: Callable[[Tensor], Tensor],
    on_step: OnStep,
    max_evaluations: int,
) -> Sequence[Tensor]:
    """Return the weight, and the bias if there is one, of the least loss with the penalty `strength`, from those of `start`."""
    from scipy.optimize import minimize  # takes a third of a second to import, and not each process solves a head

    def parts_of(values: NDArray[np.float64]) -> list[Tensor]:
        parts = torch.from_numpy(values).to(inputs.dtype).split([part.numel() for part in start])
        return [part.view_as(own) for part, own in zip(parts, start, strict=True)]

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        on_step()
        weight, *biases = parts_of(values)
        logits = torch.addmm(biases[0], inputs, weight.T) if biases else inputs @ weight.T
        value = loss(logits.requires_grad_())
        (slope,) = torch.autograd.grad(value, logits)
        gradient = [slope.T @ inputs + strength * weight, *(slope.sum(0) for _ in biases)]
        return value.item() + 0.5 * strength * weight.square().sum().item(), _flat(gradient)

    limits = {"maxfun": max_evaluations, "maxiter": max_evaluations, "gtol": _GRADIENT, "ftol": _CHANGE}
    with _threads(inputs.numel()):  # of SciPy's BLAS too, which is imported by now
        return parts_of(minimize(objective, _flat(start), jac=True, method="L-BFGS-B", options=limits).x)


def _flat(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return the values of all parts, `(n,)`."""
    values: NDArray[np.float64] = torch.cat([part.flatten() for part in parts]).double().numpy()
    return values
