"""Read semantic masks: an image file beside each photo with the class of each pixel, and a file that names the values.

Photos and masks are paired by their stem, in folders such as images/ and masks/, or in one folder with a suffix such as `_mask`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

import numpy as np

from raytl.data.annotations.color_map import ColorMap, color_map
from raytl.data.annotations.dataset_files import DatasetFiles, nearest, split_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.image_size import ImageSize, sizes
from raytl.data.annotations.mask_folders import MASK_ENDINGS, is_mask
from raytl.data.annotations.split_lists import split_lists
from raytl.data.bad_image import BadImage
from raytl.data.decode import opened_image
from raytl.data.manifest import Sample
from raytl.data.mask_pixels import values_of
from raytl.data.targets import Mask, MaskClass
from raytl.data.unicode_names import nfc

Void = tuple[int | str, ...]
VOID_NAMES = ("void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled", "ignore_label")
VOID_VALUE = 255
_NEITHER = re.compile(
    r"segmentationobject(png)?|segmentationclassvisualization|visualizations?|previews?", re.IGNORECASE
)
_OTHER_MASK = re.compile(r"_(color|instanceids|instances?|trainids)$", re.IGNORECASE)
_SUFFIX = re.compile(
    r"(_|-)(masks?|labels?|labelids|gtfine_labelids|gtcoarse_labelids|gt|l|seg|segmentation|groundtruth|annot)$",
    re.IGNORECASE,
)
_PHOTO_SUFFIX = re.compile(r"(_leftimg8bit|_sat|_image|_img)$", re.IGNORECASE)
_PAIRED = 0.9
_MAX_VALUES = 1024
_PIXELS = 1 << 30
_THREADS = 8
_NO_PHOTO = "masks of images that do not exist"
_TWO_MASKS = "images with two masks"
_SHAPE = "masks whose proportions differ from their image's"
_COLORS = "masks that are gray, although the colors are named as red, green and blue (expected palette or RGB)"
_UNREADABLE = "masks that cannot be read"


@dataclass(frozen=True)
class Pairs:
    """The mask of each photo, by key, and the masks without one."""

    masks: Mapping[str, str]
    lost: tuple[str, ...]
    twice: tuple[str, ...] = ()


def pairs(files: DatasetFiles, *, suffixes: bool = True) -> Pairs | None:
    """Return photos and masks of the same stem; None if it is no such dataset. With `suffixes`, both may be in one folder."""
    images = [key for key in files.images if not _is_neither(key)]
    masks = [key for key in images if is_mask(key)]
    if not masks and suffixes:
        masks = _suffixed(images)
    photos: dict[str, list[str]] = {}
    for key in set(images) - set(masks):
        photos.setdefault(_stem(key), []).append(key)
    by_photo: dict[str, str] = {}
    lost, twice = [], []
    for mask in masks:
        photo = nearest(sorted(photos.get(_stem(mask), [])), mask)
        if photo is None:
            lost.append(mask)
        elif photo in by_photo:
            twice.append(f"{photo!r}: {by_photo[photo]!r} and {mask!r}")
        else:
            by_photo[photo] = mask
    if not by_photo or len(by_photo) < _PAIRED * len(masks):
        return None
    return Pairs(dict(sorted(by_photo.items())), tuple(lost), tuple(twice))


def read(files: DatasetFiles, matched: Pairs, void: Void | None, findings: Findings) -> list[Sample]:
    """Return a sample for each photo with a mask. `void` are the values or names of void pixels; None = the usual ones."""
    for mask in matched.lost:
        findings.problem(_NO_PHOTO, repr(mask))
    for line in matched.twice:
        findings.problem(_TWO_MASKS, line)
    lists = split_lists(files, "Segmentation")
    chosen = {p: m for p, m in matched.masks.items() if not lists or PurePosixPath(p).stem in lists}
    classes = _classes(files, chosen, void, findings)
    measured = sizes(files.path(key) for pair in chosen.items() for key in pair)
    samples = []
    for photo, mask in chosen.items():
        photo_size, mask_size = measured[files.path(photo)], measured[files.path(mask)]
        target = Mask(mask, files.path(mask), classes.get(mask, ()), "", _orientation(photo_size, mask_size))
        if photo_size and mask_size and not _fit(photo_size, mask_size):
            findings.problem(_SHAPE, f"{mask!r}: {_quoted(mask_size.stored)}, {photo!r}: {_quoted(photo_size.upright)}")
        split = lists.get(PurePosixPath(photo).stem) if lists else split_of(photo)
        samples.append(Sample(photo, files.path(photo), target, split))
    return samples


def _is_neither(key: str) -> bool:
    """Return whether an image is neither photo nor mask of classes: a mask of objects, or a picture of a mask."""
    folders = key.split("/")[:-1]
    return any(map(_NEITHER.fullmatch, folders)) or (
        is_mask(key) and _OTHER_MASK.search(PurePosixPath(key).stem) is not None
    )


def _suffixed(images: Sequence[str]) -> list[str]:
    """Return the images with a suffix such as `_mask` whose stem without it is another image's."""
    stems = {PurePosixPath(key).with_suffix("").as_posix() for key in images}
    endings = (key for key in images if key.lower().endswith(MASK_ENDINGS))
    shorter = {key: _SUFFIX.sub("", PurePosixPath(key).with_suffix("").as_posix()) for key in endings}
    return [key for key, stem in shorter.items() if stem in stems and not key.startswith(f"{stem}.")]


