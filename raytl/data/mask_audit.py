"""Read every mask once before training: hash it, and check that it decodes and has only values that are listed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from raytl.cpus import usable_cpus
from raytl.data.bad_image import BadFile, BadImage
from raytl.data.decode import read
from raytl.data.manifest import Sample
from raytl.data.mask_pixels import mask_values
from raytl.data.sample_table import SampleTable
from raytl.data.targets import Mask
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_MAX_SHOWN = 5


def audited_masks(
    samples: Sequence[Sample], max_pixels: int, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT
) -> tuple[SampleTable, tuple[BadFile, ...]]:
    """Return the samples, whose masks have their digest and the classes present, and those whose mask cannot be used."""

    def audited(sample: Sample) -> Sample | str:
        try:
            return replace(sample, target=_audited(sample.target, max_pixels, s3))
        except BadImage as exc:
            return exc.reason

    table = SampleTable.of(samples)
    if Mask not in table.kinds():
        return table, ()
    masked = [sample for sample in table if isinstance(sample.target, Mask)]
    report, results = throttled(on_event, first_s=0), dict[str, Sample | str]()
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for done, (sample, result) in enumerate(zip(masked, pool.map(audited, masked), strict=True), start=1):
            results[sample.key] = result
            report(Work("reading masks", done, len(masked)))
    audited_samples = [(sample, results.get(sample.key, sample)) for sample in table]
    bad = (BadFile(s.key, s.path, reason) for s, reason in audited_samples if isinstance(reason, str))
    return SampleTable.of(each for _, each in audited_samples if isinstance(each, Sample)), tuple(bad)


def _audited(target: object, max_pixels: int, s3: S3Settings) -> Mask:
    """Return the mask with its digest and the classes that occur.

    Raises:
        BadImage: it cannot be decoded, or has values that are not listed.
    """
    assert isinstance(target, Mask), "other targets have no files"
    try:
        data = read(target.path, max_pixels, s3)
        pixels = mask_values(data, max_pixels, target.orientation)
    except BadImage as exc:
        raise BadImage(f"its mask {target.key!r}: {exc.reason}") from exc
    values, (height, width) = np.unique(pixels), pixels.shape
    names = {each.value: each.name for each in target.classes}
    if unlisted := [int(value) for value in values if int(value) not in names]:
        more = f" and {len(unlisted) - _MAX_SHOWN} more" if len(unlisted) > _MAX_SHOWN else ""
        raise BadImage(
            f"its mask {target.key!r} has the values {', '.join(map(_text, unlisted[:_MAX_SHOWN]))}{more}, which no class has; "
            "list them, or set annotations.void"
        )
    present = sorted({names[int(value)] for value in values} - {""})
    digest = hashlib.sha256(data).hexdigest()
    return replace(target, digest=digest, present=tuple(present), width=width, height=height)


def _text(value: int) -> str:
    return str(value) if value < 256 else f"{value >> 16},{value >> 8 & 255},{value & 255}"
