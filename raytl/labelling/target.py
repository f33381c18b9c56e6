"""Read the images of the target domain: those that may be learned from, and not those of its test split, which only score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.data.manifest import listed
from raytl.data.perceptual_hash import nearest, phashes
from raytl.data.sample_table import SampleTable
from raytl.data.sources import TARGET
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import OnEvent
from raytl.labelling.unlabelled import UnlabelledImages, read_source
from raytl.store.s3_settings import S3Settings

TEST = f"{TARGET}:test/"
"""The beginning of the keys of the target's test images."""


def target_images(
    experiment: Experiment, labelled: SampleTable, preprocess: Preprocess, depth: BitDepth, on_event: OnEvent
) -> UnlabelledImages:
    """Return the images of `adapt.target` that a method may use; `labelled` are those of all splits of the data, with digests.

    Images below test/ of the target are left out, and none of the others may be a copy of one.

    Raises:
        DataError: see `read_source`; or there are no others, or some are copies of the target's test images.
    """
    uri = experiment.adapt.target
    assert uri is not None, "a method that needs a target is rejected without one"
    found = read_source(uri, TARGET, experiment, labelled, preprocess, depth, on_event)
    of_test = np.array([key.startswith(TEST) for key in found.samples.keys])
    if not of_test.any():
        return found
    usable, test = found.samples.where(~of_test), found.samples.where(of_test)
    if not len(usable):
        raise DataError(
            f"{TARGET}: {uri}: all images are below test/; expected others to learn from. Add them beside test/"
        )
    _refuse_copies(
        uri,
        usable,
        test,
        phashes([*usable, *test], experiment.data.max_pixels, depth, on_event, S3Settings.of(experiment.storage)),
    )
    note = f"{TARGET}: {len(test)} images below test/ are not used"
    return replace(found, samples=usable, notes=(*found.notes, note))


def _refuse_copies(uri: str, usable: SampleTable, test: SampleTable, hashes: dict[str, int]) -> None:
    """Raise if an image looks like one of test; images of the same content are in `read_source` already."""
    hashed = [sample for sample in test if sample.digest in hashes]
    asked = [sample for sample in usable if sample.digest in hashes]
    near = nearest([hashes[sample.digest] for sample in asked], [hashes[sample.digest] for sample in hashed])
    pairs = [
        f"{_name(one.key)} looks like {_name(hashed[place].key)}"
        for one, place in zip(asked, near, strict=True)
        if place is not None
    ]
    if pairs:
        raise DataError(
            f"{TARGET}: {uri}: {len(pairs)} images are copies of its test images, from which nothing may be learned; expected "
            f"other images:\n{listed(pairs[:10], total=len(pairs))}\nRemove them, or their copies below test/."
        )


def _name(key: str) -> str:
    return repr(key.partition(":")[2])
