"""The steps from an upright photo to a view as an ONNX graph, which is put before the network.

Sizes are computed from integers as in `raytl.data.transforms`, and the pixels are resized as Pillow does it: antialiased, with
the kernel cut at the edges. Less than 0.5 % of the values differ from those of Pillow, by one level. Where a photo is squashed,
Pillow chooses whether it resizes the rows or the columns first, and ONNX Runtime does not: up to a quarter of the values of some
photos differ by up to 3 levels. The parity check decides whether that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytl.data.transforms import MAX_ASPECT, Preprocess
from raytl.errors import ModelError

_RESIZE: Mapping[str, str] = {
    "bicubic": 'mode="cubic", antialias=1, exclude_outside=1, cubic_coeff_a=-0.5',
    "bilinear": 'mode="linear", antialias=1, exclude_outside=1',
}
_HEAD = (
    '<ir_version: 10, opset_import: ["" : 20]> view_of (uint8[1, height, width, 3] photo) => (uint8[1, h, w, 3] view) {'
)
_OPEN = """
  pixels = Transpose<perm=[0, 3, 1, 2]>(photo)
  size = Shape<start=2, end=4>(pixels)
  none = Constant<value = int64[1] {0}>()
  one = Constant<value = int64[1] {1}>()
  two = Constant<value = int64[1] {2}>()
  edges = Constant<value = int64[2] {2, 3}>()
  planes = Constant<value = int64[2] {1, 3}>()
"""
_INNER = """
  short = ReduceMin<keepdims=1>(size)
  most = Constant<value = int64[1] {ASPECT}>()
  bound = Mul(short, most)
  kept = Min(size, bound)
  outside = Sub(size, kept)
  first = Div(outside, two)
  last = Add(first, kept)
  inner = Slice(pixels, first, last, edges)
  resize = Constant<value = int64[1] {RESIZE}>()
  enlarged = Mul(kept, resize)
  target = Div(enlarged, short)
"""
_SQUASHED = """
  inner = Identity(pixels)
  target = Constant<value = int64[2] {RESIZE, RESIZE}>()
"""
_FITTED = """
  inner = Identity(pixels)
  frame = Constant<value = double[2] {HEIGHT.0, WIDTH.0}>()
  whole = Cast<to=11>(size)
  ratios = Div(frame, whole)
  ratio = ReduceMin<keepdims=1>(ratios)
  exact = Mul(whole, ratio)
  rounded = Round(exact)
  lengths = Cast<to=7>(rounded)
  target = Max(lengths, one)
"""
_RESIZED = """
  sizes = Concat<axis=0>(planes, target)
  resized = Resize<coordinate_transformation_mode="half_pixel", RESIZER>(inner, , , sizes)
"""
_CENTER = """
  side = Constant<value = int64[1] {SIDE}>()
  lacking = Sub(side, target)
  missing = Max(lacking, none)
  before = Div(missing, two)
  after = Sub(missing, before)
  pads = Concat<axis=0>(before, after)
  padded = Pad(resized, pads, , edges)
  filled = Add(target, missing)
  extra = Sub(filled, side)
  halves = Cast<to=11>(extra)
  double_two = Constant<value = double[1] {2.0}>()
  middle = Div(halves, double_two)
  even = Round(middle)
  top_left = Cast<to=7>(even)
  bottom_right = Add(top_left, side)
  cropped = Slice(padded, top_left, bottom_right, edges)
  square = Constant<value = int64[4] {1, 3, SIDE, SIDE}>()
  fixed = Reshape(cropped, square)
  view = Transpose<perm=[0, 2, 3, 1]>(fixed)
"""
_PADDED = """
  frame_sides = Constant<value = int64[2] {HEIGHT, WIDTH}>()
  rest = Sub(frame_sides, target)
  nothing = Constant<value = int64[2] {0, 0}>()
  pads = Concat<axis=0>(nothing, rest)
  padded = Pad(resized, pads, , edges)
  plane = Concat<axis=0>(one, one, target)
  filler = ConstantOfShape<value = uint8[1] {1}>(plane)
  inside = Pad(filler, pads, , edges)
  mask = Cast<to=9>(inside)
  color = Constant<value = uint8[1, 3, 1, 1] {COLOR}>()
  mixed = Where(mask, padded, color)
  shape = Constant<value = int64[4] {1, 3, HEIGHT, WIDTH}>()
  fixed = Reshape(mixed, shape)
  view = Transpose<perm=[0, 2, 3, 1]>(fixed)
"""


def photo_graph(preprocess: Preprocess) -> Any:
    """Return the ONNX model from `photo (1, height, width, 3) uint8` to `view (1, h, w, 3) uint8`.

    Raises:
        ModelError: ONNX has no such interpolation.
    """
    import onnx.parser

    if preprocess.interpolation not in _RESIZE:
        raise ModelError(
            f"--input photo: ONNX has no antialiased {preprocess.interpolation} interpolation; expected one of "
            f"{', '.join(_RESIZE)}. Use --input crop, whose client resizes"
        )
    height, width = preprocess.view_size
    values = {
        "ASPECT": int(MAX_ASPECT),
        "RESIZER": _RESIZE[preprocess.interpolation],
        "RESIZE": preprocess.resize_px,
        "SIDE": preprocess.image_px,
        "HEIGHT": height,
        "WIDTH": width,
        "COLOR": ", ".join(str(int(each)) for each in preprocess.mean_color),
    }
    text = _HEAD + _OPEN + _steps(preprocess) + "}"
    for name, value in values.items():
        text = text.replace(name, str(value))
    return onnx.parser.parse_model(text)


def with_photo_input(path: Path, preprocess: Preprocess) -> None:
    """Put the steps from a photo to a view before the graph at `path`, whose input is `views`.

    Raises:
        ModelError: ONNX has no such interpolation.
    """
    import onnx
    from onnx import compose

    steps, network = photo_graph(preprocess), onnx.load(str(path))
    steps.ir_version = network.ir_version
    merged = compose.merge_models(
        compose.add_prefix(steps, "photo/", rename_inputs=False),  # torch names the results of its operators `view` too
        network,
        io_map=[("photo/view", network.graph.input[0].name)],
    )
    onnx.save(merged, str(path))


def _steps(preprocess: Preprocess) -> str:
    if preprocess.frame is not None:
        return _FITTED + _RESIZED + _PADDED
    return (_SQUASHED if preprocess.crop_mode == "squash" else _INNER) + _RESIZED + _CENTER
