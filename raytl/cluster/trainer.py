"""Ray Train's trainer without the actors that raytl has no use for: each costs a process, and some of them the wait for
its end."""

from __future__ import annotations

from typing import Any

from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.torch.torch_trainer import TorchTrainer


class LeanTrainer(TorchTrainer):
    """Without the manager of Ray datasets, as there are none; and, where there is no dashboard to ask, without the
    cleaner of reservations: it asks for its controller there, and holds up each run's end by ten seconds."""

    def _create_default_callbacks(self) -> list[Any]:
        left_out = (DatasetsCallback,) if _has_dashboard() else (DatasetsCallback, PlacementGroupCleanerCallback)
        return [each for each in super()._create_default_callbacks() if not isinstance(each, left_out)]


def _has_dashboard() -> bool:
    from ray._private.worker import get_dashboard_url

    return bool(get_dashboard_url())