def _stem(key: str) -> str:
    """Return the stem that a photo and its mask share."""
    return _PHOTO_SUFFIX.sub("", _SUFFIX.sub("", nfc(PurePosixPath(key).stem)))


def _orientation(photo: ImageSize | None, mask: ImageSize | None) -> int:
    """Return the orientation of a mask that was drawn on a photo before EXIF rotated it: its size is the photo's stored one."""
    if photo is None or mask is None or photo.stored == photo.upright:
        return 1
    return photo.orientation if mask.stored == photo.stored else 1


def _fit(photo: ImageSize, mask: ImageSize) -> bool:
    """Return whether a mask, perhaps of another resolution, has the proportions of its photo, to a pixel."""
    width, height = photo.stored if mask.stored == photo.stored else photo.upright
    return abs(width * mask.stored[1] - height * mask.stored[0]) <= max(width, height, *mask.stored)


def _quoted(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _classes(
    files: DatasetFiles, chosen: Mapping[str, str], void: Void | None, findings: Findings
) -> dict[str, tuple[MaskClass, ...]]:
    """Return the class of each value, by mask: as a file in the dataset lists them, else every value that occurs."""
    listed = color_map(files, findings)
    masks = list(chosen.values())
    if listed and not listed.has_colors:
        named = with_void(listed.names, void, findings)
        return dict.fromkeys(masks, named)
    if listed:
        return dict(_of_colors(files, masks, listed, void, findings))
    values = _values_in(files, masks, findings)
    findings.warnings.append(
        f"{files.uri}: no file names the values of the masks (such as classes.txt); classes are the values that occur: "
        f"{', '.join(map(str, sorted(values)[:20]))}"
    )
    return dict.fromkeys(masks, with_void({value: str(value) for value in sorted(values)}, void, findings))


def with_void(names: Mapping[int, str], void: Void | None, findings: Findings) -> tuple[MaskClass, ...]:
    """Return the classes with empty names for void ones. Without `void` these are the usual names, and value 255 if unlisted."""
    if void is None:
        empty = {value for value, name in names.items() if name.lower() in VOID_NAMES}
        if VOID_VALUE not in names or names[VOID_VALUE] == str(VOID_VALUE):
            empty.add(VOID_VALUE)
    else:
        listed = {*names, *names.values(), VOID_VALUE}
        for unknown in (each for each in void if each not in listed):
            findings.problem("values or names in annotations.void that no mask has", repr(unknown))
        empty = {value for value, name in names.items() if value in void or name in void} | ({VOID_VALUE} & set(void))
    every = sorted({*names, *empty})
    return tuple(MaskClass(value, "" if value in empty else names[value]) for value in every)


def _of_colors(
    files: DatasetFiles, masks: Sequence[str], listed: ColorMap, void: Void | None, findings: Findings
) -> Iterator[tuple[str, tuple[MaskClass, ...]]]:
    """Yield the classes of each mask by its palette, or of an RGB mask by the colors themselves."""
    named = with_void(listed.names, void, findings)
    of_color = {each.value: each.name for each in named}

    @cache
    def of_palette(palette: bytes) -> tuple[MaskClass, ...]:
        colors = (int.from_bytes(palette[place : place + 3], "big") for place in range(0, len(palette) - 2, 3))
        pairs = [(index, color) for index, color in enumerate(colors) if index < 256 and color in of_color]
        return tuple(MaskClass(index, of_color[color]) for index, color in pairs)

    for mask in masks:
        try:
            with opened_image(files.image_bytes(mask), _PIXELS) as image:
                mode, palette = image.mode, bytes(image.getpalette("RGB") or ()) if image.mode == "P" else b""
        except BadImage as exc:
            findings.problem(_UNREADABLE, f"{mask!r}: {exc.reason}")
            continue
        if mode not in ("P", "RGB", "RGBA"):
            findings.problem(_COLORS, repr(mask))
        yield mask, of_palette(palette) if mode == "P" else named


def _values_in(files: DatasetFiles, masks: Sequence[str], findings: Findings) -> set[int]:
    """Return the values that occur in the masks; too many are a problem: RGB masks need a file that names the colors."""

    def values(mask: str) -> set[int]:
        try:
            with opened_image(files.image_bytes(mask), _PIXELS) as image:
                return set(map(int, np.unique(values_of(image))))
        except BadImage:  # the audit reports it
            return set()

    with ThreadPoolExecutor(_THREADS) as pool:
        result: set[int] = set().union(*pool.map(values, masks))
    if len(result) > _MAX_VALUES or max(result, default=0) > 1 << 16:
        findings.problem(
            "mask folders without names of their colors (expected a file such as classes.txt with `red,green,blue,name` a line)",
            f"{len(result)} values occur, such as {sorted(result)[-1]}",
        )
    return result
