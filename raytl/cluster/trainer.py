"""Ray Train's trainer without the actors that raytl does not need: each costs a process, and some delay the end of a run."""

from __future__ import annotations

from typing import Any

from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.torch.torch_trainer import TorchTrainer


class LeanTrainer(TorchTrainer):
    """A TorchTrainer without the datasets callback and, if Ray has no dashboard, without the placement group cleaner.

    The cleaner looks up its controller in the dashboard and delays the end of each run by ten seconds. Without a dashboard
    Ray is embedded, so there is no autoscaler to request machines from either.
    """

    def _create_default_callbacks(self) -> list[Any]:
        unused = (DatasetsCallback,) if _has_dashboard() else (DatasetsCallback, PlacementGroupCleanerCallback)
        return [each for each in super()._create_default_callbacks() if not isinstance(each, unused)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        if not _has_dashboard():
            parts["scaling_policy"] = _NoAutoscaler(parts["scaling_policy"].scaling_config)
        return super()._initialize_and_run_controller(**parts)


class _NoAutoscaler(FixedScalingPolicy):
    """A fixed number of workers without the autoscaler actor, which is one more process to start and wait for."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass


def _has_dashboard() -> bool:
    from ray._private.worker import get_dashboard_url

    return bool(get_dashboard_url())
