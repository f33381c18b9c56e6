"""The ways to make a model smaller and faster, as values, and those that a machine and an installation can try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from raytl.bundle.card import Precision, Runtime
from raytl.bundle.processor import Processor
from raytl.errors import ModelError, UserError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a model: a runtime and a precision. It is made of the candidate `base`; if empty, of the saved model."""

    name: str
    runtime: Runtime
    precision: Precision
    base: str = ""


REFERENCE = "onnx-fp32"
"""The candidate that the others must beat: ONNX Runtime in fp32."""
UNTRAINED = (
    Candidate(REFERENCE, "onnx", "fp32"),
    Candidate("openvino-fp32", "openvino", "fp32", REFERENCE),
    Candidate("openvino-bf16", "openvino", "bf16", REFERENCE),
    Candidate("openvino-int8", "openvino", "int8", REFERENCE),
    Candidate("onnx-int8", "onnx", "int8", REFERENCE),
)
_MODULES: dict[Runtime, tuple[str, ...]] = {
    "openvino": ("openvino", "nncf"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}
_EXTRAS: dict[Runtime, str] = {"openvino": "openvino", "onnx": "export"}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that is not tried, with the reason."""

    name: str
    reason: str


def requested(methods: Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """Return the methods by name, all if none are given; the reference is always one of them.

    Raises:
        UserError: there is no such method.
    """
    unknown = [name for name in methods if name not in choices]
    if unknown:
        raise UserError(f"--methods {', '.join(unknown)}: expected some of {', '.join(choices)}")
    return tuple(name for name in choices if not methods or name in methods or name == REFERENCE)


def check_reference() -> None:
    """Check that the reference can be tried: all others are made of it or compared with it, also those that train for hours.

    Raises:
        ModelError: a package of it is not installed.
    """
    if reason := _missing("onnx"):
        raise ModelError(reason)


def possible(candidates: Sequence[Candidate], processor: Processor) -> tuple[list[Candidate], list[Skipped]]:
    """Return the candidates that this machine can measure, and the others with the reasons."""
    reasons = [_reason(each, processor) for each in candidates]
    pairs = list(zip(candidates, reasons, strict=True))
    return (
        [each for each, reason in pairs if not reason],
        [Skipped(each.name, reason) for each, reason in pairs if reason],
    )


def _reason(candidate: Candidate, processor: Processor) -> str:
    if missing := _missing(candidate.runtime):
        return missing
    if candidate.precision == "bf16" and not processor.has_bf16:
        return f"this processor ({processor.name}) has no bf16, so bf16 would be slower than fp32"
    return ""


def _missing(runtime: Runtime) -> str:
    missing = [name for name in _MODULES[runtime] if find_spec(name) is None]
    return f"{missing[0]} is not installed; run `pip install 'raytl[{_EXTRAS[runtime]}]'`" if missing else ""
