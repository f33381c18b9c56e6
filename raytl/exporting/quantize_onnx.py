"""int8 for ONNX Runtime: static quantization with pairs of Q and DQ, per channel, with ranges that clip outliers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raytl.bundle.client import Pixels
from raytl.exporting.quantize_scope import onnx_scope
from raytl.exporting.quiet import quiet

Ranges = Literal["percentile", "minmax"]
_CONVOLUTION = (
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Clip",
    "Relu",
    "GlobalAveragePool",
    "AveragePool",
    "MaxPool",
    "Concat",
)
_ATTENTION = ("Conv", "Gemm", "MatMul")
_PERCENTILE = 99.99
_STRIDE = 4
"""Inputs whose activations are in memory at once."""


def quantize_onnx(
    graph: Path,
    out: Path,
    calibration: Sequence[Pixels],
    *,
    reduced_range: bool = False,
    per_channel: bool = True,
    ranges: Ranges = "percentile",
) -> Path:
    """Write the fp32 ONNX `graph` in int8 to `out`, and return `out`.

    `calibration` are inputs of the graph. `reduced_range` gives weights 7 bits, so that sums do not overflow on processors
    without dot products of int8. Weights per tensor and ranges by minimum and maximum are only there to measure what they cost.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as scratch, quiet():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        scope = onnx_scope(prepared)
        is_alike = len({pixels.shape for pixels in calibration}) == 1
        stride = _STRIDE if is_alike and len(calibration) >= _STRIDE else 1
        whole = len(calibration) // stride * stride
        options: dict[str, Any] = {"CalibStridedMinMax": stride, "CalibPercentile": _PERCENTILE}
        quantize_static(
            str(prepared),
            str(out),
            _reader(prepared, calibration[:whole]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_ATTENTION if scope.has_attention else _CONVOLUTION),
            per_channel=per_channel,
            reduce_range=reduced_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(scope.float_names),
            calibrate_method=CalibrationMethod.Percentile if ranges == "percentile" else CalibrationMethod.MinMax,
            extra_options=options if ranges == "percentile" else {"CalibStridedMinMax": stride},
        )
    return out


def _reader(graph: Path, calibration: Sequence[Pixels]) -> Any:
    """Return the inputs as the reader that ONNX Runtime expects, which reads them in parts."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx.load(str(graph), load_external_data=False).graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.set_range(0, len(calibration))

        def __len__(self) -> int:
            return len(calibration)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rest = iter(calibration[start_index:end_index])

        def get_next(self) -> dict[str, Pixels] | None:
            pixels = next(self.rest, None)
            return None if pixels is None else {name: np.ascontiguousarray(pixels)}

    return Reader()
