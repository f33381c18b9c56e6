"""int8 for OpenVINO: NNCF's quantization after training, per channel, with fast bias correction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raytl.bundle.client import Pixels
from raytl.exporting.quantize_scope import openvino_scope
from raytl.exporting.quiet import quiet


def quantize_openvino(
    graph: Path,
    out: Path,
    calibration: Sequence[Pixels],
    *,
    reduced_range: bool = False,
    transformer: bool | None = None,
) -> Path:
    """Write `graph` (ONNX or OpenVINO, in fp32) in int8 to `out` (.xml, with its .bin beside it); return `out`.

    `calibration` are inputs of the graph. `reduced_range` gives weights 7 bits, so that sums do not overflow on processors
    without dot products of int8. `transformer` chooses NNCF's patterns for attention, None = if the network has attention;
    without them, a ViT loses most of its accuracy. Activations are asymmetric: with NNCF's default for convolutions, a MobileNetV2
    of TrashNet answers 21 % of the validation images as in fp32, so with 95 %.
    """
    import openvino

    with quiet():
        import nncf

        model = openvino.Core().read_model(graph)
        scope = openvino_scope(model)
        is_transformer = scope.has_attention if transformer is None else transformer
        fix = nncf.OverflowFix.ENABLE if reduced_range else nncf.OverflowFix.DISABLE
        quantized: Any = nncf.quantize(
            model,
            nncf.Dataset(calibration),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(calibration),
            fast_bias_correction=True,
            model_type=nncf.ModelType.TRANSFORMER if is_transformer else None,
            ignored_scope=nncf.IgnoredScope(names=list(scope.float_names), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
    openvino.save_model(quantized, str(out), compress_to_fp16=False)
    return out
