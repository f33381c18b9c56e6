from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from raytl.advice.draft import advised_draft
from raytl.advice.words import sentences
from raytl.config.load import load_experiment
from raytl.starter import Choice, Draft
from tests.advice.conftest import advice

IMAGES = Draft((Choice("name", "a"), Choice("data.uri", "photos"), Choice("model.name", "big")), ("100 images.",), ())


def test_the_advice_stands_in_the_file_and_the_file_loads(tmp_path: Path) -> None:
    given = replace(advice(), sentences=sentences(advice()))
    overrides = ["model.preprocess.image_px=96", "model.name=other", "name=b"]
    text = advised_draft(given, IMAGES, overrides).text()
    (tmp_path / "x.yaml").write_text(text)
    experiment = load_experiment(tmp_path / "x.yaml")
    assert (experiment.name, experiment.model.name, experiment.model.preprocess.image_px) == ("b", "big", 96)
    assert text.startswith("# 100 images.\n# Transfer: fine-tune every stage.")
    assert "  # Weights: big; a linear probe is right" in text
    assert "# Not measured: latency.\n" in text
    assert "#   transfer.unfreeze: all\n#       Few images: every stage learns.\n" in text
    assert "`raytl advise` measured" in " ".join(line.strip("# ") for line in text.splitlines())


def test_an_override_of_a_section_keeps_its_other_keys(tmp_path: Path) -> None:
    given = replace(advice(), sentences=sentences(advice()))
    overrides = ["data={val_fraction: 0.3}", "model={name: other, preprocess: {image_px: 96}}"]
    (tmp_path / "x.yaml").write_text(advised_draft(given, IMAGES, overrides).text())
    experiment = load_experiment(tmp_path / "x.yaml")
    assert (experiment.data.uri, experiment.data.val_fraction) == ("photos", 0.3)
    assert (experiment.model.name, experiment.model.preprocess.image_px) == ("big", 96)
