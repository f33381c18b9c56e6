"""Which candidates are requested, and which a machine can try."""

from __future__ import annotations

import pytest

from raytl.bundle.processor import Processor
from raytl.errors import UserError
from raytl.exporting.compress import candidate
from raytl.exporting.compress.candidate import REFERENCE, UNTRAINED, possible, requested

NAMES = tuple(each.name for each in UNTRAINED)


def test_without_methods_all_are_tried_and_the_reference_always_is() -> None:
    assert requested((), NAMES) == NAMES
    assert requested(("onnx-int8",), NAMES) == (REFERENCE, "onnx-int8")


def test_an_unknown_method_is_an_error_that_lists_all() -> None:
    with pytest.raises(UserError, match="--methods int4: expected some of onnx-fp32, openvino-fp32"):
        requested(("onnx-int8", "int4"), NAMES)


def test_bf16_is_tried_only_where_the_processor_has_it() -> None:
    plain, amx = Processor("old", ("avx2",)), Processor("new", ("avx2", "avx512_bf16"))
    tried, skipped = possible(UNTRAINED, plain)
    assert "openvino-bf16" not in [each.name for each in tried]
    assert [each.reason for each in skipped] == ["this processor (old) has no bf16, so bf16 would be slower than fp32"]
    assert possible(UNTRAINED, amx) == (list(UNTRAINED), [])


def test_a_missing_extra_skips_its_candidates_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate, "find_spec", lambda name: None if name == "nncf" else object())
    tried, skipped = possible(UNTRAINED, Processor("new", ("avx512_bf16",)))
    assert [each.name for each in tried] == ["onnx-fp32", "onnx-int8"]
    assert skipped[0].reason == "nncf is not installed; run `pip install 'raytl[openvino]'`"
