"""Explain a model whose answers are class maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.targets import Instances
from raytl.errors import ModelError, UserError
from raytl.evaluation.explain import explain
from tests.assessment.findings.untrained import PX, untrained_run
from tests.conftest import MakePhotos


@pytest.mark.thorough
def test_each_class_has_a_map_by_occlusion_and_mistakes_are_refused(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.models.attribution.choice.CELLS", 3)
    photos = make_photos(per_class=2, px=PX)
    model = {"head": "fpn", "neck": {"channels": 32}, "preprocess": {"image_px": [64, 48]}}
    targets = (Instances(PX, PX, ()),)
    folder = untrained_run("segmentation", ("background", "dog"), model, targets, photos, tmp_path / "runs")
    result = explain(folder.root, photos, label="dog", out=tmp_path / "out")
    assert (
        result.method == "occlusion"
        and "do not end in a map of 3 x 3 or more cells that every answer passes through" in result.why
    )
    assert len(result.explanations) == len(list(photos.rglob("*.jpg")))
    assert all(each.correct is None and 0 <= each.confidence <= 1 for each in result.explanations)
    with pytest.raises(UserError, match="right in some pixels and wrong in others; expected photos"):
        explain(folder.root, mistakes=True, out=tmp_path / "out")
    with pytest.raises(ModelError, match="cam is not valid"):
        explain(folder.root, photos, method="cam", out=tmp_path / "out")
