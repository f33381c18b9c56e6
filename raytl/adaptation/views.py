"""The images of a domain as a network sees them in evaluation: normalized views, in an order that follows from their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from raytl.config.schema import DataConfig
from raytl.data.cache import open_images
from raytl.data.loader import EvalLoader
from raytl.data.sample import Sample
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent, Work
from raytl.models.forward import EVAL_BATCH, is_channels_last, to_input
from raytl.store.s3_settings import S3Settings
from raytl.world import World


def by_content(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples in the order of their digests: names of folders may be labels, and decide nothing."""
    return sorted(samples, key=lambda sample: sample.digest)


def normalized_views(
    module: nn.Module,
    samples: Sequence[Sample],
    preprocess: Preprocess,
    data: DataConfig,
    s3: S3Settings,
    on_event: OnEvent,
    title: str,
) -> Iterator[Tensor]:
    """Yield the normalized evaluation views of `samples` on the device of `module`; `title` is that of the progress."""
    device, last = next(module.parameters()).device, is_channels_last(module)
    images = open_images(samples, preprocess, data, s3=s3)
    loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[device.type], world=World.solo())
    done = 0
    for batch in loader:
        yield to_input(batch.images, preprocess, device, last)
        done += len(batch.ids)
        on_event(Work(title, done, len(samples), "images"))
