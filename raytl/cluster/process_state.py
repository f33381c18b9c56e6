"""The global state of Python and torch that a run changes, restored after a run in the caller's process (a notebook, the API)."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def preserved_state() -> Iterator[None]:
    """Restore environment variables, random numbers, threads and deterministic algorithms at the end, also after an error."""
    import numpy as np
    import torch

    environment, threads = dict(os.environ), torch.get_num_threads()
    python, numpy, seed, generator = (
        random.getstate(),
        np.random.get_state(),
        torch.initial_seed(),
        torch.get_rng_state(),
    )
    generators = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn: Any = torch.backends.cudnn  # untyped
    benchmark = cudnn.benchmark
    try:
        yield
    finally:
        cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if generators is not None:
            torch.cuda.set_rng_state_all(generators)
        elif torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)  # as CUDA starts if the caller uses it first
        torch.set_rng_state(generator)
        np.random.set_state(numpy)
        random.setstate(python)
        torch.set_num_threads(threads)
        _restore_environment(environment)


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
