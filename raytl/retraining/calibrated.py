"""The calibration of a published version: the temperature in its model's card, and what it changed on validation.

The card is read without the rest of the model, which would import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from raytl.errors import RegistryError, RunError
from raytl.events import Message, OnEvent, ignore
from raytl.metrics.calibration import TEMPERATURES
from raytl.registry.record import Record
from raytl.registry.registry import FILES, Registry
from raytl.run.epochs import EPOCH_FORMAT
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import within

_CARD, _EPOCHS = "checkpoints/best/model.json", "metrics.jsonl"
_TEMPERATURE, _PREFIX = "calibration/temperature", "calibration/"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class TemperatureCard:
    """The part of a model's card that this module reads."""

    temperature: Annotated[float, within(*TEMPERATURES)] | None = None


TEMPERATURE_FORMAT = Format[TemperatureCard](
    TemperatureCard, "a model card", "Publish the run again.", RegistryError, max_bytes=8 << 20
)


def calibration_of(registry: Registry, record: Record, on_event: OnEvent = ignore) -> Mapping[str, float] | None:
    """Return the `temperature` of a version's model, and `ece` and `log_loss` of its validation split with and without it.

    The scores are left out if the version has none of this temperature, or its epochs are damaged. None = the model is not
    calibrated.

    Raises:
        RegistryError: the card is damaged.
        StoreError: the store cannot be read.
    """
    if (content := _content(registry, record, _CARD)) is None:
        return None
    temperature = TEMPERATURE_FORMAT.read(content, f"{registry.uri}: {_CARD} of version {record.number}").temperature
    return (
        None
        if temperature is None
        else {"temperature": temperature, **_scores(registry, record, temperature, on_event)}
    )


def _scores(registry: Registry, record: Record, temperature: float, on_event: OnEvent) -> dict[str, float]:
    """Return the scores of the epoch with this temperature: one that a fallback fitted anew has no epoch."""
    content = _content(registry, record, _EPOCHS) or b""
    where = f"{registry.uri}: {_EPOCHS} of version {record.number}"
    try:
        epochs = list(EPOCH_FORMAT.lines(content, where))
    except RunError as error:
        on_event(Message(f"the scores of the calibration are left out: {error}", "warning"))
        return {}
    for epoch in epochs:
        if epoch.get(_TEMPERATURE) == temperature:
            scores = {name.removeprefix(_PREFIX): value for name, value in epoch.items() if name.startswith(_PREFIX)}
            return {name: value for name, value in scores.items() if value is not None and name != "temperature"}
    return {}


def _content(registry: Registry, record: Record, name: str) -> bytes | None:
    """Return a file of the version; None if it was published without it."""
    if name not in record.files:
        return None
    key = f"{FILES}{record.token}/{name}"
    return retried(lambda: registry.store.get_bytes(key, max_bytes=_MOST_BYTES))
