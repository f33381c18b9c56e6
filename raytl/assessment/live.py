"""The model of a run in memory, for sections that change images of train or validation, and the photos themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from raytl.assessment.collect import Source
from raytl.data.cache import source_images
from raytl.data.loader import Batch, EvalLoader
from raytl.data.manifest import Sample
from raytl.evaluation.evaluate import photo_opener
from raytl.evaluation.record import verified
from raytl.metrics.scores import softmax
from raytl.models.forward import EVAL_BATCH, pick_device, pick_precision
from raytl.models.parallel import computed
from raytl.store.s3_settings import S3Settings
from raytl.tasks.inference import Network
from raytl.tasks.saved import load_saved
from raytl.world import World


class Model:
    """See `raytl.assessment.section.LiveModel`.

    Raises:
        ModelError: the checkpoint cannot be loaded.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._saved = source, load_saved(source.run_store.folder.best)
        self._device = pick_device(source.machine.compute.device)
        precision = pick_precision(source.recipe.train.precision, self._device)
        module = self._saved.module.to(self._device)
        self._network = Network(self._saved.task, module, self._saved.card.preprocess, self._device, precision)

    def views(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Return the images as the network sees them, `(n, h, w, 3)`.

        Raises:
            DataError: an image changed or is missing.
        """
        assert all(sample.split != "test" for sample in samples), "the test split is not read again"
        source, preprocess = self._source, self._saved.card.preprocess
        data, s3 = source.recipe.data, S3Settings.of(source.machine.storage)
        present = verified(samples, data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
        images = source_images(present, preprocess, source.machine.max_pixels, s3)
        loader = EvalLoader(images, preprocess, batch=EVAL_BATCH[self._device.type], world=World.solo())
        with closing(loader):
            batches = list(loader)
        order = torch.cat([batch.ids for batch in batches]).argsort()
        pixels = torch.cat([batch.images for batch in batches])[order]
        return np.asarray(pixels.permute(0, 2, 3, 1).contiguous().numpy())

    def probabilities(self, views: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the calibrated answers to `views (n, h, w, 3)`, `(n, classes)`."""
        batches = list(_batches(views, EVAL_BATCH[self._device.type]))
        parts = computed(self._network.module, batches, partial(_logits, self._network), self._device)
        return softmax(np.concatenate([logits for _, logits in parts]))


def opened_photos(source: Source, samples: Sequence[Sample]) -> list[Image.Image | None]:
    """Return the photos of train or validation, upright; None for one that can no longer be read.

    Raises:
        DataError: an image changed or is missing.
    """
    assert all(sample.split != "test" for sample in samples), "the test split is not read again"
    data, s3 = source.recipe.data, S3Settings.of(source.machine.storage)
    present = verified(samples, data.uri, source.on_event, data.zip_encoding, s3, data.feedback)
    photo = photo_opener(source.machine.max_pixels, source.card.preprocess.bit_depth, s3)
    return [photo(sample.path) for sample in present]


def _batches(views: NDArray[np.uint8], size: int) -> Iterator[Batch]:
    """Yield `views` in batches; their ids are the places of the views, by which `computed` puts the answers in order."""
    for ids in torch.arange(len(views)).split(size):
        yield Batch(torch.from_numpy(np.ascontiguousarray(views[ids[0] : ids[-1] + 1])).permute(0, 3, 1, 2), ids)


def _logits(network: Network, batch: Batch) -> NDArray[np.float32]:
    """Return the logits of a batch, which are the first row of the evidence of a task with sections."""
    answers = network.answers(batch.images, [(0, 0)] * len(batch.ids))
    logits: NDArray[np.float32] = network.task.evidence(answers, [0] * len(answers))[0]
    return logits
