"""Determine how the values of files become 8 bits: 10- and 12-bit detectors write 16-bit files, which look nearly black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from raytl.data.manifest import listed
from raytl.stored.bounds import Bound, at_most, within

MIN_BITS, MAX_BITS = 8, 16
_DARK = 8
"""If all photos stay below 1/8 of the range, they come from another detector and are not just night scenes."""


RGB = 3
MAX_CHANNELS = 16
_Number = Annotated[float, Bound("a finite number", math.isfinite)]
_Range = Annotated[tuple[_Number, _Number], Bound("[low, high] with low below high", lambda ends: ends[0] < ends[1])]
_Means = Annotated[tuple[Annotated[float, within(-1000, 1000)], ...], at_most(MAX_CHANNELS, "channels")]
_Deviations = Annotated[tuple[Annotated[float, within(1e-6, 1000)], ...], at_most(MAX_CHANNELS, "channels")]
UNIT_RANGE = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Levels:
    """The largest sample value of a file above 8 bits (0 for an 8-bit file) and the bits that it declares (0 = none);
    `low` and `high` are the smallest and largest value of a file of floats, else 0."""

    top: int = 0
    declared: int = 0
    low: float = 0.0
    high: float = 0.0

    @property
    def has_floats(self) -> bool:
        """Return whether these are of a file of floats that are not all 0."""
        return self.low != 0 or self.high != 0


@dataclass(frozen=True, slots=True)
class BitDepth:
    """The scaling of values to 8 bits: the bit depth from which files above 8 bits are scaled, and what the other kinds need.

    Unless `fixed`, a file's own declaration takes precedence over `bits`. Of `ranges`, one is that of floats (none = 0 to 1), and
    several, one for each channel, are those of images of other than three channels. `window` is the center and the width that
    replace those of DICOM files. `mean` and `std` are those of the channels of the training images, where they are measured.
    """

    bits: Annotated[int, within(MIN_BITS, MAX_BITS)] = MAX_BITS
    fixed: bool = False
    ranges: Annotated[tuple[_Range, ...], at_most(MAX_CHANNELS, "channels")] = ()
    window: (
        tuple[_Number, Annotated[float, Bound("a finite number above 0", lambda width: 0 < width < math.inf)]] | None
    ) = None
    mean: _Means = ()
    std: _Deviations = ()

    @property
    def channels(self) -> int:
        """Return the channels of the images: 3 for RGB, grey and all that becomes RGB."""
        return len(self.ranges) if len(self.ranges) > 1 else RGB

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; without those that only few kinds of images need, where they are not set."""
        values = {name: value for name, value in asdict(self).items() if value not in ((), None)}
        for name in ("ranges", "window", "mean", "std"):
            if name in values:
                values[name] = [list(each) if isinstance(each, tuple) else each for each in values[name]]
        return values

    def without_statistics(self) -> BitDepth:
        """Return the same scaling without the measured mean and deviation."""
        return replace(self, mean=(), std=())

    def of(self, levels: Levels) -> int:
        """Return the bit depth from which a file of these levels is scaled."""
        return self.bits if self.fixed or not levels.declared else levels.declared

    def clips(self, levels: Levels) -> bool:
        """Return whether the file has values outside of the range, which are clipped to black or white."""
        if levels.has_floats:
            low, high = self.ranges[0] if len(self.ranges) == 1 else UNIT_RANGE
            return self.channels == RGB and (levels.low < low or levels.high > high)
        return levels.top > top_value(self.of(levels))


SIXTEEN_BITS = BitDepth()
"""The depth that models saved before bit depths were recorded were trained with."""


@dataclass(frozen=True)
class SetDepth:
    """The bit depth of a dataset and the reason for it; `reason` is empty if no image has more than 8 bits."""

    depth: BitDepth = SIXTEEN_BITS
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def recorded(self) -> dict[str, Any]:
        """Return its entries in a sweep's record: empty for 16 bits, as sweeps of raytl 0.1 have no such entry."""
        values = {name: value for name, value in self.depth.to_json().items() if name not in ("bits", "fixed")}
        return values if self.depth.bits == MAX_BITS else {"bit_depth": self.depth.bits, **values}


def top_value(bits: int) -> int:
    """Return the largest value of `bits` bits."""
    return (1 << bits) - 1


