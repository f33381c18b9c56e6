"""Ray Train's trainer without the actors that raytl has no use for: each costs a process, and some of them the wait for
its end."""

from __future__ import annotations

from typing import Any

from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.torch.torch_trainer import TorchTrainer


class LeanTrainer(TorchTrainer):
    """Without the manager of Ray datasets, as there are none; and, where there is no dashboard to ask, without the
    cleaner of reservations: it asks for its controller there, and holds up each run's end by ten seconds. Without a
    dashboard Ray is embedded here, and no autoscaler is asked for machines either."""

    def _create_default_callbacks(self) -> list[Any]:
        left_out = (DatasetsCallback,) if _has_dashboard() else (DatasetsCallback, PlacementGroupCleanerCallback)
        return [each for each in super()._create_default_callbacks() if not isinstance(each, left_out)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        if not _has_dashboard():
            parts["scaling_policy"] = _FixedHere(parts["scaling_policy"].scaling_config)
        return super()._initialize_and_run_controller(**parts)


class _FixedHere(FixedScalingPolicy):
    """So many workers, of which no autoscaler hears: the actor that would tell it is one process more to start and to
    wait for."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass


def _has_dashboard() -> bool:
    from ray._private.worker import get_dashboard_url

    return bool(get_dashboard_url())
