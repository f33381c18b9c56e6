"""Read the images of the target domain: those that may be learned from, and those of its test split, which only score."""

from __future__ import annotations

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.data.sample_table import SampleTable
from raytl.data.sources import TARGET
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.labelling.unlabelled import UnlabelledImages, read_source


def target_images(
    experiment: Experiment, labelled: SampleTable, preprocess: Preprocess, depth: BitDepth, on_event: OnEvent
) -> UnlabelledImages:
    """Return the images of `adapt.target` that a method may use; `labelled` are those of all splits of the data, with digests.

    Raises:
        DataError: see `read_source`.
    """
    uri = experiment.adapt.target
    assert uri is not None, "a method that needs a target is rejected without one"
    return read_source(uri, TARGET, experiment, labelled, preprocess, depth, on_event)