def set_depth(
    depth_setting: int | Literal["auto"],
    train: Sequence[Levels],
    held_out: Sequence[Levels],
    value_range: tuple[float, float] | None = None,
) -> SetDepth:
    """Return the depth of a dataset: `setting`, or if that is `auto`, the fewest bits that hold every training value.

    `value_range` is that of floats; None = from the smallest to the largest value of training, and from 0 to 1 if those are
    inside. `held_out` (val and test) has no influence: its values outside of the range are clipped, with a warning.
    """
    deep = [levels for levels in train if levels.top]
    depth, reason = (
        _inferred(deep) if depth_setting == "auto" else (BitDepth(depth_setting, fixed=True), "set by data.bit_depth")
    )
    others = [levels for levels in held_out if levels.top]
    floats, other_floats = ([each for each in part if each.has_floats] for part in (train, held_out))
    ranges, range_warnings = _float_range(floats, other_floats, value_range)
    depth = replace(depth, ranges=ranges)
    if not deep and not others:
        return SetDepth(depth, "", (*_no_effect(depth_setting), *range_warnings))
    clipped = _clipped(depth, [*deep, *others])
    return SetDepth(depth, reason, (*_only_held_out(depth_setting, deep, others), *clipped, *range_warnings))


def _float_range(
    train: Sequence[Levels], held_out: Sequence[Levels], given: tuple[float, float] | None
) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Return the range of floats, none for 0 to 1, and the warnings about it."""
    everything = [*train, *held_out]
    if not everything:
        return ((given,) if given else ()), ()
    extremes = (min(each.low for each in train), max(each.high for each in train)) if train else UNIT_RANGE
    inside = UNIT_RANGE[0] <= extremes[0] and extremes[1] <= UNIT_RANGE[1]
    low, high = given or (UNIT_RANGE if inside else extremes)
    high = high if high > low else above(low)
    outside = sum(each.low < low or each.high > high for each in everything)
    if not outside:
        return (() if (low, high) == UNIT_RANGE and given is None else ((low, high),)), ()
    why = "set by data.value_range" if given else "of the training images"
    return ((low, high),), (
        f"{outside} images of floats have values outside of {low:g} to {high:g} ({why}), which are clipped. Set data.value_range "
        "to the range of the sensor",
    )


def above(low: float) -> float:
    """Return the upper end of the range of values that are all the same."""
    return low + max(1.0, abs(low))


def mismatches(depth: BitDepth, photos: Mapping[str, Levels]) -> list[str]:
    """Return warnings about photos above 8 bits, by path, that a model of this depth sees too bright or too dark."""
    range_ = f"the model's bit depth is {depth.bits} (values to {top_value(depth.bits)})"
    above = [repr(path) for path, levels in photos.items() if depth.clips(levels)]
    same_depth = [levels.top for levels in photos.values() if levels.top and depth.of(levels) == depth.bits]
    warnings = (
        [f"{len(above)} photos have values above the range and are clipped; {range_}:\n{listed(above, 3)}"]
        if above
        else []
    )
    if same_depth and _DARK * max(same_depth) <= top_value(depth.bits):
        warnings.append(
            f"{len(same_depth)} 16-bit photos have values up to {max(same_depth)} only and look nearly black to the model; "
            f"{range_}. Scale them, or train on images like them"
        )
    return warnings


def _inferred(deep: Sequence[Levels]) -> tuple[BitDepth, str]:
    undeclared = [levels.top for levels in deep if not levels.declared]
    if undeclared:
        top = max(undeclared)
        bits = min(max(top.bit_length(), MIN_BITS), MAX_BITS)
        return BitDepth(bits), f"largest value {top} in {len(undeclared)} 16-bit training images"
    if deep:
        return BitDepth(max(levels.declared for levels in deep)), f"declared by {len(deep)} training images"
    return SIXTEEN_BITS, "no training image has more than 8 bits"


def _no_effect(depth_setting: int | Literal["auto"]) -> tuple[str, ...]:
    return (
        ()
        if depth_setting == "auto"
        else (f"data.bit_depth {depth_setting} has no effect: no image has more than 8 bits",)
    )


def _only_held_out(
    depth_setting: int | Literal["auto"], deep: Sequence[Levels], others: Sequence[Levels]
) -> tuple[str, ...]:
    undeclared = sum(not levels.declared for levels in others)
    if depth_setting != "auto" or deep or not undeclared:
        return ()
    return (
        f"{undeclared} images in val and test have 16 bits, but no training image does; they are read as 16 bits. "
        "Set data.bit_depth if their detector has fewer",
    )


def _clipped(depth: BitDepth, deep: Sequence[Levels]) -> tuple[str, ...]:
    above = [levels.top for levels in deep if depth.clips(levels)]
    if not above:
        return ()
    return (
        f"{len(above)} images have values above {top_value(depth.bits)} (bit depth {depth.bits}), up to {max(above)}, "
        "which are clipped. Set data.bit_depth to the bit depth of the detector",
    )
