"""Let Ray Tune take the worker processes that are started already, on a Ray that was started here.

Tune gives its actors a runtime environment (`PL_DISABLE_FORK`, for Lightning, and variables that the workers of this machine
inherit) and a placement group each. For both, Ray starts new processes and ends the waiting ones. Tune has no option for
either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import ray
from ray.air.execution import FixedResourceManager
from ray.tune.execution import class_cache, tune_controller

from raytl.cluster.session import replaced


@contextlib.contextmanager
def plain_actors() -> Iterator[None]:
    """Start the actors of Tune with the resources of their trials and nothing else."""
    with (
        replaced(class_cache, "_ActorClassCache", _Classes),
        replaced(tune_controller, "_ActorClassCache", _Classes),
        replaced(tune_controller, "PlacementGroupResourceManager", FixedResourceManager),
    ):
        yield


class _Classes:
    """Tune's cache of actor classes, without an environment."""

    def __init__(self) -> None:
        self._cache: dict[Any, Any] = {}

    def get(self, trainable: Any) -> Any:
        """Return the actor class of a trainable, which is sent to the cluster once."""
        if trainable not in self._cache:
            self._cache[trainable] = ray.remote(trainable)
        return self._cache[trainable]
