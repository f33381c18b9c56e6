"""The last steps of a tick that did something: its page, the webhook and MLflow. A failure here never fails the finished tick.

An interrupted tick is reported to the webhook only: the bucket that its page would go to may be unreachable.
"""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.errors import RaytlError
from raytl.events import Message, OnEvent
from raytl.registry.registry import Registry
from raytl.retraining.context import AfterTick
from raytl.retraining.mirror import mirror
from raytl.retraining.notify import notify
from raytl.retraining.page.write import write_pages
from raytl.retraining.ticks import Tick
from raytl.store.s3_settings import S3Settings


def after_tick(experiment: Experiment, on_event: OnEvent) -> AfterTick:
    """Return the function that writes the page, calls the webhook and mirrors to MLflow, as `retrain.notify` says."""
    config, name = experiment.retrain.notify, experiment.name

    def after(registry: Registry, tick: Tick) -> None:
        if tick.over:
            write(registry, tick)
        notify(tick, name, registry.uri, config, on_event)
        if tick.over:
            mirror(registry, tick, name, config, on_event)

    def write(registry: Registry, tick: Tick) -> None:
        try:
            key = write_pages(registry, tick, name, experiment.data.max_pixels, S3Settings.of(experiment.storage))
            on_event(Message(f"page: {registry.uri}/{key}"))
        except RaytlError as error:
            on_event(Message(f"could not write the page of tick {tick.id}: {error}", "warning"))

    return after
