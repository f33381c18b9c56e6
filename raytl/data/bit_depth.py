"""How many bits an image's samples really have: detectors of 10 and 12 bits write 16-bit files, which look nearly black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from raytl.data.manifest import listed
from raytl.stored.bounds import within

LEAST, MOST = 8, 16
_DARK = 8
"""Photos that use less than this part of the range, all of them, are of another detector rather than of the night."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The largest sample of a file of more than 8 bits (0 for a file of 8 bits), and the bits that it declares (0 = none)."""

    top: int = 0
    declared: int = 0


@dataclass(frozen=True, slots=True)
class BitDepth:
    """The bits that files of more than 8 bits are scaled by; a file's own declaration comes first unless this is `fixed`."""

    bits: Annotated[int, within(LEAST, MOST)] = MOST
    fixed: bool = False

    def of(self, levels: Levels) -> int:
        """Return the bits that a file of these levels is scaled by."""
        return self.bits if self.fixed or not levels.declared else levels.declared

    def clips(self, levels: Levels) -> bool:
        """Return whether some values of the file are above the range, and so come out white."""
        return levels.top > top_value(self.of(levels))


SIXTEEN_BITS = BitDepth()
"""What a model that was saved before bit depths were recorded was trained with."""


@dataclass(frozen=True)
class SetDepth:
    """The bit depth of a data set and how it was found; `reason` is empty where no image has more than 8 bits."""

    depth: BitDepth = SIXTEEN_BITS
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def recorded(self) -> dict[str, int]:
        """Return what a sweep's record says of it: nothing for 16 bits, as sweeps of raytl 0.1 have no such entry."""
        return {} if self.depth.bits == MOST else {"bit_depth": self.depth.bits}


def top_value(bits: int) -> int:
    """Return the largest value of `bits` bits."""
    return (1 << bits) - 1


def set_depth(asked: int | Literal["auto"], train: Sequence[Levels], held_out: Sequence[Levels]) -> SetDepth:
    """Return the depth of a data set: the one asked for, else the fewest bits that hold every training value.

    `held_out` (val and test) decides nothing: what lies above the range there is clipped, with a warning.
    """
    deep = [levels for levels in train if levels.top]
    depth, reason = _found(deep) if asked == "auto" else (BitDepth(asked, fixed=True), "set by data.bit_depth")
    others = [levels for levels in held_out if levels.top]
    if not deep and not others:
        return SetDepth(depth, "", _idle(asked))
    return SetDepth(depth, reason, (*_unknown(asked, deep, others), *_clipped(depth, [*deep, *others])))


def mismatches(depth: BitDepth, photos: Mapping[str, Levels]) -> list[str]:
    """Return what to say of photos of more than 8 bits, by path, that a model of this depth sees too bright or too dark."""
    range_ = f"the model's bit depth is {depth.bits} (values to {top_value(depth.bits)})"
    above = [repr(path) for path, levels in photos.items() if depth.clips(levels)]
    open_ones = [levels.top for levels in photos.values() if levels.top and depth.of(levels) == depth.bits]
    found = (
        [f"{len(above)} photos have values above the range, as {range_}, and are clipped:\n{listed(above, 3)}"]
        if above
        else []
    )
    if open_ones and _DARK * max(open_ones) <= top_value(depth.bits):
        found.append(
            f"{len(open_ones)} photos of 16 bits have values up to {max(open_ones)} only, and {range_}: they look nearly "
            "black to it; scale them, or train on images like them"
        )
    return found


def _found(deep: Sequence[Levels]) -> tuple[BitDepth, str]:
    undeclared = [levels.top for levels in deep if not levels.declared]
    if undeclared:
        top = max(undeclared)
        bits = min(max(top.bit_length(), LEAST), MOST)
        return BitDepth(bits), f"largest value {top} in {len(undeclared)} training images of 16 bits"
    if deep:
        return BitDepth(max(levels.declared for levels in deep)), f"declared by {len(deep)} training images"
    return SIXTEEN_BITS, "no training image has more than 8 bits"


def _idle(asked: int | Literal["auto"]) -> tuple[str, ...]:
    return (
        () if asked == "auto" else (f"data.bit_depth is {asked}, and no image has more than 8 bits: it has no effect",)
    )


def _unknown(asked: int | Literal["auto"], deep: Sequence[Levels], others: Sequence[Levels]) -> tuple[str, ...]:
    open_ones = sum(not levels.declared for levels in others)
    if asked != "auto" or deep or not open_ones:
        return ()
    return (
        f"{open_ones} images of val and test have 16 bits, and no training image does: they are read as 16 bits; "
        "set data.bit_depth if their detector has fewer",
    )


def _clipped(depth: BitDepth, deep: Sequence[Levels]) -> tuple[str, ...]:
    above = [levels.top for levels in deep if depth.clips(levels)]
    if not above:
        return ()
    return (
        f"{len(above)} images have values above {top_value(depth.bits)} (bit depth {depth.bits}), up to {max(above)}, "
        "which are clipped; set data.bit_depth to the bits of the detector",
    )
