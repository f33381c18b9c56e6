"""CMA-ES that runs no code from a study: Optuna stores the optimizer in the study as a pickle, and a sweep in a bucket may
come from anybody."""

from __future__ import annotations

import io
import pickle
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from raytl.errors import RunError

_PLAIN = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._mt19937", "MT19937"),
    ("_codecs", "encode"),
}
_OPTIMIZERS = {("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM")}


class CmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's sampler, which unpickles nothing but arrays, random states and its optimizers."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            parts = {k: v for k, v in trial.system_attrs.items() if k.startswith(self._attr_key_optimizer)}
            if parts:
                return restored(self._concat_optimizer_attrs(parts), trial.number)
        return None


def restored(text: str, trial: int) -> Any:
    """Return the optimizer that a study holds as the hexadecimal `text` of a pickle.

    Raises:
        RunError: it contains anything else.
    """
    try:
        return _Reader(io.BytesIO(bytes.fromhex(text))).load()
    except Exception as exc:  # unpickling a damaged file raises nearly anything
        raise RunError(
            f"study.log: the optimizer of trial {trial} is not one of CMA-ES ({exc}); it was not run.\n"
            "  Start over with --new, or with another search.sampler. Check who wrote this study."
        ) from exc


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN | _OPTIMIZERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"found {module}.{name}")
