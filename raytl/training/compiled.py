"""Compile the network of a stage with torch.compile (`train.compile`); weights and checkpoints are those of the network."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch
from torch import nn

from raytl.config.schema import Experiment
from raytl.errors import ConfigError

BACKEND = "inductor"
_COMPILERS = ("c++", "g++", "clang++")


def compiled(model: nn.Module) -> nn.Module:
    """Return `model`, whose parameters it shares, compiled at its first batch; what was compiled for earlier stages is freed."""
    torch.compiler.reset()
    module: nn.Module = torch.compile(model, backend=BACKEND)  # type: ignore[assignment]
    return module


def check_compile(experiment: Experiment, device: torch.device) -> None:
    """Check that this machine can compile for `device`, if `experiment` asks for it.

    Raises:
        ConfigError: there is no compiler, or the same bits are asked for too.
    """
    if not experiment.train.compile:
        return
    if experiment.train.deterministic:
        raise ConfigError(
            "train.compile: found true with train.deterministic: true; a resumed run compiles for other batch sizes first and "
            "computes other bits. Set one of them to false"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError("train.compile: torch.compile needs the package triton on a GPU. Install it, or set false")
    if (
        device.type == "cpu"
        and shutil.which(os.environ.get("CXX", "")) is None
        and not any(map(shutil.which, _COMPILERS))
    ):
        raise ConfigError(
            f"train.compile: torch.compile needs a C++ compiler, and none of {', '.join(_COMPILERS)} is here. "
            "Install one, set CXX to its path, or set false"
        )
