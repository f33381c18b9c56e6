"""Determine the actual bit depth of images: 10- and 12-bit detectors write 16-bit files, which look nearly black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from raytl.data.manifest import listed
from raytl.stored.bounds import within

MIN_BITS, MAX_BITS = 8, 16
_DARK = 8
"""If all photos stay below 1/8 of the range, they come from another detector and are not just night scenes."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The largest sample value of a file above 8 bits (0 for an 8-bit file) and the bits that it declares (0 = none)."""

    top: int = 0
    declared: int = 0


@dataclass(frozen=True, slots=True)
class BitDepth:
    """The bit depth from which files above 8 bits are scaled; unless `fixed`, a file's own declaration takes precedence."""

    bits: Annotated[int, within(MIN_BITS, MAX_BITS)] = MAX_BITS
    fixed: bool = False

    def of(self, levels: Levels) -> int:
        """Return the bit depth from which a file of these levels is scaled."""
        return self.bits if self.fixed or not levels.declared else levels.declared

    def clips(self, levels: Levels) -> bool:
        """Return whether the file has values above the range, which are clipped to white."""
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
    def recorded(self) -> dict[str, int]:
        """Return its entry in a sweep's record: empty for 16 bits, as sweeps of raytl 0.1 have no such entry."""
        return {} if self.depth.bits == MAX_BITS else {"bit_depth": self.depth.bits}


def top_value(bits: int) -> int:
    """Return the largest value of `bits` bits."""
    return (1 << bits) - 1


def set_depth(setting: int | Literal["auto"], train: Sequence[Levels], held_out: Sequence[Levels]) -> SetDepth:
    """Return the depth of a dataset: `setting`, or if that is `auto`, the fewest bits that hold every training value.

    `held_out` (val and test) has no influence: its values above the range are clipped, with a warning.
    """
    deep = [levels for levels in train if levels.top]
    depth, reason = _inferred(deep) if setting == "auto" else (BitDepth(setting, fixed=True), "set by data.bit_depth")
    others = [levels for levels in held_out if levels.top]
    if not deep and not others:
        return SetDepth(depth, "", _no_effect(setting))
    return SetDepth(depth, reason, (*_only_held_out(setting, deep, others), *_clipped(depth, [*deep, *others])))


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


def _no_effect(setting: int | Literal["auto"]) -> tuple[str, ...]:
    return () if setting == "auto" else (f"data.bit_depth {setting} has no effect: no image has more than 8 bits",)


def _only_held_out(setting: int | Literal["auto"], deep: Sequence[Levels], others: Sequence[Levels]) -> tuple[str, ...]:
    undeclared = sum(not levels.declared for levels in others)
    if setting != "auto" or deep or not undeclared:
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
