"""What follows a tick that did something: its page, and who is told. None of it can make a tick fail that is over.

Of one that was stopped the webhook alone is told: the bucket that its page would go to may be what is away.
"""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.errors import RaytlError
from raytl.events import Message, OnEvent
from raytl.registry.registry import Registry
from raytl.retrain.mirror import mirror
from raytl.retrain.notify import notify
from raytl.retrain.page.write import write_pages
from raytl.retrain.tick import After
from raytl.retrain.ticks import Tick
from raytl.store.s3_settings import S3Settings


def following(experiment: Experiment, on_event: OnEvent) -> After:
    """Writes the page, tells the webhook, mirrors to MLflow, as `retrain.notify` says."""
    config, name = experiment.retrain.notify, experiment.name

    def after(registry: Registry, tick: Tick) -> None:
        if tick.over:
            show(registry, tick)
        notify(tick, name, registry.uri, config, on_event)
        if tick.over:
            mirror(registry, tick, name, config, on_event)

    def show(registry: Registry, tick: Tick) -> None:
        try:
            key = write_pages(registry, tick, name, experiment.data.max_pixels, S3Settings.of(experiment.storage))
            on_event(Message(f"page: {registry.uri}/{key}"))
        except RaytlError as error:
            on_event(Message(f"the page of tick {tick.id} could not be written: {error}", "warning"))

    return after
